"""Epochs like a given one, by their captions and by what was measured.

Captions say in words what kind of epoch it is; many share one wording, so the measures, standardised over the searched
rows and compared only where both epochs have them, decide among these.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_measures
from index import Snapshot, in_parts
from retrieval.by_night import Array, nights, placed
from retrieval.details import hits_of
from retrieval.hit import Answer
from retrieval.search import BEST, best_of, merge_runs, standardised

_AT_ONCE = 4096  # rows whose measures stay in the processor's cache
_FEW = 1000
_NOTHING_REFUSED = {"sensor": 0, "not_scored": 0, "quality": 0}


def measured_columns(snapshot: Snapshot) -> list[str]:
    """The measures that are numbers, of those that this cohort has."""
    return [c for c, kind in snapshot.columns().items() if c in load_measures() and kind in ("DOUBLE", "FLOAT")]


def _distances(
    columns: Sequence[Array], target: Sequence[float], spreads: Sequence[float], rows: Array
) -> NDArray[np.float64]:
    """How far each of the ascending rows lies from the target's measures: the mean difference, in these standard
    deviations, of those that both have; 3 where they share none."""
    total, shared = np.zeros((2, len(rows)), np.float32)
    own, weights = np.array(target, np.float32), (1 / np.array(spreads)).astype(np.float32)

    def each(part: tuple[int, int]) -> None:
        gaps, unknown = np.empty((len(columns), _AT_ONCE), np.float32), np.empty((len(columns), _AT_ONCE), bool)
        for start in range(*part, _AT_ONCE):
            stop = min(start + _AT_ONCE, part[1])
            here, n = rows[start:stop], stop - start
            at = slice(here[0], here[-1] + 1) if here[-1] - here[0] == n - 1 else here  # no copy of a stretch
            for values, value, into in zip(columns, own, gaps, strict=True):
                np.subtract(values[at], value, out=into[:n])
            away, lacks = gaps[:, :n], unknown[:, :n]
            np.isnan(away, out=lacks)
            np.abs(away, out=away)
            np.fmax(away, 0, out=away)  # what is unknown counts nothing
            total[start:stop] = weights @ away
            shared[start:stop] = len(columns) - np.add.reduce(lacks, axis=0, dtype=np.uint8)

    if columns:
        in_parts(each, len(rows))
    return np.where(shared > 0, total / np.maximum(shared, 1), 3.0)


def _sums(values: Array) -> tuple[float, float, float]:
    """How many of them are known, their mean, and the sum of the squares of what each differs from it."""
    known = values[~np.isnan(values)].astype(np.float64)
    mean = float(known.mean()) if len(known) else 0.0
    return len(known), mean, float(((known - mean) ** 2).sum())


def _sums_of_all(snapshot: Snapshot, columns: dict[str, Array]) -> Array:
    return snapshot.kept(f"sums of {[*columns]}", lambda: np.array([_sums(column) for column in columns.values()]))


def _columns(snapshot: Snapshot, names: Sequence[str]) -> dict[str, Array]:
    return dict(zip(names, snapshot.arrays([f"{name}::FLOAT" for name in names]), strict=True))


def prepare(snapshot: Snapshot) -> None:
    """Read what likeness to an epoch needs, so that it is kept."""
    for name in (names := measured_columns(snapshot)):
        _columns(snapshot, [name])
    _sums_of_all(snapshot, _columns(snapshot, names))


def _spreads(snapshot: Snapshot, columns: dict[str, Array], rows: Array, target: dict[str, float]) -> dict[str, float]:
    """The standard deviation of each measure over the rows and the target's values."""
    out = np.zeros(0, np.int64)
    if len(snapshot.ids) - len(rows) <= _FEW:  # of all epochs, which is kept, less the few that are not among the rows
        every = _sums_of_all(snapshot, columns)
        out = np.setdiff1d(np.arange(len(snapshot.ids)), rows, assume_unique=True)
    else:
        every = np.array([_sums(column[rows]) for column in columns.values()])
    spreads = {}
    for (name, column), (count, mean, squares) in zip(columns.items(), every, strict=True):
        if name in target:
            one, gone = target[name] - mean, column[out].astype(np.float64) - mean
            gone = gone[~np.isnan(gone)]
            n, away, square = count - len(gone) + 1, one - gone.sum(), squares + one**2 - (gone**2).sum()
            spreads[name] = max(square / n - (away / n) ** 2, 0.0) ** 0.5 or 1.0
    return spreads


