"""What is known of an epoch and what a text claims of it, as bits, so that a batch of both compares in milliseconds.

A slot is one thing with several levels (the intervals of a measure, the stage, the position, an event that is there or
not). An epoch has one bit in each slot, several where its level is only narrowed down (NREM is N1, N2 or N3) and none
where it is unknown. A text has in each slot the levels that it allows, and none where it says nothing.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_lexicon, load_measures
from encoders.captions.frames import Array, Grid
from encoders.captions.scored import GROUPS, snake
from encoders.captions.wording import load_wording, scale_levels
from encoders.vocabulary import CHANNELS, EVENTS, POSITIONS

Bits = NDArray[np.uint32]
_Bytes = NDArray[np.uint8]

LEAST_OVERLAP_S: Final = 3.0  # AASM: an arousal lasts 3 s; what reaches less far into an epoch can't be judged in it
STAGE_LEVELS: Final = ("W", "N1", "N2", "N3", "REM")
ABSENT_PRESENT: Final = ("absent", "present")
_STAGE_BITS = {stage: 1 << level for level, stage in enumerate(STAGE_LEVELS)} | {"NREM": 0b01110}
_UNSAID = np.uint8(0xFF)  # allows every level; no slot has as many as eight


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing that can be said. A measure's levels are the intervals between its ascending `cuts`."""

    name: str  # of a measure: its column
    kind: str  # measure | stage | position | event
    levels: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    unless: str = ""  # "column >= limit": unknown where that holds


def _slots() -> tuple[Slot, ...]:
    scales = {s["column"]: (tuple(map(float, s["cuts"])), s.get("unless", "")) for s in load_wording()["scale"]}
    for concept in load_lexicon().concepts.values():  # a question may ask what no caption says
        if concept.kind == "measure" and concept.evidence and concept.evidence not in scales:
            assert concept.present_from is not None
            scales[concept.evidence] = ((concept.present_from,), "")
    measures = [Slot(name, "measure", _intervals(cuts), cuts, unless) for name, (cuts, unless) in scales.items()]
    events = [Slot(snake(name), "event", ABSENT_PRESENT) for name in EVENTS]
    groups = [Slot(name, "event", ABSENT_PRESENT) for name in GROUPS]
    return (
        *measures, Slot("stage", "stage", STAGE_LEVELS), Slot("position", "position", tuple(POSITIONS.values())),
        *events, *groups,
    )  # fmt: skip


def _intervals(cuts: Sequence[float]) -> tuple[str, ...]:
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(cuts)]
    return (f"under {cuts[0]:g}", *inner, f"{cuts[-1]:g} or more")


SLOTS: Final = _slots()
INDEX: Final = {slot.name: number for number, slot in enumerate(SLOTS)}
FACTS_VERSION: Final = hashlib.sha256(repr((3, SLOTS)).encode()).hexdigest()[:12]  # 3: of the rules here and in moments


def fact_bits(
    measures: Mapping[str, Array], scored: pl.DataFrame, epochs: Grid, *, noted: Collection[str] = ()
) -> Bits:
    """What is known of each epoch: uint32 `(n, len(SLOTS))`, one bit for the level, several where several are
    possible, 0 where unknown.

    measures, scored: columns of `measure_epochs` and `score_epochs` of the same epochs. An event is present when it
    fills 3 s of the epoch or lies in it whole, absent when none of its kind reaches the epoch at all, else unknown.
    noted: names of `vocabulary.EVENTS` of which the source notes every one, as a simulation's truth does of those it
    makes: none noted is none there, whatever the kinds that were scored.
    """
    n = len(epochs.start_s)
    silent = {snake(name) for name in noted}
    bits = np.zeros((n, len(SLOTS)), np.uint32)
    for slot, column in zip(SLOTS, bits.T, strict=True):
        if slot.kind == "measure":
            column[:] = _measured(slot, measures)
        elif slot.kind == "stage":
            column[:] = [_STAGE_BITS.get(stage, 0) for stage in scored["stage"]]
        elif slot.kind == "position":
            column[:] = [1 << slot.levels.index(p) if p else 0 for p in measures["position"]]
        else:
            column[:] = _events(slot.name, scored, silent=slot.name in silent)
    turned = np.array([change is not None for change in measures["position_change"]], bool)
    told = np.where(turned, 2, np.where(bits[:, INDEX["position"]] > 0, 1, 0)).astype(np.uint32)
    turns = bits[:, INDEX["position_change"]]  # scored, or seen by the position sensor
    turns[:] = np.where((turns | told) & 2, 2, turns | told)
    return bits


