"""Brain and eyes: relative band powers, slow waves, eye movements, and evidence for stages that nobody scored."""

import numpy as np

from encoders.captions.frames import (
    Array,
    Grid,
    Night,
    band,
    epoch_of,
    framed,
    known_mean,
    known_median,
    samples_of,
    slowed,
    unit_known,
    usable,
    window_power,
)  # fmt: skip
from encoders.vocabulary import EPOCH_S

# AASM manual's frequency ranges; relative powers are shares of 0.5-30 Hz.
BANDS_HZ = {"delta": (0.5, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 12.0), "sigma": (12.0, 16.0), "beta": (16.0, 30.0)}
TOTAL_HZ = (0.5, 30.0)
SLOW_WAVE_HZ = (0.5, 2.0)  # AASM: slow wave activity
DRIFT_FREE_DELTA_HZ = (1.0, 4.0)  # sweat, breathing and movement sway the EEG below 1 Hz
SLOW_EYES_HZ, SACCADES_HZ, EYES_TOTAL_HZ = (0.25, 1.0), (1.0, 5.0), (0.25, 30.0)
WINDOW_S = 4.0  # two periods of the slowest wave
MIN_RATE_HZ = 64.0  # beta must lie below half the rate
EYE_MOVEMENT_UV = 30.0  # of both eyes at once in opposite directions; small saccades in REM begin about here
EYE_MOVEMENT_GAP_S = 0.4


def measure_brain(recording: Night, epochs: Grid) -> dict[str, Array]:
    """Columns of the EEG slots, each `(n,)` float64, NaN where the slot is absent, bad or slower than 64 Hz.

    `deep_sleep_evidence` and `wake_evidence` compare frequencies and the night with itself, never microvolts with a
    constant, since the unit of an EEG may be unverified. The former was chosen on wake and S3/S4 epochs of UCDDB
    (ucddb002 to 008): area under the ROC curve .996 to 1.000 a subject, where relative delta power alone reaches
    .62 to .99, because movement and sweat fill wake with delta.
    """
    n = len(epochs.start_s)
    out: dict[str, Array] = {}
    deep, wake, waves = [], [], []
    for slot, name in (("EEG_C3", "c3"), ("EEG_C4", "c4")):
        share = {key: np.full(n, np.nan) for key in BANDS_HZ}
        rms, slow, depth, steady, fast = (np.full(n, np.nan) for _ in range(5))
        wanted = usable(epochs, slot)
        for rows, samples, rate_hz in framed(recording.runs(slot), epochs.start_s, wanted, min_rate_hz=MIN_RATE_HZ):
            power, hz = window_power(samples, rate_hz, WINDOW_S, TOTAL_HZ[1])
            parts = {key: band(power, hz, *edges) for key, edges in BANDS_HZ.items()}  # each (rows, windows)
            total, drift_free = band(power, hz, *TOTAL_HZ), band(power, hz, *DRIFT_FREE_DELTA_HZ)
            with np.errstate(divide="ignore", invalid="ignore"):
                for key, value in parts.items():
                    share[key][rows] = 100 * value.mean(axis=1) / total.mean(axis=1)
                # The lower quartile over windows: slow waves last through an epoch, a movement artefact does not.
                depth[rows] = np.log10(np.percentile(drift_free / parts["beta"], 25, axis=1))
                steady[rows] = np.log10(np.percentile(drift_free, 25, axis=1)) / 2  # of an amplitude
                quick = parts["alpha"] + parts["beta"]
                fast[rows] = np.median(quick / (drift_free + parts["theta"] + parts["sigma"] + quick), axis=1)
            rms[rows] = np.sqrt(total.mean(axis=1))
            slow[rows] = np.sqrt(8 * np.median(band(power, hz, *SLOW_WAVE_HZ), axis=1))
        waves.append(slow / known_median(slow))
        if not unit_known(epochs, slot):
            rms, slow = np.full(n, np.nan), np.full(n, np.nan)
        out |= {f"{name}_{key}_pct": value for key, value in share.items()}
        out |= {f"{name}_rms_uv": rms, f"{name}_slow_wave_uv": slow}
        # Amplitude against the night's median parts N3 from N2; capped, so that an artefact gains nothing by it.
        deep.append(depth + np.minimum(steady - known_median(steady), 0.5))
        wake.append(fast)
    for key in (*(f"{name}_pct" for name in BANDS_HZ), "slow_wave_uv", "rms_uv"):
        out["eeg_rms_uv" if key == "rms_uv" else key] = known_mean(out[f"c3_{key}"], out[f"c4_{key}"])
    out["slow_wave_relative"] = known_mean(*waves)
    return out | {"deep_sleep_evidence": known_mean(*deep), "wake_evidence": known_mean(*wake)}