def similar_epochs(
    snapshot: Snapshot, space: str, epoch_id: int, place: str, *, where: str | None, k: int,
    home: Snapshot | None = None, signals: str | None = None,
) -> Answer:  # fmt: skip
    """Stretches whose caption and measures are nearest to those of one epoch, that epoch and its run left out.

    home: the snapshot that the epoch is of, where that is another one; then nothing is left out. signals: the space of
    signal vectors whose cosine is told of each hit; it takes no part in the order.
    """
    began = time.perf_counter()
    snapshot = snapshot.pinned()
    own = home or snapshot
    measures = [name for name in measured_columns(snapshot) if name in own.columns()]
    columns = ("epoch_id", "recording", "epoch", "start_s", "caption_id", *measures)
    target = own.sql(f"SELECT {', '.join(columns)} FROM {own.narrowest(columns, [epoch_id])}")
    rows = np.arange(len(snapshot.ids))
    if where:
        rows = np.searchsorted(snapshot.ids, snapshot.rows(where))
    if home is None:
        known = nights(snapshot)
        own_row = int(np.searchsorted(snapshot.ids, epoch_id))
        near = np.abs(known.epoch[rows] - known.epoch[own_row]) <= 1
        rows = rows[~(near & (known.of[rows] == known.of[own_row]))]
    if not len(rows):
        return Answer(
            place, [where] if where else [], 0, dict(_NOTHING_REFUSED), [], "none", {}, ["no other epoch to compare"]
        )
    shared = {name: float(target[name][0]) for name in measures if target[name][0] is not None}
    held = _columns(snapshot, measures)
    spreads = _spreads(snapshot, held, rows, shared)
    compared = [held[name] for name in shared]
    distance = _distances(compared, [*shared.values()], [spreads[name] for name in shared], rows)
    captions, caption = snapshot.captions()
    there = np.zeros(len(captions) + 1, bool)  # the last is of epochs without a caption, whose place is -1
    there[caption[rows]] = True
    asked = own.vectors(space, "caption", target["caption_id"].to_numpy())
    dense = np.full(len(there), np.nan, np.float32)
    dense[:-1][there[:-1]] = snapshot.products(space, "caption", asked, captions[there[:-1]])[:, 0]
    cosine = dense[caption[rows]]
    score = standardised(cosine) - standardised(distance)
    searched = len(rows)
    for most in (BEST, None):
        best = best_of(score, rows, most)
        ranked = placed(snapshot, rows[best]).with_columns(
            pl.Series("score", score[best].astype(np.float64)), pl.Series("dense", cosine[best])
        )
        runs = merge_runs(ranked, k)
        if len(runs) == k or len(best) == searched:
            break
    first = ranked[[run[0] for run in runs]]
    whys = [[f"nearest by caption (cosine {near:.2f}) and {len(shared)} measures"] for near in first["dense"]]
    if signals:
        (signal,) = own.vectors(signals, "signal", np.array([epoch_id]))
        cosines = snapshot.vectors(signals, "signal", first["epoch_id"].to_numpy()) @ signal
        for why, near in zip(whys, cosines, strict=True):
            why += [f"signals: cosine {near:.2f}"] if np.isfinite(near) else []
    hits = [replace(h, why=why) for h, why in zip(hits_of(snapshot, ranked, runs, None), whys, strict=True)]
    ms = {"total": round((time.perf_counter() - began) * 1000, 2)}
    return Answer(place, [where] if where else [], searched, dict(_NOTHING_REFUSED), hits, "exact scan of captions", ms)
