"""The documented CSV and BIDS events.tsv."""

from collections import Counter
from pathlib import Path

import pytest

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, detect_format, read_annotations, tables
from encoders.recordings.timeline import Scoring

NIGHT = RecordingClock(duration_s=3600.0)


def read(path: Path, text: str | bytes) -> list[Scoring]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_annotations([path], NIGHT)


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    example = (tables.__doc__ or "").split("per stage or event\n")[1].split("or one row per epoch")[0]
    (scoring,) = read(tmp_path / "n.csv", "\n".join(line.strip() for line in example.splitlines()))
    assert [s.stage for s in scoring.stages] == ["W"]
    assert [(e.name, e.start_s, e.stop_s, e.channel) for e in scoring.events] == [
        ("obstructive apnea", 312.5, 326.7, "AF")
    ]
    assert set(scoring.coverage) == {"stages", "arousals", "respiratory events"}
    assert scoring.coverage["arousals"] == "declared in the file"


def test_epoch_tables_count_from_1_and_from_0_when_there_is_a_0(tmp_path: Path) -> None:
    (scoring,) = read(tmp_path / "n.csv", "epoch,stage\n1,W\n2,N1\n3,REM\n")
    assert [(s.start_s, s.stage) for s in scoring.stages] == [(0, "W"), (30, "N1"), (60, "REM")]
    (scoring,) = read(tmp_path / "n.csv", "# epoch_s: 20\nepoch;stage\n0;W\n1;N1\n")
    assert [(s.start_s, s.stop_s) for s in scoring.stages] == [(0, 20), (20, 40)] and scoring.regridded
    assert "epochs count from 0" in scoring.alignment.reason


def test_bare_numbers_mean_nothing_until_declared(tmp_path: Path) -> None:
    (scoring,) = read(tmp_path / "n.csv", "epoch,stage\n1,5\n2,N2\n")
    assert [s.stage for s in scoring.stages] == ["unscored", "N2"] and scoring.alignment.unknown == ("stage '5' x 1",)
    (scoring,) = read(tmp_path / "n.csv", "# codes: 0=W, 5=REM\nepoch,stage\n1,5\n2,0\n")
    assert [s.stage for s in scoring.stages] == ["REM", "W"] and scoring.alignment.unknown == ()


def test_a_declared_scope_makes_an_empty_table_an_answer(tmp_path: Path) -> None:
    (scoring,) = read(tmp_path / "n.csv", "# scope: respiratory events\nonset_s,duration_s,label\n")
    assert scoring.events == () and set(scoring.coverage) == {"respiratory events"}
    with pytest.raises(UnreadableAnnotations, match="a header only"):
        read(tmp_path / "n.csv", "onset_s,duration_s,label\n")
    with pytest.raises(UnreadableAnnotations, match="'hypopneas' is no kind"):
        read(tmp_path / "n.csv", "# scope: hypopneas\nonset_s,duration_s,label\n")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("nan,30,W", "line 3: onset_s 'nan' is not a number of 0 or more (row left out)"),
        (",30,W", "line 3: onset_s '' is not a number of 0 or more (row left out)"),
        ("-5,30,W", "line 3: onset_s '-5' is not a number of 0 or more (row left out)"),
        ("5,-30,arousal", "line 3: duration_s '-30' is not a number of 0 or more (row left out)"),
        ("5,inf,arousal", "line 3: duration_s 'inf' is not a number of 0 or more (row left out)"),
        ("5,30,", "line 3: label '' is no text (row left out)"),
        ("5,30,NaN", "line 3: label 'NaN' is no text (row left out)"),
        ("5", "line 3: label '' is no text (row left out)"),
    ],
)
def test_a_bad_row_is_left_out_and_named(tmp_path: Path, row: str, words: str) -> None:
    (scoring,) = read(tmp_path / "n.csv", f"onset_s,duration_s,label\n0,30,W\n{row}\n30,30,N2\n")
    assert len(scoring.stages) == 2 and scoring.alignment.cut == (words,)


def test_a_table_of_bad_rows_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAnnotations, match=r"^n\.csv: no usable row; line 2: onset_s 'nan'[^\n]*$"):
        read(tmp_path / "n.csv", "onset_s,duration_s,label\nnan,30,W\n")


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    (scoring,) = read(tmp_path / "n.csv", "onset_s,duration_s,label\n0,30,W\n" + "nan,1,arousal\n" * 20)
    assert len(scoring.alignment.cut) == 6 and scoring.alignment.cut[-1] == "and 15 more rows left out"


