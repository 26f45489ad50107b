"""The brain: arousals, graphoelements, and EEG whose spectrum follows the stage from second to second.

The background is drawn directly as spectra of 2-s frames, half overlapping, and summed: no filter runs over the
samples, and the same random numbers give the same EEG at any sampling rate.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft

from encoders.simulation.draws import (
    N1,
    N2,
    N3,
    Floats,
    TruthEvent,
    W,
    constants,
    stream,
    wander,
)  # fmt: skip
from encoders.simulation.elements import element_fields
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

FRAME_S = 2  # half of it is the step
TOP_HZ = 45.0  # above this the EEG is the amplifier's noise
STATES = ("open", "closed", "N1", "N2", "N3", "REM", "arousal")
COUPLING = 0.75  # share of the power that all electrodes have in common; ours


def render_eeg(
    key: tuple[int | str, ...], subject: Subject, stages: NDArray[np.int8], open_eyes: NDArray[np.bool_],
    arousals: Sequence[TruthEvent], elements: Sequence[TruthEvent], electrodes: Sequence[str], rate_hz: int,
) -> dict[str, Floats]:  # fmt: skip
    """EEG in uV of each electrode (a key of `[eeg.electrodes]`) against its contralateral mastoid."""
    weights = _state_weights(stream(*key, "eeg states"), stages, open_eyes, arousals)
    hz = np.arange(1, round(min(TOP_HZ, 0.45 * rate_hz) * FRAME_S) + 1) / FRAME_S
    common = _noise(stream(*key, "eeg common"), len(weights), len(hz))
    fields = element_fields(key, subject, elements, round(len(stages) * EPOCH_S * rate_hz), rate_hz)
    rendered: dict[str, Floats] = {}
    for name in electrodes:
        gains = constants("eeg")["electrodes"][name]
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
        facts = constants("eeg")[state]
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
