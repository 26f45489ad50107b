"""Files that visitors bring and that are not in the cohort: kept for a while under a token, then deleted.

What was uploaded is moved into a folder of its own, read there, and deleted with all that was made of it: when its
visitor says so, after an hour, when newer ones need the room, or when the server ends.
"""

import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk
from ui.web.files import LARGEST_GB, uploaded
from ui.web.jobs import Progress

if TYPE_CHECKING:
    from retrieval.foreign import Foreign

MOST = 8  # nights at once
KEPT_S = 3600.0


@dataclass(slots=True)
class _Held:
    folder: TemporaryDirectory[str]
    since: float = field(default_factory=time.monotonic)
    job: str = ""
    night: "Foreign | None" = None

    def close(self) -> None:
        if self.night:
            self.night.close()
        self.folder.cleanup()


class Inbox:
    """Nights that are not in the cohort, by token."""

    def __init__(self, desk: Desk, *, most: int = MOST, kept_s: float = KEPT_S) -> None:
        self._desk, self._most, self._kept_s = desk, most, kept_s
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def take(self, files: Sequence[dict[str, str]]) -> str:
        """Begin to read uploaded files, each `{path, name}`, as one night; its token. `BadInput` for what is too large,
        was not uploaded, or where every place is taken by a night that is still being read."""
        from retrieval import BadInput

        uploads = [(uploaded(f["path"]), Path(f["name"]).name) for f in files]
        if not uploads:
            raise BadInput("no file; give an EDF or BDF file, and its annotations if you have them.")
        held = _Held(TemporaryDirectory(prefix="sleepsearch-upload-"))
        paths = []
        for path, name in uploads:
            if name in ("", ".", ".."):
                raise BadInput("a file has no name; give an EDF or BDF file.")
            paths.append(Path(shutil.move(path, Path(held.folder.name) / name)))
        size_gb = sum(p.stat().st_size for p in paths) / 1e9
        try:
            if size_gb > LARGEST_GB:
                raise BadInput(f"{size_gb:.1f} GB; at most {LARGEST_GB} GB can be read here.")
            self._make_room()
        except BadInput:
            held.close()
            raise
        token = secrets.token_urlsafe(9)

        def read(progress: Progress) -> None:
            try:
                held.night = self._desk.cohort.foreign(paths, progress)
            except BaseException:
                self.forget(token)
                raise
            if token not in self._held:  # forgotten while it was read
                held.close()

        with self._lock:
            self._held[token] = held
        held.job = self._desk.jobs.start(read, name=f"file {token}")
        timer = threading.Timer(self._kept_s, self.forget, [token])
        timer.daemon = True
        timer.start()
        return f"{token}.{held.job}"

    def look(self, token: str) -> dict[str, Any]:
        """How far the reading of one is: what `Jobs.look` says of it."""
        return self._desk.jobs.look(token.partition(".")[2])

    def night(self, token: str) -> "Foreign":
        """The night of that token; `BadInput` says when it is gone, or not read yet."""
        from retrieval import BadInput

        held = self._held.get(token.partition(".")[0])
        if held is None:
            raise BadInput("this file is gone; it is deleted after an hour, or when newer ones come. Drop it again.")
        if held.night is None:
            raise BadInput("this file is still being read.")
        return held.night

    def left_s(self, token: str) -> float:
        """Seconds until it is deleted."""
        held = self._held.get(token.partition(".")[0])
        return max(0.0, held.since + self._kept_s - time.monotonic()) if held else 0.0

    def forget(self, token: str) -> None:
        """Delete the file and all that was made of it."""
        with self._lock:
            held = self._held.pop(token.partition(".")[0], None)
        if held:
            if held.night is None:
                self._desk.jobs.cancel(held.job)
            held.close()

    def _make_room(self) -> None:
        """Let the oldest night go that has been read, where all places are taken."""
        from retrieval import BadInput

        if len(self._held) < self._most:
            return
        ready = [token for token, held in self._held.items() if held.night]
        if not ready:
            raise BadInput(f"{self._most} files are being read; try again in a minute.")
        self.forget(min(ready, key=lambda token: self._held[token].since))
