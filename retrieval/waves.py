"""Waveforms as a screen shows them: display filters, and the least and greatest sample of each column of pixels.

short windows   read from the files, filtered together with what lies beside the window, folded into columns
long windows    folded from bins of half a second, made of the whole recording at first need and kept while memory
                lasts; folding never loses a peak, since the extremes of a column are those of its bins
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from encoders.recordings import Recording
from encoders.recordings.channel_table import load_table
from encoders.recordings.quality import rules_of
from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, POSITIONS, STEP_CHANNELS
from retrieval.filters import filtered, settle_s

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

# Display filters of the AASM manual (chapter on technical specifications), by kind of channel, in Hz.
BANDS_HZ: Final = {"eeg": (0.3, 35.0), "eog": (0.3, 35.0), "emg": (10.0, 100.0), "ecg": (0.3, 70.0),
                   "flow": (0.1, 15.0), "effort": (0.1, 15.0), "sound": (10.0, 100.0)}  # fmt: skip
# The order of a polysomnogram from top to bottom.
_ORDER: Final = ("eeg", "eog", "emg", "ecg", "flow", "pap", "sound", "effort", "oximetry", "ppg", "rate", "position",
                 "gas", "device", "other")  # fmt: skip
_HELD: Final = frozenset({"oximetry", "rate", "position", "device"})  # kinds that are numbers held until the next
BIN_S: Final = 0.5
LONG_S: Final = 660.0  # windows above it come from the bins
KEPT_BYTES: Final = 64 * 2**20  # of bins, all recordings together
_OPEN: Final = 8  # recordings kept open
_SLOW_HZ: Final = 4 / BIN_S  # slower channels are kept whole: bins would not be fewer than samples
_CHUNK_S: Final = 1200.0
_PROBES, _PROBE_S = 8, 8.0  # stretches by which a channel's usual size is judged
_POINTS: Final = 3  # up to so many samples a column they are drawn themselves

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as it is shown: a slot of `vocabulary.CHANNELS`, or the canonical id of one beside them.

    band_hz: its display filter, None where it has none. steps: held between samples. substitute: stands in for another.
    codes: what its values mean, where they are codes.
    """

    name: str
    kind: str
    label: str
    unit: str
    rate_hz: float
    steps: bool
    substitute: bool
    means: str
    why: str
    band_hz: tuple[float, float] | None
    codes: dict[int, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch without a gap: column `i` covers `[start_s + i * step_s, …)`; float32 `(n,)`, NaN where nothing is
    known. `high` None: `low` are the samples themselves."""

    start_s: float
    step_s: float
    low: Floats
    high: Floats | None


@dataclass(frozen=True, slots=True)
class Window:
    """What is drawn of `[start_s, stop_s)`: pieces by channel, and the share of the bins that is made (1: all)."""

    start_s: float
    stop_s: float
    traces: dict[str, list[Piece]]
    done: float


@dataclass(frozen=True, slots=True)
class Look:
    """How channels are shown: filtered or `raw`, and a notch at 50 or 60 Hz."""

    raw: bool = False
    notch_hz: float | None = None


def kind_of(slot: str) -> str:
    """The kind of one of the twelve slots, whatever serves it."""
    by_slot = {"AF": "flow", "THX": "effort", "ABD": "effort", "POS": "position", "SPO2": "oximetry", "HR": "rate"}
    return by_slot.get(slot, slot.split("_")[0].lower())


def extremes(runs: Sequence[Run], start_s: float, step_s: float, columns: int) -> tuple[Floats, Floats]:
    """The least and the greatest sample of each column `[start_s + i * step_s, …)`, NaN where there is none."""
    low, high = np.full(columns, np.nan, np.float32), np.full(columns, np.nan, np.float32)
    edges_s = start_s + step_s * np.arange(columns + 1)
    for run in runs:
        samples = np.asarray(run.samples, np.float32)
        at = np.ceil((edges_s - run.start_s) * run.rate_hz - 1e-6).astype(np.int64).clip(0, len(samples))
        filled = np.flatnonzero(at[1:] > at[:-1])
        if len(filled):  # columns without samples are left out, and those left touch each other
            inside = samples[: at[-1]]
            low[filled] = np.fmin(low[filled], np.fmin.reduceat(inside, at[filled]))
            high[filled] = np.fmax(high[filled], np.fmax.reduceat(inside, at[filled]))
    return low, high


class Waves:
    """The waveforms of one recording, kept open; safe to use from several threads."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.channels = _channels(recording)
        self._lock = threading.Lock()
        self._making: dict[Look, list[Future[None]]] = {}
        self.found: dict[object, Any] = {}  # what was computed of it, gone when it is closed

    def window(self, start_s: float, stop_s: float, columns: int, look: Look, *, wait_s: float = 60.0) -> Window:
        """Every channel over `[start_s, stop_s)` in at most `columns` columns.

        Of a long window the channels whose bins are made within `wait_s`; ask again while `done` is below 1.
        """
        start_s, stop_s = max(start_s, 0.0), min(stop_s, self.recording.duration_s)
        if stop_s <= start_s or columns < 1:
            return Window(start_s, start_s, {}, 1.0)
        if stop_s - start_s <= LONG_S:
            runs = {c.name: self._shown(c, start_s, stop_s, look) for c in self.channels}
            return Window(start_s, stop_s, {n: _pieces(r, start_s, stop_s, columns) for n, r in runs.items()}, 1.0)
        made, done = self._bins(look, wait_s)
        traces = {
            name: _folded(bins, start_s, stop_s, columns) if isinstance(bins, _Bins)
            else _pieces(bins, start_s, stop_s, columns)
            for name, bins in made.items()
        }  # fmt: skip
        return Window(start_s, stop_s, traces, done)

    def done(self, look: Look) -> float:
        """The share of the channels whose bins are made."""
        return len(_kept.of(self, look)) / max(len(self.channels), 1)

    def sizes(self, look: Look) -> dict[str, tuple[float, float]]:
        """By channel, its middle and the half range that holds nearly all of it (of held ones all), over stretches
        of the whole night."""
        if look not in self.found:
            self.found[look] = self._sizes(look)
        known: dict[str, tuple[float, float]] = self.found[look]
        return known

    def _sizes(self, look: Look) -> dict[str, tuple[float, float]]:
        spans = self.recording.segments
        covered = np.cumsum([0.0, *(stop_s - start_s for start_s, stop_s in spans)])
        found = {}
        for channel in self.channels:
            parts = []
            for share in (np.arange(_PROBES) + 0.5) / _PROBES:
                into_s = share * covered[-1]
                n = int(np.searchsorted(covered, into_s, side="right")) - 1
                at_s = spans[n][0] + into_s - covered[n]
                parts += [np.asarray(r.samples) for r in self._shown(channel, at_s, at_s + _PROBE_S, look)]
            values = np.concatenate(parts) if parts else np.zeros(0, np.float32)
            values = values[np.isfinite(values)]
            if len(values) and channel.steps:
                low, high = float(values.min()), float(values.max())
                found[channel.name] = (low + high) / 2, (high - low) / 2
            elif len(values):
                middle = float(np.median(values))
                # an artifact in one stretch must not make the others flat
                sizes = [float(np.quantile(np.abs(p - middle), 0.99)) for p in parts if len(p) and np.isfinite(p).all()]
                found[channel.name] = middle, float(np.median(sizes)) if sizes else float(np.ptp(values)) / 2
        return found

    def _shown(self, channel: Channel, start_s: float, stop_s: float, look: Look) -> list[Run]:
        """Runs of `[start_s, stop_s)` as they are shown, filtered with what lies beside them."""
        band_hz = None if look.raw else channel.band_hz
        notch_hz = None if channel.steps or channel.kind in ("flow", "effort") else look.notch_hz
        pad_s = settle_s(band_hz, notch_hz)
        shown = []
        for run in self.recording.waveform(channel.name, max(start_s - pad_s, 0.0), stop_s + pad_s):
            samples = np.asarray(run.samples, np.float32)
            if channel.name in STEP_CHANNELS and not look.raw:
                low, high = rules_of(channel.name).valid
                samples = np.where((samples >= low) & (samples <= high), samples, np.float32(np.nan))
            elif not channel.steps:
                begins, ends = run.start_s > start_s - pad_s + 1e-3, run.stop_s < stop_s + pad_s - 1e-3
                samples = filtered(samples, run.rate_hz, band_hz, notch_hz, begins=begins, ends=ends)
            at = [int(np.ceil(max(s - run.start_s, 0) * run.rate_hz - 1e-6)) for s in (start_s, stop_s)]
            at = [max(at[0] - 1, 0), at[1] + 1]  # lines reach the edges
            if at[0] < min(at[1], len(samples)):
                start = run.start_s + at[0] / run.rate_hz
                shown.append(replace(run, start_s=start, samples=samples[at[0] : at[1]]))
        return shown

    def _bins(self, look: Look, wait_s: float) -> "tuple[dict[str, _Bins | list[Run]], float]":
        """The bins that are made, after waiting for them, and their share; a file that can't be read raises here."""
        with self._lock:
            making = self._making.get(look, [])
            have = _kept.of(self, look)
            if not making and len(have) < len(self.channels):
                lacking = [c for c in self.channels if c.name not in have]
                making = self._making[look] = [_makers.submit(self._make, c, look) for c in lacking]
        waiting = wait(making, wait_s).not_done
        if making and not waiting:
            self._making.pop(look, None)
            for made in making:
                made.result()
        return _kept.of(self, look), self.done(look)

    def _make(self, channel: Channel, look: Look) -> None:
        _kept.keep(self, look, channel.name, self._made(channel, look))

    def _made(self, channel: Channel, look: Look) -> "_Bins | list[Run]":
        duration_s = self.recording.duration_s
        if channel.rate_hz < _SLOW_HZ:
            return self._shown(channel, 0.0, duration_s, look)
        parts = []
        for start_s in np.arange(0.0, duration_s, _CHUNK_S):
            stop_s = min(start_s + _CHUNK_S, duration_s)
            columns = int(np.ceil((stop_s - start_s) / BIN_S))
            parts.append(extremes(self._shown(channel, start_s, stop_s, look), start_s, BIN_S, columns))
        return _Bins(*(np.concatenate(side) for side in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class _Bins:
    """The extremes of each half second of a recording."""

    low: Floats
    high: Floats


class _Kept:
    """Bins of the recordings last looked at, within `KEPT_BYTES`; the recording in use is kept whatever its size."""

    def __init__(self) -> None:
        self._all: OrderedDict[tuple[Waves, Look], dict[str, _Bins | list[Run]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, waves: Waves, look: Look) -> dict[str, _Bins | list[Run]]:
        with self._lock:
            if (waves, look) in self._all:
                self._all.move_to_end((waves, look))
            return dict(self._all.get((waves, look), {}))

    def keep(self, waves: Waves, look: Look, channel: str, bins: _Bins | list[Run]) -> None:
        with self._lock:
            self._all.setdefault((waves, look), {})[channel] = bins
            self._all.move_to_end((waves, look))
            while len(self._all) > 1 and self.held() > KEPT_BYTES:
                self._all.popitem(last=False)

    def drop(self, waves: Waves) -> None:
        with self._lock:
            for key in [key for key in self._all if key[0] is waves]:
                del self._all[key]

    def held(self) -> int:
        """Bytes."""
        return sum(_bytes(bins) for made in self._all.values() for bins in made.values())


def _bytes(bins: _Bins | list[Run]) -> int:
    parts = [bins.low, bins.high] if isinstance(bins, _Bins) else [np.asarray(run.samples) for run in bins]
    return sum(part.nbytes for part in parts)


_kept = _Kept()
_makers = ThreadPoolExecutor(2, thread_name_prefix="bins")
_open: OrderedDict[tuple[str, int, str], Waves] = OrderedDict()
_opening = threading.Lock()


def waves_of(cohort: "Cohort", recording: str) -> Waves:
    """The recording's waveforms, opened once and kept with those last looked at; `BadInput` where a file is gone."""
    key = str(cohort.root), cohort.snapshot.number, recording
    with _opening:
        known = _open.get(key)
    waves = known or Waves(cohort.recording(cohort.locate(recording).recording))  # others need not wait for the file
    with _opening:
        waves = _open.setdefault(key, waves)
        _open.move_to_end(key)
        while len(_open) > _OPEN:
            _kept.drop(_open.popitem(last=False)[1])
    return waves


def _channels(recording: Recording) -> tuple[Channel, ...]:
    table, found = load_table(), []
    rates = {row.label: row.rate_hz or 0.0 for row in recording.montage.rows}
    for name, choice in recording.montage.choices.items():
        kind = kind_of(name) if name in CHANNELS else table.kinds[choice.canonical]
        label = f"{choice.label} - {choice.minus_label}" if choice.minus_label else choice.label
        steps = name in STEP_CHANNELS or kind in _HELD
        band_hz = None if steps or choice.canonical == "emg_chin_envelope" else BANDS_HZ.get(kind)
        found.append(Channel(name, kind, label, choice.unit.replace("uV", "µV"), rates.get(choice.label, 0.0), steps,
                             choice.substitute, table.means[choice.canonical], choice.why, band_hz,
                             dict(POSITIONS) if name == "POS" else {}))  # fmt: skip
    slots = {slot: at for at, slot in enumerate(CHANNELS)}
    return tuple(sorted(found, key=lambda c: (_ORDER.index(c.kind), slots.get(c.name, len(slots)), c.name)))


def _pieces(runs: Sequence[Run], start_s: float, stop_s: float, columns: int) -> list[Piece]:
    """Samples themselves where they are few, and one more on either side; else the extremes of each column."""
    if not runs:
        return []
    if runs[0].rate_hz * (stop_s - start_s) > _POINTS * columns:
        step_s = (stop_s - start_s) / columns
        return [Piece(start_s, step_s, *extremes(runs, start_s, step_s, columns))]
    found = []
    for run in runs:
        first, last = (int((s - run.start_s) * run.rate_hz) for s in (start_s, stop_s))
        samples = np.asarray(run.samples, np.float32)[max(first - 1, 0) : last + 2]
        if last + 2 > 0 and len(samples):
            found.append(Piece(run.start_s + max(first - 1, 0) / run.rate_hz, 1 / run.rate_hz, samples, None))
    return found


def _folded(bins: _Bins, start_s: float, stop_s: float, columns: int) -> list[Piece]:
    """Columns of whole bins; the first and the last may reach beyond the window."""
    first, last = int(start_s // BIN_S), min(int(np.ceil(stop_s / BIN_S)), len(bins.low))
    each = max(int(np.ceil((last - first) / columns)), 1)
    lacking = -(last - first) % each
    low, high = (
        np.pad(side[first:last], (0, lacking), constant_values=np.nan).reshape(-1, each)
        for side in (bins.low, bins.high)
    )
    return [Piece(first * BIN_S, each * BIN_S, np.fmin.reduce(low, axis=1), np.fmax.reduce(high, axis=1))]
