"""What the header reader repairs, what it refuses, and what it never shows."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from encoders.errors import UnreadableRecording
from encoders.recordings.edf import EdfFile
from encoders.recordings.header import BLOCK, MAIN, SIGNAL, EdfHeader, read_header
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf

START = datetime(2021, 3, 4, 22, 15, 30)
EEG = np.arange(400, dtype=np.int16)
FLOW = np.arange(80, dtype=np.int16)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Four seconds of two signals, plain EDF."""
    path = tmp_path / "night.edf"
    signals = [EdfSignal("C3-M2", EEG, 100, "uV", -500, 500), EdfSignal("Flow", FLOW, 20, "", -1, 1)]
    write_edf(path, signals, start=START, kind="EDF")
    return path


def patch(path: Path, name: str, value: bytes, signal: int | None = None) -> Path:
    """Overwrite one header field, of the file or of a signal."""
    layout = MAIN if signal is None else SIGNAL
    at = 0
    for field, width in layout:
        n = 1 if signal is None else int(path.read_bytes()[252:256])
        if field == name:
            at += width * (signal or 0) + (0 if signal is None else BLOCK)
            assert len(value) <= width
            raw = bytearray(path.read_bytes())
            raw[at : at + width] = value.ljust(width)
            path.write_bytes(raw)
            return path
        at += width * n
    raise AssertionError(name)


def fields(header: EdfHeader) -> str:
    return " | ".join(str(repair) for repair in header.repairs)


def test_a_sound_header_needs_no_repair(night: Path) -> None:
    header = read_header(night)
    assert header.repairs == ()
    assert (header.kind, header.n_records, header.record_s, header.sample_bytes) == ("EDF", 4, 1.0, 2)
    assert [signal.label for signal in header.signals] == ["C3-M2", "Flow"]
    assert header.start == START
    assert header.start_clock_s == 22 * 3600 + 15 * 60 + 30


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("Débit nasal".encode(), "Débit nasal"),
        ("Débit nasal".encode("latin-1"), "Débit nasal"),
        ("O2 (Impédancé)xé".encode()[:16], "O2 (Impédancé)"),  # the field ends inside a letter
        ("O2 Impédance, ré".encode("latin-1"), "O2 Impédance, ré"),
    ],
)
def test_labels_are_utf8_else_latin1(night: Path, raw: bytes, label: str) -> None:
    header = read_header(patch(night, "label", raw, signal=1))
    assert header.signals[1].label == label
    assert "other than ASCII" in fields(header)


def test_non_printing_bytes_in_a_label_are_dropped(night: Path) -> None:
    header = read_header(patch(night, "label", b"C4-M1\x00\x07\n", signal=0))
    assert header.signals[0].label == "C4-M1"
    assert "non-printing" in fields(header)


@pytest.mark.parametrize(
    ("date", "time", "start", "clock_s"),
    [
        (b"04.03.21", b"22.15.30", START, 80130),
        (b"4/3/21", b"22:15:30", START, 80130),
        (b"00.00.00", b"22.15.30", None, 80130),
        (b"31.02.21", b"22.15.30", None, 80130),
        (b"XX.XX.XX", b"22.15.30", None, 80130),
        (b"", b"", None, None),
        (b"04.03.21", b"25.00.00", None, None),
        (b"01.01.85", b"22.15.30", None, 80130),  # SHHS removes dates and keeps times
        (b"01.01.85", b"00.00.00", None, None),
        (b"01.01.00", b"00.00.00", None, None),
        (b"00.00.00", b"00.00.00", None, None),
        (b"04.03.21", b"00.00.00", datetime(2021, 3, 4), 0),
        (b"24.04.89", b"16.13.00", datetime(1989, 4, 24, 16, 13), 58380),
    ],
)
def test_odd_and_dummy_starts(
    night: Path, date: bytes, time: bytes, start: datetime | None, clock_s: float | None
) -> None:
    header = read_header(patch(patch(night, "date", date), "time", time))
    assert header.start == start
    assert header.start_clock_s == clock_s


@pytest.mark.parametrize("limits", ["digital", "physical"])
def test_equal_limits_lose_one_channel_and_keep_the_rest(night: Path, limits: str) -> None:
    for name in (f"{limits} minimum", f"{limits} maximum"):
        patch(night, name, b"0", signal=0)
    file = EdfFile(night)
    assert file.runs(0) == []
    assert np.array_equal(file.digital(0)[0].samples, EEG)
    assert len(file.runs(1)[0].samples) == len(FLOW)
    assert "C3-M2" in fields(file.header)


def test_swapped_physical_limits_turn_the_signal_over(night: Path) -> None:
    before = EdfFile(night).runs(0)[0].samples
    patch(night, "physical minimum", b"500", signal=0)
    patch(night, "physical maximum", b"-500", signal=0)
    file = EdfFile(night)
    assert np.allclose(file.runs(0)[0].samples, -before, atol=1e-4)
    assert file.header.repairs == ()


