"""Oxygen saturation: level, falls below the preceding two minutes, and desaturations measured from the signal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from encoders.captions.frames import Array, Grid, Night, framed, overlapped, samples_of, thinned, usable
from encoders.recordings.timeline import Run

SPO2_PCT = (50.0, 100.0)  # outside it an oximeter says that it has lost the finger
RATE_HZ = 4.0  # finer than any oximeter averages
BASELINE_S = 120.0
MEDIAN_S = 3.0  # single odd values are no fall
TURN_PCT = 1.0  # least rise that ends a fall: one step of the usual oximeter
MIN_FALL_PCT = 3.0


@dataclass(frozen=True, slots=True)
class Desaturation:
    """A measured fall: from the last moment at the preceding level to the nadir and on to where it turned again."""

    start_s: float
    nadir_s: float
    stop_s: float
    fall_pct: float
    nadir_pct: float


@dataclass(frozen=True, slots=True)
class Saturation:
    """The saturation of one run, thinned to at most 4 Hz, NaN where it can't be; `fall_pct` below the last 2 min."""

    time_s: Array
    step_s: float
    pct: Array
    fall_pct: Array


def saturation(runs: Sequence[Run]) -> Iterator[Saturation]:
    """Each run's valid saturation; runs shorter than ten values are left out."""
    from scipy import ndimage

    for run in runs:
        thin = thinned(run, RATE_HZ)
        pct = samples_of(thin).astype(float)
        if len(pct) < 10:
            continue
        pct = np.where((pct >= SPO2_PCT[0]) & (pct <= SPO2_PCT[1]), pct, np.nan)
        size = max(1, round(MEDIAN_S * thin.rate_hz)) // 2 * 2 + 1
        steady = ndimage.median_filter(np.where(np.isnan(pct), np.inf, pct), size, mode="nearest")
        steady = np.where(np.isnan(pct) | np.isinf(steady), np.nan, steady)
        before = max(1, round(BASELINE_S * thin.rate_hz))
        floor = np.where(np.isnan(steady), -np.inf, steady)
        highest = ndimage.maximum_filter1d(floor, before, origin=(before - 1) // 2, mode="nearest")  # [t - 2 min, t]
        yield Saturation(thin.start_s + np.arange(len(pct)) / thin.rate_hz, 1 / thin.rate_hz, steady, highest - steady)


def measure_oximetry(recording: Night, epochs: Grid) -> dict[str, Array]:
    """SpO2 columns `(n,)`, NaN where less than half an epoch is valid."""
    n, wanted = len(epochs.start_s), usable(epochs, "SPO2")
    low, mean, fall = (np.full(n, np.nan) for _ in range(3))
    count = np.full(n, np.nan)
    runs = recording.runs("SPO2") if wanted.any() else []
    for sat in saturation(runs):
        for name, values in (("pct", sat.pct), ("fall", sat.fall_pct)):
            run = Run(sat.time_s[0], 1 / sat.step_s, values)
            for rows, samples, _ in framed([run], epochs.start_s, wanted):
                known = np.isfinite(samples)
                enough = known.mean(axis=1) >= 0.5
                rows, samples, known = rows[enough], samples[enough], known[enough]
                if name == "fall":
                    fall[rows] = np.where(known, samples, -np.inf).max(axis=1)
                else:
                    low[rows] = np.where(known, samples, np.inf).min(axis=1)
                    mean[rows] = np.where(known, samples, 0.0).sum(axis=1) / known.sum(axis=1)
    known_epoch = np.isfinite(low)
    count[known_epoch] = 0.0
    falls = find_desaturations(runs)
    starts, stops = np.array([d.start_s for d in falls]), np.array([d.stop_s for d in falls])
    for _, hit in overlapped(starts, stops, epochs.start_s):
        count[hit] += 1
    return {"spo2_min_pct": low, "spo2_mean_pct": mean, "spo2_drop_pct": fall, "n_measured_desaturations": count}


def find_desaturations(runs: Sequence[Run], *, min_fall_pct: float = MIN_FALL_PCT) -> list[Desaturation]:
    """Valleys that lie `min_fall_pct` or more below the highest value since the last turn, at most two minutes back."""
    from scipy import signal

    found = []
    for sat in saturation(runs):
        known = np.isfinite(sat.pct)
        time_s, pct = sat.time_s[known], sat.pct[known]
        if len(pct) < 10:
            continue
        padded = np.concatenate(([101.0], pct, [101.0]))  # a fall at either end has no rise within the signal
        valleys, shape = signal.find_peaks(-padded, prominence=TURN_PCT, plateau_size=1)
        valleys, ends = shape["left_edges"] - 1, shape["right_edges"] - 1
        for number, nadir in enumerate(valleys):
            since = ends[number - 1] if number else 0
            since = max(since, int(np.searchsorted(time_s, time_s[nadir] - BASELINE_S)))
            before = pct[since : nadir + 1]
            top = float(before.max())
            fall = top - float(pct[nadir])
            if fall < min_fall_pct:
                continue
            start = since + int(np.flatnonzero(before == top)[-1])
            until = valleys[number + 1] if number + 1 < len(valleys) else len(pct) - 1
            back = np.flatnonzero(pct[nadir : until + 1] >= top - 1.0)  # recovered to within one per cent
            after = pct[nadir : until + 1]
            stop = nadir + (int(back[0]) if len(back) else int(after.argmax()))
            from_s, nadir_s, to_s = (float(time_s[at]) for at in (start, nadir, max(stop, ends[number])))
            found.append(Desaturation(from_s, nadir_s, to_s, fall, float(pct[nadir])))
    return found
