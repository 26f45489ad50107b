"""Which annotation files belong to a recording, by name."""

from pathlib import Path

import pytest

from encoders.recordings.annotations import find_annotations


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("recording", "annotation"),
    [
        ("night.edf", "night.xml"),
        ("night.edf", "night-nsrr.xml"),
        ("night.edf", "night-profusion.xml"),
        ("night.edf", "night.edf.xml"),
        ("night.edf", "night.annot"),
        ("night.edf", "NIGHT.eannot"),
        ("night.edf", "night.csv"),
        ("night.edf", "night.tsv"),
        ("night.edf", "night_events.tsv"),
        ("night.edf", "night_hypnogram.csv"),
        ("ucddb018.edf", "ucddb018_stage.txt"),
        ("ucddb018.edf", "ucddb018_respevt.txt"),
        ("SN001.edf", "SN001_sleepscoring.edf"),
        ("SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"),
        ("ST7021J0-PSG.edf", "ST7021JM-Hypnogram.edf"),
        ("sub-38_task-Sleep_acq-psg_eeg.edf", "sub-38_task-Sleep_acq-psg_events.tsv"),
        ("night.edf", "annotations/night.annot"),
        ("edf/night.edf", "annotations/night-nsrr.xml"),
        ("psg/edfs/shhs1/shhs1-200001.edf", "psg/annotations-events-nsrr/shhs1/shhs1-200001-nsrr.xml"),
        ("psg/edfs/mesa-1.edf", "psg/annotations-events-profusion/mesa-1-profusion.xml"),
    ],
)  # fmt: skip
def test_annotations_are_found_by_name(tmp_path: Path, recording: str, annotation: str) -> None:
    touch(tmp_path, recording, annotation)
    assert find_annotations([tmp_path / recording]) == [tmp_path / annotation]
    everything = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert find_annotations([tmp_path / recording], among=everything) == [tmp_path / annotation]


def test_what_belongs_to_others_or_is_truth_is_not_found(tmp_path: Path) -> None:
    touch(
        tmp_path, "night.edf", "night2.xml", "night.truth.parquet", "night.truth-events.parquet", "night.txt", "n.json",
        "other_night.csv", "SC4001E0-PSG.edf", "SC4002EC-Hypnogram.edf", "sub-1_task-a_eeg.edf",
        "sub-1_task-a_channels.tsv", "night.truth.csv",
        "SN001.edf", "SN001_sleepscoring.txt",
    )  # fmt: skip
    for name in ("night", "SC4001E0-PSG", "sub-1_task-a_eeg", "SN001"):
        assert find_annotations([tmp_path / f"{name}.edf"]) == []


def test_a_file_of_the_recording_is_not_its_annotation(tmp_path: Path) -> None:
    touch(tmp_path, "night.edf", "night_events.edf")
    paths = [tmp_path / "night.edf", tmp_path / "night_events.edf"]
    assert find_annotations(paths) == [] and find_annotations(paths[:1]) == paths[1:]


def test_files_that_come_later_are_seen(tmp_path: Path) -> None:
    touch(tmp_path, "night.edf")
    assert find_annotations([tmp_path / "night.edf"]) == []
    touch(tmp_path, "night.annot")
    assert find_annotations([tmp_path / "night.edf"]) == [tmp_path / "night.annot"]


def test_resmed_events_belong_to_the_session_begun_after_them(tmp_path: Path) -> None:
    names = [
        f"20240101_{stamp}.edf"
        for stamp in ("220000_EVE", "220006_BRP", "230000_EVE", "230000_CSL", "230007_BRP", "233000_BRP")
    ]
    touch(tmp_path, *names)
    first, *rest = [tmp_path / name for name in names if "BRP" in name]
    assert [path.name for path in find_annotations([first])] == ["20240101_220000_EVE.edf"]
    assert [path.name for path in find_annotations(rest)] == ["20240101_230000_CSL.edf", "20240101_230000_EVE.edf"]
