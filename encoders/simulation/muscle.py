"""The muscles: chin and leg EMG with tone, atonia, twitches and bursts."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.simulation.draws import (
    REM,
    Floats,
    TruthEvent,
    W,
    by_stage,
    constants,
    on_grid,
    wander,
)

GRID_HZ = 10.0


def render_muscle(
    rng: np.random.Generator, signal: str, rate_hz: float, stages: NDArray[np.int8], arousals: list[TruthEvent],
    turns: list[TruthEvent], limbs: list[TruthEvent],
) -> Floats:  # fmt: skip
    """Chin (`emg_chin`) or leg (`emg_leg_l`, `emg_leg_r`, `emg_legs`) EMG in uV."""
    chin = signal == "emg_chin"
    tone = on_grid(by_stage(constants("muscle")["chin_uv"])[stages], GRID_HZ, 4.0)
    if not chin:
        tone = 2.0 + 0.15 * tone
    n = len(tone)
    awake = on_grid(stages == W, GRID_HZ, 4.0)
    level = tone * np.exp((0.12 + 0.35 * awake) * wander(rng, n, GRID_HZ, 4.0))
    if chin:  # twitches of REM sleep: a tenth of a second to a few, in clusters
        rem = on_grid(stages == REM, GRID_HZ)
        twitching = (wander(rng, n, GRID_HZ, 20.0) > 1.2) & (rng.random(n, np.float32) < 0.10)
        level += rem * uniform_filter1d(twitching.astype(np.float32), 3) * rng.uniform(3, 12)
    bursts = [(a, rng.uniform(2.5, 5.0)) for a in arousals] + [(t, rng.uniform(5, 10)) for t in turns]
    if not chin:
        bursts = [(a, 1.0 + 0.3 * gain) for a, gain in bursts] + [(m, rng.uniform(8, 20)) for m in limbs]
    for event, gain in bursts:
        first = round(event.start_s * GRID_HZ)
        over = slice(first, max(first + 1, round(event.stop_s * GRID_HZ)))
        level[over] = np.maximum(level[over] * gain, 4.0 * gain if chin else level[over])
    samples = round(n / GRID_HZ * rate_hz)
    white = rng.standard_normal(samples + 1, np.float32)
    noise = (white[1:] - np.float32(0.6) * white[:-1]) / np.float32(1.36**0.5)  # amplifiers pass little below 10 Hz
    grid = (np.arange(n) + 0.5) / GRID_HZ
    emg: Floats = (noise * np.interp(np.arange(samples) / rate_hz, grid, level)).astype(np.float32)
    return emg
