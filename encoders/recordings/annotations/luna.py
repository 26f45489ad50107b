"""Luna's `.annot` interval files (zzz.bwh.harvard.edu/luna/ref/annotations).

Six columns: class, instance, channel, start, stop, meta; four: class, instance, start, stop; three: class, start, stop.
Start: seconds, `hh:mm:ss` (time of day), `dd-mm-yy-hh:mm:ss`, `0+hh:mm:ss` (elapsed), `e:N` (epoch, counted from 1).
Stop: the same, `+seconds`, or `...` (until the next line of the file, or the recording's end). `.` is missing, `#`
starts a comment.
"""

import math
import re
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import own, table
from encoders.recordings.annotations.sheet import Mark, Sheet, number, quoted, read_text, time_of_day
from encoders.recordings.timeline import DAY_S
from encoders.vocabulary import EPOCH_S

EXPORT: Final = f"{own.MARK}_export"  # the class of the line by which an export of ours says whose it is
_DATE: Final = re.compile(r"\d{1,2}[-/]\w{1,3}[-/]\d{2,4}-")
_STAGE_CLASSES: Final = frozenset({"stage", "stages", "sleepstage", "sleep stage", "staging"})


def _time(text: str) -> tuple[float, float | None, bool] | None:
    """(start, length of an epoch or None, is a time of day) of one time field; None where it has no such form."""
    if text.startswith("e:"):
        parts = [number(part) for part in text[2:].split(":")]
        if None in parts or len(parts) > 3:
            return None
        *sizes, count = [part for part in parts if part is not None]
        length, step = (sizes[0], sizes[-1]) if sizes else (EPOCH_S, EPOCH_S)
        return ((count - 1) * step, length, False) if count >= 1 and length > 0 else None
    if text.startswith("0+") and (elapsed := time_of_day(text[2:])) is not None:
        return elapsed, None, False
    # The date is left aside: in shared data it is shifted, the time of day is not, and a night is shorter than a day.
    if (of_day := time_of_day(_DATE.sub("", text))) is not None:
        return of_day, None, True
    seconds = number(text)
    return (seconds, None, False) if seconds is not None else None


def _text(name: str, instance: str) -> tuple[str, bool]:
    """The words to look up: `class:instance` where that is known, the instance of a class "stage", else the class."""
    if table.fold(name) in _STAGE_CLASSES and instance != ".":
        return instance, True
    pair = f"{name}:{instance}"
    return (pair if instance != "." and _is_listed(name, pair) else name), False


def _is_listed(name: str, pair: str) -> bool:
    return table.event_of("luna annot", pair) not in (None, table.event_of("luna annot", name))


def _meta(text: str) -> dict[str, str]:
    """The `key=value` pairs of the sixth column; values without keys are left aside."""
    pairs = (pair.partition("=") for pair in re.split(r"[|;]", text))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def read_annot(path: Path) -> list[Sheet]:
    """A Luna `.annot` file; lines that cannot be read are counted, the file is refused when none can."""
    sheet = Sheet("luna annot", path, [], free_text=True)
    rows: list[tuple[int, str, str | None, tuple[float, float | None, bool], str, bool, dict[str, str]]] = []
    bad: list[str] = []
    said: dict[str, str] = {}
    text = read_text(path, sheet.repairs)
    for i, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()
        if cells[0].casefold() == "class":
            continue  # the optional header line
        if len(cells) < 3:
            bad.append(f"line {i} has {len(cells)} columns, wanted 3, 4 or 6")
            continue
        if len(cells) == 3:
            cells[1:1] = [".", "."]
        elif len(cells) in (4, 5):
            cells[2:2] = ["."] if len(cells) == 4 else []
        name, instance, channel, start, stop = cells[:5]
        meta = _meta(cells[5]) if len(cells) > 5 else {}
        if name == EXPORT:
            said |= meta
            continue
        began = _time(start)
        if table.is_ignored(name) and began is None:
            continue  # Luna's own bookkeeping rows, such as start_hms
        if began is None:
            bad.append(f"line {i}: start {quoted(start)} is no time")
            continue
        label, is_stage = _text(name, instance)
        rows.append((i, label, None if channel == "." else channel, began, stop, is_stage, meta))
    for row, following in zip(rows, [*rows[1:], None], strict=False):
        i, label, sensor, (start_s, length_s, is_clock), stop, is_stage, meta = row
        duration: float | None = None
        ended = _time(stop)
        if stop == "...":
            duration = math.inf if following is None else following[3][0] - start_s
            if following is not None and following[3][2] != is_clock:
                duration = None  # a time of day cannot be taken from a number of seconds
        elif stop.startswith("+"):
            duration = number(stop[1:])
        elif stop == ".":
            duration = length_s or 0.0
        elif ended is not None and ended[2] == is_clock:
            duration = ended[0] + (ended[1] or 0.0) - start_s
        if duration is not None and is_clock and duration != math.inf:
            duration %= DAY_S
            duration = duration if duration <= DAY_S / 2 else None  # the stop is before the start, not the next evening
        if duration is None or duration < 0:
            bad.append(f"line {i}: stop {quoted(stop)} is no time after the start")
        else:
            lowest_pct = number(meta.get("spo2_min_pct"))
            sheet.marks.append(Mark(start_s, duration, label, sensor, lowest_pct, is_stage, is_clock))
    if not own.claim(sheet, said):
        return []
    if not sheet.marks and not sheet.scope:
        raise UnreadableAnnotations(
            f"{path.name}: no line of this .annot file can be read; {bad[0] if bad else 'it has comments only'}."
        )
    if bad:
        sheet.skipped.append(f"{len(bad)} lines left out: {bad[0]}" + (" (the first)" if len(bad) > 1 else ""))
    return [sheet]
