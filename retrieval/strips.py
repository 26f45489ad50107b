"""What is drawn of a hit: filtered, decimated traces of its channels and the events over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, POSITIONS, STEP_CHANNELS
from retrieval.course import events_of
from retrieval.waves import BANDS_HZ, extremes, filtered, kind_of

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

_WINDOW_S = 60.0  # a longer hit is drawn from its start
_PAD_S = 5.0  # read on either side so that the filters have settled
_POINTS = 1600
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
    return Strip(start_s, stop_s, traces, _events(cohort, recording, start_s, stop_s), missing)


def _trace(channel: str, runs: list[Run], start_s: float, stop_s: float, label: str) -> Trace:
    times: list[np.ndarray] = []
    values: list[np.ndarray] = []
    steps = channel in STEP_CHANNELS
    for run in runs:
        samples = np.asarray(run.samples, np.float32)
        if not steps:
            samples = filtered(samples, run.rate_hz, BANDS_HZ.get(kind_of(channel)))
        at = run.start_s + np.arange(len(samples)) / run.rate_hz
        inside = (at >= start_s) & (at < stop_s)
        if inside.any():
            t, v = _thinned(at[inside], samples[inside], run.rate_hz, steps)
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


def _thinned(time_s: np.ndarray, values: np.ndarray, rate_hz: float, steps: bool) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest sample of each column: no peak is lost."""
    if steps or len(values) <= _POINTS:
        return time_s, values
    columns = _POINTS // 2
    step_s = len(values) / rate_hz / columns
    low, high = extremes([Run(time_s[0], rate_hz, values)], time_s[0], step_s, columns)
    at = time_s[0] + step_s * (np.arange(2 * columns) / 2 + 0.25)
    return at, np.stack([low, high], 1).ravel()


def _events(cohort: "Cohort", recording: str, start_s: float, stop_s: float) -> list[tuple[str, float, float]]:
    found = events_of(cohort.snapshot, recording, start_s, stop_s)
    return [(e.name, max(e.start_s, start_s), min(e.stop_s, stop_s)) for e in found]
