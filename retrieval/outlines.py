"""Many nights at once, short enough to stand beside each hit: their lengths and stages by time."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from index import Snapshot
from retrieval.by_night import Nights, nights
from retrieval.night_numbers import stages_of


@dataclass(frozen=True, slots=True)
class Outline:
    """A night: its length, its clock at the start where it is known, and its stages as `(start_s, stop_s, stage)`.

    Stretches that nobody scored are `unscored`; where there is no epoch at all there is no stretch.
    """

    recording: str
    duration_s: float
    start_clock_s: float | None
    stages: tuple[tuple[float, float, str], ...]


def outlines(snapshot: Snapshot, recordings: Sequence[str]) -> dict[str, Outline]:
    """The outlines of these recordings, by id; what the cohort does not have is no key."""
    snapshot = snapshot.pinned()
    known = nights(snapshot)
    have = set(known.names)
    names = [name for name in dict.fromkeys(recordings) if name in have]
    lengths = snapshot.sql(
        "SELECT recording, duration_s, start_clock_s FROM recordings SEMI JOIN wanted USING (recording)",
        wanted=pl.DataFrame({"recording": names}, schema={"recording": pl.String}),
    )
    numbers = dict(zip(names, known.numbers(names), strict=True))
    return {
        name: Outline(name, duration_s, start_clock_s, _stretches(snapshot, known, numbers[name]))
        for name, duration_s, start_clock_s in lengths.iter_rows()
    }


def _stretches(snapshot: Snapshot, known: Nights, number: int) -> tuple[tuple[float, float, str], ...]:
    """A night's stages; one goes on while it stays the same and the next epoch begins where the last one stopped."""
    rows = known.rows_of([number])
    (stops_s,) = snapshot.arrays(["stop_s"])
    stages = stages_of(snapshot, None).names(rows).fill_null("unscored")
    found: list[tuple[float, float, str]] = []
    for start_s, stop_s, stage in zip(known.start_s[rows].tolist(), stops_s[rows].tolist(), stages, strict=True):
        if found and found[-1][1:] == (start_s, stage):
            found[-1] = (found[-1][0], stop_s, stage)
        else:
            found.append((start_s, stop_s, stage))
    return tuple(found)
