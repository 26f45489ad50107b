"""One timeline: clocks, midnight, clipping, grids and the majority on them."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, read_annotations, stage_fraction, stage_on_grid
from encoders.recordings.annotations.align import lay, nearest_day
from encoders.recordings.annotations.sheet import Mark, Sheet
from encoders.recordings.timeline import Scoring
from encoders.vocabulary import EVENTS, KINDS, STAGES


def sheet(*marks: Mark, **fields: object) -> Sheet:
    return Sheet("csv", Path("n.csv"), list(marks), **fields)  # type: ignore[arg-type]


def stages(*spans: tuple[float, float, str]) -> Sheet:
    return sheet(*(Mark(start, stop - start, text, is_stage=True) for start, stop, text in spans))


def test_annotations_longer_than_the_signal_are_cut_and_counted() -> None:
    scoring = lay(stages((0, 3000, "N2")), RecordingClock(300.0))
    assert len(scoring.stages) == 10 and scoring.stages[-1].stop_s == 300
    assert scoring.alignment.cut == ("90 stage epochs after the recording's end at 00:05:00",)


def test_events_partly_outside_are_clipped_and_those_outside_cut() -> None:
    events = [Mark(-20, 30, "hypopnea"), Mark(290, 30, "hypopnea"), Mark(-40, 20, "arousal"), Mark(400, 10, "arousal")]
    scoring = lay(sheet(*events), RecordingClock(300.0))
    assert [(e.start_s, e.stop_s) for e in scoring.events] == [(0, 10), (290, 300)]
    assert scoring.alignment.cut == (
        "1 events before the recording's start",
        "1 events after the recording's end at 00:05:00",
        "2 events partly outside the recording, the part inside kept",
    )


def test_a_run_of_stages_begun_before_the_recording_keeps_its_own_grid() -> None:
    scoring = lay(stages((-45, 75, "N2")), RecordingClock(300.0))
    assert [(s.start_s, s.stop_s) for s in scoring.stages] == [(0, 15), (15, 45), (45, 75)]


def test_offset_is_taken_from_both_dates() -> None:
    start = datetime(2020, 1, 1, 22, 0, 0)
    dated = sheet(Mark(30, 30, "N2"), zero="file", start=datetime(2020, 1, 1, 22, 0, 12, 500_000))
    scoring = lay(dated, RecordingClock(3600.0, 79_200.0, start))
    assert scoring.alignment.offset_s == 12.5 and scoring.stages[0].start_s == 42.5
    assert scoring.alignment.reason.startswith("both files' start date and time")


def test_offset_is_taken_from_the_clocks_when_dates_are_shifted_or_missing() -> None:
    recording = RecordingClock(8 * 3600.0, 23 * 3600.0, datetime(2020, 1, 1, 23))
    for start in (datetime(2031, 5, 5, 0, 10), None):
        mine = sheet(Mark(0, 30, "N2"), zero="file", start=start, start_clock_s=600.0)
        scoring = lay(mine, recording)
        assert scoring.stages[0].start_s == 4200 and "clock" in scoring.alignment.reason  # 00:10 is past midnight


def test_files_without_a_clock_are_taken_to_start_together_and_say_so() -> None:
    scoring = lay(sheet(Mark(60, 30, "N2"), zero="file"), RecordingClock(3600.0, 79_200.0))
    assert scoring.stages[0].start_s == 60 and "taken to start together" in scoring.alignment.reason


@given(st.floats(0, 86_399), st.floats(0, 86_399), st.floats(60, 80_000))
def test_a_clock_difference_lands_in_the_recording_or_nearest_to_it(
    start: float, elapsed: float, duration: float
) -> None:
    found = nearest_day((start + elapsed) % 86_400 - start, duration)
    outside = max(0.0, -found, found - duration)
    assert outside <= min(max(0.0, elapsed - duration), 86_400 - elapsed) + 1e-6


def test_fractional_offset_of_the_scored_grid_is_kept() -> None:
    scoring = lay(stages((7.25, 37.25, "W"), (37.25, 97.25, "N2")), RecordingClock(300.0))
    assert [s.start_s for s in scoring.stages] == [7.25, 37.25, 67.25] and not scoring.regridded


@pytest.mark.parametrize("grid_s", [20.0, 5.0])
def test_other_grids_are_kept_and_marked_regridded(grid_s: float) -> None:
    scoring = lay(stages(*((i * grid_s, (i + 1) * grid_s, "N2") for i in range(6))), RecordingClock(300.0))
    assert scoring.regridded and scoring.epoch_s == grid_s and len(scoring.stages) == 6


def test_majority_by_time_decides_on_the_30_s_grid() -> None:
    scoring = lay(stages((0, 20, "W"), (20, 40, "N1"), (40, 60, "N2"), (60, 80, "N2")), RecordingClock(300.0))
    stage, raw = stage_on_grid(scoring, np.array([0.0, 30.0, 60.0, 90.0]))
    assert stage.tolist() == ["W", "N2", "N2", "unscored"] and raw.tolist() == ["W", "N2", "N2", ""]
    assert np.allclose(stage_fraction(scoring, np.array([0.0, 30.0, 60.0, 90.0])), [2 / 3, 2 / 3, 2 / 3, 1])


def test_a_tie_goes_to_the_stage_first_in_the_vocabulary() -> None:
    for spans in (((0, 15, "N2"), (15, 30, "W")), ((0, 15, "W"), (15, 30, "N2"))):
        stage, _ = stage_on_grid(lay(stages(*spans), RecordingClock(30.0)), np.array([0.0]))
        assert stage.tolist() == ["W"]


def test_an_epoch_mostly_without_a_stage_is_unscored() -> None:
    stage, _ = stage_on_grid(lay(stages((0, 10, "N2")), RecordingClock(60.0)), np.array([0.0, 30.0]))
    assert stage.tolist() == ["unscored", "unscored"]


def test_stages_without_duration_hold_until_the_next() -> None:
    marks = [Mark(0, None, "Sleep stage W"), Mark(60, 0, "Sleep stage N2"), Mark(150, None, "Sleep stage R")]
    scoring = lay(sheet(*marks), RecordingClock(600.0))
    assert [(s.start_s, s.stage) for s in scoring.stages] == [
        (0, "W"), (30, "W"), (60, "N2"), (90, "N2"), (120, "N2"), (150, "REM"),
    ]  # fmt: skip
    assert "3 stages without duration hold until the next" in scoring.alignment.cut


def test_lights_are_times_not_events() -> None:
    scoring = lay(
        sheet(Mark(12, 0, "Lights off"), Mark(90, 0, "Lights On"), Mark(100, 30, "N2")), RecordingClock(300.0)
    )
    assert (scoring.lights_off_s, scoring.lights_on_s) == (12, 90) and scoring.events == ()


def test_impossible_overlap_of_stages_is_refused() -> None:
    many = stages(*((0.0, 86_400.0, "N2") for _ in range(100)))
    with pytest.raises(UnreadableAnnotations, match="stages overlap"):
        lay(many, RecordingClock(86_400.0))


def test_an_endless_stage_does_not_fill_the_memory() -> None:
    scoring = lay(stages((0, 1e15, "N2")), RecordingClock(3600.0))
    assert len(scoring.stages) == 120


def test_seldom_free_text_is_counted_but_not_quoted() -> None:
    # A technician's note inside a recording may name the patient; a label that returns does not.
    marks = [Mark(1, 0, "asked Maria to turn"), Mark(2, 0, "xyz"), Mark(3, 0, "xyz")]
    scoring = lay(Sheet("edf+", None, marks, free_text=True), RecordingClock(300.0))
    assert scoring.alignment.unknown == ("xyz x 2", "other single notes x 1")


def test_the_start_is_never_shown() -> None:
    assert "2020" not in repr(RecordingClock(1.0, 2.0, datetime(2020, 1, 1)))
    assert "2020" not in repr(sheet(start=datetime(2020, 1, 1)))


WORDS = st.sampled_from(["N2", "Sleep stage W", "hypopnea", "arousal", "Lights off", "what", "5", "", "Sleep stage 9"])
TIMES = st.floats(-1e6, 1e6, allow_nan=False)
MARKS = st.builds(Mark, TIMES, st.none() | st.floats(0, 1e6), WORDS, is_stage=st.booleans(), is_clock=st.booleans())


@given(st.lists(MARKS, max_size=12), st.floats(0, 4e4), st.none() | st.floats(0, 86_399))
def test_whatever_is_laid_lies_inside_the_recording(marks: list[Mark], duration: float, start: float | None) -> None:
    try:
        scoring: Scoring = lay(sheet(*marks), RecordingClock(duration, start))
    except UnreadableAnnotations:
        return
    for span in scoring.stages:
        assert 0 <= span.start_s <= span.stop_s <= duration and span.stage in STAGES
    for event in scoring.events:
        assert 0 <= event.start_s <= event.stop_s <= duration and event.name in EVENTS
    assert set(scoring.coverage) <= set(KINDS)


def test_no_files_and_no_annotations_inside_are_no_scoring() -> None:
    assert read_annotations([], RecordingClock(300.0)) == []


def test_an_unusable_file_is_left_out_where_the_caller_collects_them(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.xml"
    good.write_text("onset_s,duration_s,label\n0,30,N2\n")
    bad.write_text("<PSGAnnotation>")
    refused: list[tuple[Path | None, str]] = []
    (scoring,) = read_annotations([bad, good], RecordingClock(300.0), refused=refused)
    assert scoring.source == "csv" and [path for path, _ in refused] == [bad] and "broken XML" in refused[0][1]
    with pytest.raises(UnreadableAnnotations, match="broken XML"):
        read_annotations([bad, good], RecordingClock(300.0))


def test_single_notes_of_free_text_are_counted_and_codes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("onset_s,duration_s,label\n0,30,N2\n5,1,Mrs Smith coughs\n7,1,Smith\n8,1,cough\n9,1,X7\n")
    (scoring,) = read_annotations([path], RecordingClock(300.0))
    assert scoring.alignment.unknown == ("cough x 1", "X7 x 1", "other single notes x 2")
