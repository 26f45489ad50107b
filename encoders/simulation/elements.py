"""Graphoelements: when spindles, K-complexes, slow, vertex and sawtooth waves come; their shapes are in `waves`."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.simulation.draws import CODES, N2, N3, REM, TruthEvent, constants, stream, wander
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

Spans = NDArray[np.float64]  # (n, 2) start and stop in seconds, in time order

SLOW_TURN = 0.42  # share of a slow wave that is its negative half


def plan_elements(
    key: tuple[int | str, ...], subject: Subject, stages: NDArray[np.int8], arousals: Sequence[TruthEvent],
    looks: Sequence[TruthEvent],
) -> list[TruthEvent]:  # fmt: skip
    """The night's graphoelements in time order; `looks` are the eye movements, whose bursts sawtooth waves announce.

    Start and stop are where a scorer would mark them. A spindle on the up-state after another element names it as its
    cause.
    """
    rng, facts = stream(*key, "elements"), constants("elements")
    calm = calm_seconds(stages, arousals)

    def alone(name: str) -> Spans:
        return sprinkle(rng, calm * per_second(facts[name]["per_min"], stages), facts[name])

    complexes = _apart(alone("K-complex"), _before_arousals(rng, facts["K-complex"], stages, calm, arousals), both=True)
    slow = _apart(_slow_waves(rng, facts["slow-wave"], subject, stages, calm), complexes)
    teeth = _before_bursts(rng, facts["sawtooth-wave"], looks)
    teeth = teeth[_inside(teeth, calm * np.repeat(stages == REM, round(EPOCH_S)))]
    planned = {
        "K-complex": complexes,
        "slow wave": slow,
        "vertex wave": _apart(_apart(alone("vertex-wave"), complexes), slow),
        "sawtooth wave": _apart(alone("sawtooth-wave"), teeth, both=True),
    }
    found = [event(name, span) for name, spans in planned.items() for span in spans]
    found += _spindles(rng, key, subject, stages, calm, planned)
    return sorted(found, key=lambda e: e.start_s)


def event(name: str, span: Sequence[float] | NDArray[np.float64], cause: str | None = None) -> TruthEvent:
    """A truth event of that span, to a millisecond."""
    return TruthEvent(name, round(float(span[0]), 3), round(float(span[1]), 3), cause=cause)


def per_second(per_min: Mapping[str, float], stages: NDArray[np.int8]) -> NDArray[np.float64]:
    """Rates per minute of some stages as rates per second, for each second of the night; other stages have none."""
    return np.repeat(np.array([per_min.get(code, 0.0) / 60 for code in CODES])[stages], round(EPOCH_S))


def calm_seconds(stages: NDArray[np.int8], arousals: Sequence[TruthEvent]) -> NDArray[np.float64]:
    """1 for each second that no arousal touches, else 0."""
    calm = np.ones(len(stages) * round(EPOCH_S))
    for arousal in arousals:
        calm[int(arousal.start_s) : int(np.ceil(arousal.stop_s))] = 0
    return calm


def sprinkle(
    rng: np.random.Generator, per_s: NDArray[np.float64], facts: Mapping[str, Any],
    longest_gap_s: NDArray[np.float64] | None = None,
) -> Spans:  # fmt: skip
    """Events at the rate `per_s` of each second, one at a time, each wholly where that rate is above 0.

    `facts` has `length_s` = [shortest, median, longest], drawn log-normal, and `gap_s`, the least time between two.
    `longest_gap_s` bounds the wait from each second on.
    """
    shortest, median, longest = facts["length_s"]
    spread, gap_s = np.log(longest / shortest) / 5, facts.get("gap_s", 0.0)
    # An event and its gap can't hold another, so the hazard in between must be higher to keep the rate.
    hazard = per_s / np.maximum(1 - per_s * (median + gap_s), 0.1)
    total: list[float] = [0.0, *np.cumsum(hazard).tolist()]
    barred: list[int] = [0, *np.cumsum(per_s <= 0).tolist()]
    spans: list[tuple[float, float]] = []
    now, end = 0.0, len(per_s)
    while now < end:
        second = int(now)
        target = total[second] + (now - second) * (total[second + 1] - total[second]) + rng.standard_exponential()
        start = np.inf
        if target < total[-1]:
            past = bisect_right(total, target)
            start = past - (total[past] - target) / (total[past] - total[past - 1])
        if longest_gap_s is not None:
            start = min(start, now + float(longest_gap_s[second]))
        if start >= end:
            break
        stop = start + min(max(median * math.exp(spread * rng.standard_normal()), shortest), longest)
        if stop < end and barred[int(stop) + 1] == barred[int(start)]:
            spans.append((start, stop))
            now = stop + gap_s
        else:
            now = start + 0.5
    return np.array(spans).reshape(-1, 2)


def _apart(spans: Spans, others: Spans, both: bool = False) -> Spans:
    """Those spans that touch none of `others`; with `both`, the others too, all in time order."""
    if len(others):
        before = np.searchsorted(others[:, 0], spans[:, 1]) - 1
        spans = spans[(before < 0) | (others[before, 1] <= spans[:, 0])]
    if both:
        spans = np.concatenate([spans, others])
        spans = spans[np.argsort(spans[:, 0])]
    return spans


def _inside(spans: Spans, allowed: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which spans only touch seconds in which `allowed` is above 0."""
    barred = np.concatenate([[0], np.cumsum(allowed <= 0)])
    first, last = np.clip(spans.astype(np.intp), 0, len(allowed) - 1).T
    within: NDArray[np.bool_] = barred[last + 1] == barred[first]
    return within


