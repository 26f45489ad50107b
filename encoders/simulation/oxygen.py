"""The blood's oxygen: what was not breathed is missing one circulation time later."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from encoders.simulation.draws import (
    Floats,
    TruthEvent,
    wander,
)
from encoders.simulation.people import Subject

GRID_HZ = 8.0  # of ventilation; oxygen itself is at 1 Hz
DESATURATION_PCT = 3  # AASM 2012: 3 % or more
NADIR_SEARCH_S = 14  # after the circulation time, before the next event's fall can be taken for this one's


def draw_oxygen(rng: np.random.Generator, subject: Subject, flow: Floats) -> NDArray[np.float64]:
    """Saturation at 1 Hz in per cent: what was not breathed is missing one circulation time later, and is made good."""
    ventilation = flow.reshape(-1, round(GRID_HZ)).mean(axis=1)
    lack = np.clip(1 - uniform_filter1d(ventilation, 3), -0.35, 1.0)
    lack[np.abs(lack) < 0.25] = 0.0  # the ordinary unevenness of breathing moves nothing
    lack = np.concatenate([np.zeros(round(subject.circulation_s)), lack])[: len(lack)]
    keep = np.exp(-1 / 22.0)  # recovery within about 22 s; ours
    missing = lfilter([0.46 * subject.desaturation_gain], [1, -keep], lack)
    level = subject.spo2_pct + 0.35 * wander(rng, len(lack), 1.0, 300.0)
    oxygen: NDArray[np.float64] = uniform_filter1d(np.minimum(level - missing, level + 0.6), 3)
    return oxygen


def find_desaturations(
    subject: Subject, events: list[TruthEvent], oxygen: NDArray[np.float64], spo2: NDArray[np.int16]
) -> list[TruthEvent]:
    """Falls of 3 % or more in the oximeter's steps, from where the fall begins to where two thirds are made good."""
    found: list[TruthEvent] = []
    lag = subject.circulation_s
    for i, event in enumerate(events):
        begin = max(0, int(event.start_s + lag) - 4)
        turn = int(event.stop_s + lag) - 3
        if turn >= len(spo2):
            continue
        nadir = turn + int(np.argmin(oxygen[turn : turn + 3 + NADIR_SEARCH_S]))
        top = begin + int(np.argmax(oxygen[begin : begin + 8]))
        drop = int(spo2[top]) - int(spo2[nadir])
        if drop < DESATURATION_PCT:
            continue
        until = int(events[i + 1].start_s + lag) if i + 1 < len(events) else len(spo2)
        back = np.flatnonzero(oxygen[nadir:until] >= oxygen[nadir] + 2 / 3 * (oxygen[top] - oxygen[nadir]))
        stop = nadir + (int(back[0]) if len(back) else max(1, until - nadir))
        lowest = float(spo2[top : stop + 1].min())
        found.append(TruthEvent("desaturation", float(top), float(max(stop, nadir + 1)), lowest, event.name))
    return found
