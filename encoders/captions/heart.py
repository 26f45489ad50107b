"""Heart rate from R peaks at the ECG's own rate, else from the monitor's heart-rate channel, and its trends."""

from collections.abc import Sequence

import numpy as np

from encoders.captions.frames import (
    Array,
    Grid,
    Night,
    epoch_of,
    finite,
    overlapped,
    samples_of,
    stretches,
    thinned,
    usable,
)
from encoders.recordings.timeline import Run
from encoders.vocabulary import EPOCH_S

MIN_ECG_HZ = 100.0  # sleepecg's own advice; below it R peaks are placed too roughly
RR_S = (0.3, 2.0)  # 30 to 200 beats a minute
RR_JUMP = 0.3  # an interval this far from the median of nine is a missed, an extra or an ectopic beat
MONITOR_BPM = (25.0, 220.0)
MIN_KNOWN_S = 15.0  # half an epoch of accepted intervals
TREND_HZ = 4.0
TREND_SMOOTH_S = 5.0  # longer than a breath, so that respiratory sinus arrhythmia is no trend
TREND_BPM = 5.0
TREND_S = 3.0
LONGEST_GAP_S = 5.0


def beat_intervals(runs: Sequence[Run]) -> tuple[Array, Array]:
    """Accepted RR intervals: the time in the middle of each and its length, in seconds."""
    from scipy import ndimage
    from sleepecg.heartbeats import detect_heartbeats

    middle, length = [np.empty(0)], [np.empty(0)]
    for run in runs:
        samples = finite(run)  # what is not finite lies in epochs that are not usable
        if run.rate_hz < MIN_ECG_HZ or len(samples) < 10 * run.rate_hz or np.ptp(samples) == 0:
            continue
        beats_s = run.start_s + detect_heartbeats(samples, run.rate_hz) / run.rate_hz
        rr_s = np.diff(beats_s)
        if len(rr_s) < 5:
            continue
        usual_s = ndimage.median_filter(rr_s, 9, mode="nearest")
        good = (rr_s > RR_S[0]) & (rr_s < RR_S[1]) & (np.abs(rr_s - usual_s) < RR_JUMP * usual_s)
        middle.append((beats_s[:-1] + rr_s / 2)[good])
        length.append(rr_s[good])
    return np.concatenate(middle), np.concatenate(length)


def measure_heart(recording: Night, epochs: Grid) -> dict[str, Array]:
    """Heart-rate columns `(n,)`, NaN where unknown; `hr_source` and `hr_trends` are object arrays of str or None.

    An epoch takes the ECG where half of it holds accepted intervals, else the heart-rate channel: `hr_source` says
    which. Minimum and maximum are over means of three beats (of the channel's own values when it is the source).
    """
    from scipy import ndimage

    start_s = epochs.start_s
    n = len(start_s)
    low, mean, high = (np.full(n, np.nan) for _ in range(3))
    source = np.full(n, None, object)
    ecg = usable(epochs, "ECG")
    at_s, rr_s = beat_intervals(recording.runs("ECG")) if ecg.any() else (np.empty(0), np.empty(0))
    bpm = 60 / ndimage.uniform_filter1d(rr_s, 3, mode="nearest") if len(rr_s) else rr_s
    order = np.argsort(at_s, kind="stable")
    at_s, rr_s, bpm = at_s[order], rr_s[order], bpm[order]
    index = epoch_of(at_s, start_s)
    known_s, beats = _sums(index, rr_s, n), _sums(index, np.ones_like(rr_s), n)
    good = ecg & (known_s >= MIN_KNOWN_S)
    low[good], high[good] = (edge[good] for edge in _edges(index, bpm, n))
    mean[good] = 60 * beats[good] / known_s[good]
    source[good] = "ECG"

    monitor = usable(epochs, "HR") & ~good
    runs = [thinned(run, TREND_HZ) for run in recording.runs("HR")] if monitor.any() else []
    hr = np.concatenate([np.empty(0), *(samples_of(run).astype(float) for run in runs)])
    hr_s = np.concatenate([np.empty(0), *(run.start_s + np.arange(len(samples_of(run))) / run.rate_hz for run in runs)])
    step_s = np.concatenate([np.empty(0), *(np.full(len(samples_of(run)), 1 / run.rate_hz) for run in runs)])
    inside = (hr >= MONITOR_BPM[0]) & (hr <= MONITOR_BPM[1])
    hr_s, hr, step_s = hr_s[inside], hr[inside], step_s[inside]
    index = epoch_of(hr_s, start_s)
    known_s = _sums(index, step_s, n)
    held = monitor & (known_s >= MIN_KNOWN_S)
    low[held], high[held] = (edge[held] for edge in _edges(index, hr, n))
    mean[held] = _sums(index, hr * step_s, n)[held] / known_s[held]
    source[held] = "HR"

    from_ecg = _trends(at_s, bpm, good, start_s)
    from_monitor = _trends(hr_s, hr, held, start_s) if held.any() else from_ecg
    known = good | held
    out: dict[str, Array] = {"hr_min_bpm": low, "hr_mean_bpm": mean, "hr_max_bpm": high, "hr_source": source}
    out["hr_trends"] = np.where(good, from_ecg[0], from_monitor[0])  # both None where they are not wanted
    for name, a, b in (("hr_rise_bpm", from_ecg[1], from_monitor[1]), ("hr_fall_bpm", from_ecg[2], from_monitor[2])):
        out[name] = np.where(known, np.where(good, a, b), np.nan)
    return out


