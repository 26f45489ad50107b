"""What an encoder tells from the signals of epochs that nobody scored: stages over the night, and other things by task.

Stages are those of `night_numbers.stages_of`. What else a task of prompts.toml asks for is there where an epoch passes
`zeroshot.nearest`, the rule of `classify`, among all epochs that nobody scored. Nothing of it is calibrated, and an
epoch that was scored is never told otherwise.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import Concept
from encoders.models import Encoder
from index import Snapshot
from retrieval.by_night import nights
from retrieval.concepts import usable_sql
from retrieval.remembered import remembered
from retrieval.zeroshot import ABSENT, PRESENT, epoch_scores, load_tasks, nearest


@dataclass(frozen=True, slots=True)
class Told:
    """Of every epoch: `there` int8, -1 where it was scored, no sensor is usable or the encoder can't say, and a `grade`
    on a scale of its own that says how clearly, NaN for stages."""

    there: NDArray[np.int8]
    grade: NDArray[np.float64]


def told(snapshot: Snapshot, reader: Encoder, concept: Concept) -> Told | None:
    """What an encoder says of unscored epochs with a usable sensor; None where it can't. Kept for the next question."""
    of = _stage if concept.kind == "stage" else _presence

    def make() -> Told | None:
        found = of(snapshot, reader, concept)
        if found is None:
            return None
        known = Told(np.full(len(snapshot.ids), -1, np.int8), np.full(len(snapshot.ids), np.nan))
        rows = np.searchsorted(snapshot.ids, found["epoch_id"].to_numpy())
        known.there[rows] = found["there"].cast(pl.Int8).fill_null(-1).to_numpy()
        known.grade[rows] = found["grade"].fill_null(np.nan).to_numpy()
        return known

    return remembered(snapshot, (reader.space, concept.id), make)


def _stage(snapshot: Snapshot, reader: Encoder, concept: Concept) -> pl.DataFrame | None:
    from retrieval.night_numbers import STAGES, stages_of

    stages = stages_of(snapshot, reader)
    rows = nights(snapshot).rows_of(np.flatnonzero(stages.told))
    rows = rows[stages.codes[rows] >= 0]
    if not len(rows) or concept.scored is None:
        return None
    values = ", ".join(f"('{value}')" for value in STAGES)
    held = snapshot.sql(f"SELECT stage, ({concept.scored})::BOOLEAN AS there FROM (VALUES {values}) AS stages(stage)")
    found = pl.DataFrame({"epoch_id": snapshot.ids[rows], "stage": stages.names(rows)})
    found = found.join(held, on="stage", how="left", maintain_order="left")
    return found.select("epoch_id", "there", pl.lit(None, pl.Float64).alias("grade"))


def _presence(snapshot: Snapshot, reader: Encoder, concept: Concept) -> pl.DataFrame | None:
    tasks = (t for t in load_tasks().values() if t.concept == concept.id and t.asks_presence)
    task = next((t for t in tasks if any(set(s) <= set(reader.channels) for s in t.sensors)), None)
    if task is None:
        return None
    usable = usable_sql([s for s in task.sensors if set(s) <= set(reader.channels)], snapshot.columns())
    unscored = f"({concept.scored}) IS NULL AND " if concept.scored else ""
    ids = snapshot.sql(f"SELECT epoch_id FROM epochs WHERE {unscored}({usable})")["epoch_id"]
    scores = epoch_scores(snapshot, reader, task, (ABSENT, PRESENT), ids.to_numpy())
    known = np.isfinite(scores).all(axis=1)
    if not known.any():
        return None
    there, _, _ = nearest(scores[known], np.ones(int(known.sum()), bool), presence=True)
    grade = scores[known, 1] - scores[known, 0]
    return pl.DataFrame({"epoch_id": ids.filter(pl.Series(known)), "there": there == 1, "grade": grade})
