"""The breathing sensors: cannula, thermistor, belts and microphone, each with its own way of not telling the truth."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from encoders.simulation.draws import REM, Floats, constants, on_grid, stream, wander
from encoders.simulation.night import Night
from encoders.simulation.oxygen import GRID_HZ


def render_breathing(night: Night, rng: np.random.Generator, signal: str, rate_hz: float) -> Floats:
    """One breathing signal in arbitrary units around 1; `signal` is a canonical id of the channel table.

    What turning over does to a sensor is `movement.disturb`'s.
    """
    n = round(night.duration_s * rate_hz)
    noise = rng.standard_normal(n, np.float32)
    if signal == "snore":
        cycle, hold = _cycles(night, n, rate_hz)
        inspires = np.sin(np.float32(np.pi) * np.minimum(cycle / night.breath.inspired[hold], 1))
        made: Floats = (np.float32(0.02) + night.breath.snore[hold] * inspires**2) * noise
        return made
    if signal in ("thorax", "abdomen"):
        made = _belt(night, signal, n, rate_hz)
    elif signal == "nasal_pressure":
        made = _cannula(night, n, rate_hz, noise)
    else:
        made = _thermistor(night, n, rate_hz)
    made += np.float32(constants("breathing")["sensors"]["noise"]) * noise
    return made


def _cycles(
    night: Night, n: int, rate_hz: float, lag: NDArray[np.floating] | float = 0.0
) -> tuple[Floats, NDArray[np.intp]]:
    """Where in its breath each sample lies, from 0 to 1 and `lag` behind, and its place on the breath's grid.

    Indexing the grid with the place holds its values, which is enough for what changes slowly or with the breath.
    """
    grid = night.breath.phase / (2 * np.pi) - lag
    at = np.arange(n) * (GRID_HZ / rate_hz)
    turns = np.interp(at, np.arange(1, len(grid) + 1), grid)
    return (turns - np.floor(turns)).astype(np.float32), np.minimum(at.astype(np.intp), len(grid) - 1)


def _bend(cycle: Floats, share: Floats, early: float) -> Floats:
    """From 0 to 1 over the inspiration and to 2 over the expiration, which hurries at first and ends in a pause."""
    out = (cycle - share) / (1 - share)
    bent: Floats = np.where(cycle < share, cycle / share, 1 + out * (np.float32(early) - np.float32(early - 1) * out))
    return bent


def _gain(values: Floats, n: int, rate_hz: float) -> Floats:
    """Values of the breath's grid at the samples, without steps."""
    at = np.arange(n) * (GRID_HZ / rate_hz)
    smooth: Floats = np.interp(at, np.arange(1, len(values) + 1), values).astype(np.float32)
    return smooth


def _airflow(night: Night, n: int, rate_hz: float) -> tuple[Floats, NDArray[np.intp]]:
    """Flow through nose and mouth, inspiration up, its peak `Breath.flow`, and each sample's place on the grid."""
    cycle, hold = _cycles(night, n, rate_hz)
    share = night.breath.inspired[hold]
    wave = np.sin(np.float32(np.pi) * _bend(cycle, share, 1.7))
    limit = 1 - np.float32(0.5) * night.breath.flattened[hold]  # limited inspirations have a plateau
    wave = np.where(cycle < share, np.minimum(wave, limit) / limit, np.float32(0.75) * wave)
    return wave * _gain(night.breath.flow, n, rate_hz), hold


def _pulse(night: Night, n: int, rate_hz: float) -> Floats:
    """A wave of about unit height with each heart beat."""
    beats = night.heart.beats_s
    turns = np.interp(np.arange(n) / rate_hz, beats, np.arange(len(beats)))
    wave: Floats = np.sin(np.float32(2 * np.pi) * (turns - np.floor(turns)).astype(np.float32))
    return wave + wave * np.abs(wave)


