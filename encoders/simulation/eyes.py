"""The eyes: blinks, saccades, reading, slow rolling, bursts of rapid movements, and the EEG that leaks in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import (
    N1,
    N2,
    REM,
    Floats,
    TruthEvent,
    W,
    add_waves,
    constants,
    on_grid,
    stream,
    wander,
)
from encoders.simulation.elements import calm_seconds, event, per_second, sprinkle
from encoders.vocabulary import EPOCH_S

GRID_HZ = 8.0
LEAK = 0.45  # of the central EEG, median; frontal waves reach the eyes' electrodes in phase; ours
HOLD = 0.5  # of its length, in which an eye goes most of the way back; ours, after a real sleeper's average
TAIL_S = 0.6  # the rest of the way


def plan_open_eyes(rng: np.random.Generator, stages: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether the eyes are open, per second: about 40 % of wake, in spells of half a minute."""
    facts = constants("eyes")["open-eyes"]
    awake = np.repeat(stages == W, round(EPOCH_S))
    spells: NDArray[np.bool_] = wander(rng, len(awake), 1.0, facts["spell_s"]) > facts["above"]
    return awake & spells


def plan_eyes(
    key: tuple[int | str, ...], stages: NDArray[np.int8], arousals: Sequence[TruthEvent], open_eyes: NDArray[np.bool_]
) -> list[TruthEvent]:
    """Blinks, saccades, reading, slow rolling and rapid eye movements in time order."""
    rng, facts = stream(*key, "looks"), constants("eyes")
    calm = calm_seconds(stages, arousals)
    asleep = np.flatnonzero(stages != W)
    before = np.arange(len(calm)) < (asleep[0] * EPOCH_S if len(asleep) else len(calm))
    spell = np.cumsum(np.diff(open_eyes, prepend=False) & open_eyes)
    reading = open_eyes & before & (rng.random(spell[-1] + 1) < facts["reading"]["share"])[spell]
    # Drowsiness: closed eyes within two minutes before N1.
    soon = np.convolve(np.repeat(stages == N1, round(EPOCH_S)), np.ones(120), "full")[119:] > 0.5
    drowsy = np.repeat(stages == W, round(EPOCH_S)) & ~open_eyes & soon
    rem = np.repeat(stages == REM, round(EPOCH_S))
    growth = np.interp(np.cumsum(rem), [0, max(rem.sum(), 1)], facts["rapid"]["over_the_night"])
    spread = facts["rapid"]["burst_log_sd"]
    burst = np.exp(spread * wander(rng, len(calm), 1.0, facts["rapid"]["burst_s"]) - spread**2 / 2)
    when = {
        "blink": open_eyes, "saccade": open_eyes & ~reading, "reading": reading, "rolling": 1.0,
        "rapid": growth * burst,
    }  # fmt: skip
    found: list[TruthEvent] = []
    for kind, factor in when.items():
        per_s = per_second(facts[kind]["per_min"], stages)
        if kind == "rolling":
            per_s += drowsy * facts[kind]["drowsy_per_min"] / 60
        found += [event(NAMES[kind], span) for span in sprinkle(rng, calm * per_s * factor, facts[kind])]
    return sorted(found, key=lambda e: e.start_s)


NAMES = {
    "blink": "blink", "saccade": "saccade", "reading": "reading eye movement", "rolling": "slow eye movement",
    "rapid": "rapid eye movement",
}  # fmt: skip


def blinks(key: tuple[int | str, ...], looks: Sequence[TruthEvent], samples: int, rate_hz: int) -> Floats:
    """The lids' field in uV above the eye, `(samples,)`: what E2, and less of it the frontal EEG, picks up."""
    upward = np.zeros(samples, np.float32)
    chosen, size, length = _drawn(key, looks, "blink")

    def lid(i: NDArray[np.intp], t: Floats) -> Floats:
        shape: Floats = size[i] * np.exp(-0.5 * ((t / length[i] - 0.45) / 0.17) ** 2)
        return shape

    add_waves(upward, rate_hz, chosen, lid)
    return upward


