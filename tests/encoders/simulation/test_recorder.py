"""The recorder: filters that settle at once, the units and range of its header, and what it computes of others."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.recorder import record
from encoders.simulation.render import render
from encoders.simulation.sites import amplify, prefilter, sensors, site_facts


@pytest.fixture(scope="module")
def night() -> Night:
    return plan_night(3, draw_subject(3, 1), 1, 0, 30)


def recorded(night: Night, signals: list[list[Any]], **more: Any) -> dict[str, np.ndarray]:
    """Physical values by label."""
    made, _ = record(night, {"kind": "EDF", "signals": signals, **more})
    return {s.label: s.samples * float(s.physical_max or 0) / float(s.digital_max or 1) for s in made}


def gain_at(hz: float, text: str, rate: int = 256) -> float:
    """Of a sine, after the filter has settled."""
    wave = np.sin(2 * np.pi * hz * np.arange(60 * rate) / rate).astype(np.float32)
    return float(np.abs(amplify(wave, rate, text)[30 * rate :]).max())


@pytest.mark.parametrize(
    ("hz", "text", "gain"),
    [(0.3, "HP:0.3Hz LP:35Hz", 0.71), (35, "HP:0.3Hz LP:35Hz", 0.71), (5, "HP:0.3Hz LP:35Hz", 1.0),
     (0.03, "HP:0.3Hz", 0.1),
     (50, "N:50Hz", 0.0), (45, "N:50Hz", 1.0), (90, "LP:120Hz", 1.0),
     (5, "", 1.0), (0.5, "HP:0.5Hz LP:100Hz [x]", 0.71)],
)  # fmt: skip
def test_a_filter_passes_what_its_words_say(hz: float, text: str, gain: float) -> None:
    assert gain_at(hz, text) == pytest.approx(gain, abs=0.03)


def test_a_filter_starts_settled_and_stays_single_precision() -> None:
    level = np.full(25_600, 80.0, np.float32)
    assert np.abs(amplify(level, 256, "HP:0.15Hz LP:70Hz N:60Hz")).max() < 1e-2
    low = amplify(level, 256, "LP:35Hz N:50Hz")
    assert np.abs(low - 80).max() < 1e-2 and low.dtype == np.float32


def test_units_carry_the_same_signal(night: Night) -> None:
    made = {unit: recorded(night, [["x", "eeg_c3_m2", 64, unit, limit], ["y", "ecg", 64, unit, 8 * limit]])
            for unit, limit in (("uV", 400), ("mV", 0.4), ("V", 0.0004), ("", 400))}  # fmt: skip
    for unit, factor in (("mV", 1e3), ("V", 1e6), ("", 1.0)):
        for label in "xy":
            assert np.abs(made[unit][label] * factor - made["uV"][label]).max() < 0.2
    assert 500 < np.percentile(made["uV"]["y"], 99.9) < 3000  # an R wave in uV


def test_what_a_recorder_computes_is_made_of_its_parts(night: Night) -> None:
    made = recorded(night, [
        ["L", "eog_l", 100, "uV", 2000], ["R", "eog_r", 100, "uV", 2000], ["H", "eog_h", 100, "uV", 2000],
        ["T", "thorax", 10, "", 8], ["A", "abdomen", 10, "", 8], ["S", "effort_sum", 10, "", 8],
        ["E", "emg_chin_envelope", 1, "uV", 200],
    ])  # fmt: skip
    assert np.abs(made["L"] - made["R"] - made["H"]).max() < 0.2
    assert np.abs(made["T"] + made["A"] - made["S"]).max() < 1e-2
    chin = amplify(render(night, {"emg_chin": 100})["emg_chin"], 100, "HP:16Hz")
    level = np.abs(chin).reshape(-1, 100).mean(axis=1)
    assert (made["E"] >= -0.01).all() and np.abs(np.minimum(level, 200) - made["E"]).max() < 0.02


def test_no_signal_depends_on_which_others_are_recorded(night: Night) -> None:
    site = site_facts()["ccshs-like"]
    every, _ = record(night, site)
    alone, _ = record(night, {**site, "signals": [row for row in site["signals"] if row[0] in ("C3", "EMG3", "SpO2")]})
    by_label = {s.label: s.samples for s in every}
    for signal in alone:
        assert np.array_equal(by_label[signal.label], signal.samples)


@pytest.mark.parametrize("site", list(site_facts()))
def test_the_header_says_what_was_filtered_and_the_range_is_not_left(site: str, night: Night) -> None:
    facts = site_facts()[site]
    made, seconds = record(replace(night), facts)
    assert seconds == list(range(round(night.duration_s)))
    for signal, sensor in zip(made, sensors(facts), strict=True):
        assert (signal.label, signal.rate_hz, signal.unit) == (sensor.label, sensor.rate_hz, sensor.unit)
        assert signal.prefilter == prefilter(facts, sensor) and len(signal.prefilter) <= 80
        assert signal.samples.dtype == np.int16 and len(signal.samples) == night.duration_s * sensor.rate_hz
        if sensor.limit and sensor.family != "snore":
            assert np.mean(np.abs(signal.samples.astype(int)) > 32700) < 0.01
            assert np.abs(signal.samples.astype(int)).max() > 200  # and it is used
