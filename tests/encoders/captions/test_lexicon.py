"""The lexicon: whole, consistent with the columns, and found in questions."""

import re

import duckdb
import polars as pl
import pytest

from encoders.captions.lexicon import BadLexicon, Lexicon, load_lexicon, words_of
from encoders.captions.measures import load_measures, measure_epochs
from encoders.captions.nights import load_nights
from encoders.captions.scored import score_epochs, scored_columns, snake
from encoders.vocabulary import EVENTS, POSITIONS

LEXICON = load_lexicon()


def found(question):
    return [(match.text, match.entry.id) for match in LEXICON.find(question)]


def test_no_phrase_belongs_to_two_entries():
    seen = {}
    for entry in (*LEXICON.concepts.values(), *LEXICON.quantities.values()):
        for phrase in entry.phrases:
            key = tuple(word for word, _, _ in words_of(phrase))
            assert key and seen.setdefault(key, entry.id) == entry.id, phrase


def test_every_column_named_exists():
    known = {*load_measures(), *load_nights(), *scored_columns(), "age"}
    for concept in LEXICON.concepts.values():
        sql = f"{concept.scored or ''} {concept.unless or ''}"
        named = set(re.findall(r"\b[a-z][a-z0-9_]+\b", re.sub(r"'[^']*'", "", sql)))
        assert named <= known, concept.id
        assert concept.evidence is None or concept.evidence in load_measures(), concept.id
    for quantity in LEXICON.quantities.values():
        assert {quantity.low, quantity.high, quantity.mean} <= known, quantity.id


def test_scored_expressions_are_null_where_nobody_can_say(night, scoring):
    source = scoring(["N3", "NREM", "unscored", "REM"], [("apnea", 5.0, 20.0)], ["respiratory events"])
    recording, epochs = night(4)
    measures = pl.DataFrame(dict(measure_epochs(recording, epochs)), strict=False)
    table = pl.concat([score_epochs(epochs.start_s, source), measures], how="horizontal").to_arrow()

    def answers(concept):
        query = f"SELECT {LEXICON.concepts[concept].scored} FROM epochs"
        with duckdb.connect() as connection:
            return [row[0] for row in connection.register("epochs", table).execute(query).fetchall()]

    for concept in LEXICON.concepts.values():
        assert concept.scored is None or set(answers(concept.id)) <= {True, False, None}
    assert answers("n3") == [True, None, None, False]
    assert answers("nrem") == [True, True, None, False]
    assert answers("apnea") == [True, False, False, False]
    for unknown in ("obstructive_apnea", "arousal", "desaturation", "supine", "position_change", "snoring"):
        assert answers(unknown) == [None] * 4, unknown


def test_evidence_needs_sensors_that_measure_it():
    for concept in LEXICON.concepts.values():
        if concept.evidence and concept.id != "poor_signal":
            assert set(concept.channels) <= set(load_measures()[concept.evidence].channels), concept.id


def test_every_event_and_position_has_a_concept():
    assert {snake(name) for name in EVENTS} - {"bradycardia", "tachycardia"} <= set(LEXICON.concepts)
    assert set(POSITIONS.values()) <= set(LEXICON.concepts)


@pytest.mark.parametrize("concept", LEXICON.concepts.values(), ids=lambda concept: concept.id)
def test_every_phrase_is_found_whole(concept):
    for phrase in concept.phrases:
        assert found(f"epochs with {phrase}?") == [(phrase.rstrip(")"), concept.id)]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("deep slow-wave sleep", [("deep slow-wave sleep", "n3")]),
        ("Long OBSTRUCTIVE apnoeas in REM", [("OBSTRUCTIVE apnoeas", "obstructive_apnea"), ("REM", "rem")]),
        ("SpO2 below 85 % on the back", [("SpO2", "spo2"), ("on the back", "supine")]),
        ("Cheyne Stokes breathing", [("Cheyne Stokes breathing", "cheyne_stokes_breathing")]),
        ("slow-wave sleep without microarousals", [("slow-wave sleep", "n3"), ("microarousals", "arousal")]),
        ("hypoxaemia and tachypnoea", [("hypoxaemia", "low_oxygen"), ("tachypnoea", "fast_breathing")]),
        ("AHI above 30, ahi_3a above 15", [("AHI", "ahi"), ("ahi_3a", "ahi_3a")]),
        ("heart rate above 100", [("heart rate", "heart_rate")]),
        ("fast heart rate", [("fast heart rate", "fast_heart_rate")]),
        ("stage 3", [("stage 3", "n3")]),
        ("patients over sixty", []),
    ],
)
def test_questions(question, expected):
    assert found(question) == expected


def test_misspelt_words_are_understood_and_marked():
    matches = LEXICON.find("hypopneea with aruosal and spindels")
    assert [(match.entry.id, match.typo) for match in matches] == [
        ("hypopnea", "hypopnea"), ("arousal", "arousal"), ("spindles", "spindle"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word", ["snowing", "season", "lately", "breeding", "sleeper", "women", "later", "upgrade", "alone"]
)
def test_ordinary_words_are_no_misspellings(word):
    assert found(f"show me {word} please") == []


def test_spans_point_into_the_question():
    question = "Find  central apnoeas, please"
    (match,) = LEXICON.find(question)
    assert question[slice(*match.span)] == match.text == "central apnoeas" and match.concept.kind == "event"


ENTRY = '[[concept]]\nid="a"\nkind="stage"\nsay=["x"]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTRY + 'scord="1"', "scored?"),
        (ENTRY.replace("stage", "stag") + 'scored="1"', "possible: stage"),
        (ENTRY, "nothing answers"),
        (ENTRY + 'evidence="y"', "present_from"),
        ((ENTRY + 'scored="1"\n') * 2, "twice"),
        (ENTRY + 'scored="1"\n' + ENTRY.replace('"a"', '"b"').replace("x", "X") + 'scored="1"', "belongs to"),
        ("[[concept]\n", "not TOML"),
    ],
)
def test_a_bad_lexicon_names_entry_and_field(tmp_path, text, words):
    path = tmp_path / "lexicon.toml"
    path.write_text(text)
    with pytest.raises(BadLexicon, match=re.escape(words)):
        load_lexicon(path)


def test_the_empty_lexicon_finds_nothing():
    assert Lexicon({}, {}).find("REM sleep") == []
