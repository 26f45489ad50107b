"""The benchmark's own arithmetic, and that its measurements still find the stages they time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from bench_measures import Stages  # noqa: E402
from benchmark import Row, table  # noqa: E402


def measured(*words: str) -> dict[str, Any]:
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(SCRIPTS / "bench_measures.py"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_missed_aim_is_named_in_the_table():
    rows = [Row("ingest", "one night", 12.0, "s", "<= 10"), Row("reading", "as fast", 6.2, "times", ">= 4")]
    assert [row.met for row in rows] == [False, True]
    assert "MISSED" in table(rows) and "≥ 4" in table(rows)


def test_a_figure_without_aim_is_neither_met_nor_missed():
    assert Row("ingest", "captions", 158, "").met is None


def test_a_stage_within_another_counts_once():
    stages = Stages()
    with stages("outer"), stages("inner"):
        pass
    assert list(stages.spent) == ["outer"]


@pytest.mark.slow
def test_ingest_and_search_are_timed_in_all_their_stages(tmp_path: Path):
    night = Path(measured("nights", str(tmp_path / "nights"), "0.25")["all at 256 Hz"])
    took = measured("ingest", str(night.parent), str(tmp_path / "cohort"), "1")
    assert took["recordings"] == 1 and took["epochs"] == 30 and took["sentences"] > 0
    assert {"import", "load encoder", "embed", "catalog", "publish"} <= set(took["parent"])
    assert {"start", "hash", "quality", "measures", "captions", "tables"} <= set(took["workers"])
    asked = measured("search", str(tmp_path / "cohort"), "1")
    assert asked["epochs"] == 30 and asked["similar"]["ms"] > 0
