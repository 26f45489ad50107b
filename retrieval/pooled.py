"""What all of a night's epochs are together: their mean vector in each stage, and the means of its measures.

Coarse and cheap: it ignores the order of the night, and is the first stage of whatever compares whole nights. Vectors
are those of the signals where the cohort has an encoder that reads them, else those of the captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_measures, load_nights
from encoders.models import Encoder
from index import Snapshot
from retrieval.by_night import nights
from retrieval.night_numbers import NIGHTS_AT_ONCE, STAGES, Staged, stages_of

GROUPS = (*STAGES, "all")
FEWEST = 10  # epochs of a stage, for a mean of it
# What says more of the recording than of the sleep.
_NO_LIKENESS = {"lights_off_s", "lights_on_s", "unscored_min", "tib_min", "oximetry_h"}

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Where the vectors of epochs come from: a space, and whose they are (`signal` or `caption`)."""

    space: str
    collection: str

    def of(self, snapshot: Snapshot, rows: pl.DataFrame) -> Floats:
        """`(rows.height, dim)` for rows with `epoch_id` and `caption_id`; NaN where there is none or it is zero."""
        ids = rows["epoch_id" if self.collection == "signal" else "caption_id"].to_numpy()
        each, place = np.unique(ids, return_inverse=True)
        vectors = snapshot.vectors(self.space, self.collection, each)
        vectors[~np.any(vectors, axis=1)] = np.nan
        return vectors[place]


def vectors_for(encoder: Encoder, reader: Encoder | None) -> Vectors:
    """Those of the signals where an encoder reads them, else those of the captions."""
    return Vectors(reader.space, "signal") if reader else Vectors(encoder.space, "caption")


def epochs_of(snapshot: Snapshot, recordings: Sequence[str]) -> pl.DataFrame:
    """`recording epoch_id start_s caption_id` of these nights, in order of time."""
    known, (captions,) = nights(snapshot), snapshot.arrays(["caption_id"])
    rows = known.rows_of(np.sort(known.numbers(recordings)))
    return pl.DataFrame(
        {"recording": known.names_of(rows), "epoch_id": snapshot.ids[rows], "start_s": known.start_s[rows],
         "caption_id": captions[rows]}
    )  # fmt: skip


def pool(snapshot: Snapshot, vectors: Vectors, stages: Staged, recordings: Sequence[str]) -> Floats:
    """The mean vector of each night in each of GROUPS, float32 `(nights, groups, dim)`.

    NaN for fewer than FEWEST epochs. `stages` as `stages_of` gives them. Nights are read in parts: memory stays small.
    """
    from scipy.sparse import csr_array

    known_nights = nights(snapshot)
    numbers = known_nights.numbers(recordings)
    (captions,) = snapshot.arrays(["caption_id"])
    found = []
    for at in range(0, len(recordings), NIGHTS_AT_ONCE):
        part = numbers[at : at + NIGHTS_AT_ONCE]
        rows = known_nights.rows_of(part)
        own = pl.DataFrame({"epoch_id": snapshot.ids[rows], "caption_id": captions[rows]})
        values = vectors.of(snapshot, own)
        known = np.isfinite(values).all(axis=1)
        night, stage = np.repeat(np.arange(len(part)), known_nights.count[part]), stages.codes[rows]
        means = np.full((len(part), len(GROUPS), values.shape[1]), np.nan, np.float32)
        for g, group in enumerate(GROUPS):
            of = np.flatnonzero(known & ((stage == g) | (group == "all")))
            counts = np.bincount(night[of], minlength=len(part))
            belongs = csr_array((np.ones(len(of), np.float32), (night[of], np.arange(len(of)))), (len(part), len(of)))
            enough = counts >= FEWEST
            means[enough, g] = (belongs @ values[of])[enough] / counts[enough, None]
        found.append(means)
    return np.concatenate(found) if found else np.zeros((0, len(GROUPS), 0), np.float32)


