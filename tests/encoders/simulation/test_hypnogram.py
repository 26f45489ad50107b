"""Hypnograms: what a night always is, what the fitted nights were like, and what age and illness do to it."""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from encoders.simulation import hypnogram
from encoders.simulation.draws import N1, N2, N3, REM, W, constants, stream
from encoders.simulation.hypnogram import draw_hypnogram
from encoders.simulation.people import Subject, draw_subject

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "fit_hypnogram.py"
HOURS = 8
Stages = NDArray[np.int8]


def nights_of(subjects: Sequence[Subject], hours: float = HOURS, seed: int = 1) -> list[Stages]:
    return [draw_hypnogram(stream(seed, i), subject, round(hours * 120)) for i, subject in enumerate(subjects)]


def mean_sleeper(**gains: float) -> Subject:
    """The sleeper of the fitted nights, whose gains are all 1, but for those named."""
    even = dict.fromkeys(
        ("wake_gain", "n1_gain", "n3_gain", "rem_gain", "latency_gain", "rem_latency_gain", "fragmentation"), 1.0
    )
    return replace(draw_subject(0, 0), **(even | gains))


def measures(stages: Stages) -> dict[str, float]:
    """WASO and latencies in minutes, shares of sleep in per cent, stage changes an hour of sleep."""
    asleep = np.flatnonzero(stages != W)
    night = stages[asleep[0] : asleep[-1] + 1]
    rem, sleep = np.flatnonzero(night == REM), (night != W).sum()
    return {
        "waso": (night == W).sum() / 2,
        "latency": asleep[0] / 2,
        "rem latency": rem[0] / 2 if len(rem) else np.nan,
        "awakenings": ((night[1:] == W) & (night[:-1] != W)).sum(),
        "shifts": (np.diff(night) != 0).sum() / (sleep / 120),
        **{
            name: 100 * (night == code).sum() / sleep
            for name, code in (("N1", N1), ("N2", N2), ("N3", N3), ("REM", REM))
        },
    }


def mean_of(nights: Sequence[Stages]) -> dict[str, float]:
    rows = [measures(night) for night in nights]
    return {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}


@pytest.fixture(scope="module")
def usual() -> list[Stages]:
    """200 nights of the mean sleeper."""
    return nights_of([mean_sleeper()] * 200)


@pytest.mark.parametrize("hours", [0.25, 1.0, 3.0, 8.0, 24.0])
def test_a_night_starts_and_ends_awake_and_is_the_same_again(hours: float) -> None:
    for i in range(5):
        night, again = (draw_hypnogram(stream(9, i), draw_subject(9, i), round(hours * 120)) for _ in range(2))
        assert night.dtype == np.int8 and night.shape == (round(hours * 120),)
        assert night[0] == night[-1] == W and set(night) <= {W, N1, N2, N3, REM} and (night != W).any()
        assert np.array_equal(night, again)


def test_the_mean_sleeper_sleeps_like_the_fitted_nights(usual: list[Stages]) -> None:
    # Means of the 173 real nights, each database weighing the same.
    real = {"N1": 11.2, "N2": 55.4, "N3": 14.0, "REM": 19.4, "waso": 39.7, "awakenings": 21.4, "shifts": 16.2}
    got = mean_of(usual)
    for name, value in real.items():
        assert got[name] == pytest.approx(value, rel=0.15), name
    assert np.nanmedian([measures(night)["rem latency"] for night in usual]) == pytest.approx(86.0, rel=0.15)


def test_bouts_last_as_in_the_fitted_nights(usual: list[Stages]) -> None:
    # Real 25th, 50th, 75th and 90th centiles in epochs.
    real = {W: (1, 1, 2, 6), N1: (1, 2, 3, 7), N2: (2, 6, 17, 34), N3: (1, 2, 8, 24), REM: (4, 12, 28, 47)}
    for stage, centiles in real.items():
        lengths = np.concatenate([_bouts(night, stage) for night in usual])
        got = np.percentile(lengths, (25, 50, 75, 90))
        assert np.abs(np.log((got + 1) / (np.array(centiles) + 1))).max() < 0.35, (stage, got)


def _bouts(night: Stages, stage: int) -> NDArray[np.int64]:
    asleep = np.flatnonzero(night != W)
    night = night[asleep[0] : asleep[-1] + 1]
    edges = np.diff(np.concatenate([[0], (night == stage).astype(int), [0]]))
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


