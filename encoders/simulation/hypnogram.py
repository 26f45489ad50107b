"""The true stages of a night: a semi-Markov chain of bouts, its hazards fitted on real nights.

In each epoch the sleeper may pass to another stage with a chance that depends on how long the bout has lasted, on the
time since the last REM sleep (so that cycles arise) and on the time since sleep onset (so that N3 comes early). These
competing hazards are each a product of three fitted factors; person and night raise or lower whole passages. Sleep as a
semi-Markov chain: Yang & Hursch 1973 (Biol Psychiatry 7:31); rates that change over the night: Kemp & Kamphuisen 1986
(Sleep 9:405).
"""

from bisect import bisect_right
from functools import cache

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import CODES, N1, N2, N3, REM, W, constants
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

PER_MIN = 60 / EPOCH_S
SHORT = round(180 * PER_MIN)  # a recording of fewer epochs is a piece
WHOLE = round(480 * PER_MIN)  # of a night of so many
CLOCK_EPOCHS = round(720 * PER_MIN)  # no sleep lasts as long


def draw_hypnogram(rng: np.random.Generator, subject: Subject, n_epochs: int) -> NDArray[np.int8]:
    """Stage codes `(n_epochs,)`, indices into `draws.CODES`; starts and ends awake.

    A recording of under three hours is a piece of an eight-hour night, the one with most of the five stages and most of
    the rarest among them, and its first and last epoch are made awake: bouts and cycles keep their real lengths. In a
    longer one sleep comes within a fifth of it, and lasts no longer than the longest of the fitted nights.
    """
    if n_epochs >= SHORT:
        return _night(rng, subject, n_epochs)
    night = _night(rng, subject, WHOLE)
    counts = _windows(night, n_epochs)
    score = (counts > 0).sum(axis=1) + counts.min(axis=1) / (n_epochs + 1)
    first = int(np.argmax(score))
    stages = night[first : first + n_epochs].copy()
    stages[[0, -1]] = W
    return stages


def _windows(night: NDArray[np.int8], length: int) -> NDArray[np.int64]:
    """Epochs of each stage `(windows, stages)` in every window of that length, its first and last epoch left out."""
    total = np.zeros((len(night) + 1, len(CODES)), np.int64)
    np.cumsum(np.eye(len(CODES), dtype=np.int64)[night], axis=0, out=total[1:])
    counts: NDArray[np.int64] = total[length - 1 : -1] - total[1 : len(total) - length + 1]
    return counts


def _passages(rng: np.random.Generator, subject: Subject) -> list[list[float]]:
    """The factor of each passage `[stage][following]` tonight: how the person sleeps, and how this night differs."""
    spread, response = constants("hypnogram")["spread"], constants("people")["architecture"]["response"]
    noise = {name: float(np.exp(rng.normal(0, night))) for name, (*_, night) in spread.items()}
    gains = {"wake": subject.wake_gain, "n1": subject.n1_gain, "n3": subject.n3_gain, "rem": subject.rem_gain}
    into, out_of = {}, {}
    for stage, (name, gain) in zip((W, N1, N3, REM), gains.items(), strict=True):
        share, broken = gain ** response[name] * noise[name] ** 0.5, noise.get(f"{name}_broken", 1.0)
        into[stage], out_of[stage] = broken * share, broken / share
    into[W] *= subject.fragmentation
    factors = [[out_of.get(stage, 1.0) * into.get(to, 1.0) for to in range(len(CODES))] for stage in range(len(CODES))]
    factors[W][N1] /= into[N1]  # on the way to sleep N1 is no lightening of it
    return factors


@cache
def _hazards() -> list[list[tuple[int, list[float], list[float], list[float]]]]:
    """Per stage: the stages that may follow, each with its factors by bout, REM and night clock."""
    fitted = constants("hypnogram")["hazards"]
    return [[(CODES.index(to), f["bout"], f["rem"], f["night"]) for to, f in fitted[stage].items()] for stage in CODES]


@cache
def _pieces(clock: str, epochs: float) -> list[int]:
    """The piece of a clock in which each count of epochs lies; `epochs` make its unit."""
    edges = constants("hypnogram")["edges"][clock]
    return [bisect_right(edges, i / epochs) - 1 for i in range(CLOCK_EPOCHS)]


def _night(rng: np.random.Generator, subject: Subject, n_epochs: int) -> NDArray[np.int8]:
    facts = constants("hypnogram")
    stages = np.full(n_epochs, W, np.int8)
    latency, final = (
        float(np.interp(rng.random(), facts["quantiles"], facts[name])) * PER_MIN
        for name in ("latency_min", "final_wake_min")
    )
    onset = max(1, round(min(latency * subject.latency_gain, n_epochs / 5)))
    end = n_epochs - max(1, round(min(final, n_epochs / 10)))
    end = min(end, onset + round(facts["longest_sleep_min"] * PER_MIN))
    stage = N1 if rng.random() < facts["first_is_n1"] else N2
    asleep = _chain(rng.random(end - onset).tolist(), stage, _passages(rng, subject), subject.rem_latency_gain)
    stages[onset:end] = asleep
    return stages


def _chain(chances: list[float], stage: int, passages: list[list[float]], rem_latency_gain: float) -> list[int]:
    """Stages from sleep onset on, one for each of `chances`, which are uniform in [0, 1)."""
    hazards, first_pieces = _hazards(), len(constants("hypnogram")["edges"]["before_rem"])
    bouts, hours = _pieces("bout", 1), _pieces("night", 60 * PER_MIN)
    before, after, inside = (_pieces(clock, PER_MIN) for clock in ("before_rem", "after_rem", "in_rem"))
    gap = constants("hypnogram")["rem_period_gap_min"] * PER_MIN
    stages: list[int] = []
    bout, last_rem, began = 0, -1, 0
    for i, chance in enumerate(chances):
        bout += 1
        if stage == REM:
            if last_rem < 0 or i - last_rem > gap:
                began = i
            last_rem, rem = i, inside[i - began]
        elif last_rem < 0:
            rem = before[min(int(i / rem_latency_gain), CLOCK_EPOCHS - 1)]
        else:
            rem = first_pieces + after[i - last_rem]
        stages.append(stage)
        now, hour, factor, total = bouts[bout], hours[i], passages[stage], 0.0
        for following, by_bout, by_rem, by_night in hazards[stage]:
            total += by_bout[now] * by_rem[rem] * by_night[hour] * factor[following]
            if chance < total:
                stage, bout = following, 0
                break
    return stages