def measure_eyes(recording: Night, epochs: Grid) -> dict[str, Array]:
    """Relative powers per EOG and, where both eyes are usable, conjugate eye movements a minute; else NaN."""
    n = len(epochs.start_s)
    out: dict[str, Array] = {}
    for slot, name in (("EOG_L", "eog_l"), ("EOG_R", "eog_r")):
        slow, saccade = np.full(n, np.nan), np.full(n, np.nan)
        wanted = usable(epochs, slot)
        for rows, samples, rate_hz in framed(recording.runs(slot), epochs.start_s, wanted, min_rate_hz=MIN_RATE_HZ):
            power, hz = window_power(samples, rate_hz, WINDOW_S, EYES_TOTAL_HZ[1])
            power = power.mean(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                total = band(power, hz, *EYES_TOTAL_HZ)
                slow[rows] = 100 * band(power, hz, *SLOW_EYES_HZ) / total
                saccade[rows] = 100 * band(power, hz, *SACCADES_HZ) / total
        out |= {f"{name}_slow_pct": slow, f"{name}_saccade_pct": saccade}
    out["eye_slow_pct"] = known_mean(out["eog_l_slow_pct"], out["eog_r_slow_pct"])
    out["eye_saccade_pct"] = known_mean(out["eog_l_saccade_pct"], out["eog_r_saccade_pct"])
    return out | {"eye_movements_per_min": _eye_movements(recording, epochs)}


def _eye_movements(recording: Night, epochs: Grid) -> Array:
    """Peaks of both eyes moving together: the EOGs then swing in opposite directions, while EEG enters both alike."""
    from scipy import signal

    count = np.full(len(epochs.start_s), np.nan)
    both = usable(epochs, "EOG_L") & usable(epochs, "EOG_R")
    both &= unit_known(epochs, "EOG_L") and unit_known(epochs, "EOG_R")
    right_runs = recording.runs("EOG_R") if both.any() else []
    for left in recording.runs("EOG_L") if both.any() else []:
        for right in right_runs:
            if (left.start_s, left.rate_hz) != (right.start_s, right.rate_hz) or left.rate_hz < MIN_RATE_HZ:
                continue
            pair = [slowed(run, 32.0) for run in (left, right)]
            rate_hz, length = pair[0].rate_hz, min(len(samples_of(run)) for run in pair)
            if length < EPOCH_S * rate_hz:
                continue
            sos = signal.butter(2, (SLOW_EYES_HZ[1] / 2, SACCADES_HZ[1]), "bandpass", fs=rate_hz, output="sos")
            a, b = (signal.sosfiltfilt(sos, samples_of(run)[:length]) for run in pair)
            together = np.sqrt(np.maximum(-a * b, 0.0))
            peaks, _ = signal.find_peaks(
                together, height=EYE_MOVEMENT_UV, distance=max(1, round(EYE_MOVEMENT_GAP_S * rate_hz))
            )
            index = epoch_of(pair[0].start_s + peaks / rate_hz, epochs.start_s)
            covered = both & (epochs.start_s >= left.start_s) & (epochs.start_s + EPOCH_S <= left.stop_s + 1e-6)
            found = np.bincount(index[index >= 0], minlength=len(count))
            count[covered] = found[covered] * 60 / EPOCH_S
    return count


def rem_evidence(measures: dict[str, Array]) -> Array:
    """0 to 1: eye movements, little delta, little alpha and beta, and a chin slacker than the night's median.

    The mean of the terms that the night has; NaN without EEG, or where neither eyes nor chin can be judged. Its
    form follows the AASM's signs of stage R; it is fitted to nothing.
    """
    eyes = np.minimum(measures["eye_movements_per_min"] / 10, 1.0)
    slack = np.clip(1 - np.log2(measures["emg_relative"]), 0.0, 2.0) / 2
    brain = (np.clip(1 - measures["delta_pct"] / 90, 0, 1) + np.clip(1 - 2 * measures["wake_evidence"], 0, 1)) / 2
    return np.where(np.isfinite(brain), (brain + known_mean(eyes, slack)) / 2, np.nan)