def test_scorers_of_one_table_are_several_people_first(tmp_path: Path) -> None:
    rows = "0,30,N1,auto:yasa\n0,30,N2,human\n30,30,N2,human\n"
    scorings = read(tmp_path / "n.csv", "onset_s,duration_s,label,scorer\n" + rows)
    assert [(s.scorer, len(s.stages)) for s in scorings] == [("human", 2), ("auto:yasa", 1)]
    chosen = read_annotations([tmp_path / "n.csv"], NIGHT, scorer="auto:yasa")
    assert [s.scorer for s in chosen] == ["auto:yasa", "human"]
    with pytest.raises(UnreadableAnnotations, match=r"no scorer 'bob' in n\.csv; there are: human, auto:yasa"):
        read_annotations([tmp_path / "n.csv"], NIGHT, scorer="bob")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_any_usual_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "onset_s,duration_s,label\r\n0,30,N2\r\n5,2,Éveillé\r\n7,2,Éveillé\r\n"
    (scoring,) = read(tmp_path / "n.csv", text.encode(encoding))
    assert len(scoring.stages) == 1 and scoring.alignment.unknown == ("Éveillé x 2",)
    assert bool(scoring.repairs) == (encoding == "latin-1")


def test_128_boas_nights_hold_120095_epochs_of_two_scorers(shared_data: Path) -> None:
    files = sorted((shared_data / "boas_ds005555_hypnograms").glob("sub-*/eeg/*_events.tsv"))
    total: Counter[tuple[str, str]] = Counter()
    for path in files:
        scorings = read_annotations([path], RecordingClock(1e5))
        assert [s.scorer for s in scorings] == ["human", "auto:bitbrain"] and scorings[0].rules == "AASM"
        total.update((s.scorer, span.stage) for s in scorings for span in s.stages)
    assert len(files) == 128 and sum(n for (who, _), n in total.items() if who == "human") == 120_095
    assert [total["human", stage] for stage in ("W", "N1", "N2", "N3", "REM", "unscored")] == [
        19137, 4462, 72181, 5225, 18754, 336,
    ]  # fmt: skip
    assert total["auto:bitbrain", "unscored"] == 550


def test_bids_codes_come_from_the_levels_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "s_events.json").write_text('{"stage": {"Levels": {"0": "Wake", "4": {"Description": "REM sleep"}}}}')
    (scoring,) = read(tmp_path / "s_events.tsv", "onset\tduration\tstage\n0\t30\t0\n30\t30\t4\n60\t30\t5\n")
    assert [s.stage for s in scoring.stages] == ["W", "REM", "unscored"]
    assert scoring.alignment.unknown == ("stage '5' x 1",)


def test_general_bids_events_are_read_by_trial_type(tmp_path: Path) -> None:
    rows = "onset\tduration\ttrial_type\n"
    rows += "0\t60\tSleep stage N2\n12\t10\tHypopnea\n-3\tn/a\tboundary\n20\tn/a\tarousal\nx\t1\tW\n"
    (scoring,) = read(tmp_path / "s_events.tsv", rows)
    assert detect_format(tmp_path / "s_events.tsv") == "bids"
    assert len(scoring.stages) == 2 and [e.name for e in scoring.events] == ["hypopnea", "arousal"]
    assert scoring.alignment.unknown == ("boundary x 1",)
    assert scoring.alignment.cut == ("line 6: onset 'x' is not a number (row left out)",)


def test_bids_stages_and_events_of_one_table_are_one_scoring(tmp_path: Path) -> None:
    rows = "onset\tduration\tstage\ttrial_type\n0\t30\tW\tn/a\n30\t30\tN2\tn/a\n35\t5\tn/a\tarousal\n"
    (scoring,) = read(tmp_path / "s_events.tsv", rows)
    assert len(scoring.stages) == 2 and len(scoring.events) == 1
    assert set(scoring.coverage) == {"stages", "arousals"}


def test_bids_without_stage_or_event_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAnnotations, match="no column of stages or events"):
        read(tmp_path / "s_events.tsv", "onset\tduration\tsample\n0\t30\t1\n")
