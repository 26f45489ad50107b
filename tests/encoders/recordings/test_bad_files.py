"""Whatever is in a file: it is read, or refused with one line; never another exception, never memory without end."""

import tracemalloc
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.errors import UnreadableRecording
from encoders.recordings.edf import EdfFile
from encoders.recordings.header import BLOCK, MAIN, SIGNAL
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A tiny file of each kind: two signals of mixed rates, events, a gap in the D kinds."""
    folder = tmp_path_factory.mktemp("bases")
    files = []
    for kind in ("EDF", "EDF+C", "EDF+D", "BDF", "BDF+D"):
        path = folder / "base.edf"
        write_edf(
            path,
            [EdfSignal("C3-M2", np.arange(48, dtype=np.int16), 8, "uV", -500, 500), EdfSignal("SpO2", np.arange(6), 1)],
            start=datetime(2021, 3, 4, 22),
            kind=kind,
            annotations=[Annotation(1.5, 2.0, "Hypopnea"), Annotation(3, None, "Lights off")] if "+" in kind else [],
            record_onsets_s=[0, 1, 2, 60, 61, 62] if "D" in kind[3:] else None,
        )
        files.append(path.read_bytes())
    return files


def read_all(path: Path) -> None:
    """Everything a caller can ask of a file; what comes out must be sane."""
    try:
        file = EdfFile(path)
    except UnreadableRecording as error:
        text = str(error)
        assert text.startswith(path.name)
        assert text.isprintable()
        assert len(text) < 400
        return
    size = path.stat().st_size
    assert 0 <= file.duration_s < 1e9
    for index in range(len(file.header.signals)):
        for run in file.digital(index) + file.runs(index) + file.runs(index, 1.5, 61.5):
            assert run.rate_hz > 0
            assert len(run.samples) <= size
            assert np.isfinite(run.samples).all()
            assert 0 <= run.start_s <= run.stop_s <= file.duration_s + 1e-6
    assert all(np.isfinite(note.onset_s) and note.text.isprintable() for note in file.annotations())
    assert all(str(repair).isprintable() for repair in file.repairs)


def field_slices(n_signals: int) -> list[slice]:
    """Where each field of the header stands."""
    found, at = [], 0
    for layout, count in ((MAIN, 1), (SIGNAL, n_signals)):
        for _, width in layout:
            for _ in range(count):
                found.append(slice(at, at + width))
                at += width
    return found


NUMBERS = b"0|-1|1|2|256|99999999|1e300|-9e99|1e-300|nan|inf||1,5|0x10".split(b"|")


@settings(max_examples=250, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mutation_reads_or_is_refused_in_one_line(bases: list[bytes], tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(bases)))
    places = field_slices(int(raw[252:256]))
    for _ in range(data.draw(st.integers(0, 4))):
        match data.draw(st.sampled_from(["number", "field", "header", "body", "cut", "grow"])):
            case "number":
                place = data.draw(st.sampled_from(places))
                width = place.stop - place.start
                raw[place] = data.draw(st.sampled_from(NUMBERS))[:width].ljust(width)
            case "field":
                place = data.draw(st.sampled_from(places))
                raw[place] = data.draw(st.binary(min_size=place.stop - place.start, max_size=place.stop - place.start))
            case "header":
                at = data.draw(st.integers(0, 4 * BLOCK - 1))
                raw[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "body":
                at = data.draw(st.integers(BLOCK, 2 * BLOCK + len(raw)))
                patch = data.draw(st.binary(max_size=8))
                raw[at : at + len(patch)] = patch
            case "cut":
                del raw[data.draw(st.integers(0, len(raw))) :]
            case _:
                raw += data.draw(st.binary(max_size=300))
    path = tmp_path / "mutant.edf"
    path.write_bytes(raw)
    read_all(path)


def test_cut_anywhere_reads_or_is_refused(bases: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "cut.edf"
    for raw in bases:
        for length in [*range(0, len(raw), 37), BLOCK, 2 * BLOCK, len(raw) - 1]:
            path.write_bytes(raw[:length])
            read_all(path)


def test_a_lying_header_allocates_no_more_than_the_file(bases: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "liar.edf"
    tracemalloc.start()
    for raw in bases:
        for place in field_slices(int(raw[252:256])):
            for lie in (b"99999999", b"1e300"):
                width = place.stop - place.start
                path.write_bytes(raw[: place.start] + lie[:width].ljust(width) + raw[place.stop :])
                read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "zero bytes"),
        (b"0       ", "cut off"),
        (b"\xffBIOSEMI", "cut off"),
        (b"time,stage\n0,N2\n" * 99, "not an EDF: first 8 bytes"),
        (bytes(5000), "not an EDF: first 8 bytes"),
        (b"0       " + bytes(5000), "number of signals"),
    ],
)
def test_other_files_say_what_they_are_not(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "other.edf"
    path.write_bytes(raw)
    with pytest.raises(UnreadableRecording, match=words):
        EdfFile(path)
    read_all(path)


def test_no_file_and_a_folder_are_refused_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.edf", tmp_path):
        with pytest.raises(UnreadableRecording, match=r"no such file|a pipe, device or folder"):
            EdfFile(path)


def test_duplicated_labels_are_two_signals(tmp_path: Path) -> None:
    path = tmp_path / "twice.edf"
    write_edf(path, [EdfSignal("EEG", np.full(10, k, np.int16), 10) for k in (1, 2)], start=None)
    assert [EdfFile(path).digital(k)[0].samples[0] for k in (0, 1)] == [1, 2]
