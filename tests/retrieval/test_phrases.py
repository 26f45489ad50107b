"""Phrases as people write them: what the grammar reads of each, and what it says it did not read."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders.captions import load_lexicon
from retrieval.concepts import holds
from retrieval.people import people
from retrieval.question import read_question
from retrieval.vocabulary import question_lexicon, worse_of

TABLES = [tomllib.loads(Path(__file__).with_name(f"{n}.toml").read_text("utf-8")) for n in ("phrases", "phrases_more")]
GROUPS = {group: [row for table in TABLES for row in table.get(group, ())] for group in TABLES[0]}
CASES = [pytest.param(group, *row, *[""] * (4 - len(row)), id=row[0]) for group, rows in GROUPS.items() for row in rows]
CLOCK = {
    "before": "({0} - clock_s + 86400) % 86400 > 0 AND ({0} - clock_s + 86400) % 86400 <= 43200",
    "after": "(clock_s - {0} + 86400) % 86400 < 43200",
    "from": "(clock_s - {0} + 86400) % 86400 < {1}",
    "at": "({0} - clock_s + 86400) % 86400 < 30",
}


def expected(filters: str) -> Iterator[str]:
    concepts = load_lexicon().concepts
    for said in filters.split("; ") if filters else []:
        name, *rest = said.strip("{}").split()
        if not said.startswith("{"):
            yield said
        elif name == "no":
            yield f"NOT ({concepts[rest[0]].scored or holds(concepts[rest[0]])})"
        else:
            yield CLOCK[name].format(*rest)


@pytest.mark.parametrize(("group", "phrase", "filters", "facts", "note"), CASES)
def test_what_is_read(group: str, phrase: str, filters: str, facts: str, note: str) -> None:
    asked = read_question(phrase)
    assert sorted(f.sql for f in asked.filters) == sorted(expected(filters))
    assert sorted("/".join(c.id for c in fact.concepts) for fact in asked.facts) == sorted(facts.split())
    if note:
        assert any(note in said for said in asked.notes), asked.notes
    elif group != "nothing":  # a number in a name may be noted there: it was said, and not read
        assert not asked.notes


def test_the_table_is_large_and_says_each_phrase_once() -> None:
    phrases = [row[0] for rows in GROUPS.values() for row in rows]
    assert len(phrases) >= 800 and len(set(phrases)) == len(phrases)


def test_what_becomes_a_filter_is_not_embedded() -> None:
    assert read_question("elderly women in REM with sats in the 80s").words == "REM"
    assert read_question("5 REM epochs back to back").words == "REM"


def test_further_words_belong_to_one_entry_and_every_side_to_a_quantity() -> None:
    lexicon = question_lexicon()  # a phrase of two entries would raise
    worse = {name: worse_of(name) for name in lexicon.quantities}
    assert worse["spo2"] == "<" and worse["ahi"] == ">" and worse["heart_rate"] == ""
    assert set(load_lexicon().concepts) == set(lexicon.concepts)


def test_a_word_for_an_age_yields_to_a_longer_one_and_is_said_with_its_bounds() -> None:
    assert [p.conditions for p in people("middle-aged", "middle-aged")] == [(("age >= 45 AND age < 65", "age"),)]
    assert [p.conditions for p in people("morbidly obese", "morbidly obese")] == [(("bmi >= 40", "bmi"),)]
    assert list(people("a 55m cable", "a 55m cable")) == []  # metres or minutes, not a man: capitals say that


def test_every_filter_of_the_table_is_a_condition_that_the_cohort_takes(sim_cohort) -> None:
    known = set(sim_cohort.cohort.snapshot.columns())
    asked = [f for rows in GROUPS.values() for row in rows for f in read_question(row[0]).filters]
    for condition in sorted({f.sql for f in asked if f.relation is None and known >= set(f.columns)}):
        sim_cohort.cohort.snapshot.rows(condition)
