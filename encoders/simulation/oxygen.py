"""The blood's oxygen: what is not breathed is taken from the lungs' and the blood's stores, one circulation time later.

The stores are small where the curve of dissociation is flat and large where it is steep, so a fall begins slowly and
deepens with the event's length, and a low baseline falls faster.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_closing, grey_opening, uniform_filter1d

from encoders.simulation.draws import REM, Floats, TruthEvent, W, constants, on_grid, wander
from encoders.simulation.people import Subject

GRID_HZ = 8.0  # of ventilation; oxygen itself is at 1 Hz
DESATURATION_PCT = 3  # AASM 2012: 3 % or more
BEFORE_S = 20  # the level it fell from is the highest of so long before it should begin to fall; ours
LONGEST_S = 60  # of a recovery; ours
HELD_S = 5  # a reading counts when it stood longer than the average it comes from, so that no blip counts; ours


def saturation(pressure_mmhg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of haemoglobin that carries oxygen at that partial pressure: Severinghaus, J Appl Physiol 1979; 46:599."""
    x = pressure_mmhg**3 + 150 * pressure_mmhg
    return x / (x + 23400)


def draw_oxygen(
    rng: np.random.Generator, subject: Subject, stages: NDArray[np.int8], flow: Floats, rate_per_min: Floats
) -> Floats:
    """Saturation at the finger at 1 Hz in per cent; `flow` and `rate_per_min` are on `GRID_HZ`."""
    facts = constants("breathing")["oxygen"]
    dead = facts["dead_space"]
    alveolar = np.clip((flow - dead) / (1 - dead), 0, None) * (rate_per_min / subject.breathing_per_min)
    breathed = alveolar.reshape(-1, round(GRID_HZ)).mean(axis=1)
    awake, rem = on_grid(stages == W, 1.0, 8.0), on_grid(stages == REM, 1.0, 8.0)
    breathed /= 1 + facts["awake_uptake"] * awake  # who uses more breathes more: awake, saturation is no higher
    scale = np.linspace(20.0, 130.0, 2201)
    rest = float(np.interp(subject.spo2_pct / 100, saturation(scale), scale))
    uptake = facts["uptake_ml_per_s"]
    gain = uptake / (facts["inspired_mmhg"] - rest)
    swing = subject.desaturation_gain * (1 + (facts["rem_deeper"] - 1) * rem)
    lungs, blood, inspired = facts["lungs_ml_per_mmhg"], facts["blood_ml"], facts["inspired_mmhg"]
    drive = facts["hypoxic_drive"]
    pressure, course = rest, []
    for breath, faster in zip(breathed.tolist(), swing.tolist(), strict=True):
        x = pressure * (pressure * pressure + 150)
        slope = 23400 * (3 * pressure * pressure + 150) / (x + 23400) ** 2
        # Want of oxygen deepens the breaths, but a narrow airway lets no more through.
        urged = breath * (1 + drive * max(0.0, 1 - pressure / rest)) if breath > 0.9 else breath
        pressure += faster * (urged * gain * (inspired - pressure) - uptake) / (lungs + blood * slope)
        pressure = max(pressure, 18.0)
        course.append(pressure)
    late = round(subject.circulation_s) - facts["oximeter_s"] // 2 - 1  # the sensor's share comes on top
    late_pct = 100 * saturation(np.concatenate([np.full(late, rest), course])[: len(course)])
    arterial = np.minimum(late_pct + facts["wander_pct"] * wander(rng, len(course), 1.0, 600.0), 99.4)
    spread: Floats = uniform_filter1d(arterial, 3).astype(np.float32)  # blood mixes on its way
    return spread


def read_oximeter(oxygen_pct: Floats) -> NDArray[np.int16]:
    """What the oximeter shows each second: the mean of its last seconds in whole per cents."""
    over = constants("breathing")["oxygen"]["oximeter_s"]
    shown: NDArray[np.int16] = np.rint(uniform_filter1d(oxygen_pct, over, origin=(over - 1) // 2)).astype(np.int16)
    return shown.clip(40, 100)


def fall_window(event: TruthEvent, subject: Subject) -> tuple[float, float]:
    """Seconds between which a desaturation that belongs to `event` begins."""
    return event.start_s + subject.circulation_s - BEFORE_S, event.stop_s + subject.circulation_s + 6.0


def find_desaturations(subject: Subject, events: list[TruthEvent], spo2: NDArray[np.int16]) -> list[TruthEvent]:
    """Falls of 3 % or more in the oximeter's steps, from where the fall begins to where two thirds are made good.

    Both levels are ones that the oximeter showed for `HELD_S`. Each fall names as its cause the apnea or hypopnea that
    it follows by the circulation time.
    """
    high, low = grey_opening(spo2, HELD_S), grey_closing(spo2, HELD_S)
    found: list[TruthEvent] = []
    lag, done = subject.circulation_s, 0
    holding = [event for event in events if event.name != "RERA"]
    for i, event in enumerate(holding):
        begin = max(done, int(event.start_s + lag) + 1 - BEFORE_S)
        turn = int(event.stop_s + lag) - 3
        if turn >= len(spo2) or begin >= turn:
            continue
        following = int(holding[i + 1].start_s + lag) if i + 1 < len(holding) else len(spo2)
        nadir = turn + int(np.argmin(low[turn : min(turn + 17, following + 6, int(event.stop_s) + 40)]))
        early = high[begin : max(begin + 1, min(begin + BEFORE_S + 8, nadir))]
        top = begin + len(early) - 1 - int(np.argmax(early[::-1]))  # the last of its highest readings
        drop = int(high[top]) - int(low[nadir])
        if drop < DESATURATION_PCT:
            continue
        until = min(following, nadir + LONGEST_S)
        back = np.flatnonzero(low[nadir:until] >= low[nadir] + 2 / 3 * drop)
        stop = nadir + (int(back[0]) if len(back) else max(1, until - nadir))
        again = np.flatnonzero(spo2[nadir:stop] < low[nadir])  # what falls deeper later is not this event's
        stop = nadir + int(again[0]) - 1 if len(again) else stop
        lowest = float(spo2[top : stop + 1].min())
        found.append(TruthEvent("desaturation", float(top), float(stop), lowest, event.name, float(drop)))
        done = stop
    return found
