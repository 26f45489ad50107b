"""Arousals: after respiratory events, with leg movements, and on their own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import (
    TruthEvent,
    W,
    constants,
    scatter,
)
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S


def plan_arousals(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], respiratory: Sequence[TruthEvent],
    desaturations: Sequence[TruthEvent], limbs: Sequence[TruthEvent],
) -> list[TruthEvent]:  # fmt: skip
    """Arousals of 3 s or more, each after 10 s of sleep: at the end of events, with leg movements, and on their own."""
    facts = constants("arousals")
    fell = [d.start_s for d in desaturations]
    wishes: list[tuple[float, str, float]] = []
    for event in respiratory:
        # A hypopnea counts with a desaturation or an arousal (AASM rule 1A), so one without the first has the second.
        lag = subject.circulation_s
        fall = any(event.start_s + lag - 6 <= s <= event.stop_s + lag + 6 for s in fell)
        if rng.random() < (0.6 if fall or event.name != "hypopnea" else 1.0):
            wishes.append((event.stop_s + rng.uniform(0, 1.5), event.name, rng.lognormal(np.log(6.5), 0.35)))
    waking = [limb for limb in limbs if rng.random() < 0.25]
    wishes += [(limb.start_s + rng.uniform(0, 0.5), limb.name, 4.0 + rng.exponential(1.5)) for limb in waking]
    rate = np.interp(subject.age_years, [20, 65], facts["per_hour"]) / 60
    alone = scatter(rng, stages, [0.0, 1.4 * rate, rate, 0.6 * rate, rate], 20.0)
    wishes += [(float(t), "spontaneous", rng.lognormal(np.log(6.0), 0.4)) for t in alone]
    # Respiratory arousals are placed first: a spontaneous one gives way to them.
    placed: list[TruthEvent] = []
    for start, cause, length in sorted(wishes, key=lambda w: (w[1] == "spontaneous", w[0])):
        start, length = round(start, 1), round(float(np.clip(length, *facts["duration_s"])), 1)
        calm = start - facts["sleep_before_s"]
        asleep = calm >= 0 and (stages[int(calm // EPOCH_S) : int((start + length) // EPOCH_S) + 1] != W).all()
        free = all(a.stop_s <= calm or a.start_s >= start + length + facts["sleep_before_s"] for a in placed)
        if asleep and free and start + length < len(stages) * EPOCH_S:
            placed.append(TruthEvent("arousal", start, round(start + length, 1), cause=cause))
    return sorted(placed, key=lambda a: a.start_s)
