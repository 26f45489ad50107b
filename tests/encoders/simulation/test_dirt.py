"""Faults of a recording: each shows where and when the truth says so, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.simulation.dirt import Fault, plan_dirt, unseen
from encoders.simulation.draws import TruthEvent, constants
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.recorder import record
from encoders.simulation.scoring import score_night
from encoders.simulation.sites import sensors, site_facts
from encoders.simulation.truth import truth_epochs, truth_events
from encoders.vocabulary import KINDS

SITE = {
    "kind": "EDF+C", "mains_hz": 50, "spo2_off": 127, "scores": KINDS, "filters": {"eeg": "HP:0.3Hz LP:60Hz"},
    "signals": [
        ["C3", "eeg_c3_m2", 128, "uV", 400], ["C4", "eeg_c4_m1", 128, "uV", 400], ["ECG", "ecg", 128, "mV", 3],
        ["Flow", "airflow_therm", 16, "", 4], ["Thor", "thorax", 16, "", 4], ["Abdo", "abdomen", 16, "", 4],
        ["SpO2", "spo2", 1, "%", 0], ["Stat", "oximeter_status", 1, "", 0], ["C3_Off", "off:C3", 1, "", 0],
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def night() -> Night:
    return plan_night(3, draw_subject(3, 2), 2, 0, 40)


def recorded(night: Night, *faults: Fault) -> dict[str, np.ndarray]:
    """Physical values by label."""
    signals, _ = record(night, SITE, faults)
    made = {}
    for s in signals:
        assert s.physical_max is not None and s.digital_max is not None
        made[s.label] = s.samples * (s.physical_max / s.digital_max)
    return made


@pytest.fixture(scope="module")
def clean(night: Night) -> dict[str, np.ndarray]:
    return recorded(night)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def outside(a: np.ndarray, b: np.ndarray, rate: int, start_s: float, stop_s: float, settle_s: float = 6.0) -> float:
    """Largest difference of two signals away from a span."""
    apart = np.abs(a - b)
    before, after = apart[: round(start_s * rate) - rate], apart[round((stop_s + settle_s) * rate) :]
    return float(max(before.max(initial=0), after.max(initial=0)))


def test_an_electrode_that_is_off_is_flat_or_hum_and_flags_itself(night: Night, clean: dict[str, np.ndarray]) -> None:
    for cause, low, high in (("flat", 0.0, 0.02), ("open input: hum and noise", 20.0, 90.0)):
        made = recorded(night, Fault("sensor off", "C3", 300.0, 600.0, cause))
        assert low <= rms(made["C3"][301 * 128 : 599 * 128]) <= high
        assert outside(made["C3"], clean["C3"], 128, 300, 600) < 2.0
        assert made["C3_Off"].sum() == 300 and made["C3_Off"][300:600].all()
        assert np.array_equal(made["C4"], clean["C4"])


def test_an_oximeter_without_a_reading_writes_the_sites_code_and_says_so(
    night: Night, clean: dict[str, np.ndarray]
) -> None:
    made = recorded(night, Fault("dropout", "SpO2", 100.0, 160.0, "no signal"))
    assert (made["SpO2"][100:160] == 127).all() and (clean["SpO2"] <= 100).all()
    assert np.array_equal(np.delete(made["SpO2"], slice(100, 160)), np.delete(clean["SpO2"], slice(100, 160)))
    assert made["Stat"][100:160].all() and made["Stat"].sum() == 60


def test_hum_is_at_the_mains_and_its_harmonics(night: Night, clean: dict[str, np.ndarray]) -> None:
    made = recorded(night, Fault("mains hum", "ECG", 60.0, 900.0, "", 30.0))
    added = (made["ECG"] - clean["ECG"])[60 * 128 : 900 * 128]
    power = np.abs(np.fft.rfft(added)) ** 2
    hz = np.fft.rfftfreq(len(added), 1 / 128)
    assert power[np.abs(hz - 50) < 0.5].sum() > 0.98 * power.sum()
    assert rms(added) == pytest.approx(0.030, rel=0.3)  # ECG is in mV


def test_sweat_and_drift_are_slow_and_pops_fade(night: Night, clean: dict[str, np.ndarray]) -> None:
    made = recorded(
        night, Fault("sweat", "C4", 60.0, 1000.0, "", 40.0), Fault("baseline drift", "Flow", 0.0, 1200.0, "", 0.8)
    )
    sweat, drift = (made["C4"] - clean["C4"])[60 * 128 : 1000 * 128], made["Flow"] - clean["Flow"]
    for added, rate, edge_hz in ((sweat, 128, 1.0), (drift, 16, 0.1)):
        power = np.abs(np.fft.rfft(added * np.hanning(len(added)))) ** 2
        assert power[np.fft.rfftfreq(len(added), 1 / rate) < edge_hz].sum() > 0.95 * power.sum()
    assert 10 < rms(sweat) < 60 and 0.3 < rms(drift) < 1.2  # the amplifier takes some of it
    popped = recorded(night, Fault("electrode pop", "C4", 200.0, 201.3, "", 200.0))["C4"] - clean["C4"]
    assert 120 < np.abs(popped).max() < 220 and int(np.abs(popped).argmax()) // 128 == 200
    assert outside(popped, np.zeros_like(popped), 128, 200, 201.3) < 2.0


def test_the_heart_leaks_in_step_with_its_beats(night: Night, clean: dict[str, np.ndarray]) -> None:
    added = recorded(night, Fault("ECG leakage", "C3", 0.0, 1200.0, "", 20.0))["C3"] - clean["C3"]
    assert np.corrcoef(added[1280:], clean["ECG"][1280:])[0, 1] > 0.8
    assert rms(added[1280:]) == pytest.approx(20 * rms(clean["ECG"][1280:]), rel=0.4)  # 20 uV of 1 mV


def test_exchanged_inverted_missing_clipped_and_misnamed_units(night: Night, clean: dict[str, np.ndarray]) -> None:
    whole = (0.0, night.duration_s)
    swap = [Fault("swapped", a, *whole, f"exchanged with {b}") for a, b in (("Thor", "Abdo"), ("Abdo", "Thor"))]
    made = recorded(night, *swap, Fault("inverted", "ECG", *whole, ""), Fault("missing", "Flow", *whole, ""))
    assert np.array_equal(made["Thor"], clean["Abdo"]) and np.array_equal(made["Abdo"], clean["Thor"])
    assert np.abs(made["ECG"] + clean["ECG"]).max() < 1e-3 and "Flow" not in made
    clipped = recorded(night, Fault("clipping", "C3", *whole, "", 0.05))["C3"]
    assert np.abs(clipped).max() == pytest.approx(20.0, rel=1e-3) and (np.abs(clipped) > 19.9).mean() > 0.01
    signals, _ = record(night, SITE, [Fault("wrong unit", "C3", *whole, "mV written for uV")])
    units = {s.label: s.unit for s in signals}
    assert units["C3"] == "mV" and units["C4"] == "uV"


def test_a_pause_takes_its_seconds_out_of_every_signal_and_moves_nothing(
    night: Night, clean: dict[str, np.ndarray]
) -> None:
    pause = Fault("recording paused", None, 300.0, 480.0, "EDF+D gap")
    signals, seconds = record(night, SITE, [pause])
    assert seconds == [*map(float, range(300)), *map(float, range(480, 1200))]
    for s in signals:
        assert len(s.samples) == 1020 * s.rate_hz
    thor = next(s for s in signals if s.label == "Thor")
    rest = np.delete(clean["Thor"], slice(300 * 16, 480 * 16))
    assert np.abs(thor.samples * (4 / 32767) - rest).max() < 1e-3
    scored = unseen(score_night(night, SITE, ideal=True), sensors(SITE), [pause])
    assert [stage == "unscored" for stage in scored.stages] == [300 <= 30 * i < 480 for i in range(40)]
    assert not any(e.start_s < 480 and e.stop_s > 300 for e in scored.events)
    assert truth_epochs(night).height == 40  # the truth goes on


def test_nobody_scores_a_fall_of_oxygen_without_an_oximeter(night: Night) -> None:
    events = (TruthEvent("hypopnea", 100.0, 120.0), TruthEvent("desaturation", 125.0, 150.0, 88.0))
    scored = replace(score_night(night, SITE, ideal=True), events=events)
    assert unseen(scored, sensors(SITE), [Fault("sensor off", "SpO2", 140.0, 900.0, "flat")]).events == events[:1]
    assert unseen(scored, sensors(SITE), [Fault("sensor off", "SpO2", 160.0, 900.0, "flat")]).events == events


def all_faults(nights: int) -> list[tuple[str, Night, tuple[Fault, ...]]]:
    """Of many nights that are one night drawn with other keys: only its turns and its length matter here."""
    planned = plan_night(1, draw_subject(1, 0), 0, 0, 480)
    planned = replace(planned, events=tuple(planned.named("position change")))
    drawn = []
    for i in range(nights):
        night = replace(planned, key=(1, i, 0))
        drawn += [(site, night, plan_dirt(night, site_facts()[site])) for site in ("clinic", "shhs-like", "hmc-like")]
    return drawn


def test_every_kind_of_fault_occurs_at_some_site_and_within_its_night() -> None:
    drawn = all_faults(60)
    assert {fault.name for _, _, faults in drawn for fault in faults} == set(constants("dirt"))
    per_night = [len({(f.name, f.label) for f in faults}) for _, _, faults in drawn]
    assert 1.5 < np.mean(per_night) < 5 and min(per_night) == 0
    for site, night, faults in drawn:
        labels = {sensor.label: sensor for sensor in sensors(site_facts()[site])}
        for fault in faults:
            assert 0 <= fault.start_s < fault.stop_s <= night.duration_s and fault.cause
            assert (fault.label in labels) == (fault.name != "recording paused")
            if fault.name == "mains hum":
                assert "N:" not in site_facts()[site]["filters"].get(labels[fault.label or ""].family, "")
            if fault.name == "recording paused":
                assert site_facts()[site]["kind"] == "EDF+C" and fault.start_s == int(fault.start_s) >= 60


def test_faults_stand_in_the_truth_with_the_signals_label(night: Night) -> None:
    hum = Fault("mains hum", "C3", 60.0, 900.0, "50 Hz, 12 uV rms", 12.0)
    faults = [hum, Fault("recording paused", None, 300.0, 480.0, "EDF+D gap")]
    table = truth_events(night, faults)
    assert table["start_s"].is_sorted() and table.height == truth_events(night).height + 2
    assert table.filter(table["name"] == "mains hum").row(0, named=True)["channel"] == "C3"
    assert table["channel"].null_count() == table.height - 1


def test_a_night_has_the_same_faults_each_time_and_none_depends_on_another() -> None:
    night = plan_night(1, draw_subject(1, 5), 5, 0, 480)
    site = site_facts()["clinic"]
    some = {**site, "signals": site["signals"][3:12]}
    kept = {row[0] for row in some["signals"]}
    every = [f for f in plan_dirt(night, site) if f.label in kept and f.name not in ("swapped", "wrong unit")]
    assert every == [f for f in plan_dirt(night, some) if f.label and f.name not in ("swapped", "wrong unit")]
    assert plan_dirt(night, site) == plan_dirt(night, site) and not plan_dirt(night, {**site, "dirt": 0.0})
