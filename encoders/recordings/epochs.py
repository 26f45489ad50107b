"""A night as 30-second epochs: signals on the 64 Hz grid, what is present, its quality, and each channel's statistics.

Whatever epochs are asked for, quality and statistics are judged over the whole recording (on the 30-second grid that
runs through the epochs asked for), so an epoch comes out the same alone, in a slice and in its night. Missing is a
mask: a gap, a dead sensor or an absent channel is never filled with a signal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

from encoders.recordings.quality import DOUBT, Quality, doubt_label, judge, measure_blocks, rules_of
from encoders.recordings.resample import fill, hold, resample
from encoders.recordings.timeline import Run, Scoring
from encoders.vocabulary import CHANNELS, EPOCH_S, EPOCH_SAMPLES, RATE_HZ, STEP_CHANNELS

Floats = NDArray[np.float32]
Times = NDArray[np.float64]
Bools = NDArray[np.bool_]
Flags = NDArray[np.uint8]
Sample = TypeVar("Sample", np.float32, np.bool_)

# Edges of the bands in which a night's usual power is kept: breathing at the low end, spindles and beta at the high.
BANDS_HZ = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 25.0, 31.0)
PERCENTILES = (10, 50, 90)

_STATUS_SHARE = 0.9  # an oximeter status that is set this often while readings are in range means something else
_LEAST_POWER = 1e-20  # of a flat line: its logarithm must be a number
_SLACK_S = 1e-6  # times are sums of floats: sooner or later by less than this is the same instant


class HasChannels(Protocol):
    """What epochs are built from: a `Recording`, or anything that gives runs of samples by channel."""

    def runs(self, channel: str) -> Sequence[Run]: ...
    def flags(self, channel: str) -> Sequence[Run]: ...
    def oximeter_status(self) -> Sequence[Run]: ...


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Each channel's distribution at 64 Hz over all present epochs of its recording; float32 `(12,)`, NaN without.

    `log_power` is that of the bands between `BANDS_HZ`, per epoch: what is usual for this sleeper and this amplifier.
    """

    mean: Floats
    sd: Floats
    median: Floats
    mad: Floats  # median absolute deviation from the median, unscaled
    p1: Floats
    p5: Floats
    p25: Floats
    p75: Floats
    p95: Floats
    p99: Floats
    seconds: Floats  # of signal that these were taken from; 0 where there is none
    log_power: Floats  # (12, bands, 3): 10th, 50th and 90th percentile over epochs of log10 power; waveforms alone


_NUMBERS = tuple(f.name for f in fields(ChannelStatistics) if f.name != "log_power")  # one a channel


@dataclass(frozen=True, slots=True)
class Epochs:
    """Epochs of one recording, in the order of `vocabulary.CHANNELS`, physical units.

    `start_s` float64 `(n,)` seconds from the recording's start; `signals` float32 `(n, 12, 1920)`, zero where not
    present, or None when they were not asked for (then `statistics` is None too); `present` bool `(n, 12)`; `quality`
    uint8 `(n, 12)`, bits of `Quality` (0 without `present`: the recording has no such channel); `notes` says what
    holds for a channel all night, by channel.
    """

    start_s: Times
    signals: Floats | None = field(repr=False)
    present: Bools = field(repr=False)
    quality: Flags = field(repr=False)
    statistics: ChannelStatistics | None = field(repr=False)
    notes: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def doubted(self) -> frozenset[str]:
        """Channels whose unit is doubtful: their shapes and ratios hold, their microvolts mean nothing."""
        return frozenset(channel for channel, note in self.notes.items() if note.startswith(DOUBT))

    def __getitem__(self, rows: "int | slice | Bools | NDArray[np.integer]") -> "Epochs":
        """Some of the epochs, with the statistics and notes of the whole recording; slices are views."""
        index = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        return replace(
            self,
            start_s=self.start_s[index],
            signals=None if self.signals is None else self.signals[index],
            present=self.present[index],
            quality=self.quality[index],
        )


