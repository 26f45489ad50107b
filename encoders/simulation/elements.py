"""Graphoelements and eye movements: when they come, and the shapes they give the EEG."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import (
    Floats,
    TruthEvent,
    W,
    add_waves,
    constants,
    scatter,
    stream,
    wander,
)
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

LENGTHS_S = {
    "spindle": (0.6, 1.7), "K-complex": (0.7, 1.1), "slow wave": (0.75, 1.35), "vertex wave": (0.25, 0.4),
    "sawtooth wave": (2.0, 4.5), "blink": (0.25, 0.4), "saccade": (0.6, 1.0), "rapid eye movement": (0.6, 1.1),
}  # fmt: skip


def plan_elements(
    rng: np.random.Generator, stages: NDArray[np.int8], arousals: Sequence[TruthEvent], open_eyes: NDArray[np.bool_]
) -> list[TruthEvent]:
    """Spindles, K-complexes, slow, vertex and sawtooth waves, blinks and eye movements, in time order."""
    duration_s = len(stages) * EPOCH_S
    starts = np.array([a.start_s for a in arousals] or [-9e9])
    stops = np.array([a.stop_s for a in arousals] or [-9e9])
    found: list[TruthEvent] = []
    for key, rates in constants("elements").items():
        name = key.replace("-", " ") if key != "K-complex" else key
        shortest, longest = LENGTHS_S[name]
        times = scatter(rng, stages, rates, longest + 0.1)
        if name == "rapid eye movement" and len(times):  # phasic REM: movements come in volleys
            times = np.sort(np.concatenate([times, times[rng.random(len(times)) < 0.5] + rng.uniform(1.2, 1.6)]))
            times = times[np.diff(times, prepend=-9.0) >= longest]
        lengths = rng.uniform(shortest, longest, len(times))
        i = np.clip(np.searchsorted(starts, times + lengths) - 1, 0, None)
        keep = (times >= stops[i]) & (times + lengths < duration_s)
        if name in ("blink", "saccade"):
            keep &= open_eyes[np.minimum(times.astype(int), len(open_eyes) - 1)]
        found += [TruthEvent(name, round(float(t), 3), round(float(t + d), 3))
                  for t, d in zip(times[keep], lengths[keep], strict=True)]  # fmt: skip
    return sorted(found, key=lambda e: e.start_s)


def plan_open_eyes(rng: np.random.Generator, stages: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether the eyes are open, per second: about 40 % of wake, in spells of half a minute."""
    awake = np.repeat(stages == W, round(EPOCH_S))
    return awake & (wander(rng, len(awake), 1.0, 40.0) > 0.25)


def element_fields(
    key: tuple[int | str, ...], subject: Subject, elements: Sequence[TruthEvent], samples: int, rate_hz: int
) -> dict[str, Floats]:
    """Graphoelements as three fields in uV, one per topography of `[eeg.electrodes]`."""
    fields = {"slow": np.zeros(samples, np.float32), "sigma": np.zeros(samples, np.float32)}
    for name, field in (("spindle", "sigma"), ("vertex wave", "sigma"), ("sawtooth wave", "sigma"),
                        ("K-complex", "slow"), ("slow wave", "slow")):  # fmt: skip
        rng = stream(*key, "element", name)
        chosen = [e for e in elements if e.name == name]
        size = rng.lognormal(0.0, 0.22, len(chosen)).astype(np.float32)
        pitch = rng.normal(0, 0.35, len(chosen)).astype(np.float32)
        lengths = np.array([e.stop_s - e.start_s for e in chosen], np.float32)
        hz = subject.spindle_hz + pitch if name == "spindle" else 3.0 + pitch

        def wave(
            i: int, t: Floats, name: str = name, size: Floats = size, hz: Floats = hz, lengths: Floats = lengths
        ) -> Floats:
            u = t / lengths[i]  # 0 to 1 over the element
            hump = np.maximum(np.sin(np.pi * u), 0)
            shape: Floats
            if name == "spindle":
                shape = 24 * hump**1.3 * np.cos(2 * np.pi * hz[i] * t)
            elif name == "sawtooth wave":  # up in seven tenths of a cycle, down in three
                cycle = (t * hz[i]) % 1.0
                shape = 32 * hump * (np.minimum(cycle / 0.7, (1 - cycle) / 0.3) * 2 - 1)
            elif name == "vertex wave":
                shape = 15 * np.sin(2 * np.pi * u) - 70 * hump**2
            elif name == "K-complex":  # a sharp negative wave, then a slower positive one
                dip, rise = np.exp(-0.5 * ((u - 0.3) / 0.10) ** 2), np.exp(-0.5 * ((u - 0.68) / 0.15) ** 2)
                shape = subject.slow_wave_gain * hump**0.3 * (70 * rise - 95 * dip)
            else:
                shape = subject.slow_wave_gain * -62 * np.sin(2 * np.pi * u) * hump**0.5
            shape *= size[i]
            return shape

        add_waves(fields[field], rate_hz, chosen, wave)
    return fields
