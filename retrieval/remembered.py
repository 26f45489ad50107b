"""What was found out about a whole cohort for one question, kept for the next; a few things of one process."""

from collections.abc import Callable
from typing import Any, TypeVar

from index import Snapshot

Made = TypeVar("Made")
_MOST = 32
_kept: dict[tuple[str, int, tuple[object, ...]], Any] = {}


def remembered(snapshot: Snapshot, what: tuple[object, ...], make: Callable[[], Made]) -> Made:
    """What `make` gives, once for a snapshot and `what`; the oldest go first. The snapshot itself is not kept open."""
    key = (str(snapshot.root), snapshot.number, what)
    if key not in _kept:
        made = make()
        while len(_kept) >= _MOST:
            _kept.pop(next(iter(_kept)), None)
        _kept[key] = made
        return made
    found: Made = _kept[key]
    return found
