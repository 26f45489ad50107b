"""What is drawn of a hit: filtered, decimated traces of its channels and the events over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, POSITIONS, STEP_CHANNELS
from index import Snapshot

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

_WINDOW_S = 60.0  # a longer hit is drawn from its start
_PAD_S = 5.0  # read on either side so that the filters have settled
_POINTS = 1600
# Display filters of the AASM manual (chapter on technical specifications), in Hz.
_BANDS = {"EEG": (0.3, 35.0), "EOG": (0.3, 35.0), "EMG": (10.0, 100.0), "ECG": (0.3, 70.0), "ABD": (0.1, 15.0),
          "THX": (0.1, 15.0), "AF": (0.1, 15.0)}  # fmt: skip
_UNITS = {"EEG": "µV", "EOG": "µV", "EMG": "µV", "ECG": "mV", "SPO2": "%", "HR": "1/min"}


@dataclass(frozen=True, slots=True)
class Trace:
    """One channel of a window: seconds from the recording's start and values, float32 `(n,)`, NaN at a gap."""

    channel: str
    label: str  # what the file calls it
    unit: str
    time_s: np.ndarray
    values: np.ndarray
    steps: bool  # held between samples


@dataclass(frozen=True, slots=True)
class Strip:
    """A window of a night as it is drawn."""

    start_s: float
    stop_s: float
    traces: list[Trace]
    events: list[tuple[str, float, float]]
    missing: list[str]


def strip_of(cohort: "Cohort", recording: str, start_s: float, stop_s: float) -> Strip:
    """The first minute of `[start_s, stop_s)`, one trace a channel that the recording has."""
    stop_s = min(stop_s, start_s + _WINDOW_S)
    runs = cohort.waveform(recording, max(start_s - _PAD_S, 0.0), stop_s + _PAD_S)
    labels = cohort.labels_of(recording)
    traces = [_trace(c, runs[c], start_s, stop_s, labels.get(c, c)) for c in CHANNELS if c in runs]
    traces = [t for t in traces if np.isfinite(t.values).any()]
    missing = [c for c in CHANNELS if c not in {t.channel for t in traces}]
    return Strip(start_s, stop_s, traces, _events(cohort.snapshot, recording, start_s, stop_s), missing)


def _trace(channel: str, runs: list[Run], start_s: float, stop_s: float, label: str) -> Trace:
    times: list[np.ndarray] = []
    values: list[np.ndarray] = []
    steps = channel in STEP_CHANNELS
    for run in runs:
        samples = np.asarray(run.samples, np.float32)
        if not steps:
            samples = _filtered(channel, samples, run.rate_hz)
        at = run.start_s + np.arange(len(samples)) / run.rate_hz
        inside = (at >= start_s) & (at < stop_s)
        if inside.any():
            t, v = _thinned(at[inside], samples[inside], steps)
            times += [t, t[-1:]]
            values += [v, np.full(1, np.nan, np.float32)]  # a gap is drawn as a gap
    if not times:
        return Trace(channel, label, "", np.zeros(0, np.float32), np.zeros(0, np.float32), steps)
    unit = (
        ", ".join(f"{k} {v}" for k, v in POSITIONS.items())
        if channel == "POS"
        else _UNITS.get(channel.split("_")[0], "")
    )
    return Trace(
        channel, label, unit, np.concatenate(times).astype(np.float32), np.concatenate(values).astype(np.float32), steps
    )


def _filtered(channel: str, samples: np.ndarray, rate_hz: float) -> np.ndarray:
    low, high = _BANDS[channel.split("_")[0]]
    if len(samples) < 4 * rate_hz or low >= rate_hz / 2:
        return samples
    high = min(high, 0.45 * rate_hz)
    from scipy.signal import butter, sosfiltfilt  # a second to import, for pages alone

    sos = butter(
        2, [low, high] if high > low else low, "bandpass" if high > low else "highpass", fs=rate_hz, output="sos"
    )
    filtered: np.ndarray = sosfiltfilt(sos, samples).astype(np.float32)
    return filtered


def _thinned(time_s: np.ndarray, values: np.ndarray, steps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest sample of each bin: no peak is lost."""
    bins = _POINTS // 2
    if steps or len(values) <= _POINTS:
        return time_s, values
    size = len(values) // bins
    whole = values[: bins * size].reshape(bins, size)
    first = np.arange(bins) * size
    at = np.sort(np.stack([first + whole.argmin(1), first + whole.argmax(1)], 1), axis=1).ravel()
    at = np.concatenate([at, np.arange(bins * size, len(values))])
    return time_s[at], values[at]


def _events(snapshot: Snapshot, recording: str, start_s: float, stop_s: float) -> list[tuple[str, float, float]]:
    frame = snapshot.sql(
        "SELECT name, start_s, stop_s FROM events WHERE recording = ? AND start_s < ? AND stop_s > ? ORDER BY start_s",
        [recording, stop_s, start_s],
    )
    return [(n, max(a, start_s), min(b, stop_s)) for n, a, b in frame.iter_rows()]
