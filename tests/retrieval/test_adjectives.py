import pytest

from encoders.captions import load_lexicon
from retrieval.adjectives import _table, read_adjectives
from retrieval.night_numbers import is_number


def test_every_number_and_noun_of_the_table_exists() -> None:
    table, lexicon = _table(), load_lexicon()
    nouns = {*lexicon.concepts, *lexicon.quantities, *(noun["id"] for noun in table["noun"])}
    for aspect, of in table["aspect"].items():
        for noun, names in of.items():
            assert noun in nouns, (aspect, noun)
            assert all(is_number(name.lstrip("-")) for name in names), (aspect, noun)
    assert {entry["aspect"] for entry in table["adjective"]} == table["aspect"].keys()
    assert {entry["class"] for entry in table["adjective"] if "class" in entry} == table["classes"].keys()


@pytest.mark.parametrize(
    ("text", "measures", "left"),
    [
        ("fragmented REM", {"rem_breaks_per_h": 1, "rem_arousals_pct": 1}, ""),
        ("deep desaturations", {"desaturation_depth_pct": 1, "spo2_nadir_pct": -1}, ""),
        ("short sleep", {"tst_min": -1}, ""),
        ("little deep sleep", {"n3_pct": -1}, ""),
        ("high AHI", {"ahi_any_per_h": 1}, ""),
        ("long REM latency", {"rem_latency_from_onset_min": 1}, ""),
        ("poor sleep efficiency", {"se_pct": -1}, ""),
        ("severe obstructive sleep apnoea in women", {"ahi_any_per_h": 1}, "in women"),
        ("good sleepers over 60", {"awake_pct": -1}, "sleepers over 60"),
        ("men without frequent arousals", {"arousal_index_per_h": -1}, "men"),
    ],
)
def test_adjectives_become_numbers_of_the_night(text: str, measures: dict[str, int], left: str) -> None:
    (fact,), rest, notes = read_adjectives(text)
    assert measures.items() <= dict(fact.measures).items()
    assert rest == left and not notes


def test_severe_is_a_class_and_its_denial_is_not_the_next_one() -> None:
    (fact,), _, _ = read_adjectives("severe sleep apnea")
    assert fact.within == (30, float("inf")) and not fact.denied and "from 30" in str(fact)
    (fact,), _, _ = read_adjectives("no severe sleep apnea")
    assert fact.within == (30, float("inf")) and fact.denied


def test_a_place_limits_the_share() -> None:
    (fact,), left, _ = read_adjectives("many hypopneas in REM sleep")
    assert fact.share and fact.share.id == "hypopnea" and fact.during and fact.during.id == "rem" and not left


@pytest.mark.parametrize(
    "text", ["long apneas over 20 s", "AHI above 30", "deep sleep", "low oxygen saturation", "short of breath"]
)
def test_what_the_grammar_reads_stays_in_the_text(text: str) -> None:
    assert read_adjectives(text) == ([], text, [])


def test_an_adjective_that_says_nothing_known_is_noted() -> None:
    facts, left, notes = read_adjectives("deep REM")
    assert not facts and left == "deep REM" and "'deep REM' was not read" in notes[0]
