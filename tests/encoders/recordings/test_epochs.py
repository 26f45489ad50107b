"""Epochs of recordings held in memory: grid, gaps, masks, statistics, and one epoch alone against its night."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.recordings.epochs import ChannelStatistics, Epochs, build_epochs, epoch_grid
from encoders.recordings.quality import Quality
from encoders.recordings.recording import open_recording
from encoders.recordings.resample import resample
from encoders.recordings.timeline import Run, Scoring, StageSpan
from encoders.recordings.write import EdfSignal, write_edf
from encoders.vocabulary import CHANNELS

EEG, ABD, SPO2, HR, POS, EMG = (CHANNELS.index(c) for c in ("EEG_C3", "ABD", "SPO2", "HR", "POS", "EMG_CHIN"))


@dataclass
class Memory:
    """A recording of given runs."""

    channels: dict[str, list[Run]]
    off: dict[str, list[Run]] = field(default_factory=dict)
    status: list[Run] = field(default_factory=list)

    def runs(self, channel: str) -> Sequence[Run]:
        return self.channels.get(channel, [])

    def flags(self, channel: str) -> Sequence[Run]:
        return self.off.get(channel, [])

    def oximeter_status(self) -> Sequence[Run]:
        return self.status


def wave(seconds: float, rate_hz: float, start_s: float = 0.0, seed: int = 0) -> Run:
    """Noise around 20 uV that slowly swells, a function of time on the recording's timeline."""
    samples = np.random.default_rng(seed).standard_normal(int(seconds * rate_hz))
    swell = 20 + 10 * np.sin(2 * np.pi * (start_s + np.arange(len(samples)) / rate_hz) / 200)
    return Run(start_s, rate_hz, (samples * swell).astype(np.float32))


def step(values: Sequence[float], rate_hz: float = 1.0, start_s: float = 0.0) -> Run:
    return Run(start_s, rate_hz, np.asarray(values, np.float32))


def scored(offset_s: float) -> Scoring:
    return Scoring("csv", (), "human", "AASM", 30.0, (StageSpan(offset_s, offset_s + 300, "N2", "2"),))


