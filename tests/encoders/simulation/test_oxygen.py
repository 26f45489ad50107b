"""The blood's oxygen follows what was not breathed: later, deeper the longer it lasts, and in the oximeter's steps."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import grey_closing, grey_opening

from encoders.simulation.draws import N2, REM, Floats, TruthEvent, stream
from encoders.simulation.night import Night
from encoders.simulation.oxygen import GRID_HZ, HELD_S, draw_oxygen, find_desaturations, read_oximeter, saturation
from encoders.simulation.people import Subject, draw_subject

PLAIN = replace(
    draw_subject(1, 0), desaturation_gain=1.0, spo2_pct=96.0, circulation_s=20.0, breathing_per_min=15.0
)  # fmt: skip
START_S = 300


def after(length_s: float, left: float, subject: Subject = PLAIN, stage: int = N2) -> Floats:
    """Saturation through one event at `START_S` that leaves `left` of the flow, in quiet sleep of ten minutes."""
    flow = np.ones(round(600 * GRID_HZ), np.float32)
    flow[round(START_S * GRID_HZ) : round((START_S + length_s) * GRID_HZ)] = left
    flow[round((START_S + length_s) * GRID_HZ) :][: round(10 * GRID_HZ)] = 1.3
    stages = np.full(20, stage, np.int8)
    return draw_oxygen(stream(1, "oxygen"), subject, stages, flow, np.full_like(flow, 15.0))


def fall(oxygen_pct: Floats) -> float:
    return float(oxygen_pct[START_S] - oxygen_pct[START_S:].min())


def held_falls(saturation_pct: NDArray[np.floating], least_pct: float) -> int:
    """How often it falls by `least_pct` from its last high to a low from which it then rises 2 %."""
    count, high, low, down = 0, saturation_pct[0], 0.0, False
    for value in saturation_pct.tolist():
        if not down:
            high = max(high, value)
            down, low = high - value >= least_pct, value
        else:
            low = min(low, value)
            if value - low >= 2:
                count, down, high = count + 1, False, value
    return count


def test_the_curve_of_dissociation_passes_its_known_points() -> None:
    at = saturation(np.array([26.86, 40.0, 60.0, 100.0]))
    assert at == pytest.approx([0.5, 0.75, 0.9, 0.975], abs=0.012)  # P50, mixed venous, the shoulder, arterial blood


def test_a_longer_event_falls_faster_as_it_goes_on() -> None:
    short, middle, long = (fall(after(s, 0.0)) for s in (12, 24, 48))
    assert 1.5 < short < middle < long < 35
    assert middle > 2 * short and long > 1.7 * middle
    assert 4 < fall(after(25, 0.0)) < 9  # three scored NSRR nights: 6 to 8 % for apneas of 20-30 s


def test_apneas_fall_deeper_than_hypopneas_and_small_stores_deeper_than_large() -> None:
    usual = fall(after(25, 0.02))
    assert usual > 1.3 * fall(after(25, 0.45)) > 1.3 * fall(after(25, 0.7))
    assert usual > 1.5 * fall(after(25, 0.02, replace(PLAIN, desaturation_gain=0.6)))
    assert usual < 0.85 * fall(after(25, 0.02, replace(PLAIN, spo2_pct=93.0)))
    assert usual < 0.95 * fall(after(25, 0.02, stage=REM))


def test_the_nadir_comes_one_circulation_time_after_the_end_and_is_made_good_within_a_minute() -> None:
    oxygen = after(30, 0.0)
    nadir = int(np.argmin(oxygen))
    assert 10 <= nadir - (START_S + 30) <= 40
    assert abs(nadir - (START_S + 30) - PLAIN.circulation_s) <= 4
    assert oxygen[nadir + 60] > oxygen[START_S] - 1


def test_quiet_breathing_desaturates_nobody(nights: list[Night]) -> None:
    assert np.ptp(after(0, 1.0)) < 2
    seen = planned = 0
    for night in nights:
        seen += held_falls(grey_closing(grey_opening(night.breath.spo2_pct, HELD_S), HELD_S), 3)
        planned += len(night.breath.desaturations)
    hours = sum(night.duration_s for night in nights) / 3600
    assert (seen - planned) / hours < 1.0 and planned > 100


def test_the_oximeter_shows_whole_steps_of_an_average_that_comes_late() -> None:
    oxygen = after(30, 0.0)
    shown = read_oximeter(oxygen)
    assert shown.dtype == np.int16 and np.abs(shown[2:] - oxygen[1:-1]).max() < 1.6
    step = read_oximeter(np.repeat([96.0, 90.0], 30).astype(np.float32))
    assert step[29] == 96 and step[30] > 90 and step[32] == 90


def test_one_detector_counts_as_many_falls_in_the_blood_as_on_the_oximeter(nights: list[Night]) -> None:
    for least in (3, 4):
        blood, shown = (
            sum(held_falls(getattr(night.breath, name), least) for night in nights)
            for name in ("oxygen_pct", "spo2_pct")
        )
        assert shown / blood == pytest.approx(1, abs=0.15) and blood > 100


def test_a_desaturation_says_its_drop_and_its_cause() -> None:
    spo2 = read_oximeter(after(30, 0.0))
    apnea = TruthEvent("obstructive apnea", float(START_S), START_S + 30.0)
    (found,) = find_desaturations(PLAIN, [apnea], spo2)
    during = spo2[int(found.start_s) : int(found.stop_s) + 1]
    assert found.cause == "obstructive apnea" and found.spo2_min_pct == during.min()
    assert found.drop_pct == during[0] - during.min() >= 3
    assert find_desaturations(PLAIN, [replace(apnea, name="RERA")], spo2) == []
    assert find_desaturations(PLAIN, [apnea], read_oximeter(after(10, 0.6))) == []


def test_desaturations_of_a_night_follow_each_other(nights: list[Night]) -> None:
    for night in nights:
        falls = night.named("desaturation")
        assert all(a.stop_s <= b.start_s for a, b in pairwise(falls))
        assert all(fall.drop_pct is not None and fall.drop_pct >= 3 for fall in falls)
