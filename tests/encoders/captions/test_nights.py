"""The night's row against hand-computed hypnograms."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.captions.nights import Lights, load_nights, night_report
from encoders.captions.scored import score_epochs

LIGHTS = Lights(60.0, 540.0, "csv")  # epochs 2 to 17: 8 min
# Lights off after two epochs; N1 from epoch 4; two wakes inside; last sleep is epoch 15; lights on after epoch 17.
HYPNOGRAM = "W W W W N1 N2 N2 N3 W N2 REM REM W N2 N2 N2 W W W W".split()  # noqa: SIM905


def report(night, scoring, *, lights=LIGHTS, signals=None, **more):
    n = max((len(scoring.stages) if scoring else 0), 20)
    recording, epochs = night(n, **(signals or {}))
    return night_report(recording, epochs, {}, score_epochs(epochs.start_s, scoring), scoring, lights, **more)


def test_the_row_has_the_columns_of_the_definitions(night, scoring):
    assert set(report(night, scoring(HYPNOGRAM))) == set(load_nights())


def test_times_of_a_small_night(night, scoring):
    row = report(night, scoring(HYPNOGRAM))
    expected = {
        "tib_min": 8, "tst_min": 5, "spt_min": 6, "waso_min": 1, "waso_to_lights_on_min": 2, "se_pct": 62.5,
        "sol_min": 1, "rem_latency_from_onset_min": 3, "w_min": 3, "n1_min": 0.5, "n2_min": 3, "n3_min": 0.5,
        "rem_min": 1, "nrem_min": 4, "unscored_min": 0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["lights_source"] == "csv"
    assert "sleep efficiency 62 %" in row["report"] and "REM 3 min after sleep onset" in row["report"]


def test_assumed_lights_give_no_efficiency_and_no_latency(night, scoring):
    row = report(night, scoring(HYPNOGRAM), lights=None)
    assert row["lights_source"] == "assumed" and row["tib_min"] == 10
    assert row["se_pct"] is row["sol_min"] is row["waso_to_lights_on_min"] is None
    assert row["tst_min"] == 5 and row["waso_min"] == 1
    assert "lights are not known" in row["report"]


def test_lights_of_the_annotation_are_taken(night, scoring):
    row = report(night, replace(scoring(HYPNOGRAM), lights_off_s=60.0, lights_on_s=540.0), lights=None)
    assert row["lights_source"] == "annotation" and row["se_pct"] == 62.5


def test_a_night_without_sleep(night, scoring):
    row = report(night, scoring(["W"] * 20, [("arousal", 90.0, 95.0)], ["arousals", "respiratory events"]))
    assert row["tst_min"] == row["spt_min"] == row["se_pct"] == 0
    for name in ("sol_min", "waso_min", "rem_latency_from_onset_min", "arousal_index_per_h", "ahi_scored_per_h"):
        assert row[name] is None


def test_a_night_without_rem_has_no_rem_latency(night, scoring):
    row = report(night, scoring(["W"] * 4 + ["N2"] * 16))
    assert row["rem_latency_from_onset_min"] is None and row["rem_min"] == 0


def test_without_stages_everything_of_sleep_is_null(night, scoring):
    row = report(night, None)
    assert row["tst_min"] is row["w_min"] is row["se_pct"] is row["ahi_scored_per_h"] is None
    assert row["tib_min"] == 8


def test_unscored_time_leaves_efficiency_and_latency_open(night, scoring):
    row = report(night, scoring(["W", "W", "W", "", *HYPNOGRAM[4:]]))
    assert row["unscored_min"] == 0.5 and row["se_pct"] is None and row["sol_min"] is None and row["tst_min"] == 5


def test_unspecified_nrem_leaves_the_minutes_of_its_stages_open(night, scoring):
    row = report(night, scoring(["W"] * 4 + ["NREM"] * 10 + ["REM"] * 6))
    assert row["n1_min"] is row["n2_min"] is row["n3_min"] is None
    assert row["nrem_min"] == 5 and row["tst_min"] == 7


EVENTS = [
    ("obstructive apnea", 150.0, 170.0),
    ("hypopnea", 190.0, 210.0),  # with a fall of 5
    ("hypopnea", 290.0, 300.0),  # with an arousal
    ("hypopnea", 400.0, 412.0),  # with nothing
    ("hypopnea", 20.0, 40.0),  # before lights off
    ("arousal", 303.0, 310.0),
    ("arousal", 70.0, 80.0),  # awake
]
KINDS = ["respiratory events", "arousals"]


def spo2():
    t = np.arange(600.0)
    return 1.0, 96 - 5 * (np.clip((t - 200) / 15, 0, 1) - np.clip((t - 215) / 10, 0, 1))


def test_ahi_variants_by_hand(night, scoring):
    row = report(night, scoring(HYPNOGRAM, EVENTS, KINDS), signals={"SPO2": spo2()})
    per_h = 60 / 5
    assert row["ahi_scored_per_h"] == pytest.approx(4 * per_h) and row["ahi_rule"] == "unknown"
    assert row["ahi_3a_per_h"] == pytest.approx(3 * per_h)
    assert row["ahi_4_per_h"] == pytest.approx(2 * per_h)
    assert row["arousal_index_per_h"] == pytest.approx(1 * per_h)
    assert row["rei_per_h"] is row["ahi_device_per_h"] is row["plmi_per_h"] is None
    # Only sleep counts: 5 min of valid SpO2, one fall with its nadir in sleep.
    assert row["odi3_per_h"] == row["odi4_per_h"] == pytest.approx(per_h)
    assert row["oximetry_h"] == pytest.approx(5 / 60) and row["odi_denominator"] == "sleep with valid SpO2"
    assert row["spo2_nadir_pct"] == pytest.approx(91, abs=0.5) and row["t90_pct"] == 0


def test_ahi_by_rule_needs_what_the_rule_rests_on(night, scoring):
    no_signal = report(night, scoring(HYPNOGRAM, EVENTS, KINDS))
    assert no_signal["ahi_3a_per_h"] is no_signal["ahi_4_per_h"] is no_signal["odi3_per_h"] is None
    no_arousals = report(night, scoring(HYPNOGRAM, EVENTS[:5], KINDS[:1]), signals={"SPO2": spo2()})
    assert no_arousals["ahi_3a_per_h"] is None and no_arousals["ahi_4_per_h"] is not None
    unscored = report(night, scoring(HYPNOGRAM), signals={"SPO2": spo2()})
    assert unscored["ahi_scored_per_h"] is unscored["arousal_index_per_h"] is None


def test_without_stages_events_are_per_monitored_hour(night, scoring):
    flow = {"AF": (8.0, np.zeros(20 * 240)), "SPO2": spo2()}
    row = report(night, scoring([], EVENTS, KINDS), signals=flow)
    assert row["rei_per_h"] == pytest.approx(4 / (8 / 60)) and row["ahi_scored_per_h"] is None
    assert row["odi_denominator"] == "monitored with valid SpO2" and row["odi3_per_h"] == pytest.approx(60 / 8)
    device = report(night, scoring([], EVENTS, KINDS[:1], scorer="device"), signals=flow)
    assert device["ahi_device_per_h"] == pytest.approx(4 / (8 / 60)) and device["rei_per_h"] is None


def test_periodic_movements_are_counted_only_where_the_source_names_them(night, scoring):
    kinds = ["limb movements"]
    named = scoring(HYPNOGRAM, [("periodic limb movement", 150.0 + 20 * i, 151.0 + 20 * i) for i in range(4)], kinds)
    assert report(night, named)["plmi_per_h"] == pytest.approx(48)
    assert report(night, scoring(HYPNOGRAM, [("limb movement", 150.0, 151.0)], kinds))["plmi_per_h"] is None


def test_a_child_is_warned_about_and_the_rule_is_named(night, scoring):
    row = report(night, scoring(HYPNOGRAM, EVENTS, KINDS), age_years=9.0, hypopnea_rule="AASM 1A")
    assert "Age 9" in row["report"] and "hypopnea rule: AASM 1A" in row["report"] and row["ahi_rule"] == "AASM 1A"
