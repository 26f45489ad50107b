"""The brain: arousals, graphoelements, and EEG whose spectrum follows the stage from second to second.

The background is drawn directly as spectra of 2-s frames, half overlapping, and summed: no filter runs over the
samples, and the same random numbers give the same EEG at any sampling rate.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft

from encoders.simulation.draws import (
    CODES,
    N1,
    N2,
    N3,
    Floats,
    TruthEvent,
    W,
    add_waves,
    physiology,
    scatter,
    stream,
    wander,
)  # fmt: skip
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

FRAME_S = 2  # half of it is the step
TOP_HZ = 45.0  # above this the EEG is the amplifier's noise
STATES = ("open", "closed", "N1", "N2", "N3", "REM", "arousal")
LENGTHS_S = {
    "spindle": (0.6, 1.7), "K-complex": (0.7, 1.1), "slow wave": (0.75, 1.35), "vertex wave": (0.25, 0.4),
    "sawtooth wave": (2.0, 4.5), "blink": (0.25, 0.4), "saccade": (0.6, 1.0), "rapid eye movement": (0.6, 1.1),
}  # fmt: skip
COUPLING = 0.75  # share of the power that all electrodes have in common; ours


def plan_arousals(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], respiratory: Sequence[TruthEvent],
    desaturations: Sequence[TruthEvent], limbs: Sequence[TruthEvent],
) -> list[TruthEvent]:  # fmt: skip
    """Arousals of 3 s or more, each after 10 s of sleep: at the end of events, with leg movements, and on their own."""
    facts = physiology()["arousals"]
    fell = [d.start_s for d in desaturations]
    wishes: list[tuple[float, str, float]] = []
    for event in respiratory:
        # A hypopnea counts with a desaturation or an arousal (AASM rule 1A), so one without the first has the second.
        lag = subject.circulation_s
        fall = any(event.start_s + lag - 6 <= s <= event.stop_s + lag + 6 for s in fell)
        if rng.random() < (0.6 if fall or event.name != "hypopnea" else 1.0):
            wishes.append((event.stop_s + rng.uniform(0, 1.5), event.name, rng.lognormal(np.log(6.5), 0.35)))
    waking = [limb for limb in limbs if rng.random() < 0.25]
    wishes += [(limb.start_s + rng.uniform(0, 0.5), limb.name, 4.0 + rng.exponential(1.5)) for limb in waking]
    rate = np.interp(subject.age_years, [20, 65], facts["per_hour"]) / 60
    alone = scatter(rng, stages, [0.0, 1.4 * rate, rate, 0.6 * rate, rate], 20.0)
    wishes += [(float(t), "spontaneous", rng.lognormal(np.log(6.0), 0.4)) for t in alone]
    # Respiratory arousals are placed first: a spontaneous one gives way to them.
    placed: list[TruthEvent] = []
    for start, cause, length in sorted(wishes, key=lambda w: (w[1] == "spontaneous", w[0])):
        start, length = round(start, 1), round(float(np.clip(length, *facts["duration_s"])), 1)
        calm = start - facts["sleep_before_s"]
        asleep = calm >= 0 and (stages[int(calm // EPOCH_S) : int((start + length) // EPOCH_S) + 1] != W).all()
        free = all(a.stop_s <= calm or a.start_s >= start + length + facts["sleep_before_s"] for a in placed)
        if asleep and free and start + length < len(stages) * EPOCH_S:
            placed.append(TruthEvent("arousal", start, round(start + length, 1), cause=cause))
    return sorted(placed, key=lambda a: a.start_s)


def plan_elements(
    rng: np.random.Generator, stages: NDArray[np.int8], arousals: Sequence[TruthEvent], open_eyes: NDArray[np.bool_]
) -> list[TruthEvent]:
    """Spindles, K-complexes, slow, vertex and sawtooth waves, blinks and eye movements, in time order."""
    duration_s = len(stages) * EPOCH_S
    starts = np.array([a.start_s for a in arousals] or [-9e9])
    stops = np.array([a.stop_s for a in arousals] or [-9e9])
    found: list[TruthEvent] = []
    for key, rates in physiology()["grapho"].items():
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


def render_eeg(
    key: tuple[int | str, ...], subject: Subject, stages: NDArray[np.int8], open_eyes: NDArray[np.bool_],
    arousals: Sequence[TruthEvent], elements: Sequence[TruthEvent], electrodes: Sequence[str], rate_hz: int,
) -> dict[str, Floats]:  # fmt: skip
    """EEG in uV of each electrode (a key of `[eeg.electrodes]`) against its contralateral mastoid."""
    weights = _state_weights(stream(*key, "eeg states"), stages, open_eyes, arousals)
    hz = np.arange(1, round(min(TOP_HZ, 0.45 * rate_hz) * FRAME_S) + 1) / FRAME_S
    common = _noise(stream(*key, "eeg common"), len(weights), len(hz))
    fields = _element_fields(key, subject, elements, round(len(stages) * EPOCH_S * rate_hz), rate_hz)
    rendered: dict[str, Floats] = {}
    for name in electrodes:
        gains = physiology()["eeg"]["electrodes"][name]
        amplitude = np.sqrt(weights @ _spectra(subject, gains, hz)) * np.float32(rate_hz * FRAME_S**0.5 / 2)
        own = _noise(stream(*key, "eeg", name), len(weights), len(hz))
        spectrum = np.zeros((len(weights), rate_hz * FRAME_S // 2 + 1), np.complex64)
        mixed = np.float32(COUPLING**0.5) * common + np.float32((1 - COUPLING) ** 0.5) * own
        spectrum[:, 1 : len(hz) + 1] = mixed * amplitude
        eeg = _overlap(spectrum, rate_hz)
        for field, samples in fields.items():
            eeg += np.float32(gains[field]) * samples
        eeg += np.float32(0.5) * stream(*key, "amplifier", name).standard_normal(len(eeg), np.float32)
        rendered[name] = eeg
    return rendered


def _noise(rng: np.random.Generator, frames: int, bins: int) -> NDArray[np.complex64]:
    """Complex Gaussian noise of unit variance per part; drawn to `TOP_HZ` whatever is kept, so that rates agree."""
    drawn = rng.standard_normal((frames, round(TOP_HZ * FRAME_S), 2), np.float32)
    return drawn.view(np.complex64)[:, :bins, 0]


def _overlap(spectrum: NDArray[np.complex64], rate_hz: int) -> Floats:
    """Frames of `FRAME_S` under a square-root Hann window, summed at half steps; the first and last half are cut."""
    length = rate_hz * FRAME_S
    window = np.sin(np.pi * (np.arange(length) + 0.5) / length).astype(np.float32)
    frames = irfft(spectrum, length, axis=1) * window
    half = length // 2
    eeg: Floats = (frames[:-1, half:] + frames[1:, :half]).ravel()
    return eeg


def _spectra(subject: Subject, gains: Mapping[str, float], hz: NDArray[np.float64]) -> NDArray[np.float32]:
    """Power density `(states, bins)` in uV^2/Hz."""
    fields = {**gains, "slow": gains["slow"] * subject.slow_wave_gain, "alpha": gains["alpha"] * subject.alpha_gain}
    rows = []
    for state in STATES:
        facts = physiology()["eeg"][state]
        shape = hz ** -facts["exponent"]
        level = facts["rms_uv"] * (0.4 + 0.6 * subject.slow_wave_gain if state == "N3" else 1.0)
        row = shape * level**2 / (shape[hz <= 30].sum() / FRAME_S)
        for peak, (centre, width, rms) in facts["peaks"].items():
            bump = np.exp(-0.5 * ((hz - centre) / width) ** 2)
            row = row + bump * (rms * fields.get(peak, 1.0)) ** 2 / (bump.sum() / FRAME_S)
        rows.append(row)
    return np.array(rows, np.float32)


def _state_weights(
    rng: np.random.Generator, stages: NDArray[np.int8], open_eyes: NDArray[np.bool_], arousals: Sequence[TruthEvent]
) -> NDArray[np.float32]:
    """Share of each of `STATES` in each frame `(seconds + 1, states)`; their powers are mixed, and wax and wane."""
    seconds = len(open_eyes)
    per_second = np.repeat(stages, round(EPOCH_S))
    state = np.where(per_second == W, np.where(open_eyes, 0, 1), per_second + 1)
    weights = np.zeros((seconds, len(STATES)), np.float32)
    weights[np.arange(seconds), state] = 1
    for arousal in arousals:
        first, last = round(arousal.start_s), round(arousal.stop_s)
        weights[first:last] = 0.1 * weights[first:last]
        weights[first:last, 6] = 0.9
    # Stages do not change within one frame: three frames share the step.
    weights[1:-1] = (weights[:-2] + weights[1:-1] + weights[2:]) / 3
    # Alpha comes and goes behind closed eyes: what it leaves is the open-eyed spectrum.
    ebb = np.clip(0.65 + 0.35 * wander(rng, seconds, 1.0, 6.0), 0.1, 1.0)
    weights[:, 0] += weights[:, 1] * (1 - ebb)
    weights[:, 1] *= ebb
    # Neighbouring stages leak into each other: N2 is never all alike.
    depth = np.clip(0.12 + 0.12 * wander(rng, seconds, 1.0, 45.0), 0, 0.45)
    for code, other in ((N2, N3), (N3, N2), (N1, N2)):
        leak = weights[:, code + 1] * depth * (0.25 if other == N3 else 1.0)
        weights[:, code + 1] -= leak
        weights[:, other + 1] += leak
    weights *= np.exp(0.22 * wander(rng, seconds, 1.0, 4.0))[:, None]
    return np.concatenate([weights[:1], weights]).astype(np.float32)


def _element_fields(
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


def stage_names(stages: NDArray[np.int8]) -> list[str]:
    """Stage codes as the words of `vocabulary.STAGES`."""
    return [CODES[code] for code in stages]
