"""Composition in time: what the grammar reads, and that relations hold, against loops over every pair of events."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.captions.links import WINDOW_S
from encoders.errors import BadInput
from encoders.vocabulary import APNEAS, HYPOPNEAS, SLEEP_STAGES
from index import Snapshot, Writer
from retrieval.question import read_question
from retrieval.relations import BREATHS, Pair, evaluate, long_enough
from retrieval.search import Ranked, merge_runs, rank

# ---- the grammar

# question | filters, joined by ; | facts
TABLE = """
arousal within 30 s after a hypopnea           | after(hypopnea, arousal, 30 s) |
arousals that start within half a minute after the apnoea | after(apnea, arousal, 30 s) |
arousals within ten seconds following hypopnoeas | after(hypopnea, arousal, 10 s) |
hypopnea followed within 20 seconds by an arousal | after(hypopnea, arousal, 20 s) |
hypopneas followed by arousals within 20 s     | after(hypopnea, arousal, 20 s) |
aruosal within 1 min after a hypopneea         | after(hypopnea, arousal, 60 s) |
arousal within 15 s before a desaturation      | after(arousal, desaturation, 15 s) |
limb movement within 5 s of an arousal         | near(limb_movement, arousal, 5 s) |
leg movements within 10 seconds of any arousal | near(limb_movement, arousal, 10 s) |
desaturation following an apnea                | linked(apnea, desaturation) |
desaturations after central apnoeas            | linked(central_apnea, desaturation) |
central apnea leading to a desaturation        | linked(central_apnea, desaturation) |
apnea followed by a desaturation               | linked(apnea, desaturation) |
apnea ending in an arousal                     | linked(apnea, arousal) |
hypopneas that end with arousals               | linked(hypopnea, arousal) |
obstructive apneas terminated by an arousal    | linked(obstructive_apnea, arousal) |
arousals caused by hypopneas                   | linked(hypopnea, arousal) |
hypopnea with arousal                          | linked(hypopnea, arousal) |
apneas associated with a desaturation          | linked(apnea, desaturation) |
arousal before an apnea                        | after(arousal, apnea, 30 s) |
arousal after a limb movement                  | after(limb_movement, arousal, 30 s) |
apnea then apnea                               | after(apnea, apnea, 30 s) |
hypopneas without arousal                      | hypopnea NOT linked(hypopnea, arousal) |
hypopneas with no arousal                      | hypopnea NOT linked(hypopnea, arousal) |
hypopneas that are not followed by an arousal  | hypopnea NOT linked(hypopnea, arousal) |
hypopneas not followed by an arousal within 10 s | hypopnea NOT after(hypopnea, arousal, 10 s) |
no arousal after a hypopnea                    | hypopnea NOT linked(hypopnea, arousal) |
arousals without apneas or hypopneas           | arousal NOT linked(arousal, respiratory_event) |
apneas without arousals or desaturations | apnea NOT linked(apnea, arousal); apnea NOT linked(apnea, desaturation) |
limb movements without arousals                | limb_movement NOT near(limb_movement, arousal, 5 s) |
apneas longer than 20 s followed by an arousal | linked(apnea[s > 20], arousal) |
arousal after an apnea of at least half a minute | linked(apnea[s >= 30], arousal) |
arousal within 10 s after a hypopnea longer than 20 s in REM | after(hypopnea[s > 20], arousal, 10 s) | rem
hypopnea in REM followed by an arousal         | linked(hypopnea, arousal) | rem
desaturation of more than 4 % following an apnea | linked(apnea, desaturation); spo2_drop_pct > 4 |
arousal within 30 s after a hypopnea during supine REM | after(hypopnea, arousal, 30 s) | supine rem
women over 60 in REM with arousals after hypopneas | sex = 'F'; age > 60; linked(hypopnea, arousal) | rem
arousal followed by wake                       | after(arousal, wake, 30 s) |
wake within 2 minutes after an apnoea          | after(apnea, wake, 120 s) |
REM then wake                                  | after(rem, wake, 0 s) |
REM, then wake                                 | after(rem, wake, 0 s) |
REM sleep and then wakefulness                 | after(rem, wake, 0 s) |
N3 followed by N1                              | after(n3, n1, 0 s) |
N3 directly followed by wake                   | after(n3, wake, 0 s) |
wake after REM                                 | after(rem, wake, 0 s) |
REM right before waking                        | after(rem, wake, 0 s) |
transition from N2 to REM                      | after(n2, rem, 0 s) |
transitions out of deep sleep into wake        | after(n3, wake, 0 s) |
REM to wake transitions                        | after(rem, wake, 0 s) |
N2-to-N3 transition                            | after(n2, n3, 0 s) |
N2 → N3                                        | after(n2, n3, 0 s) |
REM within 10 minutes after N3                 | after(n3, rem, 600 s) |
REM in the first third of the night            | night(0 to 0.333) | rem
REM during the second half of the night        | night(0.5 to 1) | rem
apneas, last quarter of the night              | night(0.75 to 1) | apnea
middle third of the recording                  | recording(0.333 to 0.667) |
second third of sleep                          | sleep(0.333 to 0.667) |
last hour                                      | night(-3600 s to 0 s) |
the last two hours of the night                | night(-7200 s to 0 s) |
wake in the final 90 minutes of the recording  | recording(-5400 s to 0 s) | wake
N3 in the first half hour                      | night(0 s to 1800 s) | n3
first two hours                                | night(0 s to 7200 s) |
first 30 minutes after sleep onset             | sleep(0 s to 1800 s) |
third hour of the night                        | night(7200 s to 10800 s) |
apneas not in the first hour of the night      | NOT night(0 s to 3600 s) | apnea
outside the first third of the night           | NOT night(0 to 0.333) |
deep sleep before 2 am                         | {before 7200} | n3
REM after midnight                             | {after 0} | rem
REM until 3:30                                 | {before 12600} | rem
REM from 4 a.m. on                             | {after 14400} | rem
wake past 23:30                                | {after 84600} | wake
REM between 2 and 4 am                         | {from 7200 7200} | rem
apneas from 11 pm to 1 am                      | {from 82800 7200} | apnea
REM between 11 and 1 am                        | {from 82800 7200} | rem
REM between 22:30 and 0:15                     | {from 81000 6300} | rem
N2 between midnight and 2 am                   | {from 0 7200} | n2
desaturations between 2-4 a.m.                 | {from 7200 7200} | desaturation
at 03:15                                       | (11700 - clock_s + 86400) % 86400 < 30 |
REM for at least 5 minutes                     | run_s >= 300 | rem
REM lasting more than 10 min                   | run_s > 600 | rem
sustained N3 longer than 10 minutes            | run_s > 600 | n3
wake for 5 minutes                             | run_s >= 300 | wake
REM periods shorter than 3 min                 | run_s < 180 | rem
SpO2 below 90 for at least 2 minutes           | spo2_min_pct < 90; run_s >= 120 |
at least 3 epochs in a row of REM              | run_s >= 90 | rem
REM in at least 4 consecutive epochs           | run_s >= 120 | rem
three consecutive epochs of wake               | run_s >= 90 | wake
desaturations in at least 3 epochs in a row    | run_s >= 90 | desaturation
first REM period                               | period(rem, 1) | rem
apneas in the last REM episode                 | period(rem, last) | apnea rem
second N3                                      | period(n3, 2) | n3
heart rate over 100 within the last hour of the night | hr_max_bpm > 100; night(-3600 s to 0 s) |
hypopneas longer than 20 s after midnight      | hypopnea_any_longest_s > 20; {after 0} | hypopnea
"""
CLOCK = {
    "before": "({0} - clock_s + 86400) % 86400 > 0 AND ({0} - clock_s + 86400) % 86400 <= 43200",
    "after": "(clock_s - {0} + 86400) % 86400 < 43200",
    "from": "(clock_s - {0} + 86400) % 86400 < {1}",
}
CASES = [[part.strip() for part in line.split("|")] for line in TABLE.strip().splitlines()]


def expected(filters: str) -> Iterator[str]:
    for said in filters.split("; ") if filters else []:
        name, *numbers = said.strip("{}").split()
        yield CLOCK[name].format(*numbers) if said.startswith("{") else said


@pytest.mark.parametrize(("question", "filters", "facts"), CASES, ids=[case[0] for case in CASES])
def test_phrasings(question: str, filters: str, facts: str) -> None:
    asked = read_question(question)
    assert sorted(f.sql for f in asked.filters) == sorted(expected(filters))
    assert sorted("/".join(c.id for c in fact.concepts) for fact in asked.facts) == sorted(facts.split())


@pytest.mark.parametrize(
    ("question", "note"),
    [
        ("arousal at the beginning of REM", "'at the beginning' was not read"),
        ("the first 3 epochs", "'first' was not read"),
        ("REM until morning", "'until' was not read"),
        ("arousal within a while after a hypopnea", "'within' was not read"),
        ("REM before the alarm", "'before' was not read"),
        ("first hour of REM", "'first' was not read"),
        ("apneas after falling", "'after' was not read"),
        ("REM in the first hour or in the last hour", "ask for one time after the other"),
        ("no hypopneas not followed by an arousal", "not read"),
    ],
)
def test_what_is_not_understood_is_said_and_not_guessed(question: str, note: str) -> None:
    asked = read_question(question)
    assert any(note in said for said in asked.notes), asked.notes
    assert not [f for f in asked.filters if f.relation is not None or "clock_s" in f.sql]


@pytest.mark.parametrize(
    "question",
    ["HR 40-50", "between 2 and 4 arousals", "SpO2 after 90", "room 3:15", "over 60", "the last man standing",
     "apneas that last more than half a minute", "first night", "first-degree block", "wake after sleep onset",
     "N1 to N3", "arousals from sleep", "arousal and desaturation", "REM without arousals", "REM with apneas"],
)  # fmt: skip
def test_no_time_is_read_that_was_not_said(question: str) -> None:
    assert not [f for f in read_question(question).filters if f.relation is not None or "clock_s" in f.sql]


def test_the_words_of_both_events_stay_to_be_embedded() -> None:
    assert read_question("arousal within 30 s after a hypopnea").words == "arousal hypopnea"
    assert read_question("REM in the last hour of the night").words == "REM"
    assert read_question("hypopneas without arousals").words == "hypopneas"


def test_a_filter_says_what_was_taken_where_nothing_was_said() -> None:
    (linked,) = read_question("arousal after a hypopnea").filters
    assert "starts from its start to 5 s after its end" in linked.says
    (near,) = read_question("arousal after a limb movement").filters
    assert "up to 30 s after its end" in near.says


def test_filters_are_taken_away_by_words_or_number() -> None:
    asked = read_question("REM in the last hour in women over 60")
    assert len(asked.filters) == 3
    assert [f.sql for f in asked.without(["In the  last hour"]).filters] == ["age > 60", "sex = 'F'"]
    numbers = {f.sql: n for n, f in enumerate(asked.filters, 1)}
    assert len(asked.without([numbers["age > 60"], numbers["sex = 'F'"]]).filters) == 1
    assert asked.without([]) == asked
    with pytest.raises(BadInput, match=r"no filter 'the last day' .* 1: 'in the last hour'"):
        asked.without(["the last day"])
    with pytest.raises(BadInput, match="no filter 9"):
        asked.without([9])
    with pytest.raises(BadInput, match="none was read"):
        read_question("REM").without([1])


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("CO2 above 50 during REM", "carbon dioxide"),
        ("hypercapnia", "carbon dioxide"),
        ("body temprature over 38", "thermometer"),
        ("systolic blood pressure above 140", "blood pressure"),
        ("Pittsburgh Sleep Quality Index above 5", "questionnaire"),
        ("snoring loudness above 60 dB", "microphone"),
        ("restless legs", "leg EMG"),
        ("sleep talking in REM", "no video"),
        ("esophageal pressure swings", "oesophageal"),
    ],
)
def test_what_nothing_can_answer_is_a_filter_with_its_reason(question: str, reason: str) -> None:
    asked = read_question(question)
    refused = [f for f in asked.filters if f.sql == "NULL::BOOLEAN"]
    assert refused and reason in refused[0].says and any(reason in note for note in asked.notes)
    assert not [f for f in asked.without([f.words for f in refused]).filters if f.sql == "NULL::BOOLEAN"]


@pytest.mark.parametrize("question", ["snoring", "oxygen", "periodic limb movements", "decreased airflow", "chin EMG"])
def test_what_can_be_answered_is_not_refused(question: str) -> None:
    assert not [f for f in read_question(question).filters if f.sql == "NULL::BOOLEAN"]


# ---- nights by hand


class Words:
    """Stands in for an encoder where the meaning does not matter: every text is the same vector."""

    space = "words"

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        return np.tile(np.float32([1, 0]), (len(texts), 1))


STAGES = {  # one letter an epoch: Wake, 1, 2, 3, Rem, ? unscored, - nobody looked
    "lit": "WW1223RRW?W12RR1WW",
    "plain": "WW12RRRRWR?WW12WWWWW",
    "bare": "--------------------",
}
NAME = {"W": "W", "1": "N1", "2": "N2", "3": "N3", "R": "REM", "?": "unscored", "-": None}
EVENTS = {
    "lit": [
        ("hypopnea", 20.0, 40.0), ("arousal", 39.0, 45.0),  # linked, across an epoch's edge
        ("central apnea", 100.0, 118.0), ("arousal", 140.0, 144.0),  # 22 s later: no link
        ("hypopnea", 200.0, 215.0), ("hypopnea", 212.0, 230.0), ("arousal", 214.0, 220.0),  # of two the later one's
        ("limb movement", 300.0, 301.0), ("arousal", 304.0, 310.0),
        ("desaturation", 150.0, 170.0),
    ],
    "plain": [("hypopnea", 95.0, 110.0), ("arousal", 500.0, 505.0)],
    "bare": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Three nights: lights noted, none noted, and nothing scored (with no clock)."""
    root = tmp_path_factory.mktemp("nights-by-hand")
    kinds = ("arousals", "respiratory events", "desaturations", "limb movements")
    counted = (
        "arousal",
        "hypopnea_any",
        "apnea_any",
        "central_apnea",
        "respiratory",
        "desaturation",
        "limb_movement_any",
    )
    with Writer(root) as writer:
        for name, letters in STAGES.items():
            n = len(letters)
            scored = name != "bare"
            lights = {"lights_source": "annotation" if name == "lit" else "assumed", "lights_off_s": 60.0,
                      "lights_on_s": 360.0}  # fmt: skip
            epochs = pl.DataFrame(
                {
                    "epoch": range(n), "start_s": [30.0 * e for e in range(n)],
                    "stop_s": [30.0 * e + 30 for e in range(n)],
                    "clock_s": [(86100.0 + 30 * e) % 86400 if scored else None for e in range(n)],
                    "stage": [NAME[letter] for letter in letters], "caption_id": [1] * n,
                    "spo2_min_pct": [80.0] * n, "ok_spo2": [True] * n,
                    "n_artifact": [1 if e == 3 else None for e in range(n)],
                    "artifact_s": [9.0 if e == 3 else None for e in range(n)],
                    **{f"n_{c}": [0 if scored else None] * n for c in counted},
                    **{c: [None] * n for c in ("wake_evidence", "rem_evidence", "deep_sleep_evidence")},
                },
                schema_overrides={"clock_s": pl.Float64, "n_artifact": pl.Int64, "stage": pl.String,
                                  "wake_evidence": pl.Float64, "rem_evidence": pl.Float64,
                                  "deep_sleep_evidence": pl.Float64, **{f"n_{c}": pl.Int64 for c in counted}},
            )  # fmt: skip
            schema = {"name": pl.String, "start_s": pl.Float64, "stop_s": pl.Float64}
            events = pl.DataFrame(EVENTS[name], schema=schema, orient="row")
            # A second scorer, whom the catalog does not use, saw an arousal after the apnea.
            other = pl.DataFrame({"name": ["arousal"], "start_s": [119.0], "stop_s": [125.0]})
            both = [events.with_columns(scorer=pl.lit("human"))]
            both += [other.with_columns(scorer=pl.lit("human 2"))] if name == "lit" else []
            coverage = pl.DataFrame(
                [(s, kind, s == "human" and scored) for s in ("human", "human 2") for kind in kinds],
                schema=["scorer", "kind", "used"], orient="row",
            )  # fmt: skip
            recordings = pl.DataFrame({"recording": [name], "duration_s": [30.0 * n]})
            writer.put(name, "x", {
                "epochs": epochs, "events": pl.concat(both), "recordings": recordings, "nights": pl.DataFrame(lights),
                "coverage": coverage, "captions": pl.DataFrame({"caption_id": [1]}),
            })  # fmt: skip
        writer.add_vectors("words", "caption", np.array([1]), np.float32([[1, 0]]))
        writer.publish()
    return Snapshot.open(root)


