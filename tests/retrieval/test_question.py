"""The grammar: what is read from a question, and what is not."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.captions import load_lexicon
from encoders.captions.lexicon import words_of
from retrieval.numbers import comparisons
from retrieval.phrases import FILLER
from retrieval.question import Question, read_question

# question | filters, joined by ; | facts, alternatives joined by /
TABLE = """
SpO2 < 85%                                  | spo2_min_pct < 85 |
SpO2<85                                     | spo2_min_pct < 85 |
SpO2 below 85 %                             | spo2_min_pct < 85 |
sats under 85                               | spo2_min_pct < 85 |
oxygen saturation lower than 85 percent     | spo2_min_pct < 85 |
O2 sat less than 85 per cent                | spo2_min_pct < 85 |
oxygen below ninety                         | spo2_min_pct < 90 |
SpO2 drops below 85 %                       | spo2_min_pct < 85 |
oxygen falls under 85                       | spo2_min_pct < 85 |
saturation that dips to below 80 %          | spo2_min_pct < 80 |
saturaton below 85                          | spo2_min_pct < 85 |
SpO2 of 85 % or less                        | spo2_min_pct <= 85 |
SpO2 ≤ 85,5 %                               | spo2_min_pct <= 85.5 |
SpO2 =< 90                                  | spo2_min_pct <= 90 |
SpO2 at most 88                             | spo2_min_pct <= 88 |
SpO2 above 95                               | spo2_mean_pct > 95 |
SpO2 between 80 and 90 %                    | spo2_mean_pct BETWEEN 80 AND 90 |
SpO2 from 90 % to 80 %                      | spo2_mean_pct BETWEEN 80 AND 90 |
SpO2 88–92                                  | spo2_mean_pct BETWEEN 88 AND 92 |
SpO2 never below 90                         | spo2_min_pct >= 90 |
the SpO2 doesn't drop below 90              | spo2_min_pct >= 90 |
SpO2 not below 90                           | spo2_min_pct >= 90 |
no SpO2 below 85                            | NOT (spo2_min_pct < 85) |
mean SpO2 under 88                          | spo2_mean_pct < 88 |
lowest SpO2 below 80                        | spo2_min_pct < 80 |
less than 90 % oxygen saturation            | spo2_min_pct < 90 |
desaturations below 85 %                    | spo2_min_pct < 85 |
desaturation of more than 10 %              | spo2_drop_pct > 10 |
desaturations deeper than 4 percent         | spo2_drop_pct > 4 |
SpO2 in REM below 85                        | spo2_min_pct < 85 | rem
heart rate above 100 bpm                    | hr_max_bpm > 100 |
heart rate over 100 beats per minute        | hr_max_bpm > 100 |
pulse exceeding 100/min                     | hr_max_bpm > 100 |
HR>100bpm                                   | hr_max_bpm > 100 |
HR 40-50                                    | hr_mean_bpm BETWEEN 40 AND 50 |
HR 40 to 50 bpm                             | hr_mean_bpm BETWEEN 40 AND 50 |
HR over 40 but under 50                     | hr_mean_bpm > 40 AND hr_mean_bpm < 50 |
heart rate falls below 50                   | hr_min_bpm < 50 |
heart rate about 60                         | hr_mean_bpm BETWEEN 57 AND 63 |
average heart rate over 100                 | hr_mean_bpm > 100 |
over 60 beats per minute                    | hr_max_bpm > 60 |
women over 60 bpm                           | sex = 'F'; hr_max_bpm > 60 |
breathing rate under 10                     | breath_rate_per_min < 10 |
more than 25 breaths per minute             | breath_rate_per_min > 25 |
delta power over 80 %                       | delta_pct > 80 |
AHI >= 30                                   | ahi_scored_per_h >= 30 |
AHI≥15/h                                    | ahi_scored_per_h >= 15 |
AHI of at least 15                          | ahi_scored_per_h >= 15 |
AHI 30 or more                              | ahi_scored_per_h >= 30 |
apnoea-hypopnoea index above 30             | ahi_scored_per_h > 30 |
between 15 and 30 events per hour           | ahi_scored_per_h BETWEEN 15 AND 30 |
AHI between 15 and 30 events per hour       | ahi_scored_per_h BETWEEN 15 AND 30 |
30 or more events per hour                  | ahi_scored_per_h >= 30 |
AHI above 15 and below 30                   | ahi_scored_per_h > 15 AND ahi_scored_per_h < 30 |
nights with an AHI greater than or equal to 15 | ahi_scored_per_h >= 15 |
AHI no more than 5                          | ahi_scored_per_h <= 5 |
ahi_3a above 15                             | ahi_3a_per_h > 15 |
AHI 4 % above 15                            | ahi_4_per_h > 15 |
AHI above 30 in REM                         | ahi_scored_per_h > 30 | rem
ODI 3 % above 15                            | odi3_per_h > 15 |
T90 above 10%                               | t90_pct > 10 |
REM latency under 60 min                    | rem_latency_from_onset_min < 60 |
REM latency under an hour                   | rem_latency_from_onset_min < 60 |
TST under 6 hours                           | tst_min < 360 |
less than 6 h total sleep time              | tst_min < 360 |
WASO over half an hour                      | waso_min > 30 |
over 60 minutes of REM                      | rem_min > 60 |
sleep efficiency below 85 percent           | se_pct < 85 |
at least 20 arousals per hour               | arousal_index_per_h >= 20 |
hypopneas longer than 20 s                  | hypopnea_any_longest_s > 20 | hypopnea
hypopnoeas ≥ 20 seconds                     | hypopnea_any_longest_s >= 20 | hypopnea
hypopneea of at least 20 secs               | hypopnea_any_longest_s >= 20 | hypopnea
apnoeas lasting over a minute               | apnea_any_longest_s > 60 | apnea
apneas that last more than half a minute    | apnea_any_longest_s > 30 | apnea
apneas of 20-30 s                           | apnea_any_longest_s BETWEEN 20 AND 30 | apnea
apneas (> 30 s)                             | apnea_any_longest_s > 30 | apnea
apneas shorter than 15 s                    | apnea_any_longest_s < 15 AND apnea_any_longest_s > 0 | apnea
apneas in REM longer than 20 s              | apnea_any_longest_s > 20 | apnea rem
apnea duration over 20                      | apnea_any_longest_s > 20 |
central apneas longer than 25 s             | central_apnea_longest_s > 25 | central_apnea
arousals over 10 s                          | arousal_longest_s > 10 | arousal
more than 20 s of desaturation              | desaturation_s > 20 | desaturation
without apneas longer than 20 s             | NOT (apnea_any_longest_s > 20) |
more than 2 arousals                        | n_arousal > 2 | arousal
at least two different arousals             | n_arousal >= 2 | arousal
one or more arousals                        | n_arousal >= 1 | arousal
between 2 and 4 arousals                    | n_arousal BETWEEN 2 AND 4 | arousal
exactly 2 arousals                          | n_arousal = 2 | arousal
no more than 2 arousals                     | n_arousal <= 2 |
fewer than 3 apneas                         | n_apnea_any < 3 |
without arousals or desaturations           | NOT (n_arousal > 0); NOT (n_desaturation > 0) |
no desaturation and no arousal              | NOT (n_desaturation > 0); NOT (n_arousal > 0) |
no arousals, desaturations or apneas        | NOT (n_arousal > 0); NOT (n_desaturation > 0); NOT (n_apnea_any > 0) |
neither arousals nor desaturations          | NOT (n_arousal > 0); NOT (n_desaturation > 0) |
no evidence of apnea                        | NOT (n_apnea_any > 0) |
free of any scored apneas                   | NOT (n_apnea_any > 0) |
doesn't contain arousals                    | NOT (n_arousal > 0) |
apnea-free REM sleep                        | NOT (n_apnea_any > 0) | rem
no apnea in REM                             | NOT (n_apnea_any > 0) | rem
no arousals, REM sleep                      | NOT (n_arousal > 0) | rem
no arousals but desaturations               | NOT (n_arousal > 0) | desaturation
REM without atonia                          | NOT (emg_relative <= 0.6) | rem
non-supine                                  | NOT (position = 'supine') |
not on the back                             | NOT (position = 'supine') |
not REM                                     | NOT (NULLIF(stage, 'unscored') = 'REM') |
anything but REM                            | NOT (NULLIF(stage, 'unscored') = 'REM') |
not in REM                                  | NOT (NULLIF(stage, 'unscored') = 'REM') |
non-REM sleep                               | | nrem
nonREM                                      | | nrem
N1 or N2 without arousals                   | NOT (n_arousal > 0) | light_sleep
REM sleep                                   | | rem
stage 2                                     | | n2
Slow-Wave Sleep                             | | n3
N2 sleep                                    | | n2
N2 or N3                                    | | n2/n3
N2/N3                                       | | n2/n3
N2, N3 and REM                              | | n2/n3/rem
REM or wake                                 | | rem/wake
REM then wake                               | after(rem, wake, 0 s) |
supine or on the left side                  | | supine/left
supine REM                                  | | supine rem
apneas in N2 or REM                         | | apnea n2/rem
arousal or desaturation                     | | arousal/desaturation
arousals, desaturations or snoring          | | arousal/desaturation/snoring
arousal and desaturation                    | | arousal desaturation
sleep                                       | | sleep
arousals from sleep                         | | arousal sleep
sleep study                                 | |
wake after sleep onset                      | | wake
long hypopneas                              | | hypopnea
sleep apnoea                                | | apnea
aruosal with spindels                       | | arousal spindles
micro-arousals and leg kicks                | | arousal limb_movement
SpO2 below 85 or heart rate over 120        | (spo2_min_pct < 85) OR (hr_max_bpm > 120) |
arousal or SpO2 below 85                    | (n_arousal > 0) OR (spo2_min_pct < 85) |
women over 60                               | sex = 'F'; age > 60 |
women (over 60)                             | sex = 'F'; age > 60 |
female patients older than sixty-five       | sex = 'F'; age > 65 |
men aged 40 to 50                           | sex = 'M'; age BETWEEN 40 AND 50 |
men between 40 and 50 years old             | sex = 'M'; age BETWEEN 40 AND 50 |
people aged 65+                             | age >= 65 |
patients 65 or older                        | age >= 65 |
men and women over 60                       | age > 60 |
70-year-old                                 | age >= 70 AND age < 71 |
70 year old man                             | age >= 70 AND age < 71; sex = 'M' |
younger than 40                             | age < 40 |
age under 18                                | age < 18 |
women over 60 or men over 70                | (age > 60 AND sex = 'F') OR (age > 70 AND sex = 'M') |
heart rate over 60 in women over 60         | hr_max_bpm > 60; sex = 'F'; age > 60 |
deep sleep in people over 70 with AHI above 30 and no oxygen desaturation | age > 70; ahi_scored_per_h > 30; NOT (n_desaturation > 0) | n3
"""  # noqa: E501
CASES = [[part.strip() for part in line.split("|")] for line in TABLE.strip().splitlines()]


def read(question: str) -> tuple[list[str], list[str]]:
    asked = read_question(question)
    return [f.sql for f in asked.filters], ["/".join(c.id for c in fact.concepts) for fact in asked.facts]


@pytest.mark.parametrize(("question", "filters", "facts"), CASES, ids=[case[0] for case in CASES])
def test_phrasings(question: str, filters: str, facts: str) -> None:
    said, there = read(question)
    assert sorted(said) == sorted(filters.split("; ") if filters else [])
    assert sorted(there) == sorted(facts.split())


def test_the_table_is_large() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize(
    "question",
    [
        "SpO2 of 85 %", "desaturation of 4 %", "over 20 apneas per hour", "REM AHI above 30", "supine AHI over 15",
        "men over 100 kg", "between 2 and 4", "the first 3 epochs",
        "less than 5 % N3", "HR variability over 50", "peak SpO2 over 99", "SpO2 below 85 min",
        "stage 3", "N2", "AHI over 15.5.2", "over 123456789", "not only REM", "no doubt REM", "no long apneas",
        "without deep desaturations", "not without arousals", "room 101", "man-made noise",
        "sleeping more than 6 hours", "over 60", "below", "at least", "not", "",
    ],
)  # fmt: skip
def test_no_filter_is_read_that_was_not_said(question: str) -> None:
    asked = read_question(question)
    assert [f for f in asked.filters if "sex" not in f.sql] == []


@pytest.mark.parametrize(
    ("question", "note"),
    [
        ("no long apneas", "'no long apneas' was not read"),
        ("SpO2 of 85 %", "the number '85 %' was not read"),
        ("men over 100 kg", "'over 100' was not read"),
        ("REM AHI above 30", "'REM AHI above 30' was not read: the catalog has no such number"),
        ("REM then breakfast", "'then' was not read"),
        ("x" * 3000, "only the first 2000 of 3000 characters"),
    ],
)
def test_what_was_said_and_not_read_is_noted(question: str, note: str) -> None:
    assert any(note in said for said in read_question(question).notes)


def test_a_denied_thing_that_is_not_clear_is_no_fact() -> None:
    assert read("no long apneas") == ([], []) and read("not without arousals") == ([], [])


@pytest.mark.parametrize(
    ("question", "words", "rest"),
    [
        ("deep sleep in people over 70 with AHI above 30 and no oxygen desaturation", "deep sleep", ""),
        ("hypopneas longer than 20 s in REM", "hypopneas in REM", ""),
        ("SpO2 in REM below 85", "REM", ""),
        ("purple REM elephants", "purple REM elephants", "purple elephants"),
        ("women over 60", "", ""),
        ("aruosal near the end", "arousal near the end", "near the end"),
        ("show me all epochs with SpO2 below 85", "", ""),
    ],
)
def test_what_is_left_is_embedded(question: str, words: str, rest: str) -> None:
    asked = read_question(question)
    assert (asked.words, asked.rest) == (words, rest)


def test_explain_names_alternatives_and_what_is_compared() -> None:
    said = "\n".join(read_question("N2 or N3 with AHI above 30").explain())
    assert "(any of them)" in said and "ahi_scored: apneas and hypopneas as the site scored them" in said


def test_only_numbers_of_the_epoch_rank() -> None:
    ranks = {f.sql: f.rank_by for f in read_question("SpO2 below 85 in women over 60 with AHI above 30").filters}
    assert ranks == {"spo2_min_pct < 85": ("spo2_min_pct", -1), "ahi_scored_per_h > 30": None, "age > 60": None,
                     "sex = 'F'": None}  # fmt: skip


def _tokens(text: str) -> set[str]:
    return {word for word, _, _ in words_of(FILLER.sub(" ", text.lower()))}


def _lost(question: str, asked: Question) -> set[str]:
    """Words of the question that are in no filter and not among what is left; misspelt ones stand there corrected.

    A number alone leaves nothing to embed, and `at least one` asks no more than the thing itself.
    """
    kept = _tokens(" ".join([asked.words, *(f.words for f in asked.filters)]))
    included = {"including", "bad", "signal"} if asked.include_bad else set()
    mended = {word for match in load_lexicon().find(question) if match.typo for word in _tokens(match.text)}
    return {word for word in _tokens(question) if word.isalpha()} - kept - mended - {"least", "one"} - included


PIECES = [
    "REM", "sleep", "no", "without", "and", "or", ",", "apneas", "hypopnoeas", "arousals", "SpO2", "below", "85", "%",
    "above", "AHI", "30", "women", "men", "over", "60", "years", "old", "s", "longer than", "20", "between", "15", "N2",
    "supine", "not", "heart rate", "bpm", "purple", "than", "at least", "-", "(", ")", "per hour", "a minute", "mean",
    "free", "'; DROP TABLE x; --", "after", "within 30 s", "then", "first third of the night", "last hour",
    "before 2 am", "between 1 and 3 am", "at least 3 epochs in a row", "for 5 minutes", "first", "CO2",
    "including bad signal",
]  # fmt: skip
SQL = re.compile(
    r"(?:\b(?:stage|position|sex|age|NULL::BOOLEAN|[a-z0-9]+(?:_[a-z0-9]+)+|NOT|AND|OR|BETWEEN|NULLIF|IN|IS|NULL|CASE|WHEN|THEN|TRUE|"
    r"FALSE|END|coalesce)\b|-?\d+(?:\.\d+)?|[<>=(), %+-]|"
    r"'(?:unscored|W|N1|N2|N3|REM|NREM|F|M|supine|prone|left|right|upright)')*"
)


@settings(deadline=None)  # the first call reads the lexicon
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join), st.text(max_size=60)))
def test_any_text_is_read_nothing_is_lost_and_no_sql_comes_from_it(question: str) -> None:
    asked = read_question(question)
    for condition in asked.filters:
        assert condition.relation or SQL.fullmatch(condition.sql), condition.sql
    assert not _lost(question, asked)
    asked.explain()


@pytest.mark.parametrize("question", [case[0] for case in CASES])
def test_words_are_never_lost(question: str) -> None:
    assert not _lost(question, read_question(question))


def test_comparisons_keep_their_unit() -> None:
    units = [
        c.unit
        for c in comparisons("over 5 min, under 3 h, above 90 %, below 40 bpm, over 15/h, under 60 years, over 9")
    ]
    assert units == ["min", "h", "%", "/min", "/h", "years", None]


def test_every_filter_is_a_condition_that_the_cohort_takes(sim_cohort) -> None:
    asked = {f.sql for case in CASES for f in read_question(case[0]).filters if f.relation is None}
    for condition in sorted(asked):
        sim_cohort.cohort.snapshot.rows(condition)
