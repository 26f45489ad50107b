"""Numbers of whole nights, one row a night: the columns of `nights`, and those that night_numbers.toml derives.

Stages are the scorer's. A night that nobody staged is staged by what its signals say to the words of each stage,
smoothed over the night, where the cohort has an encoder that reads signals; `staged_by` names it.
"""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from encoders.captions import load_nights
from encoders.models import Encoder
from encoders.vocabulary import SLEEP_STAGES
from index import Snapshot
from retrieval.concepts import usable_sql
from retrieval.smoothing import load_transitions, smooth_nights, usual_temperature
from retrieval.spaces import public_name
from retrieval.zeroshot import label_scores

NIGHTS_AT_ONCE = 64  # whose vectors are held in memory


@cache
def load_numbers() -> dict[str, dict[str, Any]]:
    """The tables of night_numbers.toml, by name."""
    return tomllib.loads((files("retrieval") / "night_numbers.toml").read_text("utf-8"))


def is_number(name: str) -> bool:
    """Whether `night_numbers` can give a number of that name."""
    return name in load_numbers() or load_nights().get(name, {}).get("unit", "text") != "text"


def in_parts(recordings: Sequence[str]) -> list[list[str]]:
    """The recordings in lists short enough for all their vectors to be held at once."""
    return [list(recordings[at : at + NIGHTS_AT_ONCE]) for at in range(0, len(recordings), NIGHTS_AT_ONCE)]


def stages_of(snapshot: Snapshot, reader: Encoder | None) -> pl.DataFrame:
    """`epoch_id recording start_s stage staged_by` of every epoch, in order of time; nulls where nobody can say."""
    epochs = snapshot.sql(
        "SELECT epoch_id, recording, start_s, nullif(stage, 'unscored') AS stage, stage_source AS staged_by "
        "FROM epoch_rows ORDER BY recording, start_s"
    )
    bare = epochs.filter(pl.col("stage").is_null().all().over("recording"))["recording"].unique().sort().to_list()
    if reader is None or not bare:
        return epochs
    found = [_staged(snapshot, reader, epochs.filter(pl.col("recording").is_in(part))) for part in in_parts(bare)]
    return pl.concat([epochs.filter(~pl.col("recording").is_in(bare)), *found]).sort("recording", "start_s")


def _staged(snapshot: Snapshot, reader: Encoder, epochs: pl.DataFrame) -> pl.DataFrame:
    from retrieval.evaluation.staging import stage_task

    task = stage_task(reader)
    vectors = np.nan_to_num(snapshot.vectors(reader.space, "signal", epochs["epoch_id"].to_numpy()))
    scores = label_scores(vectors, task, reader.embed_texts)
    seen = snapshot.sql(f"SELECT epoch_id FROM epochs WHERE {usable_sql(task.sensors, snapshot.columns())}")
    scores[~np.isin(epochs["epoch_id"].to_numpy(), seen["epoch_id"].to_numpy())] = np.nan
    if not np.isfinite(scores).any():
        return epochs
    transitions = load_transitions().merged(task.means()).ordered(list(task.labels))
    temperature = getattr(reader, "temperature", None) or usual_temperature(scores)
    names, starts = epochs["recording"].to_list(), epochs["start_s"].to_numpy()
    chances = smooth_nights(scores, names, starts, transitions, temperature=temperature)
    known = np.isfinite(chances).all(axis=1)
    labels = [label if label in ("W", *SLEEP_STAGES) else "NREM" for label in task.labels]  # a label of N1 and N2
    best = np.where(known, np.argmax(np.where(np.isnan(chances), -1.0, chances), axis=1), -1)
    stage = [labels[i] if i >= 0 else None for i in best]
    return epochs.with_columns(
        pl.Series("stage", stage, dtype=pl.String),
        pl.Series("staged_by", [public_name(reader) if s else None for s in stage], dtype=pl.String),
    )


def night_numbers(snapshot: Snapshot, stages: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """`recording`, `staged_by` (null without stages), and for each of `names` its number, null where there is none;
    `<name>_from`, the column it was taken from; `<name>_known`, whether the night can answer. `stages`: `stages_of`."""
    derived = {name: load_numbers()[name]["sql"] for name in names if "sql" in load_numbers().get(name, ())}
    columns = []
    for name in names:
        of_nights = load_numbers().get(name, {"first": [name]}).get("first", ())
        places = {column: f"n.{column}" for column in of_nights} | ({name: f"a.{name}"} if name in derived else {})
        cases = " ".join(f"WHEN {place} IS NOT NULL THEN '{column}'" for column, place in places.items())
        columns += [f"coalesce({', '.join(places.values())})::DOUBLE AS {name}", f"CASE {cases} END AS {name}_from"]
    for name in names:
        rests_on = load_numbers().get(name, {}).get("rests_on")
        columns.append(f"({f'a.{name}_known' if rests_on else f'{name} IS NOT NULL'}) AS {name}_known")
        if rests_on:
            derived[f"{name}_known"] = f"count({rests_on}) > 0"
    # Only what is named: the view has 240 columns, and a window over all of them takes seconds.
    needed = sorted(set(re.findall(r"\w+", " ".join(derived.values()))) & snapshot.columns().keys())
    own = ["epoch_id", "recording", "start_s", *(c for c in needed if c not in ("epoch_id", "recording", "start_s"))]
    sums = ["any_value(by_whom) AS staged_by", *(f"{sql} AS {name}" for name, sql in derived.items())]
    asleep = f"s.stage IN ({', '.join(repr(stage) for stage in SLEEP_STAGES)})"
    return snapshot.sql(
        f"""WITH told AS (
            SELECT {", ".join(f"e.{c}" for c in own)}, s.stage AS sleep_stage,
                   {asleep} AS asleep, s.staged_by AS by_whom, lead(s.stage) OVER night AS next_stage,
                   coalesce(max(CASE WHEN {asleep} THEN 1 ELSE 0 END) OVER night, 0) = 1 AS begun
            FROM {snapshot.narrowest(own)} e JOIN stages s USING (epoch_id)
            WINDOW night AS (PARTITION BY e.recording ORDER BY e.start_s)),
        a AS (SELECT recording, {", ".join(sums)} FROM told GROUP BY recording)
        SELECT {", ".join(["recording", "a.staged_by", *columns])}
        FROM a JOIN nights n USING (recording) ORDER BY recording""",
        stages=stages.select("epoch_id", "stage", "staged_by"),
    )
