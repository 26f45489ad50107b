"""Zero-shot staging: what counts, what is smoothed, and that an oracle, a guess and a cheat get what they deserve."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pytest

from retrieval.evaluation.figures import ONE_SUBJECT, Figure
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.staging import SMOOTHED, measure_staging, stage_task, stage_truth
from retrieval.smoothing import load_transitions
from retrieval.zeroshot import find_task

STAGES = ("W", "N1", "N2", "N3", "REM")


class Reader:
    """Puts each label's texts into a direction of their own."""

    name, space, dim, runs_on = "reader", "reader-00000000", 5, "cpu"
    channels: tuple[str, ...] = ("EEG_C3", "SPO2")
    trained_on: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    merges_stages: Any = MappingProxyType({})

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        task = stage_task(self)  # type: ignore[arg-type]
        place = {text: i for i, label in enumerate(task.labels) for text in task.texts(label)}
        return np.eye(5, dtype=np.float32)[[place[text] for text in texts]]


def sample_of(stages: Sequence[str | None], vectors: np.ndarray, *, subjects: int = 4, encoder: Any = None) -> Sample:
    """Nights of equal length, one a subject; every sensor is usable."""
    n = len(stages)
    night = np.arange(n) * subjects // n
    start_s = 30.0 * (np.arange(n) - np.searchsorted(night, night))
    frame = pl.DataFrame({
        "recording": [f"r{i}" for i in night], "subject": [f"s{i}" for i in night], "start_s": start_s,
        "stage": pl.Series(stages, dtype=pl.String), "ok_eeg_c3": [True] * n, "ok_spo2": [True] * n,
        "delta_pct": [80.0 if stage == "N3" else 40.0 for stage in stages],
    })  # fmt: skip
    return Sample(encoder or Reader(), frame, vectors.astype(np.float32))


def nights(n: int = 1200, *, noise: float = 0.0, seed: int = 0) -> tuple[list[str | None], np.ndarray]:
    """Stages that follow each other as in life, and vectors that point at them through noise."""
    rng, chances = np.random.default_rng(seed), load_transitions().chances
    codes = [0]
    while len(codes) < n:
        codes.append(int(rng.choice(5, p=chances[codes[-1]])))
    vectors = np.eye(5)[codes] + rng.normal(scale=noise, size=(n, 5))
    return [STAGES[code] for code in codes], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def values(figures: Sequence[Figure], method: str = "zero-shot") -> dict[str, float | None]:
    return {figure.measure: figure.value for figure in figures if figure.method == method}


def test_an_oracle_is_perfect_and_its_confusion_is_a_diagonal() -> None:
    figures = measure_staging(sample_of(*nights()), yasa=False)
    assert set(values(figures).values()) == {1.0}
    assert set(values(figures)) == {"macro-F1", "kappa", "AUC, wake against N3", *(f"{stage} F1" for stage in STAGES)}
    (macro,) = (f for f in figures if f.measure == "macro-F1" and f.method == "zero-shot")
    table = np.array(macro.detail["confusion"])
    assert macro.detail["classes"] == list(STAGES) and table.sum() == np.trace(table) == macro.n == 1200
    assert macro.subjects == 4 and macro.low == macro.high == 1


def test_smoothing_over_the_night_mends_noise() -> None:
    figures = measure_staging(sample_of(*nights(noise=0.7)), yasa=False)
    plain, smoothed = values(figures), values(figures, SMOOTHED)
    assert plain["kappa"] and smoothed["kappa"] and smoothed["kappa"] > plain["kappa"] + 0.15
    (figure,) = (f for f in figures if f.measure == "kappa" and f.method == SMOOTHED)
    assert "temperature" in figure.note


def test_an_encoder_may_bring_its_own_temperature() -> None:
    stages, vectors = nights(noise=0.7)
    given = measure_staging(sample_of(stages, vectors), yasa=False, temperature=0.05)
    encoder = Reader()
    encoder.temperature = 0.05  # type: ignore[attr-defined]
    own = measure_staging(sample_of(stages, vectors, encoder=encoder), yasa=False)
    assert values(given, SMOOTHED) == values(own, SMOOTHED)
    assert values(given, SMOOTHED) != values(measure_staging(sample_of(stages, vectors), yasa=False), SMOOTHED)


