"""Nights like a given one: a cheap first stage over all of them, then the nearest are laid over it.

    first stage    z(pooled vectors, cosine by stage)  -  z(difference of the measures), over all searched nights
    second stage   of the FIRST nearest: mean of the first stage and of the alignment's likeness, both standardised over
                   these; `retrieval.alike` says how two nights are laid over each other, and which parts agree

Where the vectors are of signals, a night without any is counted as not assessable. `unlike` turns both stages round.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.models import Encoder
from encoders.recordings.timeline import DAY_S, clock
from index import Snapshot
from retrieval.alike import Alignment, Path, Stretch, align, path_of
from retrieval.hit import Answer
from retrieval.night_numbers import stages_of
from retrieval.nightly import kept, night_hits
from retrieval.pooled import (
    Vectors,
    epochs_of,
    measure_gaps,
    night_measures,
    pool,
    pooled_cosines,
    shared_mean,
    vectors_for,
)
from retrieval.remembered import remembered
from retrieval.search import standardised

FIRST = 50  # nights that the first stage hands on; aligning one takes milliseconds

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class AlikeNights(Answer):
    """Hits that are whole nights; `alignments` says of each, in the same order, which parts agree."""

    alignments: list[Alignment] = field(default_factory=list)

    def frame(self) -> pl.DataFrame:
        """One row a night, as `Answer.frame`, with the `likeness` of the nights laid over each other."""
        return Answer.frame(self).with_columns(
            pl.Series("likeness", [found.likeness for found in self.alignments], pl.Float64)
        )


def similar_nights(
    snapshot: Snapshot, encoder: Encoder, recording: str, *, where: str | None, k: int, reader: Encoder | None = None,
    unlike: bool = False, home: Snapshot | None = None,
) -> AlikeNights:  # fmt: skip
    """The `k` nights most like one night, or least like it; `where` keeps nights of which any epoch matches.

    home: the snapshot that the night is of, where that is another one.
    """
    began = time.perf_counter()
    ms: dict[str, float] = {}
    snapshot = snapshot.pinned()
    vectors = vectors_for(encoder, reader)
    own = home or snapshot
    names = [recording, *(name for name in kept(snapshot, where) if home or name != recording)]
    sides = [(own, names[:1]), (snapshot, names[1:])] if home else [(snapshot, names)]
    known = [whole(side, vectors, reader) for side, _ in sides]
    places = [[of.place[name] for name in some] for of, (_, some) in zip(known, sides, strict=True)]
    means = np.concatenate([of.means[at] for of, at in zip(known, places, strict=True)])
    if not np.isfinite(means[0]).any():
        raise BadInput(
            f"{recording}: no epoch of it has a vector of {vectors.space}, so nothing is like it; "
            "compare by captions instead: --encoder text:minilm."
        )
    table = pl.concat([of.measures[at] for of, at in zip(known, places, strict=True)], how="diagonal_relaxed")
    near, gaps, first = first_stage(means, table, 0)
    ms["first stage"] = round((time.perf_counter() - began) * 1000, 2)
    turn = -1 if unlike else 1
    able = np.flatnonzero(np.isfinite(near))[1:]
    chosen = [0, *able[np.argsort(-turn * first[able], kind="stable")][:FIRST].tolist()]
    began_second = time.perf_counter()
    (course,) = paths(own, vectors, [recording], shared_mean(means))
    ways = paths(snapshot, vectors, [names[i] for i in chosen[1:]], shared_mean(means))
    found = [align(recording, course, names[i], way) for i, way in zip(chosen[1:], ways, strict=True)]
    likeness = np.array([a.likeness for a in found])
    score = (standardised(first[chosen[1:]]) + standardised(likeness)) / 2
    best = np.argsort(-turn * score, kind="stable")[:k]
    ms["alignment"] = round((time.perf_counter() - began_second) * 1000, 2)
    began_s, clocks = _clocks(own)[recording], _clocks(snapshot)
    measures = int(table[0].drop("recording").count().sum_horizontal()[0])
    reasons = [
        [
            f"pooled {vectors.collection} vectors by stage: cosine {near[chosen[b + 1]]:.2f}",
            f"{measures} measures: {gaps[chosen[b + 1]]:.2f} standard deviations apart",
            f"laid over each other: likeness {found[b].likeness:.2f}",
            *_parts(found[b], began_s, clocks[found[b].other]),
        ]
        for b in best
    ]
    hits = night_hits(snapshot, [(found[b].other, float(score[b]), why) for b, why in zip(best, reasons, strict=True)])
    refused = {"sensor": len(names) - 1 - len(able), "not_scored": 0, "quality": 0}
    ms["total"] = round((time.perf_counter() - began) * 1000, 2)
    engine = f"exact scan of nights, then {len(found)} nights laid over each other"
    return AlikeNights(
        recording, [where] if where else [], len(able), refused, hits, engine, ms, alignments=[found[b] for b in best]
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """Every night of a cohort: its place in the arrays, what `pool` and `night_measures` say of it."""

    place: dict[str, int]
    means: Floats
    measures: pl.DataFrame


def whole(snapshot: Snapshot, vectors: Vectors, reader: Encoder | None) -> Whole:
    """All nights, once for a snapshot and kept: it takes every vector of the cohort."""

    def make() -> Whole:
        names = kept(snapshot, None)
        stages = stages_of(snapshot, reader)
        means = snapshot.kept(f"pooled {vectors} {stages.key}", lambda: pool(snapshot, vectors, stages, names))
        return Whole({name: n for n, name in enumerate(names)}, means, night_measures(snapshot, names))

    return remembered(snapshot, ("nights", vectors, reader is not None), make)


def align_nights(
    snapshot: Snapshot, encoder: Encoder, recording: str, other: str, *, reader: Encoder | None = None
) -> Alignment:
    """Two nights laid over each other; what all nights of the cohort share is taken away as `similar_nights` does."""
    snapshot, vectors = snapshot.pinned(), vectors_for(encoder, reader)
    means = whole(snapshot, vectors, None).means
    first, second = paths(snapshot, vectors, [recording, other], shared_mean(means))
    return align(recording, first, other, second)


def course_likeness(
    snapshot: Snapshot, encoder: Encoder, recording: str, others: Sequence[str], *, reader: Encoder | None = None,
    home: Snapshot | None = None,
) -> list[float]:  # fmt: skip
    """The likeness of one night and each of `others`, each less its own mean: the course of the sleep, without what
    the person and the sensors have all along. `home` as in `similar_nights`."""
    vectors = vectors_for(encoder, reader)
    (course,) = paths(home or snapshot, vectors, [recording], None)
    return [align(recording, course, "", way).likeness for way in paths(snapshot, vectors, others, None)]


def first_stage(means: Floats, table: pl.DataFrame, night: int) -> tuple[Floats, Floats, Floats]:
    """Of one night against all: the cosines of pooled vectors, the gaps between measures, and the score of both.

    Arrays `(nights,)`; NaN cosine: no vectors. The night itself takes no part in the standardising.
    """
    near, (gaps, _) = pooled_cosines(means, night), measure_gaps(table, night)
    score = np.full(len(near), -np.inf)
    others = np.isfinite(near) & (np.arange(len(near)) != night)
    z_gaps = np.zeros(len(near))
    known = others & np.isfinite(gaps)
    z_gaps[known] = standardised(gaps[known])
    score[others] = standardised(near[others]) - z_gaps[others]
    return near, gaps, score


def paths(snapshot: Snapshot, vectors: Vectors, recordings: Sequence[str], shared: Floats | None) -> list[Path]:
    """The paths of these nights, less the vector `shared` `(dim,)` that all nights have in common.

    None: each night less its own mean, and so without what the person and the sensors have all along.
    """
    rows = epochs_of(snapshot, recordings)
    off = snapshot.sql("SELECT recording, coalesce(min(lights_off_s), 0) AS off_s FROM nights GROUP BY recording")
    lights = dict(off.iter_rows())
    nights = {str(name): group for (name,), group in rows.group_by(["recording"])}
    found = []
    for name in recordings:
        values = vectors.of(snapshot, nights[name])
        known = np.isfinite(values).all(axis=1)
        away = shared if shared is not None else values[known].mean(axis=0) if known.any() else 0.0
        found.append(path_of(nights[name]["start_s"].to_numpy(), values - away, lights[name]))
    return found


def _clocks(snapshot: Snapshot) -> dict[str, float | None]:
    return dict(snapshot.sql("SELECT recording, start_clock_s FROM recordings").iter_rows())


def _parts(found: Alignment, *starts: float | None) -> list[str]:
    """Which parts agree most and least, by the clock where both nights have one, else from the start."""
    by_clock = None not in starts

    def when(start_s: float, stop_s: float, origin_s: float | None) -> str:
        return "–".join(clock((s + (origin_s or 0.0)) % DAY_S if by_clock else s)[:5] for s in (start_s, stop_s))

    def said(word: str, s: Stretch) -> str:
        there = when(s.other_start_s, s.other_stop_s, starts[1])
        return f"{word} alike {when(s.start_s, s.stop_s, starts[0])} here and {there} there: cosine {s.cosine:.2f}"

    return [said(word, s) for word, s in (("most", found.most), ("least", found.least)) if s is not None]
