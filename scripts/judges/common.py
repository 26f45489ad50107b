"""What a judge is given, a written night and its truth, and what it hands back, lines of the one table."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.recordings.edf import EdfFile
from encoders.simulation import site_facts
from encoders.simulation.draws import CODES


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the table; `met` is None where the issue names no aim."""

    judge: str
    what: str
    value: float
    figure: str  # value with unit, interval and counts, as one would print it
    aim: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Judged:
    """One simulated night as written to disk; signals come from the EDF file, the truth from its tables."""

    recording: str
    site: str
    edf: Path

    @cached_property
    def epochs(self) -> pl.DataFrame:
        """`NAME.truth.parquet`."""
        return pl.read_parquet(self.edf.with_suffix(".truth.parquet"))

    @cached_property
    def events(self) -> pl.DataFrame:
        """`NAME.truth-events.parquet`."""
        return pl.read_parquet(self.edf.with_suffix(".truth-events.parquet"))

    @cached_property
    def stages(self) -> NDArray[np.int8]:
        """True stage codes per epoch, indices into `draws.CODES`."""
        return np.array([CODES.index(stage) for stage in self.epochs["stage"]], np.int8)

    def signal(self, channel: str) -> tuple[NDArray[np.float64], float]:
        """Samples of a canonical channel in the unit of the header, and its rate in Hz."""
        (label,) = (row[0] for row in site_facts()[self.site]["signals"] if row[1] == channel)
        file = EdfFile(self.edf)
        (index,) = (i for i, signal in enumerate(file.header.signals) if signal.label == label)
        return np.concatenate([run.samples for run in file.runs(index)]).astype(np.float64), file.rate_hz(index)


def spans(events: pl.DataFrame, *names: str) -> NDArray[np.float64]:
    """`(n, 2)` start and stop in seconds of the events of these names."""
    chosen: Any = events.filter(pl.col("name").is_in(list(names))).select("start_s", "stop_s").to_numpy()
    return np.asarray(chosen, np.float64).reshape(-1, 2)
