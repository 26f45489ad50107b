"""What was found out about a whole cohort for one question, kept for the next; a few things of one process."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from index import Snapshot

Made = TypeVar("Made")
_MOST = 32
_kept: dict[tuple[str, int, tuple[object, ...]], Any] = {}
_lock = threading.Lock()


def remembered(snapshot: Snapshot, what: tuple[object, ...], make: Callable[[], Made]) -> Made:
    """What `make` gives, once for a snapshot and `what`; what was longest not asked for goes first.

    The snapshot itself is not kept open.
    """
    key = (str(snapshot.root), snapshot.number, what)
    with _lock:
        if key in _kept:
            found: Made = _kept.pop(key)
            _kept[key] = found  # the last to go
            return found
    made = make()  # outside of the lock: others go on meanwhile, and at worst it is made twice
    with _lock:
        _kept.pop(key, None)
        while len(_kept) >= _MOST:
            del _kept[next(iter(_kept))]
        _kept[key] = made
    return made
