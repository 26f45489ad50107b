"""What the eyes promise: each movement in its stage, both eyes as one, and the brain's leakage in phase."""

import numpy as np
import pytest

from encoders.simulation.draws import N1, N3, REM, TruthEvent, W
from encoders.simulation.eyes import blinks, render_eyes
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject

RATE_HZ = 100


@pytest.fixture(scope="module")
def looks() -> list[Night]:
    return [plan_night(13, draw_subject(13, i), i, 0, 960) for i in range(3)]


def _alone(night: Night, *names: str) -> tuple[np.ndarray, np.ndarray]:
    """E1 and E2 of these movements only, with no brain behind them."""
    return render_eyes(night.key, night.stages, night.named(*names), np.zeros(960 * 3000, np.float32), RATE_HZ)


def test_each_movement_keeps_to_its_stage(looks: list[Night]) -> None:
    stages = {
        "blink": {W}, "saccade": {W}, "reading eye movement": {W}, "slow eye movement": {W, N1},
        "rapid eye movement": {REM},
    }  # fmt: skip
    for name, allowed in stages.items():
        found = [(night, event) for night in looks for event in night.named(name)]
        assert len(found) > 30
        for night, event in found:
            assert set(night.stages[int(event.start_s // 30) : int(event.stop_s // 30) + 1]) <= allowed
            if name in ("blink", "saccade", "reading eye movement"):
                assert night.open_eyes[int(event.start_s) : int(event.stop_s) + 1].all()


def test_slow_rolling_in_wake_comes_before_n1(looks: list[Night]) -> None:
    for night in looks:
        for event in night.named("slow eye movement"):
            epoch = int(event.start_s // 30)
            assert night.stages[epoch] == N1 or (night.stages[epoch : epoch + 6] == N1).any()


def test_rapid_eye_movements_come_in_bursts_and_grow_over_the_night(looks: list[Night]) -> None:
    early, late = 0, 0
    for night in looks:
        rem = np.flatnonzero(np.repeat(night.stages == REM, 3))  # ten seconds each
        starts = np.array([e.start_s for e in night.named("rapid eye movement")])
        counts = np.bincount((starts // 10).astype(int), minlength=960 * 3)[rem]
        assert 6 < counts.mean() * 6 < 24
        assert counts.var() > 1.5 * counts.mean()  # Poisson would be 1
        assert (counts == 0).mean() > 0.1  # tonic stretches
        early, late = early + counts[: len(rem) // 2].sum(), late + counts[len(rem) // 2 :].sum()
    assert late > 1.1 * early


def test_eyes_move_together_and_their_electrodes_apart(looks: list[Night]) -> None:
    for name in ("rapid eye movement", "slow eye movement"):
        left, right = _alone(looks[0], name)
        over = np.concatenate([np.arange(int(e.start_s * 100), int(e.stop_s * 100)) for e in looks[0].named(name)])
        assert np.corrcoef(left[over], right[over])[0, 1] < -0.9


def test_rapid_movements_rise_within_a_tenth_of_a_second(looks: list[Night]) -> None:
    left, _ = _alone(looks[0], "rapid eye movement")
    rise = []
    for event in looks[0].named("rapid eye movement"):
        over = np.abs(left[int(event.start_s * 100) : int(event.start_s * 100) + 30])
        rise.append(over.argmax() / 100)
    assert np.median(rise) < 0.12
    heights = [np.abs(left[int(e.start_s * 100) :][:20]).max() for e in looks[0].named("rapid eye movement")]
    assert np.std(heights) > 10


def test_blinks_lift_e2_and_leak_into_the_front(looks: list[Night]) -> None:
    left, right = _alone(looks[0], "blink")
    lid = blinks(looks[0].key, looks[0].named("blink"), 960 * 3000, RATE_HZ)
    at = [int((e.start_s + e.stop_s) / 2 * 100) for e in looks[0].named("blink")]
    assert np.median(lid[at]) > 60 and np.median(right[at]) > 60 and np.median(left[at]) < -15


def test_the_brain_leaks_into_both_eyes_in_phase(looks: list[Night]) -> None:
    night = looks[0]
    wave = np.where(np.repeat(night.stages == N3, 3000), 80 * np.sin(np.arange(960 * 3000) / 16), 0).astype(np.float32)
    left, right = render_eyes(night.key, night.stages, [], wave, RATE_HZ)
    deep = np.repeat(night.stages == N3, 3000)
    assert np.corrcoef(left[deep], right[deep])[0, 1] > 0.8


def test_movements_do_not_depend_on_the_rate() -> None:
    key, stages = (1, 2, 0), np.full(4, REM, np.int8)
    events = [TruthEvent("rapid eye movement", 20.0, 20.6), TruthEvent("rapid eye movement", 31.3, 31.8)]
    slow, fast = (render_eyes(key, stages, events, np.zeros(120 * rate, np.float32), rate)[0] for rate in (100, 200))
    over = slice(2000, 2050)
    assert np.allclose(slow[over], fast[::2][over], atol=20) and np.abs(slow[over]).max() > 30