def _cannula(night: Night, n: int, rate_hz: float, noise: Floats) -> Floats:
    """Pressure at the nostrils goes with the square of the flow and knows nothing of the mouth; snoring rides on it."""
    facts = constants("breathing")["sensors"]
    flow, hold = _airflow(night, n, rate_hz)
    # Farre et al., Am J Respir Crit Care Med 2001; 163:494: flow is the square root of the prongs' pressure.
    made: Floats = flow * np.abs(flow) * (1 - _mouth(night)[hold])
    if rate_hz >= 50:
        made += np.float32(0.25) * night.breath.snore[hold] * np.maximum(flow, 0) * noise
    made += np.float32(facts["cannula_pulse"]) * _pulse(night, n, rate_hz)
    return made


def _mouth(night: Night) -> Floats:
    """What the cannula loses to the mouth, on the breath's grid: spells of minutes in some sleepers."""
    facts, rng = constants("breathing")["sensors"], stream(*night.key, "mouth")
    share = np.zeros(len(night.breath.flow), np.float32)
    per_hour = rng.lognormal(*facts["mouth_spells_log_per_hour"])
    for start in rng.uniform(0, night.duration_s, rng.poisson(per_hour * night.duration_s / 3600)):
        stop = start + rng.lognormal(*facts["mouth_log_s"])
        share[round(start * GRID_HZ) : round(stop * GRID_HZ)] = rng.uniform(*facts["mouth_share"])
    eased: Floats = uniform_filter1d(share, round(15 * GRID_HZ))
    return eased


def _thermistor(night: Night, n: int, rate_hz: float) -> Floats:
    """Follows warmth, not volume: it lags, is soon saturated and so shows a hypopnea smaller than it is."""
    facts, rng = constants("breathing")["sensors"], stream(*night.key, "thermistor")
    flow, hold = _airflow(night, n, rate_hz)
    steep = np.float32(facts["thermistor_saturates"])
    keep = float(np.exp(-1 / (facts["thermistor_s"] * rate_hz)))
    made = lfilter([1 - keep], [1, -keep], np.tanh(steep * flow) / np.tanh(steep))
    warm, slow = (wander(rng, len(night.breath.flow), GRID_HZ, over_s) for over_s in (600.0, 60.0))
    made *= (1 + np.float32(facts["thermistor_gain_sd"]) * warm)[hold]
    made += (np.float32(facts["thermistor_drift"]) * slow)[hold]
    return np.asarray(made, np.float32)


def _belt(night: Night, signal: str, n: int, rate_hz: float) -> Floats:
    """Excursion above the resting level; belts differ in reach and time, by sleeper, by position and when opposed."""
    facts, rng = constants("breathing")["sensors"], stream(*night.key, "belts")
    breath, chest = night.breath, signal == "thorax"
    reach = np.exp(rng.normal(0, facts["belt_reach_log_sd"], 2))[0 if chest else 1]
    bout = np.cumsum(np.diff(night.positions, prepend=night.positions[:1]) != 0)
    delay = facts["belt_lag"] * (rng.standard_normal() + 0.7 * rng.standard_normal(int(bout[-1]) + 1))
    # In REM sleep the intercostal muscles are slack and the diaphragm breathes alone.
    slack = np.float32(facts["rem_ribs"]) * on_grid(night.stages == REM, GRID_HZ, 10.0)
    depth = np.float32(reach) * (1 - slack if chest else 1 + np.float32(0.3) * slack)
    lag = 0.0 if chest else on_grid(delay[bout], GRID_HZ, 5.0) + np.float32(facts["opposed"]) * breath.paradox
    cycle, hold = _cycles(night, n, rate_hz, lag)
    bent = _bend(cycle, breath.inspired[hold], 1.35)
    made: Floats = (1 - np.cos(np.float32(np.pi) * bent)) * _gain(breath.effort * depth, n, rate_hz)
    drift = wander(stream(*night.key, "drift", signal), len(breath.flow), GRID_HZ, 90.0)
    made += (np.float32(facts["belt_drift"]) * drift - np.float32(0.85) * depth)[hold]
    made += np.float32(facts["belt_pulse"]) * _pulse(night, n, rate_hz)
    return made
