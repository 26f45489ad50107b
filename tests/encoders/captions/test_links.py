"""Which respiratory event a desaturation or an arousal belongs to."""

from encoders.captions.links import EVENT_COLUMNS, event_table

KINDS = ["respiratory events", "arousals", "desaturations"]


def test_desaturations_and_arousals_are_linked_by_their_windows(scoring):
    events = [
        ("hypopnea", 100.0, 120.0),
        ("desaturation", 165.0, 180.0),  # starts 45 s after the end
        ("arousal", 125.0, 130.0),  # 5 s after
        ("apnea", 300.0, 315.0),
        ("desaturation", 361.0, 370.0),  # 46 s after
        ("arousal", 321.0, 325.0),  # 6 s after
        ("arousal", 90.0, 99.0),  # before
        ("snoring", 105.0, 110.0),
    ]
    table = event_table(scoring([], events, KINDS))
    assert table["start_s"].is_sorted()
    named = {
        start_s: table["start_s"][link] if link is not None else None
        for start_s, link in table.select("start_s", "linked_to").rows()
    }
    assert named == {
        100.0: None,
        165.0: 100.0,
        125.0: 100.0,
        300.0: None,
        361.0: None,
        321.0: None,
        90.0: None,
        105.0: None,
    }


def test_the_latest_event_takes_what_two_could_have(scoring):
    table = event_table(
        scoring([], [("apnea", 0.0, 20.0), ("hypopnea", 30.0, 50.0), ("desaturation", 55.0, 70.0)], KINDS)
    )
    assert table["linked_to"].to_list() == [None, None, 1]


def test_scorers_are_rows_of_their_own_and_are_not_linked_to_each_other(scoring):
    first = scoring([], [("apnea", 0.0, 20.0)], KINDS)
    second = scoring([], [("desaturation", 10.0, 30.0)], KINDS, scorer="human 2")
    table = event_table([first, second])
    assert table["scorer"].to_list() == ["human", "human 2"] and table["linked_to"].null_count() == 2


def test_no_events_are_an_empty_table_of_the_same_columns():
    assert event_table(None).schema == EVENT_COLUMNS
