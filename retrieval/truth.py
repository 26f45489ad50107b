"""What truly happened: simulated nights keep their truth beside the EDF file, and an answer can be held against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.vocabulary import EPOCH_S, EVENTS
from retrieval.hit import Hit

OVERLAP_S = 3.0  # an epoch holds an event that fills at least so much of it


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks for, in words of the truth: a stage, an event, or both at once."""

    stage: str | None = None
    event: str | None = None
    longer_than_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """Of the hits, what each one truly was and whether it is what was asked; `base_rate` is that of all epochs."""

    words: tuple[str, ...]
    right: tuple[bool, ...]
    base_rate: float


class Truth:
    """The truth tables of a folder of simulated nights."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.name.removesuffix(".truth.parquet"): path for path in folder.rglob("*.truth.parquet")}
        self._tables = cache(self._read)

    def judge(self, hits: Sequence[Hit], asked: Asked) -> Judged:
        """Says of each hit what happened in it; it is right when one of its epochs holds what was `asked`."""
        holds = {recording: self._holds(recording, asked) for recording in self._paths}
        base = float(np.concatenate(list(holds.values())).mean()) if holds else 0.0
        right = [
            bool(holds[hit.recording][int(hit.start_s // EPOCH_S) : int(np.ceil(hit.stop_s / EPOCH_S))].any())
            for hit in hits
        ]
        return Judged(tuple(self._words(hit) for hit in hits), tuple(right), base)

    def _read(self, recording: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        path = self._paths[recording]
        return pl.read_parquet(path), pl.read_parquet(path.with_name(f"{recording}.truth-events.parquet"))

    def _holds(self, recording: str, asked: Asked) -> NDArray[np.bool_]:
        epochs, events = self._tables(recording)
        holds = np.ones(epochs.height, bool) if asked.stage is None else (epochs["stage"] == asked.stage).to_numpy()
        if asked.event is not None:
            length = pl.col("stop_s") - pl.col("start_s")
            of = events.filter((pl.col("name") == asked.event) & (length > asked.longer_than_s))
            start = epochs["start_s"].to_numpy()[:, None]
            shared = np.minimum(of["stop_s"].to_numpy(), start + EPOCH_S) - np.maximum(of["start_s"].to_numpy(), start)
            holds = holds & (shared.max(axis=1, initial=0.0) >= OVERLAP_S)
        return holds

    def _words(self, hit: Hit) -> str:
        epochs, events = self._tables(hit.recording)
        within = (pl.col("start_s") < hit.stop_s) & (pl.col("start_s") >= hit.start_s)
        stages = epochs.filter(within)["stage"].unique(maintain_order=True).to_list()
        during = events.filter(
            pl.col("name").is_in(list(EVENTS)) & (pl.col("start_s") < hit.stop_s) & (pl.col("stop_s") > hit.start_s)
        )
        said = [
            f"{row['name']} {row['stop_s'] - row['start_s']:.0f} s"
            + (f" to {row['spo2_min_pct']:.0f} %" if row["spo2_min_pct"] is not None else "")
            for row in during.iter_rows(named=True)
        ]
        return "; ".join(["/".join(stages), *said])