def _sums(index: Array, values: Array, n: int) -> Array:
    inside = index >= 0
    return np.bincount(index[inside], weights=values[inside], minlength=n)


def _edges(index: Array, values: Array, n: int) -> tuple[Array, Array]:
    inside = index >= 0
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, index[inside], values[inside])
    np.maximum.at(high, index[inside], values[inside])
    return low, high


def _trends(at_s: Array, bpm: Array, wanted: Array, start_s: Array) -> tuple[Array, Array, Array]:
    """Text of the intervals in which the smoothed rate moves one way by 5 bpm in 3 s or more; largest rise and fall."""
    from scipy import ndimage

    n = len(start_s)
    text, rise, fall = np.full(n, None, object), np.zeros(n), np.zeros(n)
    if len(at_s) < 5:
        return text, rise, fall
    time_s = np.arange(at_s[0], at_s[-1], 1 / TREND_HZ)
    rate = ndimage.uniform_filter1d(np.interp(time_s, at_s, bpm), round(TREND_SMOOTH_S * TREND_HZ), mode="nearest")
    gap_s = np.diff(at_s)[np.clip(np.searchsorted(at_s, time_s, side="right") - 1, 0, len(at_s) - 2)]
    step = np.where(gap_s[:-1] <= LONGEST_GAP_S, np.diff(rate), 0.0)
    found: list[list[str]] = [[] for _ in range(n)]
    for word, moving, most in (("increasing", step > 0, rise), ("decreasing", step < 0, fall)):
        first, last = stretches(moving)
        change = np.abs(rate[last] - rate[first])
        keep = (change >= TREND_BPM) & (last - first >= TREND_S * TREND_HZ)
        first_s, last_s, change = time_s[first[keep]], time_s[last[keep]], change[keep]
        for number, hit in overlapped(first_s, last_s, start_s):
            for epoch in range(hit.start, hit.stop):
                a, b = max(first_s[number] - start_s[epoch], 0.0), min(last_s[number] - start_s[epoch], EPOCH_S)
                if wanted[epoch] and b - a >= 1.0:
                    found[epoch].append(f"{word} {a:.1f}-{b:.1f} s")
                    most[epoch] = max(most[epoch], change[number])
    for epoch, items in enumerate(found):
        if items:
            text[epoch] = "; ".join(sorted(items, key=lambda item: float(item.split()[1].split("-")[0])))
    return text, rise, fall
