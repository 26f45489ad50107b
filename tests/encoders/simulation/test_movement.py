"""What a simulated body promises: positions and turns, leg movements by the AASM's rules, artifacts."""

import numpy as np
import pytest

from encoders.simulation.draws import N3, REM, TruthEvent, W
from encoders.simulation.movement import FAMILIES, SERIES, disturb, plan_limb_movements, plan_positions
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.render import render
from encoders.vocabulary import POSITIONS


@pytest.fixture(scope="module")
def movers() -> list[Night]:
    """Nights of eight periodic limb movers."""
    chosen = [(i, s) for i in range(80) if (s := draw_subject(13, i)).plm_per_hour > 10][:8]
    return [plan_night(13, subject, i, 0, 720) for i, subject in chosen]


def test_positions_and_shifts_are_those_of_a_working_population() -> None:
    shares, per_hour = np.zeros(len(POSITIONS)), []
    for i in range(60):
        subject = draw_subject(2, i)
        stages = np.tile(np.repeat(np.array([W, 2, 1, REM], np.int8), [4, 60, 4, 20]), 11)
        positions, turns = plan_positions(np.random.default_rng(i), subject, stages)
        shares += np.bincount(positions, minlength=len(POSITIONS))
        per_hour.append(len(turns) / (len(stages) / 120))
        edges = np.flatnonzero(np.diff(positions)) + 1
        assert len(turns) == len(edges)
        assert all(
            t.start_s <= 30 * e <= t.stop_s and 3 <= t.stop_s - t.start_s <= 8
            for t, e in zip(turns, edges, strict=True)
        )
    shares /= shares.sum()
    assert 0.28 < shares[2] < 0.47 and 0.03 < shares[3] < 0.15  # supine, prone: 37.5 and 7.3 % in Skarpsno 2017
    assert 1.1 < np.mean(per_hour) < 1.9  # 1.6 in men


def test_periodic_movements_are_short_and_close_and_four_in_a_row(movers: list[Night]) -> None:
    intervals = []
    for night in movers:
        events = night.named("periodic limb movement")
        starts = np.array([e.start_s for e in events])
        assert all(0.5 <= e.stop_s - e.start_s <= 10 for e in events)
        assert {e.cause for e in events} <= {"left", "right", "both"}
        for series in np.split(starts, np.flatnonzero(np.diff(starts) > 90) + 1):
            assert len(series) >= SERIES
            intervals += np.diff(series).tolist()
    assert min(intervals) >= 5 and max(intervals) <= 90
    counts, edges = np.histogram(intervals, np.arange(5, 95, 5))
    assert 15 <= edges[np.argmax(counts)] < 30  # Ferri 2006: a wide peak at 15 to 30 s


def test_movers_move_as_often_in_sleep_as_they_came_with(movers: list[Night]) -> None:
    ratios = [
        sum(night.stages[int(e.start_s // 30)] != W for e in night.named("periodic limb movement"))
        / ((night.stages != W).sum() / 120) / night.subject.plm_per_hour
        for night in movers
    ]  # fmt: skip
    assert 0.7 < np.median(ratios) < 1.3


def test_movements_thin_out_from_light_sleep_to_rem_and_occur_in_wake(movers: list[Night]) -> None:
    stage = np.concatenate(
        [[night.stages[int(e.start_s // 30)] for e in night.named("periodic limb movement")] for night in movers]
    )
    all_epochs = np.concatenate([night.stages for night in movers])
    per_epoch = np.bincount(stage, minlength=5) / np.bincount(all_epochs, minlength=5)
    assert per_epoch[2] > per_epoch[N3] and per_epoch[2] > 2 * per_epoch[REM] and per_epoch[W] > 0


def test_no_limb_movement_is_scored_at_a_respiratory_event() -> None:
    events = [TruthEvent("hypopnea", 40.0 * i, 40.0 * i + 15) for i in range(1, 400)]
    subject = next(s for i in range(80) if (s := draw_subject(13, i)).plm_per_hour > 10)
    limbs = plan_limb_movements(np.random.default_rng(3), subject, np.full(720, 2, np.int8), events)
    assert limbs
    for limb in limbs:
        assert all(limb.stop_s <= e.start_s - 0.5 + 0.11 or limb.start_s >= e.stop_s + 0.5 - 0.11 for e in events)


def test_single_movements_stand_alone(movers: list[Night]) -> None:
    found = 0
    for night in movers:
        series = np.array([e.start_s for e in night.named("periodic limb movement")])
        single = np.array([e.start_s for e in night.named("limb movement")])
        found += len(single)
        assert (np.diff(single) > 90).all()
        assert all(np.abs(series - at).min() > 85 for at in single)
    assert found


@pytest.mark.parametrize("name", ["eeg_c3_m2", "eog_l", "ecg", "thorax", "nasal_pressure", "snore", "ppg"])
def test_a_turn_disturbs_each_sensor_and_is_over_within_minutes(name: str) -> None:
    rate, turns = 64, [TruthEvent("position change", 100.0, 106.0)]
    rng = np.random.default_rng(1)
    calm = np.sin(np.arange(600 * rate) / 10).astype(np.float32) + rng.normal(0, 0.01, 600 * rate).astype(np.float32)
    moved = disturb(calm, name, rate, turns, (1, 2, 3))
    change = np.abs(moved - calm)
    assert np.array_equal(moved[: 100 * rate], calm[: 100 * rate])
    assert change[100 * rate : 106 * rate].mean() > 0.02
    assert change[300 * rate :].mean() < 0.5  # belts, flow and pulse keep another amplitude until the next turn
    assert np.array_equal(moved, disturb(calm, name, rate, turns, (1, 2, 3)))


@pytest.mark.parametrize("name", ["spo2", "heart_rate", "body_position", "emg_chin", "emg_leg_l", "el_m1", "el_chin_l"])
def test_steps_and_muscles_are_left_to_others(name: str) -> None:
    samples = np.arange(64 * 300, dtype=np.float32)
    assert disturb(samples, name, 64, [TruthEvent("position change", 100.0, 106.0)], (1, 2, 3)) is samples


def test_the_same_turns_move_the_same_way_at_every_rate() -> None:
    turns = [TruthEvent("position change", 100.0, 106.0), TruthEvent("position change", 300.0, 304.0)]
    slow, fast = (disturb(np.zeros(400 * rate, np.float32), "thorax", rate, turns, (1, 2, 3)) for rate in (32, 64))
    at = slice(106 * 32, 130 * 32)  # what is left when the muscles rest
    assert np.allclose(fast[::2][at], slow[at], atol=1e-3)


def test_a_disturbed_electrode_still_gives_its_derivation(nights: list[Night]) -> None:
    night = next(n for n in nights if len(n.named("position change")) >= 3)
    made = render(night, {"el_f4": 64, "el_m1": 64, "eeg_f4_m1": 64, "el_ecg_1": 64, "el_ecg_2": 64, "ecg": 64})
    assert np.allclose(made["el_f4"] - made["el_m1"], made["eeg_f4_m1"], atol=1e-3)
    assert set(FAMILIES) >= {"eeg", "eog", "ecg", "belt", "flow", "ppg"}