def asked(snapshot: Snapshot, question: str, without: tuple[str, ...] = ()) -> Ranked:
    return rank(snapshot, Words(), read_question(question).without(without), where=None, exact=False)  # type: ignore[arg-type]


def epochs_of(found: Ranked) -> dict[str, list[int]]:
    frame = found.frame.sort("recording", "epoch")
    return {str(name): group["epoch"].to_list() for (name,), group in frame.group_by("recording", maintain_order=True)}


@pytest.mark.parametrize(
    ("question", "epochs"),
    [
        ("arousal within 30 s after a hypopnea", {"lit": [0, 1, 6, 7]}),
        ("arousal after a hypopnea", {"lit": [0, 1, 7]}),  # the arousal at 214 s belongs to the hypopnea at 212 s
        ("arousal after an apnea", {}),  # that of the scorer who is not used is none
        ("arousal within 30 s after an apnea", {"lit": [3, 4]}),
        ("arousal within 20 s after an apnea", {}),
        ("desaturation following an apnea", {"lit": [3, 4, 5]}),
        ("limb movement within 5 s of an arousal", {"lit": [10]}),
        ("hypopneas without arousal", {"lit": [6, 7], "plain": [3]}),
        ("apneas without arousal", {"lit": [3]}),
        ("arousals without hypopneas", {"lit": [4, 10], "plain": [16]}),
        ("REM then wake", {"lit": [7, 8], "plain": [7, 8]}),  # 9 is unscored: no sequence passes it
        ("wake followed by REM", {"plain": [8, 9]}),
        ("wake after REM", {"lit": [7, 8], "plain": [7, 8]}),
        ("transition from N2 to REM", {"lit": [12, 13], "plain": [3, 4]}),
        ("N3 then REM", {"lit": [5, 6]}),
        ("sleep then wake", {"lit": [7, 8, 15, 16], "plain": [7, 8, 14, 15]}),
        ("hypopnea then wake", {"lit": [6, 7, 8]}),
        ("arousal followed by wake within 1 min", {"lit": [7, 8]}),
        ("REM for at least 2 minutes", {"plain": [4, 5, 6, 7]}),
        ("at least 2 epochs in a row of REM", {"lit": [6, 7, 13, 14], "plain": [4, 5, 6, 7]}),
        ("REM for less than 1 minute", {"plain": [9]}),
        ("REM in the first half of the night", {"lit": [6], "plain": [4, 5, 6, 7]}),
        ("REM in the first half of the recording", {"lit": [6, 7], "plain": [4, 5, 6, 7, 9]}),
        ("REM in the second half of sleep", {"lit": [13, 14], "plain": [9]}),
        ("wake in the last 2 minutes of the night", {"lit": [8, 10], "plain": [11, 12]}),
        ("first REM period", {"lit": [6, 7, 13, 14], "plain": [4, 5, 6, 7, 9]}),
        ("wake before midnight", {"lit": [0, 1, 8], "plain": [0, 1, 8]}),
        ("wake after midnight", {"lit": [10, 16, 17], "plain": [11, 12, 15, 16, 17, 18, 19]}),
        ("REM between 23:59 and 0:01", {"lit": [], "plain": [9]}),
        ("wake at 23:58", {"lit": [], "plain": []}),
        ("wake not after midnight", {"lit": [0, 1, 8], "plain": [0, 1, 8]}),
    ],
)
def test_relations_by_hand(by_hand: Snapshot, question: str, epochs: dict[str, list[int]]) -> None:
    assert epochs_of(asked(by_hand, question)) == {name: rows for name, rows in epochs.items() if rows}


