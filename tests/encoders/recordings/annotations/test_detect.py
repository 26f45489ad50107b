"""A format is known by content and name, and never guessed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, detect_format, read_annotations
from encoders.recordings.annotations.read import _READERS
from encoders.recordings.annotations.table import FORMATS


def test_every_format_of_the_table_has_a_reader() -> None:
    assert set(_READERS) == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.xml", "<PSGAnnotation/>", "nsrr xml"),
        ("a.xml", "<?xml version='1.0'?><!-- x --><CMPStudyConfig/>", "profusion xml"),
        ("a.annot", "W\t0\t30\n", "luna annot"),
        ("a.eannot", "W\n", "luna eannot"),
        ("a.csv", "# scope: stages\nonset_s,duration_s,label\n", "csv"),
        ("a.csv", "epoch;stage\n", "csv"),
        ("a.tsv", "onset\tduration\ttrial_type\n", "bids"),
        ("a.csv", "Start Time,End Time,Event,Duration\n", "noxturnal"),
        ("a_stage.txt", "0\n8\n", "ucddb"),
        ("a_respevt.txt", "x\n\n\n00:29:13  HYP-C  16  89.9  4.1\n", "ucddb"),
        ("HypnogramAASM_excerpt1.txt", "[hypnogram]\n5\n-1\n", "dreams"),
        ("a.txt", "W\nN1\nN2\n", "hypnogram text"),
        ("a.txt", "# 0: Wake, 1: N1\n0\n1\n", "hypnogram text"),
    ],
)
def test_content_and_name_decide(tmp_path: Path, name: str, text: str, form: str) -> None:
    (tmp_path / name).write_text(text)
    assert detect_format(tmp_path / name) == form


def test_a_stage_txt_of_words_is_not_taken_for_ucddb(tmp_path: Path) -> None:
    (tmp_path / "a_stage.txt").write_text("W\nN2\n")
    assert detect_format(tmp_path / "a_stage.txt") == "hypnogram text"


@pytest.mark.parametrize("text", ["hello, world\n", "a,b,c\n1,2,3\n", "time\tvalue\n1\t2\n"])
def test_other_tables_are_refused_with_the_known_formats(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UnreadableAnnotations, match=r"^a\.csv: format not recognised[^\n]*pass format=[^\n]*$"):
        detect_format(tmp_path / "a.csv")


def test_a_missing_file_and_a_truth_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableAnnotations, match="cannot be opened"):
        detect_format(tmp_path / "no.xml")
    (tmp_path / "n.truth.parquet").write_bytes(b"PAR1\0\0\0\0PAR1")
    with pytest.raises(UnreadableAnnotations, match="Parquet"):
        detect_format(tmp_path / "n.truth.parquet")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.sampled_from(FORMATS), st.sampled_from(["n.xml", "n.csv", "n_respevt.txt", "n.edf"]))
def test_garbage_is_refused_in_one_line_whatever_the_format(tmp_path: Path, data: bytes, form: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for choice in (None, form):
        try:
            read_annotations([path], RecordingClock(300.0, 0.0), format=choice)
        except UnreadableAnnotations as error:
            assert "\n" not in str(error) and str(error).startswith(name)


LINES = st.lists(st.sampled_from([
    "onset_s,duration_s,label", "epoch,stage", "onset\tduration\tstage", "0,30,W", "1,N2", "nan,1,", "e:1\t.\t...", "5",
    "W\t0\t...", '"', '1,"a', "# codes: 0=W", "# epoch_s: x", "# scope: a", "#", "Start Time,End Time,Event", ",,,",
    "1/1/2000 1:00:00,2,3",
    "00:00:01  APNEA-O  12", "\x00", "1e999,1e999,W", "0,1e300,N2",
]), max_size=6)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.sampled_from(FORMATS))
def test_mangled_tables_are_refused_in_one_line(tmp_path: Path, lines: list[str], form: str) -> None:
    path = tmp_path / "n_respevt.txt"
    path.write_text("\n".join(lines))
    for choice in (None, form):
        try:
            read_annotations([path], RecordingClock(300.0, 0.0), format=choice)
        except UnreadableAnnotations as error:
            assert "\n" not in str(error)
