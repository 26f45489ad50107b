"""Spectra of simulated against real EEG: band powers of the UCDDB subjects, and a classifier that tells them apart.

The real epochs are wake and stage 3 or 4 of eleven adults with suspected sleep apnea (UCDDB, PhysioNet; ucddb018 is
kept out), whose unit nobody verified: each subject and each simulated night is scaled so that its median wake and its
median deep epoch average 15 uV rms between 0.5 and 30 Hz. Their recorder is flat in that range: the muscle of wake runs
level to 35 Hz, before the notch at 50, and drifts reach below 0.05 Hz; so no filter is applied to either side. But it
took 128 samples a second of mains hum: the third and second harmonics, 150 and 100 Hz, fold to 22 and 28 Hz as lines of
up to 16 dB in most subjects. Both sides leave those frequencies out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly, welch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from encoders.simulation.draws import N3, W
from judges.common import Finding, Judged

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "ucddb_eeg"
STAGES = {"W": (W, (0,)), "N3": (N3, (4, 5))}  # our code, and the Rechtschaffen and Kales codes of the files
FITTED = (2, 3, 5, 6, 7, 8)  # subjects that constants were fitted on; the others are new to them
REPORTED = (9, 10, 11, 12, 13)
BANDS = {"0.5-1": (0.5, 1), "1-4": (1, 4), "4-8": (4, 8), "8-12": (8, 12), "12-16": (12, 16), "16-30": (16, 30)}
FACTOR, SHARE, TARGET_UV = 1.5, 0.8, 15.0
LINES_HZ = ((21.25, 22.75), (27.25, 28.75))  # folded mains harmonics
EPOCHS = 60  # of each stage and night, so that no night weighs more than another
RATE_HZ, EPOCH_S, FRAME_S = 128, 30, 4

Spectra = dict[str, NDArray[np.float64]]  # stage -> (epochs, frequencies), uV^2/Hz


def measure(night: Judged) -> Spectra:
    """Power spectra of up to `EPOCHS` epochs of each stage, C3-M2."""
    samples, rate = night.signal("eeg_c3_m2")
    epochs = resample_poly(samples, RATE_HZ, round(rate)).reshape(len(night.stages), RATE_HZ * EPOCH_S)
    return spectra_of(epochs, night.stages)


def spectra_of(epochs: NDArray[np.float64], codes: NDArray[np.int8]) -> Spectra:
    """Power spectra of epochs `(n, samples)` at `RATE_HZ` by stage, `codes` being indices of `draws.CODES`."""
    return {stage: _spectra(epochs[codes == ours]) for stage, (ours, _) in STAGES.items()}


def real_spectra(folder: Path, subject: int) -> Spectra:
    """The same of one real subject; epochs with the sensor off are left out."""
    with np.load(folder / f"ucddb{subject:03d}_eeg_wake_sws_only.npz") as file:
        epochs = file["eeg"] * float(file["scale"])
        codes = file["stage"][file["epoch_index"]]
    spread = epochs.std(axis=1)
    on = spread > 0.02 * np.median(spread)
    return {stage: _spectra(epochs[on & np.isin(codes, theirs)]) for stage, (_, theirs) in STAGES.items()}


def _spectra(epochs: NDArray[np.float64]) -> NDArray[np.float64]:
    chosen = epochs[np.linspace(0, len(epochs) - 1, min(len(epochs), EPOCHS)).astype(int)] if len(epochs) else epochs
    spectra: NDArray[np.float64] = welch(chosen, RATE_HZ, nperseg=RATE_HZ * FRAME_S, axis=1)[1]
    return spectra


def scaled(night: Mapping[str, NDArray[np.float64]]) -> Spectra | None:
    """A night's spectra at `TARGET_UV`; None where it lacks one of the stages."""
    if any(len(spectra) < 5 for spectra in night.values()):
        return None
    power = np.mean([np.log(np.median(_band(spectra, 0.5, 30))) for spectra in night.values()])
    return {stage: spectra * TARGET_UV**2 / np.exp(power) for stage, spectra in night.items()}


