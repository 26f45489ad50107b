"""The body: positions and the turns between them, periodic leg movements, chin and leg muscles."""

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import TruthEvent, W
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

GRID_HZ = 10.0


def plan_positions(rng: np.random.Generator, stages: NDArray[np.int8]) -> tuple[NDArray[np.int8], list[TruthEvent]]:
    """Position codes of `vocabulary.POSITIONS` per epoch and the turns; people sit up before the first sleep epoch."""
    positions = np.empty(len(stages), np.int8)
    sleep = np.flatnonzero(stages != W)
    first = int(sleep[0]) if len(sleep) else len(stages)
    lie_down = max(0, first - 4)
    positions[:lie_down] = 4
    now, turns = lie_down, []
    # Turning over mostly wakes: a turn waits up to 10 minutes for the next epoch of wake or N1. Bouts are ours.
    light = np.flatnonzero(stages <= 1)
    code = int(rng.choice([0, 1, 2, 3], p=[0.27, 0.25, 0.44, 0.04]))
    while now < len(stages):
        until = now + max(4, round(rng.lognormal(np.log(70), 0.6)))
        near = light[(light >= until) & (light < until + 20)]
        until = int(near[0]) if len(near) else until
        positions[now:until] = code
        if now > 0:
            start = now * EPOCH_S
            turns.append(TruthEvent("position change", start, start + round(float(rng.uniform(3, 8)), 1)))
        now = until
        others = [c for c in (0, 1, 2, 3) if c != code]
        weights = np.array([(0.27, 0.25, 0.44, 0.04)[c] for c in others])
        code = int(rng.choice(others, p=weights / weights.sum()))
    return positions, turns


def plan_limb_movements(rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8]) -> list[TruthEvent]:
    """Series of four or more movements of 0.5-10 s, 5-90 s apart (AASM), in N1 and N2."""
    found: list[TruthEvent] = []
    light = (stages == 1) | (stages == 2)
    wanted = subject.plm_per_hour * (stages != W).sum() * EPOCH_S / 3600
    starts = rng.permutation(np.flatnonzero(light))
    used = np.zeros(len(stages) + 1, bool)
    for epoch in starts:
        if len(found) >= wanted:
            break
        times = epoch * EPOCH_S + np.cumsum(rng.normal(26, 4, int(rng.integers(5, 25))).clip(12, 60))
        within = np.array([t + 3 < len(stages) * EPOCH_S and light[int(t // EPOCH_S)] for t in times])
        times = times[: int(np.argmin(within)) if not within.all() else len(times)]
        around = slice(max(0, epoch - 4), int(times[-1] // EPOCH_S) + 5) if len(times) else slice(0)
        if len(times) < 4 or used[around].any():  # series further apart than 90 s stay series of their own
            continue
        used[around] = True
        stops = times + rng.uniform(0.6, 3.0, len(times))
        found += [
            TruthEvent("periodic limb movement", round(float(a), 2), round(float(b), 2))
            for a, b in zip(times, stops, strict=True)
        ]
    return sorted(found, key=lambda e: e.start_s)
