"""A night as numbers: an epoch's numbers pooled over parts of the night, and the columns of the night's own row.

A night is the mean and the standard deviation of its epochs in each part of it. Parts are the scored stages; where some
night has none, or stages are what is asked about, its four quarters. The same is done to an encoder's vectors and to
the catalog's measures, so that the two are told from the same parts.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_measures, load_nights
from retrieval.neighbours import Space

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

STAGES = ("W", "N1", "N2", "N3", "REM")
QUARTERS = 4
_COPY = 0.98  # rank correlation from which a column is the outcome again
_COPY_NIGHTS = 10  # fewer nights than this may agree by chance
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Nights:
    """Numbers by night, rows as in `table`: `vectors` and `measures` pooled over `parts`; NaN where a part is absent.

    known: nights with a vector at all. names: the columns of `measures`.
    """

    table: pl.DataFrame
    parts: tuple[str, ...]
    vectors: Values
    known: NDArray[np.bool_]
    measures: Values
    names: tuple[str, ...]

    def of(self, nights: NDArray[np.bool_]) -> "Nights":
        """Some of the nights."""
        return replace(self, table=self.table.filter(nights), vectors=self.vectors[nights], known=self.known[nights],
                       measures=self.measures[nights])  # fmt: skip


@cache
def load_columns() -> dict[str, dict[str, list[str]]]:
    """probe.toml."""
    return tomllib.loads((files("retrieval") / "probe.toml").read_text("utf-8"))


def family_of(column: str) -> tuple[str, ...]:
    """The patterns of the family that a column belongs to; of none, itself."""
    found = (names for names in load_columns()["families"].values() if any(fnmatch(column, name) for name in names))
    return tuple(next(found, [column]))


def pooled(values: Values, parts: NDArray[np.int64], count: int) -> Values:
    """Mean and standard deviation of the rows `(n, d)` of each part, `(count * 2 * d,)`; NaN where nothing is known.

    parts: the part of each row, from 0; -1 is left out.
    """
    out = np.full((count, 2, values.shape[1]), np.nan)
    for part in range(count):
        rows = values[parts == part]
        known = np.isfinite(rows)
        n = known.sum(axis=0)
        mean = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(n, 1)
        spread = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / np.maximum(n, 1))
        out[part] = np.where(n > 0, [mean, spread], np.nan)
    return out.reshape(-1)


def read_nights(cohort: "Cohort", table: pl.DataFrame, space: Space, *, by_stage: bool) -> Nights:
    """The nights of `table` (rows of `Cohort.nights`), read one at a time; by quarters where `by_stage` is not wanted
    or some night has no scored stage."""
    snapshot = cohort.snapshot
    numbers = [n for n, m in load_measures().items() if m.digits is not None and n in snapshot.columns()]
    staged = snapshot.sql("SELECT DISTINCT recording, night_row FROM epoch_rows WHERE stage IN ?", [list(STAGES)])
    by_stage = by_stage and table.join(staged, on=["recording", "night_row"], how="anti").is_empty()
    parts = STAGES if by_stage else tuple(f"quarter {i + 1}" for i in range(QUARTERS))
    vectors, measures, known = [], [], []
    for recording, row in table.select("recording", "night_row").iter_rows():
        epochs = snapshot.sql(
            f"SELECT {space.key}, stage, {', '.join(numbers)} FROM epoch_rows WHERE recording = ? AND night_row = ? "
            "ORDER BY start_s",
            [recording, row],
        )
        where = np.arange(epochs.height) * QUARTERS // max(epochs.height, 1)
        if by_stage:
            number = {stage: i for i, stage in enumerate(STAGES)}
            where = epochs["stage"].replace_strict(number, default=-1, return_dtype=pl.Int64).to_numpy()
        ids, place = np.unique(epochs[space.key].to_numpy(), return_inverse=True)
        found = snapshot.vectors(space.name, space.collection, ids)[place].astype(np.float64)
        found[~found.any(axis=1)] = np.nan  # a zero vector: no sensor that the encoder reads
        known.append(bool(np.isfinite(found[where >= 0]).any()))
        vectors.append(pooled(found, where, len(parts)))
        measures.append(pooled(epochs.select(numbers).cast(pl.Float64).to_numpy(), where, len(parts)))
    names = tuple(f"{name} {what} {part}" for part in parts for what in ("mean", "sd") for name in numbers)
    return Nights(table, parts, np.array(vectors), np.array(known), np.array(measures), names)


def hand_features(nights: Nights, target: str, outcome: NDArray[Any]) -> tuple[dict[str, Values], list[str]]:
    """Columns by name: the night's own numbers and the pooled measures, less those that are the outcome again.

    Those are named: the outcome's family, and a column of the night's row whose ranks are those of the outcome (of
    classes: that tells them apart without an error), in ten nights or more.
    """
    never = load_columns()["no_feature"]["columns"]
    numeric = [c for c in load_nights() if c in nights.table.columns and nights.table[c].dtype.is_numeric()]
    own = {c: nights.table[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in numeric if c not in never}
    columns = own | {name: nights.measures[:, i] for i, name in enumerate(nights.names)}
    family = family_of(target)
    leaks = [c for c in columns if any(fnmatch(c.partition(" ")[0], pattern) for pattern in family)]
    leaks += [c for c in own if c not in leaks and _copies(own[c], outcome)]
    kept = {c: v for c, v in columns.items() if c not in leaks and np.isfinite(v).any()}
    return kept, list(dict.fromkeys(c.partition(" ")[0] for c in leaks if c != target))


def _copies(column: Values, outcome: NDArray[Any]) -> bool:
    from scipy.stats import spearmanr

    known = np.isfinite(column)
    column, outcome = column[known], outcome[known]
    if len(column) < _COPY_NIGHTS or len(np.unique(column)) < 2 or len(np.unique(outcome)) < 2:
        return False
    if outcome.dtype.kind == "f":
        return abs(float(spearmanr(column, outcome).statistic)) >= _COPY
    spans = sorted((column[outcome == c].min(), column[outcome == c].max()) for c in np.unique(outcome))
    return all(before[1] < after[0] for before, after in pairwise(spans))


def demography(table: pl.DataFrame, target: str) -> dict[str, Values]:
    """What is known of the people without a recording, less the outcome; NaN where it is not known."""
    found = {}
    for name in load_columns()["demography"]["columns"]:
        if name in table.columns and name != target and table[name].null_count() < table.height:
            known = table[name] if name != "sex" else table[name].replace_strict({"F": 0.0, "M": 1.0}, default=None)
            found[name] = known.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return found


def sites(table: pl.DataFrame) -> dict[str, Values]:
    """One column a site, where there are several."""
    columns: Mapping[str, pl.Series] = {c: table[c] for c in ("site", "cohort") if c in table.columns}
    named = next(
        (s for s in columns.values() if s.null_count() < len(s)), pl.Series([None] * table.height, dtype=pl.String)
    )
    names = sorted(set(named.drop_nulls()))
    return (
        {name: (named == name).fill_null(False).cast(pl.Float64).to_numpy() for name in names} if len(names) > 1 else {}
    )
