"""Breathing as it was: events by the AASM's rules, breaths that differ, Cheyne-Stokes runs, snoring."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from encoders.simulation.breathing import SNORES, Breath, plan_breathing
from encoders.simulation.draws import N1, N2, N3, REM, W, constants, stream
from encoders.simulation.night import RESPIRATORY, Night
from encoders.simulation.oxygen import GRID_HZ
from encoders.simulation.people import Subject, draw_subject

STAGES = np.repeat([W, N1, N2, N3, N2, REM, N2, W], [20, 20, 220, 200, 200, 200, 80, 20]).astype(np.int8)
SIDE = np.ones(len(STAGES), np.int8)


def sleeper(**traits: object) -> Subject:
    plain = {"ahi_per_hour": 20.0, "rera_per_hour": 0.0, "apnea_share": 0.5, "central_share": 0.3, "snoring": 0.5}
    return replace(draw_subject(1, 0), cheyne_stokes=False, **(plain | traits))  # type: ignore[arg-type]


def breathe(seed: int = 1, **traits: object) -> Breath:
    return plan_breathing(stream(seed, "test"), sleeper(**traits), STAGES, SIDE)


def over(breath: Breath, start_s: float, stop_s: float, margin_s: float = 0.5) -> slice:
    return slice(round((start_s + margin_s) * GRID_HZ), round((stop_s - margin_s) * GRID_HZ))


@pytest.fixture(scope="module")
def ill() -> Breath:
    return breathe(ahi_per_hour=30.0, rera_per_hour=8.0)


@pytest.fixture(scope="module")
def well() -> Breath:
    return breathe(ahi_per_hour=0.0)


@pytest.fixture(scope="module")
def waning() -> Breath:
    return plan_breathing(
        stream(2, "test"), replace(sleeper(central_share=0.9), cheyne_stokes=True), STAGES, SIDE
    )  # fmt: skip


def test_events_begin_and_end_with_a_breath_and_never_overlap(ill: Breath) -> None:
    times = np.array([(e.start_s, e.stop_s) for e in ill.events])
    turns = ill.phase[(times * GRID_HZ).astype(int)] / (2 * np.pi)
    assert (np.minimum(turns % 1, 1 - turns % 1) < 0.07).mean() > 0.9
    assert (np.diff(times) >= 10).all() and (times[1:, 0] - times[:-1, 1] >= 8).all()


def test_apneas_lose_nine_tenths_of_the_flow_and_hypopneas_three_tenths(ill: Breath) -> None:
    for event in ill.events:
        left = ill.flow[over(ill, event.start_s, event.stop_s)].mean()
        low, high = (0, 0.1) if "apnea" in event.name else (0.15, 0.85) if event.name == "hypopnea" else (0.6, 1.5)
        assert low <= left <= high


def test_effort_and_paradox_tell_the_kind(ill: Breath) -> None:
    seen = set()
    for event in ill.events:
        span = over(ill, event.start_s, event.stop_s)
        effort, paradox = ill.effort[span], ill.paradox[span].mean()
        if event.name == "obstructive apnea":
            assert paradox > 0.7 and effort[-8:].mean() > effort[:8].mean() > 0.3
        elif event.name == "central apnea":
            assert effort.mean() < 0.1 and paradox < 0.1
        elif event.name == "mixed apnea":
            assert effort[: len(effort) // 3].mean() < 0.1 < 0.5 < effort[-len(effort) // 3 :].mean()
        elif event.name == "hypopnea":
            assert event.cause in ("central", "obstructive") and (paradox > 0.2) == (event.cause == "obstructive")
        seen.add(event.name)
    assert seen == {"obstructive apnea", "central apnea", "mixed apnea", "hypopnea", "RERA"}


def test_reras_are_limited_breaths_of_nearly_full_size_and_no_desaturation(ill: Breath) -> None:
    reras = [e for e in ill.events if e.name == "RERA"]
    assert len(reras) > 20
    assert all(ill.flattened[over(ill, e.start_s, e.stop_s)].mean() > 0.8 for e in reras)
    # Squared, as a cannula shows it, the flow falls by less than the 30 % of a hypopnea.
    assert min(constants("breathing")["events"]["rera_flow"]) ** 2 > 0.7
    assert "RERA" not in {fall.cause for fall in ill.desaturations}


def test_reras_come_on_top_of_the_ahi_and_all_end_in_arousals(nights: list[Night]) -> None:
    few, many = (breathe(seed, rera_per_hour=rate) for seed, rate in ((4, 0.0), (5, 15.0)))
    asleep_h = (STAGES != W).sum() / 120
    ahi = [sum(e.name != "RERA" for e in breath.events) / asleep_h for breath in (few, many)]
    assert ahi == pytest.approx([20, 20], abs=4.5)
    assert sum(e.name == "RERA" for e in many.events) / asleep_h == pytest.approx(15, abs=4)
    found = 0
    for night in nights:
        starts = np.array([a.start_s for a in night.named("arousal")])
        for rera in night.named("RERA"):
            assert ((starts >= rera.stop_s - 1) & (starts <= rera.stop_s + 5)).any()
            found += 1
    assert found > 20 and "RERA" not in RESPIRATORY


def test_apneas_are_longer_in_rem_and_events_commoner_on_the_back() -> None:
    lengths: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(2):
        for event in breathe(seed, ahi_per_hour=40.0, apnea_share=1.0).events:
            lengths[STAGES[int(event.start_s // 30)] == REM].append(event.stop_s - event.start_s)
    assert np.mean(lengths[True]) > 1.1 * np.mean(lengths[False])
    turning = np.where(np.arange(len(STAGES)) // 60 % 2, 2, 1).astype(np.int8)
    on_back = [
        turning[int(e.start_s // 30)] == 2
        for seed in range(2)
        for e in plan_breathing(stream(seed, "turns"), sleeper(supine_event_factor=2.0), STAGES, turning).events
    ]
    assert 0.55 < np.mean(on_back) < 0.8


def test_breaths_differ_most_awake_and_in_rem_and_least_in_deep_sleep(well: Breath) -> None:
    onsets = np.flatnonzero(np.diff(np.floor(well.phase / (2 * np.pi)))) + 1
    stage = np.repeat(STAGES, round(30 * GRID_HZ))[onsets[:-1]]
    periods, volumes = np.diff(onsets) / GRID_HZ, well.flow[onsets[:-1] + 4]
    usual = volumes < 1.7  # but sighs
    spread = {code: np.log(periods[usual & (stage == code)]).std() for code in (W, N2, N3, REM)}
    assert spread[N3] < spread[N2] < spread[REM] and spread[N2] < spread[W]
    assert 0.04 < spread[N3] < 0.1 and 0.1 < spread[REM] < 0.25
    deep = {code: np.log(volumes[usual & (stage == code)]).std() for code in (N3, REM)}
    assert 0.05 < deep[N3] < 0.12 and 0.13 < deep[REM] < 0.3
    assert np.corrcoef(volumes[usual][:-1], volumes[usual][1:])[0, 1] > 0.2  # a deep breath follows a deep one
    assert well.rate_per_min.min() >= 7 and well.rate_per_min.max() <= 26


def test_sighs_of_twice_the_volume_come_one_or_two_an_hour_of_sleep() -> None:
    asleep = np.repeat(STAGES != W, round(30 * GRID_HZ))
    big = [breathe(seed, ahi_per_hour=0.0).flow * asleep > 1.8 for seed in range(4)]
    per_hour = np.mean([np.maximum(np.diff(b.astype(int)), 0).sum() for b in big]) / ((STAGES != W).sum() / 120)
    assert 0.8 < per_hour < 3.5  # 1.66: Perez-Padilla et al., Sleep 1983


def test_inspiration_is_shorter_than_expiration(well: Breath) -> None:
    assert well.inspired.min() >= 0.3 and well.inspired.max() <= 0.5 and 0.37 < well.inspired.mean() < 0.43


def test_cheyne_stokes_waxes_and_wanes_three_times_or_more_at_forty_seconds_or_more(waning: Breath) -> None:
    runs = [span for span in waning.spans if span.name == "Cheyne-Stokes breathing"]
    assert runs
    swells = []
    for run in runs:
        inside = [e for e in waning.events if run.start_s <= e.start_s < run.stop_s]
        assert len(inside) >= 3 and {e.cause for e in inside} == {"Cheyne-Stokes breathing"}
        assert {e.name for e in inside} <= {"central apnea", "hypopnea"}
        assert np.diff([e.start_s for e in inside]).min() >= 40
        stages = STAGES[int(run.start_s // 30) : int(run.stop_s // 30) + 1]
        assert np.isin(stages, (N1, N2)).all()
        for pause, after in pairwise(inside):
            swell = waning.flow[over(waning, pause.stop_s, after.start_s, 0)]
            third = len(swell) // 3
            swells.append(swell[third:-third].mean() / max(swell[:third].mean(), swell[-third:].mean()))
            assert np.allclose(waning.paradox[over(waning, pause.start_s, pause.stop_s)], 0, atol=0.1)
    assert np.median(swells) > 1.2
    cycles = np.concatenate(
        [np.diff([e.start_s for e in waning.events if r.start_s <= e.start_s < r.stop_s]) for r in runs]
    )
    assert 45 < np.median(cycles) < 85  # Hall et al., Am J Respir Crit Care Med 1996: 59 s
    asleep_h = (STAGES != W).sum() / 120
    assert sum(e.name != "RERA" for e in waning.events) / asleep_h == pytest.approx(20, abs=6)


def test_nobody_without_the_illness_breathes_cheyne_stokes(ill: Breath) -> None:
    assert "Cheyne-Stokes breathing" not in {span.name for span in ill.spans}


def test_snoring_is_spans_of_ten_seconds_or_more_for_those_who_snore(ill: Breath) -> None:
    spells = [span for span in ill.spans if span.name == "snoring"]
    assert spells and all(s.stop_s - s.start_s >= 10 for s in spells)
    assert all(ill.snore[over(ill, s.start_s, s.stop_s, 0)].max() >= SNORES for s in spells)
    assert not [s for s in breathe(snoring=0.0).spans if s.name == "snoring"]
    apneas = [e for e in ill.events if e.name == "obstructive apnea"]
    assert all(ill.snore[over(ill, e.start_s, e.stop_s)].max() == 0 for e in apneas)


def test_nobody_asleep_has_no_events() -> None:
    breath = plan_breathing(stream(1, "test"), sleeper(), np.full(120, W, np.int8), np.ones(120, np.int8))
    assert breath.events == () and breath.desaturations == ()


def test_the_same_stream_breathes_the_same(ill: Breath) -> None:
    again = breathe(ahi_per_hour=30.0, rera_per_hour=8.0)
    assert again.events == ill.events and np.array_equal(again.flow, ill.flow)
