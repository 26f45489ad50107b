"""Where an event lies: stretches and overlaps against a slow twin, and vectors that know it find it."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.vocabulary import CHANNELS
from retrieval.evaluation.events import event_truths
from retrieval.evaluation.localise import measure_localise, overlap, single_events
from retrieval.evaluation.sample import Sample
from retrieval.occlusion import stretches
from retrieval.zeroshot import find_task
from tests.retrieval.evaluation.conftest import TinyEncoder

STEPS = 15


class Seer(TinyEncoder):
    """Its steps lie along the words for an arousal where one is, and along those for none elsewhere."""

    dim = 2

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        said = set(find_task("arousal").texts("present"))
        return np.array([[1.0, 0.0] if text in said else [0.0, 1.0] for text in texts], np.float32)

    def embed_steps(self, epochs: Any) -> np.ndarray:
        return epochs.steps


class Told(Sample):
    """Hands the encoder the truth in place of signals."""

    __slots__ = ()

    def epochs(self, rows: Any = None) -> Iterator[Any]:
        for row in rows:
            _, _, seconds = self.frame["events"][int(row)][0].rpartition(" ")
            start, stop = map(float, seconds.split("-"))
            middle = (np.arange(STEPS) + 0.5) * 30 / STEPS
            there = (middle >= start) & (middle < stop)
            yield SimpleNamespace(steps=np.stack([there, ~there], axis=1)[None].astype(np.float32))


def sample_of(encoder: TinyEncoder) -> Sample:
    """Four people, an arousal of 2 to 12 s in every second epoch."""
    n = 80
    start = 2.0 * (np.arange(n) % 9)
    stop = start + 4 + 2.0 * (np.arange(n) % 4)
    there = np.arange(n) % 2 == 0
    events = [[f"arousal {a:.1f}-{b:.1f}"] if t else [] for a, b, t in zip(start, stop, there, strict=True)]
    frame = pl.DataFrame({
        "recording": [f"r{i // 20}" for i in range(n)], "subject": [f"s{i // 20}" for i in range(n)],
        "start_s": 30.0 * np.arange(n), "stage": ["N2"] * n, "events": events, "n_arousal": there.astype(int),
        "arousal_s": np.where(there, stop - start, 0.0),
        **{f"ok_{channel.lower()}": [True] * n for channel in CHANNELS},
    })  # fmt: skip
    return Told(encoder, frame, np.zeros((n, encoder.dim), np.float32))


def test_steps_that_know_the_event_find_it() -> None:
    figures = {(f.measure, f.method): f for f in measure_localise(sample_of(Seer()))}
    found = figures["arousal intersection over union", "zero-shot"]
    assert found.value == pytest.approx(1.0) and found.n == 40 and found.subjects == 4
    assert figures["arousal start, seconds off", "zero-shot"].value == 0
    whole = figures["arousal intersection over union", "whole epoch"]
    assert whole.value == pytest.approx(0.2)  # 6 s of 30 on average
    chance = figures["arousal intersection over union", "chance"]
    assert chance.value is not None and chance.value < 0.5


def test_an_encoder_without_steps_gives_a_note() -> None:
    (figure,) = measure_localise(sample_of(TinyEncoder()))
    assert figure.value is None and "tiny gives no vectors of steps" in figure.note


class Checked(Seer):
    """A model of steps whose score, with steps hidden, is how little of the arousal they were."""

    model = SimpleNamespace(signals=None)


class Few(SimpleNamespace):
    """Epochs that can be picked from."""

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, at: Any) -> "Few":
        return Few(steps=self.steps[at])


class Read(Told):
    """Ten epochs a recording."""

    __slots__ = ()

    def epochs(self, rows: Any = None) -> Iterator[Any]:
        told = [one.steps for one in super().epochs(rows)]
        yield from (Few(steps=np.concatenate(told[i : i + 10])) for i in range(0, len(told), 10))


def test_what_was_named_is_taken_away_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(_: Any, epochs: Any, hide: np.ndarray) -> np.ndarray:
        assert len(epochs) == len(hide)
        return np.stack([-(epochs.steps[..., 0] * hide).sum(axis=1), np.zeros(len(hide))], axis=1)

    sensors = SimpleNamespace(
        modalities=("EEG", "belts"), named=np.zeros(10, int), checked=np.arange(10) < 8, lowers=np.arange(8) < 6
    )
    monkeypatch.setattr("retrieval.occlusion.embed_hidden", score)
    monkeypatch.setattr("retrieval.evaluation.localise.check_sensors", lambda *_: sensors)
    sample = sample_of(Checked())
    sample = Read(sample.encoder, sample.frame, sample.vectors)
    found = {f.measure: f for f in measure_localise(sample) if f.method == "zero-shot"}
    seconds, sensor, shows = (
        found[f"arousal named {what}"] for what in ("seconds matter", "sensor matters", "sensor shows it")
    )
    assert seconds.value == 1.0 and seconds.n == 40 and seconds.subjects == 4
    assert sensor.value == pytest.approx(0.75) and sensor.n == 32
    assert shows.value == 1.0 and shows.base_rate == pytest.approx(0.5)


def test_stretches_are_those_of_a_slow_twin() -> None:
    rng = np.random.default_rng(0)
    cosine = rng.normal(size=(200, STEPS))
    for row, (start, stop) in zip(cosine, stretches(cosine), strict=True):
        worth = row - (row.min() + 0.4 * (row.max() - row.min()))
        sums = {(i, j): worth[i:j].sum() for i in range(STEPS) for j in range(i + 1, STEPS + 1)}
        first, last = max(sums, key=lambda at: sums[at])
        assert (start, stop) == pytest.approx((2.0 * first, 2.0 * last))
    assert (stretches(np.zeros((3, STEPS), np.float32))[:, 1] > 0).all()  # where nothing differs it is some stretch


def test_a_weak_step_does_not_cut_a_stretch() -> None:
    likeness = np.array([[0, 0, 1, 1, 0.2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]], float)
    assert stretches(likeness).tolist() == [[4.0, 14.0]]


def test_overlap_counts_shared_seconds_over_all() -> None:
    found = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 10.0], [4.0, 6.0]])
    true = np.array([[0.0, 10.0], [5.0, 15.0], [20.0, 25.0], [0.0, 30.0]])
    assert overlap(found, true) == pytest.approx([1.0, 1 / 3, 0.0, 1 / 15])


def test_epochs_with_two_events_or_a_short_one_are_left_out(tiny_sample: Sample) -> None:
    frame = tiny_sample.frame
    truths = {truth.task.name: truth for truth in event_truths(tiny_sample)}
    rows, spans = single_events(frame, truths["apnea"])
    assert len(rows) and (spans[:, 1] - spans[:, 0] >= 3).all() and (spans >= 0).all() and (spans <= 30).all()
    assert (frame["n_apnea_any"].to_numpy()[rows] == 1).all()
    assert spans[:, 1] - spans[:, 0] == pytest.approx(frame["apnea_any_s"].to_numpy()[rows], abs=0.11)
