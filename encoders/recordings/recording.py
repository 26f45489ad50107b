"""One recording: one file, or the files of one session, on one timeline in seconds from its start.

Several files are laid side by side by the start date and time in their headers; the earliest file with signals is the
start, files of annotations alone follow it. Gaps stay gaps. Nothing is read before it is asked for, except oximeter and
heart-rate channels up to their first valid value: one without any is off (a PAP machine without oximeter writes -1).
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from encoders.errors import AmbiguousChannel, BadInput, UnknownChannel
from encoders.recordings.annotations.align import RecordingClock
from encoders.recordings.channel_table import load_table
from encoders.recordings.edf import EdfFile
from encoders.recordings.montage import UNKNOWN_LABEL, Choice, Montage, resolve_montage
from encoders.recordings.privacy import private_id
from encoders.recordings.site_channels import SiteChannels, find_site_channels, load_site_channels
from encoders.recordings.tal import Annotation
from encoders.recordings.timeline import DAY_S, Repair, Run
from encoders.vocabulary import POSITIONS

_OFF_WHEN_NEVER_POSITIVE: Final = frozenset({"oximetry", "rate"})
_PROBE_S: Final = 600.0  # stretch read at a time while looking for a first valid value
_MAX_BETWEEN_S: Final = DAY_S / 2  # files of one session start within half a day of each other
_POSITION_CODES: Final = {word: code for code, word in POSITIONS.items()}


class Recording:
    """One night; built by `open_recording`.

    start_clock_s: seconds since midnight at its start, None when the header has no real clock. duration_s: end of the
    last sample, gaps included. segments: stretches `(start_s, stop_s)` that some signal covers. repairs: what had to
    be read otherwise than written. header_notes: what the montage and the layout of the files want said. start: date
    and time, only to lay annotation files beside it; it never leaves the reader.
    """

    def __init__(
        self, recording_id: str, files: Sequence[EdfFile], offsets_s: Sequence[float], montage: Montage,
        *, id_hashed: bool, notes: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        signal_files = [(file, offset_s) for file, offset_s in zip(files, offsets_s, strict=True) if _has_signals(file)]
        first = min(signal_files, key=lambda entry: entry[1])[0].header
        self.id, self.id_hashed = recording_id, id_hashed
        self.paths = tuple(file.header.path for file in files)
        self.montage = montage
        self.cohort = montage.cohort
        self.start_clock_s = first.start_clock_s
        self.start: datetime | None = first.start
        self.simulated = any(file.header.simulated for file in files)
        self.header_notes = notes + montage.notes
        self.segments = _merged(
            (offset_s + start_s, offset_s + start_s + count * file.header.record_s)
            for file, offset_s in signal_files
            for start_s, _, count in file.segments
        )
        self.duration_s = self.segments[-1][1]
        self._files, self._offsets_s = tuple(files), tuple(offsets_s)
        self._at = _signals_of(files)

    def __repr__(self) -> str:
        hours = f"{self.duration_s / 3600:.1f} h"
        return f"Recording({self.id}, {hours}, {self.cohort or 'cohort unknown'}, {' '.join(self.montage.slots)})"

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """Repairs of all its files, those of embedded annotations included."""
        return tuple(repair for file in self._files for repair in file.repairs)

    def runs(self, channel: str) -> list[Run]:
        """All samples of a slot or canonical channel, float32, one run per contiguous stretch; [] when it is absent.

        Derived and in the unit of its `Choice`. POS comes in the codes of `vocabulary.POSITIONS`, NaN where a code
        has no documented meaning.
        """
        return self.waveform(channel, 0.0, None)

    def waveform(self, channel: str, start_s: float, stop_s: float | None) -> list[Run]:
        """The samples of `[start_s, stop_s)`, as `runs` gives them, without reading the rest."""
        choice = self.montage.find(channel)
        if choice is None:
            return []
        found = self._physical(choice.index, start_s, stop_s)
        if choice.minus_index is not None:
            found = _difference(found, self._physical(choice.minus_index, start_s, stop_s))
        if choice.channel == "POS":
            return [replace(run, samples=self._positions(np.asarray(run.samples))) for run in found]
        if choice.scale != 1:
            return [replace(run, samples=np.asarray(run.samples) * np.float32(choice.scale)) for run in found]
        return found

    def raw_runs(self, label: str) -> list[Run]:
        """A signal by its label in the header, in the header's unit; UnknownChannel names the labels there are."""
        for index, (file, local) in enumerate(self._at):
            if self._files[file].header.signals[local].label == label:
                return self._physical(index, 0.0, None)
        labels = ", ".join(row.label for row in self.montage.rows)
        raise UnknownChannel(f"{self.id}: no signal is labelled {label!r}. Labels: {labels}.")

    def flags(self, channel: str) -> list[Run]:
        """The lead-off flag of a channel, where the recorder wrote one; [] otherwise."""
        label = self.montage.lead_off.get(channel)
        return [] if label is None else self.raw_runs(label)

    def oximeter_status(self) -> list[Run]:
        """The oximeter's status channel as stored; [] when there is none."""
        label = self.montage.oximeter_status
        return [] if label is None else self.raw_runs(label)

    def annotations(self) -> list[Annotation]:
        """EDF+ annotations embedded in its files, on the recording's timeline."""
        found = [
            replace(annotation, onset_s=annotation.onset_s + offset_s)
            for file, offset_s in zip(self._files, self._offsets_s, strict=True)
            for annotation in file.annotations()
        ]
        return sorted(found, key=lambda annotation: annotation.onset_s)

    def clock(self) -> RecordingClock:
        """What the annotation readers need to lay their files over this recording."""
        return RecordingClock(self.duration_s, self.start_clock_s, self.start, self.segments, tuple(self.annotations()))

    def _physical(self, index: int, start_s: float, stop_s: float | None) -> list[Run]:
        number, local = self._at[index]
        offset_s = self._offsets_s[number]
        stop_s = None if stop_s is None else stop_s - offset_s
        runs = self._files[number].runs(local, start_s - offset_s, stop_s)
        return [replace(run, start_s=run.start_s + offset_s) for run in runs] if offset_s else runs

    def _positions(self, raw: np.ndarray) -> np.ndarray:
        """Raw codes as `vocabulary.POSITIONS`; NaN for a value that no documented code comes within 0.25 of."""
        # Hours pass between two turns: each stretch of one value is looked up once.
        first = np.flatnonzero(np.diff(raw, prepend=np.nan) != 0)
        value = raw[first]
        codes = np.full(len(first), np.nan, np.float32)
        for code, word in (self.montage.position_codes or {}).items():
            codes[np.abs(value - code) < 0.25] = _POSITION_CODES[word]
        return np.repeat(codes, np.diff(first, append=len(raw)))


