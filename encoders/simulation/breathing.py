"""Breathing: respiratory events and what they do to airflow, to the two belts, to snoring and to the blood's oxygen.

One ventilation curve drives all of them, so that a pause in the flow is a pause in ventilation, and the oxygen falls
one circulation time later. Gains live on a grid of `GRID_HZ`; oxygen is at 1 Hz, as an oximeter reports it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from encoders.simulation.draws import REM, Floats, TruthEvent, W, by_stage, on_grid, physiology, wander
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

GRID_HZ = 8.0
DESATURATION_PCT = 3  # AASM 2012: 3 % or more
NADIR_SEARCH_S = 14  # after the circulation time, before the next event's fall can be taken for this one's


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
            left = rng.uniform(*physiology()["breathing"]["hypopnea_flow"])
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
    oxygen = _oxygen(rng, subject, flow)
    spo2 = np.clip(np.rint(oxygen), 50, 100).astype(np.int16)
    return Breath(
        events=tuple(events),
        desaturations=tuple(_desaturations(subject, events, oxygen, spo2)),
        phase=np.cumsum(rate, dtype=np.float64) * (2 * np.pi / 60.0 / GRID_HZ),
        rate_per_min=rate, flow=flow, effort=effort, paradox=paradox, flattened=flattened, snore=snore, spo2_pct=spo2,
    )  # fmt: skip


def _place(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8]
) -> list[TruthEvent]:
    """Apneas and hypopneas, each wholly within sleep, at the subject's rate over the night's sleep."""
    facts = physiology()["breathing"]
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


def _oxygen(rng: np.random.Generator, subject: Subject, flow: Floats) -> NDArray[np.float64]:
    """Saturation at 1 Hz in per cent: what was not breathed is missing one circulation time later, and is made good."""
    ventilation = flow.reshape(-1, round(GRID_HZ)).mean(axis=1)
    lack = np.clip(1 - uniform_filter1d(ventilation, 3), -0.35, 1.0)
    lack[np.abs(lack) < 0.25] = 0.0  # the ordinary unevenness of breathing moves nothing
    lack = np.concatenate([np.zeros(round(subject.circulation_s)), lack])[: len(lack)]
    keep = np.exp(-1 / 22.0)  # recovery within about 22 s; ours
    missing = lfilter([0.46 * subject.desaturation_gain], [1, -keep], lack)
    level = subject.spo2_pct + 0.35 * wander(rng, len(lack), 1.0, 300.0)
    oxygen: NDArray[np.float64] = uniform_filter1d(np.minimum(level - missing, level + 0.6), 3)
    return oxygen


def _desaturations(
    subject: Subject, events: list[TruthEvent], oxygen: NDArray[np.float64], spo2: NDArray[np.int16]
) -> list[TruthEvent]:
    """Falls of 3 % or more in the oximeter's steps, from where the fall begins to where two thirds are made good."""
    found: list[TruthEvent] = []
    lag = subject.circulation_s
    for i, event in enumerate(events):
        begin = max(0, int(event.start_s + lag) - 4)
        turn = int(event.stop_s + lag) - 3
        if turn >= len(spo2):
            continue
        nadir = turn + int(np.argmin(oxygen[turn : turn + 3 + NADIR_SEARCH_S]))
        top = begin + int(np.argmax(oxygen[begin : begin + 8]))
        drop = int(spo2[top]) - int(spo2[nadir])
        if drop < DESATURATION_PCT:
            continue
        until = int(events[i + 1].start_s + lag) if i + 1 < len(events) else len(spo2)
        back = np.flatnonzero(oxygen[nadir:until] >= oxygen[nadir] + 2 / 3 * (oxygen[top] - oxygen[nadir]))
        stop = nadir + (int(back[0]) if len(back) else max(1, until - nadir))
        lowest = float(spo2[top : stop + 1].min())
        found.append(TruthEvent("desaturation", float(top), float(max(stop, nadir + 1)), lowest, event.name))
    return found


def render_breathing(breath: Breath, rng: np.random.Generator, signal: str, rate_hz: float, subject: Subject) -> Floats:
    """One breathing signal in arbitrary units around 1; `signal` is a canonical id of the channel table."""
    n = round(len(breath.flow) / GRID_HZ * rate_hz)
    at = np.arange(n) / rate_hz
    grid = (np.arange(len(breath.flow)) + 1) / GRID_HZ

    def gain(values: Floats) -> Floats:
        return np.interp(at, grid, values).astype(np.float32)

    made: Floats
    turned = np.interp(at, grid, breath.phase)
    # Expiration lasts longer than inspiration (about 1 : 1.5).
    phase: Floats = np.mod(turned + 0.35 * np.cos(turned), 2 * np.pi).astype(np.float32)
    if signal == "snore":
        loud = gain(breath.snore) * np.maximum(np.sin(phase), 0) ** 2
        made = (0.02 + loud) * rng.standard_normal(n, np.float32)
        return made
    noise = np.float32(0.012) * rng.standard_normal(n, np.float32)
    if signal in ("thorax", "abdomen"):
        share, turn = (0.9, 0.0) if signal == "thorax" else (1.1, 0.8 * np.pi * gain(breath.paradox))
        drift = 0.05 * np.interp(at, np.arange(0, at[-1] + 60, 30), wander(rng, int(at[-1] / 30) + 3, 1.0, 6.0))
        made = (-share * gain(breath.effort) * np.cos(phase - turn) + drift + noise).astype(np.float32)
        return made
    airflow = np.sin(phase)
    if signal == "nasal_pressure":
        limit = 1 - 0.55 * gain(breath.flattened)
        airflow = np.minimum(airflow, limit)
        airflow = np.sign(airflow) * np.abs(airflow) ** 1.5  # pressure grows faster than flow: not square-rooted here
        made = gain(breath.flow) ** 1.5 * airflow + noise
        return made
    # A thermistor follows warmth, not volume: it lags, and shows a hypopnea smaller than it is.
    gains = gain(breath.flow)
    made = np.where(gains < 0.15, gains, gains**0.8) * np.sin(phase - 0.4) + noise
    return made
