"""Brain and eyes: band shares, amplitudes, evidence."""

import numpy as np
import pytest

from encoders.captions.brain import measure_brain, measure_eyes


def sine(t, hz, amplitude):
    return amplitude * np.sin(2 * np.pi * hz * t)


@pytest.mark.parametrize("rate_hz", [64.0, 100.0, 256.0])
def test_band_shares_of_a_mixture_of_sines_are_their_powers(night, seconds, rate_hz):
    t = seconds(4, rate_hz)
    # Powers 4 : 1 : 1 : 1 : 1, each within its band.
    mixture = sine(t, 2, 20) + sine(t, 6, 10) + sine(t, 10, 10) + sine(t, 14, 10) + sine(t, 22, 10)
    found = measure_brain(*night(4, EEG_C3=(rate_hz, mixture)))
    for name, share in {"delta": 50, "theta": 12.5, "alpha": 12.5, "sigma": 12.5, "beta": 12.5}.items():
        np.testing.assert_allclose(found[f"c3_{name}_pct"], share, atol=0.3)
        np.testing.assert_array_equal(found[f"{name}_pct"], found[f"c3_{name}_pct"])
        assert np.isnan(found[f"c4_{name}_pct"]).all()
    np.testing.assert_allclose(found["eeg_rms_uv"], 20.0, rtol=0.01)  # sqrt(sum of a^2 / 2) = sqrt(400)


def test_slow_wave_amplitude_of_a_sine_is_its_peak_to_peak(night, seconds):
    found = measure_brain(*night(3, EEG_C4=(128.0, sine(seconds(3, 128.0), 1.0, 50))))
    np.testing.assert_allclose(found["c4_slow_wave_uv"], 100, rtol=0.02)
    np.testing.assert_allclose(found["slow_wave_relative"], 1.0, rtol=0.02)


def test_eeg_slower_than_64_hz_has_no_band_powers(night, seconds):
    found = measure_brain(*night(2, EEG_C3=(50.0, sine(seconds(2, 50.0), 2, 20))))
    assert all(np.isnan(column).all() for column in found.values())


def test_unusable_epochs_and_epochs_past_the_end_are_nan(night, seconds):
    recording, epochs = night(4, EEG_C3=(100.0, sine(seconds(3, 100.0), 2, 20)))  # the fourth has no samples
    epochs.present[1] = False
    found = measure_brain(recording, epochs)["delta_pct"]
    np.testing.assert_array_equal(np.isfinite(found), [True, False, True, False])


def test_evidence_does_not_depend_on_the_unit_of_the_eeg(night, seconds):
    rng = np.random.default_rng(1)
    t = seconds(6, 128.0)
    eeg = np.where(t < 90, sine(t, 1.5, 60), sine(t, 10, 15)) + rng.normal(0, 4, len(t))
    a, b = (measure_brain(*night(6, EEG_C3=(128.0, eeg * gain))) for gain in (1.0, 0.01))
    for name in ("deep_sleep_evidence", "wake_evidence", "slow_wave_relative"):
        np.testing.assert_allclose(a[name], b[name], atol=1e-3)
    assert a["deep_sleep_evidence"][:3].min() > a["deep_sleep_evidence"][3:].max() + 1
    assert a["wake_evidence"][:3].max() < a["wake_evidence"][3:].min()


def test_a_passing_artefact_is_no_deep_sleep(night, seconds):
    rng = np.random.default_rng(2)
    t = seconds(6, 128.0)
    eeg = rng.normal(0, 10, len(t)) + np.where((t > 60) & (t < 68), sine(t, 1.5, 800), 0)
    found = measure_brain(*night(6, EEG_C3=(128.0, eeg)))
    assert found["delta_pct"][2] > 95  # the mean is taken in
    assert found["deep_sleep_evidence"][2] < 1


@pytest.mark.parametrize("subject", ["002", "003", "005", "006", "007", "008"])
def test_deep_sleep_evidence_finds_slow_wave_sleep_in_real_eeg(night, shared_data, subject):
    with np.load(shared_data / "ucddb_eeg" / f"ucddb{subject}_eeg_wake_sws_only.npz") as z:
        eeg, stage = z["eeg"].astype(np.float32) * float(z["scale"]), z["stage"][z["epoch_index"]]
    recording, epochs = night(len(eeg), EEG_C3=(128.0, eeg.ravel()))
    epochs.present[eeg.std(axis=1) < 1e-3] = False
    evidence = measure_brain(recording, epochs)["deep_sleep_evidence"]
    best = np.argsort(-np.where(np.isfinite(evidence), evidence, -np.inf))[:20]
    assert np.isin(stage[best], [4, 5]).all()


def test_opposite_eye_deflections_are_counted_and_equal_ones_are_not(night, seconds):
    t = seconds(4, 128.0)
    pulse = 150 * np.exp(-(((t % 5) - 2.5) ** 2) / (2 * 0.06**2))  # one saccade-like swing every 5 s: 12 a minute
    moving = measure_eyes(*night(4, EOG_L=(128.0, pulse), EOG_R=(128.0, -pulse)))
    still = measure_eyes(*night(4, EOG_L=(128.0, pulse), EOG_R=(128.0, pulse)))
    np.testing.assert_allclose(moving["eye_movements_per_min"], 12, atol=2)
    np.testing.assert_array_equal(still["eye_movements_per_min"], 0)


def test_one_eye_gives_shares_but_no_movements(night, seconds):
    t = seconds(3, 128.0)
    found = measure_eyes(*night(3, EOG_L=(128.0, sine(t, 0.5, 100) + sine(t, 3, 50))))
    np.testing.assert_allclose(found["eog_l_slow_pct"], 80, atol=1)
    np.testing.assert_allclose(found["eog_l_saccade_pct"], 20, atol=1)
    assert np.isnan(found["eye_movements_per_min"]).all() and np.isnan(found["eog_r_slow_pct"]).all()


def test_real_rem_sleep_has_eye_movements(night, shared_data):
    with np.load(shared_data / "yasa_samples" / "data_EOGs_REM_256Hz.npz") as z:
        left, right = z["data"]
    n = len(left) // (30 * 256)
    found = measure_eyes(*night(n, EOG_L=(256.0, left), EOG_R=(256.0, right)))
    assert found["eye_movements_per_min"].mean() > 4


def test_microvolts_of_a_doubtful_unit_are_not_said_and_shapes_are(night, seconds):
    t = seconds(6, 128)
    recording, epochs = night(6, EEG_C3=(128, 9000 * np.sin(2 * np.pi * 1.5 * t)))
    epochs.doubted = frozenset({"EEG_C3"})
    found = measure_brain(recording, epochs)
    assert np.isnan(found["slow_wave_uv"]).all() and np.isnan(found["eeg_rms_uv"]).all()
    assert (found["delta_pct"] > 95).all() and np.allclose(found["slow_wave_relative"], 1.0)
