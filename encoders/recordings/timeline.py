"""One timeline for a recording: seconds from its start, half-open; stages, events and what was scored on it."""

from dataclasses import dataclass, field
from pathlib import Path

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Repair:
    """Something in a file that had to be read otherwise than it is written."""

    file: str  # the file's name without its folder
    field: str  # header field, channel or annotation line
    found: str
    used: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: found {self.found}, used {self.used}"


@dataclass(frozen=True, slots=True)
class Run:
    """Contiguous samples of one channel in physical units; `samples` is float32 `(n,)`."""

    start_s: float
    rate_hz: float
    samples: "object"  # numpy array; typed loosely so that this module imports nothing

    @property
    def stop_s(self) -> float:
        return self.start_s + len(self.samples) / self.rate_hz  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class StageSpan:
    """A scored stretch: `stage` from `vocabulary.STAGES`, `raw` the code as the file has it."""

    start_s: float
    stop_s: float
    stage: str
    raw: str


@dataclass(frozen=True, slots=True)
class Event:
    """A scored event: `name` from `vocabulary.EVENTS`, `raw` the text as the file has it."""

    name: str
    start_s: float
    stop_s: float
    raw: str
    channel: str | None = None
    spo2_min_pct: float | None = None  # where a desaturation states its nadir


@dataclass(frozen=True, slots=True)
class Alignment:
    """How an annotation file was laid over the recording."""

    offset_s: float = 0.0  # added to the file's own times
    reason: str = ""  # why this offset, in words
    stage_count: int = 0
    event_count: int = 0
    cut: tuple[str, ...] = ()  # what fell outside the recording or could not be placed, in words
    unknown: tuple[str, ...] = ()  # raw names nobody mapped, with their counts: "xyz x 3"


@dataclass(frozen=True, slots=True)
class Scoring:
    """What one annotation source says about one recording.

    `coverage` holds the kinds (of `vocabulary.KINDS`) that the source scored, each with the reason why we
    believe so ("events present", "declared", ...). A kind that is not a key was not scored: null, never zero.
    """

    source: str  # format name: "nsrr xml", "profusion xml", "edf+", ...
    files: tuple[Path, ...]
    scorer: str  # "human", "human 2", "auto:<tool>", "device"
    rules: str  # "AASM", "R&K" or "unknown"
    epoch_s: float  # the scored grid, 30 unless the file says otherwise
    stages: tuple[StageSpan, ...] = ()
    events: tuple[Event, ...] = ()
    coverage: dict[str, str] = field(default_factory=dict)
    lights_off_s: float | None = None
    lights_on_s: float | None = None
    alignment: Alignment = Alignment()
    repairs: tuple[Repair, ...] = ()
    regridded: bool = False  # stages came on another grid than 30 s; `stages` keeps the original spans


def clock(time_s: float) -> str:
    """Seconds as H:MM:SS; a time of day when the caller added the start clock, wrapped at midnight."""
    whole = int(time_s % DAY_S)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