def _before_arousals(
    rng: np.random.Generator, facts: Mapping[str, Any], stages: NDArray[np.int8], calm: NDArray[np.float64],
    arousals: Sequence[TruthEvent],
) -> Spans:  # fmt: skip
    """K-complexes that an arousal from N2 begins with."""
    stops = np.array([a.start_s for a in arousals])[rng.random(len(arousals)) < facts["before_arousal"]]
    shortest, _, longest = facts["length_s"]
    spans = np.stack([stops - rng.uniform(shortest, longest, len(stops)), stops], axis=1)
    light = calm * np.repeat(stages == N2, round(EPOCH_S))
    return spans[_inside(spans - 1.0, light)]  # a second early: the arousal's own is not calm


def _slow_waves(
    rng: np.random.Generator, facts: Mapping[str, Any], subject: Subject, stages: NDArray[np.int8],
    calm: NDArray[np.float64],
) -> Spans:  # fmt: skip
    deep = np.repeat(stages == N3, round(EPOCH_S))
    per_s = per_second(facts["per_min"], stages) * subject.slow_wave_gain**0.5
    near = uniform_filter1d(deep.astype(np.float64), 241, mode="constant")  # two minutes to either side
    per_s += np.repeat(stages == N2, round(EPOCH_S)) * near * facts["near_n3_per_min"] / 60
    return sprinkle(rng, calm * per_s, facts, np.where(deep & (calm > 0), facts["longest_gap_s"], np.inf))


def _before_bursts(rng: np.random.Generator, facts: Mapping[str, Any], looks: Sequence[TruthEvent]) -> Spans:
    """Sawtooth waves before some of the bursts of three rapid eye movements or more in four seconds."""
    starts = np.array([e.start_s for e in looks if e.name == "rapid eye movement"])
    if len(starts) < 3:
        return np.empty((0, 2))
    _, median, longest = facts["length_s"]
    quiet = np.diff(starts, prepend=-np.inf) > longest + facts["gap_s"]
    quiet[:-2] &= starts[2:] - starts[:-2] < 4.0
    quiet[-2:] = False
    stops = starts[quiet & (rng.random(len(starts)) < facts["before_burst"])] - rng.uniform(0, 0.5)
    return np.stack([stops - rng.uniform(facts["length_s"][0], median + 1, len(stops)), stops], axis=1)


def _spindles(
    rng: np.random.Generator, key: tuple[int | str, ...], subject: Subject, stages: NDArray[np.int8],
    calm: NDArray[np.float64], planned: Mapping[str, Spans],
) -> list[TruthEvent]:  # fmt: skip
    """Spindles on the up-states of K-complexes and slow waves, and free ones whose density ebbs and flows."""
    facts = constants("elements")["spindle"]
    age = subject.age_years, facts["age_years"]
    shortest, _, longest = facts["length_s"]
    soon, late = facts["coupled_after_s"]
    median = float(np.interp(*age, facts["median_s_by_age"]))
    trait = np.exp(facts["between_subjects_log_sd"] * stream(*key[:2], "spindle density").standard_normal())
    density = float(np.interp(*age, facts["density_by_age"])) * trait
    per_s = calm * per_second(facts["per_min"], stages)
    riding: list[tuple[float, float, str]] = []
    for name, spans in planned.items():
        if share := facts["coupled_share"].get(name.replace(" ", "-")):
            chosen = spans[rng.random(len(spans)) < share * density]
            turn = chosen @ (1 - SLOW_TURN, SLOW_TURN) + rng.uniform(soon, late, len(chosen))
            lengths = np.clip(median * np.exp(0.25 * rng.standard_normal(len(chosen))), shortest, longest)
            ridden = np.stack([turn, turn + lengths], axis=1)
            riding += [(a, b, name) for a, b in ridden[_inside(ridden, per_s)]]
    riding.sort()
    kept = [r for i, r in enumerate(riding) if i == 0 or r[0] >= riding[i - 1][1] + facts["gap_s"]]
    ebb = np.exp(0.6 * wander(rng, len(per_s), 1.0, facts["wander_s"]) - 0.18)
    free = sprinkle(rng, per_s * density * ebb, {**facts, "length_s": [shortest, median, longest]})
    around = np.array([(a - facts["gap_s"], b + facts["gap_s"]) for a, b, _ in kept]).reshape(-1, 2)
    return [event("spindle", r[:2], r[2]) for r in kept] + [event("spindle", s) for s in _apart(free, around)]
