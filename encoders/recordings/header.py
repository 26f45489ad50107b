"""The header of an EDF or BDF file, read tolerantly: what is odd is repaired and said, what is hopeless is one line.

Field layout: EDF (Kemp 1992), EDF+ (Kemp & Olivan 2003, clause 2.1), BDF (BioSemi: 24-bit samples). The patient and
recording fields are searched for the word "simulated" and never kept; the start date is kept for laying files of
one session side by side and shown nowhere.
"""

import codecs
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableRecording
from encoders.recordings.timeline import DAY_S, Repair

MAIN: Final = (
    ("version", 8), ("patient", 80), ("recording", 80), ("date", 8), ("time", 8), ("header bytes", 8),
    ("reserved", 44), ("number of records", 8), ("record duration", 8), ("number of signals", 4),
)  # fmt: skip
SIGNAL: Final = (
    ("label", 16), ("transducer", 80), ("unit", 8), ("physical minimum", 8), ("physical maximum", 8),
    ("digital minimum", 8), ("digital maximum", 8), ("prefilter", 80), ("samples per record", 8), ("reserved", 32),
)  # fmt: skip
BLOCK: Final = 256  # bytes of the main header and of each signal's

MAX_RATE_HZ: Final = 1e6  # above it the record duration lies
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_TRIPLE: Final = re.compile(rb"(\d{1,2})\D(\d{1,2})\D(\d{2,4})")


@dataclass(frozen=True, slots=True)
class SignalHeader:
    """One signal as the header states it; limits that cannot be read are NaN (physical) or 0 and 0 (digital)."""

    label: str
    transducer: str
    unit: str
    physical_min: float
    physical_max: float
    digital_min: int
    digital_max: int
    prefilter: str
    samples_per_record: int
    is_annotation: bool

    @property
    def gain(self) -> float:
        """Physical units per digital step; 0 or NaN where the limits define no scale. Negative is legal (inverted)."""
        steps = self.digital_max - self.digital_min
        return (self.physical_max - self.physical_min) / steps if steps else math.nan

    @property
    def offset(self) -> float:
        """Physical value of digital 0."""
        return self.physical_min - self.gain * self.digital_min

    @property
    def usable(self) -> bool:
        """Whether its samples exist and have a physical value that float32 can hold."""
        return (
            not self.is_annotation
            and self.samples_per_record > 0
            and 1e-30 < abs(self.gain) < 1e28
            and abs(self.offset) < 1e37
        )


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """A file's header after repairs; `start_clock_s` (seconds after midnight) is None where the start is a dummy."""

    path: Path
    kind: str  # EDF, EDF+C, EDF+D, BDF, BDF+C or BDF+D
    start_clock_s: float | None
    n_records: int  # whole records present in the file
    record_s: float  # 0 in files that hold annotations only
    header_bytes: int
    signals: tuple[SignalHeader, ...]
    repairs: tuple[Repair, ...]
    sample_bytes: int  # 2 (EDF) or 3 (BDF)
    start: datetime | None = field(repr=False)
    simulated: bool = False

    @property
    def record_bytes(self) -> int:
        return self.sample_bytes * sum(signal.samples_per_record for signal in self.signals)


def read_header(path: Path) -> EdfHeader:
    """Read the header of an EDF(+) or BDF(+) file.

    Raises UnreadableRecording, one line, when no sample and no annotation of the file can be read.
    """
    path = Path(path)
    try:
        if not path.is_file():
            what = "a pipe, device or folder" if path.exists() else "no such file"
            raise UnreadableRecording(f"{path.name}: {what}; give an EDF or BDF file.")
        size = path.stat().st_size
        with path.open("rb") as file:
            main = dict(_fields(file.read(BLOCK), MAIN, 1))
            fields = _Fields(path.name)
            base = _base(path.name, main["version"][0], size)
            n_signals, table = _signal_table(fields, main, file.read(BLOCK * 9999), size)
    except OSError as error:
        raise UnreadableRecording(f"{path.name}: cannot be read ({error.strerror}); check the file.") from error
    signals = tuple(_signal(fields, table, index) for index in range(n_signals))
    record_s = _record_s(fields, main["record duration"][0], signals)
    sample_bytes = 3 if base == "BDF" else 2
    record_bytes = sample_bytes * sum(signal.samples_per_record for signal in signals)
    if record_bytes == 0:
        raise UnreadableRecording(f"{path.name}: samples per record is 0 in every signal (0 Hz); export it again.")
    header_bytes, n_records = _extent(fields, main, n_signals, record_bytes, size)
    start, clock_s = _start(fields, main["date"][0], main["time"][0])
    kind = _kind(fields, base, main["reserved"][0], any(signal.is_annotation for signal in signals))
    if fields.recoded:
        fields.note("text", f"{fields.recoded} fields with other than ASCII letters", "read as UTF-8 or Latin-1")
    identification = main["patient"][0] + b" " + main["recording"][0]
    return EdfHeader(
        path, kind, clock_s, n_records, record_s, header_bytes, signals, tuple(fields.repairs), sample_bytes, start,
        simulated=re.search(rb"(?<![a-z])simulated(?![a-z])", identification.lower()) is not None,
    )  # fmt: skip


