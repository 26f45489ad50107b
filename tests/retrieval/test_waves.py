"""Waveforms for the screen against the plain way: all samples, whole filters, and gaps that stay gaps."""

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pytest
from scipy.signal import butter, iirnotch, sosfiltfilt, tf2sos

from encoders.recordings import EdfSignal, open_recording, write_edf
from encoders.recordings.timeline import Run
from retrieval import waves as module
from retrieval.strips import _thinned
from retrieval.waves import BANDS_HZ, BIN_S, LONG_S, Look, Piece, Waves, extremes

RAW = Look(raw=True)
GAP_S = (700.0, 760.0)
RATES_HZ = {"EEG_C3": 100, "ECG": 100, "THX": 10, "SPO2": 1}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Waves:
    """Twenty-one minutes in two stretches with a minute between: noise, a drift, mains, an oximeter without reading."""
    random, path = np.random.default_rng(7), tmp_path_factory.mktemp("waves") / "night.edf"
    seconds = 1200
    at = np.arange(seconds * 100) / 100
    eeg = 20 * random.standard_normal(len(at)) + 50 * np.sin(0.1 * at) + 15 * np.sin(2 * np.pi * 50 * at / 1.25)
    spo2 = np.full(seconds, 96.0)
    spo2[300:310] = 0
    signals = [
        EdfSignal("C3-M2", eeg, 100, "uV", -500, 500),
        EdfSignal("ECG", np.sin(2 * np.pi * at), 100, "mV", -5, 5),
        EdfSignal("Thorax", np.sin(2 * np.pi * 0.25 * np.arange(seconds * 10) / 10), 10, "", -5, 5),
        EdfSignal("SpO2", spo2, 1, "%", 0, 100),
    ]
    onsets = [float(i if i < GAP_S[0] else i + GAP_S[1] - GAP_S[0]) for i in range(seconds)]
    write_edf(path, signals, start=datetime(2020, 1, 1, 23), kind="EDF+D", record_onsets_s=onsets)
    return Waves(open_recording([path], recording_id="night"))


def samples_in(night: Waves, channel: str, start_s: float, stop_s: float) -> np.ndarray:
    return np.concatenate([np.asarray(r.samples) for r in night.recording.waveform(channel, start_s, stop_s)])


@pytest.mark.parametrize("columns", [7, 100, 333])
@pytest.mark.parametrize("rate_hz", [1.0, 25.6, 100.0])
def test_folding_keeps_the_least_and_the_greatest_sample_of_each_column(rate_hz: float, columns: int) -> None:
    values = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    run, start_s = Run(3.3, rate_hz, values), 1.25
    step_s = (run.stop_s - start_s + 2) / columns
    low, high = extremes([run], start_s, step_s, columns)
    at = np.floor((run.start_s + np.arange(1000) / rate_hz - start_s) / step_s + 1e-9).astype(int)
    for column in range(columns):
        inside = values[at == column]
        assert (np.isnan(low[column]) and not len(inside)) or (low[column], high[column]) == (
            inside.min(),
            inside.max(),
        )


def test_folding_takes_both_stretches_of_a_column_and_passes_over_nan() -> None:
    values = np.array([1, np.nan, 5, 2], np.float32)
    low, high = extremes([Run(0.0, 1.0, values), Run(6.0, 1.0, -values)], 0.0, 10.0, 1)
    assert (low[0], high[0]) == (-5, 5)


@pytest.mark.parametrize("look", [RAW, Look()])
@pytest.mark.parametrize(("start_s", "stop_s"), [(60.0, 90.0), (30.0, 630.0), (0.0, 1260.0)])
def test_no_peak_is_lost_whatever_the_window(night: Waves, look: Look, start_s: float, stop_s: float) -> None:
    (channel,) = (c for c in night.channels if c.name == "ECG")
    drawn = night.window(start_s, stop_s, 200, look).traces["ECG"]
    plain = np.concatenate([np.asarray(r.samples) for r in night._shown(channel, 0.0, 1260.0, look)])
    at = np.concatenate(
        [r.start_s + np.arange(len(r.samples)) / r.rate_hz for r in night._shown(channel, 0, 1260, look)]
    )
    inside = plain[(at >= start_s) & (at < stop_s)]
    low = np.nanmin(np.concatenate([p.low for p in drawn]))
    high = np.nanmax(np.concatenate([p.low if p.high is None else p.high for p in drawn]))
    assert low == pytest.approx(inside.min(), abs=2e-4)
    assert high == pytest.approx(inside.max(), abs=2e-4)


