"""The resampler against a direct convolution, scipy, and sines whose value at any instant is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from encoders.recordings.resample import _half_width, _kernel, fill, hold, resample

RATES = (8.0, 10.0, 25.0, 32.0, 50.0, 64.0, 100.0, 125.0, 128.0, 200.0, 250.0, 256.0, 499.9, 500.0, 512.0, 1000.0)
ODD_RATES = (1000 / 3, 128.0032, 17.77)


def sine(hz: float, rate_hz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz).astype(np.float32)


def direct(samples: np.ndarray, rate_hz: float, offset_s: float, count: int) -> np.ndarray:
    """The dumb twin: a weighted sum for each output, in double precision, over the mirrored input."""
    half = _half_width(rate_hz / 64)
    padded = np.pad(samples.astype(np.float64), half + 64, mode="reflect")
    places = (offset_s + np.arange(count) / 64)[:, None] * rate_hz
    index = np.floor(places).astype(int) + np.arange(-half, half + 2)
    weights = _kernel(places - index, rate_hz / 64)
    return np.sum(padded[index + half + 64] * weights, axis=1) / weights.sum(axis=1)


@pytest.mark.parametrize("rate_hz", RATES + ODD_RATES)
@pytest.mark.parametrize("offset_s", [0.0, 0.37, 7.0])
def test_blocks_equal_a_direct_convolution(rate_hz: float, offset_s: float) -> None:
    samples = np.random.default_rng(0).standard_normal(int(20 * rate_hz)).astype(np.float32)
    count = int((20 - offset_s) * 64)
    expected = samples if rate_hz == 64 and offset_s != 0.37 else None
    found = resample(samples, rate_hz, offset_s, count)
    assert found.dtype == np.float32
    if expected is not None:  # 64 Hz on its own grid passes untouched
        assert np.array_equal(found, expected[int(offset_s * 64) :])
    else:
        assert np.abs(found - direct(samples, rate_hz, offset_s, count)).max() < 2e-5


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("offset_s", [10.0, 10.0041])
def test_a_sine_keeps_amplitude_and_time(rate_hz: float, offset_s: float) -> None:
    hz = 0.42 * min(rate_hz, 64.0)
    found = resample(sine(hz, rate_hz, 60), rate_hz, offset_s, 64 * 40)
    phase = np.angle(np.mean(found * np.exp(-2j * np.pi * hz * (offset_s + np.arange(len(found)) / 64))) * 1j)
    assert abs(phase) / (2 * np.pi * hz) * 64 < 1e-3  # of an output sample; the promise is a tenth
    truth = np.sin(2 * np.pi * hz * (offset_s + np.arange(len(found)) / 64))
    assert np.abs(found - truth).max() < 1.5e-3


@pytest.mark.parametrize("rate_hz", [r for r in RATES + ODD_RATES if r > 70])
def test_what_would_alias_is_60_db_down(rate_hz: float) -> None:
    for hz in (32.0, 32.1, 32.5, 33.0, *np.arange(34.0, min(rate_hz / 2, 200), 3.7), rate_hz / 2 - 0.3):
        found = resample(sine(hz, rate_hz, 20), rate_hz, 5.003, 64 * 10)
        assert np.abs(found).max() < 1e-3, f"{hz} Hz"


@pytest.mark.parametrize("rate_hz", [8.0, 10.0, 25.0, 50.0])
def test_images_of_slow_sources_are_60_db_down(rate_hz: float) -> None:
    hz = 0.3 * rate_hz
    found = resample(sine(hz, rate_hz, 80), rate_hz, 10.0, 64 * 60)
    spectrum = np.abs(np.fft.rfft(found * np.blackman(len(found))))
    freqs = np.fft.rfftfreq(len(found), 1 / 64)
    assert spectrum[freqs > rate_hz / 2].max() < 1e-3 * spectrum.max()


def test_pass_band_is_flat_to_a_hundredth_of_a_decibel() -> None:
    for hz in (0.05, 0.5, 4.0, 12.0, 20.0, 27.0, 29.0):
        found = resample(sine(hz, 256.0, 80), 256.0, 20.0, 64 * 40)
        truth = np.sin(2 * np.pi * hz * (20 + np.arange(len(found)) / 64))
        assert abs(20 * np.log10(found @ truth / (truth @ truth))) < 0.01


def test_an_impulse_comes_out_at_its_time_and_symmetric() -> None:
    samples = np.zeros(256 * 20, np.float32)
    samples[256 * 10] = 1
    found = resample(samples, 256.0, 0.0, 64 * 20)
    assert found.argmax() == 640
    assert np.allclose(found[640 - 50 : 640], found[641 : 641 + 50][::-1], atol=1e-7)


def test_an_offset_stays_an_offset_to_the_very_edges() -> None:
    for rate_hz in RATES + ODD_RATES:
        found = resample(np.full(int(30 * rate_hz), 4321.5, np.float32), rate_hz, 0.0, 1920)
        assert np.abs(found - 4321.5).max() < 5e-3


def test_edges_stay_within_what_the_signal_is() -> None:
    found = resample(100 + sine(7.3, 256.0, 30), 256.0, 0.0, 1920)
    assert found.min() > 98.7 and found.max() < 101.3


def test_agrees_with_scipy_below_its_own_transition_band() -> None:
    rng = np.random.default_rng(1)
    slow = np.convolve(rng.standard_normal(256 * 60), np.hanning(41) / 20, mode="same").astype(np.float32)
    found, reference = resample(slow, 256.0, 0.0, 64 * 60), resample_poly(slow, 1, 4)
    assert np.abs(found - reference)[200:-200].max() < 0.01 * slow.std()


@settings(max_examples=60, deadline=None)
@given(
    rate_hz=st.sampled_from(RATES + ODD_RATES) | st.fractions(1, 600, max_denominator=30).map(float),
    seconds=st.floats(1.0, 100.0),
    offset_s=st.floats(0.0, 0.9),
    begin=st.floats(0.0, 1.0),
)
def test_a_stretch_equals_that_stretch_of_the_whole(
    rate_hz: float, seconds: float, offset_s: float, begin: float
) -> None:
    samples = np.random.default_rng(2).standard_normal(max(1, int(seconds * rate_hz))).astype(np.float32)
    count = max(1, int((seconds - offset_s) * 64))
    first = int(begin * (count - 1))
    whole = resample(samples, rate_hz, offset_s, count)
    part = resample(samples, rate_hz, offset_s + first / 64, min(700, count - first))
    assert np.isfinite(whole).all()
    assert np.abs(whole[first : first + len(part)] - part).max() < 1e-5


def test_a_run_of_one_sample_is_that_sample() -> None:
    assert np.allclose(resample(np.array([3.5], np.float32), 256.0, 0.0, 10), 3.5)


def test_a_run_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="without samples"):
        resample(np.empty(0, np.float32), 256.0, 0.0, 10)


def test_step_values_are_held_and_never_mixed() -> None:
    samples = np.repeat([90, 95, 60, 99], 5).astype(np.float32)
    found = hold(samples, np.ones(20, bool), 1.0, 0.0, 20 * 64)
    assert np.array_equal(found, np.repeat(samples, 64))
    shifted = hold(samples, np.ones(20, bool), 1.0, 0.5, 19 * 64)
    assert shifted[4 * 64 + 31] == 90 and shifted[4 * 64 + 32] == 95


def test_masked_steps_take_the_last_valid_value_for_half_a_minute_then_the_next() -> None:
    samples = np.arange(100, dtype=np.float32)
    valid = np.ones(100, bool)
    valid[:3] = valid[10:60] = valid[95:] = False
    found = hold(samples, valid, 1.0, 0.0, 6400)[::64]
    assert (found[:3] == 3).all() and (found[10:40] == 9).all()
    assert (found[40:60] == 60).all() and (found[95:] == 94).all()


def test_without_a_valid_value_there_is_zero() -> None:
    assert not fill(np.full(4, np.nan, np.float32), np.zeros(4, bool), 10, np.arange(4)).any()
