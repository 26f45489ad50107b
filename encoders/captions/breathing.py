"""Breathing: rate and regularity per belt and airflow, how far airflow fell, effort, flattening, snore."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encoders.captions.frames import (
    Array,
    Grid,
    Night,
    epoch_of,
    framed,
    known_mean,
    known_median,
    overlapped,
    samples_of,
    slowed,
    stretches,
    usable,
)  # fmt: skip
from encoders.recordings.timeline import Run
from encoders.vocabulary import EPOCH_S

WORK_HZ = 16.0  # belts and flow hold nothing of use above 2 Hz
MIN_RATE_HZ = 4.0
BREATH_HZ = (0.1, 0.7)  # 6 to 42 breaths a minute
BREATH_S = (1.2, 12.0)  # intervals between breaths that can be one breath
PROMINENCE = 0.35  # of the usual swing: smaller waves are heart beats or noise
SWING_S = 5.0  # the window of peak to trough: one cycle at 12 a minute
GRID_HZ = 2.0
BASELINE_S = 120.0  # AASM: the two minutes before the event
BASELINE_PERCENTILE = 75  # AASM, unstable breathing: the larger breaths of those two minutes
# AASM asks for a fall by 90 % (apnea, thermistor) and 30 % (hypopnea, nasal pressure). A swing of noise and heart
# beats stays in a flat signal, so "absent" begins at 30 % of the baseline here.
ABSENT, LOW = 0.30, 0.70
LEAST_S = 8.0  # shorter stretches are pauses between breaths
TOUCH_S = 3.5  # of a stretch must lie in an epoch that tells of it; under half of LEAST_S, so that one always does
EFFORT_KEPT, EFFORT_LOST = 0.40, 0.25  # of the belts' own baseline, during absent airflow
FLOW_SENSORS_WITHOUT_SHAPE = ("thermistor",)  # their wave rounds off what flow limitation would flatten


@dataclass(frozen=True, slots=True)
class Breaths:
    """One sensor: breath times, and its swing over the 2 min baseline on a grid of 2 Hz from the recording's start."""

    at_s: Array
    relative: Array
    waves: tuple[Run, ...]  # band-passed, about 16 Hz


def find_breaths(runs: Sequence[Run], epochs: Grid, wanted: Array) -> Breaths:
    """Breaths and relative swing of a belt or airflow; NaN on the grid outside the wanted epochs."""
    from scipy import ndimage, signal

    stop_s = float(epochs.start_s[-1]) + EPOCH_S if len(epochs.start_s) else 0.0
    relative = np.full(int(stop_s * GRID_HZ), np.nan)
    at_s, waves = [np.empty(0)], []
    for run in runs:
        if run.rate_hz < MIN_RATE_HZ or len(samples_of(run)) < 2 * EPOCH_S * run.rate_hz:
            continue
        slow = slowed(run, WORK_HZ)
        rate_hz = slow.rate_hz
        sos = signal.butter(2, BREATH_HZ, "bandpass", fs=rate_hz, output="sos")
        wave = signal.sosfiltfilt(sos, samples_of(slow).astype(float))
        waves.append(Run(slow.start_s, rate_hz, wave))
        size = max(3, round(SWING_S * rate_hz))
        swing = ndimage.maximum_filter1d(wave, size) - ndimage.minimum_filter1d(wave, size)
        grid = np.arange(int(np.ceil(slow.start_s * GRID_HZ)), int(min(slow.stop_s, stop_s) * GRID_HZ))
        grid = grid[grid >= 0]
        if len(grid) == 0:
            continue
        index = epoch_of(grid / GRID_HZ, epochs.start_s)
        good = (index >= 0) & wanted[np.maximum(index, 0)]
        sampled = swing[np.minimum(((grid / GRID_HZ - slow.start_s) * rate_hz).astype(int), len(swing) - 1)]
        if not good.any():
            continue
        # What lies in unusable epochs is no baseline: the night's own median stands in for it.
        usual = _baseline(np.where(good, sampled, np.median(sampled[good])))
        with np.errstate(divide="ignore", invalid="ignore"):
            relative[grid] = np.where(good & (usual > 0), sampled / usual, np.nan)
        local = np.interp(np.arange(len(wave)) / rate_hz + slow.start_s, grid / GRID_HZ, usual)
        apart, reach = max(1, round(BREATH_S[0] * rate_hz)), round(EPOCH_S * rate_hz)
        peaks, _ = signal.find_peaks(wave, prominence=PROMINENCE * local, distance=apart, wlen=reach)
        at_s.append(slow.start_s + peaks / rate_hz)
    return Breaths(np.sort(np.concatenate(at_s)), relative, tuple(waves))


