"""The eyes: blinks and saccades of wake, slow rolling of drowsiness, rapid eye movements, and the EEG that leaks in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import N1, N2, Floats, TruthEvent, W, add_waves, on_grid, stream, wander
from encoders.vocabulary import EPOCH_S

GRID_HZ = 8.0
LEAK = 0.45  # of the central EEG; frontal waves reach the eyes' electrodes in phase


def render_eyes(
    key: tuple[int | str, ...], stages: NDArray[np.int8], elements: Sequence[TruthEvent], leak: Floats, rate_hz: int
) -> tuple[Floats, Floats]:
    """E1 and E2 in uV against M2, E1 below the left and E2 above the right canthus (AASM), so that they go apart.

    `leak` is the EEG at `rate_hz`, the same length as the result.
    """
    rng = stream(*key, "eyes")
    n = len(leak)
    across, upward = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for name, field, height, tau in (
        ("saccade", across, 60.0, 0.30), ("rapid eye movement", across, 85.0, 0.30), ("blink", upward, 130.0, 0.0),
    ):  # fmt: skip
        chosen = [e for e in elements if e.name == name]
        size = (height * rng.lognormal(0, 0.3, len(chosen))).astype(np.float32)
        if tau:
            size *= rng.choice(np.array([-1, 1], np.float32), len(chosen))

        def wave(i: int, t: Floats, size: Floats = size, tau: float = tau) -> Floats:
            # A step of the eye as an AC-coupled amplifier shows it, up within 50 ms and back; or a lid that falls.
            step = (1 - np.exp(-t / 0.022)) * np.exp(-0.5 * (t / tau) ** 2) if tau else None
            shape: Floats = np.exp(-0.5 * ((t - 0.14) / 0.055) ** 2) if step is None else step
            shape *= size[i]
            return shape

        add_waves(field, rate_hz, chosen, wave)
    # Slow rolling: sinusoids of 2 to 4 s, in N1 and in drowsy wake just before it.
    drowsy = (stages == N1) | ((stages == W) & (np.roll(stages, -1) == N1))
    grid = round(len(stages) * EPOCH_S * GRID_HZ)
    turn = 2 * np.pi * np.cumsum(0.32 + 0.05 * wander(rng, grid, GRID_HZ, 8.0), dtype=np.float64) / GRID_HZ
    swell = np.clip(0.8 + 0.5 * wander(rng, grid, GRID_HZ, 12.0), 0, 1.6)
    rolling = 48 * on_grid(drowsy, GRID_HZ, 6.0) * swell * np.sin(turn)
    rolling += 6 * on_grid(stages <= N2, GRID_HZ, 6.0) * wander(rng, grid, GRID_HZ, 2.0)
    across += np.interp(np.arange(n) / rate_hz, (np.arange(grid) + 0.5) / GRID_HZ, rolling).astype(np.float32)
    noise = [np.float32(2.0) * stream(*key, "eye noise", side).standard_normal(n, np.float32) for side in ("E1", "E2")]
    return across - 0.35 * upward + LEAK * leak + noise[0], -across + upward + LEAK * leak + noise[1]
