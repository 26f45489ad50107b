"""Detectors that nobody here made, on a few short nights; the table of 20 whole ones is scripts/judge_simulator.py's."""

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
    command = [sys.executable, str(SCRIPTS / "judge_simulator.py"), "--nights", "2", "--hours", "4", "--seed", "23",
               "--workers", "1", "--json", "--judges", "staging", "elements", "beats", "breaths", "untuned"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {f"{line['judge']}: {line['what']}": line["value"] for line in json.loads(done.stdout)}
