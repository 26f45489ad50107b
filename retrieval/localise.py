"""Where in a night a sentence is: its likeness to each epoch, and in the best epochs to each second and sensor.

Likeness is the cosine of the sentence and an epoch's signals, standardised over the night's epochs that can be judged:
it says where in this night the sentence fits better than elsewhere, not whether it is true anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.models import Encoder
from encoders.recordings import Epochs, build_epochs
from encoders.vocabulary import EVENTS
from index import Snapshot
from retrieval.classify import reader_of
from retrieval.evaluation.sensors import usable
from retrieval.occlusion import SecondsCheck, check_seconds, check_sensors, stretches, tells_steps
from retrieval.question import read_question
from retrieval.search import standardised
from retrieval.spaces import public_name
from retrieval.zeroshot import cosines

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

Sets = tuple[tuple[str, ...], ...]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """An epoch looked at closely; None where the encoder gives no vectors of steps.

    from_s, to_s: seconds of the recording that carry the sentence. steps: the likeness of each short step. hidden: the
    likeness with those seconds hidden; hidden_others: with as many others of the epoch hidden (None: no room for them).
    sensor: what is nearest to the sentence alone; alone, drop: of each modality, its likeness alone, and how far the
    likeness falls without it.
    """

    start_s: float
    z: float
    likeness: float
    stage: str | None
    events: list[str]
    from_s: float | None
    to_s: float | None
    steps: list[float] | None
    hidden: float | None
    hidden_others: float | None
    sensor: str
    alone: dict[str, float]
    drop: dict[str, float]


@dataclass(frozen=True, slots=True)
class Located:
    """The curve of a night, best moments, and how often taking the named away again lowered the likeness.

    curve: `start_s likeness z stage not_assessable`, by time; likeness and z null where it can't be judged. events:
    name, start and stop in seconds, of the night. agrees: `seconds` and `sensor`, each (epochs in which hiding what was
    named cost more than hiding others, epochs checked).
    """

    words: str
    recording: str
    subject: str
    curve: pl.DataFrame = field(repr=False)
    events: tuple[tuple[str, float, float], ...] = field(repr=False)
    moments: tuple[Moment, ...]
    not_assessable: dict[str, int]
    agrees: dict[str, tuple[int, int]]
    notes: list[str]

    def frame(self) -> pl.DataFrame:
        """One row an epoch of the night."""
        return self.curve

    def to_json(self) -> dict[str, Any]:
        """The answer as plain values, in the shape that `locate --json` prints."""
        rounded = self.curve.with_columns(pl.col("likeness", "z").round(4))
        return asdict(self) | {"curve": rounded.to_dicts(), "moments": [asdict(moment) for moment in self.moments]}


def locate_words(
    cohort: "Cohort", words: str, place: str, *, peaks: int = 5, progress: Progress | None = None
) -> Located:
    """Where the words fit the signals of `RECORDING[@TIME]`: over its night, and to the second in the epoch of that
    time, else in the `peaks` best that do not touch each other.

    Sensors that the lexicon asks for (an SpO2 for a desaturation) decide which epochs can be judged. `BadInput` for
    empty words, an unknown place, a cohort without an encoder of signals, or words that no sensor of it can show.
    """
    if not words.strip():
        raise BadInput('no words; give a sentence, for example: sleepsearch locate "oxygen desaturation" RECORDING.')
    if peaks < 0:
        raise BadInput(f"--peaks {peaks}: give 0 or more epochs to look at to the second.")
    reader, snapshot = reader_of(cohort), cohort.snapshot
    at = cohort.locate(place)
    wanted = _sensors(words, reader)
    oks = ", ".join(f"ok_{channel.lower()}" for channel in reader.channels)
    frame = snapshot.sql(
        f"SELECT epoch_id, start_s, stage, events, coalesce(subject, recording) AS subject, {oks} FROM epochs "
        "WHERE recording = ? ORDER BY start_s", [at.recording],
    )  # fmt: skip
    direction = reader.embed_texts([words])[0]
    likeness = cosines(snapshot.vectors(reader.space, "signal", frame["epoch_id"].to_numpy()), direction[None])[:, 0]
    likeness[~_all(frame, wanted)] = np.nan
    known = np.isfinite(likeness)
    z = np.full(len(likeness), np.nan)
    z[known] = standardised(likeness[known].astype(np.float64))
    there = _all(frame.select(pl.col("^ok_.*$").is_not_null()), wanted)
    reason = pl.when(~pl.Series(known)).then(
        pl.when(pl.Series(there)).then(pl.lit("quality")).otherwise(pl.lit("sensor"))
    )
    curve = frame.select(
        "start_s", pl.Series("likeness", likeness, pl.Float64).fill_nan(None), pl.Series("z", z).fill_nan(None),
        "stage", reason.alias("not_assessable"),
    )  # fmt: skip
    refused = {why: int((curve["not_assessable"] == why).sum()) for why in ("sensor", "not_scored", "quality")}
    notes = []
    if not known.any():
        notes.append("no epoch of this night can be judged")
    if at.epoch_id is not None:
        rows = np.flatnonzero((frame["epoch_id"] == at.epoch_id).to_numpy() & known)
        notes += [] if len(rows) else [f"{place}: that epoch can't be judged"]
    else:
        rows = best_apart(z, peaks)
    moments: list[Moment] = []
    agrees = {"seconds": (0, 0), "sensor": (0, 0)}
    if len(rows):
        if progress:
            progress(at.recording, 0, 1)
        epochs = build_epochs(cohort.recording(at.recording), frame["start_s"].to_numpy()[np.sort(rows)])
        order = np.argsort(np.argsort(rows))  # the epochs were read by time
        moments, agrees = _moments(reader, epochs[order], direction, frame[rows], likeness[rows], z[rows])
        if progress:
            progress(at.recording, 1, 1)
    if len(rows) and not tells_steps(reader):
        notes.append(f"{public_name(reader)} gives no vectors of steps within an epoch: no seconds are named")
    return Located(words, at.recording, str(frame["subject"][0]), curve, _events(snapshot, at.recording),
                   tuple(moments), refused, agrees, notes)  # fmt: skip


def _events(snapshot: Snapshot, recording: str) -> tuple[tuple[str, float, float], ...]:
    """Each kind's events by the scorer whose they are in the catalog, by time."""
    used = dict(snapshot.sql("SELECT kind, scorer FROM coverage WHERE used AND recording = ?", [recording]).iter_rows())
    events = snapshot.sql(
        "SELECT name, start_s, stop_s, scorer FROM events WHERE recording = ? ORDER BY start_s, stop_s", [recording]
    )
    return tuple(
        (name, start_s, stop_s)
        for name, start_s, stop_s, scorer in events.iter_rows()
        if (kind := EVENTS.get(name)) is None or used.get(kind) == scorer
    )


