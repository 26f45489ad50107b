"""What a simulated heart promises: beats that follow sleep and breath, an ECG and a pulse that detectors read back."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sleepecg

from encoders.simulation import heart
from encoders.simulation.draws import N2, REM, TruthEvent, W, constants, stream
from encoders.simulation.heart import KINDS, Heart
from encoders.simulation.night import Night, plan_night
from encoders.simulation.oxygen import GRID_HZ
from encoders.simulation.people import draw_subject


def replan(night: Night, **changes: object) -> Heart:
    """The night's heart once more, for a subject with other traits."""
    return heart.plan_heart(
        night.key, replace(night.subject, **changes), night.stages, night.positions, night.breath,
        night.named("arousal"), night.named("position change"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def skipping(sick: Night) -> Heart:
    """A heart with a premature beat every minute."""
    return replan(sick, ectopic_per_hour=60.0)


def mean_around(nights: list[Night], at: list[list[float]], before_s: int, after_s: int) -> np.ndarray:
    """Heart rate averaged over the times `at` of each night, second by second, as a fraction of the night's median."""
    rows = []
    for night, times in zip(nights, at, strict=True):
        rate = night.heart.rate_per_min.reshape(-1, round(GRID_HZ)).mean(axis=1)
        rows += [
            rate[round(t) - before_s : round(t) + after_s] / np.median(rate)
            for t in times if t > before_s and t + after_s < len(rate)
        ]  # fmt: skip
    return np.mean(rows, axis=0)


def test_the_heart_slows_in_an_apnea_and_races_at_its_end(nights: list[Night]) -> None:
    stops = [[e.stop_s for e in night.breath.events if "apnea" in e.name] for night in nights]
    curve = mean_around(nights, stops, 30, 30)
    assert 3 <= np.argmax(curve[30:]) <= 12  # seconds after the end
    assert curve.max() > curve[20:30].min() + 0.12
    assert curve[24:30].mean() < curve[:5].mean()


def test_an_arousal_of_its_own_accord_speeds_the_heart(nights: list[Night]) -> None:
    starts = [[a.start_s for a in night.named("arousal") if a.cause == "spontaneous"] for night in nights]
    curve = mean_around(nights, starts, 12, 15)
    assert curve[12:].max() > curve[:10].mean() + 0.06


def test_the_heart_breathes_with_the_lungs() -> None:
    subject = draw_subject(4, 2)
    night = plan_night(4, replace(subject, ahi_per_hour=0.0, rera_per_hour=0.0), 2, 0, 480)
    calm = np.repeat(night.stages == N2, round(30 * GRID_HZ))
    faster = night.heart.rate_per_min
    slow = np.convolve(faster, np.ones(round(8 * GRID_HZ)) / round(8 * GRID_HZ), "same")
    breath = np.sin(night.breath.phase - 0.5)
    assert np.corrcoef((faster - slow)[calm], breath[calm])[0, 1] > 0.4


def test_rem_and_wake_are_faster_than_n2(nights: list[Night]) -> None:
    rates = []
    for night in (n for n in nights if (n.stages == REM).sum() > 20):
        rate = night.heart.rate_per_min.reshape(len(night.stages), -1).mean(axis=1)
        rates.append([rate[night.stages == stage].mean() for stage in (W, N2, REM)])
    wake, n2, rem = np.median(np.array(rates) / np.mean(rates, axis=1, keepdims=True), axis=0)
    assert wake > n2 and rem > n2


def test_a_ventricular_beat_is_followed_by_a_pause_that_compensates(skipping: Heart) -> None:
    rr = np.diff(skipping.beats_s)
    for kind, low, high in ((2, 0.93, 1.07), (1, 0.80, 0.97)):  # the atrial one resets the sinus node
        at = np.flatnonzero(skipping.kinds[:-8] == kind)
        at = at[at > 8]
        assert len(at) > 20
        around = np.array([np.median(np.r_[rr[i - 8 : i - 1], rr[i + 1 : i + 8]]) for i in at])
        assert np.median(rr[at - 1] / around) < 0.8
        assert low < np.median((rr[at - 1] + rr[at]) / (2 * around)) < high


def test_premature_beats_are_in_the_truth_at_the_subjects_rate(sick: Night, skipping: Heart) -> None:
    hours = sick.duration_s / 3600
    assert 40 < len(skipping.premature) / hours < 70
    assert {event.cause for event in skipping.premature} == set(KINDS[1:])
    assert [e for e in sick.events if e.name == "premature beat"] == list(sick.heart.premature)
    beats = skipping.beats_s[skipping.kinds > 0]
    assert all(e.start_s < beat < e.stop_s for e, beat in zip(skipping.premature, beats, strict=True))


@pytest.mark.parametrize("rate_hz", [125, 256])
def test_r_peaks_are_found_within_fifty_milliseconds(sick: Night, skipping: Heart, rate_hz: int) -> None:
    ecg = heart.render_ecg(skipping, sick.breath, stream(1), rate_hz)
    found = sleepecg.detect_heartbeats(ecg.astype(np.float64), rate_hz) / rate_hz
    true = skipping.beats_s
    near = np.abs(found[np.searchsorted(found, true).clip(1, len(found) - 1) - [[1], [0]]] - true).min(axis=0) < 0.05
    assert near.mean() > 0.99
    assert abs(len(found) / len(true) - 1) < 0.01


def test_the_same_heart_has_the_same_ecg_at_any_rate(sick: Night) -> None:
    slow, fast = (heart.render_ecg(sick.heart, sick.breath, stream(1), rate) for rate in (128, 256))
    assert np.abs(fast[::2] - slow).std() < 0.02  # the amplifier's noise, and a sixteenth of a sample


def test_a_person_keeps_the_shape_of_the_beat_from_night_to_night() -> None:
    subject = draw_subject(7, 1)
    hearts = [plan_night(7, subject, 1, night, 60).heart for night in (0, 1)]
    other = plan_night(7, draw_subject(7, 2), 2, 0, 60).heart
    shapes = [heart._person_waves(h.person) for h in (*hearts, other)]
    assert np.array_equal(shapes[0], shapes[1]) and not np.array_equal(shapes[0], shapes[2])


def test_turning_over_turns_the_axis(sick: Night) -> None:
    waves = heart._person_waves(sick.heart.person)
    r_mv = waves[0, :, 2, 2]  # sinus beats, R, by position
    assert r_mv.min() > 0.3 and r_mv.max() < 2.2
    assert len(np.unique(r_mv.round(4))) >= 4


def test_the_finger_pulse_comes_late_and_gives_the_heart_rate(sick: Night) -> None:
    ppg = heart.render_ppg(sick.heart, sick.breath, sick.named("arousal"), stream(1), 64)
    beats = sick.heart.beats_s[5:-5]
    window = ppg[(beats[:, None] * 64).astype(int) + np.arange(round(0.7 * 64))]
    late = window.argmax(axis=1) / 64
    assert 0.28 < np.median(late) < 0.5
    pulses = np.diff(beats + late)
    assert abs(60 / pulses.mean() - 60 / np.diff(beats).mean()) < 0.5


def test_the_finger_pulse_shrinks_after_an_arousal(sick: Night) -> None:
    lone = [TruthEvent("arousal", 600.0 * i, 600.0 * i + 6) for i in range(1, 17)]
    made = [
        heart.render_ppg(sick.heart, replace(sick.breath, events=()), arousals, stream(1), 32)
        for arousals in (lone, [])
    ]
    shrunk = [
        np.ptp(made[0][round((a.start_s + 5) * 32) :][:128]) / np.ptp(made[1][round((a.start_s + 5) * 32) :][:128])
        for a in lone
    ]
    assert 0.3 < np.median(shrunk) < 0.8  # HypnoLaus: drops of 38 % on average, over 14 s
    assert np.allclose(made[0][: 590 * 32], made[1][: 590 * 32])


def test_the_pulse_of_an_oximeter_lags_behind_the_monitor(sick: Night) -> None:
    monitor, pulse = heart.rate_channel(sick.heart), heart.rate_channel(sick.heart, average_s=8, delay_s=5)
    lags = [np.corrcoef(monitor[20:-20], np.roll(pulse, -lag)[20:-20])[0, 1] for lag in range(12)]
    assert 4 <= np.argmax(lags) <= 6


def test_every_stage_has_its_constants() -> None:
    facts = constants("heart")
    for name in ("drift", "vlf", "lf", "hf"):
        assert set(facts[name]["sd"]) == {"W", "N1", "N2", "N3", "REM"}
        assert all(0.005 < sd < 0.12 for sd in facts[name]["sd"].values())


def test_rr_intervals_resemble_those_of_real_patients(shared_data: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
    from judges.beats import by_epoch, person_statistics, slpdb_people

    assert (shared_data / "slpdb_rr_stages").is_dir()
    real = slpdb_people()
    assert len(real) == 16
    patients = [
        (i, s) for i in range(40) if (s := draw_subject(6, i)).sex == "M" and s.ahi_per_hour >= 30 and s.age_years < 70
    ][:3]
    planned = [plan_night(6, subject, i, 0, 480) for i, subject in patients]
    ours = [
        person_statistics(by_epoch(night.heart.beats_s, [("W", "N1", "N2", "N3", "REM")[c] for c in night.stages]))
        for night in planned
    ]
    for measure, factor in (("rr_ms", 1.25), ("sdnn_ms", 2.0), ("rmssd_ms", 2.2)):
        mine, theirs = (np.median([of["N2", measure] for of in people]) for people in (ours, real))
        assert max(mine / theirs, theirs / mine) < factor
