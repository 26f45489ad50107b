"""One simulated night: everything that happens in it, before anyone records or scores it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encoders.simulation import breathing, elements, eyes, heart, movement
from encoders.simulation.arousals import plan_arousals
from encoders.simulation.breathing import Breath
from encoders.simulation.draws import TruthEvent, W, stream
from encoders.simulation.heart import Heart
from encoders.simulation.hypnogram import draw_hypnogram
from encoders.simulation.oxygen import fall_window
from encoders.simulation.people import Subject, tonight
from encoders.vocabulary import EPOCH_S

RESPIRATORY = frozenset({"obstructive apnea", "central apnea", "mixed apnea", "hypopnea"})


@dataclass(frozen=True)
class Night:
    """What happened, before anyone recorded or scored it. `stages` and `positions` are codes per epoch."""

    key: tuple[int | str, ...]  # of every random stream of this night
    subject: Subject
    stages: NDArray[np.int8]
    positions: NDArray[np.int8]
    open_eyes: NDArray[np.bool_]
    breath: Breath
    heart: Heart
    events: tuple[TruthEvent, ...]  # all of them, by start
    lights_off_s: float
    lights_on_s: float

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return len(self.stages) * EPOCH_S

    def named(self, *names: str) -> list[TruthEvent]:
        """The events of these names, in time order."""
        return [event for event in self.events if event.name in names]

    @cached_property
    def pulse_per_min(self) -> NDArray[np.int16]:
        """The heart-rate channel: whole beats per minute at 1 Hz."""
        return heart.rate_channel(self.heart)


def plan_night(seed: int, subject: Subject, subject_index: int, night: int, n_epochs: int) -> Night:
    """Draws a night of `n_epochs`; `night` counts the nights of the subject from 0."""
    key = (seed, subject_index, night)
    subject = tonight(stream(*key, "tonight"), subject, night)
    stages = draw_hypnogram(stream(*key, "hypnogram"), subject, n_epochs)
    positions, turns = movement.plan_positions(stream(*key, "positions"), subject, stages)
    breath = breathing.plan_breathing(stream(*key, "breathing"), subject, stages, positions)
    limbs = movement.plan_limb_movements(stream(*key, "limbs"), subject, stages, breath.events)
    arousals = plan_arousals(stream(*key, "arousals"), subject, stages, breath.events, breath.desaturations, limbs)
    # AASM rule 1A: a hypopnea needs its desaturation or its arousal, a RERA its arousal; else it was a quieter breath.
    respiratory = [e for e in breath.events if "apnea" in e.name or _has_consequence(e, breath, arousals, subject)]
    breath = replace(breath, events=tuple(respiratory))
    open_eyes = eyes.plan_open_eyes(stream(*key, "open eyes"), stages)
    looks = eyes.plan_eyes(key, stages, arousals, open_eyes)
    graphic = elements.plan_elements(key, subject, stages, arousals, looks)
    beating = heart.plan_heart(key, subject, stages, positions, breath, arousals, turns)
    events = [
        *respiratory, *breath.spans, *breath.desaturations, *arousals, *limbs, *turns, *looks, *graphic,
        *beating.premature,
    ]  # fmt: skip
    asleep = np.flatnonzero(stages != W)
    first, last = (int(asleep[0]), int(asleep[-1])) if len(asleep) else (n_epochs, n_epochs - 1)
    return Night(
        key, subject, stages, positions, open_eyes, breath, beating,
        tuple(sorted(events, key=lambda e: (e.start_s, e.name))),
        lights_off_s=EPOCH_S * max(0, first // 3), lights_on_s=EPOCH_S * min(n_epochs, last + 2),
    )  # fmt: skip


def _has_consequence(event: TruthEvent, breath: Breath, arousals: list[TruthEvent], subject: Subject) -> bool:
    early, late = fall_window(event, subject)
    fell = any(early <= d.start_s <= late for d in breath.desaturations)
    return (fell and event.name != "RERA") or any(event.stop_s - 1 <= a.start_s <= event.stop_s + 5 for a in arousals)
