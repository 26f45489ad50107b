"""Saturation: level, falls, desaturations."""

import numpy as np
import pytest

from encoders.captions.oximetry import find_desaturations, measure_oximetry
from encoders.recordings.timeline import Run


def dip(n_s, start_s, fall_s, rise_s, depth, level=96.0):
    """A level with one triangular fall."""
    t = np.arange(n_s, dtype=float)
    down = np.clip((t - start_s) / fall_s, 0, 1) - np.clip((t - start_s - fall_s) / rise_s, 0, 1)
    return level - depth * down


@pytest.mark.parametrize("rate_hz", [1.0, 3.0, 256.0])
def test_a_desaturation_ramp_is_found_whole(rate_hz):
    pct = np.repeat(dip(300, 100, 20, 10, 6), int(rate_hz))
    (found,) = find_desaturations([Run(0.0, rate_hz, pct)])
    assert found.fall_pct == pytest.approx(6, abs=0.6) and found.nadir_pct == pytest.approx(90, abs=0.6)
    assert found.start_s == pytest.approx(100, abs=3) and found.nadir_s == pytest.approx(120, abs=3)
    assert 120 < found.stop_s <= 134


def test_two_per_cent_is_no_desaturation():
    assert find_desaturations([Run(0.0, 1.0, dip(300, 100, 20, 10, 2))]) == []


def test_a_slow_drift_is_no_desaturation():
    assert find_desaturations([Run(0.0, 1.0, np.linspace(98, 92, 3600).round())]) == []


def test_repeated_falls_count_each():
    pct = np.concatenate([dip(60, 10, 20, 15, 5) for _ in range(10)])
    assert len(find_desaturations([Run(0.0, 1.0, pct)])) == 10


def test_epoch_columns_tell_level_and_fall(night):
    found = measure_oximetry(*night(10, SPO2=(1.0, dip(300, 100, 20, 10, 6))))
    np.testing.assert_allclose(found["spo2_min_pct"][[0, 3, 9]], [96, 90, 96], atol=0.6)
    np.testing.assert_allclose(found["spo2_drop_pct"][[0, 3, 9]], [0, 6, 0], atol=0.6)
    assert found["n_measured_desaturations"].tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_a_lost_finger_is_no_desaturation(night):
    pct = np.full(300, 96.0)
    pct[100:118] = 0  # part of an epoch
    pct[180:215] = 127
    found = measure_oximetry(*night(10, SPO2=(1.0, pct)))
    assert np.nanmin(found["spo2_min_pct"]) == 96 and np.nanmax(found["n_measured_desaturations"]) == 0
    assert np.isnan(found["spo2_min_pct"][6])


def test_without_oximeter_everything_is_nan(night):
    assert all(np.isnan(column).all() for column in measure_oximetry(*night(3)).values())
