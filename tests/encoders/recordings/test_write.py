"""What the writer writes, pyedflib reads; what EDF cannot hold is an error before a file exists."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyedflib
import pytest

from encoders.recordings.edf import EdfFile
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf

START = datetime(2021, 3, 4, 22, 15, 30)
RAW = np.arange(-200, 200, dtype=np.int16)


@pytest.mark.parametrize("kind", ["EDF", "EDF+C", "BDF", "BDF+C"])
def test_pyedflib_reads_what_we_write(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "n.edf"
    spo2 = np.array([95.0, 96, 97, 98], np.float32)
    notes = [] if kind in ("EDF", "BDF") else [Annotation(0.5, 2.0, "Hypopnea"), Annotation(3.25, None, "x" * 90)]
    write_edf(
        path,
        [
            EdfSignal("C3-M2", RAW, 100, "uV", -500, 500, -32768, 32767, "Ag/AgCl", "HP:0.3Hz"),
            EdfSignal("SpO2", spo2, 1, "%", 0, 100),
        ],
        start=START,
        annotations=notes,
        kind=kind,
    )
    with pyedflib.EdfReader(str(path)) as reader:
        assert reader.getSignalLabels() == ["C3-M2", "SpO2"]
        assert reader.getStartdatetime() == START
        assert reader.getTransducer(0).strip() == "Ag/AgCl"
        assert reader.getPrefilter(0).strip() == "HP:0.3Hz"
        assert np.array_equal(reader.readSignal(0, digital=True), RAW)
        assert np.allclose(reader.readSignal(1), spo2, atol=100 / 65535)
        onsets, durations, texts = reader.readAnnotations()
        assert onsets.tolist() == [note.onset_s for note in notes]
        assert durations.tolist() == [-1 if note.duration_s is None else note.duration_s for note in notes]
        assert texts.tolist() == [note.text for note in notes]


def test_rates_that_share_no_second_take_a_longer_record(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    signals = [EdfSignal("a", RAW[:300], 12.5), EdfSignal("b", RAW[:12], 0.5)]
    write_edf(path, signals, start=START, record_s=4)
    file = EdfFile(path)
    assert (file.rate_hz(0), file.rate_hz(1), file.duration_s) == (12.5, 0.5, 24.0)
    assert np.array_equal(file.digital(1)[0].samples, RAW[:12])


def test_no_start_is_written_as_a_dummy_and_read_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("a", RAW, 100)], start=None)
    header = EdfFile(path).header
    assert header.start is None
    assert header.start_clock_s is None
    pyedflib.EdfReader(str(path)).close()


def test_accents_are_written_as_recorders_write_them(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("Débit", RAW, 100, "µV"), EdfSignal("Ωmega", RAW, 100)], start=START)
    raw = path.read_bytes()
    assert "Débit".encode("latin-1") in raw
    assert "Ωmega".encode() in raw
    assert [signal.label for signal in EdfFile(path).header.signals][:2] == ["Débit", "Ωmega"]
    assert EdfFile(path).header.signals[0].unit == "µV"


def test_small_limits_keep_their_precision(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    volts = np.linspace(-0.0003, 0.0003, 400)
    write_edf(path, [EdfSignal("a", volts, 100, "V", -0.00032, 0.00032)], start=START)
    assert np.allclose(EdfFile(path).runs(0)[0].samples, volts, atol=1e-8)


def test_a_file_of_annotations_alone(tmp_path: Path) -> None:
    path = tmp_path / "hypnogram.edf"
    notes = [Annotation(30.0 * i, 30.0, f"Sleep stage {'WN'[i % 2]}") for i in range(1000)]
    write_edf(path, [], start=START, annotations=notes)
    assert EdfFile(path).annotations() == notes
    with pyedflib.EdfReader(str(path)) as reader:
        assert len(reader.readAnnotations()[0]) == 1000


def test_many_annotations_in_one_record_take_more_annotation_signals(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    notes = [Annotation(2.0, None, f"event {i:03d}") for i in range(200)]
    write_edf(path, [EdfSignal("a", RAW, 100)], start=START, annotations=notes)
    assert EdfFile(path).annotations() == notes


ONE = [EdfSignal("a", RAW, 100)]


@pytest.mark.parametrize(
    ("signals", "options", "words"),
    [
        (ONE, {"kind": "GDF"}, "accepted are EDF, "),
        (ONE, {"kind": "EDF", "annotations": [Annotation(0, None, "x")]}, "write EDF[+]C"),
        (ONE, {"kind": "EDF+D"}, "needs record_onsets_s"),
        (ONE, {"record_onsets_s": [0, 1]}, "2 record times for 4 records"),
        (ONE, {"annotations": [Annotation(0, None, "x" * 200)]}, "shorten"),
        (ONE, {"annotations": [Annotation(0, None, "x" * 90)] * 999}, "do not fit"),
        (ONE, {"recording_note": "x" * 90}, "recording"),
        ([EdfSignal("a" * 17, RAW, 100)], {}, "17 bytes, EDF has 16"),
        ([EdfSignal("a", RAW, 99.5)], {}, "choose record_s"),
        ([EdfSignal("a", RAW[:-1], 100)], {}, "whole records"),
        ([*ONE, EdfSignal("b", RAW[:100], 100)], {}, "same number"),
        ([EdfSignal("a", RAW, 100, "uV", 5, 5)], {}, "must differ"),
        ([EdfSignal("a", RAW, 100, digital_max=99999)], {}, "16 bits"),
        ([EdfSignal("a", RAW, 100, "uV", -1, 1, 5, 5)], {}, "must differ"),
        ([EdfSignal("a", np.full(100, np.nan), 100)], {}, "not finite"),
        ([EdfSignal("a", RAW, 100, "uV", -5e9, 5)], {}, "eight letters"),
    ],
)
def test_what_edf_cannot_hold_is_refused(
    tmp_path: Path, signals: list[EdfSignal], options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        write_edf(tmp_path / "n.edf", signals, start=START, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "n.edf").exists()
