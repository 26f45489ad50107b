"""What arousals promise: AASM's minima, a cause, and a place in the chain of events."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.simulation.arousals import plan_arousals
from encoders.simulation.draws import N2, N3, REM, TruthEvent, W
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.render import render


@pytest.fixture(scope="module")
def whole() -> list[Night]:
    return [plan_night(14, draw_subject(14, i), i, 0, 960) for i in range(3)]


def test_a_rera_ends_in_an_arousal() -> None:
    stages = np.full(200, N2, np.int8)
    reras = [TruthEvent("RERA", t, t + 15.0) for t in range(60, 5000, 70)]
    subject = draw_subject(14, 0)
    arousals = plan_arousals(np.random.default_rng(0), subject, stages, reras, [], [])
    caused = [a for a in arousals if a.cause == "RERA"]
    assert len(caused) == len(reras)
    for rera, arousal in zip(reras, caused, strict=True):
        assert 0 <= arousal.start_s - rera.stop_s <= 3


def test_a_hypopnea_without_desaturation_ends_in_an_arousal() -> None:
    stages = np.full(200, N2, np.int8)
    events = [TruthEvent("hypopnea", t, t + 15.0) for t in range(60, 5000, 70)]
    falls = [TruthEvent("desaturation", e.stop_s, e.stop_s + 20) for e in events]
    count = [
        sum(a.cause == "hypopnea" for a in plan_arousals(
            np.random.default_rng(0), replace(draw_subject(14, 0), circulation_s=15.0), stages, events, fell, []
        ))
        for fell in ([], falls)
    ]  # fmt: skip
    assert count[0] == len(events) > 1.3 * count[1]


def test_arousals_last_three_to_fifteen_seconds_after_ten_of_sleep(whole: list[Night]) -> None:
    for night in whole:
        arousals = night.named("arousal")
        assert len(arousals) > 30
        for before, arousal in zip([None, *arousals], arousals, strict=False):
            assert 3.0 <= arousal.stop_s - arousal.start_s < 15.0
            assert (night.stages[int((arousal.start_s - 10) // 30) : int(arousal.stop_s // 30) + 1] != W).all()
            assert before is None or arousal.start_s - before.stop_s >= 10.0 - 1e-6
            assert arousal.cause is not None


def test_healthy_sleepers_have_as_many_as_published_and_more_with_age() -> None:
    index = []
    for age in (25, 70):
        stages = np.concatenate([np.full(600, N2), np.full(150, N3), np.full(200, REM)]).astype(np.int8)
        subject = replace(draw_subject(14, 1), age_years=age)
        drawn = [plan_arousals(np.random.default_rng(i), subject, stages, [], [], []) for i in range(8)]
        index.append(np.mean([len(arousals) for arousals in drawn]) / (len(stages) / 120))
        deep = np.mean([sum(18000 <= a.start_s < 22500 for a in arousals) for arousals in drawn]) / 1.25
        assert deep < index[-1]  # fewest in N3
    assert 8 < index[0] < 16 and 1.3 < index[1] / index[0] < 2.2  # Boselli 1998: 14.7 and 27.1 with all causes


def test_no_spindle_slow_wave_or_eye_movement_lies_in_an_arousal(whole: list[Night]) -> None:
    for night in whole:
        spans = np.array([(a.start_s, a.stop_s) for a in night.named("arousal")])
        for event in night.named("spindle", "slow wave", "K-complex", "rapid eye movement", "sawtooth wave"):
            inside = (spans[:, 0] < event.start_s) & (event.start_s < spans[:, 1])
            assert not inside.any()


def test_a_k_complex_may_begin_an_arousal(whole: list[Night]) -> None:
    ends = np.array([e.stop_s for night in whole for e in night.named("K-complex")])
    starts = [a.start_s for night in whole for a in night.named("arousal")]
    led = np.mean([np.abs(ends - s).min() < 0.01 for s in starts])
    assert 0.05 < led < 0.4


def test_the_eeg_of_an_arousal_is_faster_and_in_rem_the_chin_is_tenser(whole: list[Night]) -> None:
    night = whole[0]
    made = render(night, {"eeg_c4_m1": 100, "emg_chin": 100})
    hz = np.fft.rfftfreq(300, 0.01)

    def fast(at: float) -> float:
        power = np.abs(np.fft.rfft(made["eeg_c4_m1"][round(at * 100) :][:300] * np.hanning(300))) ** 2
        return float(power[((hz >= 8) & (hz < 12)) | (hz > 16)].sum())

    shift, tenser = [], []
    for a in night.named("arousal"):
        shift.append(fast(a.start_s) / fast(a.start_s - 5))
        if night.stages[int(a.start_s // 30)] == REM:
            chin = [made["emg_chin"][round(t * 100) :][:300].std() for t in (a.start_s, a.start_s - 5)]
            tenser.append(chin[0] / chin[1])
    assert np.median(shift) > 2
    assert len(tenser) >= 3 and np.median(tenser) > 1.5
