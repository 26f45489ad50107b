"""The breathing sensors: cannula, thermistor, belts and microphone."""

import numpy as np

from encoders.simulation.breathing import Breath
from encoders.simulation.draws import (
    Floats,
    wander,
)
from encoders.simulation.oxygen import GRID_HZ
from encoders.simulation.people import Subject


def render_breathing(breath: Breath, rng: np.random.Generator, signal: str, rate_hz: float, subject: Subject) -> Floats:
    """One breathing signal in arbitrary units around 1; `signal` is a canonical id of the channel table."""
    n = round(len(breath.flow) / GRID_HZ * rate_hz)
    at = np.arange(n) / rate_hz
    grid = (np.arange(len(breath.flow)) + 1) / GRID_HZ

    def gain(values: Floats) -> Floats:
        return np.interp(at, grid, values).astype(np.float32)

    made: Floats
    turned = np.interp(at, grid, breath.phase)
    # Expiration lasts longer than inspiration (about 1 : 1.5).
    phase: Floats = np.mod(turned + 0.35 * np.cos(turned), 2 * np.pi).astype(np.float32)
    if signal == "snore":
        loud = gain(breath.snore) * np.maximum(np.sin(phase), 0) ** 2
        made = (0.02 + loud) * rng.standard_normal(n, np.float32)
        return made
    noise = np.float32(0.012) * rng.standard_normal(n, np.float32)
    if signal in ("thorax", "abdomen"):
        share, turn = (0.9, 0.0) if signal == "thorax" else (1.1, 0.8 * np.pi * gain(breath.paradox))
        drift = 0.05 * np.interp(at, np.arange(0, at[-1] + 60, 30), wander(rng, int(at[-1] / 30) + 3, 1.0, 6.0))
        made = (-share * gain(breath.effort) * np.cos(phase - turn) + drift + noise).astype(np.float32)
        return made
    airflow = np.sin(phase)
    if signal == "nasal_pressure":
        limit = 1 - 0.55 * gain(breath.flattened)
        airflow = np.minimum(airflow, limit)
        airflow = np.sign(airflow) * np.abs(airflow) ** 1.5  # pressure grows faster than flow: not square-rooted here
        made = gain(breath.flow) ** 1.5 * airflow + noise
        return made
    # A thermistor follows warmth, not volume: it lags, and shows a hypopnea smaller than it is.
    gains = gain(breath.flow)
    made = np.where(gains < 0.15, gains, gains**0.8) * np.sin(phase - 0.4) + noise
    return made