def open_recording(
    paths: Sequence[Path],
    *,
    recording_id: str | None = None,
    cohort: str | None = None,
    overrides: Mapping[str, str] | None = None,
    strict: bool = False,
    position_codes: Mapping[int, str] | None = None,
    id_key: bytes | None = None,
) -> Recording:
    """Open the files of one recording and choose its channels.

    What is given here comes before the nearest `channels.toml` (`site_channels.py`), that before the tables.
    recording_id: else the first file's stem, hashed with `id_key` (random when not given) if it shows a person.
    Raises UnreadableRecording, AmbiguousChannel, UnknownChannel (no usable channel) or BadInput, one line each.
    """
    if not paths:
        raise BadInput("a recording needs at least one file")
    files = [EdfFile(Path(path)) for path in paths]
    name = files[0].header.path.name
    if not any(_has_signals(file) for file in files):
        raise UnknownChannel(f"{name}: holds annotations only. Give the recording that they belong to as well.")
    offsets_s, notes = _lay_out(files)
    site_path = find_site_channels(files[0].header.path)
    site = load_site_channels(site_path) if site_path else SiteChannels()
    at = _signals_of(files)
    signals = [files[file].header.signals[local] for file, local in at]
    rates_hz = [files[file].rate_hz(local) for file, local in at]

    def resolve(off: Mapping[int, str]) -> Montage:
        return resolve_montage(
            signals, cohort=cohort or site.cohort, overrides={**site.overrides, **(overrides or {})}, strict=strict,
            file=name, rates_hz=rates_hz, origins=[file for file, _ in at], off=off,
            position_codes=position_codes or site.position_codes,
        )  # fmt: skip

    montage = resolve({})
    off: dict[int, str] = {}
    while silent := _never_positive(montage, files, at):
        off |= silent
        montage = resolve(off)
    if not montage.slots:
        if montage.problems:
            raise AmbiguousChannel(f"{name}: {montage.problems[0]}")
        labels = [row.label + (f" ({row.why})" if row.why != UNKNOWN_LABEL else "") for row in montage.rows]
        raise UnknownChannel(
            f"{name}: no usable channel. Labels: {', '.join(labels) or 'none'}. Say what they are in a channels.toml "
            f'beside the recording: [labels] "<label>" = "<channel>", for example eeg_c4_m1.'
        )
    hashed = False
    if recording_id is None:
        recording_id, hashed = private_id(files[0].header.path.stem, id_key or secrets.token_bytes(16))
    if site_path:
        notes = (*notes, f"labels explained by the site's own {site_path.name}")
    return Recording(recording_id, files, offsets_s, montage, id_hashed=hashed, notes=notes)


