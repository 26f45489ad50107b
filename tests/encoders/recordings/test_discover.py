"""Folders become recordings, each with its files, its annotations and an id of its own; what is none is said."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from encoders.recordings.discover import Source, discover
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf

START = datetime(2021, 3, 4, 22, 30, 5)
KEY = b"key"


def night(path: Path, label: str = "C4-M1", rate_hz: float = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, [EdfSignal(label, np.arange(int(30 * rate_hz)) % 7, rate_hz)], start=START, kind="EDF")
    return path


def hypnogram(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, [], start=START, annotations=[Annotation(0.0, 30.0, "Sleep stage W")])
    return path


def found(*sources: Path) -> tuple[dict[str, Source], dict[str, str]]:
    recordings, failures = discover(sources, id_key=KEY)
    assert len({source.id for source in recordings}) == len(recordings)
    return {source.id: source for source in recordings}, {path.name: why for path, why in failures}


def test_a_folder_is_walked_whatever_the_case_of_suffixes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ("a.edf", "b/c.EDF", "b/d.rec", "b/e.Bdf", ".hidden/f.edf", "b/.g.edf"):
        night(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    recordings, failures = found(tmp_path)
    assert list(recordings) == ["a", "c", "d", "e"]
    assert failures == {}


def test_a_file_may_be_given_and_is_taken_once(tmp_path: Path) -> None:
    path = night(tmp_path / "a.edf")
    recordings, failures = found(path, tmp_path, path)
    assert list(recordings) == ["a"] and not failures


def test_what_is_no_recording_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.edf").write_bytes(b"")
    (tmp_path / "b.edf").write_bytes(b"hello" * 100)
    (tmp_path / "c.rec").write_bytes(b"\x00" * 600)
    hypnogram(tmp_path / "d-Hypnogram.edf")
    (tmp_path / "e.txt").write_text("no EDF")
    recordings, failures = found(tmp_path, tmp_path / "empty", tmp_path / "nowhere", tmp_path / "e.txt")
    assert not recordings
    assert failures.keys() == {"a.edf", "b.edf", "c.rec", "d-Hypnogram.edf", "empty", "nowhere", "e.txt"}
    assert all("\n" not in why for why in failures.values())
    assert failures["empty"] == "no EDF or BDF recording in this folder"
    assert failures["d-Hypnogram.edf"] == "annotations without a recording of that name"
    assert failures["nowhere"] == "no such file or folder"


def test_sleep_edf_pairs_share_seven_characters_in_any_folder(tmp_path: Path) -> None:
    night(tmp_path / "psg" / "SC4001E0-PSG.edf")
    night(tmp_path / "psg" / "SC4002E0-PSG.edf")
    paired = hypnogram(tmp_path / "hypnograms" / "SC4001EC-Hypnogram.edf")
    hypnogram(tmp_path / "hypnograms" / "SC4011EH-Hypnogram.edf")
    recordings, failures = found(tmp_path)
    assert recordings["SC4001E0-PSG"].annotations == (paired,)
    assert recordings["SC4002E0-PSG"].annotations == ()
    assert list(failures) == ["SC4011EH-Hypnogram.edf"]


def test_annotations_beside_a_recording_come_before_those_elsewhere(tmp_path: Path) -> None:
    night(tmp_path / "a" / "n1.edf")
    night(tmp_path / "b" / "n1.edf")
    (tmp_path / "a" / "n1-nsrr.xml").write_text("<PSGAnnotation/>")
    recordings, _ = found(tmp_path)
    assert [path.name for path in recordings["a-n1"].annotations] == ["n1-nsrr.xml"]
    assert recordings["b-n1"].annotations == ()


def test_one_name_in_two_folders_gets_the_folder_before_it(tmp_path: Path) -> None:
    for name in ("a/x/n1.edf", "b/x/n1.edf", "b/y/n1.edf", "n2.edf"):
        night(tmp_path / name)
    recordings, _ = found(tmp_path)
    assert set(recordings) == {"a-x-n1", "b-x-n1", "y-n1", "n2"}
    assert "folder stands before it" in recordings["y-n1"].note and not recordings["n2"].note


def test_one_name_twice_in_a_folder_gets_its_suffix(tmp_path: Path) -> None:
    night(tmp_path / "n1.edf")
    night(tmp_path / "n1.rec")
    names = {source.paths[0].name: name for name, source in found(tmp_path)[0].items()}
    assert len(set(names.values())) == 2 and names["n1.rec"].endswith(".rec")


@pytest.mark.parametrize("name", ["Smith_John.edf", "Smith_John/n1.edf"])
def test_a_persons_name_never_becomes_an_id(tmp_path: Path, name: str) -> None:
    night(tmp_path / name)
    night(tmp_path / "n1.edf")
    recordings, _ = found(tmp_path)
    assert not any("mith" in name for name in recordings)
    (hashed,) = (source for source in recordings.values() if source.id_hashed)
    assert "keyed hash" in hashed.note
    assert hashed.id in found(tmp_path)[0]


def test_a_daily_summary_is_no_night(tmp_path: Path) -> None:
    day = EdfSignal("AHI", np.array([3.0, 4.0]), 1 / 60)
    write_edf(tmp_path / "STR.edf", [day], start=START, kind="EDF", record_s=60)
    content = bytearray((tmp_path / "STR.edf").read_bytes())
    content[244:252] = b"86400   "
    (tmp_path / "STR.edf").write_bytes(content)
    assert found(tmp_path)[1] == {"STR.edf": "daily summary of a therapy device, no waveforms"}


def test_files_of_a_therapy_session_are_one_recording_with_the_events_begun_before_it(tmp_path: Path) -> None:
    for name in ("20210304_223005_BRP", "20210304_223006_PLD", "20210304_223006_SA2", "20210305_010000_BRP"):
        night(tmp_path / f"{name}.edf", "Flow.40ms", 25)
    hypnogram(tmp_path / "20210304_222958_EVE.edf")
    night(tmp_path / "other" / "20210304_223005_BRP.edf", "Flow.40ms", 25)
    recordings, failures = found(tmp_path)
    assert not failures
    groups = sorted(
        (len(source.paths), [path.stem[-3:] for path in source.annotations]) for source in recordings.values()
    )
    assert groups == [(1, []), (1, ["EVE"]), (3, ["EVE"])]
    assert all(source.id_hashed and "2021" not in source.id for source in recordings.values())


def test_the_pap_cards_give_one_recording_a_session(shared_data: Path) -> None:
    recordings, failures = found(shared_data / "resmed_cpap_exporter")
    assert len(recordings) == 9
    assert all(len(source.paths) == 3 and source.annotations for source in recordings.values())
    events = {path for source in recordings.values() for path in source.annotations if "AirCurve" in path.parts}
    assert len(events) == 1  # one EVE file serves the five sessions of its night
    assert failures == {"STR.edf": "daily summary of a therapy device, no waveforms"}


def test_hypnograms_alone_are_no_recordings(shared_data: Path) -> None:
    recordings, failures = found(shared_data / "sleep_edf")
    assert list(recordings) == ["short_psg_5min_SC-style"]
    assert len(failures) == 34
