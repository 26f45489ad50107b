"""Few examples: nobody teaches and is tested, what a vector knows comes out, and chance is where nothing is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from encoders.vocabulary import CHANNELS
from retrieval.evaluation import fewshot
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.sample import Sample
from tests.retrieval.evaluation.conftest import TinyEncoder, unit

STAGES = ("W", "N1", "N2", "N3", "REM")


def sample_of(vectors: np.ndarray, *, subjects: int = 4, **columns: Any) -> Sample:
    """Nights of cycling stages; `delta_pct` knows nothing."""
    n = len(vectors)
    night = np.arange(n) * subjects // n
    frame = pl.DataFrame({
        "recording": [f"r{i}" for i in night], "subject": [f"s{i}" for i in night], "start_s": 30.0 * np.arange(n),
        "stage": [STAGES[i] for i in stages(n)], "delta_pct": np.random.default_rng(9).normal(size=n),
        **{f"ok_{channel.lower()}": [True] * n for channel in CHANNELS},
    }).with_columns(**{name: pl.Series(values) for name, values in columns.items()})  # fmt: skip
    return Sample(TinyEncoder(), frame, vectors)


def stages(n: int) -> np.ndarray:
    return np.arange(n) // 3 % len(STAGES)


def knowing(n: int = 600, noise: float = 0.1) -> np.ndarray:
    """Vectors that hold the stage."""
    rng = np.random.default_rng(1)
    return unit(np.eye(8)[stages(n)] + noise * rng.standard_normal((n, 8)))


def found(figures: list[Figure], method: str, measure: str) -> Figure:
    (figure,) = [f for f in figures if (f.method, f.measure) == (method, measure)]
    return figure


def test_nobody_gives_examples_and_is_judged_and_everybody_is_judged() -> None:
    (question,) = fewshot._questions(sample_of(knowing(), subjects=5))
    people = np.array(question.subjects)
    judged: set[str] = set()
    for draw in fewshot._draws(question, 5, seed=3):
        assert draw.counts == (5,) * 5
        assert set(people[draw.examples]) <= set(people[draw.donors])
        assert not set(people[draw.donors]) & set(people[draw.judged])
        judged |= set(people[draw.judged])
    assert judged == set(people)


def test_vectors_that_hold_the_stage_need_one_example_and_measures_that_do_not_stay_at_chance() -> None:
    figures = fewshot.measure_fewshot(sample_of(knowing()))
    for count in ("1 example", "5 examples", "50 examples"):
        name = f"staging macro-F1, {count} a class"
        best, measures = found(figures, "kNN", name), found(figures, "measures + linear probe", name)
        assert best.value is not None and best.value > 0.97 and best.subjects == 4
        assert best.low is not None and best.high is not None and best.low <= best.value <= best.high
        assert measures.value is not None and measures.value < 0.35
        assert found(figures, "chance", name).value == pytest.approx(0.2) == best.base_rate
    probe = found(figures, "linear probe", "staging N1 F1, 50 examples a class")
    assert probe.value is not None and probe.value > 0.97 and probe.detail["examples"] == 50


def test_vectors_of_noise_reach_what_guessing_does() -> None:
    noise = unit(np.random.default_rng(5).standard_normal((600, 8)))
    figures = fewshot.measure_fewshot(sample_of(noise))
    for method in ("kNN", "linear probe"):
        value = found(figures, method, "staging macro-F1, 50 examples a class").value
        assert value is not None and abs(value - 0.2) < 0.06


def test_events_are_told_apart_and_only_where_they_were_scored() -> None:
    n = 600
    there = np.arange(n) % 4 == 0
    unknown = np.arange(n) >= 450  # the last subject's events were not scored
    count = [None if u else int(t) for t, u in zip(there, unknown, strict=True)]
    vectors = unit(np.where(there[:, None], [1.0, 0.0], [0.0, 1.0]) + 0.2)
    sample = sample_of(vectors, n_arousal=count, arousal_s=[None if c is None else 9.0 * c for c in count])
    figure = found(fewshot.measure_fewshot(sample), "linear probe", "arousal AUC, 5 examples a class")
    asleep = sample.frame["stage"].to_numpy() != "W"
    assert figure.value == pytest.approx(1.0) and figure.subjects == 3
    assert figure.n == int((asleep & ~unknown).sum())
    assert figure.base_rate == pytest.approx(there[asleep & ~unknown].mean())


def test_with_one_subject_there_is_the_reason_and_no_figure() -> None:
    (figure,) = fewshot.measure_fewshot(sample_of(knowing(), subjects=1))
    assert figure.value is None and "one subject" in figure.note and figure.subjects == 1


def test_classes_with_too_few_examples_say_so() -> None:
    sample = sample_of(knowing(60))
    figure = found(fewshot.measure_fewshot(sample), "kNN", "staging macro-F1, 50 examples a class")
    assert "of the rarest class there were 6 in a draw" in figure.note


def test_auc_of_drawn_rows_is_that_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    n = 80
    truth, scores = rng.integers(0, 2, n), rng.integers(0, 9, (n, 2)).astype(float)  # with ties
    question = fewshot._Question("arousal", ("absent", "present"), np.arange(n), truth, ("a",) * n)
    judged = np.flatnonzero(rng.random(n) < 0.6)
    statistic = fewshot._auc(question, judged, scores[judged])
    for _ in range(20):
        rows = rng.integers(0, n, n)
        here = rows[np.isin(rows, judged)]
        expected = roc_auc_score(truth[here], scores[here, 1] - scores[here, 0])
        assert statistic(rows) == pytest.approx(expected)


def test_nearest_with_one_example_a_class_is_the_nearest_neighbour() -> None:
    rng = np.random.default_rng(2)
    examples, judged, labels = rng.normal(size=(5, 7)), rng.normal(size=(200, 7)), np.arange(5)
    twin = KNeighborsClassifier(1, metric="cosine").fit(examples, labels).predict(judged)
    assert (fewshot._nearest(examples, labels, judged, 5).argmax(axis=1) == twin).all()


def test_a_class_without_an_example_is_never_found() -> None:
    rng = np.random.default_rng(2)
    for classify in (fewshot._nearest, fewshot._linear):
        for labels in (np.array([0, 0, 3, 3]), np.array([0, 1, 3, 3])):
            scores = classify(rng.normal(size=(4, 3)), labels, rng.normal(size=(50, 3)), 5)
            assert set(scores.argmax(axis=1)) <= set(labels)


def test_captions_are_asked_without_what_was_scored(tiny_sample: Sample) -> None:
    """An encoder of sentences alone is not told the stage by the caption that names it."""
    encoder = tiny_sample.cohort.encoder  # type: ignore[union-attr]
    some = replace(tiny_sample.rows(np.arange(0, len(tiny_sample), 6)), encoder=encoder)
    figures = fewshot.measure_fewshot(some)
    assert any("without their part stage_event" in f.note for f in figures if f.method == "linear probe")
    assert not any(f.value is not None and f.value > 0.9 for f in figures if "staging macro-F1" in f.measure)
