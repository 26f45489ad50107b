"""Who slept: the subjects' CSV, one row a recording, checked before anything is read.

Columns: `recording` (the id, or the EDF's file name), `subject`, then any of `age`, `sex`, `site`, `lights_off`,
`lights_on` (seconds from the start or a time of day) and whatever else the study has. Empty, NA and NaN mean unknown.
Sex is written F or M; 1/2 codes differ between studies and are taken as unknown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import polars as pl

from encoders.captions import load_measures, load_nights, scored_columns
from encoders.errors import BadInput

_UNKNOWN = ["", "NA", "N/A", "NaN", "nan", "null", "None", "."]
_SEX = {"f": "F", "female": "F", "woman": "F", "w": "F", "m": "M", "male": "M", "man": "M"}
_NUMBERS = {"age": (0.0, 120.0), "bmi": (5.0, 120.0)}
# Always columns of the catalog, so that "women over 60" is answerable, by "unknown", without a CSV too.
_TYPES: dict[str, type[pl.DataType]] = {"age": pl.Float64, "sex": pl.String, "site": pl.String}
_OURS = {
    "epoch", "epoch_id", "start_s", "stop_s", "clock_s", "caption_id", "cohort", "duration_s", "start_clock_s",
    "simulated", "id_hashed", "scorer", "stage_rules", "alignment", "airflow_sensor", "montage", "montage_problems",
    "absent", "repairs", "notes", "subject_known", "fingerprint",
}  # fmt: skip


# Columns that say who somebody is never enter the catalog; age in years does, the date it was counted from does not.
_PERSONAL = re.compile(
    r"(?:^|_)(?:name|names|firstname|lastname|surname|forename|initials|dob|birth\w*|mrn|ssn|nhs|address|street|phone|email"
    r"|date|patient_?id|hospital_?id|medical_record\w*)(?:_|$)"
)


@dataclass(frozen=True, slots=True)
class Subjects:
    """Rows by recording, the columns' types, and what had to be set aside, in words."""

    rows: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    types: Mapping[str, type[pl.DataType]] = field(default_factory=lambda: dict(_TYPES))
    notes: tuple[str, ...] = ()

    def of(self, recording: str, paths: tuple[Path, ...] = ()) -> dict[str, object]:
        """The row of a recording, by id or by the name of one of its files; an unknown one is its own subject."""
        unknown = dict.fromkeys(self.types)
        for key in (recording, *(p.name for p in paths), *(p.stem for p in paths)):
            if key in self.rows:
                row = self.rows[key]
                return {**unknown, **row, "subject": row["subject"] or recording, "subject_known": True}
        return {**unknown, "subject": recording, "subject_known": False}


@cache
def _taken() -> frozenset[str]:
    return frozenset({*_OURS, *load_measures(), *load_nights(), *scored_columns()})


def read_subjects(path: Path | None) -> Subjects:
    """The table in `path`; `BadInput` when a needed column is missing or a recording stands twice."""
    if path is None:
        return Subjects()
    try:
        table = pl.read_csv(
            path, infer_schema=False, null_values=_UNKNOWN, encoding="utf8-lossy", truncate_ragged_lines=True
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path.name}: not a CSV that can be read ({str(error).splitlines()[0]}).") from error
    notes: list[str] = []
    personal = [c for c in table.columns if _PERSONAL.search(_plain(c))]
    notes += [f"{path.name}: column {c!r} was left out: it may say who somebody is" for c in personal]
    table = table.drop(personal)
    table = table.rename({c: _column(c, path.name, notes) for c in table.columns})
    if missing := [c for c in ("recording", "subject") if c not in table.columns]:
        raise BadInput(f"{path.name}: no column {missing[0]!r}; columns found: {', '.join(table.columns)}.")
    rows: dict[str, dict[str, object]] = {}
    for number, row in enumerate(table.iter_rows(named=True), 2):
        key = str(row.pop("recording") or "").strip()
        if not key:
            notes.append(f"{path.name} line {number}: no recording, line left out")
        elif key in rows:
            raise BadInput(f"{path.name} line {number}: recording {key!r} stands twice; keep one line for each.")
        else:
            rows[key] = {c: _value(path.name, number, c, v, notes) for c, v in row.items()}
    further = [c for c in table.columns if c not in ("recording", "subject", "lights_off", "lights_on")]
    return Subjects(rows, {**_TYPES, **{c: _typed(c, rows) for c in further}}, tuple(notes))


def _column(name: str, file: str, notes: list[str]) -> str:
    plain = _plain(name)
    if plain in _taken():
        notes.append(f"{file}: column {name!r} is called csv_{plain}, since {plain} is a name of our own")
        return f"csv_{plain}"
    return plain


def _plain(name: str) -> str:
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


def _typed(column: str, rows: dict[str, dict[str, object]]) -> type[pl.DataType]:
    """The column's type; its values become numbers where every known one is, so that it can be compared."""
    if column in _TYPES:
        return _TYPES[column]
    try:
        numbers = {key: float(str(row[column])) for key, row in rows.items() if row[column] is not None}
    except ValueError:
        return pl.String
    for key, number in numbers.items():
        rows[key][column] = number
    return pl.Float64
