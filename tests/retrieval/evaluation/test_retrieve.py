"""Retrieval both ways: ranks with ties, galleries, and relevance by what is known of both sides."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import polars as pl
import pytest

from encoders.training.facts import INDEX
from retrieval.evaluation.fields import known_facts
from retrieval.evaluation.figures import ONE_SUBJECT, Figure
from retrieval.evaluation.retrieve import KINDS, evenly, measure_retrieve, precision_at, worst_ranks
from retrieval.evaluation.sample import Sample


def by_name(figures: list[Figure]) -> dict[tuple[str, str], Figure]:
    return {(figure.measure, figure.method): figure for figure in figures}


@pytest.fixture(scope="module")
def told(told_sample: Sample) -> dict[tuple[str, str], Figure]:
    return by_name(measure_retrieve(told_sample))


@pytest.mark.parametrize("distinct", [1, 3, 40, 3000])
def test_ties_count_at_worst_rank(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    n = 40 if distinct < 3000 else 1500  # more than one chunk
    items = rng.integers(-2, 3, size=(distinct, 4)).astype(np.float32)[rng.integers(distinct, size=n)]
    queries = rng.integers(-2, 3, size=(n, 4)).astype(np.float32)
    score = queries @ items.T  # small whole numbers: exact in float32
    slow = [sum(other >= score[i, i] for other in score[i]) for i in range(n)]
    assert worst_ranks(queries, items).tolist() == slow


def test_precision_shares_out_the_last_places_among_equals() -> None:
    scores = np.array([2.0, 1.0, 1.0, 1.0, 0.0, np.nan])
    relevant = np.array([False, True, False, True, True, True])
    falling = [order for order in permutations(range(5)) if (np.diff(scores[list(order)]) <= 0).all()]
    slow = [np.mean([relevant[i] for i in order[:3]]) for order in falling]
    top = precision_at(scores, relevant, 3)
    assert top(np.arange(6)) == pytest.approx(np.mean(slow)) == pytest.approx(4 / 9)
    assert top(np.array([4, 4, 0])) == pytest.approx(2 / 3)  # a row drawn twice counts twice, few rows are all taken
    assert np.isnan(top(np.array([0, 2]))) and np.isnan(top(np.array([0, 5])))  # none relevant that has a score


@pytest.mark.filterwarnings("error")
def test_infinite_scores_are_equals_like_others() -> None:
    relevant = np.array([True, False, False, True, False])
    for low, high in ((-np.inf, np.inf), (-2.0, 2.0)):
        scores = np.array([high, high, 0.0, low, low])
        assert precision_at(scores, relevant, 1)(np.arange(5)) == pytest.approx(1 / 2)
        assert precision_at(scores, relevant, 4)(np.arange(5)) == pytest.approx(3 / 8)
    nothing = precision_at(np.full(3, np.nan), np.ones(3, bool), 2)
    assert np.isnan(nothing(np.arange(3)))


def test_a_perfect_encoder_reaches_what_shared_captions_let_it(told: dict[tuple[str, str], Figure]) -> None:
    figure = told["R@10 signal to caption, 900 captions", "zero-shot"]
    assert figure.value == figure.detail["best_possible"] < 1 and figure.subjects == 5 and figure.n == 900
    assert 0 < figure.detail["not_unique"] < 1 and "of these 900 captions are not unique" in figure.note
    assert figure.low is not None and figure.low <= figure.value <= figure.high  # type: ignore[operator]
    assert told["R@1 signal to caption, 200 captions with numbers", "zero-shot"].detail["best_possible"] == 1


def test_galleries_are_those_stated_and_chance_is_known(told: dict[tuple[str, str], Figure]) -> None:
    sizes = {figure.detail["gallery"] for figure in told.values() if "gallery" in figure.detail}
    assert sizes == {200, 900}  # there are no more than 900 epochs
    assert told["R@10 caption to signal, 200 captions", "zero-shot"].n == 800  # four whole galleries
    for size in sizes:
        chance = told[f"R@5 signal to caption, {size} captions", "chance"]
        assert chance.value == chance.base_rate == 5 / size
        assert told[f"median rank caption to signal, {size} captions", "chance"].value == (size + 1) / 2


def test_random_vectors_are_at_chance(tiny_sample: Sample) -> None:
    noise = np.random.default_rng(5).standard_normal(tiny_sample.vectors.shape).astype(np.float32)
    found = by_name(measure_retrieve(replace(tiny_sample, vectors=noise, cohort=None)))
    rank = found["median rank caption to signal, 900 captions", "zero-shot"]
    assert rank.value == pytest.approx(450, abs=60)
    lift = found["lift by facts, captions", "zero-shot"]
    assert lift.low is not None and lift.low < 1.3 and lift.high > 0.7  # type: ignore[operator]


def test_by_facts_words_that_name_them_lift_precision_far_above_the_base_rate(
    told: dict[tuple[str, str], Figure],
) -> None:
    for asked in ("captions", "prompts"):
        own, chance = (told[f"precision@10 by facts, {asked}", method] for method in ("zero-shot", "chance"))
        assert own.base_rate == pytest.approx(chance.value)
        assert own.value > 2 * chance.value  # type: ignore[operator]
        lift = told[f"lift by facts, {asked}", "zero-shot"].value
        assert lift == pytest.approx(own.value / chance.value)  # type: ignore[operator]
    assert told["lift by facts, captions", "measures + kNN"].value > 1.5  # type: ignore[operator]
    assert "without their part stage_event" in told["lift by facts, prompts", "caption space (text:minilm)"].note
    prompts = told["precision@10 by facts, prompts", "zero-shot"].detail["prompts"]
    assert any("REM sleep." in prompt for prompt in prompts) and not any("  " in prompt for prompt in prompts)


def test_an_unscored_kind_is_not_asked_and_is_no_negative(told_sample: Sample) -> None:
    columns = [c for c in told_sample.frame.columns if c.startswith("n_") and c.removeprefix("n_") in KINDS]
    nothing = told_sample.frame.with_columns(pl.lit(None, pl.Int64).alias(c) for c in columns)
    found = by_name(measure_retrieve(replace(told_sample, frame=nothing, cohort=None)))
    prompts = found["precision@10 by facts, prompts", "zero-shot"].detail["prompts"]
    assert len(prompts) == 5  # the stages, since nothing else is known
    unstaged = nothing.with_columns(pl.lit(None, pl.String).alias("stage"))
    assert not any("by facts" in f.measure for f in measure_retrieve(replace(told_sample, frame=unstaged, cohort=None)))


def test_one_subject_alone_is_said_and_gets_intervals_by_blocks(told_sample: Sample) -> None:
    subject = told_sample.subjects()[0]
    alone = told_sample.rows((told_sample.frame["subject"] == subject).to_numpy())
    found = measure_retrieve(replace(alone, cohort=None))
    for figure in found:
        if figure.method != "chance":
            assert ONE_SUBJECT in figure.note and figure.subjects == 1
    assert any(figure.low is not None for figure in found)


def test_no_encoder_can_tell_epochs_apart_that_say_the_same_in_other_words(
    told: dict[tuple[str, str], Figure], told_sample: Sample
) -> None:
    for direction in ("signal to caption", "caption to signal"):
        unseen = told[f"R@10 {direction}, 900 captions in unseen wording", "zero-shot"]
        facts = known_facts(told_sample.frame, tuple(INDEX))
        _, which, count = np.unique(facts, axis=0, return_inverse=True, return_counts=True)
        alike = count[which.reshape(-1)]
        assert np.isclose(unseen.detail["best_possible"], (alike <= 10).mean()) and unseen.detail["best_possible"] < 1
        assert np.isclose(unseen.detail["not_unique"], (alike > 1).mean())
        assert f"every fact known: {unseen.detail['best_possible']:.3g}" in unseen.note
        assert unseen.value is not None and unseen.value <= unseen.detail["best_possible"]


def test_captions_of_another_wording_take_the_place_of_the_canonical_ones(told_sample: Sample) -> None:
    others = [f"epoch {row}" for row in range(len(told_sample))]
    others[7] = ""
    found = by_name(measure_retrieve(replace(told_sample, cohort=None), captions=others))
    figure = found["R@1 signal to caption, 899 captions in the wording given", "zero-shot"]
    assert figure.n == 899 and "left out: 1 epochs without a caption" in figure.note
    assert figure.value < 0.05 and figure.detail["not_unique"] == 0  # type: ignore[operator]
    with pytest.raises(ValueError, match="2 captions for 900 epochs"):
        measure_retrieve(told_sample, captions=["a", "b"])


def test_rows_are_spaced_evenly() -> None:
    assert evenly(10, 4).tolist() == [0, 3, 6, 9] and evenly(3, 10).tolist() == [0, 1, 2] and len(evenly(0, 5)) == 0
