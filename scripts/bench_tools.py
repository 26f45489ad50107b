"""What the parts of scripts/benchmark.py share: a row of its table, stages timed by wall and CPU, peak memory."""

import functools
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ONE_THREAD = dict.fromkeys(_LIBRARIES, "1")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `aim` is a comparison such as "≤ 10", empty where the figure is only reported."""

    part: str
    measure: str
    figure: float
    unit: str
    aim: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if not self.aim:
            return None
        sign, limit = self.aim.split()
        bound = float(limit)
        return {"≤": self.figure <= bound, "<": self.figure < bound, "≥": self.figure >= bound, ">": self.figure > bound}[sign]


class Stages:
    """Wall and CPU seconds of named stages; a stage called within another counts for the outer one alone."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}
        self._inside = False

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self._inside:
            yield
            return
        self._inside = True
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._inside = False
            before = self.spent.get(stage, (0.0, 0.0))
            self.spent[stage] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)

    def wrap(self, owner: object, name: str, stage: str) -> None:
        """Count every call of `owner.name` for a stage."""
        function = getattr(owner, name)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self(stage):
                return function(*args, **kwargs)

        setattr(owner, name, call)


def peak_mb() -> float:
    """Peak resident memory of this process; Linux's ru_maxrss would be that of the parent where that had more."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