def epoch_grid(duration_s: float, scoring: Scoring | None = None) -> Times:
    """Starts of a recording's whole epochs, float64 `(n,)` seconds, on the scored grid or else from its start.

    The offset of the scored grid may be any fraction of an epoch; what remains before the first and after the last
    whole epoch is dropped.
    """
    offset_s = min(span.start_s for span in scoring.stages) % EPOCH_S if scoring and scoring.stages else 0.0
    offset_s = 0.0 if EPOCH_S - offset_s < _SLACK_S else round(offset_s, 9)
    count = math.floor((duration_s - offset_s + _SLACK_S) / EPOCH_S)
    return offset_s + EPOCH_S * np.arange(max(0, count), dtype=np.float64)


def build_epochs(recording: HasChannels, start_s: Times, *, signals: bool = True, out: Floats | None = None) -> Epochs:
    """Epochs of a recording at `start_s` `(n,)`, multiples of 30 s apart.

    A waveform epoch is present when one run covers it and no rule of `quality.toml` speaks against it; that of a step
    channel when at least half of it is valid. `signals=False` leaves out resampling and statistics. `out`, float32
    `(n, 12, 1920)` (a mapped file, say), takes the signals instead of a new array. ValueError for times off one grid.
    """
    start_s = np.asarray(start_s, np.float64)
    origin_s = float(start_s[0]) if len(start_s) else 0.0
    wanted = np.rint((start_s - origin_s) / EPOCH_S).astype(np.int64)
    if len(start_s) and np.abs(origin_s + EPOCH_S * wanted - start_s).max() > _SLACK_S:
        raise ValueError("epochs must lie on one 30-second grid: build those of another offset apart")
    shape = (len(start_s), len(CHANNELS), EPOCH_SAMPLES)
    if signals and out is None:
        out = np.zeros(shape, np.float32)
    if signals and out is not None and (out.shape != shape or out.dtype != np.float32):
        raise ValueError(f"out is {out.dtype} {out.shape}; needed: float32 {shape}")
    present, quality = np.zeros(shape[:2], bool), np.zeros(shape[:2], np.uint8)
    columns, notes = np.full((len(_NUMBERS), len(CHANNELS)), np.nan, np.float32), {}
    columns[-1] = 0
    log_power = np.full((len(CHANNELS), len(BANDS_HZ) - 1, len(PERCENTILES)), np.nan, np.float32)
    for c, channel in enumerate(CHANNELS):
        runs = [run for run in recording.runs(channel) if len(_samples(run))]
        night = _Night.over(runs, origin_s) if runs else None
        if night is not None:
            fill_night = _step if channel in STEP_CHANNELS else _waveform
            notes[channel] = fill_night(recording, channel, runs, night, signals)
            rows = wanted - night.first
            inside = (rows >= 0) & (rows < len(night.present))
            present[inside, c], quality[inside, c] = night.present[rows[inside]], night.quality[rows[inside]]
            quality[~inside, c] = Quality.GAP
        if out is not None and signals:
            kept = present[:, c]
            out[~kept, c] = 0
            if night is not None and night.signals is not None:
                _copy(night.signals, rows, kept, out[:, c])
                if channel not in STEP_CHANNELS and night.present.any():
                    power = band_log_power(night.signals[night.present])
                    log_power[c] = np.percentile(power, PERCENTILES, axis=0).T
                columns[:, c] = _describe(night.signals, night.present)
    notes = {channel: note for channel, note in notes.items() if note}
    numbers = dict(zip(_NUMBERS, columns, strict=True))
    statistics = ChannelStatistics(**numbers, log_power=log_power) if signals else None
    return Epochs(start_s, out, present, quality, statistics, notes)


@dataclass(slots=True)
class _Night:
    """One channel on every epoch of the grid that its runs touch."""

    first: int  # number of the first epoch, counted from the origin
    start_s: Times
    present: Bools
    quality: Flags
    signals: Floats | None = None

    @classmethod
    def over(cls, runs: Sequence[Run], origin_s: float) -> "_Night":
        first = math.floor((min(run.start_s for run in runs) - origin_s + _SLACK_S) / EPOCH_S)
        stop = math.ceil((max(run.stop_s for run in runs) - origin_s - _SLACK_S) / EPOCH_S)
        numbers = np.arange(first, max(stop, first + 1), dtype=np.float64)
        return cls(first, origin_s + EPOCH_S * numbers, np.zeros(len(numbers), bool), np.zeros(len(numbers), np.uint8))

    def covered(self, run: Run) -> slice:
        """The epochs that a run covers; up to half a sample less at its ends is the same instant."""
        slack_s = max(_SLACK_S, min(0.5 / run.rate_hz, 0.01))
        inside = (self.start_s >= run.start_s - slack_s) & (self.start_s + EPOCH_S <= run.stop_s + slack_s)
        rows = np.flatnonzero(inside)
        return slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 0)


