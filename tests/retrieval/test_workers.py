"""Reading processes of an ingest: they load nothing heavy, and a killed one costs its own night."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from encoders.workers import run_jobs
from retrieval import ingest
from retrieval.night import Job, NightFiles, read_night
from tests.conftest import SimCohort


def _imported(_: int) -> list[str]:
    import retrieval.night  # noqa: F401

    return [name for name in ("torch", "faiss", "transformers") if name in sys.modules]


def test_reading_processes_import_no_torch_and_no_faiss() -> None:
    assert next(run_jobs(_imported, [0], workers=1))[1] == []


def _killed_by_the_second(job: Job) -> NightFiles:
    if job.folder.name == "000001":
        os.kill(os.getpid(), signal.SIGKILL)
    return read_night(job)


def test_a_killed_process_lists_its_own_night_as_failed_and_no_other(
    small_cohort: SimCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nights").mkdir()
    first, second = sorted(small_cohort.folder.glob("*.edf"))[:2]
    for path in (first, second):
        shutil.copy(path, tmp_path / "nights")
    monkeypatch.setattr(sys.modules[ingest.__module__], "read_night", _killed_by_the_second)
    report = ingest([tmp_path / "nights"], tmp_path / "cohort", workers=2)
    (failed,) = report.failed
    assert report.recordings == 1 and Path(failed["path"]).name == second.name and "signal 9" in failed["error"]
