"""YASA's stager, trained on thousands of real nights (Vallat & Walker, eLife 2021), against the true stages."""

from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
import polars as pl
import yasa
from numpy.typing import NDArray

from encoders.simulation.draws import CODES
from judges.common import Finding, Judged

CHANNELS = ("eeg_c4_m1", "eog_l", "emg_chin")  # central EEG, LOC and chin: what its default model was trained with
RATE_HZ = 100.0  # it resamples to this in any case
KAPPA, LEAST_F1 = 0.65, 0.5  # asked of the simulator; N1 is left out of the second
RESAMPLES = 2000


def measure(night: Judged) -> NDArray[np.int64]:
    """Confusion matrix `(5, 5)`, true stage by YASA's, indices of `draws.CODES`."""
    found = []
    for channel in CHANNELS:
        samples, rate = night.signal(channel)
        found.append(mne.filter.resample(samples, RATE_HZ, rate, npad="auto", verbose="error"))
    info = mne.create_info(list(CHANNELS), RATE_HZ, ["eeg", "eog", "emg"], verbose="error")
    raw = mne.io.RawArray(np.array(found) * 1e-6, info, verbose="error")  # mne counts in volts
    people = pl.read_csv(night.edf.with_name("subjects.csv")).filter(pl.col("recording") == night.recording)
    about = {"age": people["age"][0], "male": people["sex"][0] == "M"}
    stager = yasa.SleepStaging(raw, eeg_name=CHANNELS[0], eog_name=CHANNELS[1], emg_name=CHANNELS[2], metadata=about)
    spelled = {"WAKE": "W", "R": "REM"}
    said = [CODES.index(spelled.get(stage, stage)) for stage in stager.predict().hypno]
    table = np.zeros((5, 5), np.int64)
    np.add.at(table, (night.stages, np.array(said)), 1)
    return table


def summarise(measured: Sequence[Any]) -> list[Finding]:
    """Kappa over all epochs with an interval over nights, F1 per stage, and where the disagreement lies."""
    tables = np.array(measured)
    rng = np.random.default_rng(0)
    again = [_kappa(tables[rng.integers(0, len(tables), len(tables))].sum(axis=0)) for _ in range(RESAMPLES)]
    low, high = np.quantile(again, [0.025, 0.975])
    pooled = tables.sum(axis=0)
    each = [_kappa(table) for table in tables]
    kappa = _kappa(pooled)
    found = [
        Finding("staging", "YASA kappa", kappa, f"{kappa:.3f} ({low:.3f} to {high:.3f}, {len(tables)} nights; "
                f"median night {np.median(each):.3f}, worst {min(each):.3f})", f">= {KAPPA}", bool(kappa >= KAPPA))
    ]  # fmt: skip
    for code, name in enumerate(CODES):
        f1 = float(2 * pooled[code, code] / max(pooled[code].sum() + pooled[:, code].sum(), 1))
        said = ", ".join(f"{n} as {CODES[other]}" for other, n in enumerate(pooled[code]) if n and other != code)
        asked = name != "N1"
        found.append(
            Finding("staging", f"F1 {name}", f1, f"{f1:.3f} ({pooled[code].sum()} epochs; {said})",
                    f">= {LEAST_F1}" if asked else "none asked", bool(f1 >= LEAST_F1) if asked else None)
        )  # fmt: skip
    return found


def _kappa(table: NDArray[np.int64]) -> float:
    """Cohen's kappa of a confusion matrix."""
    total = table.sum()
    chance = (table.sum(axis=0) @ table.sum(axis=1)) / total**2
    return float((np.trace(table) / total - chance) / (1 - chance))
