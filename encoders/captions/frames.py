"""Laying a channel over the epoch grid at its own rate: one row per epoch, nothing invented where samples miss."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, EPOCH_S

Array = np.ndarray


class Night(Protocol):
    """What the measures need of a recording: the runs of a channel in physical units, [] when it is absent."""

    def runs(self, channel: str) -> list[Run]: ...


class Grid(Protocol):
    """What the measures need of `Epochs`: where epochs start and which of the twelve channels are usable in each."""

    @property
    def start_s(self) -> Array: ...
    @property
    def present(self) -> Array: ...


def samples_of(run: Run) -> Array:
    """A run's samples as an array."""
    return np.asarray(run.samples)


def usable(epochs: Grid, channel: str) -> Array:
    """Epochs `(n,)` bool in which a slot of `vocabulary.CHANNELS` may be measured."""
    return np.asarray(epochs.present[:, CHANNELS.index(channel)], bool)


def unit_known(epochs: Grid, channel: str) -> bool:
    """Whether a channel's amplitude may be said in its unit; a header that says mV for uV makes every one wrong."""
    return channel not in getattr(epochs, "doubted", ())


def framed(
    runs: Sequence[Run], start_s: Array, wanted: Array, *, min_rate_hz: float = 0.0, rows: int = 16
) -> Iterator[tuple[Array, Array, float]]:
    """Blocks `(epoch indices, samples (rows, 30 s x rate), rate_hz)` of the wanted epochs that one run covers whole.

    Small blocks keep the spectra in the processor's cache. Runs slower than `min_rate_hz` give nothing.
    """
    for run in runs:
        samples = samples_of(run)
        length = round(EPOCH_S * run.rate_hz)
        if run.rate_hz < min_rate_hz or length == 0 or len(samples) < length:
            continue
        first = np.rint((start_s - run.start_s) * run.rate_hz).astype(np.int64)
        inside = np.flatnonzero(wanted & (first >= 0) & (first + length <= len(samples)))
        windows = np.lib.stride_tricks.sliding_window_view(samples, length)
        for at in range(0, len(inside), rows):
            block = inside[at : at + rows]
            yield block, windows[first[block]], run.rate_hz


def window_power(samples: Array, rate_hz: float, window_s: float, up_to_hz: float) -> tuple[Array, Array]:
    """Power of Hann windows overlapping by half, `(epochs, windows, bins)`, and the bins' frequencies in Hz.

    The mean of each window is taken out; a bin holds mean square in the signal's unit squared, so that bins add up.
    """
    from scipy import fft

    length = round(window_s * rate_hz)
    windows = np.lib.stride_tricks.sliding_window_view(samples, length, axis=1)[:, :: length // 2]
    hann = np.hanning(length + 1)[:-1].astype(np.float32)
    hz = fft.rfftfreq(length, 1 / rate_hz)
    kept = hz[hz <= up_to_hz]
    scale = 2.0 / (length * float((hann.astype(np.float64) ** 2).sum()))
    # In place throughout: four channels of a night pass here, and fresh memory costs as much as the transform.
    centred = windows - windows.mean(axis=2, keepdims=True)
    centred *= hann
    spectrum = fft.rfft(centred, axis=2, overwrite_x=True)[:, :, : len(kept)]
    power: Array = spectrum.real**2
    power += spectrum.imag**2
    power *= np.float32(scale)
    return power, kept


def band(power: Array, hz: Array, low_hz: float, high_hz: float) -> Array:
    """Sum of the bins in `[low_hz, high_hz)` along the last axis."""
    total: Array = power[..., (hz >= low_hz) & (hz < high_hz)].sum(axis=-1)
    return total


def finite(run: Run) -> Array:
    """A run's samples with 0 for NaN; the samples themselves where all are finite, so not to be written to."""
    samples = samples_of(run)
    return samples if np.isfinite(np.dot(samples, samples)) else np.nan_to_num(samples)


def slowed(run: Run, to_hz: float) -> Run:
    """A waveform averaged in blocks down to about `to_hz`, for what is far slower than its own rate; NaN becomes 0."""
    samples = finite(run)
    factor = max(1, int(run.rate_hz // to_hz))
    whole = len(samples) // factor * factor
    mean = samples[:whole].reshape(-1, factor).mean(axis=1) if factor > 1 else samples
    return Run(run.start_s + (factor - 1) / 2 / run.rate_hz, run.rate_hz / factor, mean)


def thinned(run: Run, to_hz: float) -> Run:
    """A step channel with only every k-th sample kept, down to about `to_hz`: held values are never averaged."""
    factor = max(1, int(run.rate_hz // to_hz))
    return Run(run.start_s, run.rate_hz / factor, samples_of(run)[::factor])


def stretches(mask: Array) -> tuple[Array, Array]:
    """First and past-the-last index of each run of True in a 1-d mask."""
    edges = np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def epoch_of(time_s: Array, start_s: Array) -> Array:
    """Index of the epoch that holds each time, -1 where none does; `start_s` ascends."""
    index = np.searchsorted(start_s, time_s, side="right") - 1
    outside = (index < 0) | (time_s >= start_s[np.maximum(index, 0)] + EPOCH_S) if len(start_s) else np.ones(1, bool)
    return np.where(outside, -1, index)


def overlapped(from_s: Array, to_s: Array, start_s: Array) -> Iterator[tuple[int, slice]]:
    """For each stretch of time, its number and the slice of epochs that it overlaps by any amount."""
    low = np.searchsorted(start_s + EPOCH_S, from_s, side="right")
    high = np.searchsorted(start_s, to_s, side="left")
    for number in np.flatnonzero(low < high):
        yield int(number), slice(int(low[number]), int(high[number]))


def known_mean(*columns: Array) -> Array:
    """Mean over columns of what is known, NaN where none is."""
    stack = np.stack(columns)
    known = np.isfinite(stack)
    total, count = np.where(known, stack, 0.0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def known_median(column: Array) -> float:
    """Median of what is known, NaN where nothing is."""
    known = column[np.isfinite(column)]
    return float(np.median(known)) if len(known) else float("nan")
