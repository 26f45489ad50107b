"""The truth of simulated nights, as the rules see it: epochs, events, the subject, the clock, the sleep period.

Everything here comes from what the simulator wrote beside a recording and from the start time in its EDF header.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.vocabulary import EPOCH_S, SLEEP_STAGES, STAGES

APNEAS = ("obstructive apnea", "central apnea", "mixed apnea")
_CLOCK = slice(176, 184)  # hh.mm.ss in an EDF header


@dataclass(frozen=True)
class TrueNight:
    """One night's truth tables and its row of subjects.csv."""

    recording: str
    epochs: pl.DataFrame
    events: pl.DataFrame
    subject: dict[str, Any]
    start_clock_s: float

    @cached_property
    def starts_s(self) -> NDArray[np.float64]:
        return self.epochs["start_s"].to_numpy()

    @cached_property
    def stages(self) -> NDArray[np.str_]:
        return np.array(self.epochs["stage"].to_list())

    @cached_property
    def asleep(self) -> NDArray[np.bool_]:
        return np.isin(self.stages, SLEEP_STAGES)

    @cached_property
    def sleep_period_s(self) -> tuple[float, float]:
        """Start of the first and end of the last epoch of sleep; the whole recording where there is none."""
        at = np.flatnonzero(self.asleep)
        first, last = (at[0], at[-1]) if at.size else (0, len(self.stages) - 1)
        return float(self.starts_s[first]), float(self.starts_s[last] + EPOCH_S)

    def spans(self, names: str | Sequence[str]) -> NDArray[np.float64]:
        """`(n, 2)` start and stop of the events of these names and of the bouts of these stages, by start."""
        wanted = [names] if isinstance(names, str) else list(names)
        events = self.events.filter(pl.col("name").is_in(wanted)).select("start_s", "stop_s").to_numpy()
        bouts = [bout for stage in wanted if stage in STAGES for bout in self.bouts(self.stages == stage)]
        found = np.concatenate([events.reshape(-1, 2), np.array(bouts, float).reshape(-1, 2)])
        return found[np.argsort(found[:, 0], kind="stable")]

    def bouts(self, holds: NDArray[np.bool_]) -> list[tuple[float, float]]:
        """Start and stop in seconds of each run of epochs for which `holds`."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
        return [(float(a * EPOCH_S), float(b * EPOCH_S)) for a, b in edges.reshape(-1, 2)]

    def shared_s(self, spans: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds that each span shares with each epoch, `(n epochs, n spans)`."""
        start = self.starts_s[:, None]
        return np.maximum(np.minimum(spans[:, 1], start + EPOCH_S) - np.maximum(spans[:, 0], start), 0.0)


def read_nights(folder: Path) -> list[TrueNight]:
    """All nights with truth under `folder`, by name; `BadInput` where there is none or subjects.csv lacks one."""
    paths = sorted(folder.rglob("*.truth.parquet"))
    tables = sorted(folder.rglob("subjects.csv"))
    if not paths or not tables:
        raise BadInput(f"{folder}: no NAME.truth.parquet or no subjects.csv in it; `sleepsearch simulate` writes both.")
    people = {row["recording"]: row for row in pl.concat([pl.read_csv(t) for t in tables]).iter_rows(named=True)}
    nights = []
    for path in paths:
        name = path.name.removesuffix(".truth.parquet")
        if name not in people:
            raise BadInput(f"{tables[0]}: has no row for {name}, whose truth is in {path.parent}.")
        events = pl.read_parquet(path.with_name(f"{name}.truth-events.parquet"))
        nights.append(TrueNight(name, pl.read_parquet(path), events, people[name], _start_clock_s(path.parent, name)))
    return nights


def _start_clock_s(folder: Path, name: str) -> float:
    """Local time of the recording's start, in seconds from midnight, as its EDF header says."""
    (edf,) = (folder / f"{name}.{ending}" for ending in ("edf", "rec") if (folder / f"{name}.{ending}").exists())
    with edf.open("rb") as file:
        hours, minutes, seconds = file.read(256)[_CLOCK].decode("ascii").split(".")
    return int(hours) * 3600.0 + int(minutes) * 60.0 + float(seconds)
