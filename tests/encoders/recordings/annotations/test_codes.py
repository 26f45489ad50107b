"""Hypnograms of one code per line, and UCDDB's respiratory events."""

from collections import Counter
from pathlib import Path

import pytest

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, detect_format, read_annotations

NIGHT = RecordingClock(duration_s=36_000.0, start_clock_s=23 * 3600.0 + 1800)
# Laid out as UCDDB's files are: three header lines, a row each, a footer. The values are made up.
RESPEVT = """                                Desaturation                     B/T
Time      Type      PB/CS  Duration  Low   %Drop  Snore  Arousal  Rate  Change

23:59:50  HYP-C               16     89.9   4.1    -      -      64.7   -5.7
00:02:22  APNEA-O             17     87.9   7      +      +
00:05:00  APNEA-M    CS       20
01:00:00             PB      120
02:00:00  HYP-O               11     5.0    88
03:00:00  HYP-O
 9 events
"""


def test_ucddb018_has_822_epochs(shared_data: Path) -> None:
    (scoring,) = read_annotations([shared_data / "ucddb_eeg" / "ucddb018_stage.txt"], NIGHT)
    assert Counter(s.stage for s in scoring.stages) == {"W": 328, "N2": 280, "N3": 137, "N1": 58, "REM": 19}
    assert scoring.rules == "R&K" and scoring.alignment.unknown == ()


def test_every_ucddb_hypnogram_is_known_by_its_name(shared_data: Path) -> None:
    files = sorted((shared_data / "ucddb_eeg").glob("*_stage.txt"))
    assert len(files) == 12 and {detect_format(path) for path in files} == {"ucddb"}
    for path in files:
        (scoring,) = read_annotations([path], NIGHT)
        assert len(scoring.stages) == len(path.read_text().split()) and scoring.alignment.unknown == ()


def test_the_yasa_hypnogram_says_its_own_codes(shared_data: Path) -> None:
    (scoring,) = read_annotations([shared_data / "yasa_samples" / "data_full_6hrs_100Hz_hypno_30s.txt"], NIGHT)
    assert Counter(s.stage for s in scoring.stages) == {"N2": 318, "N3": 182, "REM": 155, "W": 43, "N1": 22}


def test_a_bare_5_is_n3_in_ucddb_rem_in_isruc_and_wake_in_dreams(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text("5\n5\n")
    found = {form: read_annotations([path], NIGHT, format=form)[0].stages[0] for form in ("ucddb", "isruc", "dreams")}
    assert {form: span.stage for form, span in found.items()} == {"ucddb": "N3", "isruc": "REM", "dreams": "W"}
    assert found["dreams"].stop_s == 5


def test_bare_numbers_without_a_format_are_refused_with_the_choices(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text("0\n2\n5\n")
    with pytest.raises(UnreadableAnnotations, match=r"Pass format= one of 'ucddb', 'isruc', 'dreams'[^\n]*$"):
        detect_format(path)
    path = tmp_path / "n.eannot"
    path.write_text("0\n2\n5\n")
    with pytest.raises(UnreadableAnnotations, match="no line is a stage of format 'luna eannot'"):
        read_annotations([path], NIGHT)


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text("0\n")
    with pytest.raises(UnreadableAnnotations, match="no annotation format 'edf'; known: nsrr xml, profusion xml, edf"):
        read_annotations([path], NIGHT, format="edf")


def test_eannot_has_one_label_per_30_s_epoch(tmp_path: Path) -> None:
    path = tmp_path / "n.eannot"
    path.write_text("W\nN1\nNREM2\nR\n?\nwhat\n")
    (scoring,) = read_annotations([path], NIGHT)
    assert [s.stage for s in scoring.stages] == ["W", "N1", "N2", "REM", "unscored", "unscored"]
    assert scoring.alignment.unknown == ("stage 'what' x 1",) and scoring.stages[3].start_s == 90


def test_respevt_clock_times_cross_midnight(tmp_path: Path) -> None:
    path = tmp_path / "ucddb999_respevt.txt"
    path.write_text(RESPEVT)
    (scoring,) = read_annotations([path], NIGHT)
    assert [(e.name, e.start_s, e.stop_s, e.spo2_min_pct) for e in scoring.events] == [
        ("central hypopnea", 1790, 1806, 89.9),
        ("obstructive apnea", 1942, 1959, 87.9),
        ("mixed apnea", 2100, 2120, None),
        ("Cheyne-Stokes breathing", 2100, 2120, None),
        ("periodic breathing", 5400, 5520, None),
        ("obstructive hypopnea", 9000, 9011, None),  # 5.0 is no saturation
    ]
    assert scoring.alignment.cut == ("1 rows with a time but no duration left out",)
    assert set(scoring.coverage) == {"respiratory events"}  # a nadir without a time is no scored desaturation


def test_ucddb_stages_and_events_are_one_scoring(tmp_path: Path) -> None:
    (tmp_path / "ucddb999_respevt.txt").write_text(RESPEVT)
    (tmp_path / "ucddb999_stage.txt").write_text("0\n2\n3\n8\n")
    (scoring,) = read_annotations(sorted(tmp_path.iterdir()), NIGHT)
    assert scoring.scorer == "human" and len(scoring.files) == 2
    assert [s.stage for s in scoring.stages] == ["W", "N1", "N2", "unscored"] and len(scoring.events) == 6
    assert set(scoring.coverage) == {"stages", "respiratory events"} and scoring.rules == "R&K"


def test_clock_times_without_a_recording_clock_are_reported_not_placed(tmp_path: Path) -> None:
    path = tmp_path / "ucddb999_respevt.txt"
    path.write_text(RESPEVT)
    (scoring,) = read_annotations([path], RecordingClock(36_000.0))
    assert scoring.events == () and scoring.coverage == {}
    assert "6 marks give a time of day, but the recording has no start clock" in scoring.alignment.cut
