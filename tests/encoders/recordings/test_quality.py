"""Rules of quality on signals whose fault is known."""

import numpy as np
import pytest

from encoders.recordings.quality import Quality, judge, measure_blocks, rules_of
from encoders.vocabulary import CHANNELS

RATE_HZ = 256.0
SECONDS = np.arange(int(30 * RATE_HZ)) / RATE_HZ


def eeg(n: int = 40, seed: int = 0) -> np.ndarray:
    """Epochs of smoothed noise whose amplitude changes over the night between 10 and 60 uV."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, len(SECONDS) + 15))
    smooth = np.stack([np.convolve(row, np.ones(16) / 4, mode="valid") for row in noise])
    return (smooth * np.linspace(10, 60, n)[:, None]).astype(np.float32)


def flags(epochs: np.ndarray, channel: str = "EEG_C3", rate_hz: float = RATE_HZ) -> np.ndarray:
    return judge(measure_blocks([(epochs, rate_hz)], rules_of(channel)), rules_of(channel))[0]


def test_every_channel_has_rules() -> None:
    assert all(channel in rules_of(channel).channels for channel in CHANNELS)


def test_a_good_night_has_no_flags() -> None:
    assert not flags(eeg()).any()


def test_constant_through_most_of_the_epoch_is_flat_and_through_less_is_not() -> None:
    epochs = eeg()
    epochs[3] = 17.0
    epochs[4, : 16 * 256] = -3.0
    epochs[5, : 14 * 256] = -3.0
    found = flags(epochs)
    assert found[3] == found[4] == Quality.FLAT
    assert not np.delete(found, [3, 4]).any()


def test_flat_is_seen_beside_a_large_offset() -> None:
    epochs = eeg() + np.float32(100_000)
    epochs[7] = 100_003.5
    found = flags(epochs)
    assert found[7] == Quality.FLAT and not np.delete(found, 7).any()


def test_less_than_the_noise_of_an_amplifier_is_disconnected() -> None:
    epochs = eeg()
    epochs[2] *= 0.005
    assert flags(epochs)[2] == Quality.DISCONNECTED


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_nothing_but_hum_is_disconnected_and_hum_on_top_of_a_brain_is_not(mains_hz: int) -> None:
    epochs = eeg()
    hum = np.sin(2 * np.pi * mains_hz * SECONDS + 1).astype(np.float32)
    epochs[1] = 300 * hum + 0.2 * epochs[1]
    epochs[30] += 2 * epochs[30].std() * hum
    found = flags(epochs)
    assert found[1] == Quality.DISCONNECTED and found[30] == 0


def test_amplitudes_of_no_brain_are_out_of_range() -> None:
    epochs = eeg()
    epochs[5] *= 200
    assert flags(epochs)[5] == Quality.OUT_OF_RANGE
    assert not np.delete(flags(epochs), 5).any()


def test_resting_on_a_limit_is_clipped() -> None:
    epochs = eeg()
    epochs[10:14] = np.clip(epochs[10:14] * 20, -480, 480)
    found = flags(epochs)
    assert (found[10:14] == Quality.CLIPPED).all() and not np.delete(found, range(10, 14)).any()


def test_an_eight_bit_sine_is_not_clipped() -> None:
    breath = np.round(127 * np.sin(2 * np.pi * 0.25 * np.arange(300) / 10)).astype(np.float32)
    assert not flags(np.tile(breath, (5, 1)), "THX", 10.0).any()
    assert not flags(np.tile(breath, (5, 1)) * 2, "EEG_C3", 100.0).any()


def test_a_flat_airflow_of_half_an_epoch_is_an_apnea_not_a_fault() -> None:
    breath = np.round(20 * np.sin(2 * np.pi * 0.25 * np.arange(750) / 25)).astype(np.float32)
    epochs = np.tile(breath, (3, 1))
    epochs[1, 100:700] = 0
    epochs[2] = 0
    assert flags(epochs, "AF", 25.0).tolist() == [0, 0, Quality.FLAT]


@pytest.mark.parametrize("scale", [0.005, 1e-6, 1000])
def test_a_wrong_unit_is_noted_and_throws_nothing_away(scale: float) -> None:
    epochs = (eeg() * scale).astype(np.float32)
    found, note = judge(measure_blocks([(epochs, RATE_HZ)], rules_of("EEG_C3")), rules_of("EEG_C3"))
    assert not found.any()
    assert "amplitude implausible for uV" in note


def test_an_open_input_all_night_is_disconnected_not_a_wrong_unit() -> None:
    noise = (0.2 * np.random.default_rng(0).standard_normal((40, len(SECONDS)))).astype(np.float32)
    found, note = judge(measure_blocks([(noise, RATE_HZ)], rules_of("EEG_C3")), rules_of("EEG_C3"))
    assert (found == Quality.DISCONNECTED).all() and not note


def test_runs_of_different_rates_are_judged_together() -> None:
    low = eeg(4)[:, ::2]
    high = eeg(4, seed=1)
    high[2] = 5
    blocks = measure_blocks([(low, 128.0), (high, 256.0)], rules_of("EEG_C3"))
    assert judge(blocks, rules_of("EEG_C3"))[0].tolist() == [0, 0, 0, 0, 0, 0, Quality.FLAT, 0]


@pytest.mark.parametrize("rate_hz", [32.0, 99.9, 100.0, 125.0, 200.0, 1000.0])
def test_any_rate_is_measured(rate_hz: float) -> None:
    epochs = (20 * np.random.default_rng(0).standard_normal((6, int(30 * rate_hz)))).astype(np.float32)
    epochs[1] = 0
    assert flags(epochs, "EEG_C4", rate_hz).tolist() == [0, Quality.FLAT, 0, 0, 0, 0]
