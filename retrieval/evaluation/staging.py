"""Sleep stages by words alone, as they come and smoothed over the night, beside what simpler ways and YASA reach.

Every method is judged on the same epochs: those scored with one of the task's stages, in which the encoder had a usable
sensor. What is left out is counted in the note.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.models import Encoder
from retrieval.agreement import confusion, f1_of, kappa_of
from retrieval.evaluation.baselines import (
    CAPTIONS,
    CAPTIONS_NOTE,
    CHANCE,
    KNN,
    MEASURED,
    ZERO_SHOT,
    caption_space,
    left_out,
    measures_knn,
)
from retrieval.evaluation.curves import Ranking
from retrieval.evaluation.figures import ONE_SUBJECT, Figure, interval
from retrieval.evaluation.labelled import Codes, Labelled
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import able
from retrieval.evaluation.simulated import CEILING, TRUTH, true_frame
from retrieval.evaluation.stager import INSTALL, YASA, installed, yasa_stages
from retrieval.scorers import AUTO
from retrieval.smoothing import load_transitions, smooth_nights, usual_temperature
from retrieval.zeroshot import PromptTask, find_task, label_scores, load_tasks

TASK = "staging"
SMOOTHED = "zero-shot, smoothed over the night"
_WAKE_N3 = "AUC, wake against N3"


def measure_staging(
    sample: Sample, *, seed: int = 0, yasa: bool = True, temperature: float | None = None
) -> list[Figure]:
    """Macro-F1, kappa and each stage's F1, and how well wake ranks above N3; nothing where nobody scored stages.

    The encoder's scores come as they are and smoothed over the night, at `temperature` (default: the encoder's own,
    else `smoothing.usual_temperature`); each macro-F1 holds its confusion, scored by found. An encoder without signals
    is asked in the captions less their part stage_event, which would give the answer away. `yasa` runs that stager on
    the same recordings, where it is installed; it takes seconds a night.
    """
    truth = stage_truth(sample)
    if not len(truth.rows):
        return []
    judge = Judge(sample, truth, seed)
    figures = judge.chance()
    if sample.encoder.channels:
        scores = stage_scores(sample, truth.task)
        figures += judge.by_scores(ZERO_SHOT, scores)
        smoothed, note = smoothed_scores(sample, scores, truth.task, temperature)
        figures += judge.by_scores(SMOOTHED, smoothed, note=note)
    if sample.cohort:
        vectors, embed = caption_space(sample)
        figures += judge.by_scores(CAPTIONS, label_scores(vectors, truth.task, embed), note=CAPTIONS_NOTE)
    if (chances := measures_knn(sample, truth.codes, len(truth.task.labels))) is not None:
        figures += judge.by_scores(KNN, chances)
    else:
        figures.append(Figure(TASK, "macro-F1", KNN, None, 0, 1, note=f"{ONE_SUBJECT}: neighbours must be others'"))
    figures += judge.wake_by_delta()
    if (true := true_frame(sample)) is not None:
        figures += judge.by_codes(TRUTH, _codes(true["stage"], truth.task), note=CEILING)
    return figures + (judge.by_yasa() if yasa and sample.cohort else [])


def stage_task(encoder: Encoder) -> PromptTask:
    """The staging task of the labels that an encoder can tell apart (`merges_stages`: stage -> label)."""
    merged = getattr(encoder, "merges_stages", {})
    wanted = {merged.get(stage, stage) for stage in find_task(TASK).labels}
    return next((t for t in load_tasks().values() if t.column == "stage" and set(t.labels) == wanted), find_task(TASK))


def stage_truth(sample: Sample) -> Labelled:
    """What the scorer said of each epoch, in labels of the encoder's staging task."""
    task, frame = stage_task(sample.encoder), sample.frame
    codes = _codes(frame["stage"], task)
    by_program = np.zeros(len(codes), bool)
    if "stage_source" in frame.columns:  # a stager's marks are no truth to hold another against
        by_program = frame["stage_source"].fill_null("").str.starts_with(AUTO).to_numpy() & (codes >= 0)
    codes[by_program] = -1
    nrem = int((frame["stage"] == "NREM").sum())
    unscored = int((codes < 0).sum()) - nrem - int(by_program.sum())
    blind = ~able(sample) & (codes >= 0)
    codes[blind] = -1
    note = left_out(
        unscored=unscored, staged_by_a_program=int(by_program.sum()), scored_as_unspecified_NREM=nrem,
        without_a_usable_sensor=int(blind.sum()),
    )  # fmt: skip
    return Labelled(task, codes, note)


def _codes(stages: pl.Series, task: PromptTask) -> Codes:
    """The number of each stage's label in the task, -1 for what is none of them."""
    number = {value: list(task.labels).index(label) for value, label in task.means().items()}
    return stages.replace_strict(number, default=-1, return_dtype=pl.Int64).to_numpy().copy()


def stage_scores(
    sample: Sample, task: PromptTask, channels: Sequence[str] | None = None
) -> NDArray[np.float32]:  # fmt: skip
    """Cosine with each stage's words, `(n, labels)`; NaN in epochs without a usable sensor."""
    scores = label_scores(sample.vectors, task, sample.texts)
    scores[~able(sample, channels)] = np.nan
    return scores


