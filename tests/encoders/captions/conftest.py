"""Small nights of known truth, in memory."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from encoders.recordings.timeline import Event, Run, Scoring, StageSpan
from encoders.vocabulary import CHANNELS


@pytest.fixture
def night() -> Callable[..., tuple[SimpleNamespace, SimpleNamespace]]:
    """`night(n, ECG=(rate_hz, samples), ...)` -> a recording and its epochs, every given slot usable throughout."""

    def build(n: int, **signals: tuple[float, np.ndarray]) -> tuple[SimpleNamespace, SimpleNamespace]:
        def runs(channel: str) -> list[Run]:
            if channel not in signals:
                return []
            rate_hz, samples = signals[channel]
            return [Run(0.0, rate_hz, np.asarray(samples, np.float32))]

        present = np.zeros((n, len(CHANNELS)), bool)
        for channel in signals:
            if channel in CHANNELS:
                present[:, CHANNELS.index(channel)] = True
        recording = SimpleNamespace(runs=runs, duration_s=n * 30.0)
        return recording, SimpleNamespace(start_s=30.0 * np.arange(n), present=present)

    return build


@pytest.fixture
def seconds() -> Callable[[int, float], np.ndarray]:
    """`seconds(n, rate_hz)`: the times of all samples of n epochs."""
    return lambda n, rate_hz: np.arange(round(n * 30 * rate_hz)) / rate_hz


@pytest.fixture
def scoring() -> Callable[..., Scoring]:
    """`scoring(stages, events, coverage, ...)`: a source with one stage a 30-s epoch; "" leaves an epoch out."""

    def build(
        stages: Sequence[str] = (),
        events: Sequence[tuple[str, float, float]] = (),
        kinds: Sequence[str] = (),
        **more: Any,
    ) -> Scoring:
        spans = [StageSpan(30.0 * i, 30.0 * i + 30, stage, stage) for i, stage in enumerate(stages) if stage]
        covered = [*(["stages"] if spans else []), *kinds]
        fields = {"source": "test", "files": (), "scorer": "human", "rules": "AASM", "epoch_s": 30.0} | more
        return Scoring(
            **fields,
            stages=tuple(spans),
            events=tuple(Event(name, start_s, stop_s, name) for name, start_s, stop_s in events),
            coverage=dict.fromkeys(covered, "declared"),
        )

    return build
