"""Arousals: after respiratory events, with leg movements, and on their own."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import TruthEvent, W, constants, scatter
from encoders.simulation.oxygen import fall_window
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

MUST, MAY, ALONE = range(3)  # the order in which arousals find their place


def plan_arousals(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], respiratory: Sequence[TruthEvent],
    desaturations: Sequence[TruthEvent], limbs: Sequence[TruthEvent],
) -> list[TruthEvent]:  # fmt: skip
    """Arousals of 3 s or more, each after 10 s of sleep: at the end of events, with leg movements, and on their own.

    A RERA is one by its arousal, and so is a hypopnea without a desaturation (AASM rule 1A): these come first, and a
    spontaneous arousal gives way to all others. `cause` is the event's name or "spontaneous".
    """
    facts = constants("arousals")
    fell = np.sort([d.start_s for d in desaturations])
    wishes: list[tuple[int, float, str]] = []
    for event in respiratory:
        early, late = fall_window(event, subject)
        falls = np.searchsorted(fell, late) > np.searchsorted(fell, early)
        must = event.name == "RERA" or (event.name == "hypopnea" and not falls)
        if rng.random() < facts["respiratory_share"] or must:
            wishes.append((MUST if must else MAY, event.stop_s + rng.uniform(*facts["after_event_s"]), event.name))
    # AASM: a leg movement and an arousal belong together where under half a second lies between them.
    waking = [limb for limb in limbs if rng.random() < facts["limb_share"]]
    wishes += [(MAY, limb.start_s + rng.uniform(0, 0.5), limb.name) for limb in waking]
    light = float(np.interp(subject.age_years, facts["age_years"], facts["light_per_hour"]))
    per_hour = (0.0, facts["n1_factor"] * light, light, facts["n3_per_hour"], facts["rem_per_hour"])
    alone = scatter(rng, stages, [subject.arousal_gain * rate / 60 for rate in per_hour], facts["apart_s"])
    wishes += [(ALONE, float(t), "spontaneous") for t in alone]
    shortest, median, longest = facts["length_s"]
    before = facts["sleep_before_s"]
    placed: list[TruthEvent] = []  # in time order
    starts: list[float] = []
    for _, start, cause in sorted(wishes):
        start = round(start, 1)
        length = min(max(median * np.exp(facts["log_sd"] * rng.standard_normal()), shortest), longest)
        stop = round(start + length, 1)
        at = bisect_left(starts, start)
        free = (at == 0 or placed[at - 1].stop_s + before <= start) and (
            at == len(placed) or stop + before <= placed[at].start_s
        )
        asleep = start >= before and (stages[int((start - before) // EPOCH_S) : int(stop // EPOCH_S) + 1] != W).all()
        if free and asleep and stop < len(stages) * EPOCH_S:
            placed.insert(at, TruthEvent("arousal", start, stop, cause=cause))
            starts.insert(at, start)
    return placed
