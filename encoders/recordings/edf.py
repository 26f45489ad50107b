"""An EDF(+) or BDF(+) file as a lazy memory map: samples, annotations and the stretches without a gap.

Time is seconds from the header's start. In EDF+D each record states its own time (EDF+ 2.2.4): every jump starts a
new segment, so that a gap is never joined. EDF+C files whose record times jump are read the same way.
"""

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from encoders.recordings.header import EdfHeader, read_header
from encoders.recordings.tal import Annotation, parse_tals, record_onsets
from encoders.recordings.timeline import Repair, Run

CHUNK_SAMPLES: Final = 65_536  # converted and scaled at a time, so that the second pass stays in the cache
MAX_DRIFT_S: Final = 0.5  # summed rounding of record times that a segment may carry
Segment = tuple[float, int, int]  # start_s, first record, records


class EdfFile:
    """One file, opened without reading its samples; cheap to pickle, since it opens anew from its path."""

    def __init__(self, path: Path) -> None:
        self.header: EdfHeader = read_header(path)
        widths = [self.header.sample_bytes * signal.samples_per_record for signal in self.header.signals]
        self._at = np.concatenate(([0], np.cumsum(widths))).tolist()
        self.segments, notes = self._read_segments()
        self.header = replace(self.header, repairs=self.header.repairs + notes)

    def __reduce__(self) -> tuple[type["EdfFile"], tuple[Path]]:
        return EdfFile, (self.header.path,)

    @property
    def duration_s(self) -> float:
        """End of the last record on the timeline, gaps included."""
        start_s, _, count = self.segments[-1]
        return start_s + count * self.header.record_s

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """What was repaired in the header, the record times and the annotations (which this reads)."""
        return self.header.repairs + self._annotations[1]

    def rate_hz(self, index: int) -> float:
        """Samples a second of one signal; 0 where it has no samples or its records no duration."""
        record_s = self.header.record_s
        return self.header.signals[index].samples_per_record / record_s if record_s else 0.0

    def digital(self, index: int) -> list[Run]:
        """One run per segment with the samples as stored: int16, or int32 from BDF; [] where it has no rate."""
        rate_hz = self.rate_hz(index)
        return [
            Run(start_s, rate_hz, np.array(self._stored(index, first, first + count)).reshape(-1))
            for start_s, first, count in self.segments
            if rate_hz
        ]

    def runs(self, index: int, start_s: float = 0.0, stop_s: float | None = None) -> list[Run]:
        """One run per segment with the samples of `[start_s, stop_s)` in physical units, float32.

        [] where the header gives the signal no scale, no samples or no rate. Only the records asked for are read.
        """
        signal = self.header.signals[index]
        rate_hz = self.rate_hz(index)
        per_record = signal.samples_per_record
        if not (signal.usable and rate_hz):
            return []
        found = []
        for segment_s, first, count in self.segments:
            last = count * per_record
            begin = math.ceil(min(max((start_s - segment_s) * rate_hz - 1e-6, 0), last))
            end = last if stop_s is None else math.ceil(min(max((stop_s - segment_s) * rate_hz - 1e-6, 0), last))
            if begin >= end:
                continue
            record = begin // per_record
            samples = self._physical(index, first + record, first - (-end // per_record))
            cut = samples[begin - record * per_record : end - record * per_record]
            found.append(Run(segment_s + begin / rate_hz, rate_hz, cut))
        return found

    def annotations(self) -> list[Annotation]:
        """All annotations of all annotation signals in order of onset, record times left out."""
        return list(self._annotations[0])

    @cached_property
    def _bytes(self) -> NDArray[np.uint8]:
        return np.asarray(np.memmap(self.header.path, np.uint8, "r"))

    @cached_property
    def _annotations(self) -> tuple[list[Annotation], tuple[Repair, ...]]:
        signals = [self._raw(index) for index in self._annotation_signals()]
        found, garbage = parse_tals(*signals) if signals else ([], 0)
        file = self.header.path.name
        notes = (Repair(file, "annotations", f"{garbage} garbled entries", "what could be read"),) if garbage else ()
        return sorted(found, key=lambda annotation: annotation.onset_s), notes

    def _annotation_signals(self) -> list[int]:
        signals = enumerate(self.header.signals)
        return [index for index, signal in signals if signal.is_annotation and signal.samples_per_record]

    def _raw(self, index: int) -> NDArray[np.uint8]:
        """The bytes of one signal, `(records, bytes)`; a view."""
        header = self.header
        shape = (header.n_records, self._at[index + 1] - self._at[index])
        at = header.header_bytes + self._at[index]
        return np.ndarray(shape, np.uint8, self._bytes, at, (header.record_bytes, 1))

    def _stored(self, index: int, first: int, stop: int) -> NDArray[np.int16] | NDArray[np.int32]:
        """Samples of whole records, `(records, samples per record)`: a view for EDF, new for BDF."""
        header = self.header
        shape = (stop - first, header.signals[index].samples_per_record)
        at = header.header_bytes + first * header.record_bytes + self._at[index]
        if header.sample_bytes == 2:
            return np.ndarray(shape, "<i2", self._bytes, at, (header.record_bytes, 2))
        # four bytes a sample, overlapping: the stray one below falls out with the shift, which brings the sign down
        return np.ndarray(shape, "<i4", self._bytes, at - 1, (header.record_bytes, 3)) >> 8

    def _physical(self, index: int, first: int, stop: int) -> NDArray[np.float32]:
        signal = self.header.signals[index]
        gain, offset = np.float32(signal.gain), np.float32(signal.offset)
        out = np.empty((stop - first, signal.samples_per_record), np.float32)
        step = max(1, CHUNK_SAMPLES // signal.samples_per_record)
        for at in range(0, len(out), step):
            chunk = out[at : at + step]
            chunk[...] = self._stored(index, first + at, first + at + len(chunk))
            chunk *= gain
            chunk += offset
        return out.reshape(-1)

    def _read_segments(self) -> tuple[tuple[Segment, ...], tuple[Repair, ...]]:
        header = self.header
        whole: tuple[Segment, ...] = ((0.0, 0, header.n_records),)
        if "+" not in header.kind or header.record_s == 0:
            return whole, ()
        clocks = self._annotation_signals()
        if not clocks:
            note = Repair(header.path.name, "record times", f"{header.kind} without annotation signal", "no gaps")
            return whole, (note,)
        if header.kind.endswith("C"):  # two records tell whether there is anything to look at
            ends = record_onsets(self._raw(clocks[0])[[0, -1]])
            if abs(ends[1] - ends[0] - (header.n_records - 1) * header.record_s) < MAX_DRIFT_S and ends[0] < 1:
                return ((float(ends[0]), 0, header.n_records),), ()
        rates = [self.rate_hz(index) for index, signal in enumerate(header.signals) if not signal.is_annotation]
        tolerance_s = max(0.001, 0.5 / max([*rates, 1.0]))
        segments, found = split_at_gaps(record_onsets(self._raw(clocks[0])), header.record_s, tolerance_s)
        if header.kind.endswith("C") and len(segments) > 1:
            found = [*found, (f"{header.kind} with {len(segments) - 1} jumps", "gaps, as in EDF+D")]
        return segments, tuple(Repair(header.path.name, "record times", *pair) for pair in found)


def split_at_gaps(
    onsets_s: NDArray[np.float64], record_s: float, tolerance_s: float
) -> tuple[tuple[Segment, ...], list[tuple[str, str]]]:
    """Contiguous stretches `(start_s, first record, records)` from record times, and what was odd, in words.

    An unreadable time (NaN), or a single one that contradicts both neighbours, follows from the record before. Times
    that run backwards (a clock set back) continue where the record before ended; later jumps count from there.
    """
    onsets_s = onsets_s.copy()
    across = onsets_s[2:] - onsets_s[:-2]
    lone = (np.abs(across - 2 * record_s) <= tolerance_s) & ~(
        np.abs(onsets_s[1:-1] - onsets_s[:-2] - record_s) <= MAX_DRIFT_S
    )
    onsets_s[1:-1][lone] = np.nan
    missing = int(np.isnan(onsets_s).sum())
    start_s = before = 0.0 if math.isnan(onsets_s[0]) else float(onsets_s[0])
    first = backwards = 0
    shift_s = 0.0  # what backward steps have added to the file's own times
    segments: list[Segment] = []
    for index, onset_s in enumerate(onsets_s.tolist()[1:], 1):
        expected_s = start_s + (index - first) * record_s
        if math.isnan(onset_s):
            before += record_s
            continue
        if onset_s >= expected_s - tolerance_s:
            shift_s = 0.0
        step_s = onset_s - before - record_s
        before = onset_s
        drift_s = onset_s + shift_s - expected_s
        if abs(step_s) <= tolerance_s and abs(drift_s) <= MAX_DRIFT_S:
            continue
        if drift_s < -tolerance_s:
            backwards += 1
            shift_s -= drift_s
        elif drift_s > tolerance_s:
            segments.append((start_s, first, index - first))
            start_s, first = onset_s + shift_s, index
    segments.append((start_s, first, len(onsets_s) - first))
    odd = []
    if missing:
        odd.append((f"{missing} records with no or an isolated odd time", "the end of the record before"))
    if backwards:
        odd.append((f"{backwards} steps backwards or overlaps", "the end of the record before"))
    return tuple(segments), odd
