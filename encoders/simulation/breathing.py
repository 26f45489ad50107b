"""Breathing: respiratory events and what they do to airflow, to the two belts, to snoring and to the blood's oxygen.

One ventilation curve drives all of them, so that a pause in the flow is a pause in ventilation, and the oxygen falls
one circulation time later. Gains live on a grid of `GRID_HZ`; oxygen is at 1 Hz, as an oximeter reports it. Breaths
differ from each other in length and depth, and an event begins and ends with a breath.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from encoders.simulation.draws import N1, N2, REM, Floats, TruthEvent, W, by_stage, constants, on_grid, scatter, wander
from encoders.simulation.oxygen import GRID_HZ, draw_oxygen, find_desaturations, read_oximeter
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

SNORES = 0.3  # loudness from which a technician would call it snoring


@dataclass(frozen=True, slots=True)
class Breath:
    """How the sleeper breathes; arrays on `GRID_HZ` but oxygen, which is at 1 Hz.

    `events` are apneas, hypopneas and RERAs by flow alone: criteria are applied once arousals are known. A hypopnea's
    cause tells its kind, `central` or `obstructive`; within a run of Cheyne-Stokes breathing the run is the cause.
    """

    events: tuple[TruthEvent, ...]
    desaturations: tuple[TruthEvent, ...]
    spans: tuple[TruthEvent, ...]  # runs of Cheyne-Stokes breathing, spells of snoring
    phase: NDArray[np.float64]  # radians, one breath is 2 pi, inspiration first
    rate_per_min: Floats
    inspired: Floats  # share of the breath that is inspiration
    flow: Floats  # 1 is quiet breathing
    effort: Floats
    paradox: Floats  # 0 belts together, 1 opposed
    flattened: Floats  # 0 round inspirations, 1 flow-limited
    snore: Floats
    oxygen_pct: Floats  # at the finger, before the oximeter averages and rounds
    spo2_pct: NDArray[np.int16]  # whole per cents


def plan_breathing(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8]
) -> Breath:
    """Places the events and works out every gain; `positions` are codes of `vocabulary.POSITIONS` per epoch."""
    phase, rate, inspired, flow = _rhythm(rng, subject, stages)
    onsets = (np.flatnonzero(np.diff(np.floor(phase / (2 * np.pi)))) + 1) / GRID_HZ
    runs = _cheyne_stokes(rng, subject, stages, positions, onsets) if subject.cheyne_stokes else []
    placed = _place(rng, subject, stages, positions, runs, onsets)
    events = sorted([*placed, *(event for run in runs for event in run)], key=lambda e: e.start_s)

    asleep, rem = 1 - on_grid(stages == W, GRID_HZ, 8.0), on_grid(stages == REM, GRID_HZ, 8.0)
    loud = 0.55 + 0.55 * wander(rng, len(flow), GRID_HZ, 240.0)  # bouts of minutes, silence between
    snore = np.clip(subject.snoring * asleep * (1 - 0.6 * rem) * loud, 0, 1).astype(np.float32)
    air, effort = np.ones_like(flow), np.ones_like(flow)
    paradox, flattened = np.zeros_like(flow), 0.5 * snore
    spans = [_wax_and_wane(run, air, effort, snore) for run in runs]
    for event in placed:
        _breathe_event(rng, subject, event, air, effort, paradox, flattened, snore)
    soft = round(0.5 * GRID_HZ) | 1
    air, effort, paradox = (uniform_filter1d(gain, soft) for gain in (air, effort, paradox))
    # Half of the unevenness of undisturbed breaths is made good by the next ones before the blood could tell.
    oxygen = draw_oxygen(rng, subject, stages, np.sqrt(flow) * air, rate)
    spo2 = read_oximeter(oxygen)
    return Breath(
        events=tuple(events), desaturations=tuple(find_desaturations(subject, events, spo2)),
        spans=tuple(sorted([*spans, *_snoring(snore)], key=lambda e: e.start_s)),
        phase=phase, rate_per_min=rate, inspired=inspired, flow=flow * air, effort=np.sqrt(flow) * effort,
        paradox=paradox, flattened=flattened, snore=snore, oxygen_pct=oxygen, spo2_pct=spo2,
    )  # fmt: skip


def _rhythm(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8]
) -> tuple[NDArray[np.float64], Floats, Floats, Floats]:
    """Phase, rate, share of inspiration and volume of undisturbed breathing, each breath different from the last."""
    facts = constants("breathing")["breaths"]
    n = round(len(stages) * EPOCH_S * GRID_HZ)
    awake, rem = on_grid(stages == W, GRID_HZ, 8.0), on_grid(stages == REM, GRID_HZ, 8.0)
    slow = on_grid(by_stage(facts["slow_log_sd"])[stages], GRID_HZ, 8.0)
    wanted = subject.breathing_per_min * (1 + 0.06 * awake + 0.05 * rem)
    wanted = np.clip(wanted * np.exp(0.7 * slow * wander(rng, n, GRID_HZ, 30.0)), 9, 22)
    nominal = np.cumsum(wanted, dtype=np.float64) / 60 / GRID_HZ
    count = int(nominal[-1] * 1.1) + 20
    noise = rng.standard_normal((3, count))
    timing = lfilter([(1 - facts["period_memory"] ** 2) ** 0.5], [1, -facts["period_memory"]], noise[0])
    depth = lfilter([(1 - facts["volume_memory"] ** 2) ** 0.5], [1, -facts["volume_memory"]], noise[1])
    at = np.searchsorted(nominal, np.arange(count)).clip(0, n - 1)
    stage_of = np.repeat(stages, round(EPOCH_S * GRID_HZ))
    volume = np.exp(by_stage(facts["volume_log_sd"])[stage_of[at]] * depth)
    period = np.exp(by_stage(facts["period_log_sd"])[stage_of[at]] * timing)
    per_min = [facts["sighs_per_hour"][code] / 60 for code in ("W", "N1", "N2", "N3", "REM")]
    sighs = np.searchsorted(
        nominal[at], np.interp(scatter(rng, stages, per_min, 60.0) * GRID_HZ, np.arange(n), nominal)
    )
    sighs = sighs[sighs < count - 4]
    least, most = facts["sigh_volume"]
    volume[sighs], period[sighs] = rng.uniform(least, most, len(sighs)), 1.35
    for later, (less, longer) in enumerate(((0.7, 1.25), (0.8, 1.1), (0.9, 1.0)), 1):  # a sigh is paid back
        volume[sighs + later] *= less
        period[sighs + later] *= longer
    period = np.clip(period, wanted[at] / 25, wanted[at] / 7.5)
    turns = np.interp(nominal, np.concatenate([[0.0], np.cumsum(period)]), np.arange(count + 1))
    breath = turns.astype(np.int64)
    slowly = np.exp(slow * wander(rng, n, GRID_HZ, 30.0))
    share = np.clip(facts["inspired_share"][0] + facts["inspired_share"][1] * noise[2], 0.3, 0.5)
    return (
        turns * 2 * np.pi, np.clip(wanted / period[breath], 7, 26).astype(np.float32),
        share[breath].astype(np.float32), np.clip(volume[breath] * slowly, 0.4, 3.0).astype(np.float32),
    )  # fmt: skip


def _place(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8],
    runs: list[list[TruthEvent]], onsets: NDArray[np.float64],
) -> list[TruthEvent]:  # fmt: skip
    """Apneas, hypopneas and RERAs, each wholly within sleep and outside `runs`, at the subject's rate an hour."""
    facts = constants("breathing")["events"]
    free = np.repeat(stages != W, round(EPOCH_S))
    hours = free.sum() / 3600
    for turn in np.flatnonzero(np.diff(positions)) + 1:  # nobody could score what happens while the sleeper turns over
        free[int(turn * EPOCH_S) - 10 : int(turn * EPOCH_S) + 45] = False
    for run in runs:
        free[max(0, int(run[0].start_s) - 30) : int(run[-1].stop_s) + 60] = False
    if not free.any():
        return []
    rest = max(0.0, subject.ahi_per_hour - sum(map(len, runs)) / hours)
    risk = by_stage(facts["stage_factor"] | {"REM": subject.rem_event_factor})[stages]
    risk = risk * np.where(positions == 2, subject.supine_event_factor, 1.0)
    risk = np.where(free, np.repeat(risk, round(EPOCH_S)), 0.0)
    per_s = risk / risk.sum() * hours * (rest + subject.rera_per_hour) * facts["outlast_sleep"]
    # An event and its gap can't hold another, so the hazard in between must be higher to keep the rate.
    hazard = np.where(free, per_s / np.maximum(1 - per_s * (25.0 + facts["gap_s"]), 0.12), 0)
    total = np.concatenate([[0.0], np.cumsum(hazard)])
    events: list[TruthEvent] = []
    time_s = 0.0
    while True:
        target = np.interp(time_s, np.arange(len(total)), total) + rng.exponential()
        if target >= total[-1]:
            return events
        begin = float(np.interp(target, total, np.arange(len(total))))
        name, cause = _kind(rng, subject, rest)
        form = "rera_log_s" if name == "RERA" else "hypopnea_log_s" if name == "hypopnea" else "apnea_log_s"
        longer = facts["rem_longer"] if stages[int(begin // EPOCH_S)] == REM else 1.0
        length = float(np.clip(rng.lognormal(*facts[form]) * longer, *facts["length_s"]))
        start, stop = _snap(onsets, begin, length)
        if stop < len(free) - 60 and free[int(start) : int(stop) + 1].all():
            events.append(TruthEvent(name, start, stop, cause=cause))
            time_s = stop + facts["gap_s"]
        else:
            time_s = begin + 1.0


def _kind(rng: np.random.Generator, subject: Subject, rest_per_hour: float) -> tuple[str, str | None]:
    """An event's name, and for a hypopnea whether its drive or its airway failed."""
    facts = constants("breathing")["events"]
    if rng.random() * (rest_per_hour + subject.rera_per_hour) < subject.rera_per_hour:
        return "RERA", None
    central = rng.random() < subject.central_share
    if rng.random() >= subject.apnea_share:
        return "hypopnea", "central" if central else "obstructive"
    mixed = rng.random() < facts["mixed_share"]
    return "central apnea" if central else "mixed apnea" if mixed else "obstructive apnea", None


def _snap(onsets: NDArray[np.float64], begin_s: float, length_s: float) -> tuple[float, float]:
    """The span of about `length_s` and at least 10 s from the next breath to the beginning of a later one."""
    first = min(int(np.searchsorted(onsets, begin_s)), len(onsets) - 1)
    last = min(int(np.searchsorted(onsets, onsets[first] + max(10.1, length_s - 2))), len(onsets) - 1)
    return float(onsets[first]), float(max(onsets[last], onsets[first] + 10.1))


def _cheyne_stokes(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8],
    onsets: NDArray[np.float64],
) -> list[list[TruthEvent]]:  # fmt: skip
    """Runs of three or more central apneas and hypopneas, one a cycle, in light NREM sleep in one position."""
    facts = constants("breathing")["cheyne_stokes"]
    light = ((stages == N1) | (stages == N2)) & (np.diff(positions, prepend=positions[:1]) == 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], light.astype(np.int8), [0]])))
    wanted = facts["share_of_events"] * subject.ahi_per_hour * (stages != W).sum() * EPOCH_S / 3600
    usual = float(np.clip(rng.normal(*facts["cycle_s"]), 45, 85))
    runs: list[list[TruthEvent]] = []
    for first, last in rng.permutation(edges.reshape(-1, 2)) * EPOCH_S:
        start, run = float(first + rng.uniform(10, 40)), list[TruthEvent]()
        for _ in range(int(rng.integers(*facts["run_cycles"]))):
            cycle = max(42.0, rng.normal(usual, 3.0))
            begin, stop = _snap(onsets, start, max(10.5, cycle * rng.uniform(*facts["pause_share"])))
            if start + cycle + 5 > last or sum(map(len, runs)) + len(run) >= wanted:
                break
            name = "central apnea" if rng.random() < facts["apnea_share"] else "hypopnea"
            run.append(TruthEvent(name, begin, stop, cause="Cheyne-Stokes breathing"))
            start = begin + cycle
        if len(run) >= 3:
            runs.append(run)
    return runs


