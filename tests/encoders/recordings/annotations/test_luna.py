"""Luna .annot: three, four and six columns, and every form of time."""

from pathlib import Path

import pytest

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, read_annotations
from encoders.recordings.timeline import Scoring

NIGHT = RecordingClock(duration_s=36_000.0, start_clock_s=22.5 * 3600)


def read(path: Path, *lines: str) -> Scoring:
    path.write_text("\n".join(line.replace(" | ", "\t") for line in lines) + "\n")
    (scoring,) = read_annotations([path], NIGHT)
    return scoring


@pytest.mark.parametrize(
    "times",
    ["120 | 150", "120 | +30", "22:32:00 | 22:32:30", "22:32:00 | +30", "0+00:02:00 | 0+00:02:30", "e:5 | e:5",
     "e:5 | .", "e:30:5 | .", "e:30:30:5 | .", "04-08-18-22:32:00 | 04-08-18-22:32:30", "120.0 | 0+00:02:30"],
)  # fmt: skip
def test_every_form_of_time_means_the_same_30_seconds(tmp_path: Path, times: str) -> None:
    scoring = read(tmp_path / "n.annot", "# a comment", f"N2 | . | . | {times} | .")
    assert [(s.start_s, s.stop_s, s.stage) for s in scoring.stages] == [(120, 150, "N2")]


def test_times_of_day_after_midnight_are_the_next_day(tmp_path: Path) -> None:
    scoring = read(
        tmp_path / "n.annot", "arousal | . | . | 23:59:58 | 00:00:05 | .", "arousal | . | . | 00:30:00 | +3 | ."
    )
    assert [(e.start_s, e.stop_s) for e in scoring.events] == [(5398, 5405), (7200, 7203)]


def test_three_and_four_columns_are_short_for_six(tmp_path: Path) -> None:
    scoring = read(
        tmp_path / "n.annot", "class | instance | channel | start | stop | meta",
        "W | 0 | 30", "apnea | obstructive | 40 | 52", "desat | . | SpO2 | 60 | 70 | min=88",
    )  # fmt: skip
    assert [s.stage for s in scoring.stages] == ["W"]
    assert [(e.name, e.start_s, e.channel) for e in scoring.events] == [
        ("obstructive apnea", 40, None), ("desaturation", 60, "SpO2"),
    ]  # fmt: skip


def test_an_ellipsis_lasts_until_the_next_line_and_then_to_the_end(tmp_path: Path) -> None:
    scoring = read(
        tmp_path / "n.annot", "W | . | . | 0 | ... | .", "N1 | . | . | 90 | ... | .", "N2 | . | . | 120 | ... | ."
    )
    assert [s.stage for s in scoring.stages[:5]] == ["W", "W", "W", "N1", "N2"]
    assert scoring.stages[-1].stop_s == 36_000 and len(scoring.stages) == 1200


def test_a_class_stage_holds_its_stage_as_instance(tmp_path: Path) -> None:
    scoring = read(tmp_path / "n.annot", "SleepStage | REM | . | 0 | 30 | .", "SleepStage | odd | . | 30 | 60 | .")
    assert [s.stage for s in scoring.stages] == ["REM", "unscored"]
    assert scoring.alignment.unknown == ("stage 'odd' x 1",)


def test_bookkeeping_rows_are_no_events_and_bad_lines_are_counted(tmp_path: Path) -> None:
    scoring = read(
        tmp_path / "n.annot", "start_hms | . | . | . | . | 22.30.00", "W | . | . | 0 | 30 | .",
        "W | . | . | x | 60 | .", "arousal | . | . | 90 | 80 | .", "spindle | . | C3 | 12 | 13 | .",
    )  # fmt: skip
    assert scoring.alignment.cut == ("2 lines left out: line 3: start 'x' is no time (the first)",)
    assert scoring.alignment.unknown == ("spindle x 1",)


def test_an_annot_file_without_a_readable_line_is_refused(tmp_path: Path) -> None:
    for lines in (["# only a comment"], ["W"], ["W | . | . | nan | 30 | ."]):
        with pytest.raises(UnreadableAnnotations, match=r"^n\.annot: no line of this \.annot file can be read[^\n]*$"):
            read(tmp_path / "n.annot", *lines)


def test_annot_and_eannot_of_one_night_become_one_scoring(tmp_path: Path) -> None:
    (tmp_path / "n.annot").write_text("hypopnea\t40\t52\n")
    (tmp_path / "n.eannot").write_text("W\nN1\n")
    (scoring,) = read_annotations(sorted(tmp_path.iterdir()), NIGHT)
    assert scoring.source == "luna annot + luna eannot" and len(scoring.stages) == 2 and len(scoring.events) == 1
