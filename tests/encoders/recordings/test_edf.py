"""The reader against pyedflib, sample for sample, and what pyedflib cannot read against what was written."""

import pickle
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.recordings.edf import EdfFile, split_at_gaps
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf

START = datetime(2021, 3, 4, 22, 15, 30)
RNG = np.random.default_rng(7)


def integers(n: int, kind: str = "EDF") -> np.ndarray:
    reach = 2**23 if kind.startswith("BDF") else 2**15
    return RNG.integers(-reach, reach, n).astype(np.int32 if kind.startswith("BDF") else np.int16)


def same_as_pyedflib(path: Path) -> None:
    """Every signal, its rate and scale, every annotation and the start."""
    ours = EdfFile(path)
    with pyedflib.EdfReader(str(path)) as reader:
        ordinary = [index for index, signal in enumerate(ours.header.signals) if not signal.is_annotation]
        assert len(ordinary) == reader.signals_in_file
        for theirs, index in enumerate(ordinary):
            signal = ours.header.signals[index]
            assert signal.label == reader.getLabel(theirs).strip()
            assert ours.rate_hz(index) == pytest.approx(reader.getSampleFrequency(theirs))
            (digital,) = ours.digital(index)
            assert np.array_equal(digital.samples, reader.readSignal(theirs, digital=True))
            (physical,) = ours.runs(index)
            assert physical.samples.dtype == np.float32
            reach = max(abs(signal.physical_min), abs(signal.physical_max))
            assert np.allclose(physical.samples, reader.readSignal(theirs), rtol=1e-6, atol=3e-7 * reach)
        onsets, durations, texts = reader.readAnnotations()
        found = ours.annotations()
        assert [note.text for note in found] == list(texts)
        assert np.allclose([note.onset_s for note in found], onsets, atol=1e-4)
        assert np.allclose([-1 if note.duration_s is None else note.duration_s for note in found], durations, atol=1e-4)
        assert ours.header.start == reader.getStartdatetime()


@pytest.mark.parametrize("kind", ["EDF", "EDF+C", "BDF", "BDF+C"])
@pytest.mark.parametrize("record_s", [1.0, 2.0, 10.0])
def test_every_sample_as_pyedflib_has_it(tmp_path: Path, kind: str, record_s: float) -> None:
    path = tmp_path / "n.edf"
    rates = (256, 100, 12.5, 1) if record_s > 1 else (256, 100, 10, 1)
    units = ((-500.5, 500), (0, 100), (-3.2, 1.1), (500, -500))
    signals = [
        EdfSignal(f"s{rate}", integers(int(rate * 60), kind), rate, "uV", low, high)
        for rate, (low, high) in zip(rates, units, strict=True)
    ]
    notes = [Annotation(7.0 * i, 3.5, f"event {i}") for i in range(8)] if "+" in kind else []
    write_edf(path, signals, start=START, kind=kind, record_s=record_s, annotations=notes)
    same_as_pyedflib(path)


def test_records_longer_than_a_chunk(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    signals = [EdfSignal("a", integers(5000 * 60), 5000), EdfSignal("b", integers(60), 1)]
    write_edf(path, signals, start=START, record_s=20)
    same_as_pyedflib(path)


@pytest.mark.parametrize("kind", ["EDF+D", "BDF+D"])
def test_edf_plus_d_gap_shifts_nothing_before_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "n.edf"
    samples = integers(1000, kind)
    notes = [Annotation(1.5, 1.0, "before"), Annotation(123.25, None, "after")]
    onsets = [0, 1, 2, 3, 120.5, 121.5, 122.5, 123.5, 124.5, 125.5]
    write_edf(path, [EdfSignal("a", samples, 100)], start=START, kind=kind, record_onsets_s=onsets, annotations=notes)
    file = EdfFile(path)
    assert file.segments == ((0.0, 0, 4), (120.5, 4, 6))
    assert file.duration_s == 126.5
    assert file.header.kind == kind
    before, after = file.digital(0)
    assert (before.start_s, before.stop_s, after.start_s, after.stop_s) == (0.0, 4.0, 120.5, 126.5)
    assert np.array_equal(np.concatenate([before.samples, after.samples]), samples)
    assert file.annotations() == notes
    assert file.repairs == ()


def test_a_window_is_the_same_samples_as_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    onsets = [*range(10), *range(40, 50)]
    write_edf(path, [EdfSignal("a", integers(20 * 25), 25)], start=START, kind="EDF+D", record_onsets_s=onsets)
    file = EdfFile(path)
    times = np.concatenate([run.start_s + np.arange(len(run.samples)) / run.rate_hz for run in file.runs(0)])
    values = np.concatenate([run.samples for run in file.runs(0)])
    for start_s, stop_s in [(0, 3), (2.5, 7.31), (9.99, 41.2), (12, 30), (-5, 60), (49.99, None), (8.0, 8.0)]:
        inside = (times >= start_s - 1e-6) & (times < (np.inf if stop_s is None else stop_s) - 1e-6)
        runs = file.runs(0, start_s, stop_s)
        assert np.array_equal(np.concatenate([np.empty(0), *(run.samples for run in runs)]), values[inside])
        assert all(np.isclose(times, run.start_s).any() for run in runs)


def test_the_fraction_of_a_second_in_the_first_record_counts(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("a", integers(300), 100)], start=START, record_onsets_s=[0.37, 1.37, 2.37])
    file = EdfFile(path)
    assert file.segments == ((0.37, 0, 3),)
    assert file.repairs == ()


