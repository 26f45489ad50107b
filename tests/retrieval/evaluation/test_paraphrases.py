"""A hundred questions in other words: that they are others, that they ask what they say, and what they keep."""

from dataclasses import replace

import polars as pl
import pytest

from encoders.captions import load_lexicon
from encoders.captions.wording import STAGE_CONCEPTS
from retrieval.evaluation.paraphrases import Asks, Paraphrase, load_paraphrases, measure_paraphrases, relevant_of
from retrieval.evaluation.sample import Sample

ENTRIES = load_paraphrases()


def concepts_of(asks: Asks) -> set[str]:
    """The lexicon's concepts that the question is about."""
    stages = {STAGE_CONCEPTS[stage] for stage in asks.stage} | (
        {"sleep", "nrem", "light_sleep"} if asks.stage else set()
    )
    renamed = {"respiratory": "respiratory_event"}
    events = {renamed.get(name, name.removesuffix("_any")) for name in (*asks.event, *asks.without)}
    return stages | events | set(asks.position) | set(asks.measure)


def test_there_are_a_hundred_different_ones() -> None:
    assert len(ENTRIES) == len({entry.text.lower() for entry in ENTRIES}) == 100


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.text)
def test_no_phrase_of_the_lexicon_gives_the_question_away(entry: Paraphrase) -> None:
    found = load_lexicon().find(entry.text)
    assert [match.concept.id for match in found if match.concept] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.text)
def test_the_plain_wording_is_the_lexicons_and_says_what_is_asked(entry: Paraphrase) -> None:
    found = {match.concept.id for match in load_lexicon().find(entry.template) if match.concept}
    assert found and found <= concepts_of(entry.asks)


def test_every_question_can_be_asked_of_the_catalog(tiny_sample: Sample) -> None:
    for entry in ENTRIES:
        relevant = relevant_of(tiny_sample.frame, entry.asks)
        assert relevant.null_count() < len(relevant), entry.text
    rem = relevant_of(tiny_sample.frame, Asks(stage=("REM",)))
    assert rem.sum() == (tiny_sample.frame["stage"] == "REM").sum()


def test_what_nobody_scored_is_unknown() -> None:
    frame = pl.DataFrame({
        "stage": ["REM", "REM", "REM", "N2", "NREM", None], "n_arousal": [1, 1, 0, 1, 1, 1],
        "arousal_s": [5.0, 1.0, 0.0, 9.0, 9.0, 9.0],
    })  # fmt: skip
    both = relevant_of(frame, Asks(stage=("REM",), event=("arousal",)))
    assert both.to_list() == [True, None, False, False, None, None]  # a second of it decides nothing
    neither = relevant_of(frame.with_columns(n_arousal=0, arousal_s=0.0), Asks(stage=("N2",), without=("arousal",)))
    assert neither.to_list() == [False, False, False, True, None, None]
    assert relevant_of(frame, Asks(event=("desaturation",))).null_count() == 6  # this cohort has no such column


def test_a_bag_of_words_knows_plain_wordings_better_than_free_ones(told_sample: Sample) -> None:
    found = {(f.measure, f.method): f for f in measure_paraphrases(told_sample)}
    plain, free, kept, chance = (
        found["precision@10, plain wordings", "zero-shot"], found["precision@10, paraphrases", "zero-shot"],
        found["precision kept by paraphrases", "zero-shot"], found["precision@10, paraphrases", "chance"],
    )  # fmt: skip
    assert plain.value > free.value and plain.value > 2 * chance.value  # type: ignore[operator]
    assert kept.value == pytest.approx(free.value / plain.value) and kept.low < kept.value  # type: ignore[operator]
    rows = free.detail["rows"]
    assert len(rows) == free.n < 100 and all(0.002 <= row["base_rate"] <= 0.9 for row in rows)
    assert "too rare or too common here" in free.note
    assert ("precision kept by paraphrases", "caption space (text:minilm)") in found


def test_without_labels_there_is_no_figure(told_sample: Sample) -> None:
    bare = told_sample.frame.select("epoch_id", "recording", "subject", "start_s", "text", "caption_id")
    assert measure_paraphrases(replace(told_sample, frame=bare)) == []