def _wax_and_wane(run: list[TruthEvent], air: Floats, effort: Floats, snore: Floats) -> TruthEvent:
    """Carves a run into the gains: nothing or little in each pause, a swell of breaths between; returns its span."""
    peak = constants("breathing")["cheyne_stokes"]["peak"]
    usual = float(np.median(np.diff([event.start_s for event in run])))
    ends = [event.start_s for event in run[1:]] + [run[-1].start_s + usual]
    for event, end in zip(run, ends, strict=True):
        first, pause, last = (round(t * GRID_HZ) for t in (event.start_s, event.stop_s, end))
        low = 0.01 if event.name == "central apnea" else 0.4
        swell = np.sin(np.linspace(0.12, np.pi - 0.12, last - pause)) ** 0.8
        for gain in (air, effort):
            gain[first:pause] = low
            gain[pause:last] = low + (peak - low) * swell
        snore[first:pause] = 0.0
    return TruthEvent("Cheyne-Stokes breathing", run[0].start_s, round(ends[-1], 2))


def _breathe_event(
    rng: np.random.Generator, subject: Subject, event: TruthEvent,
    air: Floats, effort: Floats, paradox: Floats, flattened: Floats, snore: Floats,
) -> None:  # fmt: skip
    """Carves one event and the breaths after it into the gains."""
    facts: dict[str, Any] = constants("breathing")["events"]
    first, last = round(event.start_s * GRID_HZ), round(event.stop_s * GRID_HZ)
    over, length = slice(first, last), last - first
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    recovery = rng.uniform(*facts["recovery"]) + facts["recovery_per_s"] * max(0.0, event.stop_s - event.start_s - 20)
    if event.name == "RERA":
        air[over], effort[over] = rng.uniform(*facts["rera_flow"]), 1.0 + 0.4 * ramp
        paradox[over], flattened[over] = 0.15, 0.9
        snore[over] = np.maximum(snore[over], 0.7 * subject.snoring)
        recovery = min(recovery, 1.35)
    elif event.cause == "central":  # the drive itself wanes and returns
        left = rng.uniform(*facts["hypopnea_flow"])
        air[over] = effort[over] = left + (0.9 - left) * (2 * ramp - 1) ** 8
        flattened[over], snore[over], recovery = 0.0, 0.0, min(recovery, 1.25)
    elif event.name == "hypopnea":
        air[over], effort[over] = rng.uniform(*facts["hypopnea_flow"]), 0.75 + 0.3 * ramp
        paradox[over], flattened[over] = 0.4, rng.uniform(0.6, 1.0)
        snore[over] = np.maximum(snore[over], 0.6 * subject.snoring)
    else:
        shut = ramp >= {"central apnea": 2.0, "mixed apnea": 0.5}.get(event.name, 0.0)
        air[over] = np.where(shut, rng.uniform(*facts["apnea_flow"]), 0.01)
        effort[over] = np.where(shut, 0.5 + 0.6 * ramp, 0.02)
        paradox[over], flattened[over], snore[over] = np.where(shut, 0.9, 0.0), np.where(shut, 0.9, 0.0), 0.0
    after = slice(last, min(len(air), last + round(rng.uniform(8, 16) * GRID_HZ)))
    fading = 1 + (recovery - 1) * np.linspace(1.0, 0.2, after.stop - last, dtype=np.float32)
    air[after], effort[after], flattened[after] = fading, fading, 0.0
    if event.name not in ("RERA", "central apnea") and event.cause != "central":
        snore[after] = np.maximum(snore[after], subject.snoring)


def _snoring(snore: Floats) -> list[TruthEvent]:
    """Spells of snoring: ten seconds or more, an event's silence does not end one; `snore` on `GRID_HZ`."""
    heard = np.flatnonzero(snore.reshape(-1, round(GRID_HZ)).max(axis=1) >= SNORES)
    if not len(heard):
        return []
    gaps = np.flatnonzero(np.diff(heard) > 30)
    firsts, lasts = heard[np.concatenate([[0], gaps + 1])], heard[np.concatenate([gaps, [len(heard) - 1]])] + 1
    return [TruthEvent("snoring", float(a), float(b)) for a, b in zip(firsts, lasts, strict=True) if b - a >= 10]
