"""Long work behind the page: started by one call, asked after by its token, cancelled by another.

A job's token is all that a page keeps of it, so a page that is loaded again, or another visitor with the link, can go
on asking. Two jobs work at once, later ones wait their turn; what ended an hour ago is dropped.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

AT_ONCE = 2
KEPT_S = 3600.0
KEPT = 12  # ended jobs whose result can still be asked for: those of large cohorts are large
_log = logging.getLogger("sleepsearch.page")
Progress = Callable[[str, int, int], None]  # what was done last, how many are done, of how many


class Cancelled(Exception):
    """Raised inside a job, by its own report of progress, once somebody has cancelled it."""


@dataclass(slots=True)
class _Job:
    token: str
    name: str | None
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    state: str = "running"  # then done, failed or cancelled
    said: str = "waiting for other work to end"
    done: int = 0
    of: int = 0
    result: Any = None
    error: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def progress(self, said: str, done: int, of: int) -> None:
        """What the work calls now and then; ends it by `Cancelled` where that was asked for."""
        self.said, self.done, self.of = said, done, of
        if self.cancel.is_set():
            raise Cancelled


class Jobs:
    """Threads at work for the page, by token."""

    def __init__(self, *, at_once: int = AT_ONCE, kept_s: float = KEPT_S) -> None:
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(at_once)
        self._kept_s = kept_s

    def start(self, work: Callable[[Progress], Any], *, name: str | None = None) -> str:
        """Begin `work(progress)` in a thread; its token. Of jobs of one `name` one runs at a time: its token, then."""
        with self._lock:
            running = (j.token for j in self._jobs.values() if name and j.name == name and j.state == "running")
            if token := next(running, None):
                return token
            self._drop()
            job = _Job(secrets.token_urlsafe(9), name)
            self._jobs[job.token] = job
            job.thread = threading.Thread(
                target=self._run, args=(job, work), name=f"job-{name or job.token}", daemon=True
            )
        job.thread.start()
        return job.token

    def close(self, wait_s: float = 10.0) -> None:
        """Cancel all that runs and wait so long for its end: a thread in foreign code must not outlive Python."""
        until = time.monotonic() + wait_s
        with self._lock:
            running = [job for job in self._jobs.values() if job.state == "running"]
        for job in running:
            job.cancel.set()
        for job in running:
            if job.thread and job.thread.is_alive():
                job.thread.join(max(until - time.monotonic(), 0.0))

    def running(self, name: str) -> str | None:
        """The token of the job of that name, while it runs."""
        with self._lock:
            return next((j.token for j in self._jobs.values() if j.name == name and j.state == "running"), None)

    def look(self, token: str) -> dict[str, Any]:
        """`state` (running, done, failed, cancelled, or unknown), progress, seconds, and at the end result or error."""
        with self._lock:
            self._drop()
            job = self._jobs.get(token)
        if job is None:
            return {"state": "unknown"}
        seconds = round((job.ended or time.monotonic()) - job.began, 1)
        found = {"state": job.state, "said": job.said, "done": job.done, "of": job.of, "seconds": seconds}
        found["cancelling"] = job.cancel.is_set() and job.state == "running"
        return found | {"result": job.result, "why": job.error}

    def cancel(self, token: str) -> dict[str, Any]:
        """Ask the job to end at its next step, or before its first."""
        with self._lock:
            job = self._jobs.get(token)
        if job:
            job.cancel.set()
        return self.look(token)

    def _drop(self) -> None:
        now = time.monotonic()
        ended = [j for j in self._jobs.values() if j.ended is not None]
        for number, job in enumerate(ended, KEPT - len(ended)):
            if number < 0 or now - (job.ended or now) > self._kept_s:
                del self._jobs[job.token]

    def _run(self, job: _Job, work: Callable[[Progress], Any]) -> None:
        from retrieval import UserError

        state = "failed"
        while not self._turns.acquire(timeout=0.2):
            if job.cancel.is_set():
                job.ended, job.state = time.monotonic(), "cancelled"
                return
        try:
            job.progress("", 0, 0)
            job.result, state = work(job.progress), "done"
        except Cancelled:
            state = "cancelled"
        except UserError as wrong:
            job.error = str(wrong)
        except Exception:  # noqa: BLE001 - the visitor must hear of it, and the page goes on
            _log.exception("long work of the page, %s", job.name or job.token)
            job.error = "something went wrong on the server; its terminal has the details"
        finally:
            self._turns.release()
            job.ended = time.monotonic()
            job.state = state  # last: whoever sees the end sees all of it
