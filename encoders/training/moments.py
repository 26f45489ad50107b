"""In which steps of an epoch its events lie: what the vector of two seconds is taught, beside that of the whole epoch.

A step is told by bits, one for each slot that is an event. Only epochs that hold the event teach where it lies; that
the others lack it is taught by their own vectors.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions.scored import GROUPS, snake
from encoders.models.small.patches import STEPS
from encoders.training.facts import SLOTS, Bits
from encoders.vocabulary import EPOCH_S

EVENT_SLOTS: Final = tuple(number for number, slot in enumerate(SLOTS) if slot.kind == "event")
_STEP_S: Final = EPOCH_S / STEPS
_FILLED: Final = 0.5  # of a step, from which on the event is in it
_PRESENT: Final = 2  # the bit of an event that is there
_BIT: Final = {SLOTS[slot].name: np.uint32(1 << bit) for bit, slot in enumerate(EVENT_SLOTS)}
assert len(EVENT_SLOTS) <= 32  # what a uint32 holds


def step_bits(events: pl.Series) -> Bits:
    """uint32 `(n, STEPS)` of epochs whose events are lists such as "hypopnea 3.2-20.1", null where nothing was scored.

    A bit is up where events of its kind, or of its group, fill half of the step or more.
    """
    bits = np.zeros((len(events), STEPS), np.uint32)
    starts = _STEP_S * np.arange(STEPS)
    for row, said in zip(bits, events.to_list(), strict=True):
        for text in said or ():
            name, _, seconds = text.rpartition(" ")
            from_s, to_s = map(float, seconds.split("-"))
            shared_s = np.minimum(to_s, starts + _STEP_S) - np.maximum(from_s, starts)
            kinds = (snake(name), *(group for group, members in GROUPS.items() if name in members))
            row[shared_s >= _FILLED * _STEP_S] |= np.bitwise_or.reduce([_BIT[kind] for kind in kinds])
    return bits


def step_matches(bits: Bits, steps: Bits, claims: Bits) -> NDArray[np.float32]:
    """Which texts are true of which steps: float32 `(B, STEPS, T)` for `bits (B, slots)`, `steps (B, STEPS)` and
    `claims (T, slots)`.

    1 in the steps that the event fills and 0 in the others, for texts that say that one event is there and nothing
    else, in epochs that hold it; NaN elsewhere.
    """
    found = np.full((*steps.shape, len(claims)), np.nan, np.float32)
    alone = (np.count_nonzero(claims, axis=1) == 1) & (claims[:, EVENT_SLOTS] == _PRESENT).any(axis=1)
    for text in np.flatnonzero(alone):
        slot = int(claims[text].argmax())
        there = bits[:, slot] == _PRESENT
        found[there, :, text] = (steps[there] & _BIT[SLOTS[slot].name]) != 0
    return found
