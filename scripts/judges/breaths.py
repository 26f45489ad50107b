"""Breathing: psgscoring's events and desaturations, neurokit2's breaths, against what was planted.

psgscoring gets the two flow sensors, the belts, the oximeter, the true stages and the true arousals, which its default
profile would ignore: `RULE` lets an arousal confirm a hypopnea, as rule 1A says. Nights of a true AHI over 40 are
reported apart, and indices of desaturation come from the oximeter's channel by psgscoring, against the planted falls.
"""

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mne
import neurokit2 as nk
import numpy as np
import polars as pl
import psgscoring
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from encoders.simulation.draws import CODES
from encoders.simulation.night import RESPIRATORY
from encoders.vocabulary import EPOCH_S
from judges.common import Finding, Judged, spans

ROLES = {
    "flow_pressure": "nasal_pressure", "flow_thermistor": "airflow_therm", "thorax": "thorax", "abdomen": "abdomen",
}  # fmt: skip
RULE = {"PSGSCORING_RULE1A_AROUSAL": "1", "PSGSCORING_AROUSAL_LIMB_WIRED": "1"}
CLASSES = (5, 15, 30)  # AASM: mild, moderate, severe
HEAVY = 40  # nights over this AHI are none of the twenty


@dataclass(frozen=True, slots=True)
class Night:
    """What one night gives; indices per hour of sleep."""

    ahi: float
    scored_ahi: float
    true: int
    found: int  # true events that the scorer's overlap
    scored: int
    right: int  # scored events that true ones overlap
    obstructive: tuple[int, int]  # true obstructive or mixed apneas found as apneas, of them not called central
    central: tuple[int, int]  # the same for central ones called central
    planted_odi: tuple[float, float]  # 3 %, 4 %
    measured_odi: tuple[float, float]
    rate_error: float  # mean absolute, breaths a minute, over quiet sleep
    rate_bias: float


def measure(night: Judged) -> Night:
    """Scores one night; its file must hold the sensors of `ROLES` and `spo2`."""
    spo2, _ = night.signal("spo2")
    signals = {role: night.signal(channel) for role, channel in ROLES.items()}
    return measure_signals(signals, spo2, night.stages, night.epochs, night.events)