def _baseline(swing: Array) -> Array:
    """The larger breaths of the two minutes before each moment; the first two minutes serve for themselves."""
    from scipy import ndimage

    size = round(BASELINE_S * GRID_HZ)
    centred = ndimage.percentile_filter(swing, BASELINE_PERCENTILE, size=size, mode="nearest")
    lag = min(size // 2, len(swing) - 1)
    return np.concatenate([np.full(lag, centred[lag]), centred[: len(swing) - lag]])


def breath_columns(breaths: Breaths, start_s: Array, wanted: Array) -> tuple[Array, Array]:
    """Rate in 1/min and standard deviation of the breath intervals in s, NaN with fewer than three intervals."""
    n = len(start_s)
    rate, spread = np.full(n, np.nan), np.full(n, np.nan)
    gap_s = np.diff(breaths.at_s)
    index = epoch_of(breaths.at_s[:-1] + gap_s / 2, start_s)
    keep = (index >= 0) & (gap_s >= BREATH_S[0]) & (gap_s <= BREATH_S[1])
    index, gap_s = index[keep], gap_s[keep]
    count, total, squares = (np.bincount(index, weights=w, minlength=n) for w in (np.ones_like(gap_s), gap_s, gap_s**2))
    good = wanted & (count >= 3)
    mean = total[good] / count[good]
    rate[good] = 60 / mean
    spread[good] = np.sqrt(np.maximum(squares[good] / count[good] - mean**2, 0.0))
    return rate, spread


def measure_breathing(recording: Night, epochs: Grid) -> dict[str, Array]:
    """Respiratory columns `(n,)` float64, NaN where the sensor is absent, bad or slower than 4 Hz."""
    from scipy import ndimage

    start_s = epochs.start_s
    out: dict[str, Array] = {}
    found = {}
    for slot, name in (("THX", "thx"), ("ABD", "abd"), ("AF", "flow")):
        wanted = usable(epochs, slot)
        found[slot] = find_breaths(recording.runs(slot) if wanted.any() else [], epochs, wanted)
        out[f"{name}_rate_per_min"], out[f"{name}_interval_sd_s"] = breath_columns(found[slot], start_s, wanted)
    out["breath_rate_per_min"] = known_mean(*(out[f"{name}_rate_per_min"] for name in ("thx", "abd", "flow")))
    spreads = [out[f"{name}_interval_sd_s"] for name in ("thx", "abd", "flow")]
    out["breath_irregularity"] = known_mean(*spreads) * out["breath_rate_per_min"] / 60
    flow = found["AF"].relative
    effort = np.fmax(found["THX"].relative, found["ABD"].relative)
    known = _per_epoch(np.isfinite(flow), start_s).sum(axis=1) >= EPOCH_S * GRID_HZ / 2
    lowest = np.where(np.isnan(flow), np.inf, ndimage.maximum_filter1d(np.nan_to_num(flow, nan=np.inf), _grid_size()))
    fall = 100 * (1 - _per_epoch(lowest, start_s, fill=np.inf).min(axis=1, initial=np.inf))
    out["flow_reduction_pct"] = np.where(known, np.clip(fall, 0.0, 100.0), np.nan)
    columns = {key: np.where(known, 0.0, np.nan) for key in ("flow_low_s", "flow_absent_s")}
    judged = _per_epoch(np.isfinite(flow) & np.isfinite(effort), start_s).sum(axis=1) >= EPOCH_S * GRID_HZ / 2
    for key in ("flow_absent_with_effort_s", "flow_absent_without_effort_s"):
        columns[key] = np.where(judged, 0.0, np.nan)
    for key, level in (("flow_low_s", LOW), ("flow_absent_s", ABSENT)):
        with np.errstate(invalid="ignore"):
            first, last = stretches(flow < level)
        # The swing of 5 s is small only while the window lies wholly inside the stretch: it is that much longer.
        from_s, to_s = first / GRID_HZ - SWING_S / 2, last / GRID_HZ + SWING_S / 2
        long = to_s - from_s >= LEAST_S
        first, last, from_s, to_s = first[long], last[long], from_s[long], to_s[long]
        for number, hit in overlapped(from_s + TOUCH_S, to_s - TOUCH_S, start_s):
            lasting = to_s[number] - from_s[number]
            keys = [key]
            if key == "flow_absent_s":
                kept = known_median(effort[first[number] : last[number]])
                keys += ["flow_absent_with_effort_s"] if kept >= EFFORT_KEPT else []
                keys += ["flow_absent_without_effort_s"] if kept <= EFFORT_LOST else []
            for name in keys:
                columns[name][hit] = np.maximum(columns[name][hit], lasting)  # NaN stays NaN
    out |= columns
    out["flow_flatness"] = _flatness(recording, epochs)
    out["belt_correlation"] = _belt_correlation(found["THX"].waves, found["ABD"].waves, epochs)
    out["snore_relative"] = _snore(recording, epochs)
    return out


def _grid_size() -> int:
    """Ten seconds (the least an event lasts) less the swing's window, on the grid."""
    return round((10.0 - SWING_S) * GRID_HZ)


def _per_epoch(grid: Array, start_s: Array, fill: float = 0.0) -> Array:
    """The 2 Hz grid cut into epochs `(n, 60)`; what lies past its end is `fill`."""
    index = np.rint(start_s[:, None] * GRID_HZ).astype(int) + np.arange(int(EPOCH_S * GRID_HZ))
    inside = (index >= 0) & (index < len(grid))
    if len(grid) == 0:
        return np.full(index.shape, fill)
    return np.where(inside, grid[np.clip(index, 0, len(grid) - 1)], fill)


def _flatness(recording: Night, epochs: Grid) -> Array:
    """Mean over peak flow of the inspirations, from each rise through zero to the fall: .64 is a sine, 1 is flat."""
    from scipy import ndimage

    n, wanted = len(epochs.start_s), usable(epochs, "AF")
    out = np.full(n, np.nan)
    choices = getattr(getattr(recording, "montage", None), "choices", {})
    if not wanted.any() or getattr(choices.get("AF"), "sensor", None) in FLOW_SENSORS_WITHOUT_SHAPE:
        return out
    total, count = np.zeros(n), np.zeros(n)
    for run in recording.runs("AF"):
        if run.rate_hz < MIN_RATE_HZ or len(samples_of(run)) < 2 * EPOCH_S * run.rate_hz:
            continue
        slow = slowed(run, WORK_HZ)
        samples = samples_of(slow).astype(float)
        # Over the middle of the swing, not the mean: inspiration and expiration last unequally long.
        size = max(3, round(2 * SWING_S * slow.rate_hz))
        middle = ndimage.maximum_filter1d(samples, size) + ndimage.minimum_filter1d(samples, size)
        flow = samples - ndimage.uniform_filter1d(middle, size) / 2
        first, last = stretches(flow > 0)
        long = (last - first >= 0.5 * slow.rate_hz) & (last - first <= 5 * slow.rate_hz)
        first, last = first[long], last[long]
        if len(first) == 0:
            continue
        edges = np.stack([first, np.minimum(last, len(flow) - 1)], axis=1).ravel()
        area, peak = np.add.reduceat(flow, edges)[::2], np.maximum.reduceat(flow, edges)[::2]
        size_ok = peak > 0.3 * np.median(peak)
        ratio = area / (last - first) / peak
        index = epoch_of(slow.start_s + (first + last) / 2 / slow.rate_hz, epochs.start_s)
        keep = (index >= 0) & size_ok
        total += np.bincount(index[keep], weights=ratio[keep], minlength=n)
        count += np.bincount(index[keep], minlength=n)
    good = wanted & (count >= 2)
    out[good] = total[good] / count[good]
    return out


def _belt_correlation(thorax: Sequence[Run], abdomen: Sequence[Run], epochs: Grid) -> Array:
    """Correlation of the two belts' breathing waves within an epoch: near -1 they move against each other."""
    out = np.full(len(epochs.start_s), np.nan)
    both = usable(epochs, "THX") & usable(epochs, "ABD")
    for a in thorax:
        for b in abdomen:
            if (a.start_s, a.rate_hz) != (b.start_s, b.rate_hz):
                continue
            length = min(len(samples_of(a)), len(samples_of(b)))
            a, b = (Run(run.start_s, run.rate_hz, samples_of(run)[:length]) for run in (a, b))
            pairs = zip(framed([a], epochs.start_s, both), framed([b], epochs.start_s, both), strict=True)
            for (rows, x, _), (_, y, _) in pairs:
                x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
                with np.errstate(divide="ignore", invalid="ignore"):
                    out[rows] = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return out


def _snore(recording: Night, epochs: Grid) -> Array:
    """Root mean square of the snore channel about its mean, over the night's median."""
    level = np.full(len(epochs.start_s), np.nan)
    for rows, samples, _ in framed(recording.runs("snore"), epochs.start_s, np.ones(len(level), bool)):
        level[rows] = samples.std(axis=1)
    usual = known_median(level)
    return level / usual if usual > 0 else np.full(len(level), np.nan)