def render_eyes(
    key: tuple[int | str, ...], stages: NDArray[np.int8], looks: Sequence[TruthEvent], leak: Floats, rate_hz: int
) -> tuple[Floats, Floats]:
    """E1 and E2 in uV against M2, E1 below the left and E2 above the right canthus (AASM), so that they go apart.

    `leak` is the EEG at `rate_hz`, the same length as the result.
    """
    rng, facts = stream(*key, "eyes"), constants("eyes")
    n = len(leak)
    across = np.zeros(n, np.float32)
    for kind in ("saccade", "rapid"):
        chosen, size, length = _drawn(key, looks, kind)
        turns = np.where(rng.random(len(chosen)) < facts["rapid"]["reversal"], -1, 1)
        signed = (size * np.cumprod(turns)).astype(np.float32)

        def step(i: NDArray[np.intp], t: Floats, signed: Floats = signed, length: Floats = length) -> Floats:
            shape: Floats = signed[i] * (1 - np.exp(-t / np.float32(0.02))) * np.exp(-t / (HOLD * length[i]))
            return shape

        add_waves(across, rate_hz, [TruthEvent(e.name, e.start_s, e.stop_s + TAIL_S) for e in chosen], step)
    chosen, size, length = _drawn(key, looks, "reading")

    def line(i: NDArray[np.intp], t: Floats) -> Floats:
        u = t / length[i]
        rim = np.minimum(1, 8 * np.minimum(u, 1 - u))
        shape: Floats = size[i] * (np.minimum(u / 0.95, (1 - u) / 0.05) - 0.5) * rim
        return shape

    add_waves(across, rate_hz, chosen, line)
    rolls, swing, spell = _drawn(key, looks, "rolling")
    slowest, fastest = facts["rolling"]["hz"]
    turning = rng.uniform(slowest, fastest, len(rolls)).astype(np.float32)

    def roll(i: NDArray[np.intp], t: Floats) -> Floats:
        hump = np.minimum(1, 4 * np.minimum(t, spell[i] - t) / spell[i])
        shape: Floats = swing[i] * hump * np.sin(np.float32(2 * np.pi) * turning[i] * t)
        return shape

    add_waves(across, rate_hz, rolls, roll)
    grid = round(len(stages) * EPOCH_S * GRID_HZ)
    drift = 5 * on_grid(stages <= N2, GRID_HZ, 6.0) * wander(rng, grid, GRID_HZ, 2.0)
    across += np.interp(np.arange(n) / rate_hz, (np.arange(grid) + 0.5) / GRID_HZ, drift).astype(np.float32)
    upward = blinks(key, looks, n, rate_hz)
    leak = leak * np.float32(LEAK * np.exp(0.15 * stream(*key[:2], "leak").standard_normal()))
    noise = [np.float32(2.0) * stream(*key, "eye noise", side).standard_normal(n, np.float32) for side in ("E1", "E2")]
    return across - 0.35 * upward + leak + noise[0], -across + upward + leak + noise[1]


def _drawn(
    key: tuple[int | str, ...], looks: Sequence[TruthEvent], kind: str
) -> tuple[list[TruthEvent], Floats, Floats]:
    """The eye movements of a kind, their heights in uV and their lengths in seconds."""
    facts = constants("eyes")
    rng = stream(*key, "look", kind)
    chosen = [e for e in looks if e.name == NAMES[kind]]
    median, spread = facts[kind]["height_uv"]
    eyes = np.exp(facts["between_subjects_log_sd"] * stream(*key[:2], "eyes").standard_normal())
    size = median * eyes * np.exp(spread * rng.standard_normal(len(chosen)))
    size = np.maximum(size, facts[kind].get("least_uv", 0.0)).astype(np.float32)
    return chosen, size, np.array([e.stop_s - e.start_s for e in chosen], np.float32)