def measure_signals(
    signals: dict[str, tuple[NDArray[np.float64], float]], spo2: NDArray[np.float64], stages: NDArray[np.int8],
    epochs: pl.DataFrame, events: pl.DataFrame,
) -> Night:  # fmt: skip
    """The same from arrays: `signals` by role of `ROLES` with their one rate, `spo2` at 1 Hz."""
    os.environ |= RULE
    logging.getLogger("psgscoring").setLevel(logging.ERROR)
    rate = next(iter(signals.values()))[1]
    samples = np.array([samples for samples, _ in signals.values()] + [np.repeat(spo2, round(rate))])
    names = [*signals, "spo2"]
    raw = mne.io.RawArray(samples, mne.create_info(names, rate, "misc"), verbose="error")
    stage_words = [{"REM": "R"}.get(CODES[code], CODES[code]) for code in stages]
    arousals = [{"onset_s": a, "duration_s": b - a} for a, b in spans(events, "arousal")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scored = psgscoring.run_pneumo_analysis(
            raw, stage_words, channel_map={name: name for name in names}, arousal_events=arousals
        )["respiratory"]
        odi = psgscoring.analyze_spo2(spo2, 1.0, stage_words)["summary"]
        error = _rate_error(*signals["thorax"], epochs)
    hours = (stages > 0).sum() * EPOCH_S / 3600
    found: list[dict[str, Any]] = scored["events"]
    kinds = np.array([event["type"] for event in found])
    theirs = np.array([(e["onset_s"], e["onset_s"] + e["duration_s"]) for e in found], float).reshape(-1, 2)
    ours = spans(events, *RESPIRATORY)
    depth = events.filter(pl.col("name") == "desaturation")["drop_pct"].to_numpy()

    def called(names: Sequence[str], central: bool) -> tuple[int, int]:
        kind = np.array([kinds[m].tolist() for m in _match(spans(events, *names), theirs) if len(kinds) and m >= 0])
        apneas = kind[~np.isin(kind, ["hypopnea"])]
        return len(apneas), int(((apneas == "central") == central).sum())

    return Night(
        ahi=len(ours) / hours, scored_ahi=float(scored["summary"]["ahi_total"]),
        true=len(ours), found=int((_match(ours, theirs) >= 0).sum()),
        scored=len(theirs), right=int((_match(theirs, ours) >= 0).sum()),
        obstructive=called(("obstructive apnea", "mixed apnea"), False), central=called(("central apnea",), True),
        planted_odi=((depth >= 3).sum() / hours, (depth >= 4).sum() / hours),
        measured_odi=(odi["odi_3pct"], odi["odi_4pct"]), rate_error=float(np.abs(error).mean()),
        rate_bias=float(error.mean()),
    )  # fmt: skip


def _match(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each span the index of the other one that covers half of the shorter of the two; -1 where none does."""
    if not len(others) or not len(some):
        return np.full(len(some), -1)
    shared = np.minimum(some[:, None, 1], others[None, :, 1]) - np.maximum(some[:, None, 0], others[None, :, 0])
    shorter = np.minimum(np.diff(some), np.diff(others).T)
    best = shared.argmax(axis=1)
    rows = np.arange(len(some))
    return np.where(shared[rows, best] >= 0.5 * shorter[rows, best], best, -1)


def _rate_error(thorax: NDArray[np.float64], rate_hz: float, epochs: pl.DataFrame) -> NDArray[np.float64]:
    """neurokit2's breathing rate less the true one, in epochs of sleep without respiratory events."""
    _, info = nk.rsp_peaks(nk.rsp_clean(thorax, rate_hz), rate_hz)
    peaks = np.asarray(info["RSP_Peaks"]) / rate_hz
    epoch = ((peaks[1:] + peaks[:-1]) / 2 // EPOCH_S).astype(int).clip(0, epochs.height - 1)
    counted, took = (np.bincount(epoch, w, epochs.height) for w in (None, np.diff(peaks)))
    true = epochs["breathing_rate_per_min"].fill_null(np.nan).to_numpy()
    quiet = (epochs["stage"] != "W").to_numpy() & (epochs["respiratory_event_s"] == 0).to_numpy()
    error = 60 * counted / np.maximum(took, 1e-9) - true
    kept: NDArray[np.float64] = error[quiet & np.isfinite(error) & (counted > 0)]
    return kept


def summarise(nights: Sequence[Night]) -> list[Finding]:
    """Lines of the table, first for nights of a true AHI up to 40, then the events of those over it."""
    usual, heavy = [n for n in nights if n.ahi <= HEAVY], [n for n in nights if n.ahi > HEAVY]
    findings: list[Finding] = []

    def add(what: str, value: float, figure: str, aim: str = "", met: bool | None = None) -> None:
        findings.append(Finding("breaths", what, float(value), figure, aim, None if met is None else bool(met)))

    for group, label in ((usual, f"AHI up to {HEAVY}"), (heavy, f"AHI over {HEAVY}")):
        if not group:
            continue
        error = np.array([n.scored_ahi - n.ahi for n in group])
        spread = float(error.std(ddof=1)) if len(group) > 1 else float("nan")
        bias, low, high = float(error.mean()), error.mean() - 1.96 * spread, error.mean() + 1.96 * spread
        add(f"psgscoring AHI, bias, {label}", bias,
            f"{bias:+.1f}/h, limits {low:+.1f} to {high:+.1f}, {len(group)} nights")  # fmt: skip
        true, found, scored, right = (sum(getattr(n, k) for n in group) for k in ("true", "found", "scored", "right"))
        recall, precision = found / max(true, 1), right / max(scored, 1)
        add(f"psgscoring events found, {label}", recall, f"{recall:.2f} of {true}")
        add(f"psgscoring events right, {label}", precision, f"{precision:.2f} of {scored}")
        for i, drop in enumerate((3, 4)):
            planted, measured = (sum(getattr(n, k)[i] for n in group) for k in ("planted_odi", "measured_odi"))
            ratio = measured / max(planted, 1e-9)
            add(f"ODI{drop} of the signal over planted, {label}", ratio,
                f"{ratio:.2f} ({measured / len(group):.1f}/h, {planted / len(group):.1f}/h)",
                "0.85 to 1.15", 0.85 <= ratio <= 1.15)  # fmt: skip
    if usual:
        true_class, scored_class = (
            [int(np.searchsorted(CLASSES, getattr(n, k), "right")) for n in usual] for k in ("ahi", "scored_ahi")
        )
        kappa = float(cohen_kappa_score(true_class, scored_class, labels=[0, 1, 2, 3]))
        weighted = float(cohen_kappa_score(true_class, scored_class, labels=[0, 1, 2, 3], weights="linear"))
        same = sum(a == b for a, b in zip(true_class, scored_class, strict=True))
        add("psgscoring severity class, kappa", kappa,
            f"{kappa:.2f}, linear weights {weighted:.2f}, {same} of {len(usual)} the same")  # fmt: skip
    for kind in ("obstructive", "central"):
        seen, called = (sum(getattr(n, kind)[i] for n in nights) for i in (0, 1))
        if seen:
            add(f"{kind} apneas called so", called / seen, f"{called / seen:.2f} of {seen}")
    wrong, bias = (float(np.mean([getattr(n, k) for n in nights])) for k in ("rate_error", "rate_bias"))
    add("neurokit2 breathing rate, mean error per epoch", wrong, f"{wrong:.2f}/min, bias {bias:+.2f}",
        "below 1", wrong < 1)  # fmt: skip
    return findings
