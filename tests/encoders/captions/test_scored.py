"""Scored columns: counts, seconds, and null where nobody scored."""

import numpy as np

from encoders.captions.scored import by_kind, score_epochs, scored_columns, snake
from encoders.vocabulary import EVENTS

START_S = 30.0 * np.arange(4)
BREATHS = ["respiratory events"]


def test_columns_are_the_same_with_and_without_scoring(scoring):
    assert score_epochs(START_S, None).columns == score_epochs(START_S, scoring(["W"] * 4)).columns == scored_columns()


def test_without_scoring_all_is_null():
    found = score_epochs(START_S, None)
    assert all(found[name].null_count() == 4 for name in found.columns)


def test_an_event_counts_in_each_epoch_it_overlaps(scoring):
    found = score_epochs(START_S, scoring(["N2"] * 4, [("hypopnea", 25.0, 65.0), ("hypopnea", 61.0, 75.0)], BREATHS))
    assert found["n_hypopnea"].to_list() == [1, 1, 2, 0]
    assert found["hypopnea_s"].to_list() == [5, 30, 19, 0]
    assert found["hypopnea_longest_s"].to_list() == [40, 40, 40, 0]
    assert found["events"].to_list() == [
        ["hypopnea 25.0-30.0"],
        ["hypopnea 0.0-30.0"],
        ["hypopnea 0.0-5.0", "hypopnea 1.0-15.0"],
        [],
    ]
    assert found["n_hypopnea_any"].to_list() == found["n_respiratory"].to_list() == [1, 1, 2, 0]
    assert found["n_apnea_any"].to_list() == [0, 0, 0, 0]


def test_an_event_that_ends_where_an_epoch_begins_is_not_in_it(scoring):
    found = score_epochs(START_S, scoring([], [("arousal", 20.0, 30.0), ("arousal", 60.0, 60.0)], ["arousals"]))
    assert found["n_arousal"].to_list() == [1, 0, 1, 0]


def test_kinds_that_were_not_scored_are_null_not_zero(scoring):
    found = score_epochs(START_S, scoring(["N2"] * 4, [], BREATHS))
    for name, kind in EVENTS.items():
        column = found[f"n_{snake(name)}"]
        typed_unknown = name.endswith(" hypopnea")  # the source never gives the type
        expected = 0 if kind == "respiratory events" and not typed_unknown else None
        assert column.to_list() == [expected] * 4, name
    assert found["n_limb_movement_any"].null_count() == 4


def test_an_apnea_without_type_leaves_the_types_open(scoring):
    events = [("apnea", 5.0, 20.0), ("obstructive apnea", 35.0, 50.0)]
    found = score_epochs(START_S, scoring([], events, BREATHS))
    assert found["n_apnea_any"].to_list() == [1, 1, 0, 0]
    assert found["n_obstructive_apnea"].to_list() == [None, 1, 0, 0]
    assert found["n_central_apnea"].to_list() == [None, 0, 0, 0]


def test_a_source_that_never_types_its_apneas_answers_no_question_of_type(scoring):
    found = score_epochs(START_S, scoring([], [("apnea", 5.0, 20.0)], BREATHS))
    assert found["n_obstructive_apnea"].null_count() == 4 and found["n_apnea_any"].to_list() == [1, 0, 0, 0]


def test_what_no_kind_answers_is_never_a_negative(scoring):
    found = score_epochs(START_S, scoring(["N2"] * 4, [("snoring", 0.0, 40.0)], BREATHS))
    assert found["n_snoring"].to_list() == [1, 1, None, None]


def test_unscored_epochs_of_a_scored_night_are_unscored(scoring):
    found = score_epochs(START_S, scoring(["W", "", "N2", "N2"]))
    assert found["stage"].to_list() == ["W", "unscored", "N2", "N2"]
    assert found["stage_source"].to_list() == ["human"] * 4
    assert found["events"].null_count() == 4


def test_two_sources_complete_each_other_by_kind(scoring):
    stages, breaths = scoring(["N2"] * 4), scoring([], [("hypopnea", 0.0, 20.0)], BREATHS)
    other = scoring(["W"] * 4, [("hypopnea", 30.0, 50.0)], BREATHS, scorer="human 2")
    found = score_epochs(START_S, [stages, breaths, other])
    assert found["stage"].to_list() == ["N2"] * 4 and found["n_hypopnea"].to_list() == [1, 0, 0, 0]
    assert by_kind([stages, breaths, other])["respiratory events"] is breaths
