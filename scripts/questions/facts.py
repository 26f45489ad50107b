"""Facts of a whole night, counted from its truth; rates are per hour of sleep, unknown ones NaN and never relevant."""

from collections.abc import Callable

import numpy as np
import polars as pl

from encoders.vocabulary import EPOCH_S
from questions.nights import APNEAS, TrueNight


def fact(night: TrueNight, name: str) -> float:
    """The fact of that name; `KeyError` for an unknown one."""
    return float(FACTS[name](night))


def _minutes(night: TrueNight, *stages: str) -> float:
    return float(np.isin(night.stages, stages).sum() * EPOCH_S / 60)


def _tst_min(night: TrueNight) -> float:
    return float(night.asleep.sum() * EPOCH_S / 60)


def _per_h(night: TrueNight, count: float) -> float:
    return count * 60 / _tst_min(night) if night.asleep.any() else np.nan


def _in_sleep(night: TrueNight, *names: str) -> int:
    """How many of these events start in sleep."""
    at = (night.spans(names)[:, 0] // EPOCH_S).astype(int)
    return int(night.asleep[np.minimum(at, len(night.asleep) - 1)].sum())


def _within(night: TrueNight) -> slice:
    """The epochs of the sleep period."""
    start, stop = night.sleep_period_s
    return slice(int(start // EPOCH_S), int(stop // EPOCH_S))


def _share(night: TrueNight, *stages: str) -> float:
    return 100 * _minutes(night, *stages) / _tst_min(night) if night.asleep.any() else np.nan


def _changes(night: TrueNight) -> float:
    stages = night.stages[_within(night)]
    return _per_h(night, int((stages[1:] != stages[:-1]).sum()))


def _awakenings(night: TrueNight) -> float:
    asleep = night.asleep[_within(night)]
    return _per_h(night, int((asleep[:-1] & ~asleep[1:]).sum()))


def _rem_interruptions(night: TrueNight) -> float:
    """Ends of REM bouts per hour of REM."""
    minutes = _minutes(night, "REM")
    return len(night.bouts(night.stages == "REM")) * 60 / minutes if minutes else np.nan


def _desaturations(night: TrueNight, drop_pct: float) -> float:
    falls = night.events.filter((pl.col("name") == "desaturation") & (pl.col("drop_pct") >= drop_pct))
    return _per_h(night, falls.height)


def _central_share(night: TrueNight) -> float:
    every = _in_sleep(night, *APNEAS)
    return _in_sleep(night, "central apnea") / every if every else np.nan


def _rem_latency(night: TrueNight) -> float:
    at = np.flatnonzero(night.stages == "REM")
    return (night.starts_s[at[0]] - night.sleep_period_s[0]) / 60 if at.size else np.nan


def _supine(night: TrueNight) -> float:
    supine = (night.epochs["position"] == "supine").to_numpy()
    return 100 * float(supine[night.asleep].mean()) if night.asleep.any() else np.nan


def _spanned_min(night: TrueNight, name: str) -> float:
    return float(np.diff(night.spans(name)).sum() / 60)


def _mean(night: TrueNight, column: str) -> float:
    values = night.epochs[column].to_numpy()[night.asleep]
    return float(np.nanmean(values)) if values.size else np.nan


FACTS: dict[str, Callable[[TrueNight], float]] = {
    "tst_min": _tst_min,
    "sleep_pct": lambda night: 100 * _tst_min(night) / (len(night.stages) * EPOCH_S / 60),
    "waso_min": lambda night: float((~night.asleep[_within(night)]).sum() * EPOCH_S / 60),
    "sleep_latency_min": lambda night: night.sleep_period_s[0] / 60 if night.asleep.any() else np.nan,
    "rem_min": lambda night: _minutes(night, "REM"),
    "rem_pct": lambda night: _share(night, "REM"),
    "rem_latency_min": _rem_latency,
    "rem_interruptions_per_h": _rem_interruptions,
    "n1_pct": lambda night: _share(night, "N1"),
    "n3_pct": lambda night: _share(night, "N3"),
    "stage_changes_per_h": _changes,
    "awakenings_per_h": _awakenings,
    "arousal_index_per_h": lambda night: _per_h(night, _in_sleep(night, "arousal")),
    "ahi_per_h": lambda night: _per_h(night, _in_sleep(night, *APNEAS, "hypopnea")),
    "apneas_per_h": lambda night: _per_h(night, _in_sleep(night, *APNEAS)),
    "central_share": _central_share,
    "odi3_per_h": lambda night: _desaturations(night, 3),
    "plm_per_h": lambda night: _per_h(night, _in_sleep(night, "periodic limb movement")),
    "spo2_nadir_pct": lambda night: float(night.epochs["spo2_min_pct"].to_numpy()[night.asleep].min(initial=np.inf)),
    "below_90_pct": lambda night: 100 * float((night.epochs["spo2_mean_pct"].to_numpy() < 90)[night.asleep].mean()),
    "supine_pct": _supine,
    "hr_mean_bpm": lambda night: _mean(night, "hr_bpm"),
    "cheyne_stokes_min": lambda night: _spanned_min(night, "Cheyne-Stokes breathing"),
    "snoring_min": lambda night: _spanned_min(night, "snoring"),
}
