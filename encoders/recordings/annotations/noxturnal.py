"""Noxturnal event exports: UTF-16 CSV in the interface's language, rows of local date and time, event and duration."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import table
from encoders.recordings.annotations.sheet import Mark, Sheet, number, read_text, split_row

# Day first is tried first; a month-first export fails on its 13th day at the latest, or says AM/PM.
_FORMS: Final = ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")


def columns_of(line: str) -> dict[str, int] | None:
    """Which column is start, stop, event, duration in a header line of a known language; None for another line."""
    cells = [cell.strip().casefold() for cell in line.split("\t" if "\t" in line else ";" if ";" in line else ",")]
    found = {
        key: next((cells.index(word) for word in words if word in cells), -1)
        for key, words in table.NOXTURNAL_COLUMNS.items()
    }
    return found if min(found["start"], found["stop"], found["event"]) >= 0 else None


def _parse(texts: list[str]) -> list[datetime | None]:
    def one(text: str, form: str) -> datetime | None:
        try:
            return datetime.strptime(text.partition(".")[0].strip(), form)
        except ValueError:
            return None

    return max(
        ([one(text, form) for text in texts] for form in _FORMS), key=lambda parsed: sum(p is not None for p in parsed)
    )


def read_noxturnal(path: Path) -> list[Sheet]:
    """One export; starts are whole seconds, lengths the duration column's where it agrees to 1.5 s with the times."""
    sheet = Sheet("noxturnal", path, [], zero="file")
    lines = [line for line in read_text(path, sheet.repairs).split("\n") if line.strip()]
    where = columns_of(lines[0]) if lines else None
    if where is None:
        raise UnreadableAnnotations(
            f"{path.name}: no Noxturnal header line (start time, end time, event) in a known language."
        )
    delimiter = "\t" if "\t" in lines[0] else ";" if ";" in lines[0] else ","
    rows = [
        row
        for row in (split_row(line, delimiter) for line in lines[1:])
        if len(row) > max(where.values()) and row[where["start"]] != "[]"
    ]
    starts = _parse([row[where["start"]] for row in rows])
    stops = _parse([row[where["stop"]] for row in rows])
    zero = min((start for start in starts if start is not None), default=None)
    if zero is None:
        raise UnreadableAnnotations(
            f"{path.name}: no row has a date and time such as 25/07/2018 23:46:00 in its start column."
        )
    bad = 0
    for row, start, stop in zip(rows, starts, stops, strict=True):
        if start is None or stop is None or stop < start:
            bad += 1
            continue
        length = (stop - start).total_seconds()
        told = number(row[where["duration"]]) if where["duration"] >= 0 else None
        text = row[where["event"]]
        duration = told if told is not None and told >= 0 and abs(told - length) <= 1.5 else length
        sheet.marks.append(Mark((start - zero).total_seconds(), duration, text))
    sheet.start = zero
    _name_periodic(sheet)
    if bad:
        sheet.skipped.append(f"{bad} rows left out: no date and time, or the end before the start")
    return [sheet]


def _name_periodic(sheet: Sheet) -> None:
    """A series of periodic limb movements is one long row over its movements: those are periodic, the row goes."""
    kinds = [table.event_of("noxturnal", mark.text, None) for mark in sheet.marks]
    moves = [i for i, kind in enumerate(kinds) if kind == "limb movement"]
    gone = set()
    for n, (series, kind) in enumerate(zip(sheet.marks, kinds, strict=True)):
        stop_s = series.start_s + (series.duration_s or 0.0)
        inside = [i for i in moves if series.start_s - 1 <= sheet.marks[i].start_s <= stop_s]
        if kind == "periodic limb movement" and len(inside) > 1:
            gone.add(n)
            for i in inside:
                sheet.marks[i] = replace(sheet.marks[i], text=series.text)
    sheet.marks = [mark for n, mark in enumerate(sheet.marks) if n not in gone]
    if gone:
        sheet.notes.append(f"{len(gone)} series of periodic limb movements, counted by movement")
