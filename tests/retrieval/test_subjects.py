"""The subjects' CSV: unknown is unknown, and what can't be taken is said."""

from pathlib import Path

import pytest

from encoders.errors import BadInput
from retrieval.subjects import read_subjects


def _csv(folder: Path, text: str) -> Path:
    path = folder / "subjects.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_nan_and_empty_are_unknown(tmp_path: Path) -> None:
    rows = read_subjects(_csv(tmp_path, "recording,subject,age,sex,bmi\na,s1,NaN,,31.5\nb,s1,61,Female,\n")).rows
    assert rows["a"] == {"subject": "s1", "age": None, "sex": None, "bmi": 31.5}
    assert rows["b"] == {"subject": "s1", "age": 61.0, "sex": "F", "bmi": None}


def test_a_column_with_a_name_of_ours_is_renamed_and_said(tmp_path: Path) -> None:
    people = read_subjects(_csv(tmp_path, "recording,subject,stage,Notes\na,s1,2,tired\n"))
    assert people.rows["a"]["csv_stage"] == 2.0 and people.rows["a"]["csv_notes"] == "tired"
    assert len(people.notes) == 2 and "csv_stage" in people.notes[0]


def test_a_value_that_cannot_be_is_noted_and_unknown(tmp_path: Path) -> None:
    people = read_subjects(_csv(tmp_path, "recording,subject,age,sex\na,s1,old,2\n"))
    assert people.rows["a"]["age"] is None and people.rows["a"]["sex"] is None
    assert "line 2: age 'old'" in people.notes[0] and "sex '2'" in people.notes[1]


def test_columns_that_say_who_somebody_is_are_left_out_and_said(tmp_path: Path) -> None:
    table = "recording,subject,Patient Name,DOB,date_of_recording,ess\na,s1,X,1.1.70,2.2.20,9\n"
    people = read_subjects(_csv(tmp_path, table))
    assert people.rows["a"] == {"subject": "s1", "ess": 9.0}
    assert len(people.notes) == 3


def test_further_columns_become_numbers_only_when_all_are(tmp_path: Path) -> None:
    rows = read_subjects(_csv(tmp_path, "recording,subject,ESS,drug\na,s1,11,none\nb,s2,,5\n")).rows
    assert rows["a"]["ess"] == 11.0 and rows["b"]["ess"] is None
    assert rows["b"]["drug"] == "5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,subject\na,s\n", "no column 'recording'"),
        ("recording,subject\na,s\na,t\n", "line 3: recording 'a' stands twice"),
        ("", "not a CSV"),
    ],
)
def test_a_table_that_cannot_be_taken_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_subjects(_csv(tmp_path, text))


def test_a_recording_without_a_row_is_its_own_unknown_subject() -> None:
    assert read_subjects(None).of("night-7") == {
        "subject": "night-7", "subject_known": False, "age": None, "sex": None, "site": None,
    }  # fmt: skip
