"""What an encoder tells from the signals of epochs that nobody scored: stages over the night, and other things by task.

Stages are those of `night_numbers.stages_of`. What else a task of prompts.toml asks for is there where an epoch passes
`zeroshot.nearest`, the rule of `classify`, among all epochs that nobody scored. Nothing of it is calibrated, and an
epoch that was scored is never told otherwise.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from encoders.captions import Concept
from encoders.models import Encoder
from index import Snapshot
from retrieval.zeroshot import ABSENT, PRESENT, epoch_scores, load_tasks, nearest, usable_sql


def told(snapshot: Snapshot, reader: Encoder, concept: Concept) -> pl.DataFrame | None:
    """`epoch_id there grade` of unscored epochs with a usable sensor; None where the encoder can't say.

    `grade` says how clearly, on a scale of its own; null for stages.
    """
    return _told(_Asked(snapshot, reader, concept))


class _Asked:
    """One question to one snapshot, by which an answer is remembered."""

    def __init__(self, snapshot: Snapshot, reader: Encoder, concept: Concept) -> None:
        self.snapshot, self.reader, self.concept = snapshot, reader, concept
        self._key = (str(snapshot.root), snapshot.number, reader.space, concept.id)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Asked) and self._key == other._key


@lru_cache(maxsize=32)
def _told(asked: _Asked) -> pl.DataFrame | None:
    if asked.concept.kind == "stage":
        return _stage(asked.snapshot, asked.reader, asked.concept)
    return _presence(asked.snapshot, asked.reader, asked.concept)


def _stage(snapshot: Snapshot, reader: Encoder, concept: Concept) -> pl.DataFrame | None:
    from retrieval.night_numbers import stages_of

    scored = {"human"} | set(snapshot.sql("SELECT DISTINCT stage_source FROM epoch_rows")["stage_source"].drop_nulls())
    stages = stages_of(snapshot, reader).filter(pl.col("stage").is_not_null() & ~pl.col("staged_by").is_in(scored))
    if not stages.height or concept.scored is None:
        return None
    values = sorted(set(stages["stage"]))
    rows = ", ".join(f"('{value}')" for value in values)
    held = snapshot.sql(f"SELECT stage, ({concept.scored})::BOOLEAN AS there FROM (VALUES {rows}) AS stages(stage)")
    found = stages.select("epoch_id", "stage").join(held, on="stage", how="left")
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
