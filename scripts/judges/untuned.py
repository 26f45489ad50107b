"""The judge that nobody tunes to: psgscoring on legs and arousals. Read its figures, change nothing for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import psgscoring
from numpy.typing import NDArray

from judges.common import Finding, Judged, spans

APNEAS = ("obstructive apnea", "central apnea", "mixed apnea", "hypopnea")
NAMES = ("W", "N1", "N2", "N3", "R")  # of `draws.CODES`, as psgscoring spells them


def measure(night: Judged) -> dict[str, Any]:
    """Leg-movement indices per hour and matched arousals, the true hypnogram given."""
    hypnogram = [NAMES[code] for code in night.stages]
    left, rate = night.signal("emg_leg_l")
    right, _ = night.signal("emg_leg_r")
    apneas = [{"onset_s": a, "duration_s": b - a, "type": "apnea"} for a, b in spans(night.events, *APNEAS)]
    legs = psgscoring.analyze_plm(left, right, rate, hypnogram, resp_events=apneas)
    asleep = night.stages > 0
    limbs = spans(night.events, "periodic limb movement")
    in_sleep = asleep[np.minimum(limbs[:, 0] // 30, len(asleep) - 1).astype(int)].sum()
    eeg, rate = night.signal("eeg_c4_m1")
    chin, _ = night.signal("emg_chin")
    found = psgscoring.detect_arousals(eeg, rate, hypnogram, emg_data=chin)["events"]
    marked = np.array([(a["onset_s"], a["end_s"]) for a in found]).reshape(-1, 2)
    true = spans(night.events, "arousal")
    return {
        "plm_true": in_sleep / (asleep.sum() / 120), "plm_found": legs["summary"]["plm_index"],
        "true": len(true), "marked": len(marked), "hit": _touched(true, marked), "right": _touched(marked, true),
    }  # fmt: skip


def _touched(these: NDArray[np.float64], others: NDArray[np.float64]) -> int:
    """How many of `these` share time with one of `others`; both are `(n, 2)` in seconds."""
    if not len(others):
        return 0
    return int(((these[:, :1] < others[:, 1]) & (these[:, 1:] > others[:, 0])).any(axis=1).sum())


def summarise(nights: Sequence[dict[str, Any]]) -> list[Finding]:
    """Bias and limits of the PLM index; precision and recall of arousals over all nights."""
    difference = np.array([night["plm_found"] - night["plm_true"] for night in nights])
    spread = 1.96 * difference.std(ddof=1) if len(difference) > 1 else float("nan")
    r = np.corrcoef([n["plm_true"] for n in nights], [n["plm_found"] for n in nights])[0, 1]
    total = {key: sum(night[key] for night in nights) for key in ("true", "marked", "hit", "right")}
    precision, recall = total["right"] / max(total["marked"], 1), total["hit"] / max(total["true"], 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return [
        Finding("psgscoring legs (untuned)", "PLM index, bias", float(difference.mean()),
                f"{difference.mean():+.1f} /h (limits ±{spread:.1f}; r {r:.2f})"),
        Finding("psgscoring arousals (untuned)", "F1, any overlap", f1,
                f"{f1:.2f} (precision {precision:.2f}, recall {recall:.2f}; {total['true']} true)"),
    ]  # fmt: skip