def smoothed_scores(
    sample: Sample, scores: NDArray[Any], task: PromptTask, temperature: float | None
) -> tuple[NDArray[np.float64], str]:
    """Log-probabilities by the neighbours in the night, `(n, labels)`, and the temperature in words."""
    own = temperature or getattr(sample.encoder, "temperature", None)
    used = own or usual_temperature(scores)
    transitions = load_transitions().merged(task.means()).ordered(list(task.labels))
    frame = sample.frame
    chances = smooth_nights(
        scores, frame["recording"].to_list(), frame["start_s"].to_numpy(), transitions, temperature=used
    )
    note = f"temperature {used:.3g}, {'given' if own else 'from the spread of the scores'}; transitions of real nights"
    return np.log(np.maximum(chances, 1e-300)), note


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns what a method says of every epoch into figures, over the epochs that count."""

    sample: Sample
    truth: Labelled
    seed: int

    def chance(self) -> list[Figure]:
        """Labels drawn as often as each occurs: the F1 of each is then its share, and kappa is zero."""
        known = self.truth.codes[self.truth.rows]
        share = np.bincount(known, minlength=len(self.truth.task.labels)) / len(known)
        people = self._people(self.truth.rows)
        values = {"macro-F1": float(share[share > 0].mean()), "kappa": 0.0} | {
            f"{label} F1": float(part) for label, part in zip(self.truth.task.labels, share, strict=True) if part
        }
        return [
            Figure(TASK, measure, CHANCE, value, len(known), people, note=self.truth.note)
            for measure, value in values.items()
        ]

    def by_scores(self, method: str, scores: NDArray[Any], *, note: str = "") -> list[Figure]:
        """Of scores `(n, labels)`, NaN where the method knows nothing: the highest is what it says."""
        known = np.isfinite(scores).all(axis=1)
        said = np.where(known, np.where(known[:, None], scores, 0.0).argmax(axis=1), -1)
        at = {label: i for i, label in enumerate(self.truth.task.labels)}
        return self.by_codes(method, said, note=note) + self._wake(
            method, scores[:, at["W"]] - scores[:, at["N3"]], note
        )

    def by_codes(self, method: str, said: Codes, *, note: str = "") -> list[Figure]:
        """Of labels' numbers `(n,)`, -1 where the method says nothing."""
        rows = self.truth.rows[said[self.truth.rows] >= 0]
        if not len(rows):
            return []
        true, said, labels = self.truth.codes[rows], said[rows], list(self.truth.task.labels)
        mute = left_out(**{f"epochs of which {method} says nothing": len(self.truth.rows) - len(rows)})
        note = "; ".join(filter(None, (note, self.truth.note, mute)))
        there = np.unique(true)
        share = np.bincount(true, minlength=len(labels)) / len(true)

        def counted(draw: Codes) -> NDArray[np.int64]:
            return confusion(true[draw], said[draw], len(labels))

        measures: list[tuple[str, Callable[[Codes], float], float | None]] = [
            ("macro-F1", lambda draw: float(f1_of(counted(draw))[there].mean()), float(share[there].mean())),
            ("kappa", lambda draw: kappa_of(counted(draw)), 0.0),
            *((f"{labels[i]} F1", lambda draw, i=i: float(f1_of(counted(draw))[i]), float(share[i])) for i in there),
        ]  # fmt: skip
        detail = {"classes": labels, "confusion": counted(np.arange(len(rows))).tolist()}
        figures = [
            self._figure(measure, method, rows, statistic, base, note, detail if measure == "macro-F1" else {})
            for measure, statistic, base in measures
        ]
        return [figure for figure in figures if figure.value is not None]  # no kappa where there is one label alone

    def by_yasa(self, sensors: Sequence[str] | None = None) -> list[Figure]:
        """YASA's own stages of the same recordings, with none but these sensors where they are named."""
        if not installed():
            return [Figure(TASK, "macro-F1", YASA, None, 0, 0, note=INSTALL)]
        staged = yasa_stages(self.sample, sensors)
        means = self.truth.task.means()
        labels = list(self.truth.task.labels)
        said = np.array([labels.index(means[stage]) if stage is not None else -1 for stage in staged.stages])
        found = self.by_codes(YASA, said, note=staged.words())
        return found or [Figure(TASK, "macro-F1", YASA, None, 0, 0, note=staged.words())]

    def wake_by_delta(self) -> list[Figure]:
        """Wake against N3 by the share of delta power alone."""
        delta = self.sample.frame["delta_pct"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        return self._wake(MEASURED, -delta, "delta_pct, less is wake")

    def _wake(self, method: str, scores: NDArray[Any], note: str) -> list[Figure]:
        labels = list(self.truth.task.labels)
        wake, deep = labels.index("W"), labels.index("N3")
        rows = np.flatnonzero(np.isin(self.truth.codes, (wake, deep)) & np.isfinite(scores))
        awake = self.truth.codes[rows] == wake
        if not len(rows) or awake.all() or not awake.any():
            return []
        ranking = Ranking.of(awake, np.asarray(scores, np.float64)[rows])
        return [self._figure(_WAKE_N3, method, rows, ranking.auc, float(awake.mean()), note, {})]

    def _figure(
        self, measure: str, method: str, rows: Codes, statistic: Callable[[Codes], float], base: float | None,
        note: str, detail: dict[str, Any],
    ) -> Figure:  # fmt: skip
        subjects = self.sample.frame["subject"][rows].to_list()
        found = interval(statistic, subjects, seed=self.seed)
        note = "; ".join(filter(None, (found.note, note)))
        return Figure(TASK, measure, method, found.value, len(rows), len(set(subjects)), found.low, found.high, base,
                      note=note, detail=detail)  # fmt: skip

    def _people(self, rows: Codes) -> int:
        return int(self.sample.frame["subject"][rows].n_unique())
