"""Events within sleep: do the words for an event lie nearer to the epochs that hold it?

Of each kind, an epoch is positive when the event fills 3 s of it or more, negative when none of it is there and the
kind was scored, and left out in between. Sleep alone counts, since events are scored in no other; so does a sensor that
can show the kind at all (prompts.toml). The score is the cosine with what says that it is present, less that with what
says it is absent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_lexicon
from encoders.vocabulary import SLEEP_STAGES
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
from retrieval.evaluation.figures import Figure, interval
from retrieval.evaluation.labelled import Codes, Labelled
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import able, load_sensors, usable
from retrieval.evaluation.simulated import CEILING, TRUTH, true_frame
from retrieval.truth import OVERLAP_S
from retrieval.zeroshot import PromptTask, load_tasks, presence_scores

TASK = "events"


def measure_events(sample: Sample, *, seed: int = 0) -> list[Figure]:
    """AUC and average precision of each kind of event; kinds that nobody scored, or that never happened, have none.

    Beside the encoder: chance; the measure that shows the kind where there is one, and the encoder's AUC less its, on
    the epochs where it is known; the measures with kNN; the captions less their part stage_event; of simulated nights
    their truth, which is no rival but a ceiling.
    """
    truths = list(event_truths(sample))
    if not truths:
        return []
    space = caption_space(sample) if sample.cohort else None
    true = true_frame(sample)
    figures: list[Figure] = []
    for truth in truths:
        judge = EventJudge(sample, truth, seed)
        figures += judge.chance()
        own = None
        if sample.encoder.channels:
            own = presence_scores(sample.vectors, truth.task, sample.texts)
            own[~able(sample)] = np.nan
            figures += judge.by_scores(ZERO_SHOT, own)
        evidence, column = evidence_of(sample.frame, truth.task)
        if evidence is not None:
            figures += judge.by_scores(MEASURED, evidence, note=column)
            if own is not None:
                figures += judge.difference(own, evidence, column)
        if (chances := measures_knn(sample, truth.codes, 2)) is not None:
            figures += judge.by_scores(KNN, chances[:, 1])
        if space is not None:
            figures += judge.by_scores(CAPTIONS, presence_scores(space[0], truth.task, space[1]), note=CAPTIONS_NOTE)
        if true is not None:
            seconds = true[f"{truth.task.event}_s"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            figures += judge.by_scores(TRUTH, seconds, note=f"seconds of it; {CEILING}")
    return figures


def event_codes(frame: pl.DataFrame, event: str) -> Codes:
    """1, 0 or -1 by the columns `n_EVENT` and `EVENT_s` alone: there, not there, not scored or hardly there."""
    there, none = pl.col(f"{event}_s") >= OVERLAP_S, pl.col(f"n_{event}") == 0
    code = pl.when(there).then(1).when(none).then(0).otherwise(-1).cast(pl.Int64)
    return frame.select(code.alias("code"))["code"].to_numpy().copy()


def event_truths(sample: Sample) -> Iterator[Labelled]:
    """The kinds of event that this sample holds both with and without, and which epochs count for each."""
    frame = sample.frame
    asleep = frame["stage"].is_in(SLEEP_STAGES).fill_null(False).to_numpy()
    required = load_sensors().required
    for task in load_tasks().values():
        if task.event is None or f"n_{task.event}" not in frame.columns:
            continue
        codes = event_codes(frame, task.event)
        scored = frame[f"n_{task.event}"].is_not_null().to_numpy()
        sets = required[task.name]
        seen = usable(frame, sets) if sets else np.ones(len(sample), bool)
        note = left_out(
            epochs_awake_or_without_a_stage=int((scored & ~asleep).sum()), not_scored=int((asleep & ~scored).sum()),
            without_a_sensor_that_shows_it=int((asleep & scored & ~seen).sum()),
            with_less_than_3_s_of_it=int((asleep & scored & seen & (codes < 0)).sum()),
        )  # fmt: skip
        codes[~asleep | ~seen] = -1
        if (codes == 1).any() and (codes == 0).any():
            blind = "" if sets else "its own sensor is not among the twelve channels"
            yield Labelled(task, codes, "; ".join(filter(None, (blind, note))))


def evidence_of(frame: pl.DataFrame, task: PromptTask) -> tuple[NDArray[np.float64] | None, str]:
    """What the lexicon's measure says of the event in each epoch, more is likelier, NaN where unknown; its column."""
    concept = load_lexicon().concepts.get(task.concept or "")
    if concept is None or concept.evidence is None or concept.evidence not in frame.columns:
        return None, ""
    values = frame[concept.evidence].cast(pl.Float64).fill_null(np.nan).to_numpy() * concept.sign
    if concept.unless is not None:  # then it is something else, and nothing speaks for it
        other = frame.select(pl.sql_expr(concept.unless).fill_null(False).alias("other"))["other"].to_numpy()
        values = np.where(other & np.isfinite(values), np.nanmin(values, initial=np.inf), values)
    return values, concept.evidence


