"""The body: positions, the turns between them and what these do to every sensor; periodic and single leg movements."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import Floats, TruthEvent, W, by_stage, constants, stream
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S, POSITIONS

UPRIGHT = 4
SLOW_HZ = 4.0  # grid of a turning body's swings
SERIES, APART_S = 4, (5.0, 90.0)  # AASM: movements in a series, seconds from onset to onset
LENGTH_S = (0.5, 10.0)  # AASM
FAMILIES = {
    "eeg": r"eeg_.*|el_[fcopt]p?[z0-9]+", "eog": r"eog_.*|el_e\d", "ecg": r"ecg|el_ecg_1", "belt": "thorax|abdomen",
    "flow": "airflow_therm|nasal_pressure", "snore": "snore", "ppg": "ppg",
}  # fmt: skip


def plan_positions(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8]
) -> tuple[NDArray[np.int8], list[TruthEvent]]:
    """Position codes of `vocabulary.POSITIONS` per epoch, and the turns, each across the edge between two epochs.

    People sit up before the first sleep epoch. Turning over mostly wakes, so a turn waits for wake or N1.
    """
    facts = constants("movement")["positions"]
    codes = np.array([code for code in POSITIONS if code != UPRIGHT])
    shares = rng.dirichlet(np.array([facts["shares"][POSITIONS[int(c)]] for c in codes]) * facts["concentration"])
    shares = np.maximum(shares, 0.01)
    per_hour = facts["shifts_per_hour"] - facts["fewer"]["women"] * (subject.sex == "F")
    per_hour -= facts["fewer"]["obese"] * (subject.bmi_kg_m2 >= 30)
    bout_epochs = 3600 / EPOCH_S / per_hour / np.exp(facts["bout_log_sd"] ** 2 / 2)
    positions = np.empty(len(stages), np.int8)
    sleep = np.flatnonzero(stages != W)
    now = max(0, (int(sleep[0]) if len(sleep) else len(stages)) - 4)
    positions[:now] = UPRIGHT
    light = np.flatnonzero(stages <= 1)
    code, turns = int(rng.choice(codes, p=shares / shares.sum())), []
    while now < len(stages):
        until = now + max(2, round(bout_epochs * rng.lognormal(0, facts["bout_log_sd"])))
        near = light[(light >= until) & (light < until + 60 * facts["waits_min"] / EPOCH_S)]
        until = int(near[0]) if len(near) else until
        positions[now:until] = code
        if now > 0:
            lasts = rng.uniform(*facts["turn_s"])
            start = round(float(now * EPOCH_S - rng.uniform(0, lasts)), 1)
            turns.append(TruthEvent("position change", start, round(start + float(lasts), 1)))
        now = until
        weights = np.where(codes == code, 0, shares)
        code = int(rng.choice(codes, p=weights / weights.sum()))
    return positions, turns


def plan_limb_movements(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], respiratory: Sequence[TruthEvent]
) -> list[TruthEvent]:
    """Periodic limb movements by the AASM's minima, in wake too, and single ones; `cause` is the side.

    A movement at a respiratory event belongs to it and is not among them; a series that loses too many is dropped.
    """
    facts = constants("movement")["limbs"]
    span_s = len(stages) * EPOCH_S
    asleep_h = float((stages != W).sum()) * EPOCH_S / 3600
    near = facts["near_event_s"]
    barred = np.zeros(round(span_s * 10) + 1, bool)
    for event in respiratory:
        barred[max(0, int((event.start_s - near) * 10)) : int((event.stop_s + near) * 10) + 1] = True
    longer, wider = by_stage(facts["longer"]), by_stage(facts["wider"])
    hours = np.arange(len(stages)) * EPOCH_S / 3600
    likely = by_stage(facts["likely"])[stages].astype(np.float64) * np.exp(-hours / facts["fades_h"])
    moves: list[tuple[float, float]] = []  # start and stop
    blocked = np.zeros(len(stages), bool)  # epochs within 90 s of a series
    reach = int(np.ceil(APART_S[1] / EPOCH_S)) + 1

    def length(starts: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, sd = facts["duration_log_s"]
        drawn = rng.lognormal(mean, sd, len(starts)) * longer[stages[(starts // EPOCH_S).astype(int)]]
        lasts: NDArray[np.float64] = drawn.clip(*LENGTH_S)
        return lasts

    wanted, done = subject.plm_per_hour * asleep_h, 0
    for epoch in np.argsort(rng.exponential(size=len(stages)) / likely):  # likely ones first
        if done >= wanted:
            break
        count = int(rng.integers(facts["series"][0], facts["series"][1] + 1))
        mean, sd = facts["interval_log_s"]
        gaps = (rng.lognormal(mean, sd, count) * wider[stages[epoch]]).clip(APART_S[0] + 1, APART_S[1] - 1)
        starts = np.round((epoch + rng.uniform()) * EPOCH_S + np.cumsum(gaps) - gaps[0], 2)
        starts = starts[starts < span_s - LENGTH_S[1] - EPOCH_S]
        starts = starts[rng.random(len(starts)) < likely[(starts // EPOCH_S).astype(int)] / likely.max() + 0.4]
        stops = np.round(starts + np.minimum(length(starts), np.diff(starts, append=np.inf) - 1), 2)
        apart = [not barred[int(a * 10) : int(b * 10) + 1].any() for a, b in zip(starts, stops, strict=True)]
        free = ~blocked[(starts // EPOCH_S).astype(int)] & np.array(apart, bool)
        starts, stops = starts[free], stops[free]
        for run in np.split(np.arange(len(starts)), np.flatnonzero(np.diff(starts) > APART_S[1] - 1) + 1):
            if len(run) < SERIES:
                continue
            moves += zip(starts[run].tolist(), stops[run].tolist(), strict=True)
            done += int((stages[(starts[run] // EPOCH_S).astype(int)] != W).sum())
        for a in starts:
            blocked[max(0, int(a // EPOCH_S) - reach) : int(a // EPOCH_S) + reach + 1] = True
    events = _sided(rng, "periodic limb movement", moves)
    alone = np.sort(rng.uniform(0, span_s - LENGTH_S[1], rng.poisson(facts["isolated_per_hour"] * span_s / 3600)))
    alone = np.round(alone[np.diff(alone, prepend=-np.inf) > APART_S[1] + LENGTH_S[1]], 2)
    ends = np.round(alone + length(alone), 2)
    epochs = (alone // EPOCH_S).astype(int)
    single = [
        (float(a), float(b)) for a, b, epoch in zip(alone, ends, epochs, strict=True)
        if not blocked[epoch] and not barred[int(a * 10) : int(b * 10) + 1].any()
    ]  # fmt: skip
    return sorted(events + _sided(rng, "limb movement", single), key=lambda e: e.start_s)


def _sided(rng: np.random.Generator, name: str, moves: Sequence[tuple[float, float]]) -> list[TruthEvent]:
    sides = constants("movement")["limbs"]["sides"]
    drawn = rng.choice(list(sides), len(moves), p=list(sides.values()))
    return [TruthEvent(name, a, b, cause=str(side)) for (a, b), side in zip(moves, drawn, strict=True)]


def disturb(
    samples: NDArray[Any], name: str, rate_hz: float, turns: Sequence[TruthEvent], key: tuple[int | str, ...]
) -> NDArray[Any]:
    """`samples` of canonical channel `name` with what the turns did to its sensor; steps and muscles are left alone.

    The same turns disturb all sensors, each with random numbers of its own; a single electrode is disturbed as the
    derivation that holds it, so that differences of electrodes stay exact.
    """
    family = next((of for of, pattern in FAMILIES.items() if re.fullmatch(pattern, name)), None)
    if family is None or not turns:
        return samples
    facts = constants("movement")["disturb"][family]
    rng, noisy = (stream(*key, "turns", part, _electrode(name)) for part in ("swing", "noise"))
    shaken: Floats = samples.astype(np.float32, copy=True)
    if facts["gain"]:
        for first, last in pairwise([*(round(turn.stop_s * rate_hz) for turn in turns), len(shaken)]):
            shaken[first:last] *= np.float32(rng.lognormal(0, facts["gain"]))
    for turn in turns:
        lasts = turn.stop_s - turn.start_s
        settles = 5 * facts["fades_s"]
        slow = rng.standard_normal(int((lasts + 1) * SLOW_HZ) + 2)
        strength = rng.lognormal(0, 0.3)
        step = strength * facts["step"] * rng.standard_normal()
        first = round(turn.start_s * rate_hz)
        n = min(len(shaken) - first, int((lasts + settles) * rate_hz))
        t = np.arange(n) / rate_hz
        during = np.clip(np.minimum(t, lasts - t) * 2, 0, 1)
        noise = facts["noise"] * noisy.standard_normal(min(n, int(lasts * rate_hz)), np.float32)
        moved = facts["swing"] * np.interp(t, np.arange(len(slow)) / SLOW_HZ, slow) * during
        moved += step * np.clip(t / lasts, 0, 1) * np.exp(-np.maximum(t - lasts, 0) / facts["fades_s"])
        moved[: len(noise)] += noise * during[: len(noise)]
        shaken[first : first + n] += (strength * moved).astype(np.float32)
    return shaken


def _electrode(name: str) -> str:
    """What random numbers follow: the plus electrode of a derivation against a mastoid."""
    match = re.fullmatch(r"(?:eeg|el)_([fcopt]p?[z0-9]+)(?:_m[12])?", name)
    twins = {"eog_l": "e1", "el_e1": "e1", "eog_r": "e2", "el_e2": "e2", "el_ecg_1": "ecg"}
    return match[1] if match else twins.get(name, name)
