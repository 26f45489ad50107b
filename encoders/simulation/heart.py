"""The heart: a rate that follows stage, breath, apneas and arousals; beats by integrating it; an ECG from the beats."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.simulation.breathing import Breath
from encoders.simulation.draws import REM, Floats, TruthEvent, by_stage, constants, on_grid, wander
from encoders.simulation.people import Subject

GRID_HZ = 8.0  # that of breathing, whose phase sets the sinus arrhythmia


@dataclass(frozen=True, slots=True)
class Heart:
    """`rate_per_min` on `GRID_HZ`; `beats_s` are the times of the R peaks."""

    rate_per_min: Floats
    beats_s: NDArray[np.float64]


def plan_heart(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], breath: Breath, arousals: list[TruthEvent]
) -> Heart:
    """The rate slows in apneas, races at their end and with arousals, and breathes with the lungs; sizes are ours."""
    n = len(breath.phase)
    rem = on_grid(stages == REM, GRID_HZ, 30.0)
    v = subject.heart_variability
    change = on_grid(by_stage(constants("heart")["stage_factor"])[stages], GRID_HZ, 40.0) - 1
    change = change + v * (0.018 + 0.02 * rem) * wander(rng, n, GRID_HZ, 60.0)  # very low frequency, more in REM
    change = change + v * (0.015 + 0.01 * rem) * wander(rng, n, GRID_HZ, 5.0)  # low frequency, around 0.1 Hz
    change = change + v * 0.03 * (1 - 0.5 * rem) * np.minimum(breath.effort, 1.3) * np.sin(breath.phase)
    swing = np.zeros(n, np.float32)
    for event in breath.events:
        first, last = round(event.start_s * GRID_HZ), round(event.stop_s * GRID_HZ)
        depth = (0.10 if "apnea" in event.name else 0.04) * min(1.0, (last - first) / GRID_HZ / 25)
        swing[first:last] -= np.linspace(0, depth, last - first)
        _race(swing, last, 0.16 if "apnea" in event.name else 0.09)
    for arousal in arousals:
        if arousal.cause not in ("obstructive apnea", "central apnea", "mixed apnea", "hypopnea"):  # those raced above
            _race(swing, round(arousal.start_s * GRID_HZ), 0.12)
    rate = subject.heart_rate_bpm * (1 + change + uniform_filter1d(swing, round(GRID_HZ)))
    rate = np.clip(rate, 36, 150).astype(np.float32)
    count = np.cumsum(rate, dtype=np.float64) / 60.0 / GRID_HZ
    beats = np.interp(np.arange(1, int(count[-1])), count, (np.arange(n) + 1) / GRID_HZ)
    return Heart(rate, beats)


def _race(swing: Floats, at: int, height: float) -> None:
    """Adds a rise that peaks 5 s after `at` and is over within 20 s."""
    t = np.arange(round(20 * GRID_HZ), dtype=np.float32) / GRID_HZ
    over = swing[at : at + len(t)]
    over += (height * (t / 5) * np.exp(1 - t / 5))[: len(over)]


def render_ecg(heart: Heart, breath: Breath, rng: np.random.Generator, rate_hz: float) -> Floats:
    """One lead in mV: a P-QRS-T for each beat, its height and baseline moved by breathing."""
    n = round(len(heart.rate_per_min) / GRID_HZ * rate_hz)
    grid = (np.arange(len(breath.effort)) + 1) / GRID_HZ
    chest = np.interp(heart.beats_s, grid, breath.effort * np.sin(breath.phase)).astype(np.float32)
    before, length = 0.32, int(0.80 * rate_hz)
    first = np.ceil((heart.beats_s - before) * rate_hz).astype(np.int64)
    t = ((first[:, None] + np.arange(length)) / rate_hz - heart.beats_s[:, None]).astype(np.float32)
    spacing = np.sqrt(np.diff(heart.beats_s, append=heart.beats_s[-1] + 1)).astype(np.float32)[:, None]
    beat = np.zeros_like(t)
    for offset, width, height in constants("heart")["waves"]:
        centre = offset * spacing if offset > 0.1 else offset  # T follows the RR interval as QT does
        reach = 0.25 if offset > 0.1 else 5 * width  # beyond it the wave is nothing
        near = slice(max(0, int((before + offset - reach) * rate_hz)), int((before + offset + reach) * rate_hz) + 2)
        beat[:, near] += np.float32(height) * np.exp(-0.5 * ((t[:, near] - centre) / np.float32(width)) ** 2)
    beat *= (1 + 0.07 * chest)[:, None]
    ecg = np.float32(0.012) * rng.standard_normal(n + 2 * length, np.float32)
    for turn in (0, 1):  # neighbouring beats overlap, every other one does not
        ecg[(first[turn::2, None] + length + np.arange(length)).ravel()] += beat[turn::2].ravel()
    ecg = ecg[length : length + n]
    moved = np.interp(np.arange(n) / rate_hz, grid, 0.04 * breath.effort * np.cos(breath.phase))
    lead: Floats = ecg + moved.astype(np.float32)
    return lead


def rate_channel(heart: Heart) -> NDArray[np.int16]:
    """Heart rate at 1 Hz in whole beats per minute, averaged over 5 s as monitors do."""
    seconds = heart.rate_per_min.reshape(-1, round(GRID_HZ)).mean(axis=1)
    rate: NDArray[np.int16] = np.rint(uniform_filter1d(seconds, 5)).astype(np.int16)
    return rate