def _measured(slot: Slot, measures: Mapping[str, Array]) -> Bits:
    level, known = scale_levels(measures, slot.name, slot.cuts, slot.unless)
    return np.where(known, np.left_shift(1, level), 0).astype(np.uint32)


def _events(name: str, scored: pl.DataFrame, *, silent: bool) -> Bits:
    count, seconds, longest = (
        scored[column].cast(pl.Float64).to_numpy() for column in (f"n_{name}", f"{name}_s", f"{name}_longest_s")
    )
    count = np.where(np.isnan(count), 0.0 if silent else np.nan, count)
    present = (count > 0) & (seconds >= np.minimum(longest, LEAST_OVERLAP_S) - 1e-3)
    return np.where(count == 0, 1, np.where(present, 2, 0)).astype(np.uint32)


def answerable(bits: Bits, present: NDArray[np.bool_]) -> Bits:
    """`bits` `(n, len(SLOTS))` less what the sensors present `(n, 12)` can't tell: a measure needs one of its sets.

    Stages and events stay: several sensors show them, and which suffice is for the model to learn.
    """
    can = np.zeros(bits.shape, bool)
    for column, groups in zip(can.T, _sensors(), strict=True):
        for group in groups:
            column |= present[:, group].all(axis=1)
    return np.where(can, bits, 0).astype(np.uint32)


@cache
def _sensors() -> list[list[list[int]]]:
    """For each slot the sets of sensors (rows of CHANNELS) of which any one tells it; what needs others has none."""
    measures = load_measures() | {"position_change": load_measures()["position"]}
    measured = ("measure", "position")
    found: list[list[list[int]]] = []
    for slot in SLOTS:
        if slot.kind not in measured and slot.name != "position_change":
            found.append([[]])  # an empty set is always there
            continue
        groups = [group for group in measures[slot.name].channels if set(group) <= set(CHANNELS)]
        found.append([[CHANNELS.index(channel) for channel in group] for group in groups])
    return found


def claim(said: Mapping[str, Collection[str]]) -> Bits:
    """A claim uint32 `(len(SLOTS),)` that allows these levels in each slot named; KeyError or ValueError for others."""
    allowed = np.zeros(len(SLOTS), np.uint32)
    for name, levels in said.items():
        slot = SLOTS[INDEX[name]]
        allowed[INDEX[name]] = sum(1 << slot.levels.index(level) for level in set(levels))
    return allowed


def all_of(claims: Bits, first: NDArray[np.int64]) -> Bits:
    """The claims of texts that each say several things: rows `first[i]` to `first[i + 1]` of `claims (N, S)` as one.

    `first` ascends and starts with 0, no text is empty. What is said twice must hold both times; a contradiction
    allows no level, so the caller joins only what can hold together.
    """
    joined = np.bitwise_and.reduceat(np.where(claims == 0, _UNSAID, claims.astype(np.uint8)), first, axis=0)
    return np.where(joined == _UNSAID, 0, joined).astype(np.uint32)


def matches(bits: Bits, claims: Bits) -> NDArray[np.float32]:
    """Which texts are true of which epochs: float32 `(B, T)` for `bits (B, S)` and `claims (T, S)`.

    0 where a claimed slot is known to lie outside what the text allows, else NaN where a claimed slot is unknown (or
    only narrowed down to levels of which some are allowed), else 1. A text that claims nothing is true of all.
    """
    false = np.zeros((len(claims), len(bits)), bool)  # a row a text: few texts say anything of a slot
    for rows, level, allowed in _compared(bits, claims):
        false[rows] |= (level & allowed) == 0
    truth = np.where(_holding(bits, claims), np.float32(1), np.float32(np.nan))
    truth[false] = 0
    return np.ascontiguousarray(truth.T)


def true_pairs(bits: Bits, claims: Bits) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Epochs and texts where `matches` is 1, by epoch."""
    return np.nonzero(_holding(bits, claims).T)  # type: ignore[return-value]


def _holding(bits: Bits, claims: Bits) -> NDArray[np.bool_]:
    """Where every level that is possible is allowed, `(T, B)`."""
    holds = np.ones((len(claims), len(bits)), bool)
    for rows, level, allowed in _compared(bits, claims):
        holds[rows] &= (level & ~allowed) == 0
    return holds


def _compared(bits: Bits, claims: Bits) -> Iterator[tuple[NDArray[np.int64], _Bytes, _Bytes]]:
    """For each slot the texts that claim it, the levels possible in each epoch (all where unknown), those allowed."""
    for known, allowed in zip(bits.T.astype(np.uint8), claims.T.astype(np.uint8), strict=True):
        rows = np.flatnonzero(allowed)
        if len(rows):
            yield rows, np.where(known == 0, _UNSAID, known), allowed[rows, None]
