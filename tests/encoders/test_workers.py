"""Reading processes: results come back, and each loss costs one job."""

import os
import signal

from encoders.workers import run_here, run_jobs


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


def test_in_this_process_a_raised_error_costs_its_own_job_too() -> None:
    done = list(run_here(_work, [1, 4, 2]))
    assert done == [(1, 10, None), (4, None, "ValueError: file 4 is broken"), (2, 20, None)]