def test_what_nobody_scored_and_a_clock_nobody_knows_are_counted(by_hand: Snapshot) -> None:
    nobody = {"sensor": 0, "not_scored": 20, "quality": 0}
    assert asked(by_hand, "arousal within 30 s after a hypopnea").not_assessable == nobody
    assert asked(by_hand, "hypopneas without arousal").not_assessable == nobody
    late = asked(by_hand, "after midnight")
    assert late.not_assessable == nobody and "the time of day is not known in 1 nights" in late.notes[-1]
    assert asked(by_hand, "first half of sleep").not_assessable == nobody
    assert asked(by_hand, "first half of the recording").not_assessable["not_scored"] == 0


def test_the_answer_says_what_the_night_was(by_hand: Snapshot) -> None:
    found = asked(by_hand, "the last hour of the night")
    (says,) = [f.says for f in found.question.filters]
    assert "lights off to on in 1, the sleep period in 1, the recording in 1" in says
    assert any(says in note for note in found.notes)


def test_a_pair_is_shown_whole_though_one_of_its_epochs_answers(by_hand: Snapshot) -> None:
    only = asked(by_hand, "arousal within 30 s after a hypopnea in wake, in the last 5 minutes of the night").frame
    assert not only.height
    only = asked(by_hand, "arousal within 30 s after a hypopnea").frame.filter(pl.col("epoch") == 1)
    assert only.select("first", "last", "from_s", "to_s").row(0) == (0, 1, 0.0, 60.0)
    assert merge_runs(only, 5) == [[0]]
    assert only["filter0_said"][0] == "hypopnea 20.0-40.0 s, arousal 39.0-45.0 s"


