"""What the muscles promise: tone by stage, atonia with a few twitches, bursts where something happens, any rate."""

import numpy as np
import pytest
from scipy.signal import welch
from scipy.stats import kurtosis

from encoders.simulation.draws import N1, N2, N3, REM, TruthEvent, W
from encoders.simulation.muscle import normals, render_muscle
from encoders.simulation.people import draw_subject

RATE_HZ = 200


def emg(
    stages: np.ndarray, *, index: int = 0, signal: str = "emg_chin", rate_hz: int = RATE_HZ,
    arousals: tuple[TruthEvent, ...] = (), limbs: tuple[TruthEvent, ...] = (),
) -> np.ndarray:  # fmt: skip
    key, subject = (6, index, 0), draw_subject(6, index)
    return render_muscle(key, subject, signal, rate_hz, stages, arousals, [], limbs)


def rms(samples: np.ndarray, start_s: float = 0, stop_s: float = np.inf) -> float:
    inside = samples[round(start_s * RATE_HZ) : round(min(stop_s, len(samples) / RATE_HZ) * RATE_HZ)]
    return float(np.sqrt((inside**2).mean()))


def test_tone_falls_with_sleep_and_is_least_in_rem_though_stages_overlap() -> None:
    stages = np.repeat(np.array([W, N1, N2, N3, REM], np.int8), 20)
    per_epoch = np.array([emg(stages, index=i).reshape(100, -1).std(axis=1) for i in range(20)])
    middle = np.array([np.median(per_epoch[:, stages == stage]) for stage in range(5)])
    assert middle[W] > middle[N1] > middle[N3] > 2 * middle[REM]
    assert np.percentile(per_epoch[:, stages == N1], 10) < middle[N2] < np.percentile(per_epoch[:, stages == N3], 90)


def test_the_chin_slackens_in_the_minutes_before_rem() -> None:
    stages = np.repeat(np.array([N2, REM], np.int8), 30)
    chins = [emg(stages, index=i) for i in range(20)]
    early, late = (np.median([rms(chin, *span) for chin in chins]) for span in ((300, 600), (840, 900)))
    assert late < 0.6 * early


def test_rem_without_atonia_is_as_rare_as_in_sleepers_without_the_disorder() -> None:
    """Feemster 2019: phasic activity in 8.6 % of 3-s pieces or less in 95 of 100 adults; here four times the floor."""
    shares = []
    for i in range(60):
        chin = emg(np.full(60, REM, np.int8), index=i)
        tenths = chin.reshape(-1, RATE_HZ // 10).std(axis=1)
        shares.append((tenths.reshape(-1, 30).max(axis=1) > 4 * np.percentile(tenths, 25)).mean())
    assert 0.002 < np.median(shares) < 0.06
    assert 0.04 < np.percentile(shares, 95) < 0.16


def test_an_arousal_from_rem_shows_in_the_chin_for_a_second_and_more() -> None:
    stages = np.full(10, REM, np.int8)
    arousal = TruthEvent("arousal", 100.0, 106.0)
    for i in range(10):
        quiet, moved = emg(stages, index=i), emg(stages, index=i, arousals=(arousal,))
        assert rms(moved, 100, 106) > 1.5 * rms(quiet, 100, 106)
        assert np.array_equal(quiet[: 99 * RATE_HZ], moved[: 99 * RATE_HZ])


@pytest.mark.parametrize("signal", ["emg_leg_l", "emg_leg_r", "emg_legs"])
def test_a_limb_movement_lifts_the_leg_by_eight_microvolts_and_not_the_chin(signal: str) -> None:
    limbs = tuple(TruthEvent("periodic limb movement", t, t + 2.0) for t in np.arange(60.0, 260.0, 25.0))
    stages = np.full(10, N2, np.int8)
    leg = emg(stages, signal=signal, limbs=limbs)
    rest = rms(leg, 0, 55)
    assert all(rms(leg, limb.start_s, limb.stop_s) > rest + 8 for limb in limbs)
    assert np.array_equal(emg(stages), emg(stages, limbs=limbs))


@pytest.mark.parametrize("rate_hz", [100, 128, 256])
def test_power_per_hz_is_the_same_at_each_rate(rate_hz: int) -> None:
    stages = np.full(20, N2, np.int8)
    found = []
    for rate in (rate_hz, RATE_HZ):
        hz, power = welch(emg(stages, rate_hz=rate), rate, nperseg=rate)
        shape = np.abs(1 - 0.6 * np.exp(-2j * np.pi * hz / rate)) ** 2  # the high pass goes with the rate
        found.append((power / shape)[(hz > 15) & (hz < 40)].mean())
    assert found[0] == pytest.approx(found[1], rel=0.1)


def test_quick_normals_are_normal() -> None:
    drawn = normals(np.random.default_rng(0), (1000, 500))
    assert drawn.shape == (1000, 500) and drawn.dtype == np.float32
    assert abs(drawn.mean()) < 0.005 and abs(drawn.std() - 1) < 0.005
    assert abs(float(kurtosis(drawn.ravel()))) < 0.02
