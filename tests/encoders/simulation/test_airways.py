"""What each breathing sensor makes of the same breaths."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.simulation.airways import _mouth, render_breathing
from encoders.simulation.draws import N2, N3, Floats, stream
from encoders.simulation.night import Night
from encoders.simulation.oxygen import GRID_HZ

RATE_HZ = 32
SENSORS = ("nasal_pressure", "airflow_therm", "thorax", "abdomen")


def sensed(night: Night, rate_hz: int = RATE_HZ) -> dict[str, Floats]:
    return {name: render_breathing(night, stream(*night.key, "signal", name), name, rate_hz) for name in SENSORS}


@pytest.fixture(scope="module")
def shown(sick: Night) -> dict[str, Floats]:
    return sensed(sick)


def part(samples: Floats, start_s: float, stop_s: float) -> Floats:
    return samples[round(start_s * RATE_HZ) : round(stop_s * RATE_HZ)]


def quiet(night: Night) -> list[float]:
    """Starts of minutes of NREM sleep in which nothing happens to the breath or the body."""
    busy = [e for e in night.events if "pnea" in e.name or e.name in ("RERA", "position change", "arousal")]
    starts = np.flatnonzero(np.isin(night.stages, (N2, N3)))[:-1] * 30.0
    return [t for t in starts if all(e.stop_s + 40 < t or e.start_s > t + 60 for e in busy)]


def alike(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def height(samples: Floats) -> float:
    return float(np.percentile(samples, 97) - np.percentile(samples, 3))


def test_a_hypopnea_looks_worse_on_the_cannula_than_on_the_thermistor(sick: Night, shown: dict[str, Floats]) -> None:
    mouth = _mouth(sick)
    left: dict[str, list[float]] = {"nasal_pressure": [], "airflow_therm": []}
    for event in sick.named("hypopnea"):
        if mouth[round(event.start_s * GRID_HZ)] < 0.05:
            for name, ratios in left.items():
                before = height(part(shown[name], event.start_s - 60, event.start_s))
                ratios.append(height(part(shown[name], event.start_s + 2, event.stop_s - 2)) / before)
    assert len(left["airflow_therm"]) >= 10
    assert np.median(left["nasal_pressure"]) < 0.4 < np.median(left["airflow_therm"]) < 0.85


def test_cannula_pressure_is_the_square_of_the_flow(sick: Night) -> None:
    half = replace(sick, breath=replace(sick.breath, flow=sick.breath.flow / 2))
    full, halved = (height(sensed(night)["nasal_pressure"]) for night in (sick, half))
    assert halved / full == pytest.approx(0.25, abs=0.03)


def test_the_thermistor_lags_the_cannula(nights: list[Night]) -> None:
    night = max(nights, key=lambda n: len(quiet(n)))
    shown, lags = sensed(night), []
    for start in quiet(night)[:20]:
        a, b = (part(shown[name], start, start + 60) for name in ("nasal_pressure", "airflow_therm"))
        shifted = [alike(a[: len(a) - k], b[k:]) for k in range(2 * RATE_HZ)]
        lags.append(np.argmax(shifted) / RATE_HZ)
    assert 0.15 < np.median(lags) < 1.0


def test_belts_move_together_in_quiet_sleep_and_apart_in_obstructive_apneas(
    nights: list[Night], sick: Night, shown: dict[str, Floats]
) -> None:
    calm = max(nights, key=lambda n: len(quiet(n)))
    belts = sensed(calm)
    together = [alike(part(belts["thorax"], t, t + 60), part(belts["abdomen"], t, t + 60)) for t in quiet(calm)]
    assert 0.6 < np.median(together) < 0.999  # but never quite
    apart = [
        alike(*(part(shown[belt], e.start_s + 3, e.stop_s - 1) for belt in ("thorax", "abdomen")))
        for e in sick.named("obstructive apnea")
    ]
    assert len(apart) > 5 and np.median(apart) < -0.3


def test_belts_are_still_but_for_the_heart_in_central_apneas(sick: Night) -> None:
    start = quiet_start = quiet(sick)[0] if quiet(sick) else 3600.0
    still = replace(sick.breath, effort=sick.breath.effort.copy(), flow=sick.breath.flow.copy())
    span = slice(round(start * GRID_HZ), round((quiet_start + 30) * GRID_HZ))
    still.effort[span], still.flow[span] = 0.0, 0.0
    night = replace(sick, breath=still)
    belt = part(sensed(night)["abdomen"], start + 3, start + 27)
    power = np.abs(np.fft.rfft((belt - belt.mean()) * np.hanning(len(belt)))) ** 2
    hz = np.fft.rfftfreq(len(belt), 1 / RATE_HZ)
    beats = ((sick.heart.beats_s > start + 3) & (sick.heart.beats_s < start + 27)).sum() / 24
    above = hz > 0.5
    assert hz[above][np.argmax(power[above])] == pytest.approx(beats, abs=0.2)
    assert 0.005 < belt.std() < 0.15


def test_limited_inspirations_have_a_plateau(nights: list[Night]) -> None:
    calm = max(nights, key=lambda n: len(quiet(n)))
    start, breath, share = quiet(calm)[0], calm.breath, []
    for limited in (0.0, 0.9):
        flat = replace(breath, flattened=np.full_like(breath.flattened, limited), snore=0 * breath.snore)
        flow = part(sensed(replace(calm, breath=flat))["nasal_pressure"], start, start + 60)
        share.append((flow[flow > 0.1] > 0.75 * np.percentile(flow, 99)).mean())
    assert share[1] > 1.3 * share[0]


def test_the_cannula_loses_what_the_mouth_breathes_and_the_thermistor_does_not(nights: list[Night]) -> None:
    night = max(nights, key=lambda n: float(_mouth(n).mean()))
    mouth = _mouth(night)
    shown, calm = sensed(night), np.abs(night.breath.flow - 1) < 0.4
    at = np.minimum((np.arange(len(shown["thorax"])) * GRID_HZ / RATE_HZ).astype(int), len(mouth) - 1)
    through_mouth, through_nose = (mouth[at] > 0.25) & calm[at], (mouth[at] == 0) & calm[at]
    assert through_mouth.sum() > 60 * RATE_HZ
    cannula, thermistor = (
        np.abs(shown[name][through_mouth]).mean() / np.abs(shown[name][through_nose]).mean()
        for name in ("nasal_pressure", "airflow_therm")
    )
    assert cannula < 0.8 < 0.85 < thermistor


def test_snoring_is_heard_while_breathing_in(sick: Night) -> None:
    breath = replace(sick.breath, snore=np.ones_like(sick.breath.snore))
    heard = render_breathing(replace(sick, breath=breath), stream(1, "snore"), "snore", RATE_HZ)
    cycle = np.interp(np.arange(len(heard)) / RATE_HZ, (np.arange(len(breath.phase)) + 1) / GRID_HZ, breath.phase)
    inhaling = np.mod(cycle / (2 * np.pi), 1) < 0.3
    assert heard[inhaling].std() > 5 * heard[np.mod(cycle / (2 * np.pi), 1) > 0.55].std()


def test_every_rate_shows_the_same_breaths(sick: Night, shown: dict[str, Floats]) -> None:
    slow = sensed(sick, 8)
    for name in SENSORS:
        assert alike(slow[name], shown[name][:: RATE_HZ // 8]) > 0.98


def test_what_a_sensor_shows_is_finite_float32(shown: dict[str, Floats]) -> None:
    for samples in shown.values():
        assert samples.dtype == np.float32 and np.isfinite(samples).all()
