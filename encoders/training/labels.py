"""What is said of a recording's epochs: a simulation's own truth where it lies beside the file, else who scored it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from encoders.errors import BadInput
from encoders.recordings import Recording, Source
from encoders.recordings.annotations import read_annotations
from encoders.recordings.timeline import Event, Scoring, StageSpan
from encoders.vocabulary import EPOCH_S, EVENTS, KINDS, STAGES

# Of the events that no scored kind answers for, and of those typed by series, a simulation knows every one.
TRUTH_NOTES: Final = (
    "RERA", "snoring", "Cheyne-Stokes breathing", "position change", "limb movement", "periodic limb movement",
)  # fmt: skip
_STAGES, _EVENTS = ".truth.parquet", ".truth-events.parquet"


@dataclass(frozen=True, slots=True)
class Labels:
    """`noted`: names of `vocabulary.EVENTS` of which the source notes every one, beyond the kinds that it covers."""

    scorings: tuple[Scoring, ...]
    noted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def truth_files(signals: Path) -> tuple[Path, ...]:
    """The tables of a simulated recording, stages and events; () where they do not lie beside its (first) file."""
    tables = tuple(signals.with_name(signals.stem + ending) for ending in (_STAGES, _EVENTS))
    return tables if all(path.is_file() for path in tables) else ()


def read_labels(source: Source, recording: Recording) -> Labels:
    """The truth if there is one: training is to rest on what happened, not on how somebody marked it. Else what was
    scored, the default scorer first; a scoring that can't be read costs the scoring, and is named in `notes`.
    """
    if tables := truth_files(source.paths[0]):
        return Labels((read_truth(*tables),), TRUTH_NOTES)
    refused: list[tuple[Path | None, str]] = []
    found = read_annotations(source.annotations, recording.clock(), cohort=recording.cohort, refused=refused)
    return Labels(tuple(found), notes=tuple(f"scoring left out: {why}" for _, why in refused))


def read_truth(stages: Path, events: Path) -> Scoring:
    """The truth of a simulated night as a scoring of all kinds; times count from the recording's start, pauses in.

    What has no name in `vocabulary.EVENTS` (waves of the EEG, faults of the recorder) is left out. Raises BadInput for
    tables without the columns, and for a stage that is none.
    """
    try:
        epochs = pl.read_parquet(stages).select(pl.col("start_s").cast(pl.Float64), pl.col("stage").cast(pl.String))
        happened = pl.read_parquet(events)
        low = pl.col("spo2_min_pct") if "spo2_min_pct" in happened.columns else pl.lit(None)
        happened = happened.filter(pl.col("name").is_in(list(EVENTS))).select(
            "name", pl.col("start_s", "stop_s").cast(pl.Float64), low.cast(pl.Float64).alias("low")
        )
    except (OSError, pl.exceptions.PolarsError) as wrong:
        raise BadInput(
            f"{stages.name}: not the truth of a simulated night ({str(wrong).splitlines()[0]}); "
            "move both tables away to use the night's annotations."
        ) from wrong
    if strange := sorted(set(epochs["stage"].drop_nulls()) - set(STAGES)):
        raise BadInput(f"{stages.name}: stage {strange[0]!r}; possible are {', '.join(STAGES)}.")
    spans = [StageSpan(at, at + EPOCH_S, stage or "unscored", stage or "") for at, stage in epochs.iter_rows()]
    marks = [
        Event(name, start, max(start, stop), name, None, least) for name, start, stop, least in happened.iter_rows()
    ]
    return Scoring(
        source="simulation",
        files=(stages, events),
        scorer="truth",
        rules="AASM",
        epoch_s=EPOCH_S,
        stages=tuple(sorted(spans, key=lambda span: span.start_s)),
        events=tuple(sorted(marks, key=lambda event: (event.start_s, event.stop_s))),
        coverage=dict.fromkeys(KINDS, "all that happened is known"),
    )
