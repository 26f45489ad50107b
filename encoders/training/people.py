"""Whose a recording is, for training: a CSV with a row a recording, of which age, sex and site are used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from encoders.errors import BadInput

_UNKNOWN = ["", "NA", "N/A", "NaN", "nan", "null", "None", "."]
_SEX = {"f": "F", "female": "F", "m": "M", "male": "M"}  # 1 and 2 differ between studies: unknown
_MOST_YEARS = 120.0


@dataclass(frozen=True, slots=True)
class Person:
    """One recording's subject; None where it is unknown."""

    subject: str
    site: str | None = None
    age: float | None = None
    sex: str | None = None


def read_people(path: Path | None) -> dict[str, Person]:
    """Persons by recording (its id or its file's name) from `recording,subject,age,sex,site`, the last three if there.

    None gives {}. Raises BadInput for a file that is no such table, or when a recording stands twice.
    """
    if path is None:
        return {}
    try:
        table = pl.read_csv(path, infer_schema=False, null_values=_UNKNOWN, encoding="utf8-lossy")
    except (OSError, pl.exceptions.PolarsError) as wrong:
        raise BadInput(f"{path.name}: not a CSV that can be read ({str(wrong).splitlines()[0]}).") from wrong
    table = table.rename({column: column.strip().lower() for column in table.columns})
    if missing := [column for column in ("recording", "subject") if column not in table.columns]:
        raise BadInput(f"{path.name}: no column {missing[0]!r}; columns found: {', '.join(table.columns)}.")
    people: dict[str, Person] = {}
    for row in table.iter_rows(named=True):
        recording = (row["recording"] or "").strip()
        if recording in people:
            raise BadInput(f"{path.name}: recording {recording!r} stands twice; keep one line for each.")
        if recording:
            sex = _SEX.get((row.get("sex") or "").strip().lower())
            people[recording] = Person(row["subject"] or recording, row.get("site"), _age(row), sex)
    return people


def person_of(people: Mapping[str, Person], recording: str, paths: Sequence[Path]) -> Person:
    """The person of a recording, by its id, or the name or stem of one of its files; unlisted: a subject of its own."""
    names = (recording, *(path.name for path in paths), *(path.stem for path in paths))
    return next((people[name] for name in names if name in people), Person(recording))


def _age(row: Mapping[str, str | None]) -> float | None:
    try:
        age = float(row.get("age") or "nan")
    except ValueError:
        return None
    return age if 0 <= age <= _MOST_YEARS else None