@dataclass(frozen=True, slots=True)
class EventJudge:
    """Turns a method's scores of every epoch into figures, over the epochs that count."""

    sample: Sample
    truth: Labelled
    seed: int

    def chance(self) -> list[Figure]:
        rows = self.truth.rows
        share = float(self.truth.codes[rows].mean())
        people = int(self.sample.frame["subject"][rows].n_unique())
        return [
            Figure(TASK, f"{self.truth.task.name} {measure}", CHANCE, value, len(rows), people, base_rate=share,
                   note=self.truth.note)
            for measure, value in (("AUC", 0.5), ("AP", share))
        ]  # fmt: skip

    def by_scores(self, method: str, scores: NDArray[Any], *, note: str = "") -> list[Figure]:
        rows, ranking = self._ranked(scores)
        if ranking is None:
            return []
        mute = left_out(**{f"epochs of which {method} says nothing": len(self.truth.rows) - len(rows)})
        note = "; ".join(filter(None, (note, self.truth.note, mute)))
        return [
            self._figure("AUC", method, rows, ranking.auc, note, ranking.points()),
            self._figure("AP", method, rows, ranking.average_precision, note, {}),
        ]

    def difference(self, own: NDArray[Any], evidence: NDArray[np.float64], column: str) -> list[Figure]:
        """The encoder's AUC less the measure's, on the epochs where the measure is known."""
        both = np.where(np.isfinite(evidence), own, np.nan)
        rows, mine = self._ranked(both)
        _, theirs = self._ranked(np.where(np.isfinite(both), evidence, np.nan))
        if mine is None or theirs is None:
            return []
        first, other = mine, theirs
        return [
            self._figure("gain over the measured", ZERO_SHOT, rows, lambda draw: first.auc(draw) - other.auc(draw),
                         f"AUC less that of {column}, on the same epochs", {})
        ]  # fmt: skip

    def _ranked(self, scores: NDArray[Any]) -> tuple[Codes, Ranking | None]:
        rows = self.truth.rows[np.isfinite(scores[self.truth.rows])]
        there = self.truth.codes[rows] == 1
        if not there.any() or there.all():
            return rows, None
        return rows, Ranking.of(there, np.asarray(scores, np.float64)[rows])

    def _figure(
        self, measure: str, method: str, rows: Codes, statistic: Any, note: str, detail: dict[str, Any]
    ) -> Figure:  # fmt: skip
        subjects = self.sample.frame["subject"][rows].to_list()
        found = interval(statistic, subjects, seed=self.seed)
        share = float(self.truth.codes[rows].mean())
        note = "; ".join(filter(None, (found.note, note)))
        return Figure(TASK, f"{self.truth.task.name} {measure}", method, found.value, len(rows), len(set(subjects)),
                      found.low, found.high, share, note=note, detail=detail)  # fmt: skip
