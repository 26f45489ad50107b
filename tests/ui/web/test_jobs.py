"""Long work behind the page: its progress, its end, its turn, and what is dropped."""

import threading
import time

import pytest

from retrieval import BadInput
from ui.web.jobs import Jobs, Progress


def ended(jobs: Jobs, token: str) -> str:
    """The state of a job once it no longer runs."""
    until = time.monotonic() + 20
    while (state := jobs.look(token)["state"]) == "running" and time.monotonic() < until:
        time.sleep(0.01)
    return str(state)


class Held:
    """Work that reports one step, then waits to be let go, reporting all the while."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, progress: Progress) -> str:
        self.began.set()
        while not self.go.wait(0.01):
            progress("held", 3, 10)
        return "released"


def test_a_job_tells_its_progress_and_then_its_result() -> None:
    jobs, work = Jobs(), Held()
    token = jobs.start(work)
    work.began.wait(10)
    until = time.monotonic() + 10
    while jobs.look(token)["said"] != "held" and time.monotonic() < until:
        time.sleep(0.01)
    seen = jobs.look(token)
    assert (seen["state"], seen["done"], seen["of"], seen["result"]) == ("running", 3, 10, None)
    work.go.set()
    assert ended(jobs, token) == "done"
    assert jobs.look(token)["result"] == "released"


def test_a_cancelled_job_ends_at_its_next_step_and_has_no_result() -> None:
    jobs, work = Jobs(), Held()
    token = jobs.start(work)
    work.began.wait(10)
    jobs.cancel(token)
    assert ended(jobs, token) == "cancelled"
    assert jobs.look(token)["result"] is None and not work.go.is_set()


def test_two_jobs_work_at_once_and_the_third_waits_its_turn() -> None:
    jobs, works = Jobs(), [Held(), Held(), Held()]
    tokens = [jobs.start(work) for work in works]
    for work in works[:2]:
        assert work.began.wait(10)
    assert not works[2].began.wait(0.3)
    assert "waiting" in jobs.look(tokens[2])["said"]
    works[0].go.set()
    assert works[2].began.wait(10)
    for work in works:
        work.go.set()
    assert [ended(jobs, token) for token in tokens] == ["done"] * 3


def test_a_job_that_waits_can_be_cancelled_before_it_begins() -> None:
    jobs, first, second = Jobs(at_once=1), Held(), Held()
    jobs.start(first)
    first.began.wait(10)
    token = jobs.start(second)
    jobs.cancel(token)
    assert ended(jobs, token) == "cancelled" and not second.began.is_set()
    first.go.set()


def test_what_failed_says_why_in_one_line_and_hides_what_is_no_mistake_of_the_user() -> None:
    jobs = Jobs()

    def mistaken(progress: Progress) -> None:
        raise BadInput("no such column")

    def broken(progress: Progress) -> None:
        raise RuntimeError("/a/path")

    first, second = jobs.start(mistaken), jobs.start(broken)
    assert (ended(jobs, first), jobs.look(first)["why"]) == ("failed", "no such column")
    assert ended(jobs, second) == "failed" and "/a/path" not in jobs.look(second)["why"]


def test_jobs_of_one_name_run_once_at_a_time() -> None:
    jobs, work = Jobs(), Held()
    token = jobs.start(work, name="ingest")
    work.began.wait(10)
    assert jobs.start(Held(), name="ingest") == token == jobs.running("ingest")
    work.go.set()
    assert ended(jobs, token) == "done" and jobs.running("ingest") is None


@pytest.mark.parametrize("kept_s", [0.0, 3600.0])
def test_what_ended_long_ago_is_dropped(kept_s: float) -> None:
    jobs = Jobs(kept_s=kept_s)
    token = jobs.start(lambda progress: 1)
    time.sleep(0.2)
    ended(jobs, token)
    time.sleep(0.02)
    assert jobs.look(token)["state"] == ("unknown" if kept_s == 0 else "done")
