"""What an encoder tells from the signals of epochs that nobody scored: stages over the night, and other things by task.

Stages are those of `night_numbers.stages_of`. What else a task of prompts.toml asks for is there where an epoch passes
`zeroshot.nearest`, the rule of `classify`, among all epochs that nobody scored. Nothing of it is calibrated, and an
epoch that was scored is never told otherwise.
"""

import numpy as np
import polars as pl

from encoders.captions import Concept
from encoders.models import Encoder
from index import Snapshot
from retrieval.concepts import usable_sql
from retrieval.remembered import remembered
from retrieval.spaces import public_name
from retrieval.zeroshot import ABSENT, PRESENT, epoch_scores, load_tasks, nearest

_STAGES = "stages of the night"  # beside the ids of concepts


def told(snapshot: Snapshot, reader: Encoder, concept: Concept) -> pl.DataFrame | None:
    """`epoch_id there grade` of unscored epochs with a usable sensor; None where the encoder can't say.

    `grade` says how clearly, on a scale of its own; null for stages. What was found is kept for the next question.
    """
    of = _stage if concept.kind == "stage" else _presence
    return remembered(snapshot, (reader.space, concept.id), lambda: of(snapshot, reader, concept))


def _stage(snapshot: Snapshot, reader: Encoder, concept: Concept) -> pl.DataFrame | None:
    from retrieval.night_numbers import stages_of

    by_reader = pl.col("staged_by") == public_name(reader)
    stages = remembered(snapshot, (reader.space, _STAGES), lambda: stages_of(snapshot, reader).filter(by_reader))
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
