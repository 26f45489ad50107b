"""The few random and array helpers that every part of a simulated night draws with."""

import tomllib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.vocabulary import EPOCH_S

Floats = NDArray[np.floating[Any]]  # float32, but where a sum in between is not
CODES = ("W", "N1", "N2", "N3", "REM")  # the truth knows no unscored epoch; arrays hold the index into this
W, N1, N2, N3, REM = range(5)


@dataclass(frozen=True, slots=True)
class TruthEvent:
    """Something that happened in `[start_s, stop_s)`; `name` of `vocabulary.EVENTS` or a graphoelement's name."""

    name: str
    start_s: float
    stop_s: float
    spo2_min_pct: float | None = None  # desaturations: the oximeter's lowest reading
    cause: str | None = None  # what set it off, where the simulator knows
    drop_pct: float | None = None  # desaturations: from the reading they fell from to the lowest


@cache
def constants(name: str) -> dict[str, Any]:
    """The constants of `NAME.toml` in this folder."""
    with Path(__file__).with_name(f"{name}.toml").open("rb") as file:
        return tomllib.load(file)


def stream(*key: int | str) -> np.random.Generator:
    """A generator of its own for each purpose, so that one signal's samples never depend on which others are drawn."""
    return np.random.default_rng([zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key])


def by_stage(table: dict[str, float]) -> Floats:
    """A table of stages as an array indexed by stage code."""
    return np.array([table[code] for code in CODES], np.float32)


def on_grid(per_epoch: NDArray[Any], rate_hz: float, smooth_s: float = 0.0) -> Floats:
    """Values per epoch held on a grid of `rate_hz`, their steps softened over `smooth_s`."""
    held = np.repeat(np.asarray(per_epoch, np.float32), round(EPOCH_S * rate_hz))
    return uniform_filter1d(held, max(1, round(smooth_s * rate_hz)), mode="nearest") if smooth_s else held


def wander(rng: np.random.Generator, n: int, rate_hz: float, over_s: float) -> Floats:
    """Gaussian noise `(n,)` of unit variance that wanders over about `over_s` seconds."""
    width = max(1, round(over_s * rate_hz / 2))
    noise: Floats = rng.standard_normal(n, np.float32)
    for _ in range(2):
        noise = uniform_filter1d(noise, width, mode="wrap")
    return noise / max(float(noise.std()), 1e-6)


def scatter(rng: np.random.Generator, stages: NDArray[np.int8], per_min: Sequence[float], gap_s: float) -> NDArray[Any]:
    """Sorted times in seconds at a Poisson rate per minute of each stage, no two closer than `gap_s`."""
    counts = rng.poisson(np.asarray(per_min)[stages] * EPOCH_S / 60.0)
    epochs = np.repeat(np.arange(len(stages)), counts)
    times = np.sort((epochs + rng.uniform(0.02, 0.92, len(epochs))) * EPOCH_S)
    return times[np.diff(times, prepend=-np.inf) >= gap_s] if len(times) else times


def add_waves(
    signal: Floats, rate_hz: float, events: Sequence[TruthEvent], wave: Callable[[NDArray[np.intp], Floats], Floats]
) -> None:
    """Adds `wave(i, t)`, `t` in seconds from the start of `events[i]`, to `signal` over all events; ends are cut.

    `i` and `t` are arrays with one entry for each sample that an event covers, so that no event costs a call.
    """
    first = np.ceil(np.array([e.start_s for e in events]) * rate_hz).astype(np.intp)
    last = np.minimum(len(signal), np.ceil(np.array([e.stop_s for e in events]) * rate_hz).astype(np.intp))
    count = np.maximum(last - first, 0)
    i = np.repeat(np.arange(len(events)), count)
    at = np.arange(len(i)) + np.repeat(first - np.cumsum(count) + count, count)
    start_s = np.array([e.start_s for e in events])
    np.add.at(signal, at, wave(i, np.maximum(at / rate_hz - start_s[i], 0).astype(np.float32)))


def stage_names(stages: NDArray[np.int8]) -> list[str]:
    """Stage codes as the words of `vocabulary.STAGES`."""
    return [CODES[code] for code in stages]