class _Fields:
    """Reads header fields and remembers what had to be read otherwise than it is written."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.repairs: list[Repair] = []
        self.recoded = 0  # text fields that are not ASCII

    def note(self, name: str, found: str, used: str) -> None:
        self.repairs.append(Repair(self.file, name, found, used))

    def number(self, name: str, raw: bytes) -> float:
        """The first number in the field, NaN where there is none; a decimal comma and padding are repaired."""
        text = raw.decode("latin-1").strip(" ")
        match = _NUMBER.fullmatch(text)
        found = match or _NUMBER.search(text.replace(",", "."))
        value = float(found[0]) if found else math.nan
        if not math.isfinite(value):
            value = math.nan
        if match is None:
            self.note(name, _shown(text), "no number" if math.isnan(value) else f"{value:g}")
        return value

    def text(self, name: str, raw: bytes) -> str:
        body = raw.strip(b" \0")
        try:  # a full field may cut its last UTF-8 letter in two: then that letter is dropped
            text = codecs.utf_8_decode(body, "strict", len(body) < len(raw))[0]
        except UnicodeDecodeError:
            text = body.decode("latin-1")
        self.recoded += not text.isascii()
        if not text.isprintable():
            text = "".join(letter if letter.isprintable() else " " for letter in text).strip()
            self.note(name, "non-printing bytes", ascii(text))
        return text.strip()


def _shown(text: str) -> str:
    """A field that should be a number, as it may be quoted; words are not: a header out of step has names there."""
    words = re.search(r"[^\W\d_]{2}", text) and text.strip().casefold() not in ("nan", "inf", "-inf")
    return "text" if words else ascii(text.strip())


def _fields(block: bytes, layout: tuple[tuple[str, int], ...], count: int) -> list[tuple[str, list[bytes]]]:
    """Each field of the layout with its `count` values, which stand one after the other."""
    stops = list(accumulate((width * count for _, width in layout), initial=0))
    return [
        (name, [block[at + width * k : at + width * (k + 1)] for k in range(count)])
        for (name, width), at in zip(layout, stops, strict=False)
    ]


def _base(file: str, version: bytes, size: int) -> str:
    """EDF or BDF, by the first eight bytes."""
    if size == 0:
        raise UnreadableRecording(f"{file}: zero bytes; copy it again from its source.")
    bdf = version == b"\xffBIOSEMI"
    if not bdf and version.strip(b" \0") != b"0":
        # in hexadecimal: the first bytes of some other file may be somebody's name
        raise UnreadableRecording(
            f"{file}: not an EDF: first 8 bytes {version.hex(' ')}, where EDF has '0' and BDF 0xFF 'BIOSEMI'; "
            "convert it, or leave it out."
        )
    if size < 2 * BLOCK:
        raise UnreadableRecording(f"{file}: cut off: {size} bytes, its header has {2 * BLOCK} or more; copy it again.")
    return "BDF" if bdf else "EDF"


def _signal_table(
    fields: _Fields, main: dict[str, list[bytes]], rest: bytes, size: int
) -> tuple[int, dict[str, list[bytes]]]:
    """How many signals there are and their header fields; the count is in doubt when two fields disagree."""
    stated = fields.number("number of signals", main["number of signals"][0])
    header_bytes = fields.number("header bytes", main["header bytes"][0])
    counts = [int(n) for n in (stated, header_bytes / BLOCK - 1) if 1 <= n <= 9999 and n == int(n)]
    counts = [n for n in counts if BLOCK * (n + 1) <= size]
    if not counts:
        raise UnreadableRecording(
            f"{fields.file}: number of signals {_shown(main['number of signals'][0].decode('latin-1'))} does not fit a "
            f"file of {size} bytes (256 bytes of header for each of 1 to 9999 signals); copy or export it again."
        )

    def unreadable(n: int) -> list[int]:
        raw = dict(_fields(rest, SIGNAL, n))["samples per record"]
        return [k for k, value in enumerate(raw) if _samples(value) is None]

    count = min(counts, key=lambda n: len(unreadable(n)))
    table = dict(_fields(rest, SIGNAL, count))
    if bad := unreadable(count):
        value = _shown(table["samples per record"][bad[0]].decode("latin-1"))
        raise UnreadableRecording(
            f"{fields.file}: samples per record of signal {bad[0] + 1} is {value}, where a whole number from 0 "
            "must stand; without it no record can be found. Export the file again."
        )
    if count != stated:
        fields.note("number of signals", f"{stated:g}", f"{count}, from the size of the header")
    return count, table


def _samples(raw: bytes) -> int | None:
    value = _Fields("").number("", raw)
    return int(value) if 0 <= value < 1e8 and value == int(value) else None


def _signal(fields: _Fields, table: dict[str, list[bytes]], index: int) -> SignalHeader:
    label = fields.text(f"signal {index + 1} label", table["label"][index])
    where = f"signal {index + 1} {label!a}"
    is_annotation = label.lower() in ("edf annotations", "bdf annotations")

    def number(name: str) -> float:
        return fields.number(f"{where} {name}", table[name][index])

    def whole(name: str) -> int:
        value = number(name)
        return round(value) if abs(value) < 2**31 else 0

    signal = SignalHeader(
        label,
        fields.text(f"{where} transducer", table["transducer"][index]),
        fields.text(f"{where} unit", table["unit"][index]),
        number("physical minimum"), number("physical maximum"), whole("digital minimum"), whole("digital maximum"),
        fields.text(f"{where} prefilter", table["prefilter"][index]),
        whole("samples per record"),
        is_annotation,
    )  # fmt: skip
    if not (signal.usable or is_annotation):
        found = f"physical {signal.physical_min:g} to {signal.physical_max:g}, digital {signal.digital_min} to "
        found += f"{signal.digital_max}, {signal.samples_per_record} samples per record"
        fields.note(where, found, "nothing: the signal has no scale or no samples")
    return signal


def _record_s(fields: _Fields, raw: bytes, signals: tuple[SignalHeader, ...]) -> float:
    """The record duration; 0 only where annotations are all that can be read (EDF+ 2.2.1, ResMed EVE)."""
    record_s = fields.number("record duration", raw)
    most = max((signal.samples_per_record for signal in signals if not signal.is_annotation), default=0)
    if 0 < record_s <= DAY_S and most <= MAX_RATE_HZ * record_s:
        return record_s
    text = _shown(raw.decode("latin-1"))
    if not any(signal.is_annotation for signal in signals):
        raise UnreadableRecording(
            f"{fields.file}: record duration is {text} s (0 Hz or no rate at all); accepted is more than 0, up to "
            f"86400, with at most {MAX_RATE_HZ:.0f} samples a second. Correct the header or export the file again."
        )
    if most or record_s != 0:
        fields.note("record duration", text, "0: only its annotations are read")
    return 0.0


def _extent(
    fields: _Fields, main: dict[str, list[bytes]], n_signals: int, record_bytes: int, size: int
) -> tuple[int, int]:
    """Where the samples start and how many whole records follow, from the file's size where the header errs."""
    header_bytes = BLOCK * (n_signals + 1)
    quiet = _Fields(fields.file)
    stated = quiet.number("", main["header bytes"][0])
    records = quiet.number("", main["number of records"][0])

    def written(name: str) -> str:
        return _shown(main[name][0].decode("latin-1"))

    if stated != header_bytes:
        # a padded header exists where the records then fit the file to the byte
        if header_bytes < stated < size and records * record_bytes == size - stated:
            header_bytes = int(stated)
        fields.note("header bytes", written("header bytes"), f"{header_bytes}")
    body = size - header_bytes
    n_records, rest = divmod(body, record_bytes)
    if n_records == 0:
        raise UnreadableRecording(
            f"{fields.file}: cut off: a record has {record_bytes} bytes and {max(body, 0)} follow the header; "
            "at least one whole record is needed. Copy the file again."
        )
    if records != n_records:
        fields.note("number of records", written("number of records"), f"{n_records}, from the size of the file")
    if rest:
        fields.note("end of file", f"{rest} bytes of a record of {record_bytes}", "whole records only")
    return header_bytes, n_records