def _band(spectra: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    hz = np.arange(spectra.shape[1]) / FRAME_S
    band: NDArray[np.float64] = spectra[:, (hz >= low) & (hz < high) & clean(hz)].sum(axis=1) / FRAME_S
    return band


def clean(hz: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which frequencies hold no folded line."""
    return np.all([(hz < first) | (hz > last) for first, last in LINES_HZ], axis=0)


def summarise(measured: Sequence[Any]) -> list[Finding]:
    """Median band powers by stage, real over simulated, and the areas under the classifiers' curves."""
    if not REAL.is_dir():
        return [Finding("spectra", "real nights", float("nan"), f"skipped: no {REAL.parent.name}/{REAL.name} beside "
                        "the checkout")]  # fmt: skip
    simulated = [night for night in map(scaled, measured) if night]
    real = {subject: scaled(real_spectra(REAL, subject)) for subject in FITTED + REPORTED}
    if len(simulated) < 2:
        return [Finding("spectra", "simulated nights", float("nan"), "skipped: fewer than two hold wake and N3")]
    found = _cells(simulated, [real[s] for s in FITTED + REPORTED], "11 subjects", detailed=True)
    found += _cells(simulated, [real[s] for s in REPORTED], "the 5 never fitted on", detailed=False)
    for stage in STAGES:
        found += _told_apart(stage, simulated, [night for night in real.values() if night])
    return found


def _cells(simulated: Sequence[Spectra], real: Sequence[Spectra | None], who: str, detailed: bool) -> list[Finding]:
    """Whether the medians over people, of each one's median over epochs, lie within `FACTOR`."""
    ratios: dict[str, float] = {}
    for stage in STAGES:
        for band, (low, high) in BANDS.items():
            theirs, ours = (
                np.median([np.median(_band(night[stage], low, high)) for night in nights if night])
                for nights in (real, simulated)
            )
            ratios[f"{stage} {band}"] = float(theirs / ours)
    near = sum(1 / FACTOR <= ratio <= FACTOR for ratio in ratios.values())
    share = near / len(ratios)
    lines = [
        Finding("spectra", f"bands within {FACTOR}, {who}", share, f"{near} of {len(ratios)} cells",
                f">= {SHARE:.0%}", bool(share >= SHARE))
    ]  # fmt: skip
    if detailed:
        for stage in STAGES:
            figures = ", ".join(f"{cell.split()[1]}: {ratio:.2f}" for cell, ratio in ratios.items() if stage in cell)
            lines.append(Finding("spectra", f"{stage}, real over simulated by Hz", float("nan"), figures))
    return lines


def relative(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log share of each 1-Hz bin in the power from 0.5 to 29.5 Hz, `(epochs, 27)`; bins with a folded line are out."""
    bins = np.stack([_band(spectra, hz - 0.5, hz + 0.5) for hz in range(1, 30) if hz not in (22, 28)], axis=1)
    return np.log10(bins / bins.sum(axis=1, keepdims=True))


def _told_apart(stage: str, simulated: Sequence[Spectra], real: Sequence[Spectra]) -> list[Finding]:
    nights = [night[stage] for night in (*simulated, *real)]
    x = np.concatenate([relative(night) for night in nights])
    groups = np.repeat(np.arange(len(nights)), [len(night) for night in nights])
    y = groups >= len(simulated)
    models = {
        "boosted trees": HistGradientBoostingClassifier(class_weight="balanced", random_state=0),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)),
    }
    found = []
    for name, model in models.items():
        # Folds hold whole subjects, so that a classifier has to know reality and not a person.
        said = cross_val_predict(model, x, y, groups=groups, cv=GroupKFold(5), method="predict_proba")[:, 1]
        area = float(roc_auc_score(y, said))
        found.append(
            Finding("spectra", f"AUC {stage}, {name}", area, f"{area:.3f} ({(~y).sum()} simulated epochs of "
                    f"{len(simulated)} nights, {y.sum()} real of {len(real)})", "0.5 is best")
        )  # fmt: skip
    return found
