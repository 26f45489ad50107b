"""Chin EMG and position."""

import numpy as np

from encoders.captions.muscle import measure_muscle, measure_position


def test_emg_level_and_median_frequency_of_a_sine(night, seconds):
    t = seconds(4, 256.0)
    emg = (
        10 * np.sin(2 * np.pi * 35 * t) + 50 * np.sin(2 * np.pi * 50 * t) + 30 * np.sin(2 * np.pi * 2 * t)
    )  # mains, sway
    found = measure_muscle(*night(4, EMG_CHIN=(256.0, emg)))
    np.testing.assert_allclose(found["emg_rms_uv"], 10 / np.sqrt(2), rtol=0.03)
    np.testing.assert_allclose(found["emg_median_hz"], 35, atol=1)
    np.testing.assert_allclose(found["emg_relative"], 1, atol=0.01)


def test_bursts_raise_the_ratio_and_give_their_rate(night, seconds):
    t = seconds(4, 200.0)
    noise = np.random.default_rng(0).normal(0, 5, len(t))
    steady = measure_muscle(*night(4, EMG_CHIN=(200.0, noise)))
    bursts = measure_muscle(*night(4, EMG_CHIN=(200.0, noise * np.where(t % 2 < 0.4, 6, 1))))  # one in 2 s
    assert steady["emg_burst_ratio"].max() < 2 < 3 < bursts["emg_burst_ratio"].min()
    assert (bursts["emg_burst_rate_hz"] < steady["emg_burst_rate_hz"]).all()
    np.testing.assert_allclose(bursts["emg_burst_rate_hz"], 0.8, atol=0.4)


def test_emg_slower_than_90_hz_is_absent(night):
    found = measure_muscle(*night(2, EMG_CHIN=(64.0, np.random.default_rng(0).normal(0, 5, 60 * 64))))
    assert all(np.isnan(column).all() for column in found.values())


def test_position_is_the_majority_and_a_turn_is_told(night):
    codes = np.concatenate([np.full(30, 2), np.full(10, 2), np.full(20, 1), np.full(30, -1)])
    found = measure_position(*night(3, POS=(1.0, codes)))
    assert found["position"].tolist() == ["supine", "left", None]
    assert found["position_change"].tolist() == [None, "supine to left at 10 s", None]
