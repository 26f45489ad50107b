"""The brain: background EEG whose spectrum follows the stage, and the graphoelements that stand out of it.

The background is drawn directly as spectra of 2-s frames, half overlapping, and summed: no filter runs over the
samples, and the same random numbers give the same EEG at any sampling rate. A frame's spectrum mixes those of the
states the sleeper is in, tinted by what wanders from seconds to minutes: slow drift, the middle, muscle.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft
from scipy.ndimage import uniform_filter1d

from encoders.simulation.draws import Floats, TruthEvent, W, constants, stream, wander
from encoders.simulation.muscle import normals, restless, tension
from encoders.simulation.people import Subject
from encoders.simulation.waves import element_fields
from encoders.vocabulary import EPOCH_S

FRAME_S = 2  # half of it is the step
TOP_HZ = 45.0  # above this the EEG is the amplifier's noise
BLOCK = 320  # seconds that are worked on together: they stay in the processor's cache
BYTE_SD = (2**16 / 12) ** 0.5  # of a byte's value: the amplifier's hiss is drawn from bytes
STATES = ("open", "closed", "N1", "N2", "N3", "REM", "arousal")
DB = np.float32(np.log(10) / 20)  # of an amplitude's logarithm


def render_eeg(
    key: tuple[int | str, ...], subject: Subject, stages: NDArray[np.int8], open_eyes: NDArray[np.bool_],
    arousals: Sequence[TruthEvent], events: Sequence[TruthEvent], electrodes: Sequence[str], rate_hz: int,
) -> dict[str, Floats]:  # fmt: skip
    """EEG in uV of each electrode (a key of `[electrodes]`) against its contralateral mastoid."""
    hz = np.arange(1, round(min(TOP_HZ, 0.45 * rate_hz) * FRAME_S) + 1) / FRAME_S
    weights = _state_weights(stream(*key, "eeg states"), stages, open_eyes, arousals)
    tint, modes = DB * _tint(key, weights), _modes(hz)
    spectra = {name: _spectra(key, subject, name, hz) for name in electrodes}
    shares = {name: _shares(name, hz) for name in electrodes}
    sources = {source: stream(*key, "eeg", source) for source in sorted({s for own in shares.values() for s in own})}
    amplifiers = {name: stream(*key, "amplifier", name) for name in electrodes}
    hiss = np.float32((constants("eeg")["hiss_uv2_per_hz"] * rate_hz / 2) ** 0.5 / BYTE_SD)
    fields = element_fields(key, subject, events, len(open_eyes) * rate_hz, rate_hz)
    gains = constants("elements")["electrodes"]
    step = rate_hz * FRAME_S // 2
    window = np.sin(np.pi * (np.arange(2 * step) + 0.5) / (2 * step)).astype(np.float32)
    window *= np.float32(rate_hz * FRAME_S**0.5 / 2)
    rendered = {name: np.empty(len(open_eyes) * step, np.float32) for name in electrodes}
    noise = dict.fromkeys(sources, np.empty((0, len(hz)), np.complex64))
    # Square-root Hann frames, summed at half steps: each block begins with the last frame of the one before.
    for first in range(0, len(open_eyes), BLOCK):
        block, span = slice(first, first + BLOCK + 1), slice(first * step, (first + BLOCK) * step)
        mix, shade = weights[block], np.exp(tint[block] @ modes)
        noise = {
            source: np.concatenate([noise[source][-1:], _noise(rng, len(mix) - bool(first), len(hz))])
            for source, rng in sources.items()
        }
        for name in electrodes:
            spectrum = np.zeros((len(mix), len(hz) + 1), np.complex64)
            for source, share in shares[name].items():
                spectrum[:, 1:] += share * noise[source]
            spectrum[:, 1:] *= np.sqrt(mix @ spectra[name]) * shade
            frames = irfft(spectrum, 2 * step, axis=1)
            frames *= window
            eeg = (frames[1:, :step] + frames[:-1, step:]).ravel()
            eeg += hiss * np.frombuffer(amplifiers[name].bytes(len(eeg)), np.int8)
            for field, samples in fields.items():
                eeg += np.float32(gains[name][field]) * samples[span]
            rendered[name][span] = eeg
    return rendered


def _noise(rng: np.random.Generator, frames: int, bins: int) -> NDArray[np.complex64]:
    """Complex Gaussian noise of unit variance per part; drawn to `TOP_HZ` whatever is kept, so that rates agree."""
    return normals(rng, (frames, 2 * round(TOP_HZ * FRAME_S))).view(np.complex64)[:, :bins]


def _shares(electrode: str, hz: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Amplitude of each source in an electrode, by frequency: neighbours share more, and less of fast activity."""
    facts = constants("eeg")["sources"]
    front = {"F": 1.0, "C": 0.5, "P": 0.25, "O": 0.0}[electrode[0]]
    side = {"z": "", "1": "left", "3": "left", "2": "right", "4": "right"}[electrode[-1]]
    every = np.interp(np.log(hz), np.log(facts["hz"]), facts["everywhere"])
    power = {"everywhere": every, "front": facts["row"] * front, "back": facts["row"] * (1 - front)}
    power |= {side: facts["side"]} if side else {"left": facts["side"] / 2, "right": facts["side"] / 2}
    power[electrode] = 1 - sum(power.values())
    return {name: np.sqrt(share + 0 * hz).astype(np.float32) for name, share in power.items() if np.any(share > 0)}


def _modes(hz: NDArray[np.float64]) -> NDArray[np.float32]:
    """How far a change of one dB in each mode reaches across the spectrum, `(modes, bins)`."""
    return np.array([_through(hz, knots) for knots in constants("eeg")["modes"]], np.float32)