def _samples(run: Run) -> Floats:
    return np.asarray(run.samples, np.float32)


def _waveform(recording: HasChannels, channel: str, runs: Sequence[Run], night: _Night, signals: bool) -> str:
    """Fill a night of a waveform channel; returns what is to be noted."""
    rules = rules_of(channel)
    if all(run.rate_hz < rules.min_rate_hz for run in runs):
        return f"{runs[0].rate_hz:g} Hz is too slow for this waveform ({rules.min_rate_hz:g} Hz needed): not used"
    if signals:
        night.signals = np.empty((len(night.present), EPOCH_SAMPLES), np.float32)
    parts, rows = [], []
    for run in runs:
        where, samples = night.covered(run), _samples(run)
        if run.rate_hz < rules.min_rate_hz or where.start == where.stop:
            continue
        native = _native(samples, run, night.start_s[where])
        night.present[where] = True
        if not np.isfinite(np.dot(samples, samples)):
            finite = np.isfinite(samples)
            night.present[where] = _native(finite, run, night.start_s[where]).all(axis=1)
            samples = fill(samples, finite, len(samples), np.arange(len(samples)))
            native = _native(samples, run, night.start_s[where])
        parts.append((native, run.rate_hz))
        rows.append(where)
        if night.signals is not None:
            target = night.signals[where].reshape(-1)
            resample(samples, run.rate_hz, night.start_s[where.start] - run.start_s, len(target), target)
    night.quality[~night.present] = Quality.GAP
    if not parts:
        return ""
    flags, note = judge(measure_blocks(parts, rules), rules)
    at = np.concatenate([np.arange(where.start, where.stop) for where in rows])
    night.quality[at] |= flags
    off = sum((_share_set(run, night.start_s) for run in recording.flags(channel)), np.zeros(len(night.start_s)))
    night.quality[off > 0.5] |= Quality.LEAD_OFF.value
    night.present &= night.quality == 0
    return "; ".join(filter(None, (note, doubt_label(parts, night.quality[at], rules))))


def _step(recording: HasChannels, channel: str, runs: Sequence[Run], night: _Night, signals: bool) -> str:
    """Fill a night of a step channel; returns what is to be noted."""
    low, high = rules_of(channel).valid
    flags, note = list(recording.flags(channel)), ""
    if channel == "SPO2":
        status = list(recording.oximeter_status())
        readings = [(_samples(run), _is_set(status, run)) for run in runs] if status else []
        in_range = sum(int(np.sum((x >= low) & (x <= high))) for x, _ in readings)
        disowned = sum(int(np.sum((x >= low) & (x <= high) & bad)) for x, bad in readings)
        if disowned > _STATUS_SHARE * max(1, in_range):
            note = f"oximeter status is set through {disowned / in_range:.0%} of the readings in range: not used"
        else:
            flags += status
    if signals:
        night.signals = np.empty((len(night.present), EPOCH_SAMPLES), np.float32)
    night.quality[:] = Quality.GAP
    for run in runs:
        where, samples = night.covered(run), _samples(run)
        if where.start == where.stop:
            continue
        start_s = night.start_s[where]
        measured = (samples >= low) & (samples <= high)  # NaN is not
        valid = measured & ~_is_set(flags, run) if flags else measured
        shares, out_share = _share(valid, run, start_s), 1 - _share(measured, run, start_s)
        night.present[where] = shares >= 0.5
        why = (out_share > 0.25) * Quality.OUT_OF_RANGE | (1 - shares - out_share > 0.25) * Quality.LEAD_OFF
        night.quality[where] = np.where(night.present[where], 0, why)
        if night.signals is not None:
            count = len(start_s) * EPOCH_SAMPLES
            held = hold(samples, valid, run.rate_hz, start_s[0] - run.start_s, count)
            night.signals[where] = held.reshape(-1, EPOCH_SAMPLES)
    return note