def test_stretches_join_by_the_epochs_of_their_pairs() -> None:
    rows = [("a", 1, 0, 1), ("a", 4, 3, 4), ("a", 2, 2, 2), ("a", 9, 8, 9), ("b", 5, 5, 5)]
    frame = pl.DataFrame(rows, schema=["recording", "epoch", "first", "last"], orient="row")
    assert merge_runs(frame, 9) == [[0, 1, 2], [3], [4]]
    assert merge_runs(frame, 2) == [[0, 1, 2], [3]]


def test_a_filter_taken_away_no_longer_holds(by_hand: Snapshot) -> None:
    question = "REM in the first half of the night"
    assert (
        asked(by_hand, question, ("in the first half of the night",)).frame.height
        > asked(by_hand, question).frame.height
    )


def test_an_artifact_takes_an_extreme_away_unless_asked(by_hand: Snapshot) -> None:
    clean = asked(by_hand, "SpO2 below 90")
    assert clean.not_assessable == {"sensor": 0, "not_scored": 0, "quality": 3} and 3 not in clean.frame["epoch"]
    assert asked(by_hand, "low oxygen").not_assessable["quality"] == 3
    for question in ("SpO2 below 90, including bad signal", "SpO2 below 90 with artifacts"):
        assert 3 in asked(by_hand, question).frame["epoch"]
    assert 3 in asked(by_hand, "wake or N2").frame["epoch"]  # what a scorer said stands


