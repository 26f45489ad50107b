"""Where in an epoch an event lies, in seconds: the words of the event against each short step of the signals.

Asked of epochs with exactly one event of a kind. A step's likeness is its cosine with the words for the event, and the
stretch found is that of `retrieval.occlusion`, both as `locate` has them. Baselines: the whole epoch, and
chance: a stretch of the events' median length laid at random. In some of the epochs the stretch and the sensor named
are taken away again: that must cost more than taking others. Encoders without vectors of steps are left out with a
note.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions.scored import GROUPS, snake
from encoders.recordings import Epochs
from encoders.vocabulary import EPOCH_S
from retrieval.evaluation.events import event_truths
from retrieval.evaluation.figures import Figure, interval
from retrieval.evaluation.labelled import Labelled
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import load_sensors
from retrieval.occlusion import Spans, check_seconds, check_sensors, stretches, tells_steps
from retrieval.truth import OVERLAP_S
from retrieval.zeroshot import PRESENT, PromptTask, label_vectors

TASK = "localisation"
_SECONDS, _SENSOR, _SHOWS = "named seconds matter", "named sensor matters", "named sensor shows it"
_SAYS = {
    _SECONDS: "share of epochs in which hiding the stretch found costs more than hiding as much elsewhere",
    _SENSOR: "share of epochs in which losing the sensor named costs more than losing others on average",
    _SHOWS: "share of epochs in which the sensor named is one that a scorer looks at; base rate: of all sensors",
}
_MOST = 400  # epochs of a kind, evenly spaced: their signals are read again
_CHECKED = 60  # of these, to take the named away again: each is embedded twenty times


def measure_localise(sample: Sample, *, seed: int = 0) -> list[Figure]:
    """Mean intersection over union, and median errors of start and stop in seconds, of each kind of event."""
    embed_steps = getattr(sample.encoder, "embed_steps", None)
    if embed_steps is None:
        note = f"{sample.encoder.name} gives no vectors of steps within an epoch"
        return [Figure(TASK, "intersection over union", "zero-shot", None, 0, 0, note=note)]
    alone = [(truth.task, *_thinned(*single_events(sample.frame, truth))) for truth in event_truths(sample)]
    alone = [(task, rows, spans) for task, rows, spans in alone if len(rows)]
    if not alone:
        return []
    rows = np.unique(np.concatenate([of for _, of, _ in alone]))
    parts, checks = [], {task.name: _Checks(task, own[_evenly(len(own), _CHECKED)]) for task, own, _ in alone}
    read = 0
    for epochs in sample.epochs(rows):
        parts.append(embed_steps(epochs))
        here = rows[read : (read := read + len(parts[-1]))]
        if tells_steps(sample.encoder):
            for check in checks.values():
                check.add(sample, epochs, here, parts[-1])
    steps = np.concatenate(parts)
    rng = np.random.default_rng(seed)
    figures: list[Figure] = []
    for task, own, true in alone:
        vectors = steps[np.searchsorted(rows, own)]
        likeness = vectors @ _present(task, sample)
        length = float(np.median(true[:, 1] - true[:, 0]))
        start = rng.uniform(0.0, EPOCH_S - length, len(own))
        spans = {
            "zero-shot": stretches(likeness),
            "whole epoch": np.tile([0.0, EPOCH_S], (len(own), 1)),
            "chance": np.stack([start, start + length], axis=1),
        }
        subjects = sample.frame["subject"][own].to_list()
        for method, span in spans.items():
            figures += _figures(task.name, method, span, true, subjects, seed)
        figures += checks[task.name].figures(sample, seed)
    return figures


@dataclass(slots=True)
class _Checks:
    """What taking the named away again said of some epochs of a task: 1 or 0 an epoch, and the row it is of."""

    task: PromptTask
    rows: NDArray[np.int64]
    found: dict[str, list[tuple[int, bool]]] = field(default_factory=lambda: {name: [] for name in _SAYS})
    base: float | None = None

    def add(self, sample: Sample, epochs: Epochs, here: NDArray[np.int64], steps: NDArray[np.float32]) -> None:
        """Check those of the epochs, whose rows are `here`, that are among `rows`."""
        at = np.flatnonzero(np.isin(here, self.rows))
        if not len(at):
            return
        direction = _present(self.task, sample)
        seconds = check_seconds(sample.encoder, epochs[at], stretches(steps[at] @ direction), direction, steps.shape[1])
        sensors = check_sensors(sample.encoder, epochs[at], direction)
        wanted = {channel for members in self.task.sensors for channel in members}
        shows = np.array([bool(wanted & set(load_sensors().modalities[name])) for name in sensors.modalities])
        self.base = float(shows.mean()) if shows.any() else None
        for name, rows, said in (
            (_SECONDS, here[at][seconds.checked], seconds.lowers),
            (_SENSOR, here[at][sensors.checked], sensors.lowers),
            (_SHOWS, here[at], shows[sensors.named]),
        ):
            self.found[name] += zip(rows.tolist(), said.tolist(), strict=True)

    def figures(self, sample: Sample, seed: int) -> Iterator[Figure]:
        """Shares of the epochs checked."""
        for name, pairs in self.found.items():
            base = self.base if name == _SHOWS else 0.5
            if not pairs or base is None:
                continue
            rows, said = np.array(pairs, np.int64).T
            subjects = sample.frame["subject"][rows].to_list()
            at = interval(lambda draw, said=said: float(said[draw].mean()), subjects, seed=seed)  # type: ignore[misc]
            yield Figure(TASK, f"{self.task.name} {name}", "zero-shot", at.value, len(rows), len(set(subjects)), at.low,
                         at.high, base, note="; ".join(filter(None, (at.note, _SAYS[name]))))  # fmt: skip


def _present(task: PromptTask, sample: Sample) -> NDArray[np.float32]:
    """The vector `(dim,)` of the words for an event."""
    found: NDArray[np.float32] = label_vectors(task, sample.texts)[list(task.labels).index(PRESENT)]
    return found


def _figures(name: str, method: str, found: Spans, true: Spans, subjects: list[str], seed: int) -> Iterator[Figure]:
    miss = np.abs(found - true)
    for measure, values, of in (
        ("intersection over union", overlap(found, true), np.mean),
        ("start, seconds off", miss[:, 0], np.median),
        ("stop, seconds off", miss[:, 1], np.median),
    ):
        at = interval(lambda rows, of=of, values=values: float(of(values[rows])), subjects, seed=seed)  # type: ignore[misc]
        yield Figure(TASK, f"{name} {measure}", method, at.value, len(true), len(set(subjects)), at.low, at.high,
                     note=at.note)  # fmt: skip


def single_events(frame: pl.DataFrame, truth: Labelled) -> tuple[NDArray[np.int64], Spans]:
    """Rows that count and hold exactly one event of the kind, and the seconds `(n, 2)` of the epoch that it fills.

    Read from the column `events`, whose entries say "hypopnea 3.2-20.1"; an event that fills less than 3 s is left out.
    """
    task = truth.task
    names = [snake(name) for name in GROUPS.get(str(task.event), ())] or [str(task.event)]
    rows, spans = [], []
    events = frame["events"].to_list()
    for row in np.flatnonzero((frame[f"n_{task.event}"] == 1).fill_null(False).to_numpy() & (truth.codes == 1)):
        for text in events[row]:
            name, _, seconds = text.rpartition(" ")
            start, stop = map(float, seconds.split("-"))
            if snake(name) in names and stop - start >= OVERLAP_S:
                rows.append(row)
                spans.append((start, stop))
    return np.array(rows, np.int64), np.array(spans, np.float64).reshape(-1, 2)


def _thinned(rows: NDArray[np.int64], spans: Spans) -> tuple[NDArray[np.int64], Spans]:
    kept = _evenly(len(rows), _MOST)
    return rows[kept], spans[kept]


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most that many places, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))


def overlap(found: Spans, true: Spans) -> NDArray[np.float64]:
    """Intersection over union of spans, row by row."""
    shared = np.clip(np.minimum(found[:, 1], true[:, 1]) - np.maximum(found[:, 0], true[:, 0]), 0.0, None)
    both = (found[:, 1] - found[:, 0]) + (true[:, 1] - true[:, 0]) - shared
    return np.asarray(shared / np.maximum(both, 1e-9))
