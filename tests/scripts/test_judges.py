"""Detectors that nobody here made, on two short nights; scripts/judge_simulator.py has the table of 20 whole ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """Every figure of two nights of four hours, by judge and what it says."""
    asked = "--nights 2 --hours 4 --seed 23 --workers 1 --json --judges staging elements beats breaths untuned"
    command = [sys.executable, str(SCRIPTS / "judge_simulator.py"), *asked.split()]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {f"{line['judge']}: {line['what']}": line["value"] for line in json.loads(done.stdout)}


@pytest.mark.slow
def test_stager_and_detectors_made_for_real_nights_find_what_was_planted(found: dict[str, float]) -> None:
    assert found["staging: YASA kappa"] >= 0.65
    assert min(found[f"staging: F1 {stage}"] for stage in ("W", "N2", "N3", "REM")) >= 0.5
    for what in ("spindles", "slow waves", "rapid eye movements"):
        assert found[f"elements: YASA {what}"] >= 0.6


@pytest.mark.slow
def test_beats_breaths_and_falls_of_oxygen_are_where_the_truth_says(found: dict[str, float]) -> None:
    for detector in ("SleepECG", "NeuroKit2"):
        assert found[f"beats: heart rate per epoch, {detector}"] < 1.0  # bpm
    assert found["breaths: neurokit2 breathing rate, mean error per epoch"] < 1.0
    for limit in (3, 4):
        assert 0.85 < found[f"breaths: ODI{limit} of the signal over planted, AHI up to 40"] < 1.15