def test_a_run_is_of_rows_that_touch(by_hand: Snapshot) -> None:
    frame = pl.DataFrame({"recording": ["a", "a", "b", "a", "b"], "epoch": [3, 1, 2, 2, 5]})
    run = [f.relation for f in read_question("at least 3 epochs in a row").filters]
    assert sorted(long_enough(frame, run)["epoch"]) == [1, 2, 3]  # type: ignore[arg-type]


# ---- simulated nights, against loops over every two events


def used_events(snapshot: Snapshot, recording: str) -> list[dict[str, Any]]:
    kinds = "SELECT DISTINCT scorer FROM coverage WHERE recording = ? AND used"
    return snapshot.sql(
        f"SELECT name, start_s, stop_s FROM events WHERE recording = ? AND scorer IN ({kinds}) ORDER BY 2, 3",
        [recording, recording],
    ).to_dicts()


def owner(late: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = None
    for event in events:
        in_time = event["start_s"] <= late["start_s"] <= event["stop_s"] + WINDOW_S[late["name"]]
        if event["name"] in BREATHS and in_time:
            found = event
    return found


def overlapping(lo: float, hi: float, starts: list[float]) -> set[float]:
    return {s for s in starts if s < hi and s + 30 > lo}


def twin(question: str, events: list[dict[str, Any]], starts: list[float]) -> set[float]:
    """The starts of the epochs that should answer, by two loops."""
    out: set[float] = set()
    for a in events:
        for b in events:
            lo, hi = min(a["start_s"], b["start_s"]), max(a["stop_s"], b["stop_s"])
            breath, arousal = a["name"] in HYPOPNEAS, b["name"] == "arousal"
            after = a["start_s"] < b["start_s"] <= a["stop_s"] + 30
            pair = {
                "arousal within 30 s after a hypopnea": breath and arousal and after,
                "apnea ending in an arousal": a["name"] in APNEAS and arousal and owner(b, events) is a,
                "desaturation following an apnea": a["name"] in APNEAS and b["name"] == "desaturation"
                and owner(b, events) is a,
                "limb movement within 5 s of an arousal": "limb movement" in a["name"] and arousal
                and b["start_s"] - a["stop_s"] <= 5 and a["start_s"] - b["stop_s"] <= 5,
                "arousal before a hypopnea": a["name"] == "arousal" and b["name"] in HYPOPNEAS and after,
            }  # fmt: skip
            if pair.get(question):
                out |= overlapping(lo, hi, starts)
        linked = [b for b in events if b["name"] == "arousal" and owner(b, events) is a]
        if question == "hypopneas without arousal" and a["name"] in HYPOPNEAS and not linked:
            out |= overlapping(a["start_s"], a["stop_s"], starts)
    return out


PAIRS = [
    "arousal within 30 s after a hypopnea", "apnea ending in an arousal", "desaturation following an apnea",
    "limb movement within 5 s of an arousal", "arousal before a hypopnea", "hypopneas without arousal",
]  # fmt: skip


@pytest.mark.parametrize("question", PAIRS)
def test_pairs_are_those_of_two_loops(sim_cohort, question: str) -> None:
    snapshot = sim_cohort.cohort.snapshot
    (condition,) = read_question(question).filters
    assert isinstance(condition.relation, Pair)
    holds = pl.Series(evaluate(snapshot, condition.relation).holds)
    found = pl.DataFrame({"epoch_id": snapshot.ids, "holds": holds.set(holds < 0, None).cast(pl.Boolean)}).join(
        snapshot.sql("SELECT epoch_id, recording, start_s FROM epoch_rows"), on="epoch_id"
    )
    many = 0
    for (name,), group in found.group_by("recording"):
        scored = group["holds"].null_count() < group.height
        right = twin(question, used_events(snapshot, str(name)), group["start_s"].to_list()) if scored else set()
        assert set(group.filter("holds")["start_s"]) == right
        many += len(right)
    assert many


def test_a_hit_holds_its_pair_as_simulated(sim_cohort) -> None:
    answer = sim_cohort.cohort.search("arousal within 30 s after a hypopnea", k=20)
    assert len(answer.hits) >= 5
    for hit in answer.hits:
        events = sim_cohort.events.filter(pl.col("recording") == hit.recording).to_dicts()
        inside = [e for e in events if e["start_s"] < hit.stop_s and e["stop_s"] > hit.start_s]
        assert any(
            a["name"] in HYPOPNEAS and b["name"] == "arousal" and b["start_s"] > a["start_s"] - 1
            and b["start_s"] <= a["stop_s"] + 31 for a in inside for b in inside
        )  # fmt: skip
        assert hit.why[0].count(" s") >= 2 and "hypopnea" in hit.why[0] and "arousal" in hit.why[0]


def test_sequences_are_those_of_a_walk_through_the_truth(sim_cohort) -> None:
    found = rank(
        sim_cohort.cohort.snapshot, sim_cohort.cohort.encoder, read_question("N2 then REM"), where=None, exact=False
    )
    right = set()
    for (name,), night in sim_cohort.truth.sort("start_s").group_by("recording", maintain_order=True):
        stages, starts = night["stage"].to_list(), night["start_s"].to_list()
        for i in range(len(stages) - 1):
            if (stages[i], stages[i + 1]) == ("N2", "REM"):
                right |= {(name, starts[i]), (name, starts[i + 1])}
    assert right and set(found.frame.select("recording", "start_s").rows()) == right


def test_the_sleep_period_is_from_the_first_to_the_last_sleep_of_the_truth(sim_cohort) -> None:
    found = rank(
        sim_cohort.cohort.snapshot,
        sim_cohort.cohort.encoder,
        read_question("first third of sleep"),
        where=None,
        exact=False,
    )
    for (name,), night in sim_cohort.truth.group_by("recording"):
        asleep = night.filter(pl.col("stage").is_in(SLEEP_STAGES))["start_s"]
        lo, hi = float(asleep.min()), float(asleep.max()) + 30  # type: ignore[arg-type]
        right = {s for s in night["start_s"] if lo <= s + 15 < lo + (hi - lo) / 3}
        assert set(found.frame.filter(pl.col("recording") == name)["start_s"]) == right
