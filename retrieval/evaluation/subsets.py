"""Every figure again with fewer sensors: what each modality is worth, and what is left with a few.

The same epochs are embedded again as if a recording had those channels alone. Each figure is held against that of all
sensors on the very epochs that the subset can see, so that the difference is of pairs and its interval of subjects.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from retrieval.agreement import confusion, f1_of
from retrieval.evaluation.baselines import ZERO_SHOT, left_out
from retrieval.evaluation.curves import Ranking
from retrieval.evaluation.events import event_truths
from retrieval.evaluation.figures import ALL_SENSORS, Figure, interval
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import able, load_sensors, usable
from retrieval.evaluation.stager import YASA, installed, yasa_stages
from retrieval.evaluation.staging import SMOOTHED, smoothed_scores, stage_scores, stage_truth
from retrieval.zeroshot import presence_scores

TASK = "subsets"
_FOR_YASA = frozenset({"EEG_C3", "EEG_C4", "EOG_L", "EOG_R", "EMG_CHIN"})
Rows = NDArray[np.int64]
Statistic = Callable[[Rows], float]


def measure_subsets(
    sample: Sample, *, seed: int = 0, most: int = 2_000, yasa: bool = True, temperature: float | None = None
) -> list[Figure]:
    """Staging by each subset of sensors, events by those that hold what the kind needs; on `most` epochs or fewer.

    Epochs are taken evenly from every recording. Beside each figure stands `... against all sensors`: the difference on
    the same epochs. YASA stages again from exactly the sensors of a subset, where that has an EEG and nothing it can't
    read. Nothing for an encoder that reads no signals.
    """
    if not sample.encoder.channels:
        return []
    sample = thinned(sample, most)
    there = [c for c in sample.encoder.channels if sample.frame[f"ok_{c.lower()}"].fill_null(False).any()]
    subsets = load_sensors().of(there)
    seen = dict(zip(subsets, sample.by_sensors(list(subsets.values())), strict=True))
    figures: list[Figure] = []
    for name, part in {ALL_SENSORS: sample, **seen}.items():
        channels = subsets.get(name, tuple(there))
        figures += _staging(sample, part, name, channels, seed, temperature)
        figures += _events(sample, part, name, channels, seed)
        if yasa and name in subsets and installed() and set(channels) <= _FOR_YASA:
            figures += _yasa(part, name, channels, seed)
    return figures


def thinned(sample: Sample, most: int) -> Sample:
    """At most `most` epochs, every k-th of each recording."""
    step = -(-len(sample) // most)
    place = sample.frame.select((pl.int_range(pl.len()).over("recording") % step == 0).alias("kept"))["kept"]
    return sample.rows(np.flatnonzero(place.to_numpy())[:most])


def _staging(
    whole: Sample, part: Sample, name: str, channels: tuple[str, ...], seed: int, temperature: float | None
) -> list[Figure]:
    truth = stage_truth(whole)
    k, detail = len(truth.task.labels), _detail("staging", channels)
    rows = truth.rows[able(whole, channels)[truth.rows]]
    if not len(rows):
        return []
    note = left_out(epochs_without_a_usable_sensor_of_these=len(truth.rows) - len(rows))
    true, there = truth.codes[rows], np.unique(truth.codes[rows])

    def macro(said: Rows) -> Statistic:
        return lambda draw: float(f1_of(confusion(true[draw], said[draw], k))[there].mean())

    plain = [stage_scores(one, truth.task, of) for one, of in ((whole, None), (part, channels))]
    figures = []
    for method in (ZERO_SHOT, SMOOTHED):
        scores = (
            plain if method == ZERO_SHOT else [smoothed_scores(whole, s, truth.task, temperature)[0] for s in plain]
        )
        full, fewer = (macro(s[rows].argmax(axis=1)) for s in scores)
        base = float(np.bincount(true, minlength=k)[there].mean() / len(true))
        figures += _pair(whole, rows, "macro-F1", method, name, fewer, full, base, seed, note, detail)
    return figures


def _events(whole: Sample, part: Sample, name: str, channels: tuple[str, ...], seed: int) -> list[Figure]:
    figures = []
    for truth in event_truths(whole):
        if not (sets := load_sensors().enough(truth.task.name, channels)):
            continue
        rows = truth.rows[usable(whole.frame, sets)[truth.rows]]
        there = truth.codes[rows] == 1
        if there.all() or not there.any():
            continue
        scores = (presence_scores(one.vectors, truth.task, whole.texts)[rows] for one in (whole, part))
        full, fewer = (Ranking.of(there, np.asarray(s, np.float64)).auc for s in scores)
        figures += _pair(whole, rows, f"{truth.task.name} AUC", ZERO_SHOT, name, fewer, full, float(there.mean()), seed,
                         truth.note, _detail(truth.task.name, channels))  # fmt: skip
    return figures


def _yasa(part: Sample, name: str, channels: tuple[str, ...], seed: int) -> list[Figure]:
    truth = stage_truth(part)
    staged = yasa_stages(part, channels)
    labels, means = list(truth.task.labels), truth.task.means()
    said = np.array([labels.index(means[stage]) if stage is not None else -1 for stage in staged.stages])
    rows = truth.rows[(said >= 0)[truth.rows] & able(part, channels)[truth.rows]]
    if not len(rows):
        return []
    true, there = truth.codes[rows], np.unique(truth.codes[rows])
    base = float(np.bincount(true, minlength=len(labels))[there].mean() / len(true))

    def macro(draw: Rows) -> float:
        return float(f1_of(confusion(true[draw], said[rows][draw], len(labels)))[there].mean())

    detail = _detail("staging", channels)
    return [_figure(part, rows, "macro-F1", YASA, name, macro, base, seed, staged.words(), detail)]


def _pair(
    sample: Sample, rows: Rows, measure: str, method: str, name: str, fewer: Statistic, full: Statistic, base: float,
    seed: int, note: str, detail: dict[str, Any],
) -> list[Figure]:  # fmt: skip
    """The figure of a subset, and its difference to all sensors on the same rows."""
    figures = [_figure(sample, rows, measure, method, name, fewer, base, seed, note, detail)]
    if name != ALL_SENSORS:
        against = f"{measure} against all sensors"
        figures.append(
            _figure(sample, rows, against, method, name, lambda draw: fewer(draw) - full(draw), 0.0, seed, note, detail)
        )
    return figures


def _figure(
    sample: Sample, rows: Rows, measure: str, method: str, name: str, statistic: Statistic, base: float, seed: int,
    note: str, detail: dict[str, Any],
) -> Figure:  # fmt: skip
    subjects = sample.frame["subject"][rows].to_list()
    found = interval(statistic, subjects, seed=seed)
    note = "; ".join(filter(None, (found.note, note)))
    return Figure(TASK, measure, method, found.value, len(rows), len(set(subjects)), found.low, found.high, base, name,
                  note, detail)  # fmt: skip


def _detail(task: str, channels: tuple[str, ...]) -> dict[str, Any]:
    return {"channels": list(channels), "enough": bool(load_sensors().enough(task, channels))}
