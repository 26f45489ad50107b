"""What a question brings back: hits that say why, and an answer that says what was searched and what could not be."""

from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from encoders.captions import PARTS
from encoders.recordings.timeline import clock

# One a field of Hit; `night` is the caption of a hit that is a whole night.
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "recording": pl.String, "subject": pl.String, "start_s": pl.Float64, "stop_s": pl.Float64, "clock": pl.String,
    "score": pl.Float64, "stage": pl.String, "stage_source": pl.String, "events": pl.List(pl.String),
    "caption": pl.Struct(dict.fromkeys((*PARTS, "night"), pl.String)), "substitutes": pl.List(pl.String),
    "why": pl.List(pl.String), "simulated": pl.Boolean, "best_s": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """A stretch of a night that answers the question; `score` is a rank score, not a probability."""

    recording: str
    subject: str
    start_s: float
    stop_s: float
    clock: str | None  # time of day of the start, where the recorder's clock is known
    score: float
    stage: str | None
    stage_source: str | None
    events: list[str]
    caption: dict[str, str]
    substitutes: list[str]
    why: list[str]
    simulated: bool = False
    best_s: float | None = None  # where its best epoch starts; None of a whole night

    def __repr__(self) -> str:
        return f"Hit({self.recording} {clock(self.start_s)}-{clock(self.stop_s)}, {self.score:.3f})"


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits, best first, with what was asked, what was searched and what could not be judged.

    `searched` counts the epochs that could answer; `not_assessable` those left out because a sensor is absent,
    nobody scored the kind of event, or the sensor's signal is bad in that epoch.
    """

    query: str
    filter: list[str]
    searched: int
    not_assessable: dict[str, int]
    hits: list[Hit]
    engine: str
    ms: dict[str, float]
    notes: list[str] = field(default_factory=list)
    understood: list[str] = field(default_factory=list)

    def frame(self) -> pl.DataFrame:
        """One row a hit, one column a field of `Hit`; `events`, `substitutes` and `why` are lists, `caption` a struct
        by part, null where there is nothing to say."""
        return pl.DataFrame([asdict(hit) for hit in self.hits], schema=_COLUMNS)

    def to_json(self) -> dict[str, Any]:
        """The answer as plain values, in the shape that `search --json` prints."""
        return asdict(self)