def test_n3_comes_early_and_rem_late(usual: list[Stages]) -> None:
    early = late = whole_n3 = whole_rem = 0
    for night in usual:
        asleep = np.flatnonzero(night != W)
        first, *_, last = np.array_split(night[asleep[0] : asleep[-1] + 1], 3)
        early, late = early + (first == N3).sum(), late + (last == REM).sum()
        whole_n3, whole_rem = whole_n3 + (night == N3).sum(), whole_rem + (night == REM).sum()
    assert 0.45 < early / whole_n3 < 0.65 and 0.4 < late / whole_rem < 0.6  # real: 0.56 and 0.50


def test_rem_comes_round_every_hour_and_a_half(usual: list[Stages]) -> None:
    cycles = []
    for night in usual:
        rem = np.flatnonzero(night == REM)
        onsets = rem[np.diff(rem, prepend=-999) > 30]
        cycles += list(np.diff(onsets) / 2)
    assert 75 < np.median(cycles) < 115


def test_a_night_without_rem_is_rare() -> None:
    nights = nights_of([draw_subject(12, i) for i in range(300)])
    assert np.mean([(night == REM).any() for night in nights]) > 0.97


@pytest.mark.parametrize(
    ("gain", "name", "tolerance"), [("wake_gain", "waso", 0.35), ("n1_gain", "N1", 0.25), ("n3_gain", "N3", 0.25),
                                    ("rem_gain", "REM", 0.25)],
)  # fmt: skip
def test_a_gain_of_two_about_doubles_its_stage(usual: list[Stages], gain: str, name: str, tolerance: float) -> None:
    more = mean_of(nights_of([mean_sleeper(**{gain: 2.0})] * 150))
    assert more[name] / mean_of(usual)[name] == pytest.approx(2.0, rel=tolerance)


def test_older_sleepers_wake_more_and_have_less_n3() -> None:
    cohort = [draw_subject(5, i) for i in range(700)]
    young, old = ([s for s in cohort if low <= s.age_years < high and s.severity in ("none", "mild")]
                  for low, high in ((20, 38), (60, 86)))  # fmt: skip
    before, after = mean_of(nights_of(young)), mean_of(nights_of(old))
    # About four decades: +9.7 min of wake and, in men, -1.9 % of N3 a decade (Boulos 2019, Walsleben 2004).
    assert 15 < after["waso"] - before["waso"] < 65
    assert -12 < after["N3"] - before["N3"] < -1.5


def test_women_have_more_n3() -> None:
    cohort = [draw_subject(6, i) for i in range(500)]
    men, women = ([s for s in cohort if s.sex == sex and s.severity == "none"] for sex in ("M", "F"))
    assert 2 < mean_of(nights_of(women))["N3"] - mean_of(nights_of(men))["N3"] < 11  # Walsleben 2004: 6.7


def test_severe_apnea_breaks_sleep_and_raises_wake_and_n1() -> None:
    cohort = [draw_subject(7, i) for i in range(500)]
    none, severe = (mean_of(nights_of([s for s in cohort if s.severity == name])) for name in ("none", "severe"))
    assert severe["waso"] > none["waso"] + 10
    assert severe["N1"] > 1.3 * none["N1"]
    assert severe["shifts"] > 1.2 * none["shifts"] and severe["awakenings"] > 1.3 * none["awakenings"]
    assert severe["N3"] < 0.85 * none["N3"] and severe["REM"] < none["REM"]


def test_a_short_recording_is_a_piece_of_a_whole_night_with_its_own_bouts() -> None:
    subjects = [draw_subject(2, i) for i in range(60)]
    nights = nights_of(subjects, hours=1.0)
    assert np.mean([len(np.unique(night)) == 5 for night in nights]) > 0.85
    for i, subject in enumerate(subjects[:20]):
        whole = hypnogram._night(stream(1, i), subject, hypnogram.WHOLE)
        inner = np.lib.stride_tricks.sliding_window_view(whole, 118)
        assert (inner == nights[i][1:-1]).all(axis=1).any()


def test_a_longer_recording_than_anybody_sleeps_ends_in_wake() -> None:
    longest = constants("hypnogram")["longest_sleep_min"]
    for night in nights_of([draw_subject(4, i) for i in range(5)], hours=24):
        asleep = np.flatnonzero(night != W)
        assert (asleep[-1] - asleep[0]) / 2 <= longest < 720


@pytest.mark.slow
def test_the_fitted_constants_are_those_of_the_script_and_the_data(shared_data: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("fit_hypnogram", SCRIPT)
    assert spec and spec.loader
    fit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit)
    nights = fit.read_nights(shared_data)
    assert {name: sum(night.database == name for night in nights) for name in fit.DATABASES} == {
        "BOAS": 128, "Sleep-EDF": 34, "UCDDB": 11,
    }  # fmt: skip
    assert not any("018" in night.person for night in nights if night.database == "UCDDB")
    assert fit.write(nights) == fit.OUT.read_text(encoding="utf-8")
