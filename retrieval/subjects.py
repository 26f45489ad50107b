"""Who slept: the subjects' CSV, one row a recording, checked before anything is read.

Columns: `recording` (the id, or the EDF's file name), `subject`, then any of `age`, `sex`, `site` and whatever else the
study has. Empty, NA and NaN mean unknown. Sex is written F or M; 1/2 codes differ between studies and are refused.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from encoders.errors import BadInput

_UNKNOWN = ["", "NA", "N/A", "NaN", "nan", "null", "None", "."]
_SEX = {"f": "F", "female": "F", "woman": "F", "w": "F", "m": "M", "male": "M", "man": "M"}
_NUMBERS = {"age": (0.0, 120.0), "bmi": (5.0, 120.0)}
_RESERVED = {"epoch", "epoch_id", "start_s", "stop_s", "stage", "caption_id"}


@dataclass(frozen=True, slots=True)
class Subjects:
    """Rows by recording, and what had to be set aside, in words."""

    rows: dict[str, dict[str, object]]
    notes: tuple[str, ...] = ()

    def of(self, recording: str, paths: tuple[Path, ...] = ()) -> dict[str, object]:
        """The row of a recording, by id or by the name of one of its files; an unknown one is its own subject."""
        for key in (recording, *(p.name for p in paths), *(p.stem for p in paths)):
            if key in self.rows:
                return {**self.rows[key], "subject_known": True}
        return {"subject": recording, "subject_known": False}


def read_subjects(path: Path | None) -> Subjects:
    """The table in `path`; `BadInput` when a needed column is missing or a value can't be taken."""
    if path is None:
        return Subjects({})
    try:
        table = pl.read_csv(
            path, infer_schema=False, null_values=_UNKNOWN, encoding="utf8-lossy", truncate_ragged_lines=True
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path.name}: not a CSV that can be read ({str(error).splitlines()[0]}).") from error
    table = table.rename({c: _column(c) for c in table.columns})
    if missing := [c for c in ("recording", "subject") if c not in table.columns]:
        raise BadInput(f"{path.name}: no column {missing[0]!r}; columns found: {', '.join(table.columns)}.")
    if clash := _RESERVED.intersection(table.columns):
        raise BadInput(f"{path.name}: column {clash.pop()!r} is a name of our own; rename it.")
    notes: list[str] = []
    rows: dict[str, dict[str, object]] = {}
    for number, row in enumerate(table.iter_rows(named=True), 2):
        if row["recording"] is None:
            notes.append(f"{path.name} line {number}: no recording, line left out")
            continue
        key = str(row.pop("recording")).strip()
        if key in rows:
            raise BadInput(f"{path.name} line {number}: recording {key!r} stands twice; keep one line for each.")
        row["subject"] = row["subject"] or key
        rows[key] = {c: _value(path.name, number, c, v, notes) for c, v in row.items()}
    _numeric(rows)
    return Subjects(rows, tuple(notes))


def _numeric(rows: dict[str, dict[str, object]]) -> None:
    """Further columns become numbers where every known value is one, so that any of them can be compared."""
    columns = {c for row in rows.values() for c in row} - {"subject", "site", "sex", *_NUMBERS}
    for column in columns:
        values = {key: row[column] for key, row in rows.items() if row.get(column) is not None}
        try:
            numbers = {key: float(str(v)) for key, v in values.items()}
        except ValueError:
            continue
        for key, number in numbers.items():
            rows[key][column] = number


def _column(name: str) -> str:
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_") or "column"


def _value(file: str, line: int, column: str, value: str | None, notes: list[str]) -> object:
    if value is None:
        return None
    value = value.strip()
    if column == "sex":
        if value.lower() not in _SEX:
            notes.append(f"{file} line {line}: sex {value!r} is neither F nor M, taken as unknown")
        return _SEX.get(value.lower())
    if column in _NUMBERS:
        low, high = _NUMBERS[column]
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            notes.append(
                f"{file} line {line}: {column} {value!r} is no number from {low:g} to {high:g}, taken as unknown"
            )
            return None
        return number
    return value
