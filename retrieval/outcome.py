"""The outcome that a probe is asked for: a column of the nights, told as a number or as classes, of enough people."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from retrieval.handmade import load_columns

FEWEST_SUBJECTS = 10
FEWEST_OF_A_CLASS = 5
_BINS = 3  # thirds of a number, so that each fold has low and high ones
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One value a night: numbers, or class numbers into `classes`."""

    values: NDArray[Any]
    classes: tuple[str, ...]
    why: str

    @property
    def strata(self) -> Rows:
        """What is spread evenly over the folds."""
        if self.classes:
            return np.asarray(self.values, np.int64)
        edges = np.quantile(self.values, np.linspace(0, 1, _BINS + 1)[1:-1])
        return np.searchsorted(edges, self.values, side="right").astype(np.int64)


def read_cuts(text: str) -> tuple[float, ...]:
    """`5,15,30` as numbers; `BadInput` where they do not rise."""
    try:
        cuts = tuple(float(part) for part in text.split(","))
    except ValueError:
        cuts = ()
    if not cuts or not np.isfinite(cuts).all() or any(a >= b for a, b in pairwise(cuts)):
        raise BadInput(f"--cuts {text!r}: give rising numbers, separated by commas, such as 5,15,30.")
    return cuts


def column_of(table: pl.DataFrame, target: str) -> str:
    """The column of that name, or the one that begins so."""
    never = load_columns()["no_outcome"]["columns"]
    possible = [c for c, kind in table.schema.items() if c not in never and not kind.is_nested()]
    if target in possible:
        return target
    begins = [c for c in possible if c.startswith(f"{target}_")]
    if len(begins) == 1:
        return begins[0]
    if begins:
        raise BadInput(f"target {target!r} may mean {', '.join(begins)}; name one of them.")
    near = ", ".join(get_close_matches(target, possible, n=3, cutoff=0.4)) or ", ".join(possible[:5])
    raise BadInput(f"target {target!r} is no outcome of a night here; near: {near}. `sleepsearch nights` has them all.")


def outcome_of(column: pl.Series, name: str, cuts: Sequence[float]) -> Outcome:
    """Numbers are told as numbers unless they are cut or are only two; everything else as classes."""
    numeric, different = column.dtype.is_numeric(), column.n_unique()
    if cuts and not numeric:
        raise BadInput(f"{name} holds words, so that --cuts can't cut it; leave them out.")
    if cuts:
        edges = [f"{cut:g}" for cut in cuts]
        classes = [f"under {edges[0]}", *(f"{a} to {b}" for a, b in pairwise(edges)),
                   f"{edges[-1]} and over"]  # fmt: skip
        codes = np.searchsorted(np.asarray(cuts), column.to_numpy(), side="right")
        there = np.unique(codes)
        why = f"classification: a number, cut at {', '.join(edges)} (a class holds its lower edge)"
        return Outcome(np.searchsorted(there, codes), tuple(classes[i] for i in there), why)
    if numeric and different > 2:
        return Outcome(column.cast(pl.Float64).to_numpy(), (), f"regression: a number with {different} values")
    names = sorted(column.cast(pl.String).unique())
    why = f"classification: {'two numbers' if numeric else 'words'}, {len(names)} of them"
    number = {name: i for i, name in enumerate(names)}
    said = column.cast(pl.String).replace_strict(number, return_dtype=pl.Int64)
    return Outcome(said.to_numpy(), tuple(names), why)


def check_enough(outcome: Outcome, table: pl.DataFrame, column: str, without: int) -> None:
    people = table["subject"].n_unique()
    have = f"there are {people} subjects with {table.height} nights ({words_of(outcome, table)})"
    have += f", and {without} nights without it" if without else ""
    if people < FEWEST_SUBJECTS:
        raise BadInput(f"{column}: a probe needs {FEWEST_SUBJECTS} subjects or more who have it; {have}.")
    if not outcome.classes:
        return
    if len(outcome.classes) < 2:
        raise BadInput(f"{column}: there is nothing to tell apart; {have}.")
    fewest = min(_people(outcome, table, code) for code in range(len(outcome.classes)))
    if fewest < FEWEST_OF_A_CLASS:
        raise BadInput(
            f"{column}: a probe needs {FEWEST_OF_A_CLASS} subjects or more of every class; {have}. "
            "Choose other --cuts, or leave a class out with --where."
        )


def _people(outcome: Outcome, table: pl.DataFrame, code: int) -> int:
    return int(table["subject"].filter(pl.Series(outcome.values == code)).n_unique())


def words_of(outcome: Outcome, table: pl.DataFrame) -> str:
    if not table.height:
        return "no value"
    if outcome.classes:
        return ", ".join(f"{name}: {_people(outcome, table, i)} subjects" for i, name in enumerate(outcome.classes))
    low, middle, high = np.quantile(outcome.values, [0, 0.5, 1])
    return f"{low:.3g} to {high:.3g}, median {middle:.3g}"
