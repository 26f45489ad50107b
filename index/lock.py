"""One writer a cohort: a lock that the kernel lets go when its process ends, however it ends."""

import os
from pathlib import Path
from typing import IO

from index.errors import CohortLocked


class FileLock:
    """An advisory lock on a file that holds the owner's process number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self, *, wait: bool = False) -> None:
        """Take the lock; CohortLocked at once, with the other's process number, unless asked to wait."""
        try:
            import fcntl
        except ImportError:
            raise CohortLocked(
                f"{self.path.parent}: writing needs file locks (fcntl), which this system lacks; write on Linux or "
                f"macOS, or under WSL. Reading works here."
            ) from None
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise CohortLocked(
                f"{self.path.parent}: process {owner} is writing this cohort; wait for it to end, or end it and start "
                f"again (nothing is lost). Searching goes on meanwhile."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
