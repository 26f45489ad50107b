"""ResMed therapy machines and Noxturnal exports."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, find_annotations, read_annotations
from encoders.recordings.edf import EdfFile

AIRCURVE = ("resmed_cpap_exporter", "AirCurve", "10", "VAuto", "DATALOG", "20250202")
AIRSENSE = ("resmed_cpap_exporter", "AirSense", "11", "APAP", "DATALOG", "20241017")


def signals(folder: Path, kind: str = "BRP") -> list[EdfFile]:
    return [EdfFile(path) for path in sorted(folder.glob(f"*_{kind}.edf"))]


def session(files: list[EdfFile]) -> RecordingClock:
    first, last = files[0].header.start, files[-1].header.start
    assert first is not None and last is not None
    duration_s = (last - first).total_seconds() + files[-1].duration_s
    return RecordingClock(duration_s, files[0].header.start_clock_s, first)


def test_aircurve_night_has_10_central_apneas_and_2_hypopneas(shared_data: Path) -> None:
    files = signals(shared_data.joinpath(*AIRCURVE))
    paths = find_annotations([file.header.path for file in files])
    assert [path.name for path in paths] == ["20250202_223717_EVE.edf"]
    (scoring,) = read_annotations(paths, session(files))
    assert Counter(e.name for e in scoring.events) == {"central apnea": 10, "hypopnea": 2}
    assert scoring.scorer == "device" and scoring.alignment.cut == () and scoring.alignment.unknown == ()
    assert scoring.alignment.offset_s == -7 and set(scoring.coverage) == {"respiratory events"}


def test_the_flow_of_a_resmed_central_apnea_is_flat_where_it_is_laid(shared_data: Path) -> None:
    # The machine's time stamp is the END of the apnea: before it there is no breath, after it there is.
    files = signals(shared_data.joinpath(*AIRCURVE))
    clock = session(files)
    (scoring,) = read_annotations(find_annotations([file.header.path for file in files]), clock)
    assert clock.start is not None
    for event in (e for e in scoring.events if e.name == "central apnea"):
        spread = []
        for start_s, stop_s in ((event.start_s, event.stop_s), (event.stop_s, 2 * event.stop_s - event.start_s)):
            for file in files:
                assert file.header.start is not None
                shift = (file.header.start - clock.start).total_seconds()
                spread += [float(np.std(run.samples)) for run in file.runs(0, start_s - shift, stop_s - shift)]  # type: ignore[call-overload]
        assert spread[0] < 0.15 < 0.4 < spread[1]


def test_airsense_session_takes_its_own_files_only(shared_data: Path) -> None:
    folder = shared_data.joinpath(*AIRSENSE)
    files = [file for file in signals(folder) if "20241018_055256" in file.header.path.name]
    paths = find_annotations([file.header.path for file in files])
    assert [path.name for path in paths] == ["20241018_055249_CSL.edf", "20241018_055249_EVE.edf"]
    (scoring,) = read_annotations(paths, session(files))
    assert Counter(e.name for e in scoring.events) == {"obstructive apnea": 1, "central apnea": 1, "hypopnea": 1}


def test_a_machine_that_found_nothing_still_looked(shared_data: Path) -> None:
    path = shared_data.joinpath(*AIRSENSE) / "20241017_221843_EVE.edf"
    (scoring,) = read_annotations([path], RecordingClock(3600.0))
    assert scoring.events == () and set(scoring.coverage) == {"respiratory events"}


@pytest.mark.parametrize(
    ("name", "epochs", "counts"),
    [
        ("", 1358, {"arousal": 22}),
        ("_2", 848, {"desaturation": 191, "obstructive apnea": 114, "hypopnea": 89, "arousal": 76,
                     "position change": 37, "limb movement": 25, "artifact": 22, "mixed apnea": 1,
                     "periodic limb movement": 4}),  # one series over 4 of its 29 movements
        ("_3", 1228, {"arousal": 107, "obstructive apnea": 64, "hypopnea": 38, "desaturation": 27, "central apnea": 24,
                      "mixed apnea": 3}),
    ],
)  # fmt: skip
def test_noxturnal_counts_are_those_published(
    shared_data: Path, name: str, epochs: int, counts: dict[str, int]
) -> None:
    path = shared_data / "nox_psg_excerpt" / f"noxturnal_events_example_unicode{name}.csv"
    (scoring,) = read_annotations([path], RecordingClock(50_000.0))
    assert scoring.source == "noxturnal" and len(scoring.stages) == epochs and scoring.rules == "AASM"
    assert Counter(e.name for e in scoring.events) == counts
    assert any(text == "Rapide x 551" for text in scoring.alignment.unknown) == (name == "_3")


def test_noxturnal_rows_lie_by_date_and_time_across_midnight(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    rows = ["15/01/2016 23:59:30,16/01/2016 00:00:00,Éveil,30,", "16/01/2016 00:00:10,16/01/2016 00:00:20,Désat,9.333,"]
    path.write_text(
        "\n".join(["Heure de début,Heure de fin,Événement,Durée,", "[],[],[],[s],", *rows]), encoding="utf-16"
    )
    clock = RecordingClock(3600.0, 86_000.5, datetime(2016, 1, 15, 23, 53, 20, 500_000))
    (scoring,) = read_annotations([path], clock)
    assert scoring.stages[0].start_s == 369.5 and scoring.events[0].start_s == 409.5
    assert scoring.events[0].stop_s == pytest.approx(418.833)


def test_noxturnal_in_english_with_am_and_pm(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(
        "Start Time,End Time,Event,Duration\n1/15/2016 11:59:30 PM,1/16/2016 12:00:00 AM,N2,30\nx,y,N2,30\n"
    )
    (scoring,) = read_annotations([path], RecordingClock(3600.0))
    assert len(scoring.stages) == 1 and "1 rows left out" in scoring.alignment.cut[0]
    path.write_text("Start Time,End Time,Event,Duration\nx,y,N2,30\n")
    with pytest.raises(UnreadableAnnotations, match="no row has a date and time"):
        read_annotations([path], RecordingClock(3600.0))


def test_noxturnal_rows_of_a_position_are_turns_at_their_start(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    rows = ["15/01/2016 23:00:00,16/01/2016 01:00:00,Dos,7200,", "16/01/2016 01:00:00,16/01/2016 01:00:05,Gauche,5,"]
    path.write_text("\n".join(["Heure de début,Heure de fin,Événement,Durée,", *rows]), encoding="utf-16")
    (scoring,) = read_annotations([path], RecordingClock(10_000.0))
    assert [(e.name, e.start_s, e.stop_s) for e in scoring.events] == [
        ("position change", 0.0, 0.0), ("position change", 7200.0, 7205.0)
    ]  # fmt: skip