def same(one: Epochs, other: Epochs) -> None:
    for name in ("start_s", "present", "quality"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert np.abs(one.signals - other.signals).max() < 1e-4  # of signals of tens of microvolts
    for item in fields(ChannelStatistics):
        assert np.allclose(getattr(one.statistics, item.name), getattr(other.statistics, item.name), equal_nan=True)


def test_the_grid_starts_with_the_recording_and_drops_the_partial_last_epoch() -> None:
    assert epoch_grid(100.0).tolist() == [0, 30, 60]
    assert epoch_grid(90.0).tolist() == [0, 30, 60]
    assert epoch_grid(29.9).tolist() == []


@pytest.mark.parametrize(
    ("first_s", "offset_s"), [(12.34, 12.34), (60.0, 0.0), (-17.0, 13.0), (29.9999999999, 0.0), (615.5, 15.5)]
)
def test_the_grid_follows_the_scored_one(first_s: float, offset_s: float) -> None:
    grid = epoch_grid(600.0, scored(first_s))
    assert grid[0] == pytest.approx(offset_s, abs=1e-9)
    assert grid[-1] + 30 <= 600.0 + 1e-6 < grid[-1] + 60


def test_a_night_has_signals_masks_and_zeros_where_there_is_no_channel() -> None:
    found = build_epochs(Memory({"EEG_C3": [wave(100, 100.0)]}), epoch_grid(100.0))
    assert found.signals.shape == (3, 12, 1920) and found.signals.dtype == np.float32
    assert found.present[:, EEG].all() and found.present.sum() == 3
    assert not np.delete(found.signals, EEG, axis=1).any() and not np.delete(found.quality, EEG, axis=1).any()
    assert len(found) == 3


@pytest.mark.parametrize("rate_hz", [100.0, 256.0, 499.9])
def test_a_gap_masks_its_epochs_and_shifts_nothing(rate_hz: float) -> None:
    whole = wave(600, rate_hz)
    at = int(rate_hz * 200)
    resume_s = 275.3
    again = int(np.ceil(resume_s * rate_hz))
    parts = [Run(0.0, rate_hz, whole.samples[:at]), Run(again / rate_hz, rate_hz, whole.samples[again:])]
    grid = epoch_grid(600.0)
    found, plain = build_epochs(Memory({"EEG_C3": parts}), grid), build_epochs(Memory({"EEG_C3": [whole]}), grid)
    lost = (grid + 30 > 200) & (grid < resume_s)
    assert np.array_equal(found.present[:, EEG], ~lost)
    assert (found.quality[lost, EEG] == Quality.GAP).all() and not found.signals[lost].any()
    assert lost.sum() == 4
    inner = np.abs(found.signals[~lost, EEG, 64:-64] - plain.signals[~lost, EEG, 64:-64])  # away from the mirrored ends
    assert inner.max() < 1e-4


@pytest.mark.parametrize("offset_s", [0.0, 0.004, 7.77, 29.5])
def test_an_epoch_is_the_same_alone_in_a_slice_and_in_its_night(offset_s: float) -> None:
    recording = Memory(
        {
            "EEG_C3": [wave(430, 200.0)],
            "ABD": [wave(430, 10.0, seed=1)],
            "SPO2": [step(np.random.default_rng(2).integers(85, 100, 430))],
        }
    )
    grid = epoch_grid(430.0, scored(offset_s))
    night = build_epochs(recording, grid)
    same(night[4], build_epochs(recording, grid[4:5]))
    same(night[3:7], build_epochs(recording, grid[3:7]))
    same(night[3:7][1:2], night[4])
    mask = np.zeros(len(grid), bool)
    mask[[2, 9]] = True
    same(night[mask], build_epochs(recording, grid[mask]))
    assert len(night[-1]) == 1 and night[-1].start_s[0] == grid[-1]


@settings(max_examples=25, deadline=None)
@given(
    rate_hz=st.sampled_from([50.0, 99.9, 100.0, 125.0, 128.0, 256.0, 500.0, 1000 / 3]),
    seconds=st.floats(20.0, 200.0),
    start_s=st.floats(-20.0, 40.0),
    offset_s=st.floats(0.0, 29.99),
)
def test_only_covered_epochs_are_present_and_hold_the_resampled_run(
    rate_hz: float, seconds: float, start_s: float, offset_s: float
) -> None:
    run = wave(seconds, rate_hz, start_s)
    grid = epoch_grid(240.0, scored(offset_s))
    found = build_epochs(Memory({"EEG_C4": [run]}), grid)
    c = CHANNELS.index("EEG_C4")
    inside = (grid >= run.start_s) & (grid + 30 <= run.stop_s)
    assert (found.present[:, c] >= inside).all()
    assert (found.present[:, c] <= ((grid >= run.start_s - 0.011) & (grid + 30 <= run.stop_s + 0.011))).all()
    assert (found.quality[~found.present[:, c], c] == Quality.GAP).all()
    for row in np.flatnonzero(inside):
        assert np.abs(found.signals[row, c] - resample(run.samples, rate_hz, grid[row] - start_s, 1920)).max() < 1e-4


def test_statistics_are_those_of_the_present_epochs() -> None:
    run = wave(300, 128.0)
    run.samples[30 * 128 : 60 * 128] = 5000.0
    found = build_epochs(Memory({"EEG_C3": [run], "SPO2": [step([95] * 300)]}), epoch_grid(300.0))
    values = found.signals[found.present[:, EEG], EEG].astype(np.float64).ravel()
    stats = found.statistics
    assert found.quality[1, EEG] == Quality.FLAT and stats.seconds[EEG] == 270
    assert stats.mean[EEG] == pytest.approx(values.mean(), abs=1e-4)
    assert stats.sd[EEG] == pytest.approx(values.std(), rel=1e-5)
    assert stats.median[EEG] == pytest.approx(np.median(values), abs=1e-4)
    assert stats.mad[EEG] == pytest.approx(np.median(np.abs(values - np.median(values))), rel=1e-3)
    for name, q in (("p1", 1), ("p5", 5), ("p25", 25), ("p75", 75), ("p95", 95), ("p99", 99)):
        assert getattr(stats, name)[EEG] == pytest.approx(np.percentile(values, q), abs=1e-3)
    assert stats.mean[SPO2] == 95 and stats.sd[SPO2] == 0
    assert np.isnan(stats.mean[ABD]) and stats.seconds[ABD] == 0


def test_spo2_of_127_is_masked_and_held() -> None:
    values = np.full(120, 96.0)
    values[10:20] = 127
    values[33:55] = 127
    values[62:80] = 0
    found = build_epochs(Memory({"SPO2": [step(values)]}), epoch_grid(120.0))
    assert found.present[:, SPO2].tolist() == [True, False, False, True]
    assert found.quality[:, SPO2].tolist() == [0, Quality.OUT_OF_RANGE, Quality.OUT_OF_RANGE, 0]
    assert (found.signals[[0, 3], SPO2] == 96).all() and found.statistics.p99[SPO2] == 96


def test_nan_of_a_step_channel_never_comes_out() -> None:
    values = np.full(60, 88.0)
    values[:10] = np.nan
    found = build_epochs(Memory({"SPO2": [step(values)], "HR": [step(np.full(60, np.nan))]}), epoch_grid(60.0))
    assert (found.signals[:, SPO2] == 88).all() and not found.present[:, HR].any() and np.isfinite(found.signals).all()


def test_the_oximeter_status_masks_its_readings() -> None:
    status = np.zeros(90)
    status[40:85] = 1
    found = build_epochs(Memory({"SPO2": [step([97] * 90)]}, status=[step(status)]), epoch_grid(90.0))
    assert found.present[:, SPO2].tolist() == [True, False, False]
    assert found.quality[1, SPO2] == Quality.LEAD_OFF and not found.notes


def test_a_status_that_is_always_set_is_noted_and_not_used() -> None:
    found = build_epochs(Memory({"SPO2": [step([97] * 90)]}, status=[step([3] * 90)]), epoch_grid(90.0))
    assert found.present[:, SPO2].all() and "not used" in found.notes["SPO2"]


def test_heart_rate_and_position_out_of_range_are_masked() -> None:
    rate, position = step([60] * 30 + [255] * 30 + [19] * 30), step([2] * 30 + [-1] * 30 + [4] * 30)
    found = build_epochs(Memory({"HR": [rate], "POS": [position]}), epoch_grid(90.0))
    assert found.present[:, HR].tolist() == [True, False, False]
    assert found.present[:, POS].tolist() == [True, False, True]
    assert (found.signals[0, POS] == 2).all() and (found.signals[2, POS] == 4).all()


def test_a_lead_off_through_most_of_an_epoch_masks_it() -> None:
    off = np.zeros(90)
    off[31:50] = 1  # 19 s of the second epoch
    off[60:70] = 1  # 10 s of the third
    found = build_epochs(Memory({"EEG_C3": [wave(90, 128.0)]}, off={"EEG_C3": [step(off)]}), epoch_grid(90.0))
    assert found.quality[:, EEG].tolist() == [0, Quality.LEAD_OFF, 0]
    assert found.present[:, EEG].tolist() == [True, False, True]


def test_a_chin_emg_of_one_hertz_is_no_waveform() -> None:
    found = build_epochs(Memory({"EMG_CHIN": [wave(90, 1.0)]}), epoch_grid(90.0))
    assert not found.present.any() and not found.quality.any() and "too slow" in found.notes["EMG_CHIN"]


def test_missing_samples_of_a_waveform_are_a_gap() -> None:
    run = wave(120, 100.0)
    run.samples[3500:3600] = np.nan
    found = build_epochs(Memory({"EEG_C3": [run]}), epoch_grid(120.0))
    assert found.quality[:, EEG].tolist() == [0, Quality.GAP, 0, 0] and np.isfinite(found.signals).all()


def test_without_signals_masks_and_quality_are_the_same() -> None:
    recording = Memory({"EEG_C3": [wave(95, 100.0)], "SPO2": [step([97] * 40 + [127] * 55)]})
    full, lean = build_epochs(recording, epoch_grid(95.0)), build_epochs(recording, epoch_grid(95.0), signals=False)
    assert lean.signals is None and lean.statistics is None
    assert np.array_equal(full.present, lean.present) and np.array_equal(full.quality, lean.quality)
    assert lean[1:].signals is None


def test_signals_go_into_a_mapped_file(tmp_path: Path) -> None:
    recording = Memory({"EEG_C3": [wave(95, 100.0), wave(40, 100.0, 120.0)]})
    grid = epoch_grid(160.0)
    out = np.lib.format.open_memmap(tmp_path / "night.npy", "w+", np.float32, (len(grid), 12, 1920))
    out[:] = 7  # whatever was there goes
    found = build_epochs(recording, grid, out=out)
    assert found.signals is out
    out.flush()
    assert np.array_equal(np.load(tmp_path / "night.npy"), build_epochs(recording, grid).signals)


def test_a_wrong_out_and_times_off_the_grid_are_refused() -> None:
    recording = Memory({"EEG_C3": [wave(95, 100.0)]})
    with pytest.raises(ValueError, match=r"float32 \(3, 12, 1920\)"):
        build_epochs(recording, epoch_grid(95.0), out=np.zeros((3, 12, 1920)))
    with pytest.raises(ValueError, match="30-second grid"):
        build_epochs(recording, np.array([0.0, 31.0]))


def test_no_epochs_of_a_short_recording() -> None:
    found = build_epochs(Memory({"EEG_C3": [wave(10, 100.0)]}), epoch_grid(10.0))
    assert len(found) == 0 and found.signals.shape == (0, 12, 1920)


def test_an_edf_plus_d_gap_shifts_nothing_before_or_after_it(tmp_path: Path) -> None:
    rate_hz, seconds, onsets_s = 200, 300, [*range(100), *np.arange(200) + 187.25]
    times_s = np.concatenate([onset_s + np.arange(rate_hz) / rate_hz for onset_s in onsets_s])
    samples = 50 * np.sin(2 * np.pi * 3.1 * times_s)  # a function of the time of day alone
    eeg = EdfSignal("EEG C3-M2", samples, rate_hz, "uV", -100, 100)
    write_edf(tmp_path / "gap.edf", [eeg], start=None, kind="EDF+D", record_onsets_s=onsets_s)
    recording = open_recording([tmp_path / "gap.edf"])
    assert recording.duration_s == pytest.approx(seconds + 87.25)
    found = build_epochs(recording, epoch_grid(recording.duration_s, scored(2.505)))
    assert np.flatnonzero(found.quality[:, EEG] == Quality.GAP).tolist() == [3, 4, 5, 6]
    for row in np.flatnonzero(found.present[:, EEG]):
        truth = 50 * np.sin(2 * np.pi * 3.1 * (found.start_s[row] + np.arange(1920) / 64))
        assert np.abs(found.signals[row, EEG] - truth)[64:-64].max() < 0.02


def test_a_real_excerpt_holds_what_pyedflib_reads(shared_data: Path) -> None:
    path = shared_data / "sleep_edf" / "short_psg_5min_SC-style.edf"
    recording = open_recording([path])
    found = build_epochs(recording, epoch_grid(recording.duration_s))
    assert found.present[:, EEG].all() and "too slow" in found.notes["AF"]  # a 1 Hz airflow is no waveform
    with pyedflib.EdfReader(str(path)) as reader:
        index = next(i for i, label in enumerate(reader.getSignalLabels()) if "Fpz-Cz" in label)
        samples = reader.readSignal(index).astype(np.float32)
    assert np.abs(found.signals[:, EEG].ravel() - resample(samples, 100.0, 0.0, 1920 * len(found))).max() < 1e-3
