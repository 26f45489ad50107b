"""One thread for each process where many work side by side."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """The cores are shared out by process, not by thread: what is spawned inside has one of each library's."""
    before = {name: os.environ.get(name) for name in _NAMES}
    os.environ.update(dict.fromkeys(_NAMES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