def best_apart(z: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The rows of the `count` highest values, the best first, none beside another; NaN is never one."""
    chosen: list[int] = []
    for row in np.argsort(np.where(np.isfinite(z), -z, np.inf), kind="stable"):
        if len(chosen) == count or not np.isfinite(z[row]):
            break
        if all(abs(int(row) - other) > 1 for other in chosen):
            chosen.append(int(row))
    return np.array(chosen, np.int64)


def _moments(
    reader: Encoder, epochs: Epochs, direction: NDArray[Any], frame: pl.DataFrame, likeness: NDArray[Any],
    z: NDArray[Any],
) -> tuple[list[Moment], dict[str, tuple[int, int]]]:  # fmt: skip
    """Each epoch to the second and the sensor, and how often the check bore it out."""
    sensors = check_sensors(reader, epochs, direction)
    agrees = {"seconds": (0, 0), "sensor": (int(sensors.lowers.sum()), len(sensors.lowers))}
    steps, spans, seconds = None, None, None
    if tells_steps(reader):
        steps = np.asarray(reader.embed_steps(epochs) @ direction, np.float64)  # type: ignore[attr-defined]
        spans = stretches(steps)
        seconds = check_seconds(reader, epochs, spans, direction, steps.shape[1])
        agrees["seconds"] = (int(seconds.lowers.sum()), len(seconds.lowers))
    moments = []
    for i, row in enumerate(frame.iter_rows(named=True)):
        by_name = [
            {name: round(float(x), 4) for name, x in zip(sensors.modalities, part[i], strict=True) if np.isfinite(x)}
            for part in (sensors.alone, sensors.drop)
        ]
        from_s, to_s = (row["start_s"] + spans[i]).tolist() if spans is not None else (None, None)
        hidden, others = _hidden(seconds, i)
        moments.append(Moment(
            start_s=row["start_s"], z=round(float(z[i]), 4), likeness=round(float(likeness[i]), 4), stage=row["stage"],
            events=list(row["events"] or []), from_s=from_s, to_s=to_s,
            steps=np.round(steps[i], 4).tolist() if steps is not None else None, hidden=hidden, hidden_others=others,
            sensor=sensors.modalities[int(sensors.named[i])], alone=by_name[0], drop=by_name[1],
        ))  # fmt: skip
    return moments, agrees


def _hidden(seconds: SecondsCheck | None, i: int) -> tuple[float | None, float | None]:
    """The likeness with the named seconds hidden, and with others."""
    if seconds is None:
        return None, None
    others = float(seconds.others[i])
    return round(float(seconds.named[i]), 4), round(others, 4) if np.isfinite(others) else None


def _sensors(words: str, reader: Encoder) -> list[Sets]:
    """For each fact in the words, the sensor sets that can show it, of those the encoder reads; at the least any."""
    found: list[Sets] = [tuple((channel,) for channel in reader.channels)]
    for fact in read_question(words).facts:
        sets = [tuple(chosen) for concept in fact.concepts for chosen in concept.channels]
        if not sets or any(not concept.channels for concept in fact.concepts):
            continue
        read = tuple(chosen for chosen in sets if set(chosen) <= set(reader.channels))
        if not read:
            wanted = " or ".join(" with ".join(chosen) for chosen in sets)
            raise BadInput(
                f"{fact.words!r} is shown by {wanted}, which {public_name(reader)} does not read; it reads "
                f"{', '.join(reader.channels)}. What was scored of it can be searched: sleepsearch search."
            )
        found.append(read)
    return found


def _all(frame: pl.DataFrame, wanted: Sequence[Sets]) -> NDArray[np.bool_]:
    """The epochs in which every fact has one of its sensor sets."""
    able: NDArray[np.bool_] = np.all([usable(frame, sets) for sets in wanted], axis=0)
    return able