def _has_signals(file: EdfFile) -> bool:
    """Whether a file holds samples over time, beside annotations and zero-second records."""
    return bool(file.header.record_s) and any(signal.usable for signal in file.header.signals)


def _signals_of(files: Sequence[EdfFile]) -> list[tuple[int, int]]:
    """(file, signal) of every signal of the files that hold samples over time."""
    return [(n, i) for n, file in enumerate(files) if _has_signals(file) for i in range(len(file.header.signals))]


def _lay_out(files: Sequence[EdfFile]) -> tuple[list[float], tuple[str, ...]]:
    """Seconds by which each file starts after the recording; and what had to be assumed."""
    if len(files) == 1:
        return [0.0], ()
    starts = [file.header.start for file in files]
    known = [start for start, file in zip(starts, files, strict=True) if start is not None and _has_signals(file)]
    if not known:
        return [0.0] * len(files), ("no start time in the headers: its files are taken to start together",)
    origin = min(known)
    offsets_s, notes = [], []
    for start in starts:
        if start is None:
            notes.append("one of its files has no start time: taken to start with the others")
        offsets_s.append(0.0 if start is None else (start - origin).total_seconds())
    far = next((n for n, offset_s in enumerate(offsets_s) if abs(offset_s) > _MAX_BETWEEN_S), None)
    if far is not None:
        other, hours = files[far].header.path.name, abs(offsets_s[far]) / 3600
        raise BadInput(f"{other}: starts {hours:.1f} h away from {files[0].header.path.name}: not one recording.")
    return offsets_s, tuple(notes)


def _never_positive(montage: Montage, files: Sequence[EdfFile], at: Sequence[tuple[int, int]]) -> dict[int, str]:
    """Chosen oximeter and rate channels without any value above zero: nothing was connected."""
    kinds = load_table().kinds

    def silent(choice: Choice) -> bool:
        file, local = files[at[choice.index][0]], at[choice.index][1]
        starts = np.arange(0.0, file.duration_s, _PROBE_S)
        probes = (run for start_s in starts for run in file.runs(local, start_s, start_s + _PROBE_S))
        return not any((np.asarray(run.samples) > 0).any() for run in probes)

    chosen = [choice for choice in montage.choices.values() if kinds[choice.canonical] in _OFF_WHEN_NEVER_POSITIVE]
    why = "off: no value above zero in the whole recording"
    return {choice.index: why for choice in chosen if silent(choice)}


def _difference(plus: Sequence[Run], minus: Sequence[Run]) -> list[Run]:
    """Sample by sample; both come from one file at one rate, so their runs match."""
    return [
        Run(one.start_s, one.rate_hz, np.asarray(one.samples) - np.asarray(two.samples))
        for one, two in zip(plus, minus, strict=True)
    ]


def _merged(stretches: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Overlapping or touching stretches joined."""
    merged: list[tuple[float, float]] = []
    for start_s, stop_s in sorted(stretches):
        if merged and start_s <= merged[-1][1] + 1e-6:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop_s)
        else:
            merged.append((start_s, stop_s))
    return tuple(merged)
