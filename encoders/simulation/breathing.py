"""Breathing: respiratory events and what they do to airflow, to the two belts, to snoring and to the blood's oxygen.

One ventilation curve drives all of them, so that a pause in the flow is a pause in ventilation, and the oxygen falls
one circulation time later. Gains live on a grid of `GRID_HZ`; oxygen is at 1 Hz, as an oximeter reports it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.simulation.draws import REM, Floats, TruthEvent, W, by_stage, constants, on_grid, wander
from encoders.simulation.oxygen import GRID_HZ, draw_oxygen, find_desaturations
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S


@dataclass(frozen=True, slots=True)
class Breath:
    """How the sleeper breathes; arrays on `GRID_HZ` but `spo2_pct`, whole per cents at 1 Hz."""

    events: tuple[TruthEvent, ...]  # apneas and hypopneas by flow alone; criteria are applied once arousals are known
    desaturations: tuple[TruthEvent, ...]
    phase: NDArray[np.float64]  # radians, one breath is 2 pi, inspiration first
    rate_per_min: Floats
    flow: Floats  # 1 is quiet breathing
    effort: Floats
    paradox: Floats  # 0 belts together, 1 opposed
    flattened: Floats  # 0 round inspirations, 1 flow-limited
    snore: Floats
    spo2_pct: NDArray[np.int16]


def plan_breathing(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8]
) -> Breath:
    """Places the events and works out every gain; `positions` are codes of `vocabulary.POSITIONS` per epoch."""
    n = round(len(stages) * EPOCH_S * GRID_HZ)
    awake, rem = on_grid(stages == W, GRID_HZ, 8.0), on_grid(stages == REM, GRID_HZ, 8.0)
    rate = subject.breathing_per_min * (1 + 0.06 * awake + 0.05 * rem)
    rate = (rate * (1 + (0.03 + 0.07 * awake + 0.07 * rem) * wander(rng, n, GRID_HZ, 12.0))).astype(np.float32)
    rate = np.clip(rate, 7, 26)
    flow = np.clip(1 + (0.06 + 0.14 * awake + 0.14 * rem) * wander(rng, n, GRID_HZ, 6.0), 0.7, 1.6).astype(np.float32)
    effort, paradox, flattened = flow.copy(), np.zeros(n, np.float32), np.zeros(n, np.float32)
    snore = np.clip(
        subject.snoring * (1 - awake) * (1 - 0.6 * rem) * (0.6 + 0.5 * wander(rng, n, GRID_HZ, 120.0)), 0, 1
    ).astype(np.float32)

    events = _place(rng, subject, stages, positions)
    for event in events:
        first, last = round(event.start_s * GRID_HZ), round(event.stop_s * GRID_HZ)
        over, length = slice(first, last), last - first
        central = np.zeros(length, bool)
        if event.name == "hypopnea":
            left = rng.uniform(*constants("breathing")["hypopnea_flow"])
            flow[over], effort[over] = left, 0.85
            paradox[over], flattened[over], snore[over] = 0.35, 0.9, np.maximum(snore[over], 0.5 * subject.snoring)
        else:
            central[: {"central apnea": length, "mixed apnea": length // 2}.get(event.name, 0)] = True
            flow[over] = np.where(central, 0.01, 0.03)
            effort[over] = np.where(central, 0.03, np.linspace(0.5, 1.1, length))
            paradox[over], snore[over] = np.where(central, 0.0, 0.9), 0.0
        after = slice(last, last + round(rng.uniform(8, 14) * GRID_HZ))
        flow[after] *= 1.45
        effort[after] *= 1.4
        snore[after] = np.maximum(snore[after], subject.snoring)
    soft = round(0.6 * GRID_HZ) | 1
    flow, effort, paradox = (uniform_filter1d(gain, soft) for gain in (flow, effort, paradox))
    oxygen = draw_oxygen(rng, subject, flow)
    spo2 = np.clip(np.rint(oxygen), 50, 100).astype(np.int16)
    return Breath(
        events=tuple(events),
        desaturations=tuple(find_desaturations(subject, events, oxygen, spo2)),
        phase=np.cumsum(rate, dtype=np.float64) * (2 * np.pi / 60.0 / GRID_HZ),
        rate_per_min=rate, flow=flow, effort=effort, paradox=paradox, flattened=flattened, snore=snore, spo2_pct=spo2,
    )  # fmt: skip


def _place(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8]
) -> list[TruthEvent]:
    """Apneas and hypopneas, each wholly within sleep, at the subject's rate over the night's sleep."""
    facts = constants("breathing")
    risk = by_stage(facts["stage_factor"])[stages] * np.where(positions == 2, facts["supine_factor"], 1.0)
    asleep = stages != W
    if not asleep.any():
        return []
    mean_s, gap_s = 21.0, facts["gap_s"]
    per_s = risk / risk[asleep].mean() * subject.ahi_per_hour / 3600
    # An event and its gap can't hold another, so the hazard in between must be higher to keep the rate.
    hazard = np.repeat(np.where(asleep, per_s / np.maximum(1 - per_s * (mean_s + gap_s), 0.12), 0), round(EPOCH_S))
    total = np.concatenate([[0.0], np.cumsum(hazard)])
    sleeping = np.repeat(asleep, round(EPOCH_S))
    events: list[TruthEvent] = []
    time_s = 0.0
    while True:
        target = np.interp(time_s, np.arange(len(total)), total) + rng.exponential()
        if target >= total[-1]:
            return events
        start = float(np.interp(target, total, np.arange(len(total))))
        apnea = rng.random() < subject.apnea_share
        rem = stages[int(start // EPOCH_S)] == REM
        length = rng.lognormal(*facts["apnea_log_s" if apnea else "hypopnea_log_s"]) * (1.25 if rem else 1.0)
        stop = start + float(np.clip(length, *facts["event_s"]))
        kind = "hypopnea"
        if apnea:
            central = rng.random() < subject.central_share
            kind = "central apnea" if central else "mixed apnea" if rng.random() < 0.1 else "obstructive apnea"
        if stop < len(sleeping) - 60 and sleeping[int(start) : int(stop) + 1].all():
            events.append(TruthEvent(kind, round(start, 2), round(stop, 2)))
            time_s = stop + gap_s
        else:
            time_s = start + 1.0
