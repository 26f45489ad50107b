"""What people say is checked, stands once, can be withdrawn, and never touches the scorer's."""

from pathlib import Path

import numpy as np
import pytest

from encoders.errors import BadInput
from index import Labels
from retrieval import Cohort
from retrieval.labelling import Timeline, add_labels, around, drawn
from tests.retrieval.made_up import Night, make, unit


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    vectors = unit(np.random.default_rng(0).standard_normal((8, 4)))
    nights = [Night(f"night-{i}", f"s{i}", vectors, ["N2"] * 8) for i in (1, 2)]
    return make(tmp_path / "cohort", nights)


@pytest.mark.parametrize(
    ("place", "span"),
    [
        ("night-1@70", ("night-1", 60.0, 90.0)),  # one time alone: the epoch there
        ("night-1@70-95.5", ("night-1", 70.0, 95.5)),
        ("night-1@22:01", ("night-1", 60.0, 90.0)),  # its clock starts at 22:00
        ("night-1@22:00:10-22:01:40", ("night-1", 10.0, 100.0)),
        (("night-2", 0.0, 240.0), ("night-2", 0.0, 240.0)),
    ],
)
def test_a_place_is_an_epoch_or_a_stretch(cohort: Cohort, place: str, span: tuple[str, float, float]) -> None:
    made = cohort.label(place, " slow \n wave", "ann")
    assert (made.recording, made.start_s, made.stop_s) == span
    assert cohort.labels().row(0, named=True)["label"] == made.label == "slow wave"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nigth-1@60", "near: night-1"),
        ("night-1", "say when"),
        ("night-1@240", "00:04:00 long"),
        ("night-1@60-60", "no stretch of it"),
        ("night-1@60-241", "within its 240 s"),
        ("night-1@-5", "say when"),
        ("night-1@noon", "seconds from the start (5400) or a time of day"),
        ("night-1@nan-60", "no stretch of it"),
        (("night-1", float("nan"), 60.0), "no stretch of it"),
    ],
)
def test_a_place_that_is_none_is_refused_and_nothing_written(cohort: Cohort, place: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        cohort.label(place, "x", "ann")
    assert said in str(refused.value)
    assert cohort.labels().is_empty()


def test_the_same_words_of_one_author_stand_once_and_of_two_twice(cohort: Cohort) -> None:
    first = cohort.label("night-1@0", "REM", "ann")
    again = cohort.label("night-1@10", "REM", "ann")
    assert again.id == first.id and first.new and not again.new
    assert cohort.label("night-1@0", "REM", "ben").new and cohort.label("night-1@0", "W", "ann").new
    assert cohort.labels().height == 3 == len(Labels(cohort.root).entries())
    for empty in (("", "ann"), ("x", " ")):
        with pytest.raises(BadInput, match="is empty"):
            cohort.label("night-1@0", *empty)


def test_ones_own_table_read_in_again_changes_nothing(cohort: Cohort, tmp_path: Path) -> None:
    cohort.label("night-1@0.1-33.333333333333336", "spindle, fast", "ann")
    cohort.label("night-2@60", "not spindle", "ben")
    cohort.unlabel(cohort.label("night-2@90", "wrong", "ben").id, "ben")
    table, before = tmp_path / "own.csv", Labels(cohort.root).path.read_bytes()
    cohort.labels().write_csv(table)
    assert [entry.new for entry in cohort.import_labels(table)] == [False, False]
    assert Labels(cohort.root).path.read_bytes() == before
    # in another copy of the cohort they are new, once each, and keep their authors
    Labels(cohort.root).path.unlink()
    assert [entry.new for entry in cohort.import_labels(table, author="carl")] == [True, True]
    assert cohort.labels()["author"].to_list() == ["ann", "ben"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recording,start_s,label\nnight-1,0,a\nnight-9,0,b", "line 3: no recording 'night-9'"),
        ("recording,start_s,stop_s,label\nnight-1,0,30,a\nnight-1,500,600,b", "line 3: night-1@500-600"),
        ("recording,start_s,label\nnight-1,0,a\nnight-1,,b", "line 3: no start_s"),
        ("recording,start_s,label\nnight-1,0,a\nnight-1,0,", "line 3: the label is empty"),
        ("recording,label\nnight-1,a", "no column 'start_s'"),
        ("recording,start_s,label,author\nnight-1,0,a,ann\nnight-1,0,a,", "lines without an author"),
    ],
)
def test_a_table_with_one_wrong_line_writes_nothing(cohort: Cohort, tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        add_labels(cohort, table)
    assert said in str(refused.value) and "labels.csv" in str(refused.value)
    assert cohort.labels().is_empty()


def test_a_withdrawn_label_stays_in_the_log(cohort: Cohort) -> None:
    kept, gone = (cohort.label(f"night-1@{t}", "x", "ann") for t in (0, 30))
    assert cohort.unlabel(gone.id[:8], "ben").start_s == 30
    assert cohort.labels()["id"].to_list() == [kept.id]
    assert len(Labels(cohort.root).entries()) == 3
    for wrong in (gone.id, "nope", ""):
        with pytest.raises(BadInput, match="label --list"):
            cohort.unlabel(wrong, "ann")
    assert cohort.label("night-1@30", "x", "ann").new  # withdrawn, so it may be said again


def test_the_scorers_stages_are_never_touched(cohort: Cohort) -> None:
    before = cohort.snapshot.sql("SELECT * FROM epochs ORDER BY epoch_id")
    cohort.label("night-1@0-240", "REM", "ann")
    assert cohort.snapshot.sql("SELECT * FROM epochs ORDER BY epoch_id").equals(before)


def test_a_stretch_covers_epochs_by_their_middle() -> None:
    line = Timeline("n", None, 120.0, np.array([0.0, 30.0, 60.0, 90.0]))
    for span, covered in (((0, 30), [0]), ((15, 45), [0]), ((16, 76), [1, 2]), ((0, 120), [0, 1, 2, 3]),
                          ((50, 65), [1]), ((58, 70), [2])):  # fmt: skip
        assert line.epochs(*span).tolist() == covered, span
    gap = Timeline("n", None, 120.0, np.array([0.0, 90.0]))
    assert gap.epochs(40, 80).tolist() == []


def test_epochs_are_drawn_once_each_and_the_same_by_the_same_seed(cohort: Cohort) -> None:
    def places(seed: int, n: int, where: str | None = None) -> list[tuple[str, float]]:
        return drawn(cohort, n, where=where, seed=seed).select("recording", "start_s").rows()

    everything = places(0, 99)
    assert len(set(everything)) == len(everything) == 16
    assert places(1, 5) == places(1, 5) != places(2, 5)
    assert set(places(3, 99, "recording = 'night-2' AND start_s < 60")) == {("night-2", 0.0), ("night-2", 30.0)}


def test_epochs_around_a_moment_come_in_order_of_time(cohort: Cohort) -> None:
    assert around(cohort, "night-1", 95.0, 3)["start_s"].to_list() == [60.0, 90.0, 120.0]
    with pytest.raises(BadInput, match="night-1"):
        around(cohort, "nigth-1", 0.0, 3)
