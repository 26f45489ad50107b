"""Chin muscle tone and bursts at the EMG's own rate, and body position."""

import numpy as np

from encoders.captions.frames import (
    Array,
    Grid,
    Night,
    band,
    framed,
    known_median,
    samples_of,
    thinned,
    unit_known,
    usable,
    window_power,
)
from encoders.recordings.timeline import Run
from encoders.vocabulary import EPOCH_S, POSITIONS

MIN_RATE_HZ = 90.0  # half the EMG's power must lie below half the rate (Sleep-EDF's 1 Hz envelope is no EMG)
EMG_HZ = (10.0, 100.0)  # AASM's filters for the chin
MAINS_HZ = (50.0, 60.0)  # both left out everywhere: nobody says which country it was
LEVEL_WINDOW_S = 0.5  # a phasic burst in REM is longer than 0.1 s; overlapping by half gives 4 values a second
SPECTRUM_WINDOW_S = 2.0
MODULATION_HZ = (0.1, 2.0)


def measure_muscle(recording: Night, epochs: Grid) -> dict[str, Array]:
    """Chin EMG columns `(n,)` float64, NaN where absent, bad or slower than 90 Hz."""
    n, wanted = len(epochs.start_s), usable(epochs, "EMG_CHIN")
    rms, median_hz, burst, modulation = (np.full(n, np.nan) for _ in range(4))
    runs = recording.runs("EMG_CHIN") if wanted.any() else []
    for rows, samples, rate_hz in framed(runs, epochs.start_s, wanted, min_rate_hz=MIN_RATE_HZ):
        top_hz = min(EMG_HZ[1], 0.45 * rate_hz)
        power, hz = window_power(samples, rate_hz, SPECTRUM_WINDOW_S, top_hz)
        clean = (hz >= EMG_HZ[0]) & np.all([np.abs(hz - mains) > 1.0 for mains in MAINS_HZ], axis=0)
        spectrum = power[..., clean].mean(axis=1)
        rms[rows] = np.sqrt(spectrum.sum(axis=1))
        below = np.cumsum(spectrum, axis=1)
        median_hz[rows] = hz[clean][(below < below[:, -1:] / 2).sum(axis=1).clip(max=clean.sum() - 1)]
        power, hz = window_power(samples, rate_hz, LEVEL_WINDOW_S, min(48.0, top_hz))  # below the mains
        level = np.sqrt(band(power, hz, EMG_HZ[0] + 2.0, 48.0))  # (rows, 119) at 4 a second
        with np.errstate(divide="ignore", invalid="ignore"):
            burst[rows] = np.percentile(level, 95, axis=1) / np.median(level, axis=1)
        power, hz = window_power(level, 2 / LEVEL_WINDOW_S, EPOCH_S / 2, MODULATION_HZ[1])
        power, inside = power.mean(axis=1), (hz >= MODULATION_HZ[0]) & (hz <= MODULATION_HZ[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            modulation[rows] = (power * hz)[:, inside].sum(axis=1) / power[:, inside].sum(axis=1)
    usual = known_median(rms)
    unknown = np.full(n, np.nan)
    return {
        "emg_rms_uv": rms if unit_known(epochs, "EMG_CHIN") else unknown,
        "emg_relative": rms / usual if usual > 0 else unknown, "emg_median_hz": median_hz,
        "emg_burst_ratio": burst, "emg_burst_rate_hz": modulation,
    }  # fmt: skip


def measure_position(recording: Night, epochs: Grid) -> dict[str, Array]:
    """`position`: what holds most of the epoch; `position_change`: the turn within it, in words; None where unknown."""
    n, wanted = len(epochs.start_s), usable(epochs, "POS")
    position, change = np.full(n, None, object), np.full(n, None, object)
    words = np.array([*POSITIONS.values(), None], object)
    for run in recording.runs("POS") if wanted.any() else []:
        thin = thinned(run, 4.0)
        samples = np.nan_to_num(samples_of(thin).astype(float), nan=-1.0)
        for rows, codes, rate_hz in framed([Run(thin.start_s, thin.rate_hz, samples)], epochs.start_s, wanted):
            count = np.stack([(codes == code).mean(axis=1) for code in POSITIONS], axis=1)
            most = np.where(count.max(axis=1) >= 0.5, count.argmax(axis=1), -1)
            position[rows] = words[most]
            first, last = codes[:, 0], codes[:, -1]
            turned = (first != last) & np.isin(first, list(POSITIONS)) & np.isin(last, list(POSITIONS))
            for row in np.flatnonzero(turned):
                at_s = int(np.flatnonzero(codes[row] == first[row])[-1] + 1) / rate_hz
                change[rows[row]] = f"{POSITIONS[int(first[row])]} to {POSITIONS[int(last[row])]} at {at_s:.0f} s"
    return {"position": position, "position_change": change}
