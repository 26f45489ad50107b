"""UCDDB `_respevt.txt`: a fixed-width table of respiratory events at times of day.

Columns (three header lines, rows, a footer): Time, Type, PB/CS, Duration, Low, %Drop, Snore, Arousal, Rate, Change.
Type or PB/CS may be blank. Low and %Drop are the desaturation that goes with the event: a nadir without a time, so they
are no desaturation events; a `+` under Arousal has no time either.
"""

import re
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations.sheet import Mark, Sheet, number, read_text, time_of_day

ROW: Final = re.compile(
    r"^\s*(\d{1,2}:\d{2}:\d{2})\s+(?:([A-Za-z][\w-]*)\s+)?(?:(PB|CS)\s+)?(\d+(?:\.\d+)?)(?:\s+(\d+(?:\.\d+)?)\s+(\d+(?:\.\d+)?))?(?=\s|$)"
)
_TIMED: Final = re.compile(r"^\s*\d{1,2}:\d{2}:\d{2}\s")


def read_respevt(path: Path) -> list[Sheet]:
    """Respiratory events of one UCDDB night; rows with a time but without a duration are counted as left out."""
    sheet = Sheet("ucddb", path, [])
    lines = read_text(path, sheet.repairs).split("\n")
    bad = 0
    for line in lines:
        row = ROW.match(line)
        at = time_of_day(row[1]) if row else None
        if row is None or at is None:
            bad += bool(_TIMED.match(line))
            continue
        low, drop = number(row[5]), number(row[6])
        # Low is a saturation and %Drop a difference: a lone number, or two the other way round, is not taken for one.
        nadir = low if low is not None and drop is not None and 30 <= low <= 100 and low > drop else None
        for name in (row[2], row[3]):
            if name:
                sheet.marks.append(Mark(at, float(row[4]), name.upper(), spo2_min_pct=nadir, is_clock=True))
    if bad:
        sheet.skipped.append(f"{bad} rows with a time but no duration left out")
    if not sheet.marks:
        raise UnreadableAnnotations(f"{path.name}: no row 'hh:mm:ss TYPE duration' as UCDDB's _respevt.txt has them.")
    return [sheet]
