"""Time-stamped annotation lists, the text inside an EDF+ annotation signal (EDF+ 2.2.2 to 2.2.4).

A TAL is `onset [0x15 duration] 0x14 text 0x14 text 0x14 0x00`; the first one of each record has an empty text and
states when the record starts.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_ONSET_S: Final = 1e9  # beyond it (30 years) the digits are garbage
MAX_RECORD_ONSET_S: Final = 7 * 86_400.0  # a record a week after the start is not of this recording

_TAL: Final = re.compile(rb"([+-]?\d{1,12}(?:[.,]\d*)?)(?:\x15([^\x14\x15]*))?\x14")
_DURATION: Final = re.compile(rb" *\+?(\d{1,12}(?:[.,]\d*)?) *")
_TIMEKEEPING: Final = re.compile(rb"([+-]?\d{1,12}(?:\.\d*)?)\x14\x14")


@dataclass(frozen=True, slots=True)
class Annotation:
    """A text at a time; `duration_s` is None where the file gives none and 0.0 where it says zero."""

    onset_s: float
    duration_s: float | None
    text: str


def parse_tals(*signals: NDArray[np.uint8]) -> tuple[list[Annotation], int]:
    """All annotations of annotation signals, each `(n records, bytes)`, and how many pieces were garbage.

    They come in the file's order; record times (empty texts) are left out. Text is UTF-8, else Latin-1.
    """
    padded = np.hstack([np.pad(records, ((0, 0), (0, 1))) for records in signals])  # a TAL ends with its record
    annotations: list[Annotation] = []
    garbage = 0
    for piece in re.finditer(rb"[^\x00]+", padded.tobytes()):
        body = piece[0]
        match = _TAL.match(body)
        if match is None:
            match = re.search(rb"(?=[+-])" + _TAL.pattern, body)
            garbage += 1
        if match is None:
            continue
        onset_s = _seconds(match[1])
        duration_s = None
        if match[2] is not None:
            if whole := _DURATION.fullmatch(match[2]):
                duration_s = _seconds(whole[1])
            else:
                garbage += match[2] != b""
        if abs(onset_s) > MAX_ONSET_S or (duration_s or 0) > MAX_ONSET_S:
            garbage += 1
            continue
        texts = body[match.end() :].split(b"\x14")
        garbage += texts[-1] != b""  # the last text is not closed: kept
        annotations += [Annotation(onset_s, duration_s, _text(text)) for text in texts if text.strip()]
    return annotations, garbage


def record_onsets(records: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Start of each record in seconds, from the first annotation signal; NaN where none can be read."""
    blob = records.tobytes()
    width = records.shape[1]
    onsets = np.full(len(records), np.nan)
    for index in range(len(records)):
        if match := _TIMEKEEPING.match(blob, index * width, (index + 1) * width):
            onsets[index] = float(match[1])
    onsets[~((onsets >= 0) & (onsets <= MAX_RECORD_ONSET_S))] = np.nan
    return onsets


def format_tal(onset_s: float, duration_s: float | None, text: str) -> bytes:
    """One TAL as bytes, its closing zero included; times to a tenth of a microsecond."""
    duration = "" if duration_s is None else "\x15" + _digits(f"{duration_s:.7f}")
    clean = re.sub(r"[\x00\x14\x15]", " ", text)
    return f"{_digits(f'{onset_s:+.7f}')}{duration}\x14{clean}\x14\x00".encode()


def _digits(text: str) -> str:
    return text.rstrip("0").rstrip(".")


def _seconds(raw: bytes) -> float:
    return float(raw.replace(b",", b"."))


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
