"""YASA's spindle, slow-wave and REM detectors at their defaults against the planted events, and how many there are.

A detection and an event match one to one where they share a fifth of the time they cover together (IoU 0.2, as MODA and
DREAMS are scored); stages are the true ones. Spindles are sought in C4-M1, slow waves in F4-M1 (AASM: over frontal
derivations) and in C4-M1, rapid eye movements in E1-M2 and E2-M2. A K-complex that is large enough counts as a slow
wave, as in the AASM's rules, so it is neither missed nor false there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import N1, N2, N3, REM
from encoders.vocabulary import EPOCH_S
from judges.common import Finding, Judged, spans

IOU = 0.2
# A wave of 75 uV over F4 has some 60 over C4, where the detector asks for 75 too: no aim there, but a comparison with
# real sleepers, of whom we have central recordings only.
CENTRAL = "slow waves at C4"
SOUGHT = {  # what: (true events, stages that YASA looks in by default)
    "spindles": (("spindle",), (N1, N2, N3)),
    "slow waves": (("slow wave", "K-complex"), (N2, N3)),
    CENTRAL: (("slow wave", "K-complex"), (N2, N3)),
    "rapid eye movements": (("rapid eye movement",), (REM,)),
}
# Detections per minute of a stage. Spindles: MODA's scorers marked 5,342 (Lacourse et al., Sci Data 2020;7:190) in
# 1,440 minutes of N2 (from memory), 3.7 a minute, of people of 18 to 80 years. Slow waves: the same detector finds 1.5
# to 11 in the N3 of 11 UCDDB subjects (C3 or C4, 100 uV a unit), frontally and in the young more. Rapid eye movements:
# the same detector finds 16.8 in a real sleeper; over 15 is called high (American Thoracic Society, Sleep Fragments).
# The margins are ours.
RANGES = {
    ("spindles", N2): (1.5, 8.0),
    (CENTRAL, N3): (1.5, 16.0),
    ("slow waves", N3): (4.0, 25.0),
    ("rapid eye movements", REM): (3.0, 17.0),
}


def measure(night: Judged) -> dict[str, Any]:
    """For each of `SOUGHT`: matches, detections, true events; and detections and true events per minute of `RANGES`."""
    detected = _detect(night)
    counts, density = {}, {}
    for what, (names, stages) in SOUGHT.items():
        true = spans(night.events, *names)
        true = true[np.isin(_stage(night, true), stages)]
        counts[what] = (_matches(detected[what], true), len(detected[what]), len(true))
        for stage in stages:
            minutes = float((night.stages == stage).sum()) * EPOCH_S / 60
            if (what, stage) in RANGES and minutes >= 5:
                both = [float((_stage(night, found) == stage).sum()) / minutes for found in (detected[what], true)]
                density[what, stage] = (both[0], both[1])
    return {"counts": counts, "density": density}


def summarise(measured: Sequence[dict[str, Any]]) -> list[Finding]:
    """F1 over all nights together, with the range of single nights, and the nights whose densities are in range."""
    found: list[Finding] = []
    for what in SOUGHT:
        each = np.array([night["counts"][what] for night in measured])
        matched, detected, true = each.sum(axis=0)
        nights = 2 * each[:, 0] / np.maximum(each[:, 1] + each[:, 2], 1)
        f1 = 2 * matched / max(detected + true, 1)
        figure = (
            f"F1 {f1:.2f} (nights {nights.min():.2f}-{nights.max():.2f}), precision {matched / max(detected, 1):.2f}, "
            f"recall {matched / max(true, 1):.2f}, {true:,} planted"
        )
        aim = "" if what == CENTRAL else "F1 >= 0.6"
        found.append(Finding("elements", f"YASA {what}", float(f1), figure, aim, bool(f1 >= 0.6) if aim else None))
    for (what, stage), (low, high) in RANGES.items():
        pairs = np.array([night["density"][what, stage] for night in measured if (what, stage) in night["density"]])
        if not len(pairs):
            continue
        inside = float(np.mean((pairs[:, 0] >= low) & (pairs[:, 0] <= high)))
        figure = (
            f"median {np.median(pairs[:, 0]):.1f} ({pairs[:, 0].min():.1f}-{pairs[:, 0].max():.1f}), planted "
            f"{np.median(pairs[:, 1]):.1f}; {inside:.0%} of {len(pairs)} nights in range"
        )
        name = {N2: "N2", N3: "N3", REM: "REM"}[stage]
        aim = f"{low:g}-{high:g} in 80 % of nights"
        found.append(Finding("elements", f"{what} per minute of {name}", inside, figure, aim, inside >= 0.8))
    return found


def _detect(night: Judged) -> dict[str, NDArray[np.float64]]:
    """`(n, 2)` start and stop in seconds of what the detectors find, by the keys of `SOUGHT`."""
    import yasa

    def within(what: str, *channels: str) -> tuple[list[NDArray[np.float64]], float, dict[str, Any]]:
        signals, rates = zip(*(night.signal(channel) for channel in channels), strict=True)
        hypno = np.repeat(night.stages, round(EPOCH_S * rates[0]))
        return list(signals), rates[0], {"hypno": hypno, "include": SOUGHT[what][1]}

    found: dict[str, Any] = {}
    (eeg,), rate, options = within("spindles", "eeg_c4_m1")
    found["spindles"] = yasa.spindles_detect(eeg, rate, **options)
    for what, channel in ((CENTRAL, "eeg_c4_m1"), ("slow waves", "eeg_f4_m1")):
        (eeg,), rate, options = within(what, channel)
        found[what] = yasa.sw_detect(eeg, rate, **options)
    (left, right), rate, options = within("rapid eye movements", "eog_l", "eog_r")
    found["rapid eye movements"] = yasa.rem_detect(left, right, rate, **options)
    return {
        what: np.empty((0, 2)) if result is None else result.summary()[["Start", "End"]].to_numpy(np.float64)
        for what, result in found.items()
    }


def _stage(night: Judged, found: NDArray[np.float64]) -> NDArray[np.int8]:
    return night.stages[np.minimum((found[:, 0] // EPOCH_S).astype(int), len(night.stages) - 1)]


def _matches(detected: NDArray[np.float64], true: NDArray[np.float64]) -> int:
    """Number of one-to-one pairs that overlap enough, as many as can be."""
    import yasa

    if not len(detected) or not len(true):
        return 0
    compared = yasa.compare_detection(detected, true, method="intersection", iou_threshold=IOU)
    return len(compared["tp"])
