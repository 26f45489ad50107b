"""Write EDF, EDF+C, EDF+D and their 24-bit BDF twins: samples through pyedflib, texts and record times by us.

pyedflib cannot write EDF+D, letters other than ASCII, limits below a millionth or texts over 40 bytes; so it writes
the samples and the skeleton, and the header's fields and the annotation signals are set in place afterwards.
"""

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyedflib
from numpy.typing import NDArray

from encoders.recordings.header import BLOCK, MAIN, SIGNAL
from encoders.recordings.tal import Annotation, format_tal

TAL_BYTES: Final = 114  # of one annotation signal in one record, as pyedflib lays them out
MAX_TAL_SIGNALS: Final = 64
DUMMY_START: Final = datetime(1985, 1, 1)
_CHUNK_RECORDS: Final = 256
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TYPES: Final = {
    "EDF": pyedflib.FILETYPE_EDF, "EDF+C": pyedflib.FILETYPE_EDFPLUS, "EDF+D": pyedflib.FILETYPE_EDFPLUS,
    "BDF": pyedflib.FILETYPE_BDF, "BDF+C": pyedflib.FILETYPE_BDFPLUS, "BDF+D": pyedflib.FILETYPE_BDFPLUS,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class EdfSignal:
    """One signal to write: integer `samples` are stored as they are, floats are physical and are quantised.

    Limits left out: digital ones span the file's integers; physical ones hold the samples (floats) or equal the
    digital ones (integers). Physical limits are rounded to the eight letters that the format has for them.
    """

    label: str
    samples: NDArray[Any]
    rate_hz: float
    unit: str = ""
    physical_min: float | None = None
    physical_max: float | None = None
    digital_min: int | None = None
    digital_max: int | None = None
    transducer: str = ""
    prefilter: str = ""


def write_edf(
    path: Path,
    signals: Sequence[EdfSignal],
    *,
    start: datetime | None,
    annotations: Sequence[Annotation] = (),
    kind: str = "EDF+C",
    record_s: float = 1.0,
    record_onsets_s: Sequence[float] | None = None,
    recording_note: str = "",
) -> None:
    """Write one file; `start` to the second (None: a dummy, 1 January 1985 at midnight), no patient field.

    Every signal holds the same number of whole records of `record_s` (0.001 to 60 s). `record_onsets_s` gives the
    start of each record in seconds from `start` (EDF+D gaps; needed by the D kinds, allowed in all but plain ones).
    Without signals the file holds annotations only. Raises ValueError for what the format cannot hold.
    """
    if kind not in _TYPES:
        raise ValueError(f"kind {kind!r}: accepted are {', '.join(_TYPES)}")
    plain = "+" not in kind
    if plain and (annotations or record_onsets_s is not None):
        raise ValueError(f"{kind} holds neither annotations nor record times; write {kind}+C")
    if kind.endswith("D") and record_onsets_s is None:
        raise ValueError(f"{kind} needs record_onsets_s, the start of each record")
    per_record = [_per_record(signal, record_s) for signal in signals]
    n_records = _n_records(signals, per_record, len(annotations))
    onsets_s = [i * record_s for i in range(n_records)] if record_onsets_s is None else list(record_onsets_s)
    if len(onsets_s) != n_records:
        raise ValueError(f"{len(onsets_s)} record times for {n_records} records")
    scales = [_Scale(signal, 24 if kind.startswith("BDF") else 16) for signal in signals]
    tals = b"" if plain else _lay_out(annotations, onsets_s, in_time=bool(signals))
    n_tal_signals = len(tals) // (n_records * TAL_BYTES)

    start = (start or DUMMY_START).replace(microsecond=0)
    patches = _texts(signals, scales, n_tal_signals, start, recording_note)
    if not plain:
        patches.append((_offset(MAIN, "reserved"), kind.encode()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyedflib warns of any record duration that is set
        writer = pyedflib.EdfWriter(str(path), len(signals), _TYPES[kind])
        try:
            writer.setStartdatetime(start)
            if not plain:
                writer.set_number_of_annotation_signals(n_tal_signals)
            writer.setSignalHeaders([
                {"label": f"s{i}", "sample_frequency": spr / record_s, "physical_min": -1.0, "physical_max": 1.0,
                 "digital_min": scale.digital_min, "digital_max": scale.digital_max, "dimension": ""}
                for i, (spr, scale) in enumerate(zip(per_record, scales, strict=True))
            ])  # fmt: skip
            writer.setDatarecordDuration(record_s)
            _write_records(writer, scales, per_record, n_records, kind)
        finally:
            writer.close()
    with Path(path).open("r+b") as file:
        for at, raw in patches:
            file.seek(at)
            file.write(raw)
    if tals:
        sample_bytes = 3 if kind.startswith("BDF") else 2
        record_bytes = sample_bytes * sum(per_record) + n_tal_signals * TAL_BYTES
        header_bytes = BLOCK * (1 + len(signals) + n_tal_signals)
        body = np.memmap(path, np.uint8, "r+", header_bytes, (n_records, record_bytes))
        body[:, sample_bytes * sum(per_record) :] = np.frombuffer(tals, np.uint8).reshape(n_records, -1)
        body.flush()


class _Scale:
    """The limits of one signal, as written, and its samples as integers."""

    def __init__(self, signal: EdfSignal, bits: int) -> None:
        self.samples = np.asarray(signal.samples)
        lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        self.digital_min = lowest if signal.digital_min is None else signal.digital_min
        self.digital_max = highest if signal.digital_max is None else signal.digital_max
        self.stored = np.issubdtype(self.samples.dtype, np.integer)
        low, high = float(self.digital_min), float(self.digital_max)
        if not self.stored:
            low, high = float(np.min(self.samples)), float(np.max(self.samples))
            if not math.isfinite(low + high):
                raise ValueError(f"signal {signal.label!r} has samples that are not finite; leave their records out")
            margin = 0.001 * (high - low) or 1.0
            low, high = low - margin, high + margin
        self.minimum = _eight(low if signal.physical_min is None else signal.physical_min)
        self.maximum = _eight(high if signal.physical_max is None else signal.physical_max)
        reach = float(self.maximum) - float(self.minimum)
        if not (lowest <= self.digital_min < self.digital_max <= highest and reach):
            raise ValueError(
                f"signal {signal.label!r}: limits physical {self.minimum} to {self.maximum}, digital "
                f"{self.digital_min} to {self.digital_max}; they must differ and fit {bits} bits"
            )
        self.gain = reach / (self.digital_max - self.digital_min)

    def digital(self, begin: int, end: int) -> NDArray[Any]:
        samples = self.samples[begin:end]
        if not self.stored:
            samples = np.rint((samples.astype(np.float64) - float(self.minimum)) / self.gain + self.digital_min)
        clipped: NDArray[Any] = np.clip(samples, self.digital_min, self.digital_max)
        return clipped


def _write_records(
    writer: pyedflib.EdfWriter, scales: list[_Scale], per_record: list[int], n_records: int, kind: str
) -> None:
    if not scales:
        for index in range(n_records):  # each makes pyedflib write one record
            writer.writeAnnotation(float(index), -1, "x")
        return
    wide = kind.startswith("BDF")
    put = writer.blockWriteDigitalSamples if wide else writer.blockWriteDigitalShortSamples
    for at in range(0, n_records, _CHUNK_RECORDS):
        count = min(_CHUNK_RECORDS, n_records - at)
        block = np.empty((count, sum(per_record)), np.int32 if wide else np.int16)
        column = 0
        for scale, spr in zip(scales, per_record, strict=True):
            block[:, column : column + spr] = scale.digital(at * spr, (at + count) * spr).reshape(count, spr)
            column += spr
        for record in block:
            if put(record) != 0:
                raise OSError(f"pyedflib could not write record {at}; is the disk full?")


def _per_record(signal: EdfSignal, record_s: float) -> int:
    samples = signal.rate_hz * record_s
    if round(samples) < 1 or abs(samples - round(samples)) > 1e-6:
        raise ValueError(
            f"signal {signal.label!r}: {signal.rate_hz:g} Hz gives {samples:g} samples in a record of {record_s:g} s; "
            "choose record_s so that it is whole"
        )
    return round(samples)


def _n_records(signals: Sequence[EdfSignal], per_record: list[int], n_annotations: int) -> int:
    if not signals:
        return max(1, n_annotations)
    counts = {signal.label: len(signal.samples) / spr for signal, spr in zip(signals, per_record, strict=True)}
    n_records = next(iter(counts.values()))
    if n_records != int(n_records) or n_records < 1 or set(counts.values()) != {n_records}:
        raise ValueError(f"signals must hold the same number of whole records; they hold {counts}")
    return int(n_records)


def _lay_out(annotations: Sequence[Annotation], onsets_s: Sequence[float], in_time: bool) -> bytes:
    """The annotation signals of all records: the record's time, then annotations in order of onset.

    `in_time` holds each back until the record that it begins in (beside signals), else records fill from the first.
    """
    timed = sorted(annotations, key=lambda annotation: annotation.onset_s)
    tals = [format_tal(a.onset_s, a.duration_s, a.text) for a in timed]
    if tals and len(longest := max(tals, key=len)) > TAL_BYTES:
        raise ValueError(f"an annotation takes {len(longest)} bytes, {TAL_BYTES} are possible; shorten its text")
    n_signals = 1
    while n_signals <= MAX_TAL_SIGNALS:
        slots = [bytearray() for _ in range(len(onsets_s) * n_signals)]
        for index, onset_s in enumerate(onsets_s):
            slots[index * n_signals] += format_tal(onset_s, None, "")
        at = 0
        for annotation, tal in zip(timed, tals, strict=True):
            if in_time:
                at = max(at, (bisect_right(onsets_s, annotation.onset_s) - 1) * n_signals)
            while at < len(slots) and len(slots[at]) + len(tal) > TAL_BYTES:
                at += 1
            if at == len(slots):
                break
            slots[at] += tal
        else:
            return b"".join(bytes(slot).ljust(TAL_BYTES, b"\0") for slot in slots)
        n_signals *= 2
    raise ValueError(f"{len(tals)} annotations do not fit {len(onsets_s)} records; use shorter records")


def _eight(value: float) -> str:
    """A number in at most eight letters without an exponent, as precisely as they allow."""
    for decimals in range(7, -1, -1):
        text = f"{value:.{decimals}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        if len(text) <= 8:
            return "0" if text == "-0" else text
    raise ValueError(f"physical limit {value:g} does not fit the eight letters that EDF has for it; scale the unit")


def _texts(
    signals: Sequence[EdfSignal], scales: list[_Scale], n_tal_signals: int, start: datetime, note: str
) -> list[tuple[int, bytes]]:
    """Where each text of the header goes, and its bytes: Latin-1, as recorders write it, else UTF-8."""
    day = "X" if start == DUMMY_START else f"{start.day:02d}-{_MONTHS[start.month - 1]}-{start.year}"
    recording = f"Startdate {day} X X X {'_'.join(note.split())}".strip()
    patches = [(_offset(MAIN, "recording"), _padded("recording", recording, dict(MAIN)["recording"]))]
    for name, values in {
        "label": [signal.label for signal in signals],
        "transducer": [signal.transducer for signal in signals],
        "unit": [signal.unit for signal in signals],
        "prefilter": [signal.prefilter for signal in signals],
        "physical minimum": [scale.minimum for scale in scales],
        "physical maximum": [scale.maximum for scale in scales],
    }.items():
        width = dict(SIGNAL)[name]
        at = BLOCK + _offset(SIGNAL, name) * (len(signals) + n_tal_signals)
        patches.append((at, b"".join(_padded(name, value, width) for value in values)))
    return patches


def _offset(layout: tuple[tuple[str, int], ...], name: str) -> int:
    names = [field for field, _ in layout]
    return sum(width for _, width in layout[: names.index(name)])


def _padded(name: str, text: str, width: int) -> bytes:
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        raw = text.encode("utf-8")
    if len(raw) > width:
        raise ValueError(f"{name} {text!r} takes {len(raw)} bytes, EDF has {width}")
    return raw.ljust(width)