def pooled_cosines(means: Floats, night: int) -> Floats:
    """The cosine of one night's means with every night's, `(nights,)`: the mean over the stages that both have.

    Without such a stage, of all epochs; NaN where either has none. What all nights share is taken away before.
    """
    centred = means - _mean_over_nights(means)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-9)
    each = np.einsum("ngd,gd->ng", unit, unit[night])
    by_stage, whole = each[:, :-1], each[:, -1]
    shared = np.isfinite(by_stage)
    mean = np.where(shared, by_stage, 0).sum(axis=1) / np.maximum(shared.sum(axis=1), 1)
    found: Floats = np.where(shared.any(axis=1), mean, whole)
    return found


def shared_mean(means: Floats) -> Floats:
    """What all nights have in common, `(dim,)`: the mean over nights of the mean of all their epochs."""
    shared: Floats = _mean_over_nights(means)[GROUPS.index("all")]
    return shared


def _mean_over_nights(means: Floats) -> Floats:
    known = np.isfinite(means)
    sums: Floats = np.where(known, means, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return sums


def night_measures(snapshot: Snapshot, recordings: Sequence[str], only: Sequence[str] | None = None) -> pl.DataFrame:
    """`recording`, and a column a number, in the order of `recordings`: the columns of `nights`, and the mean of each
    measure of an epoch over sleep, or over all where nobody staged it. `only` names the measures of epochs wanted."""
    known = snapshot.columns()
    of_nights = [c for c, facts in load_nights().items() if facts["unit"] != "text" and c not in _NO_LIKENESS]
    own = [c for c in of_nights if only is None and c in known]
    numeric = [c for c in load_measures() if known.get(c) in ("DOUBLE", "FLOAT") and c in (only or load_measures())]
    numeric = [c for c in numeric if c not in own]  # the lowest SpO2 is a number of both
    means = pl.DataFrame(
        snapshot.kept(f"means in sleep of {numeric}", lambda: _means(snapshot, numeric)), numeric, nan_to_null=True
    ).with_columns(pl.Series("recording", nights(snapshot).names, dtype=pl.String))
    table = means.select("recording", *numeric).join(
        snapshot.sql(f"SELECT {', '.join(['recording', *own])} FROM nights"), on="recording", maintain_order="left"
    )
    order = pl.DataFrame({"recording": list(recordings)}, schema={"recording": pl.String})
    return order.join(table, on="recording", how="left", maintain_order="left")


def _means(snapshot: Snapshot, names: Sequence[str]) -> Floats:
    """`(recordings, measures)`: each measure's mean over the epochs of a recording that are not scored awake."""
    known = nights(snapshot)
    asleep = stages_of(snapshot, None).codes != STAGES.index("W")
    found = np.full((len(known.names), len(names)), np.nan)
    for n, values in enumerate(snapshot.arrays([f"{name}::FLOAT" for name in names])):
        there = asleep & ~np.isnan(values)
        counts = known.over(np.add, there.astype(np.int64), 0)
        sums = known.over(np.add, np.where(there, values, np.float32(0)).astype(np.float64), 0.0)
        found[:, n] = np.divide(sums, counts, out=found[:, n], where=counts > 0)
    return found


def measure_gaps(table: pl.DataFrame, night: int) -> tuple[Floats, int]:
    """How far each night's measures lie from one night's, `(nights,)`: the mean difference in standard deviations over
    the nights, of the measures that both have, NaN where they share none; and how many measures that night has."""
    values = table.drop("recording").to_numpy().astype(np.float64)
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / counts
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(axis=0) / counts)
    z = values / np.where(spread > 0, spread, 1.0)
    gaps = np.abs(z - z[night])
    shared = np.isfinite(gaps)
    found = np.where(shared, gaps, 0).sum(axis=1) / np.maximum(shared.sum(axis=1), 1)
    return np.where(shared.any(axis=1), found, np.nan), int(known[night].sum())