def _copy(signals: Floats, rows: NDArray[np.int64], kept: Bools, out: Floats) -> None:
    """`out[kept] = signals[rows[kept]]`, without the detour where these are one stretch."""
    if kept.all() and (np.diff(rows) == 1).all():
        out[:] = signals[rows[0] : rows[0] + len(rows)] if len(rows) else 0
    else:
        out[kept] = signals[rows[kept]]


def _native(samples: NDArray[Sample], run: Run, start_s: Times) -> NDArray[Sample]:
    """A run's own samples by epoch, `(n, samples)`; a view where epochs hold a whole number of samples."""
    length = max(1, math.floor(EPOCH_S * run.rate_hz + 1e-6))
    first = np.rint((start_s - run.start_s) * run.rate_hz).astype(np.int64)
    stop = int(first[0]) + len(first) * length
    if first[0] >= 0 and stop <= len(samples) and (np.diff(first) == length).all():
        return samples[first[0] : stop].reshape(-1, length)
    return np.take(samples, first[:, None] + np.arange(length), mode="clip")


def _share(mask: Bools, run: Run, start_s: Times) -> Times:
    """The share of each epoch's samples that a mask of a run's samples holds, `(n,)`."""
    return np.ones(len(start_s)) if mask.all() else np.asarray(_native(mask, run, start_s).mean(axis=1))


def _share_set(flag: Run, start_s: Times) -> Times:
    """The share of each epoch through which a flag channel is set, `(n,)`."""
    seconds = np.concatenate([[0.0], np.cumsum(_samples(flag) > 0.5) / flag.rate_hz])
    places = (start_s - flag.start_s) * flag.rate_hz
    ends = places + EPOCH_S * flag.rate_hz
    index = np.arange(len(seconds))
    set_s: Times = np.interp(ends, index, seconds) - np.interp(places, index, seconds)
    return set_s / EPOCH_S


def _is_set(flags: Sequence[Run], run: Run) -> Bools:
    """Whether any of the flag channels is set at each sample of a run."""
    result = np.zeros(len(_samples(run)), bool)
    for flag in flags:
        values = _samples(flag) > 0.5
        places = (run.start_s - flag.start_s) + np.arange(len(result)) / run.rate_hz
        at = np.floor(places * flag.rate_hz + 1e-6).astype(np.int64)
        inside = (at >= 0) & (at < len(values))
        result[inside] |= values[at[inside]]
    return result


def band_log_power(signals: Floats) -> Floats:
    """Log10 of the mean power in each band between `BANDS_HZ` under a Hann window, `(n, 1920)` to `(n, bands)`."""
    spectrum = rfft((signals - signals.mean(axis=1, keepdims=True)) * np.hanning(EPOCH_SAMPLES).astype(np.float32))
    power = spectrum.real**2 + spectrum.imag**2
    edges = np.searchsorted(rfftfreq(EPOCH_SAMPLES, 1 / RATE_HZ), BANDS_HZ)
    mean = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges)
    return np.log10(np.maximum(mean, _LEAST_POWER)).astype(np.float32)


def _describe(signals: Floats, present: Bools) -> list[float]:
    """One channel's `ChannelStatistics`, field by field; sorts `signals` in place."""
    kept = signals if present.all() else signals[present]
    if not len(kept):
        return [math.nan] * 10 + [0.0]
    means = (kept @ np.ones(EPOCH_SAMPLES, np.float32)).astype(np.float64) / EPOCH_SAMPLES
    centred = kept - means.astype(np.float32)[:, None]
    variance = np.vecdot(centred, centred).mean(dtype=np.float64) / EPOCH_SAMPLES + means.var()
    values = kept.reshape(-1)
    values.sort()
    places = np.array([0.5, 0.01, 0.05, 0.25, 0.75, 0.95, 0.99]) * (len(values) - 1)
    below = places.astype(np.int64)
    upper = values[np.minimum(below + 1, len(values) - 1)]
    median, *others = values[below] + (places - below) * (upper - values[below])
    # The half of the sorted values that lies closest around the median is one of its windows.
    half, middle = (len(values) + 1) // 2, np.float32(median)
    mad = np.maximum(middle - values[: len(values) - half + 1], values[half - 1 :] - middle).min()
    return [means.mean(), math.sqrt(variance), median, mad, *others, len(kept) * EPOCH_S]
