"""Where in an epoch an event lies, in seconds: the words of the event against each short step of the signals.

Asked of epochs with exactly one event of a kind. A step's likeness is how much nearer it lies to the
words for the event than to those for its absence. The stretch found holds the likeliest step and runs as far as
likeness stays at least half way between the epoch's mean and its largest. Baselines: the whole epoch, and chance: a
stretch of the events' median length laid at random. Encoders without vectors of steps are left out with a note.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions.scored import GROUPS, snake
from encoders.vocabulary import EPOCH_S
from retrieval.evaluation.events import event_truths
from retrieval.evaluation.figures import Figure, interval
from retrieval.evaluation.labelled import Labelled
from retrieval.evaluation.sample import Sample
from retrieval.truth import OVERLAP_S
from retrieval.zeroshot import presence_scores

TASK = "localisation"
_MOST = 400  # epochs of a kind, evenly spaced: their signals are read again
Spans = NDArray[np.float64]  # (n, 2) seconds from the epoch's start


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
    steps = np.concatenate([embed_steps(epochs) for epochs in sample.epochs(rows)])
    rng = np.random.default_rng(seed)
    figures: list[Figure] = []
    for task, own, true in alone:
        vectors = steps[np.searchsorted(rows, own)]
        likeness = presence_scores(vectors.reshape(-1, vectors.shape[2]), task, sample.texts)
        length = float(np.median(true[:, 1] - true[:, 0]))
        start = rng.uniform(0.0, EPOCH_S - length, len(own))
        spans = {
            "zero-shot": stretches(likeness.reshape(vectors.shape[:2])),
            "whole epoch": np.tile([0.0, EPOCH_S], (len(own), 1)),
            "chance": np.stack([start, start + length], axis=1),
        }
        subjects = sample.frame["subject"][own].to_list()
        for method, span in spans.items():
            figures += _figures(task.name, method, span, true, subjects, seed)
    return figures


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
    kept = np.unique(np.linspace(0, len(rows) - 1, min(_MOST, len(rows))).astype(np.int64))
    return rows[kept], spans[kept]


def stretches(cosine: NDArray[np.floating]) -> Spans:
    """The likeliest stretch of each epoch, `(n, steps)` to `(n, 2)` seconds; see the module's first lines."""
    n, steps = cosine.shape
    best = cosine.argmax(axis=1)
    bar = (cosine.max(axis=1) + cosine.mean(axis=1)) / 2
    above = cosine >= bar[:, None]
    spans = np.empty((n, 2))
    for row in range(n):
        below = np.flatnonzero(~above[row])
        before, after = below[below < best[row]], below[below > best[row]]
        spans[row] = (before[-1] + 1 if len(before) else 0, after[0] if len(after) else steps)
    return np.asarray(spans * EPOCH_S / steps)


def overlap(found: Spans, true: Spans) -> NDArray[np.float64]:
    """Intersection over union of spans, row by row."""
    shared = np.clip(np.minimum(found[:, 1], true[:, 1]) - np.maximum(found[:, 0], true[:, 0]), 0.0, None)
    both = (found[:, 1] - found[:, 0]) + (true[:, 1] - true[:, 0]) - shared
    return np.asarray(shared / np.maximum(both, 1e-9))
