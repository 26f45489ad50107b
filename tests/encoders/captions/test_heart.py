"""Heart rate: from R peaks, from the monitor, and its trends."""

import numpy as np
import pytest

from encoders.captions.heart import measure_heart


def ecg(beats_s, duration_s, rate_hz):
    """R waves of 1 mV and 20 ms, smaller T waves, on a little noise."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    signal = np.random.default_rng(0).normal(0, 0.02, len(t))
    for beat in beats_s:
        for delay, width, height in ((0.0, 0.01, 1.0), (0.25, 0.04, 0.15)):
            near = slice(max(0, int((beat + delay - 0.3) * rate_hz)), int((beat + delay + 0.3) * rate_hz))
            signal[near] += height * np.exp(-((t[near] - beat - delay) ** 2) / (2 * width**2))
    return signal


@pytest.mark.parametrize(("rate_hz", "bpm"), [(128.0, 50), (200.0, 75), (256.0, 110)])
def test_heart_rate_of_a_synthetic_ecg(night, rate_hz, bpm):
    beats = np.arange(0.5, 120, 60 / bpm)
    found = measure_heart(*night(4, ECG=(rate_hz, ecg(beats, 120, rate_hz))))
    for name in ("hr_min_bpm", "hr_mean_bpm", "hr_max_bpm"):
        np.testing.assert_allclose(found[name], bpm, atol=1.5)
    assert found["hr_source"].tolist() == ["ECG"] * 4
    np.testing.assert_array_equal(found["hr_rise_bpm"], 0)


def test_a_rise_of_heart_rate_is_told_with_its_seconds(night):
    rate, beats, at = [], [], 0.5
    while at < 180:
        bpm = 60 + 20 * np.clip((at - 100) / 10, 0, 1)  # 60 to 80 beats/min from second 100 to 110
        beats.append(at)
        rate.append(bpm)
        at += 60 / bpm
    found = measure_heart(*night(6, ECG=(256.0, ecg(beats, 180, 256.0))))
    assert found["hr_rise_bpm"][3] == pytest.approx(20, abs=3)
    word, span, _ = found["hr_trends"][3].split(" ")
    a, b = map(float, span.split("-"))
    assert word == "increasing" and 5 < a < 11 and 19 < b < 25
    assert found["hr_trends"][1] is None and found["hr_rise_bpm"][1] == 0


def test_a_missed_beat_is_no_slow_heart(night):
    beats = np.delete(np.arange(0.5, 120, 1.0), 45)
    found = measure_heart(*night(4, ECG=(256.0, ecg(beats, 120, 256.0))))
    np.testing.assert_allclose(found["hr_min_bpm"], 60, atol=2)


def test_slow_ecg_leaves_the_rate_to_the_monitor(night):
    slow = ecg(np.arange(0.5, 120, 1.0), 120, 64.0)
    held = np.repeat([58, 62, 300, 60], 30)  # 300 is no heart rate
    found = measure_heart(*night(4, ECG=(64.0, slow), HR=(1.0, held)))
    assert found["hr_source"].tolist() == ["HR", "HR", None, "HR"]
    np.testing.assert_allclose(found["hr_mean_bpm"], [58, 62, np.nan, 60])


def test_flat_ecg_is_no_heart_rate_and_no_error(night):
    found = measure_heart(*night(2, ECG=(256.0, np.zeros(60 * 256))))
    assert np.isnan(found["hr_mean_bpm"]).all() and found["hr_source"].tolist() == [None, None]
