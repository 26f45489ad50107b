"""Processes that read nights side by side: spawned, of one thread each, and each loss costs one file.

A pool of the standard library gives up all its work when the kernel kills one process; here the parent holds one
pipe a process, so a dead process is one failed job, and another is started in its place.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from encoders.errors import BadInput
from encoders.threads import one_thread

Work = Callable[[Any], Any]
Outcome = tuple[Any, Any, str | None]  # a job, its result, its error: one of the two, never both
_TICK_S = 0.2


def _serve(pipe: Connection, work: Work) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):
            return  # the parent is gone
        try:
            pipe.send((True, work(job)))
        except Exception as error:  # noqa: BLE001  one bad file must cost one job, whatever is wrong with it
            pipe.send((False, reason(error)))


def reason(error: Exception) -> str:
    """In one line: what is wrong with a user's file as it is said, anything else is ours, and named."""
    text = " ".join(str(error).split())
    return text if isinstance(error, BadInput) else f"{type(error).__name__}: {text[:300]}"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal: one that is being born would print where it was."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # would let the signal through once it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with _uninterrupted(), one_thread():
            self.process.start()
        theirs.close()
        self.job: Any = None

    def give(self, job: Any) -> None:
        self.job = job
        self.pipe.send(job)

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _fate(worker: _Worker) -> str:
    worker.process.join()
    code = worker.process.exitcode or 0
    if code == -signal.SIGKILL:
        return "the reading process was killed (signal 9), as the kernel does when memory runs out; try fewer workers"
    return f"the reading process ended by itself (exit code {code})"


def run_jobs(
    work: Work,
    jobs: Iterable[Any],
    workers: int,
    *,
    meanwhile: Callable[[], object] | None = None,
    waiting_on: Callable[[], object] | None = None,
) -> Iterator[Outcome]:
    """Yield `(job, result, error)` in the order of completion; a job has a result or an error, never both.

    `work` is a function at the top of a module, called in spawned processes; what it raises becomes the error text.
    `meanwhile` is called once, here, when every process has its first job; `waiting_on` again and again while nothing
    is done yet: what it raises ends the processes.
    """
    waiting = iter(jobs)
    pool: list[_Worker] = []
    try:
        for job in waiting:
            worker = _Worker(work)
            pool.append(worker)
            worker.give(job)
            if len(pool) >= workers:
                break
        if meanwhile:
            meanwhile()
        while busy := [w for w in pool if w.job is not None]:
            ready = wait([w.pipe for w in busy], _TICK_S if waiting_on else None)
            if waiting_on and not ready:
                waiting_on()
            for pipe in ready:
                worker = next(w for w in busy if w.pipe is pipe)
                job, worker.job = worker.job, None
                following = next(waiting, None)
                try:
                    good, value = worker.pipe.recv()
                    answer = (job, value, None) if good else (job, None, str(value))
                except (EOFError, ConnectionResetError):
                    answer = (job, None, _fate(worker))
                    worker.close()
                    pool.remove(worker)
                    if following is not None:
                        pool.append(worker := _Worker(work))
                if following is not None:
                    worker.give(following)
                yield answer
    finally:
        for worker in pool:
            worker.close()


def run_here(work: Work, jobs: Iterable[Any]) -> Iterator[Outcome]:
    """The same in this process, one job after the other, where starting another would cost more than it saves."""
    for job in jobs:
        try:
            result = work(job)
        except Exception as error:  # noqa: BLE001  as above
            yield job, None, reason(error)
        else:
            yield job, result, None
