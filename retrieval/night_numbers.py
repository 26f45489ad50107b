"""Numbers of whole nights, one row a night: the columns of `nights`, and those that night_numbers.toml derives.

Stages are the scorer's. A night that nobody staged is staged by what its signals say to the words of each stage,
smoothed over the night, where the cohort has an encoder that reads signals.
"""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_nights
from encoders.models import Encoder
from encoders.vocabulary import SLEEP_STAGES
from index import Snapshot
from retrieval.by_night import Nights, nights
from retrieval.concepts import usable_sql
from retrieval.remembered import remembered
from retrieval.smoothing import load_transitions, smooth_nights, usual_temperature
from retrieval.spaces import public_name
from retrieval.zeroshot import label_scores

STAGES = ("W", *SLEEP_STAGES)
NIGHTS_AT_ONCE = 64  # whose vectors are held in memory


@cache
def load_numbers() -> dict[str, dict[str, Any]]:
    """The tables of night_numbers.toml, by name."""
    return tomllib.loads((files("retrieval") / "night_numbers.toml").read_text("utf-8"))


def is_number(name: str) -> bool:
    """Whether `night_numbers` can give a number of that name."""
    return name in load_numbers() or load_nights().get(name, {}).get("unit", "text") != "text"


@dataclass(frozen=True, slots=True)
class Staged:
    """The stage of every epoch, by row.

    codes: a place in STAGES, -1 where nobody can say. told: `(recordings,)`, which nights an encoder staged, since
    nobody scored them. by: its name. key: differs where the stages do.
    """

    codes: NDArray[np.int8]
    told: NDArray[np.bool_]
    by: str | None
    key: str

    @property
    def asleep(self) -> NDArray[np.int8]:
        """1 asleep, 0 awake, -1 unknown."""
        return np.minimum(self.codes, 1)

    def names(self, rows: NDArray[Any]) -> pl.Series:
        """The stages of these rows; null where nobody can say."""
        found: pl.Series = pl.Series([*STAGES, None], dtype=pl.String)[self.codes[rows]]
        return found


def stages_of(snapshot: Snapshot, reader: Encoder | None) -> Staged:
    """The stages of all epochs; kept for the next question."""
    return remembered(snapshot, ("stages", reader.space if reader else ""), lambda: _stages(snapshot, reader))


def _stages(snapshot: Snapshot, reader: Encoder | None) -> Staged:
    cases = " ".join(f"WHEN '{stage}' THEN {code}" for code, stage in enumerate(STAGES))
    from retrieval.evaluation.staging import stage_task

    (codes,) = snapshot.arrays([f"(CASE stage {cases} END)::TINYINT"])
    known = nights(snapshot)
    told = (known.over(np.maximum, codes, -1) < 0) & (known.count > 0)
    if reader is None or not told.any():
        return Staged(codes, np.zeros_like(told), None, "scored")
    bare = np.flatnonzero(told)

    def make() -> NDArray[np.int8]:
        found = codes.copy()
        for at in range(0, len(bare), NIGHTS_AT_ONCE):
            rows = known.rows_of(bare[at : at + NIGHTS_AT_ONCE])
            found[rows] = _staged(snapshot, reader, rows, known)
        return found

    codes = snapshot.kept(f"stages by {reader.space}, {stage_task(reader)!r}", make)
    told &= known.over(np.maximum, codes, -1) >= 0
    return Staged(codes, told, public_name(reader), hashlib.sha256(codes.tobytes()).hexdigest())


def _staged(snapshot: Snapshot, reader: Encoder, rows: NDArray[Any], known: Nights) -> NDArray[np.int8]:
    """The stages of these rows, of whole nights, by what their signals say to the words of each stage."""
    from retrieval.evaluation.staging import stage_task

    task = stage_task(reader)
    vectors = np.nan_to_num(snapshot.vectors(reader.space, "signal", snapshot.ids[rows]))
    scores = label_scores(vectors, task, reader.embed_texts)
    (seen,) = snapshot.arrays([usable_sql(task.sensors, snapshot.columns())])
    scores[seen[rows] != 1] = np.nan
    if not np.isfinite(scores).any():
        return np.full(len(rows), -1, np.int8)
    transitions = load_transitions().merged(task.means()).ordered(list(task.labels))
    temperature = getattr(reader, "temperature", None) or usual_temperature(scores)
    names = [known.names[n] for n in known.of[rows]]
    chances = smooth_nights(scores, names, known.start_s[rows], transitions, temperature=temperature)
    of_label = [STAGES.index(label if label in STAGES else "NREM") for label in task.labels]  # a label of N1 and N2
    best = np.array(of_label, np.int8)[np.argmax(np.where(np.isnan(chances), -1.0, chances), axis=1)]
    return np.where(np.isfinite(chances).all(axis=1), best, np.int8(-1))


