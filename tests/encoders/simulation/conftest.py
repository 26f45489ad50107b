"""Short nights that the tests of this folder share; each is drawn once."""

import numpy as np
import pytest

from encoders.simulation import SimulatedNight, simulate, site_facts
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.render import render

SEED = 11


@pytest.fixture(scope="session")
def nights() -> list[Night]:
    """One planned night of three hours for each of 16 subjects."""
    return [plan_night(SEED, draw_subject(SEED, i), i, 0, 360) for i in range(16)]


@pytest.fixture(scope="session")
def sick(nights: list[Night]) -> Night:
    """The night with the most respiratory events."""
    return max(nights, key=lambda night: len(night.breath.events))


@pytest.fixture(scope="session")
def signals(sick: Night) -> dict[str, np.ndarray]:
    """Its signals at modest rates."""
    rates = {
        "eeg_c3_m2": 100, "eeg_c4_m1": 100, "eog_l": 50, "eog_r": 50, "emg_chin": 100, "ecg": 128, "airflow_therm": 16,
        "nasal_pressure": 16, "thorax": 16, "abdomen": 16, "spo2": 1, "heart_rate": 1, "body_position": 1,
    }  # fmt: skip
    return render(sick, rates)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimulatedNight]:
    """The files of one short ideal night of each site, all of one subject. Read only."""
    out = tmp_path_factory.mktemp("sites")
    return {s: simulate(out / s, nights=1, seed=4, sites=[s], hours=0.5, ideal=True)[0] for s in site_facts()}
