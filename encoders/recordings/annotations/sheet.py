"""What a reader takes from a file before it is laid over the recording: marks with the file's own times."""

import codecs
import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from encoders.errors import UnreadableAnnotations
from encoders.recordings.timeline import Repair

MAX_BYTES: Final = 256 * 1024 * 1024  # a whole-night XML has 0.2 MB, a per-sample table some MB


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of an annotation file: `text` at `start_s` (file time, or time of day) for `duration_s`.

    duration_s: None where the file does not say, infinite for "until the recording's end".
    """

    start_s: float
    duration_s: float | None
    text: str
    channel: str | None = None
    spo2_min_pct: float | None = None
    is_stage: bool = False  # the file says that this is a stage: an unknown code is then unscored, not an unknown event
    is_clock: bool = False  # `start_s` is a time of day


@dataclass(slots=True)
class Sheet:
    """One scorer's marks in one file, in the file's own time.

    `zero` says what 0 s is: the recording's start, or the file's own (`start` with date, `start_clock_s` without).
    """

    source: str
    path: Path | None  # None: annotations inside the recording itself
    marks: list[Mark]
    codes: str = ""  # format whose tables apply; the source where empty
    scorer: str = "human"
    epoch_s: float | None = None  # None: to be found from the marks
    zero: Literal["recording", "file"] = "recording"
    start: datetime | None = field(default=None, repr=False)
    start_clock_s: float | None = None
    scope: dict[str, str] = field(default_factory=dict)  # kind -> why we believe that it was scored
    own_codes: Mapping[str, str] = field(default_factory=dict)  # codes declared by the file itself: raw -> stage
    skipped: list[str] = field(default_factory=list)  # lines that could not be read, in words
    repairs: list[Repair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rules: str = ""  # as the file states them; else found from the codes
    exported: bool = False  # by us: `own.py`
    free_text: bool = False  # marks may be a technician's notes about a person: seldom ones are counted, not quoted


def read_bytes(path: Path) -> bytes:
    """The file's bytes; UnreadableAnnotations when it is missing, empty or far larger than any annotation file."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableAnnotations(
                f"{path.name}: {size} bytes, annotation files up to {MAX_BYTES} are read; split it."
            )
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableAnnotations(
            f"{path.name}: cannot be opened ({error.strerror}); check path and permissions."
        ) from None
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe"):
        raise UnreadableAnnotations(f"{path.name}: the file is empty; export it again or leave it out.")
    return data


def decode(data: bytes, name: str, repairs: list[Repair] | None = None) -> str:
    """Text from bytes: UTF-8, UTF-16 (with or without its mark), else Latin-1, which is recorded as a repair."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if data[1:200:2].count(0) > len(data[1:200:2]) * 0.7:
        return data.decode("utf-16-le", errors="replace")
    if data[0:200:2].count(0) > len(data[0:200:2]) * 0.7:
        return data.decode("utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if repairs is not None:
            repairs.append(Repair(name, "encoding", "bytes that are not UTF-8", "Latin-1"))
        return data.decode("latin-1")


def read_text(path: Path, repairs: list[Repair] | None = None) -> str:
    """The text of a file in whatever encoding it has; newlines become `\\n`."""
    return decode(read_bytes(path), path.name, repairs).replace("\r\n", "\n").replace("\r", "\n")


def split_row(line: str, delimiter: str) -> list[str]:
    """The cells of one line of a table, stripped; [] for a line that is none (a cell of 128 KiB)."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def number(text: str | None) -> float | None:
    """A finite number, or None for anything else (empty, n/a, nan, inf, words)."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def quoted(text: str) -> str:
    """A cell that should be a number or a time, for a message: words are not repeated, they may be a person's name."""
    is_word = re.search(r"[^\W\d_]{2}", text) and text.strip().casefold() not in ("nan", "inf", "-inf", "n/a", "na")
    return "a text" if is_word else repr(text.strip()[:30])


_CLOCK: Final = re.compile(r"(\d{1,2})[:.](\d{2})[:.](\d{2}(?:\.\d+)?)\s*([AaPp][Mm])?")


def time_of_day(text: str) -> float | None:
    """Seconds since midnight of `hh:mm:ss[.fff][ AM|PM]`, or None."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3])
    if found[4]:
        hours = hours % 12 + (12 if found[4].lower() == "pm" else 0)
    return hours * 3600 + minutes * 60 + seconds if hours < 24 and minutes < 60 and seconds < 61 else None