def night_numbers(snapshot: Snapshot, stages: Staged, names: Sequence[str]) -> pl.DataFrame:
    """`recording`, and for each of `names` its number, null where there is none; `<name>_from`, the column it was taken
    from; `<name>_known`, whether the night can answer. `stages`: `stages_of`."""
    derived, columns = _derived(snapshot, stages, names), []
    for name in names:
        of_nights = load_numbers().get(name, {"first": [name]}).get("first", ())
        places = {column: f"n.{column}" for column in of_nights} | (
            {name: f"a.{name}"} if name in derived.columns else {}
        )
        cases = " ".join(f"WHEN {place} IS NOT NULL THEN '{column}'" for column, place in places.items())
        columns += [f"coalesce({', '.join(places.values())})::DOUBLE AS {name}", f"CASE {cases} END AS {name}_from"]
        rests_on = load_numbers().get(name, {}).get("rests_on")
        columns.append(f"({f'a.{name}_known' if rests_on else f'{name} IS NOT NULL'}) AS {name}_known")
    return snapshot.sql(
        f"SELECT {', '.join(['recording', *columns])} FROM derived a JOIN nights n USING (recording) "
        "ORDER BY recording",
        derived=derived,
    )


def _derived(snapshot: Snapshot, stages: Staged, names: Sequence[str]) -> pl.DataFrame:
    """`recording` of those with epochs, and what the sql of each number makes of these, `<name>_known` by what it
    rests on."""
    wanted: dict[str, str] = {}
    for name in names:
        facts = load_numbers().get(name, {})
        wanted |= {name: f"({facts['sql']})::DOUBLE"} if "sql" in facts else {}
        wanted |= {f"{name}_known": f"(count({facts['rests_on']}) > 0)::DOUBLE"} if "rests_on" in facts else {}
    known = nights(snapshot)
    made: dict[str, NDArray[Any]] = {}

    def number(name: str) -> NDArray[Any]:
        if not made:  # the first that is not there yet: all of them, in one pass
            made.update(_aggregates(snapshot, stages, wanted))
        return made[name]

    found = {name: snapshot.kept(f"{stages.key} {sql}", partial(number, name)) for name, sql in wanted.items()}
    frame = pl.DataFrame({"recording": known.names, **found}, nan_to_null=True, strict=False)
    frame = frame.with_columns((pl.col(f"{n}_known") > 0) for n in names if f"{n}_known" in wanted)
    return frame.filter(pl.Series(known.count > 0, dtype=pl.Boolean))


def _aggregates(snapshot: Snapshot, stages: Staged, wanted: dict[str, str]) -> dict[str, NDArray[Any]]:
    """What each aggregate over a night's epochs is, by recording, NaN: null or no epochs."""
    known = nights(snapshot)
    needed = sorted(set(re.findall(r"\w+", " ".join(wanted.values()))) & snapshot.columns().keys())
    held = snapshot.arrays([f"{column}::DOUBLE" for column in needed])
    row, asleep = np.arange(len(known.of)), stages.asleep
    begin = known.over(np.minimum, np.where(asleep == 1, row, len(row)), len(row))
    following = np.append(stages.codes[1:], np.int8(-1))
    following[known.first[known.count > 0] + known.count[known.count > 0] - 1] = -1
    by_code = pl.Series([*STAGES, None], dtype=pl.Enum(STAGES))
    frame = pl.DataFrame(
        {column: pl.Series(values, nan_to_null=True) for column, values in zip(needed, held, strict=True)}
        | {"number": known.of, "sleep_stage": by_code[stages.codes], "next_stage": by_code[following],
           "asleep": pl.Series(asleep == 1).set(pl.Series(asleep < 0), None), "begun": row >= begin[known.of]}
    )  # fmt: skip
    listed = ", ".join(f"{sql} AS {name}" for name, sql in wanted.items())
    table = snapshot.sql(f"SELECT number, {listed} FROM epochs_told GROUP BY number", epochs_told=frame)
    found = {}
    for name in wanted:
        found[name] = np.full(len(known.names), np.nan)
        found[name][table["number"].to_numpy()] = table[name].fill_null(np.nan).to_numpy()
    return found