def test_the_bins_of_a_night_are_the_plain_extremes_of_its_half_seconds(night: Waves) -> None:
    (piece,) = night.window(0.0, 1260.0, 10_000, RAW).traces["EEG_C3"]
    assert piece.step_s == BIN_S
    for n in (0, 17, 1399, 1520, 2519):
        values = samples_in(night, "EEG_C3", n * BIN_S, (n + 1) * BIN_S)
        assert piece.high is not None
        assert (piece.low[n], piece.high[n]) == (values.min(), values.max())


@pytest.mark.parametrize("notch_hz", [None, 40.0])
@pytest.mark.parametrize(("channel", "kind"), [("EEG_C3", "eeg"), ("THX", "effort")])
def test_a_window_is_filtered_as_scipy_filters_the_whole_stretch(
    night: Waves, channel: str, kind: str, notch_hz: float | None
) -> None:
    rate_hz, band_hz = RATES_HZ[channel], BANDS_HZ[kind]
    sections = butter(2, [band_hz[0], min(band_hz[1], 0.45 * rate_hz)], "bandpass", fs=rate_hz, output="sos")
    if notch_hz and kind == "eeg":
        sections = np.concatenate([sections, tf2sos(*iirnotch(notch_hz, 30.0, fs=rate_hz))])
    whole = sosfiltfilt(sections, samples_in(night, channel, 0.0, GAP_S[0]))
    (piece,) = night.window(300.0, 310.0, 2000, Look(notch_hz=notch_hz)).traces[channel]
    first = round(piece.start_s * rate_hz)
    assert piece.high is None
    assert np.abs(piece.low - whole[first : first + len(piece.low)]).max() < 1e-3 * np.abs(whole).max()


@pytest.mark.parametrize("look", [RAW, Look()])
@pytest.mark.parametrize("stop_s", [780.0, 1260.0])
def test_a_gap_stays_a_gap(night: Waves, look: Look, stop_s: float) -> None:
    for name, pieces in night.window(600.0 if stop_s < LONG_S else 0.0, stop_s, 300, look).traces.items():
        assert not any(known_within(p, GAP_S[0] + 5, GAP_S[1] - 5) for p in pieces), name
        assert any(known_within(p, GAP_S[0] - 30, GAP_S[0] - 5) for p in pieces), name
        assert any(known_within(p, GAP_S[1] + 5, GAP_S[1] + 20) for p in pieces), name


def known_within(piece: Piece, start_s: float, stop_s: float) -> bool:
    at = piece.start_s + piece.step_s * np.arange(len(piece.low))
    return bool(np.isfinite(piece.low[(at >= start_s) & (at < stop_s)]).any())


def test_what_is_no_reading_of_an_oximeter_is_drawn_only_as_recorded(night: Waves) -> None:
    assert known_within(night.window(290.0, 320.0, 500, RAW).traces["SPO2"][0], 301, 309)
    assert not known_within(night.window(290.0, 320.0, 500, Look()).traces["SPO2"][0], 301, 309)


def test_a_window_outside_the_recording_is_empty_and_no_error(night: Waves) -> None:
    assert not night.window(5000.0, 5030.0, 100, RAW).traces
    assert night.window(1250.0, 1300.0, 100, RAW).stop_s == 1260.0


def test_the_usual_size_of_a_channel_is_not_that_of_its_drift(night: Waves) -> None:
    assert night.sizes(Look())["EEG_C3"][1] == pytest.approx(60, rel=0.5)
    assert night.sizes(RAW)["EEG_C3"][1] > 60


@pytest.fixture
def no_bins() -> Iterator[None]:
    """Nothing kept before or after."""
    module._kept._all.clear()
    yield
    module._kept._all.clear()


@pytest.mark.usefixtures("no_bins")
def test_bins_are_kept_within_their_bytes_and_the_last_used_stay(night: Waves, monkeypatch: pytest.MonkeyPatch) -> None:
    night.window(0.0, 1260.0, 100, RAW)
    monkeypatch.setattr(module, "KEPT_BYTES", int(1.5 * module._kept.held()))
    night.window(0.0, 1260.0, 100, Look())
    assert list(module._kept._all) == [(night, Look())]
    assert night.done(RAW) == 0
    assert night.window(0.0, 1260.0, 100, RAW).done == 1


def test_strips_and_viewer_fold_alike() -> None:
    values = np.random.default_rng(3).standard_normal(30_000).astype(np.float32)
    at = np.arange(30_000) / 500
    _, thinned = _thinned(at, values, 500.0, False)
    low, high = extremes([Run(0.0, 500.0, values)], 0.0, 60 / 800, 800)
    assert np.array_equal(thinned.reshape(-1, 2), np.stack([low, high], 1))
