"""ResMed therapy machines: events (`_EVE.edf`) and Cheyne-Stokes stretches (`_CSL.edf`), EDF+D of zero-second records.

The machine stamps an event when it recognises it: at its END. On a real AirCurve 10 night the flow of all ten central
apneas is flat during the `duration` seconds before the stamp (standard deviation 0.05 to 0.12 L/s) and full after it
(0.46 to 0.65 L/s), so the event laid here is `[onset - duration, onset)`. Hypopneas have duration 0: a moment.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

from encoders.recordings.annotations.edfplus import read_edfplus
from encoders.recordings.annotations.sheet import Mark, Sheet
from encoders.recordings.annotations.table import fold

# What the machine looks for all night, also when it found nothing (its AHI counts apneas and hypopneas).
_SCORED: Final = {"respiratory events": "the machine detects apneas and hypopneas"}


def read_resmed(path: Path) -> list[Sheet]:
    """One EVE or CSL file: scorer `device`, coverage of respiratory events also when an EVE file holds none."""
    (sheet,) = read_edfplus(path)
    marks: list[Mark] = []
    opened: float | None = None
    is_csl = path.stem.casefold().endswith("csl")
    for mark in sorted(sheet.marks, key=lambda mark: mark.start_s):
        text = fold(mark.text)
        if text == "csr start":
            opened = mark.start_s
        elif text == "csr end":
            if opened is None:
                sheet.skipped.append("1 end of Cheyne-Stokes breathing without a start")
            else:
                marks.append(Mark(opened, mark.start_s - opened, "Cheyne-Stokes respiration"))
            opened = None
        else:
            duration = mark.duration_s or 0.0
            marks.append(replace(mark, start_s=mark.start_s - duration, duration_s=duration))
    if opened is not None:
        marks.append(Mark(opened, math.inf, "Cheyne-Stokes respiration"))
    note = "events end at the machine's time stamp"
    return [
        replace(
            sheet, source="resmed", marks=marks, scorer="device", free_text=False, notes=[note],
            scope={} if is_csl else dict(_SCORED),
        )
    ]  # fmt: skip
