"""Many nights at once, short enough to stand beside each hit: their lengths and stages by time."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from index import Snapshot


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
    wanted = pl.DataFrame({"recording": list(dict.fromkeys(recordings))}, schema={"recording": pl.String})
    nights = snapshot.sql(
        "SELECT recording, duration_s, start_clock_s FROM recordings JOIN wanted USING (recording)", wanted=wanted
    )
    # By row numbers, so that of all other nights nothing but their names is read.
    # A stretch goes on while the stage stays and the next epoch begins where the last one stopped.
    runs = snapshot.sql(
        """WITH own AS (SELECT recording, start_s, stop_s, coalesce(stage, 'unscored') AS stage
                        FROM epoch_rows
                        WHERE rowid IN (SELECT rowid FROM epoch_rows SEMI JOIN wanted USING (recording))),
           marked AS (SELECT *, (stage IS DISTINCT FROM lag(stage) OVER night
                                 OR start_s IS DISTINCT FROM lag(stop_s) OVER night)::INT AS fresh
                      FROM own WINDOW night AS (PARTITION BY recording ORDER BY start_s)),
           numbered AS (SELECT *, sum(fresh) OVER (PARTITION BY recording ORDER BY start_s) AS run FROM marked)
        SELECT recording, min(start_s) AS start_s, max(stop_s) AS stop_s, any_value(stage) AS stage
        FROM numbered GROUP BY recording, run ORDER BY recording, start_s""",
        wanted=wanted,
    )
    by_night: dict[str, list[tuple[float, float, str]]] = {}
    for name, start_s, stop_s, stage in runs.iter_rows():
        by_night.setdefault(name, []).append((start_s, stop_s, stage))
    return {
        name: Outline(name, duration_s, start_clock_s, tuple(by_night.get(name, ())))
        for name, duration_s, start_clock_s in nights.iter_rows()
    }
