"""The frozen questions are those that were frozen, and the judge's rules say what the truth says."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from questions.bare import strip  # noqa: E402
from questions.facts import FACTS, fact  # noqa: E402
from questions.grammar import is_read  # noqa: E402
from questions.nights import TrueNight, read_nights  # noqa: E402
from questions.rivals import Bm25  # noqa: E402
from questions.rules import Rules  # noqa: E402
from questions.sets import GROUPS, KINDS, UNANSWERABLE, Phrase, Question, frozen, phrases, questions  # noqa: E402
from questions.verdict import held_against, lines  # noqa: E402

from encoders.errors import BadInput  # noqa: E402
from encoders.recordings.edf import EdfFile  # noqa: E402
from encoders.simulation import simulate  # noqa: E402


def night(stages: str = "WWNNRRNNWW", clock_s: float = 84600.0, **columns: list[float]) -> TrueNight:
    """A night of ten epochs from 23:30 on; N is N2, R is REM. A hypopnea, an arousal after it, and one alone."""
    names = [{"N": "N2", "R": "REM"}.get(letter, letter) for letter in stages]
    epochs = pl.DataFrame({"start_s": 30.0 * np.arange(len(names)), "stage": names, "position": "supine", **columns})
    rows = [("hypopnea", 65.0, 88.0, None, None), ("arousal", 92.0, 100.0, None, None),
            ("hypopnea", 190.0, 200.0, None, None), ("desaturation", 70.0, 110.0, "hypopnea", 5.0)]  # fmt: skip
    schema = ["name", "start_s", "stop_s", "cause", "drop_pct"]
    events = pl.DataFrame(rows, schema, orient="row").with_columns(pl.lit(None, pl.Float64).alias("spo2_min_pct"))
    return TrueNight("a", epochs, events, {"age": 61, "sex": "F"}, clock_s)


def epochs_of(*rules: dict[str, object], of: TrueNight | None = None) -> list[int]:
    held = of or night()
    return np.flatnonzero(Rules([held]).relevant(rules)["a"]).tolist()


def test_held_questions_and_phrases_are_those_that_were_frozen():
    hashes = frozen()
    assert set(hashes) == {"held.toml", "phrases.toml"}
    for name, (was, now) in hashes.items():
        assert was == now, f"{name} was changed after it was frozen"


def test_every_kind_has_its_questions():
    held, tuning = questions("held"), questions("tuning")
    for kind in KINDS:
        assert sum(question.kind == kind for question in held) >= 20
        assert sum(question.kind == kind for question in tuning) >= 8
    assert all((not q.relevant) == (q.kind in UNANSWERABLE) for q in [*held, *tuning])


def test_nothing_is_asked_twice():
    asked = [" ".join(q.ask.lower().split()) for q in [*questions("held"), *questions("tuning")]]
    assert len(set(asked)) == len(asked)


def test_phrases_are_three_hundred_and_some_have_nothing_to_read():
    said = [phrase.say for phrase in phrases()]
    assert len(said) == len(set(said)) == 300
    empty = [p for p in phrases() if not (p.numbers or p.denied or p.sex or p.time)]
    assert {p.group for p in empty} == {"nothing"}
    assert 55 <= len(empty) <= 70
    assert {p.group for p in phrases()} == set(GROUPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two half-hour nights, one with its scoring in the EDF file."""
    folder = tmp_path_factory.mktemp("nights")
    simulate(folder, nights=2, seed=5, sites=["clinic", "isruc-like"], hours=0.5)
    return folder


def test_every_rule_can_be_evaluated_on_truth_tables(folder: Path):
    nights = read_nights(folder)
    assert len(nights) == 2
    rules = Rules(nights)
    for question in [*questions("held"), *questions("tuning")]:
        found = rules.relevant(question.relevant)
        assert {name: len(mask) for name, mask in found.items()} == {n.recording: n.epochs.height for n in nights}
        if question.kind in UNANSWERABLE:
            assert not any(mask.any() for mask in found.values())
    for name in FACTS:
        assert isinstance(fact(nights[0], name), float)


def test_an_event_is_in_the_epochs_that_share_enough_of_it():
    assert epochs_of({"event": ["hypopnea"]}) == [2, 6]
    assert epochs_of({"event": ["hypopnea"], "longer_s": 20}) == [2]
    assert epochs_of({"event": ["desaturation"], "drop_above": 5}) == []
    assert epochs_of({"event": ["desaturation"], "cause": ["hypopnea"]}) == [2, 3]


def test_a_pair_is_both_its_events_and_one_without_a_partner_is_alone():
    assert epochs_of({"pair": ["hypopnea", "arousal"], "within_s": 30}) == [2, 3]
    assert epochs_of({"pair": ["hypopnea", "arousal"], "within_s": 3}) == []
    assert epochs_of({"unpaired": ["hypopnea", "arousal"], "within_s": 30}) == [6]
    assert epochs_of({"pair": ["arousal", "hypopnea"], "within_s": 30}) == []


