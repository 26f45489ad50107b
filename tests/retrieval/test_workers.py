"""Reading processes: results come back, and each loss costs one job."""

import os
import signal

from retrieval.workers import run_jobs


def _work(job: int) -> int:
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 4:
        raise ValueError("file 4 is broken")
    return job * 10


def test_a_killed_process_costs_one_file_and_a_raised_error_its_own() -> None:
    results = {job: (result, error) for job, result, error in run_jobs(_work, range(7), workers=2)}
    assert {j: r for j, (r, e) in results.items() if e is None} == {0: 0, 1: 10, 2: 20, 5: 50, 6: 60}
    assert "signal 9" in str(results[3][1])
    assert results[4][1] == "ValueError: file 4 is broken"


def test_more_workers_than_jobs_is_no_harm() -> None:
    assert list(run_jobs(_work, [1], workers=4)) == [(1, 10, None)]


def test_the_last_job_can_be_the_one_that_dies() -> None:
    assert [error is not None for _, _, error in run_jobs(_work, [3], workers=1)] == [True]


def _imported(_: int) -> list[str]:
    import sys

    import retrieval.night  # noqa: F401

    return [name for name in ("torch", "faiss", "transformers") if name in sys.modules]


def test_reading_processes_import_no_torch_and_no_faiss() -> None:
    assert next(run_jobs(_imported, [0], workers=1))[1] == []
