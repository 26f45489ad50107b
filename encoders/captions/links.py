"""Scored events as a table, and which respiratory event a desaturation or an arousal belongs to."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from encoders.captions.frames import Array
from encoders.captions.scored import Scorings
from encoders.recordings.timeline import Event, Scoring
from encoders.vocabulary import APNEAS, HYPOPNEAS

# From the respiratory event's start to this long after its end: blood takes time to the finger.
WINDOW_S = {"desaturation": 45.0, "arousal": 5.0}
EVENT_COLUMNS = {
    "name": pl.String, "start_s": pl.Float64, "stop_s": pl.Float64, "channel": pl.String, "source": pl.String,
    "scorer": pl.String, "raw": pl.String, "spo2_min_pct": pl.Float64, "linked_to": pl.Int64,
}  # fmt: skip


def follows(start_s: Array, events: Sequence[Event], window_s: float) -> Array:
    """For each time the index of the latest-starting event in whose window it lies, -1 where none is.

    `events` ascend by start; the window reaches from the event's start to `window_s` after its end.
    """
    found = np.full(len(start_s), -1, np.int64)
    for index, event in enumerate(events):
        found[(start_s >= event.start_s) & (start_s <= event.stop_s + window_s)] = index
    return found


def event_table(scorings: Scorings) -> pl.DataFrame:
    """Every event of every scoring by start, columns `EVENT_COLUMNS`; `linked_to` is a row number of this table.

    Desaturations and arousals are linked to an apnea or hypopnea of the same scoring by `WINDOW_S`; others are null.
    """
    several = [scorings] if isinstance(scorings, Scoring) else list(scorings or ())
    rows = sorted(((event, s) for s in several for event in s.events), key=lambda row: (row[0].start_s, row[0].stop_s))
    linked: list[int | None] = [None] * len(rows)
    for scoring in several:
        mine = [(number, event) for number, (event, owner) in enumerate(rows) if owner is scoring]
        breaths = [(number, event) for number, event in mine if event.name in APNEAS + HYPOPNEAS]
        for name, window_s in WINDOW_S.items():
            late = [(number, event.start_s) for number, event in mine if event.name == name]
            hits = follows(np.array([start_s for _, start_s in late]), [event for _, event in breaths], window_s)
            for (number, _), hit in zip(late, hits, strict=True):
                linked[number] = breaths[hit][0] if hit >= 0 else None
    return pl.DataFrame(
        {
            "name": [e.name for e, _ in rows], "start_s": [e.start_s for e, _ in rows],
            "stop_s": [e.stop_s for e, _ in rows], "channel": [e.channel for e, _ in rows],
            "source": [s.source for _, s in rows], "scorer": [s.scorer for _, s in rows],
            "raw": [e.raw for e, _ in rows], "spo2_min_pct": [e.spo2_min_pct for e, _ in rows], "linked_to": linked,
        },
        schema=EVENT_COLUMNS,
    )  # fmt: skip