def test_chance_is_what_labels_drawn_by_frequency_reach() -> None:
    stages, vectors = nights(6000)
    chance = values(measure_staging(sample_of(stages, vectors), yasa=False), "chance")
    said = np.random.default_rng(0).permutation(np.array(stages))
    drawn = measure_staging(sample_of(stages, np.eye(5)[[STAGES.index(s) for s in said]]), yasa=False)
    for measure in ("macro-F1", "kappa", "N2 F1"):
        assert values(drawn)[measure] == pytest.approx(chance[measure], abs=0.03)


def test_unscored_nrem_and_blind_epochs_are_left_out_and_counted_but_smooth_their_neighbours() -> None:
    stages, vectors = nights(400)
    stages[3], stages[4], stages[5] = None, "unscored", "NREM"
    sample = sample_of(stages, vectors)
    blind = np.isin(np.arange(400), (10, 11))
    ok = pl.Series("ok_eeg_c3", ~blind)
    sample = Sample(sample.encoder, sample.frame.with_columns(ok, pl.lit(None, pl.Boolean).alias("ok_spo2")), vectors)
    truth = stage_truth(sample)
    assert len(truth.rows) == 395 and not set(truth.rows) & {3, 4, 5, 10, 11}
    assert truth.note == "left out: 2 unscored, 1 scored as unspecified NREM, 2 without a usable sensor"
    assert all(f.n == 395 for f in measure_staging(sample, yasa=False) if f.measure == "kappa" and f.value is not None)


def test_a_stage_that_nobody_scored_has_no_figure() -> None:
    stages, vectors = nights(600)
    known = [stage if stage in ("W", "N3") else "unscored" for stage in stages]
    found = values(measure_staging(sample_of(known, vectors), yasa=False))
    assert set(found) == {"macro-F1", "kappa", "W F1", "N3 F1", "AUC, wake against N3"}


def test_a_cohort_that_never_slept_is_judged_on_wake_alone() -> None:
    stages, vectors = nights(200)
    known = [stage if stage == "W" else "unscored" for stage in stages]
    figures = measure_staging(sample_of(known, vectors), yasa=False)
    assert values(figures) == {"macro-F1": 1.0, "W F1": 1.0}
    assert values(figures, "measures + kNN")["W F1"] == 1.0


def test_nothing_is_said_where_nobody_scored_stages() -> None:
    stages, vectors = nights(60)
    assert measure_staging(sample_of([None] * len(stages), vectors), yasa=False) == []


def test_what_a_program_staged_is_no_truth() -> None:
    stages, vectors = nights()
    sample = sample_of(stages, vectors)
    source = pl.Series(["auto:yasa"] * 300 + ["human"] * 900)
    some = replace(sample, frame=sample.frame.with_columns(stage_source=source))
    (macro,) = (f for f in measure_staging(some, yasa=False) if f.measure == "macro-F1" and f.method == "zero-shot")
    assert macro.n == 900 and "300 staged by a program" in macro.note
    assert not measure_staging(replace(sample, frame=sample.frame.with_columns(stage_source=pl.lit("auto:yasa"))))


def test_an_encoder_that_merges_n1_and_n2_is_asked_for_four_stages() -> None:
    encoder = Reader()
    encoder.merges_stages = {"N1": "light", "N2": "light"}
    assert stage_task(encoder) == find_task("staging_light")  # type: ignore[arg-type]
    stages, _ = nights()
    place = {"W": 0, "N1": 1, "N2": 1, "N3": 2, "REM": 3}
    sample = sample_of(stages, np.eye(5)[[place[str(stage)] for stage in stages]], encoder=encoder)
    found = values(measure_staging(sample, yasa=False))
    assert set(found) == {"macro-F1", "kappa", "AUC, wake against N3", "W F1", "light F1", "N3 F1", "REM F1"}
    assert set(found.values()) == {1.0}


def test_one_subject_has_no_neighbours_and_says_so() -> None:
    figures = measure_staging(sample_of(*nights(400, noise=0.5), subjects=1), yasa=False)
    (knn,) = (f for f in figures if f.method == "measures + kNN")
    assert knn.value is None and ONE_SUBJECT in knn.note
    assert all(ONE_SUBJECT in f.note for f in figures if f.method in ("zero-shot", SMOOTHED))


def test_measured_delta_tells_wake_from_n3() -> None:
    found = values(measure_staging(sample_of(*nights()), yasa=False), "measured evidence")
    assert found == {"AUC, wake against N3": 1.0}
