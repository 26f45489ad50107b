"""Events by words: which epochs count, and that scores are held against the measure on the same epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.vocabulary import CHANNELS
from retrieval.evaluation.events import event_codes, event_truths, evidence_of, measure_events
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import load_sensors
from retrieval.zeroshot import find_task, load_tasks

EVENTS = [task for task in load_tasks().values() if task.event]


class Reader:
    """Puts what says that an event is there, and that it is not, into opposite directions of its own."""

    name, space, dim, runs_on = "reader", "reader-00000000", len(EVENTS), "cpu"
    channels = CHANNELS
    trained_on: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), self.dim), np.float32)
        for i, text in enumerate(texts):
            for axis, task in enumerate(EVENTS):
                rows[i, axis] += (text in task.texts("present")) * 1.0 - (text in task.texts("absent"))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sample_of(n: int = 400, *, subjects: int = 4, **columns: Any) -> Sample:
    """Epochs of N2 with every sensor usable and nothing scored but what `columns` say."""
    night = np.arange(n) * subjects // n
    frame = pl.DataFrame({
        "recording": [f"r{i}" for i in night], "subject": [f"s{i}" for i in night],
        "start_s": 30.0 * (np.arange(n) - np.searchsorted(night, night)), "stage": ["N2"] * n,
        **{f"ok_{channel.lower()}": [True] * n for channel in CHANNELS},
    }).with_columns(**{name: pl.Series(values) for name, values in columns.items()})  # fmt: skip
    return Sample(Reader(), frame, np.zeros((n, len(EVENTS)), np.float32))  # type: ignore[arg-type]


def desaturations(n: int = 400, *, noise: float = 0.4, seed: int = 0, **columns: Any) -> Sample:
    """Every third epoch holds a desaturation; vectors and the measured fall both see it through noise."""
    rng = np.random.default_rng(seed)
    there = np.arange(n) % 3 == 0
    sample = sample_of(
        n, n_desaturation=there.astype(int), desaturation_s=np.where(there, 12.0, 0.0),
        spo2_drop_pct=there + rng.normal(scale=noise, size=n), **columns,
    )  # fmt: skip
    axis = [task.name for task in EVENTS].index("desaturation")
    sample.vectors[:, axis] = (there - 0.5) + rng.normal(scale=noise, size=n)
    sample.vectors[:, axis - 1] = 0.5
    sample.vectors[:] /= np.linalg.norm(sample.vectors, axis=1, keepdims=True)
    return sample


def found(figures: Sequence[Figure]) -> dict[tuple[str, str], Figure]:
    return {(figure.measure, figure.method): figure for figure in figures}


def test_three_seconds_are_an_event_none_is_none_and_between_nothing_is_said() -> None:
    frame = pl.DataFrame({
        "n_arousal": [1, 1, 0, None, 2], "arousal_s": [3.0, 2.9, 0.0, None, 30.0],
    })  # fmt: skip
    assert event_codes(frame, "arousal").tolist() == [1, -1, 0, -1, 1]


def test_only_sleep_with_a_sensor_that_shows_it_counts_and_the_rest_is_counted_apart() -> None:
    n = 12
    sample = sample_of(
        n, subjects=2, n_desaturation=[1, 0] * 6, desaturation_s=[10.0, 0.0] * 6,
        stage=["W", None, "REM", "NREM"] + ["N2"] * 8, ok_spo2=[True] * 4 + [None, False] + [True] * 6,
    )  # fmt: skip
    (truth,) = event_truths(sample)
    assert truth.task.name == "desaturation"
    assert truth.codes.tolist() == [-1, -1, 1, 0, -1, -1, *[1, 0] * 3]
    assert truth.note == "left out: 2 epochs awake or without a stage, 2 without a sensor that shows it"


def test_kinds_that_nobody_scored_or_that_never_happened_have_no_figure() -> None:
    assert measure_events(sample_of()) == []
    assert measure_events(sample_of(n_arousal=[0] * 400, arousal_s=[0.0] * 400)) == []
    nobody = {
        "n_arousal": pl.Series([None] * 400, dtype=pl.Int32),
        "arousal_s": pl.Series([None] * 400, dtype=pl.Float32),
    }
    assert measure_events(sample_of(**nobody)) == []


def test_figures_of_a_kind_stand_beside_chance_and_the_measure_itself() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    sample = desaturations()
    figures = found(measure_events(sample))
    base = 134 / 400
    auc, precision = (figures[f"desaturation {measure}", "zero-shot"] for measure in ("AUC", "AP"))
    there = np.arange(400) % 3 == 0
    axis = [task.name for task in EVENTS].index("desaturation")
    assert auc.value == pytest.approx(metrics.roc_auc_score(there, sample.vectors[:, axis]))
    assert precision.value == pytest.approx(metrics.average_precision_score(there, sample.vectors[:, axis]))
    assert auc.base_rate == precision.base_rate == base and auc.n == 400 and auc.subjects == 4
    assert auc.low is not None and auc.high is not None and auc.low < auc.value < auc.high
    assert figures["desaturation AP", "chance"].value == base and figures["desaturation AUC", "chance"].value == 0.5
    measured = metrics.roc_auc_score(there, sample.frame["spo2_drop_pct"])
    assert figures["desaturation AUC", "measured evidence"].value == pytest.approx(measured)
    assert "spo2_drop_pct" in figures["desaturation AUC", "measured evidence"].note
    assert set(auc.detail) == {"false_alarms", "recall", "precision"}


def test_gain_over_the_measure_is_taken_where_the_measure_is_known() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    drop = np.where(np.arange(400) % 7 == 0, np.nan, np.arange(400) % 3 == 0)
    sample = desaturations()
    sample = Sample(
        sample.encoder, sample.frame.with_columns(pl.Series("spo2_drop_pct", drop).fill_nan(None)), sample.vectors
    )
    figures = found(measure_events(sample))
    known = np.isfinite(drop)
    gain = figures["desaturation gain over the measured", "zero-shot"]
    axis = [task.name for task in EVENTS].index("desaturation")
    own = metrics.roc_auc_score((np.arange(400) % 3 == 0)[known], sample.vectors[known, axis])
    assert gain.value == pytest.approx(own - 1.0) and gain.n == known.sum() and gain.high is not None and gain.high < 0
    assert "says nothing" in figures["desaturation AUC", "measured evidence"].note


def test_reduced_flow_speaks_for_no_hypopnea_where_flow_is_absent() -> None:
    frame = pl.DataFrame({"flow_low_s": [0.0, 20.0, 20.0, None], "flow_absent_s": [0.0, 0.0, 15.0, None]})
    values, column = evidence_of(frame, find_task("hypopnea"))
    assert column == "flow_low_s" and values is not None
    assert values[:3].tolist() == [0.0, 20.0, 0.0] and np.isnan(values[3])
    assert evidence_of(frame, find_task("arousal")) == (None, "")


def test_every_task_has_its_required_sensors_written_down() -> None:
    assert set(load_sensors().required) == set(load_tasks())
    for sets in load_sensors().required.values():
        assert {channel for members in sets for channel in members} <= set(CHANNELS)
