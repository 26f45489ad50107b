"""The muscles: chin and leg EMG with tone, atonia, twitches and bursts."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.special import ndtri

from encoders.simulation.draws import REM, Floats, TruthEvent, W, by_stage, constants, on_grid, stream, wander
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S

GRID_HZ = 10.0


@cache
def _quantiles() -> NDArray[np.float32]:
    """The normal distribution's quantiles at the middle of 65,536 equal shares."""
    table: NDArray[np.float32] = ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)
    return table


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Normal numbers from 16 random bits each, within 4.3 sd: a fifth of the generator's own time, for noise only."""
    bits = np.frombuffer(rng.bytes(2 * int(np.prod(shape))), np.uint16)
    return _quantiles().take(bits).reshape(shape)


def restless(rng: np.random.Generator, seconds: int) -> Floats:
    """Unit variance per second that wanders over minutes, an epoch and seconds alike."""
    parts = zip((0.5, 0.63, 0.6), (240.0, 30.0, 5.0), strict=True)
    wandered: Floats = np.sum([share * wander(rng, seconds, 1.0, over_s) for share, over_s in parts], axis=0)
    return wandered


def tension(key: tuple[int | str, ...], seconds: int) -> Floats:
    """How tense the muscles of head and neck are, per second, unit variance: chin EMG and fast EEG share it."""
    return restless(stream(*key, "tension"), seconds)


def render_muscle(
    key: tuple[int | str, ...], subject: Subject, signal: str, rate_hz: float, stages: NDArray[np.int8],
    arousals: Sequence[TruthEvent], turns: Sequence[TruthEvent], limbs: Sequence[TruthEvent],
) -> Floats:  # fmt: skip
    """Chin (`emg_chin`) or leg (`emg_leg_l`, `emg_leg_r`, `emg_legs`) EMG in uV."""
    facts, chin = constants("muscle"), signal == "emg_chin"
    rng = stream(*key, "muscle", signal)
    level = _tone(key, stages, turns, facts["chin" if chin else "leg"])
    level += _twitches(rng, stages, stream(*key[:2], "twitches"), facts["twitches"])
    happened = {"arousal": arousals, "turn": turns, "limb": limbs}
    for name, gains in facts["chin" if chin else "leg"]["gain"].items():
        for event, gain in zip(happened[name], rng.uniform(gains[0], gains[1], len(happened[name])), strict=True):
            first = round(event.start_s * GRID_HZ)
            over = slice(first, max(first + 1, round(event.stop_s * GRID_HZ)))
            # AASM: an arousal from REM sleep shows in the chin, so a burst is counted from a tone that is not nothing.
            level[over] = np.maximum(level[over], facts["least_uv"]) * gain
    level = np.hypot(level, facts["hiss_uv"])
    samples = round(len(stages) * EPOCH_S * rate_hz)
    noise = normals(stream(*key, "muscle noise", signal), (samples + 1,))
    emg: Floats = noise[1:] - np.float32(0.6) * noise[:-1]  # recorders pass little of the EMG below 10 Hz
    # The same power per Hz at each rate; the levels are those of a band of 100 Hz.
    emg *= (level * np.float32((min(rate_hz, 300.0) / 200 / 1.36) ** 0.5))[
        (np.arange(samples) * np.float32(GRID_HZ / rate_hz)).astype(np.int32)
    ]
    return emg


def _tone(
    key: tuple[int | str, ...],
    stages: NDArray[np.int8],
    turns: Sequence[TruthEvent],
    facts: dict[str, dict[str, float]],
) -> Floats:
    """Tone in uV on `GRID_HZ`: of the stage, the sleeper, the posture and the moment."""
    trait, rng = stream(*key[:2], "tone"), stream(*key, "posture")
    own = by_stage(facts["uv"]) * np.exp(trait.normal(0, facts["between_log_sd"]["all"]))
    own[REM] *= np.exp(trait.normal(0, facts["between_log_sd"]["REM"]))
    tone = on_grid(own[stages], GRID_HZ)
    # The chin slackens from five minutes before REM sleep (Bliwise 1974, verified); other tones come within seconds.
    ahead = round(300 * GRID_HZ)
    coming = uniform_filter1d(on_grid(stages == REM, GRID_HZ), ahead, origin=-(ahead // 2 - 1), mode="nearest")
    slack = np.where(on_grid(stages == W, GRID_HZ) > 0, 0.0, np.clip(coming, 0, 1)).astype(np.float32)
    tone *= (own[REM] / np.maximum(tone, own[REM])) ** slack
    tone = gaussian_filter1d(tone, 2 * GRID_HZ)
    posture = np.zeros(len(tone), np.float32)
    for turn in turns:
        posture[round(turn.start_s * GRID_HZ) :] = rng.normal(0, facts["moment_log_sd"]["posture"])
    moment = on_grid(by_stage(facts["moment_log_sd"])[stages], GRID_HZ, 4.0)
    tense = np.repeat(tension(key, round(len(tone) / GRID_HZ)), round(GRID_HZ))
    level: Floats = tone * np.exp(posture + moment * tense)
    return level


def _twitches(
    rng: np.random.Generator, stages: NDArray[np.int8], trait: np.random.Generator, facts: dict[str, float]
) -> Floats:
    """What the twitches of REM sleep add, in uV on `GRID_HZ`: a tenth of a second to a few, in clusters."""
    level = np.zeros(round(len(stages) * EPOCH_S * GRID_HZ), np.float32)
    per_min = facts["per_min"] * trait.lognormal(0, facts["between_log_sd"])
    clusters = np.exp(wander(rng, len(stages) * 30, 1.0, 30.0)) * np.repeat(stages == REM, 30) / np.exp(0.5)
    seconds = np.repeat(np.arange(len(clusters)), rng.poisson(clusters * per_min / 60))
    lengths = rng.lognormal(np.log(facts["length_s"]), facts["length_log_sd"], len(seconds))
    starts = ((seconds + rng.random(len(seconds))) * GRID_HZ).astype(int)
    sizes = rng.lognormal(np.log(facts["uv"]), 0.5, len(seconds))
    for start, length, size in zip(starts, lengths, sizes, strict=True):
        level[start : start + max(1, round(length * GRID_HZ))] += size
    return level * on_grid(stages == REM, GRID_HZ)
