"""The truth of a night as tables: all that happened, and the physiology of each epoch."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.simulation.dirt import Fault
from encoders.simulation.draws import TruthEvent, stage_names
from encoders.simulation.night import RESPIRATORY, Night
from encoders.simulation.oxygen import GRID_HZ
from encoders.vocabulary import EPOCH_S, POSITIONS

COUNTED = ("spindle", "K-complex", "slow wave", "rapid eye movement", "blink")


def truth_events(night: Night, faults: Sequence[Fault] = ()) -> pl.DataFrame:
    """All events by start as `name`, `start_s`, `stop_s`, with the oximeter's nadir and the cause where there is one.

    The recording's faults stand among them: `channel` is the label of the signal at fault as the EDF file has it, null
    for events of the body and for a pause; `cause` says what is wrong. Times count from the recording's start, pauses
    included: what happened in a pause is kept here, and is not in the file.
    """
    body = [(e.name, e.start_s, e.stop_s, e.spo2_min_pct, e.cause, e.drop_pct, None) for e in night.events]
    wrong = [(f.name, f.start_s, f.stop_s, None, f.cause, None, f.label) for f in faults]
    return pl.DataFrame(
        sorted([*body, *wrong], key=lambda row: (row[1], row[0])),
        schema=["name", "start_s", "stop_s", "spo2_min_pct", "cause", "drop_pct", "channel"],
        schema_overrides={
            "start_s": pl.Float64, "stop_s": pl.Float64, "spo2_min_pct": pl.Float64, "cause": pl.String,
            "drop_pct": pl.Float64, "channel": pl.String,
        },
        orient="row",
    )  # fmt: skip


def truth_epochs(night: Night) -> pl.DataFrame:
    """One row per epoch: stage, position and physiology as it was; null where there was none to measure."""
    n = len(night.stages)
    per_epoch = round(EPOCH_S * GRID_HZ)
    breathes = (night.breath.effort > 0.2).reshape(n, per_epoch)
    rate = np.where(breathes, night.breath.rate_per_min.reshape(n, per_epoch), 0).sum(axis=1)
    enough = breathes.mean(axis=1) > 1 / 3
    spo2 = night.breath.spo2_pct.reshape(n, round(EPOCH_S))
    middle = (night.heart.beats_s[1:] + night.heart.beats_s[:-1]) / 2
    epoch_of = np.minimum((middle // EPOCH_S).astype(int), n - 1)
    intervals = np.diff(night.heart.beats_s)
    columns = {
        "start_s": np.arange(n) * EPOCH_S,
        "stage": stage_names(night.stages),
        "position": [POSITIONS[int(code)] for code in night.positions],
        "hr_bpm": 60 * np.bincount(epoch_of, minlength=n) / np.bincount(epoch_of, intervals, minlength=n),
        "breathing_rate_per_min": pl.Series(rate / np.maximum(breathes.sum(axis=1), 1)).set(pl.Series(~enough), None),
        "spo2_mean_pct": spo2.mean(axis=1),
        "spo2_min_pct": spo2.min(axis=1).astype(np.float64),
    }
    for name in COUNTED:
        starts = np.array([e.start_s for e in night.named(name)])
        columns[f"{name.lower().replace('-', ' ').replace(' ', '_')}_count"] = np.bincount(
            (starts // EPOCH_S).astype(int), minlength=n
        )
    for name, events in (("arousal", night.named("arousal")), ("respiratory_event", night.named(*RESPIRATORY))):
        columns[f"{name}_s"] = _covered(events, n)
    return pl.DataFrame(columns)


def _covered(events: list[TruthEvent], n: int) -> NDArray[np.float64]:
    """Seconds of each epoch that the events fill."""
    covered = np.zeros(n)
    for event in events:
        for epoch in range(int(event.start_s // EPOCH_S), min(n, int(np.ceil(event.stop_s / EPOCH_S)))):
            covered[epoch] += min(event.stop_s, (epoch + 1) * EPOCH_S) - max(event.start_s, epoch * EPOCH_S)
    return covered
