"""What is drawn of a hit: filtered, decimated traces of its channels and the events over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, EPOCH_S, POSITIONS, STEP_CHANNELS
from retrieval.course import events_of
from retrieval.filters import filtered, settle_s
from retrieval.waves import BANDS_HZ, extremes, kind_of

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

_MOST_S = 600.0  # of a longer hit the part around its best epoch is drawn
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
    """A window of a night as it is drawn, and the stretch of which it is the whole or a part."""

    start_s: float
    stop_s: float
    of_s: tuple[float, float]
    traces: list[Trace]
    events: list[tuple[str, float, float]]
    missing: list[str]


def strip_of(cohort: "Cohort", recording: str, start_s: float, stop_s: float, best_s: float | None = None) -> Strip:
    """`[start_s, stop_s)`, or its ten minutes around the epoch at `best_s`, one trace a channel of the recording."""
    of_s = start_s, stop_s
    start_s, stop_s = shown_of(start_s, stop_s, start_s if best_s is None else best_s)
    found, labels, traces = cohort.recording(recording), cohort.labels_of(recording), []
    for channel in CHANNELS:
        pad_s = settle_s(BANDS_HZ.get(kind_of(channel)), None)
        runs = found.waveform(channel, max(start_s - pad_s, 0.0), stop_s + pad_s)
        traces.append(_trace(channel, runs, start_s, stop_s, labels.get(channel, channel)))
    traces = [t for t in traces if np.isfinite(t.values).any()]
    missing = [c for c in CHANNELS if c not in {t.channel for t in traces}]
    return Strip(start_s, stop_s, of_s, traces, _events(cohort, recording, start_s, stop_s), missing)


def shown_of(start_s: float, stop_s: float, best_s: float) -> tuple[float, float]:
    """What is drawn of a stretch: all of it, or where that is too long, as much around the epoch at `best_s`."""
    if stop_s - start_s <= _MOST_S:
        return start_s, stop_s
    first_s = min(max(best_s + EPOCH_S / 2 - _MOST_S / 2, start_s), stop_s - _MOST_S)
    return first_s, first_s + _MOST_S


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
    """Smallest and largest sample of each column: no peak is lost. Of held values those that differ from the last."""
    if steps and len(values) > _POINTS:
        changed = np.flatnonzero(~((values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1])))) + 1
        kept = np.unique(np.concatenate([[0], changed, [len(values) - 1]]))
        time_s, values = (time_s[kept], values[kept]) if len(kept) <= _POINTS else (time_s, values)
    if len(values) <= _POINTS:
        return time_s, values
    columns = _POINTS // 2
    step_s = len(values) / rate_hz / columns
    low, high = extremes([Run(time_s[0], rate_hz, values)], time_s[0], step_s, columns)
    at = time_s[0] + step_s * (np.arange(2 * columns) / 2 + 0.25)
    return at, np.stack([low, high], 1).ravel()


def _events(cohort: "Cohort", recording: str, start_s: float, stop_s: float) -> list[tuple[str, float, float]]:
    found = events_of(cohort.snapshot, recording, start_s, stop_s)
    return [(e.name, max(e.start_s, start_s), min(e.stop_s, stop_s)) for e in found]
