"""What an encoder tells from the signals of epochs that nobody scored: stages over the night, and other things by task.

Stages are those of `night_numbers.stages_of`. What else a task of prompts.toml asks for is there where an epoch passes
`zeroshot.nearest`, the rule of `classify`, among all epochs that nobody scored. Nothing of it is calibrated, and an
epoch that was scored is never told otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.captions import Concept
from encoders.models import Encoder
from index import Snapshot
from retrieval.by_night import nights
from retrieval.concepts import usable_sql
from retrieval.remembered import remembered
from retrieval.zeroshot import ABSENT, PRESENT, PromptTask, epoch_scores, load_tasks, nearest


@dataclass(frozen=True, slots=True)
class Told:
    """Of every epoch: `there` int8, -1 where it was scored, no sensor is usable or the encoder can't say, and a `grade`
    on a scale of its own that says how clearly, NaN for stages."""

    there: NDArray[np.int8]
    grade: NDArray[np.float64]


def told(snapshot: Snapshot, reader: Encoder, concept: Concept) -> Told | None:
    """What an encoder says of unscored epochs with a usable sensor; None where it can't. Kept for the next question."""
    of = _stage if concept.kind == "stage" else _presence
    return remembered(snapshot, (reader.space, concept.id), lambda: of(snapshot, reader, concept))


def _stage(snapshot: Snapshot, reader: Encoder, concept: Concept) -> Told | None:
    from retrieval.night_numbers import STAGES, stages_of

    stages = stages_of(snapshot, reader)
    rows = nights(snapshot).rows_of(np.flatnonzero(stages.told))
    rows = rows[stages.codes[rows] >= 0]
    if not len(rows) or concept.scored is None:
        return None
    values = ", ".join(f"('{value}')" for value in STAGES)
    held = snapshot.sql(f"SELECT stage, ({concept.scored})::BOOLEAN AS there FROM (VALUES {values}) AS stages(stage)")
    by_name = dict(held.iter_rows())
    by_code = np.array([-1 if by_name[stage] is None else by_name[stage] for stage in STAGES], np.int8)
    there = np.full(len(snapshot.ids), -1, np.int8)
    there[rows] = by_code[stages.codes[rows]]
    return Told(there, np.full(len(there), np.nan))


def _presence(snapshot: Snapshot, reader: Encoder, concept: Concept) -> Told | None:
    tasks = (t for t in load_tasks().values() if t.concept == concept.id and t.asks_presence)
    task = next((t for t in tasks if any(set(s) <= set(reader.channels) for s in t.sensors)), None)
    if task is None:
        return None
    usable = usable_sql([s for s in task.sensors if set(s) <= set(reader.channels)], snapshot.columns())
    unscored = f"({concept.scored}) IS NULL AND " if concept.scored else ""
    (asked,) = snapshot.arrays([f"({unscored}({usable}))::BOOLEAN"])
    found = snapshot.kept(f"{reader.space} tells {task!r}", lambda: _differences(snapshot, reader, task, asked == 1))
    known = np.isfinite(found)
    if not known.any():
        return None

    def make() -> NDArray[np.int8]:
        scores = np.stack([np.zeros(int(known.sum())), found[known]], axis=1)
        there = np.full(len(found), -1, np.int8)
        there[known], _, _ = nearest(scores, np.ones(len(scores), bool), presence=True)
        return there

    return Told(snapshot.kept(f"{reader.space} says by {task!r}", make), found)


def _differences(
    snapshot: Snapshot, reader: Encoder, task: PromptTask, asked: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much nearer each asked epoch lies to the texts of `present` than to those of `absent`; NaN for the others."""
    scores = epoch_scores(snapshot, reader, task, (ABSENT, PRESENT), snapshot.ids[asked])
    found = np.full(len(asked), np.nan)
    found[asked] = scores[:, 1] - scores[:, 0]
    return found