def test_stages_that_follow_show_the_epochs_at_their_border():
    assert epochs_of({"pair": ["REM", "N2"], "within_s": 0}) == [5, 6]
    assert epochs_of({"pair": ["N2", "W"], "within_s": 0}) == [7, 8]
    assert epochs_of({"pair": ["REM", "W"], "within_s": 0}) == []


def test_parts_of_the_night_are_of_its_sleep():
    assert epochs_of({"part": "first third"}) == [2, 3]
    assert epochs_of({"part": "second half"}) == [5, 6, 7]
    assert epochs_of({"last_min": 1}) == [6, 7]
    assert epochs_of({"before_first": "REM"}) == [0, 1, 2, 3]


def test_a_clock_range_goes_across_midnight():
    late = night(clock_s=86400.0 - 120)
    assert epochs_of({"clock": ["23:59", "00:01"]}, of=late) == [2, 3, 4, 5]
    assert epochs_of({"clock": ["00:00", "06:00"]}, of=late) == [4, 5, 6, 7, 8, 9]


def test_a_run_is_counted_over_all_that_its_epochs_hold():
    assert epochs_of({"run": 2, "of": [{"stage": ["N2"]}]}) == [2, 3, 6, 7]
    assert epochs_of({"run": 3, "of": [{"stage": ["N2"]}]}) == []
    assert epochs_of({"run": 4, "of": [{"not": {"stage": ["W"]}}]}) == [2, 3, 4, 5, 6, 7]


def test_an_unknown_value_is_relevant_neither_way():
    of = night(spo2_min_pct=[float("nan"), 84, 90, 91, 92, 93, 94, 95, 96, 97])
    assert epochs_of({"measure": "spo2_min_pct", "below": 85}, of=of) == [1]
    assert 0 not in epochs_of({"measure": "spo2_min_pct", "at_least": 85}, of=of)


def test_a_night_is_ranked_among_all_nights():
    nights = [replace(night(stages), recording=name) for name, stages in (("a", "NNNN"), ("b", "NNRR"), ("c", "NRWW"))]
    found = Rules(nights).relevant([{"night": "rem_pct", "top": 1}])
    assert [name for name, mask in found.items() if mask.any()] == ["b", "c"]  # half of the sleep of each is REM
    assert [n for n, mask in Rules(nights).relevant([{"night": "rem_min", "at_most": 0}]).items() if mask.all()] == [
        "a"
    ]


def test_a_condition_that_there_is_not_is_refused():
    with pytest.raises(BadInput, match="no such condition"):
        epochs_of({"stages": ["N2"]})
    with pytest.raises(BadInput, match="no fact of a night"):
        epochs_of({"night": "mood", "above": 1})


def test_a_hit_is_right_when_one_of_its_epochs_is_and_silence_answers_nothing():
    rules = Rules([night()])
    asked = Question("plain", "REM", ({"stage": ["REM"]},))
    relevant = rules.relevant(asked.relevant)
    found = held_against(rules, asked, relevant, [("a", 90.0, 150.0), ("a", 0.0, 60.0)])
    assert (found.right, found.returned, found.base_rate) == (1, 2, 0.2)
    silent = held_against(rules, asked, relevant, [])
    assert silent.precision == 0.0
    (line, *_) = lines("x", [found, silent])
    assert (line.precision, line.answered, line.when_answered) == (0.25, 0.5, 0.5)
    odd = Question("nonsense", "pizza", ())
    told = [held_against(rules, odd, rules.relevant(()), hits) for hits in ([], [("a", 0.0, 30.0)])]
    assert lines("x", told)[KINDS.index("nonsense")].silent == 0.5


def test_bm25_is_its_formula():
    texts = ["deep sleep", "deep deep wake", "wake"]
    found = Bm25(texts).score("deep pizza")
    for text, value in zip(texts, found, strict=True):
        words = text.split()
        often, length = words.count("deep"), len(words)
        idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
        assert value == pytest.approx(idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length / 2)))


def test_a_bare_copy_has_the_signals_and_nothing_scored(folder: Path, tmp_path: Path):
    scored = next(path for path in folder.glob("*.edf") if EdfFile(path).annotations())
    bare = EdfFile(strip(scored, tmp_path))
    whole = EdfFile(scored)
    assert bare.annotations() == []
    assert bare.duration_s == whole.duration_s
    for index, signal in enumerate(whole.header.signals):
        if signal.usable:
            for one, other in zip(bare.runs(index), whole.runs(index), strict=True):
                assert np.array_equal(one.samples, other.samples)


def test_a_phrase_read_otherwise_is_an_error():
    right = Phrase("comparison", "SpO2 below 85", numbers=("spo2 < 85 %",))
    assert is_read(right)
    assert not is_read(replace(right, numbers=("spo2 <= 85 %",)))
    assert not is_read(replace(right, numbers=("spo2 < 86 %",)))
    assert not is_read(replace(right, numbers=()))
    assert not is_read(replace(right, sex="F"))
    assert is_read(Phrase("nothing", "N2", words=("N2",)))
    assert not is_read(Phrase("nothing", "SpO2 below 85"))