@pytest.mark.parametrize("raw", [b"-500,0", b"-500\0\0", b"-500 uV", b"\x07-500"])
def test_numbers_with_commas_and_garbage_are_read_and_noted(night: Path, raw: bytes) -> None:
    header = read_header(patch(night, "physical minimum", raw, signal=0))
    assert header.signals[0].physical_min == -500
    assert "physical minimum" in fields(header)


def test_a_signal_without_samples_is_absent(night: Path) -> None:
    patch(night, "samples per record", b"0", signal=1)
    file = EdfFile(night)
    assert file.rate_hz(1) == 0
    assert file.runs(1) == file.digital(1) == []
    assert "Flow" in fields(file.header)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header bytes", b"512"), ("header bytes", b"junk"), ("number of records", b"-1"),
        ("number of records", b"3"), ("number of records", b"9999"), ("number of records", b""),
        ("number of signals", b"1"), ("number of signals", b"900"), ("number of signals", b"?"),
        ("reserved", b"something else"),
    ],
)  # fmt: skip
def test_a_lying_header_is_corrected_from_the_file(night: Path, name: str, value: bytes) -> None:
    file = EdfFile(patch(night, name, value))
    assert np.array_equal(file.digital(0)[0].samples, EEG)
    assert np.array_equal(file.digital(1)[0].samples, FLOW)
    assert name in fields(file.header)


def test_a_padded_header_is_found_when_the_records_then_fit(night: Path) -> None:
    raw = patch(night, "header bytes", b"1024").read_bytes()
    night.write_bytes(raw[: 3 * BLOCK] + bytes(BLOCK) + raw[3 * BLOCK :])
    assert np.array_equal(EdfFile(night).digital(0)[0].samples, EEG)


@pytest.mark.parametrize("change", [-100, 100])
def test_bytes_after_the_last_whole_record_are_left_out(night: Path, change: int) -> None:
    raw = night.read_bytes()
    night.write_bytes(raw[:change] if change < 0 else raw + bytes(change))
    file = EdfFile(night)
    assert file.header.n_records == (3 if change < 0 else 4)
    assert np.array_equal(file.digital(0)[0].samples, EEG[: 100 * file.header.n_records])
    assert "end of file" in fields(file.header)


def test_a_record_duration_of_zero_is_allowed_with_annotations(tmp_path: Path) -> None:
    path = tmp_path / "events.edf"
    write_edf(path, [EdfSignal("Crc16", EEG, 100)], start=START, annotations=[Annotation(1, 0.0, "Hypopnea")])
    file = EdfFile(patch(path, "record duration", b"0"))
    assert file.annotations() == [Annotation(1.0, 0.0, "Hypopnea")]
    assert file.runs(0) == file.digital(0) == []
    assert file.duration_s == 0


def test_an_annotation_signal_makes_a_file_plus(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("C3", EEG, 100)], start=START)
    header = read_header(patch(path, "reserved", b""))
    assert header.kind == "EDF+C"
    assert "reserved" in fields(header)


def test_names_and_dates_stay_in_the_reader(night: Path) -> None:
    patch(night, "patient", b"X F 02-MAY-1951 Jane_Roe simulated")
    patch(night, "date", b"31.02.21")
    header = read_header(night)
    shown = repr(header) + fields(header)
    assert not any(word in shown for word in ("Jane", "Roe", "1951", "02.21", "2021"))
    assert header.simulated
    patch(night, "date", b"04.03.21")
    assert "2021" not in repr(read_header(night))


@pytest.mark.parametrize(
    ("note", "simulated"), [("simulated seed 3", True), ("unsimulated", False), ("dissimulated", False), ("", False)]
)
def test_only_the_word_simulated_counts(tmp_path: Path, note: str, simulated: bool) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("C3", EEG, 100)], start=START, recording_note=note)
    assert read_header(path).simulated is simulated


@pytest.mark.parametrize(
    ("name", "value", "signal", "words"),
    [
        ("version", b"PK\x03\x04", None, "not an EDF: first 8 bytes 50 4b"),
        ("record duration", b"0", None, "record duration is '0' s"),
        ("record duration", b"-1", None, "record duration is '-1' s"),
        ("record duration", b"nan", None, "record duration is 'nan' s"),
        ("record duration", b"1e-9", None, "record duration is '1e-9' s"),
        ("record duration", b"9e9", None, "record duration is '9e9' s"),
        ("samples per record", b"many", 1, "samples per record of signal 2 is text, where"),
        ("samples per record", b"-20", 1, "samples per record of signal 2 is '-20"),
        ("samples per record", b"999999", 0, "cut off"),
    ],
)
def test_hopeless_headers_name_the_field(night: Path, name: str, value: bytes, signal: int | None, words: str) -> None:
    with pytest.raises(UnreadableRecording, match=r"^night\.edf: ") as caught:
        read_header(patch(night, name, value, signal))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
