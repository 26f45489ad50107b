"""EDF+ annotations: hypnogram files of their own and marks inside the recording."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, detect_format, read_annotations
from encoders.recordings.edf import EdfFile
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf

START = datetime(2001, 2, 3, 22, 30, 0)


def write(path: Path, *annotations: Annotation, start: datetime = START) -> Path:
    signal = EdfSignal("EEG", np.zeros(60 * 10, dtype=np.float32), 10.0, "uV", -100.0, 100.0)
    write_edf(path, [signal], start=start, annotations=annotations)
    return path


def test_34_sleep_edf_hypnograms_are_read_whole(shared_data: Path) -> None:
    files = sorted((shared_data / "sleep_edf" / "hypnograms").glob("*.edf"))
    total: Counter[str] = Counter()
    for path in files:
        (scoring,) = read_annotations([path], RecordingClock(1e5))
        assert scoring.rules == "R&K" and scoring.epoch_s == 30 and scoring.alignment.unknown == ()
        total.update(span.stage for span in scoring.stages)
    assert len(files) == 34
    assert total == {"W": 41931, "N2": 15487, "REM": 6292, "N3": 4997, "unscored": 3762, "N1": 2774}


def test_sleep_edf_hypnogram_is_laid_over_its_recording_and_cut(shared_data: Path) -> None:
    file = EdfFile(shared_data / "sleep_edf" / "short_psg_5min_SC-style.edf")
    clock = RecordingClock(file.duration_s, file.header.start_clock_s, file.header.start)
    (scoring,) = read_annotations([shared_data / "sleep_edf" / "hypnograms" / "SC4001EC-Hypnogram.edf"], clock)
    assert [s.stage for s in scoring.stages] == ["W"] * 10 and scoring.alignment.offset_s == 0
    assert scoring.alignment.cut == ("2870 stage epochs after the recording's end at 00:05:00",)


def test_a_hypnogram_that_starts_later_is_shifted_by_the_difference(tmp_path: Path) -> None:
    path = write(tmp_path / "h.edf", Annotation(0, 30, "Sleep stage N2"), start=datetime(2001, 2, 3, 22, 30, 42))
    (scoring,) = read_annotations([path], RecordingClock(600.0, 81_000.0, START))
    assert scoring.stages[0].start_s == 42 and scoring.rules == "AASM"


def test_hmc_channel_suffix_is_no_part_of_the_event(tmp_path: Path) -> None:
    marks = [Annotation(0, None, "Lights off@@EEG F4-A1"), Annotation(5, 10, "EEG arousal@@EEG C4-M1")]
    (scoring,) = read_annotations([write(tmp_path / "h.edf", *marks)], RecordingClock(60.0))
    assert scoring.lights_off_s == 0
    assert [(e.name, e.channel) for e in scoring.events] == [("arousal", "EEG C4-M1")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Obstructive Apnea", "obstructive apnea"),
        ("OBSTRUCTIVE APNEA", "obstructive apnea"),
        ("Central hypopnea", "central hypopnea"),
        ("Oxygen Desaturation", "desaturation"),
        ("apnea:mixed", "mixed apnea"),
        ("APNEA", "apnea"),
        ("AROUSAL-PLM", "arousal"),
        ("PLM-LM", "limb movement"),
        ("resp_cheynestokesbreath", "Cheyne-Stokes breathing"),
    ],
)
def test_aasm_luna_and_embla_names_are_known_in_any_case(tmp_path: Path, text: str, name: str) -> None:
    (scoring,) = read_annotations([write(tmp_path / "h.edf", Annotation(5, 10, text))], RecordingClock(60.0))
    assert [e.name for e in scoring.events] == [name]


def test_an_unknown_sleep_stage_is_unscored_and_named(tmp_path: Path) -> None:
    marks = [
        Annotation(0, 30, "Sleep stage 7"),
        Annotation(30, 30, "Sleep stage ?"),
        Annotation(60, 30, "Movement time"),
    ]
    (scoring,) = read_annotations([write(tmp_path / "h.edf", *marks)], RecordingClock(90.0))
    assert [s.stage for s in scoring.stages] == ["unscored"] * 3 and scoring.coverage == {}
    assert (
        "stage 'Sleep stage 7'" in " ".join(scoring.alignment.unknown) or "single notes" in scoring.alignment.unknown[0]
    )


def test_annotations_inside_the_recording_are_a_scoring(tmp_path: Path) -> None:
    embedded = (Annotation(0, 60, "Sleep stage N2"), Annotation(12, 14, "Hypopnea"), Annotation(3, 0, "Oximeter Event"))
    (scoring,) = read_annotations([], RecordingClock(60.0, embedded=embedded))
    assert scoring.files == () and len(scoring.stages) == 2 and len(scoring.events) == 1
    assert set(scoring.coverage) == {"stages", "respiratory events"} and scoring.alignment.unknown == ()


def test_an_edf_without_annotations_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.edf")
    with pytest.raises(UnreadableAnnotations, match="holds no annotation"):
        read_annotations([path], RecordingClock(60.0))


def test_a_plain_edf_is_a_recording_not_annotations(tmp_path: Path) -> None:
    path = tmp_path / "r.edf"
    write_edf(path, [EdfSignal("EEG", np.zeros(100, dtype=np.float32), 10.0, "uV", -1.0, 1.0)], start=None, kind="EDF")
    with pytest.raises(UnreadableAnnotations, match="without an annotations signal"):
        detect_format(path)


def test_scoring_inside_and_beside_the_recording_of_the_same_kind_are_two_opinions(tmp_path: Path) -> None:
    path = write(tmp_path / "h.edf", Annotation(0, 30, "Sleep stage N2"))
    clock = RecordingClock(60.0, embedded=(Annotation(0, 30, "Sleep stage N1"),))
    assert [(s.scorer, s.stages[0].stage) for s in read_annotations([path], clock)] == [
        ("human", "N2"),
        ("human 2", "N1"),
    ]


def test_events_beside_and_stages_inside_become_one_scoring(tmp_path: Path) -> None:
    path = write(tmp_path / "h.edf", Annotation(5, 10, "Hypopnea"))
    clock = RecordingClock(60.0, embedded=(Annotation(0, 60, "Sleep stage N1"),))
    (scoring,) = read_annotations([path], clock)
    assert len(scoring.stages) == 2 and len(scoring.events) == 1 and scoring.rules == "AASM"
