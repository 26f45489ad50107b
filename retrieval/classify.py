"""Labels for every epoch of a cohort by words alone, with how far they agree with people where people scored.

What could not be assessed (a sensor is missing or bad) has no label. Scores are similarities, and `calibrated` is
false, unless thresholds and probabilities were fitted on other subjects' labelled nights (calibration.py). Without that
the label is the nearest one; of present and absent, present where an epoch is nearer to it and lies in the upper of the
two groups that the differences of these very epochs form: the sign alone is no threshold, since words have leanings.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.models import Encoder
from index import Snapshot
from retrieval.calibration import Calibrated, calibrate
from retrieval.compared import Agreement, Codes, agreement_of, auc_of, truth_of
from retrieval.evaluation.sample import Sample, named_in
from retrieval.evaluation.sensors import usable
from retrieval.evaluation.staging import smoothed_scores, stage_task
from retrieval.search import matching
from retrieval.smoothing import load_transitions
from retrieval.spaces import public_name
from retrieval.zeroshot import ABSENT, PRESENT, PromptTask, epoch_scores, find_task, nearest, open_task

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Classification:
    """A label for each epoch, null where none could be said.

    epochs: `recording subject start_s label scored not_assessable` (the reason) and `score_LABEL` of each label:
    similarities, or probabilities where `calibrated`. `scored`: what the scorer of `agreement` said.
    """

    task: str
    says: str
    labels: tuple[str, ...]
    calibrated: bool
    smoothing: str | None
    not_assessable: dict[str, int]
    epochs: pl.DataFrame = field(repr=False)
    agreement: Agreement | None
    notes: list[str]

    def frame(self) -> pl.DataFrame:
        """One row an epoch."""
        return self.epochs

    def to_json(self) -> dict[str, Any]:
        """The answer as plain values, in the shape that `classify --json` prints."""
        names = [f"score_{label}" for label in self.labels]
        rows = [
            {"recording": recording, "start_s": start_s, "label": label,
             "scores": dict(zip(self.labels, scores, strict=True))}
            for recording, start_s, label, *scores in self.epochs.select(
                "recording", "start_s", "label", *(pl.col(name).round(4) for name in names)
            ).iter_rows()
        ]  # fmt: skip
        return {"task": self.task, "labels": list(self.labels), "calibrated": self.calibrated,
                "not_assessable": self.not_assessable, "epochs": rows,
                "agreement": self.agreement.to_json() if self.agreement else None, "smoothing": self.smoothing,
                "notes": self.notes}  # fmt: skip


def classify(
    cohort: "Cohort", name: str | PromptTask, *, where: str | None = None, smooth: bool = False,
    calibrated: bool = False, abstain: float | None = None, scorer: str | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Classification:  # fmt: skip
    """Label the epochs of `where` (SQL over the view `epochs`) by that task, or the one of that name or file.

    `smooth`: stages over the night, by a hidden Markov model. `calibrated`: probabilities and thresholds fitted on
    other subjects. `abstain`: no label where its margin (calibrated: its probability) is less. `scorer`: whom to
    compare with and to learn from (default: people). `BadInput` for what can't be taken, or a task that the encoder
    can't read.
    """
    if abstain is not None and not 0 <= abstain <= 1:
        raise BadInput(
            f"--abstain {abstain:g}: give 0 to 1, a label's least margin, or with --calibrate its probability."
        )
    reader, snapshot = reader_of(cohort), cohort.snapshot
    task, notes = readable(name if isinstance(name, PromptTask) else open_task(name), reader)
    labels = (ABSENT, PRESENT) if task.asks_presence else tuple(task.labels)
    stages = load_transitions().labels
    if smooth and not (task.column == "stage" and set(task.means()) <= set(stages)):
        raise BadInput(
            f"--smooth knows how stages follow each other ({', '.join(stages)}); {task.name} asks of others."
        )
    frame = _frame(snapshot, task, reader)
    asked = np.ones(frame.height, bool)
    if where:
        asked = frame["epoch_id"].is_in(matching(snapshot, frame, where)["epoch_id"].implode()).to_numpy()
    truth = truth_of(snapshot, frame, task, labels, scorer)
    used = asked | (truth.codes >= 0) if calibrated else asked
    kept = frame["recording"].is_in(frame.filter(used)["recording"].unique().implode()).to_numpy()
    if not kept.any():
        raise BadInput("no epoch to label: the cohort is empty, or --where matches nothing.")
    # Whole nights: smoothing hears them.
    frame, asked, codes, sources = frame.filter(kept), asked[kept], truth.codes[kept], truth.sources[kept]
    sets = task.sensors or tuple((channel,) for channel in reader.channels)
    scores = epoch_scores(snapshot, reader, task, labels, frame["epoch_id"].to_numpy(), progress)

    def step(what: str) -> None:
        if progress:
            progress(what, frame.height, frame.height)

    scores[~usable(frame, sets)] = np.nan
    smoothing = None
    if smooth:
        step("smoothing over the night")
        sample = Sample(reader, frame, np.zeros((frame.height, 0), np.float32))
        features, said = smoothed_scores(sample, scores, task, None)
        scores, smoothing = np.exp(features), f"hidden Markov model of stages over the night, {said}"
    else:
        features = scores[:, 1:] - scores[:, :1] if task.asks_presence else scores
    known = np.isfinite(features).all(axis=1)
    counts = asked & known
    fitted: Calibrated | str = "uncalibrated: scores are similarities; --calibrate fits them on other subjects' labels"
    if calibrated:
        step("calibrating on other subjects")
        fitted = calibrate(features, codes, frame["subject"].to_numpy(), labels, presence=task.asks_presence)
    if isinstance(fitted, Calibrated):
        scores = fitted.chances
        given, sure = _likeliest(scores, fitted.threshold)
        notes.append(fitted.words())
    else:
        given, sure, rule = nearest(scores, counts, presence=task.asks_presence)
        notes += [fitted, *rule]
    given[~known] = -1
    if abstain is not None:
        unsure = counts & (sure < abstain)
        given[unsure] = -1
        least = "probability" if isinstance(fitted, Calibrated) else "margin"
        notes.append(f"abstained: {unsure.sum()} of {counts.sum()} epochs, {least} below {abstain:g}")
    step("comparing with the scorer")
    agreement, left = agreement_of(codes, given, labels, frame["subject"].to_numpy(), sources, counts, seed)
    notes += [*_about(frame.filter(asked), reader), left if agreement else truth.why]
    if agreement and task.asks_presence:
        notes.append(f"AUC of the difference {auc_of(codes, features[:, 0], counts):.3f}, whatever the threshold")
    there = pl.Series(usable(frame.select(pl.col("^ok_.*$").is_not_null()), sets))
    reason = pl.when(~pl.Series(known)).then(pl.when(there).then(pl.lit("quality")).otherwise(pl.lit("sensor")))
    named = np.array([*labels, None], object)
    table = frame.select("recording", "subject", "start_s").with_columns(
        pl.Series("label", named[given].tolist(), pl.String), pl.Series("scored", named[codes].tolist(), pl.String),
        reason.alias("not_assessable"),
        *(pl.Series(f"score_{label}", scores[:, i], pl.Float64).fill_nan(None) for i, label in enumerate(labels)),
    ).filter(asked)  # fmt: skip
    refused = {why: int((table["not_assessable"] == why).sum()) for why in ("sensor", "not_scored", "quality")}
    return Classification(
        task.name, task.says or task.name, labels, isinstance(fitted, Calibrated), smoothing, refused, table, agreement,
        [note for note in notes if note],
    )  # fmt: skip


def reader_of(cohort: "Cohort") -> Encoder:
    """The cohort's encoder of signals; `BadInput` with the command that adds one."""
    if cohort.reader is None:
        raise BadInput(
            f"{cohort.root.name} has no encoder that reads signals, so words can't be held against them; add one: "
            f"sleepsearch ingest SOURCE --cohort {cohort.root} --encoder trained:FOLDER (or sleeplm:PATH)"
        )
    return cohort.reader