def test_jumps_in_edf_plus_c_are_gaps_and_are_said(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("a", integers(400), 100)], start=START, record_onsets_s=[0, 1, 60, 61])
    file = EdfFile(path)
    assert file.segments == ((0.0, 0, 2), (60.0, 2, 2))
    assert "jumps" in str(file.header.repairs)


def test_edf_plus_d_without_annotation_signal_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("a", integers(400), 100)], start=START, kind="EDF")
    raw = bytearray(path.read_bytes())
    raw[192:197] = b"EDF+D"
    path.write_bytes(raw)
    file = EdfFile(path)
    assert file.segments == ((0.0, 0, 4),)
    assert "no gaps" in str(file.header.repairs)


NAN = float("nan")


@pytest.mark.parametrize(
    ("onsets", "starts", "odd"),
    [
        ([0, 1, 2, 3, 4], [0], 0),
        ([0, 1, 5, 6, 7], [0, 5], 0),
        ([0, 1, NAN, 3, 4], [0], 1),
        ([NAN, 1, 2, 3, 4], [0], 1),
        ([NAN] * 5, [0], 1),
        ([0, 1, 900, 3, 4], [0], 1),  # one clock went wild
        ([0, 1, 0.5, 3, 4], [0], 1),
        ([0, 0, 0, 0, 0], [0], 1),  # a recorder that never counts
        ([100, 101, 50, 51, 61], [100, 113], 1),  # clock set back; the later gap of nine seconds stays
        ([0, 1.0001, 1.9999, 3, 4], [0], 0),
        ([0, 0.9, 1.9, 2.9, 4.9], [0, 4.9], 1),  # overlap, then a gap: back to the file's own time
    ],
)
def test_record_times_that_are_odd(onsets: list[float], starts: list[float], odd: int) -> None:
    segments, notes = split_at_gaps(np.array(onsets, float), 1.0, 0.002)
    assert [start for start, _, _ in segments] == pytest.approx(starts)
    assert len(notes) == odd


def test_the_rounding_of_a_long_nights_record_times_makes_no_gap() -> None:
    onsets = np.round(np.arange(90_000) / 3, 3)
    assert len(split_at_gaps(onsets, 0.333333, 0.002)[0]) == 1


@given(st.lists(st.floats(0, 1e5) | st.just(NAN), min_size=1, max_size=50), st.sampled_from([0.1, 1.0, 30.0]))
def test_segments_hold_each_record_once_and_never_overlap(onsets: list[float], record_s: float) -> None:
    segments, _ = split_at_gaps(np.array(onsets), record_s, 0.002)
    assert [first for _, first, _ in segments] == [0, *np.cumsum([count for *_, count in segments])[:-1]]
    assert sum(count for *_, count in segments) == len(onsets)
    for (start_s, _, count), (later_s, _, _) in pairwise(segments):
        assert later_s > start_s + count * record_s


def test_an_open_file_is_pickled_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_edf(path, [EdfSignal("a", integers(400), 100)], start=START)
    file = EdfFile(path)
    file.runs(0)
    data = pickle.dumps(file)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).runs(0)[0].samples, file.runs(0)[0].samples)


def test_every_real_file_gives_its_samples_or_events(shared_data: Path) -> None:
    paths = sorted(shared_data.rglob("*.edf"))
    compared = 0
    for path in paths:
        file = EdfFile(path)
        samples = sum(len(run.samples) for i in range(len(file.header.signals)) for run in file.runs(i))
        assert samples or file.annotations(), path.name
        assert sum(signal.usable for signal in file.header.signals) == 0 or samples or file.header.record_s == 0
        try:
            pyedflib.EdfReader(str(path)).close()
        except OSError:
            continue
        same_as_pyedflib(path)
        compared += 1
    assert (len(paths), compared) == (74, 61)


def test_nox_accents_and_resmed_events(shared_data: Path) -> None:
    nox = EdfFile(shared_data / "nox_psg_excerpt" / "subject1.edf")
    labels = [signal.label for signal in nox.header.signals]
    assert len([signal for signal in nox.header.signals if signal.usable]) == 89
    assert "O2 Impédance" in labels
    assert nox.duration_s == 120
    (events,) = shared_data.rglob("20250202_223717_EVE.edf")
    found = EdfFile(events).annotations()
    assert [note.text for note in found].count("Central Apnea") == 10
    assert found[1] == Annotation(24927.0, 10.0, "Central Apnea")
