"""What the background EEG promises: spectra by stage, alpha behind closed eyes, traits, neighbours, any rate."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import coherence, resample_poly, welch

from encoders.simulation import brain
from encoders.simulation.draws import N1, N2, N3, REM, W
from encoders.simulation.night import Night
from encoders.simulation.people import Subject, draw_subject

RATE_HZ = 100
STAGES = np.repeat(np.array([W, N1, N2, N3, REM], np.int8), 24)


def eeg(
    electrodes: list[str], *, night: int = 0, index: int = 0, subject: Subject | None = None,
    stages: np.ndarray = STAGES, eyes_open: bool = False, rate_hz: int = RATE_HZ,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Background alone: a night without events."""
    open_eyes = np.full(len(stages) * 30, eyes_open) & np.repeat(stages == W, 30)
    subject = subject or replace(draw_subject(4, index), age_years=35, slow_wave_gain=1.0, alpha_gain=1.0)
    return brain.render_eeg((4, index, night), subject, stages, open_eyes, [], [], electrodes, rate_hz)


def band(samples: np.ndarray, low: float, high: float, rate_hz: int = RATE_HZ) -> float:
    hz, power = welch(samples, rate_hz, nperseg=4 * rate_hz)
    return float(np.log10(power[(hz >= low) & (hz < high)].mean()))


def of_stage(samples: np.ndarray, stage: int, stages: np.ndarray = STAGES) -> np.ndarray:
    inside = np.flatnonzero(stages == stage)[1:-1]  # the first and last epoch blend into the next stage
    return samples.reshape(len(stages), -1)[inside].ravel()


def test_slow_activity_rises_and_fast_falls_with_depth() -> None:
    nights = [eeg(["C3"], index=i)["C3"] for i in range(12)]
    slow, fast = (
        np.array([[band(of_stage(night, stage), *limits) for stage in range(5)] for night in nights]).mean(axis=0)
        for limits in ((1, 4), (20, 30))
    )
    assert slow[N3] > slow[N2] > slow[REM] and slow[N2] > slow[N1]
    assert fast[W] > fast[N1] > fast[N2] > fast[N3] and fast[REM] < fast[W]


def test_alpha_comes_behind_closed_eyes_most_of_all_at_the_back() -> None:
    stages = np.full(30, W, np.int8)
    shut, watching = (eeg(["C3", "O1", "F3"], stages=stages, eyes_open=eyes_open) for eyes_open in (False, True))
    reaction = {name: band(shut[name], 8.5, 11) - band(watching[name], 8.5, 11) for name in shut}
    assert min(reaction.values()) > 0.1
    assert band(shut["O1"], 8.5, 11) > band(shut["C3"], 8.5, 11) > band(shut["F3"], 8.5, 11)


def test_alpha_slows_with_age() -> None:
    def peak_hz(age: int) -> float:
        found = []
        for i in range(6):
            subject = replace(draw_subject(4, i), age_years=age, alpha_gain=1.5)
            samples = eeg(["O1"], index=i, subject=subject, stages=np.full(30, W, np.int8))["O1"]
            hz, power = welch(samples, RATE_HZ, nperseg=4 * RATE_HZ)
            near = (hz >= 7) & (hz < 13)
            found.append(hz[near][np.argmax(power[near] * hz[near])])
        return float(np.mean(found))

    assert peak_hz(80) < peak_hz(25) - 0.5


def test_a_sleeper_is_more_like_himself_in_another_night_than_like_others() -> None:
    edges = list(pairwise(np.geomspace(1, 30, 12)))
    stages = np.repeat(np.array([W, N2, N3, REM], np.int8), 12)

    def profile(index: int, night: int) -> list[float]:
        samples = eeg(["C3"], index=index, night=night, stages=stages)["C3"]
        return [band(of_stage(samples, stage, stages), *edge) for stage in (W, N2, N3, REM) for edge in edges]

    made = np.array([[profile(i, night) for night in (0, 1)] for i in range(8)])
    apart = np.abs(made[:, None, 0] - made[None, :, 1]).mean(axis=2)  # (first nights, second nights)
    assert (apart.argmin(axis=1) == np.arange(8)).mean() >= 0.75


