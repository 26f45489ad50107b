"""The heart, judged by R peaks (SleepECG, NeuroKit2), finger pulses (NeuroKit2) and the RR intervals of slpdb.

The detectors read the written EDF file; the truth is each epoch's heart rate. RR statistics compare simulated men with
an AHI of 30 or more with the MIT-BIH Polysomnographic Database (men with sleep apnea), per stage, both after one rule:
an interval counts if it lasts 0.3-2 s and is within 20 % of the median of the eleven around it, an epoch if four fifths
of its intervals count and fill 24 s. Nothing was fitted to the R peaks of the Apnea-ECG Database (35 nights), which say
how much more the heart swings in a minute with apnea than in one without, in patients and in the healthy.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from encoders.simulation import site_facts
from encoders.simulation.draws import CODES
from encoders.vocabulary import EPOCH_S
from judges.common import Finding, Judged, spans

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SLPDB, APNEA_ECG = SHARED / "slpdb_rr_stages" / "SlpdbData.mat", SHARED / "apnea_ecg_annotations"
SLPDB_STAGES = {"W": "W", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "R": "REM"}
MEASURES = {
    "rr_ms": 1.1,
    "sdnn_ms": 1.5,
    "rmssd_ms": 1.5,
    "lf_ms2": 1.5**2,
    "hf_ms2": 1.5**2,
    "lf_hf": 1.5,
    "lag1": 1.25,
}
LEAST_EPOCHS = 8  # of a stage, for a person to count in it
CLOSE_S = 0.05  # two detectors' peaks are one beat
APNEA_PER_H = 30.0
MINUTES = ("apnea", "no apnea", "healthy")  # of a patient with and without apnea, of somebody without apneas
PATIENT_MINUTES, HEALTHY_MINUTES = 100, 20  # Apnea-ECG's own classes A and C: from 100, fewer than 5; ours in between

Statistics = Mapping[tuple[str, str], float]  # (stage, measure) -> a person's median over epochs


def sinus(rr: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which intervals count."""
    good: NDArray[np.bool_] = (rr > 0.3) & (rr < 2.0) & (np.abs(rr / median_filter(rr, 11, mode="nearest") - 1) < 0.2)
    return good


def minute_sdnn_ms(beats_s: NDArray[np.float64], apnea: NDArray[np.bool_]) -> dict[str, float]:
    """A night's median SDNN of minutes with and without apnea, keys of `MINUTES`; few or many apneas say whose."""
    if HEALTHY_MINUTES <= apnea.sum() < PATIENT_MINUTES:
        return {}
    rr, cuts = np.diff(beats_s), np.searchsorted(beats_s[1:], np.arange(len(apnea) + 1) * 60.0)
    found: dict[str, list[float]] = {name: [] for name in MINUTES}
    for a, b, breathless in zip(cuts[:-1], cuts[1:], apnea, strict=True):
        if b - a < 30 or (good := sinus(rr[a:b])).mean() < 0.8:
            continue
        name = "healthy" if apnea.sum() < HEALTHY_MINUTES else "apnea" if breathless else "no apnea"
        if name != "healthy" or not breathless:
            found[name].append(float(1000 * rr[a:b][good].std()))
    return {name: float(np.median(values)) for name, values in found.items() if len(values) >= 15}


def apnea_ecg_people() -> list[dict[str, float]]:
    """`minute_sdnn_ms` of the 35 scored nights of Apnea-ECG; empty without ../shared/data."""
    import wfdb

    people = []
    for path in sorted(APNEA_ECG.glob("[abc][0-9][0-9].apn")):
        record = str(path.with_suffix(""))
        apnea = np.array(wfdb.rdann(record, "apn").symbol) == "A"
        people.append(minute_sdnn_ms(wfdb.rdann(record, "qrs").sample / 100.0, apnea))
    return people


def epoch_statistics(rr: NDArray[np.float64]) -> dict[str, float] | None:
    """Measures of one epoch's RR intervals in seconds; None where too few are sinus beats.

    LF is 0.04-0.15 Hz and HF 0.15-0.4 Hz of a Hann-windowed periodogram of the intervals at 4 Hz, trend taken off.
    """
    if len(rr) < 12:
        return None
    good = sinus(rr)
    if good.mean() < 0.8 or rr[good].sum() < 24:
        return None
    pair, kept = good[1:] & good[:-1], rr[good] * 1000
    left = rr * 1000 - kept.mean()
    at = np.cumsum(rr)
    even = np.interp(np.arange(at[0], at[-1], 0.25), at[good], kept)
    t = np.arange(len(even)) - (len(even) - 1) / 2
    window = np.hanning(len(even))
    flat = even - even.mean() - t * (t @ even) / (t @ t)
    power = np.abs(np.fft.rfft(flat * window)) ** 2 / (window**2).sum() * 2 / len(even)
    hz = np.fft.rfftfreq(len(even), 0.25)
    lf, hf = (float(power[(hz >= low) & (hz < high)].sum()) for low, high in ((0.04, 0.15), (0.15, 0.4)))
    return {
        "rr_ms": float(kept.mean()), "sdnn_ms": float(kept.std()),
        "rmssd_ms": float(np.sqrt((np.diff(rr * 1000)[pair] ** 2).mean())),
        "lf_ms2": lf, "hf_ms2": hf, "lf_hf": lf / max(hf, 1e-9),
        "lag1": float((left[1:] * left[:-1])[pair].mean() / max(kept.var(), 1e-9)),
    }  # fmt: skip