def _through(hz: NDArray[np.float64], knots: Sequence[float]) -> NDArray[np.float64]:
    """Values at the frequencies `knots_hz`, joined by straight lines over log frequency."""
    return np.interp(np.log(hz), np.log(constants("eeg")["knots_hz"]), knots)


def _spectra(
    key: tuple[int | str, ...], subject: Subject, electrode: str, hz: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Power density `(states, bins)` in uV^2/Hz: what the states have in common, and what is the subject's own."""
    facts, trait = constants("eeg"), stream(*key[:2], "eeg traits")
    between, gains = facts["between"], facts["electrodes"][electrode]
    own = trait.normal(0, between["level_db"]) + trait.normal(0, between["knot_db"], len(facts["knots_hz"]))
    tilts = trait.normal(0, 1, (3, 3))  # modes; wake, NREM, REM
    tilts[:, 2] = between["rem_as_nrem"] * tilts[:, 1] + (1 - between["rem_as_nrem"] ** 2) ** 0.5 * tilts[:, 2]
    tilts *= np.array(between["mode_db"])[:, [0, 1, 1]]
    shift = {peak: trait.normal(0, sd) for peak, sd in between["peak_hz"].items()}
    shift["alpha"] -= between["alpha_slows_hz_per_year"] * max(subject.age_years - 20, 0)
    shift["sigma"] += subject.spindle_hz - between["spindle_hz"]
    size = {peak: trait.lognormal(0, between["peak_log_sd"]) for peak in shift}
    size["alpha"] *= (subject.alpha_gain * gains["alpha"]) ** 2
    size["sigma"] *= gains["sigma"] ** 2
    asleep = trait.lognormal(0, between["sleep_alpha_log_sd"])  # alpha in sleep: strong in some, absent in most
    own = own + trait.normal(0, between["left_db"]) * {"1": 1, "3": 1, "z": 0}.get(electrode[-1], -1)
    own = own + stream(*key, "placed", electrode).normal(0, between["electrode_db"])
    modes = _modes(hz)
    rows = []
    for state in STATES:
        group = 0 if state in ("open", "closed", "arousal") else 2 if state == "REM" else 1
        level = _through(hz, np.array(facts[state]["db"]) + own) + tilts[:, group] @ modes
        deep = 20 * np.log10(subject.slow_wave_gain) * {"N2": 0.5, "N3": 1.0}.get(state, 0.0)
        level = level + (20 * np.log10(gains["slow"]) + deep) * modes[0]
        row = np.ones_like(hz)
        for peak, (centre, width, times) in facts[state].get("peaks", {}).items():
            times = times * size[peak] * (asleep if peak == "alpha" and state in ("N2", "N3") else 1.0)
            row = row + times * np.exp(-0.5 * ((hz - centre - shift[peak]) / width) ** 2)
        rows.append(row * 10 ** (level / 10))
    return np.array(rows, np.float32)


def _tint(key: tuple[int | str, ...], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The change of each mode in each frame in dB, `(frames, modes)`."""
    facts, rng, n = constants("eeg"), stream(*key, "eeg tint"), len(weights)
    sd = np.array([facts[state]["sd_db"] for state in STATES], np.float32)
    wanders = [restless(rng, n) for _ in range(2)]
    tense, common = tension(key, n), facts["common"]
    wanders = [common**0.5 * tense + (1 - common) ** 0.5 * own for own in wanders]
    change = (weights @ sd) * np.stack([*wanders, tense], axis=1) + rng.normal(0, facts["between"]["night_db"])
    # Slow waves are paid off over the night (Aeschbach & Borbely 1993: falling over the first four NREM episodes).
    change[:, 0] += (weights[:, 3] / 2 + weights[:, 4]) * np.interp(np.arange(n) / 3600, [0, 6], facts["paid_off_db"])
    tinted: NDArray[np.float32] = change.astype(np.float32)
    return tinted


def _state_weights(
    rng: np.random.Generator, stages: NDArray[np.int8], open_eyes: NDArray[np.bool_], arousals: Sequence[TruthEvent]
) -> NDArray[np.float32]:
    """Share of each of `STATES` in each frame `(seconds + 1, states)`; their powers are mixed."""
    seconds = len(open_eyes)
    per_second = np.repeat(stages, round(EPOCH_S))
    weights = np.zeros((seconds, len(STATES)), np.float32)
    weights[np.arange(seconds), np.where(per_second == W, np.where(open_eyes, 0, 1), per_second + 1)] = 1
    weights = uniform_filter1d(weights, constants("eeg")["blend_s"], axis=0, mode="nearest")  # no stage begins at once
    # Alpha comes and goes behind closed eyes: what it leaves is the open-eyed spectrum.
    ebb = np.clip(0.65 + 0.35 * wander(rng, seconds, 1.0, 6.0), 0.1, 1.0)
    weights[:, 0] += weights[:, 1] * (1 - ebb)
    weights[:, 1] *= ebb
    # Neighbouring stages leak into each other: no stage is ever all alike.
    depth = np.clip(0.2 + 0.2 * wander(rng, seconds, 1.0, 90.0), 0, 0.6)
    for state, other, share in ((2, 1, 0.5), (3, 4, 0.4), (4, 3, 0.8), (2, 3, 0.6), (1, 2, 0.5)):
        leak = weights[:, state] * depth * share
        weights[:, state] -= leak
        weights[:, other] += leak
    for arousal in arousals:
        first, last = round(arousal.start_s), round(arousal.stop_s)
        weights[first:last] *= 0.1
        weights[first:last, 6] += 0.9
    return np.concatenate([weights[:1], weights]).astype(np.float32)
