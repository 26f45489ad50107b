"""Who the sleepers are: the same for a seed, every illness among them, and traits that follow age, sex and illness."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from encoders.simulation.draws import stream
from encoders.simulation.people import Subject, draw_subject, tonight


@pytest.fixture(scope="module")
def cohort() -> list[Subject]:
    return [draw_subject(41, i) for i in range(600)]


def test_a_subject_is_the_same_whoever_else_is_drawn() -> None:
    assert draw_subject(3, 7) == draw_subject(3, 7) != draw_subject(4, 7)


def test_every_severity_and_its_ahi_class_occurs_and_so_do_movers_and_central_breathers(cohort: list[Subject]) -> None:
    classes = {"none": (0, 5), "mild": (5, 15), "moderate": (15, 30), "severe": (30, 200)}
    for severity, (low, high) in classes.items():
        its = [subject.ahi_per_hour for subject in cohort if subject.severity == severity]
        assert len(its) > 60 and low <= min(its) and max(its) < high
    assert 0.15 < np.mean([subject.plm_per_hour > 15 for subject in cohort]) < 0.35
    assert 0.04 < np.mean([subject.diagnosis == "central sleep apnea" for subject in cohort]) < 0.14
    breathers = [subject for subject in cohort if subject.cheyne_stokes]
    assert len(breathers) >= 10 and all(subject.diagnosis == "central sleep apnea" for subject in breathers)
    assert {1, 2, 3} == set(Counter(subject.nights for subject in cohort))


def test_a_small_cohort_holds_every_severity_on_most_seeds() -> None:
    whole = [len({draw_subject(seed, i).severity for i in range(20)}) == 4 for seed in range(40)]
    assert np.mean(whole) > 0.9


def _slope(cohort: list[Subject], trait: Callable[[Subject], float]) -> float:
    """Of the trait over age, a decade, with sex and severity held."""
    rows = [
        [s.age_years / 10, s.sex == "F", *(s.severity == name for name in ("none", "mild", "moderate", "severe"))]
        for s in cohort
    ]
    return float(np.linalg.lstsq(np.array(rows, float), np.array([trait(s) for s in cohort]), rcond=None)[0][0])


def test_age_shrinks_slow_waves_and_heart_variability_and_breaks_sleep(cohort: list[Subject]) -> None:
    assert -0.11 < _slope(cohort, lambda s: s.slow_wave_gain) < -0.06
    assert -0.12 < _slope(cohort, lambda s: s.heart_variability) < -0.07
    assert _slope(cohort, lambda s: s.wake_gain) > 0.1 and _slope(cohort, lambda s: s.n3_gain) < -0.05
    assert _slope(cohort, lambda s: s.spo2_pct) < -0.15
    assert _slope(cohort, lambda s: s.plm_per_hour > 15) > 0.01


def test_the_ill_are_heavier_older_and_more_often_men(cohort: list[Subject]) -> None:
    healthy, ill = ([s for s in cohort if s.severity == name] for name in ("none", "severe"))
    for trait in ("bmi_kg_m2", "age_years", "desaturation_gain", "snoring", "fragmentation"):
        assert np.mean([getattr(s, trait) for s in ill]) > np.mean([getattr(s, trait) for s in healthy])
    assert np.mean([s.sex == "M" for s in ill]) > np.mean([s.sex == "M" for s in healthy]) + 0.2


def test_central_breathers_are_older_leaner_men(cohort: list[Subject]) -> None:
    sick = [s for s in cohort if s.severity in ("moderate", "severe")]
    central, others = (
        [s for s in sick if (s.diagnosis == "central sleep apnea") is is_central] for is_central in (True, False)
    )
    assert np.mean([s.age_years for s in central]) > np.mean([s.age_years for s in others]) + 4
    assert np.mean([s.bmi_kg_m2 for s in central]) < np.mean([s.bmi_kg_m2 for s in others])
    assert np.mean([s.sex == "M" for s in central]) > 0.75


def test_half_the_patients_breathe_twice_as_badly_on_their_back_and_a_third_in_rem(cohort: list[Subject]) -> None:
    patients = [s for s in cohort if s.severity != "none"]
    assert 0.4 < np.mean([s.supine_event_factor >= 2 for s in patients]) < 0.65
    assert 0.25 < np.mean([s.rem_event_factor >= 2 for s in patients]) < 0.5


def test_the_person_stays_and_the_night_differs() -> None:
    subject = draw_subject(41, 0)
    first, second = (tonight(stream(1, night), subject, night) for night in (0, 1))
    stays = ("id", "age_years", "sex", "bmi_kg_m2", "severity", "diagnosis", "slow_wave_gain", "spindle_hz", "n3_gain")
    assert all(getattr(first, name) == getattr(second, name) == getattr(subject, name) for name in stays)
    assert first.ahi_per_hour != second.ahi_per_hour
    ahi = [tonight(stream(2, i), subject, 0).ahi_per_hour for i in range(400)]
    assert np.mean(ahi) == pytest.approx(subject.ahi_per_hour, rel=0.05)


def test_the_first_night_is_the_worst() -> None:
    subject = draw_subject(41, 0)
    first, second = (tonight(stream(1, night), subject, night) for night in (0, 1))
    assert first.wake_gain > second.wake_gain and first.latency_gain > second.latency_gain
    assert first.n1_gain > second.n1_gain and first.rem_gain < second.rem_gain
