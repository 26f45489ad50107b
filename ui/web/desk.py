"""What all visitors of a page share: one cohort, kept at its newest snapshot, and who is at work on it."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui.web.jobs import Jobs
from ui.web.strips import strip_at

if TYPE_CHECKING:
    from retrieval import Cohort

_log = logging.getLogger("sleepsearch.page")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LARGE = 100_000  # epochs, from which on a first question would wait for what can be read ahead
_STRIPS = 256  # in memory, of up to 100 KB


class Desk:
    """The cohort behind a page. Everything a visitor chose lies in the page's address, nothing of it here."""

    def __init__(self, root: Path, *, host: str = LOOPBACK[0], auth: bool = False) -> None:
        from retrieval import Cohort

        self.root, self.host, self.auth = root, host, auth
        self.jobs = Jobs()
        self._closing = threading.Event()
        self._cohort = Cohort(root)
        self._state: dict[str, Any] | None = None
        # By snapshot too: a recording that was read again may be drawn otherwise.
        self._strips = lru_cache(_STRIPS)(lambda snapshot, *of: strip_at(self._cohort, *of))

    @property
    def cohort(self) -> "Cohort":
        """The cohort at the snapshot that is published now."""
        self._cohort.snapshot.refresh()
        return self._cohort

    def state(self) -> dict[str, Any]:
        """What the header says: name, nights, epochs, snapshot, and whether all nights are simulated."""
        cohort = self.cohort
        if self._state is None or self._state["snapshot"] != cohort.snapshot.number:
            nights, simulated = cohort.snapshot.sql(
                "SELECT count(*), bool_and(coalesce(simulated, false)) FROM recordings"
            ).row(0)
            self._state = {
                "name": cohort.snapshot.name, "nights": nights, "epochs": cohort.snapshot.manifest.counts["epochs"],
                "snapshot": cohort.snapshot.number, "simulated": bool(simulated),
            }  # fmt: skip
        return self._state

    def strip(self, recording: str, start_s: float, stop_s: float, best_s: float | None = None) -> dict[str, Any]:
        """What is drawn of a stretch of the cohort, kept for the next who looks."""
        found: dict[str, Any] = self._strips(self.cohort.snapshot.number, recording, start_s, stop_s, best_s)
        return found

    def warm(self) -> None:
        """Load what the first question would wait for; a cohort that can't be asked says so when it is asked."""
        try:
            cohort = self.cohort
            _ = cohort.encoder, cohort.reader
            self.state()
            if cohort.snapshot.manifest.counts["epochs"] >= LARGE:
                for piece in cohort.read_ahead():
                    _log.info("read ahead: %s", piece)
                    if self._closing.is_set():
                        return
        except Exception as wrong:  # noqa: BLE001 - whoever asks next hears of it
            _log.info("not loaded ahead: %s", wrong)

    def close(self) -> None:
        """End what is at work for the page."""
        self._closing.set()
        self.jobs.close()

    @property
    def known_visitors(self) -> bool:
        """Whether whoever gets here may read this machine's folders: it is served to this machine alone, or with
        `--auth`."""
        return self.auth or self.host in LOOPBACK


def answering(functions: Sequence[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """Functions as a page's JavaScript calls them: what they return becomes plain JSON values; a user's mistake comes
    back as `{"error": "one line"}`, a fault of ours as a line that says so, with its traceback on standard error."""
    return [_answering(function) for function in functions]


def _answering(function: Callable[..., Any]) -> Callable[..., Any]:
    from retrieval import UserError
    from ui.shell import plain

    @wraps(function)
    def answer(*given: Any) -> Any:
        try:
            return plain(function(*given))
        except UserError as wrong:
            return {"error": str(wrong)}
        except Exception:  # noqa: BLE001 - a visitor must hear of it, and the page goes on
            _log.exception("the page asked for %s", function.__name__)
            return {"error": "something went wrong on the server; its terminal has the details"}

    return answer