def readable(task: PromptTask, reader: Encoder) -> tuple[PromptTask, list[str]]:
    """The task in labels that the encoder knows, of sensor sets that it reads; `BadInput` where it reads none."""
    notes = []
    if task == find_task("staging") and (merged := stage_task(reader)).name != task.name:
        task = merged
        notes.append(f"{public_name(reader)} does not tell N1 from N2, so the task is {task.name}")
    if not task.sensors:
        return task, notes
    sets = tuple(members for members in task.sensors if set(members) <= set(reader.channels))
    if not sets:
        wanted = " or ".join(" with ".join(members) for members in task.sensors)
        raise BadInput(
            f"{task.name} needs {wanted}, which {public_name(reader)} does not read; it reads "
            f"{', '.join(reader.channels)}. What was scored of it can be searched: sleepsearch search."
        )
    return replace(task, sensors=sets), notes


# ---- scores and labels


def _frame(snapshot: Snapshot, task: PromptTask, reader: Encoder) -> pl.DataFrame:
    """Every epoch with what is needed of it, by recording and time."""
    there = snapshot.columns()
    if task.column and task.column not in there:
        raise BadInput(
            f"{task.name}: column {task.column!r} is not in this cohort; `sleepsearch info --columns` lists all."
        )
    wanted = [
        "epoch_id",
        "recording",
        "start_s",
        "stage",
        "stage_source",
        "cohort",
        "site",
        "subject_known",
        "simulated",
    ]
    wanted += [f"ok_{channel.lower()}" for channel in reader.channels]
    wanted += [task.column] if task.column else []
    wanted += [f"n_{task.event}", f"{task.event}_s"] if task.event else []
    columns = ", ".join(dict.fromkeys(c for c in wanted if c in there))
    return snapshot.sql(
        f"SELECT {columns}, coalesce(subject, recording) AS subject FROM epochs ORDER BY recording, start_s"
    )


def _likeliest(chances: Floats, threshold: Floats | None) -> tuple[Codes, Floats]:
    """The label's number of each row, and its probability."""
    filled = np.nan_to_num(chances, nan=-1.0)
    given = filled.argmax(axis=1) if threshold is None else (filled[:, 1] >= threshold).astype(np.int64)
    return given, np.take_along_axis(chances, given[:, None], axis=1)[:, 0]


def _about(frame: pl.DataFrame, reader: Encoder) -> list[str]:
    """What must be known of these nights and the encoder."""
    notes = []
    if unknown := frame.filter(~pl.col("subject_known").fill_null(False))["recording"].n_unique():
        notes.append(f"{unknown} nights name no subject, and each counts as one of its own")
    if seen := frame.filter(named_in(frame, reader.trained_on))["subject"].n_unique():
        notes.append(f"{public_name(reader)} was trained on {seen} of these subjects: agreement with them flatters it")
    if frame["simulated"].any():
        notes.append("simulated nights")
    return notes