def test_neighbours_are_more_coherent_than_distant_electrodes() -> None:
    made = eeg(["F3", "F4", "C3", "C4", "O1", "O2"], stages=np.full(60, N2, np.int8))

    def together(one: str, other: str, low: float = 1, high: float = 30) -> float:
        hz, found = coherence(made[one], made[other], RATE_HZ, nperseg=2 * RATE_HZ)
        return float(found[(hz >= low) & (hz < high)].mean())

    assert together("C3", "F3") > together("C3", "F4") > together("F3", "O2")
    assert together("C3", "C4") > together("F3", "O2") and together("O1", "O2") > together("O1", "F4")
    assert together("C3", "C4", 1, 6) > together("C3", "C4", 20, 30) + 0.1
    assert together("C3", "C4") < 0.9


def test_a_smaller_slow_wave_gain_makes_a_flatter_n3() -> None:
    stages = np.full(20, N3, np.int8)
    small, large = (
        band(eeg(["C3"], stages=stages, subject=replace(draw_subject(4, 0), slow_wave_gain=gain))["C3"], 0.5, 2)
        for gain in (0.6, 1.2)
    )
    assert large - small == pytest.approx(2 * np.log10(1.2 / 0.6), abs=0.12)


def test_slow_activity_is_paid_off_over_the_night() -> None:
    stages = np.full(840, N3, np.int8)
    early, late = (
        np.mean([band(half, 0.5, 2, 50) for half in np.split(eeg(["C3"], stages=stages, rate_hz=50)["C3"], 7)[part]])
        for part in (slice(0, 2), slice(5, 7))
    )
    assert early > late + 0.1


@pytest.mark.parametrize("rate_hz", [64, 128, 250])
def test_the_same_eeg_at_any_rate(rate_hz: int) -> None:
    stages = np.full(10, N2, np.int8)
    slow = resample_poly(eeg(["C3"], stages=stages, rate_hz=rate_hz)["C3"], RATE_HZ, rate_hz)
    assert np.corrcoef(slow, eeg(["C3"], stages=stages)["C3"])[0, 1] > 0.97


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = eeg(["C3", "O2"])
    monkeypatch.setattr(brain, "BLOCK", 7)
    for name, samples in eeg(["C3", "O2"]).items():
        assert np.allclose(samples, whole[name], atol=1e-3)


def test_an_electrode_does_not_depend_on_the_others() -> None:
    assert np.array_equal(eeg(["C3"])["C3"], eeg(["C3", "F4", "Oz"])["C3"])


def test_deep_sleep_and_body_follow_the_stage(sick: Night, signals: dict[str, np.ndarray]) -> None:
    hz = np.fft.rfftfreq(3000, 0.01)
    power = np.abs(np.fft.rfft(signals["eeg_c3_m2"].reshape(-1, 3000) * np.hanning(3000))) ** 2

    def share(low: float, high: float, stage: int) -> float:
        band, whole = (hz >= low) & (hz < high), (hz >= 0.5) & (hz < 30)
        ratio = power[:, band].sum(axis=1) / power[:, whole].sum(axis=1)
        return float(np.median(ratio[sick.stages == stage]))

    assert share(0.5, 4, N3) > share(0.5, 4, N2) > share(0.5, 4, REM)
    assert share(12, 16, N2) > share(12, 16, REM)
    assert share(8, 12, W) > 1.2 * share(8, 12, N2)  # eyes, sweat and muscle dilute the alpha of real wake
    # Tone is what the chin does most of the time, between twitches and arousals.
    tone = np.percentile(signals["emg_chin"].reshape(len(sick.stages), 30, 100).std(axis=2), 25, axis=1)
    assert np.median(tone[sick.stages == REM]) < np.median(tone[sick.stages == N3]) < np.median(tone[sick.stages == W])