def person_statistics(epochs: Sequence[tuple[NDArray[np.float64], str]]) -> dict[tuple[str, str], float]:
    """A person's median of each measure per stage, and `rr_sd_ms`, the spread of the epochs' means."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for rr, stage in epochs:
        for name, value in (epoch_statistics(rr) or {}).items():
            found[stage, name].append(value)
    medians = {of: float(np.median(values)) for of, values in found.items() if len(values) >= LEAST_EPOCHS}
    return medians | {
        (stage, "rr_sd_ms"): float(np.std(values)) for (stage, name), values in found.items()
        if name == "rr_ms" and len(values) >= LEAST_EPOCHS
    }  # fmt: skip


def by_epoch(beats_s: NDArray[np.float64], stages: Sequence[str]) -> list[tuple[NDArray[np.float64], str]]:
    """RR intervals and stage of each epoch; an interval belongs to the epoch in which it ends, as in slpdb."""
    cuts = np.searchsorted(beats_s[1:], np.arange(len(stages) + 1) * EPOCH_S)
    return [(np.diff(beats_s)[a:b], stage) for a, b, stage in zip(cuts[:-1], cuts[1:], stages, strict=True)]


def slpdb_people() -> list[dict[tuple[str, str], float]]:
    """Statistics of the 16 people of slpdb (two have two recordings); empty without ../shared/data."""
    if not SLPDB.is_file():
        return []
    from scipy.io import loadmat

    epochs: dict[str, list[tuple[NDArray[np.float64], str]]] = defaultdict(list)
    for row in loadmat(SLPDB)["SlpdbData"].ravel():
        name, stage = str(row["filename"].ravel()[0]), str(row["annotation"].ravel()[0])
        person = name.removeprefix("slpdb/")[:5]  # slp01a and slp01b are one man
        if stage in SLPDB_STAGES:
            epochs[person].append((np.asarray(row["rr"], np.float64).ravel(), SLPDB_STAGES[stage]))
    return [person_statistics(of) for of in epochs.values()]


def rates(beats_s: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Beats per minute of each epoch, from the intervals whose middle lies in it; NaN without one."""
    middle = (beats_s[1:] + beats_s[:-1]) / 2
    epoch = np.minimum((middle // EPOCH_S).astype(int), n - 1)
    with np.errstate(invalid="ignore"):
        of: NDArray[np.float64] = (
            60 * np.bincount(epoch, minlength=n) / np.bincount(epoch, np.diff(beats_s), minlength=n)
        )
    return of


def measure(night: Judged) -> dict[str, Any]:
    """One night's errors of each detector, and its RR statistics where the sleeper is like slpdb's."""
    import neurokit2 as nk
    import sleepecg

    true = night.epochs["hr_bpm"].to_numpy()
    n = len(true)
    ecg, hz = night.signal("ecg")
    found = {
        "SleepECG": sleepecg.detect_heartbeats(ecg, hz) / hz,
        "NeuroKit2": nk.ecg_peaks(nk.ecg_clean(ecg, sampling_rate=int(hz)), sampling_rate=int(hz))[1]["ECG_R_Peaks"]
        / hz,
    }
    made: dict[str, Any] = {"beats": true.sum() * EPOCH_S / 60}
    for name, peaks in found.items():
        made[name] = {"error": float(np.nanmean(np.abs(rates(peaks, n) - true))), "beats": len(peaks)}
    near = np.abs(_nearest(found["SleepECG"], found["NeuroKit2"])) < CLOSE_S
    made["agreed"] = 2 * near.sum() / (len(found["SleepECG"]) + len(found["NeuroKit2"]))
    has = {row[1] for row in site_facts()[night.site]["signals"]}
    for channel in ("heart_rate", "pulse"):
        if channel in has:
            samples, rate = night.signal(channel)
            made[channel] = float(np.abs(samples.reshape(n, round(EPOCH_S * rate)).mean(axis=1) - true).mean())
    if "ppg" in has:
        ppg, rate = night.signal("ppg")
        peaks = (
            nk.ppg_findpeaks(nk.ppg_clean(ppg, sampling_rate=int(rate)), sampling_rate=int(rate))["PPG_Peaks"] / rate
        )
        made["ppg"] = float(np.nanmean(np.abs(rates(peaks, n) - true)))
    subjects = pl.read_csv(night.edf.parent / "subjects.csv").filter(pl.col("recording") == night.recording)
    respiratory = spans(night.events, "obstructive apnea", "central apnea", "mixed apnea", "hypopnea")
    minutes = np.arange(n // 2)[:, None] * 60.0
    apnea = ((respiratory[:, 0] < minutes + 60) & (respiratory[:, 1] > minutes)).any(axis=1)
    made["minutes"] = minute_sdnn_ms(found["SleepECG"], apnea)
    asleep_h = np.count_nonzero(night.stages) * EPOCH_S / 3600
    if subjects["sex"][0] == "M" and len(respiratory) / max(asleep_h, 0.1) >= APNEA_PER_H:
        made["rr"] = person_statistics(by_epoch(found["SleepECG"], [CODES[code] for code in night.stages]))
    return made


def _nearest(of: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds from each time of `of` to the nearest of `others`, both sorted."""
    after = np.clip(np.searchsorted(others, of), 1, len(others) - 1)
    gap: NDArray[np.float64] = np.minimum(np.abs(others[after] - of), np.abs(others[after - 1] - of))
    return gap


def summarise(nights: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Errors over the nights, and the RR statistics of both sides by stage."""
    findings = []
    for name in ("SleepECG", "NeuroKit2"):
        errors = np.array([of[name]["error"] for of in nights])
        ratio = float(np.median([of[name]["beats"] / of["beats"] for of in nights]))
        figure = f"{errors.mean():.2f} bpm (worst night {errors.max():.2f}); beats found / true {ratio:.4f}"
        mean = float(errors.mean())
        findings.append(Finding("beats", f"heart rate per epoch, {name}", mean, figure, "< 1 bpm", mean < 1))
    agreed = float(np.mean([of["agreed"] for of in nights]))
    findings.append(Finding("beats", "F1 between the two detectors, 50 ms", agreed, f"{agreed:.4f}"))
    for channel, what in (
        ("heart_rate", "heart-rate channel against truth"), ("pulse", "oximeter's pulse against truth"),
        ("ppg", "pulse rate per epoch, NeuroKit2 on PPG"),
    ):  # fmt: skip
        errors = np.array([of[channel] for of in nights if channel in of])
        if len(errors):
            worst = f"{errors.mean():.2f} bpm (worst night {errors.max():.2f})"
            findings.append(Finding("beats", what, float(errors.mean()), worst))
    people = ([of["minutes"] for of in nights], apnea_ecg_people())
    parts = []
    for name in MINUTES:
        sides = [[of[name] for of in side if name in of] for side in people]
        parts.append(f"{name} " + " : ".join(f"{np.median(of):.0f} ({len(of)})" if of else "none" for of in sides))
    what = "SDNN of a minute, ms (nights), simulated : Apnea-ECG, not fitted"
    findings.append(Finding("beats", what, float("nan"), "; ".join(parts)))
    return findings + compare(slpdb_people(), [of["rr"] for of in nights if "rr" in of])


def compare(real: Sequence[Statistics], simulated: Sequence[Statistics]) -> list[Finding]:
    """Medians over people per stage and measure, simulated / real, and how many lie within the measure's factor."""
    if not real or not simulated:
        why = "no ../shared/data" if not real else f"no man with an AHI of {APNEA_PER_H:g} among the nights"
        return [Finding("beats", "RR intervals against slpdb", float("nan"), f"skipped: {why}")]
    findings, met, cells = [], 0, 0
    for name, factor in MEASURES.items():
        parts = []
        for stage in CODES:
            both = [[of[stage, name] for of in people if (stage, name) in of] for people in (simulated, real)]
            if not all(both):
                continue
            ours, theirs = (float(np.median(values)) for values in both)
            low, high = np.percentile(both[1], [25, 75])
            cells += 1
            met += max(ours / theirs, theirs / ours) <= factor
            parts.append(f"{stage} {ours:.3g} : {theirs:.3g} [{low:.3g}-{high:.3g}]")
        findings.append(Finding("beats", f"{name}, simulated : slpdb [IQR]", float("nan"), "; ".join(parts)))
    figure = f"{met} of {cells} ({len(simulated)} simulated, {len(real)} real men)"
    what = "RR medians within 1.1 (RR), 1.25 (lag 1), 1.5 (SDNN, RMSSD, LF/HF), 2.25 (powers) of slpdb's"
    return [Finding("beats", what, met / cells, figure), *findings]
