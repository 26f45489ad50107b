"""Breathing: rate, regularity, airflow reduction, effort."""

from types import SimpleNamespace

import numpy as np
import pytest

from encoders.captions.breathing import measure_breathing


def breaths(t, per_min=15.0):
    return np.sin(2 * np.pi * per_min / 60 * t)


@pytest.mark.parametrize(("rate_hz", "per_min"), [(8.0, 12.0), (25.0, 15.0), (256.0, 20.0)])
def test_breathing_rate_of_a_sine(night, seconds, rate_hz, per_min):
    t = seconds(8, rate_hz)
    found = measure_breathing(*night(8, THX=(rate_hz, breaths(t, per_min)), AF=(rate_hz, breaths(t, per_min))))
    np.testing.assert_allclose(found["thx_rate_per_min"], per_min, atol=0.3)
    np.testing.assert_allclose(found["flow_rate_per_min"], per_min, atol=0.3)
    np.testing.assert_allclose(found["thx_interval_sd_s"], 0, atol=0.1)
    assert np.isnan(found["abd_rate_per_min"]).all()
    np.testing.assert_allclose(found["breath_rate_per_min"], per_min, atol=0.3)
    assert (found["flow_absent_s"] == 0).all() and (found["flow_low_s"] == 0).all()
    assert (found["flow_reduction_pct"] < 10).all()


def test_irregular_breathing_has_a_spread(night):
    rng = np.random.default_rng(3)
    phase = np.cumsum(np.repeat(rng.uniform(0.6, 1.4, 150), 32)) * 2 * np.pi * 0.25 / 16
    found = measure_breathing(*night(10, THX=(16.0, np.sin(phase))))
    assert np.nanmedian(found["thx_interval_sd_s"]) > 0.3


@pytest.mark.parametrize("lasting_s", [15.0, 25.0, 40.0])
def test_a_gap_of_airflow_is_measured_and_its_effort_told_apart(night, seconds, lasting_s):
    t = seconds(12, 25.0)
    gap = (t >= 200) & (t < 200 + lasting_s)
    noise = np.random.default_rng(0).normal(0, 0.02, len(t))
    flow = np.where(gap, 0.03, 1.0) * breaths(t) + noise
    belt = breaths(t) + noise
    going_on = measure_breathing(*night(12, AF=(25.0, flow), THX=(25.0, belt), ABD=(25.0, belt)))
    stopped = measure_breathing(*night(12, AF=(25.0, flow), THX=(25.0, np.where(gap, 0.03, 1.0) * belt)))
    for found in (going_on, stopped):
        assert found["flow_absent_s"][6] == pytest.approx(lasting_s, abs=2)
        assert found["flow_reduction_pct"][6] > 85
        assert found["flow_absent_s"][3] == 0 and found["flow_reduction_pct"][3] < 15
    assert going_on["flow_absent_with_effort_s"][6] == going_on["flow_absent_s"][6]
    assert going_on["flow_absent_without_effort_s"][6] == 0
    assert stopped["flow_absent_without_effort_s"][6] == stopped["flow_absent_s"][6]
    assert stopped["flow_absent_with_effort_s"][6] == 0


def test_half_the_airflow_is_low_and_not_absent(night, seconds):
    t = seconds(12, 25.0)
    flow = np.where((t >= 200) & (t < 225), 0.5, 1.0) * breaths(t)
    found = measure_breathing(*night(12, AF=(25.0, flow)))
    assert found["flow_low_s"][6] == pytest.approx(25, abs=6) and found["flow_absent_s"][6] == 0
    assert found["flow_reduction_pct"][6] == pytest.approx(50, abs=10)
    assert np.isnan(found["flow_absent_with_effort_s"]).all()  # no belt: effort is unknown, not absent


def test_a_square_wave_is_flat_and_a_sine_is_not(night, seconds):
    t = seconds(6, 25.0)
    round_, flat = (
        measure_breathing(*night(6, AF=(25.0, x)))["flow_flatness"] for x in (breaths(t), np.sign(breaths(t)))
    )
    np.testing.assert_allclose(round_, 2 / np.pi, atol=0.05)
    assert (flat > 0.9).all()


def test_a_thermistor_has_no_flatness(night, seconds):
    recording, epochs = night(6, AF=(25.0, breaths(seconds(6, 25.0))))
    choice = SimpleNamespace(sensor="thermistor", substitute=False)
    recording.montage = SimpleNamespace(choices={"AF": choice})
    assert np.isnan(measure_breathing(recording, epochs)["flow_flatness"]).all()


def test_belts_against_each_other_correlate_negatively(night, seconds):
    t = seconds(4, 25.0)
    found = measure_breathing(*night(4, THX=(25.0, breaths(t)), ABD=(25.0, -breaths(t))))
    assert (found["belt_correlation"] < -0.95).all()


def test_airflow_at_one_sample_a_second_is_absent(night, seconds):
    found = measure_breathing(*night(4, AF=(1.0, breaths(seconds(4, 1.0)))))
    assert all(np.isnan(column).all() for column in found.values())


def test_an_unusable_stretch_claims_no_apnea(night, seconds):
    t = seconds(12, 25.0)
    recording, epochs = night(12, AF=(25.0, np.where((t >= 180) & (t < 240), 0.0, 1.0) * breaths(t)))
    epochs.present[6:8] = False
    found = measure_breathing(recording, epochs)
    assert np.isnan(found["flow_absent_s"][6:8]).all() and np.nanmax(found["flow_absent_s"]) == 0


def test_a_stretch_that_only_touches_an_epoch_is_not_told_of_it(night, seconds):
    t = seconds(10, 16)
    quiet = (t > 131) & (t < 151.5)  # 1.5 s of it lie in the epoch from 150 s
    recording, epochs = night(10, AF=(16, np.where(quiet, 0.02, 1.0) * np.sin(2 * np.pi * t / 4)))
    absent = measure_breathing(recording, epochs)["flow_absent_s"]
    assert absent[4] > 15 and (absent[[0, 1, 2, 3, 5, 6, 7, 8, 9]] == 0).all()
