"""What a cohort holds in tables, and a cohort that grows while it is read."""

import shutil
from pathlib import Path

import pytest

from retrieval import BadInput, Cohort, ingest
from retrieval.growing import discard, dropped, grow, look_over, take_files
from retrieval.overview import nights_table, overview, recordings_table
from tests.conftest import SimCohort


class _EnoughError(Exception):
    pass


def test_what_was_read_before_the_end_is_published(small_cohort: SimCohort, tmp_path: Path) -> None:
    root, nights = tmp_path / "cohort", sorted(small_cohort.folder.glob("*.edf"))
    ingest([nights[0]], root, encoder="text:minilm")
    reader = Cohort(root)

    def stop(_: str, done: int, of: int) -> None:
        raise _EnoughError(f"{done} of {of}")

    with pytest.raises(_EnoughError, match="1 of 2"):
        grow(nights[1:], root, progress=stop)
    reader.snapshot.refresh()
    assert reader.info()["counts"]["recordings"] == 2
    report = grow(nights[1:], root)
    assert (report.recordings, report.skipped) == (1, 1)


def test_a_look_over_says_what_is_known_and_writes_nothing(small_cohort: SimCohort, tmp_path: Path) -> None:
    (tmp_path / "broken.edf").write_bytes(b"no EDF at all")
    before = small_cohort.cohort.snapshot.number
    found = look_over(small_cohort.root, [small_cohort.folder, tmp_path], subjects=small_cohort.folder / "subjects.csv")
    assert [Path(row["path"]).name for row in found["refused"]] == ["broken.edf"]
    assert all(row["known"] and row["listed"] for row in found["recordings"]) and len(found["recordings"]) == 3
    assert Cohort(small_cohort.root).snapshot.number == before
    with pytest.raises(BadInput, match="no such file"):
        look_over(small_cohort.root, [tmp_path / "nowhere"])


def test_dropped_files_keep_their_names_and_only_plain_ones_are_taken(tmp_path: Path) -> None:
    given = tmp_path / "x1"
    given.write_bytes(b"edf")
    drop = take_files(tmp_path, [(given, "night.edf"), (given, "night.xml")])
    assert sorted(p.name for p in dropped(tmp_path, drop).iterdir()) == ["night.edf", "night.xml"]
    discard(tmp_path, drop)
    for gone in (drop, "..", "../x"):
        with pytest.raises(BadInput, match="drop them again"):
            dropped(tmp_path, gone)
    for names in (["../night.edf"], [""], [".hidden"], ["a.edf", "a.edf"]):
        with pytest.raises(BadInput, match="plain names"):
            take_files(tmp_path, [(given, name) for name in names])


def test_the_tables_say_what_the_cohort_holds(small_cohort: SimCohort) -> None:
    cohort = small_cohort.cohort
    told, nights = overview(cohort), nights_table(cohort)
    assert told["hours"] == pytest.approx(0.75) and told["simulated"] == 3 and sum(told["sites"].values()) == 3
    assert "path" not in told and not any("encoder" in space for space in told["spaces"].values())
    columns = [c["column"] for c in nights["columns"]]
    assert nights["of"] == 3 and columns[0] == "recording" and "fingerprint" not in columns
    assert {c["column"]: c for c in nights["columns"]}["tst_min"]["definition"]
    assert nights_table(cohort, "age > 200")["rows"] == []
    for row in recordings_table(cohort)["rows"]:
        counted = cohort.snapshot.sql(
            "SELECT avg(ok_ecg::INT) AS ecg, count(*) AS n FROM epoch_rows WHERE recording = ?", [row["recording"]]
        ).row(0)
        assert (row["usable"]["ECG"], row["epochs"]) == counted
        assert set(row["slots"]) | set(row["missing"]) == set(recordings_table(cohort)["channels"])
        assert row["scorings"] and not set(row["slots"]) & set(row["missing"])


def test_a_cohort_that_can_not_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(BadInput, match="can't be written"):
        grow([tmp_path], tmp_path)


def test_a_cohort_dropped_files_went_into_can_be_passed_on(small_cohort: SimCohort, tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    night = sorted(small_cohort.folder.glob("*.edf"))[0]
    ingest([sorted(small_cohort.folder.glob("*.edf"))[1]], root, encoder="text:minilm")
    drop = take_files(root, [(night, night.name)])
    assert grow([dropped(root, drop)], root).recordings == 1
    assert Cohort(root).waveform(night.stem, 0, 30)
    shutil.rmtree(root / "private")
    assert Cohort(root).info()["counts"]["recordings"] == 2