def _kind(fields: _Fields, base: str, reserved: bytes, annotated: bool) -> str:
    match = re.match(rb"\s*[EB]DF\+\s*([CD])?", reserved, re.IGNORECASE)
    if match:
        return f"{base}+{(match[1] or b'C').decode().upper()}"
    if reserved.strip(b" \0") and not reserved.upper().startswith((b"EDF", b"BDF", b"24BIT", b"BIOSEMI")):
        fields.note("reserved field", "unknown text", f"plain {base}")  # not shown: vendors write names there
    if annotated:
        fields.note("reserved field", f"plain {base} with an annotation signal", f"{base}+C")
        return f"{base}+C"
    return base


def _start(fields: _Fields, date: bytes, time: bytes) -> tuple[datetime | None, float | None]:
    """Start and time of day; a dummy date with a real time keeps the time (SHHS and others remove dates only)."""
    found = _TRIPLE.search(time)
    hour, minute, second = (int(part) for part in found.groups()) if found else (99, 99, 99)
    clock_s = None
    if hour < 24 and minute < 60 and second < 60:
        clock_s = 3600.0 * hour + 60 * minute + second
    else:
        fields.note("start time", "no time of day", "unknown")
    day = None
    if found := _TRIPLE.search(date):
        d, m, y = (int(part) for part in found.groups())
        if len(found[3]) == 2:
            y += 1900 if y >= 85 else 2000  # EDF+ 2.1.3.2: 1985 to 2084
        try:
            day = datetime(y, m, d)
        except ValueError:
            day = None
    if day is None:
        fields.note("start date", "no valid date", "unknown")
    if clock_s == 0 and (day is None or (day.day, day.month) == (1, 1)):
        fields.note("start time", "a placeholder (midnight of 1 January or of no day)", "unknown")
        return None, None
    if day is None or clock_s is None or (day.day, day.month, day.year) == (1, 1, 1985):
        return None, clock_s
    return day.replace(hour=hour, minute=minute, second=second), clock_s
