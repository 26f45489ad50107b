"""Display filters by blocks against scipy's, sample by sample, and what is drawn of a night by either."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import sosfiltfilt

from encoders.recordings import EdfSignal, open_recording, write_edf
from retrieval import filters
from retrieval import waves as module
from retrieval.filters import Floats, filtered, settle_s
from retrieval.waves import Look, Waves

Band = tuple[float, float] | None


def plainly(samples: Floats, rate_hz: float, band_hz: Band, notch_hz: float | None = None, **_: bool) -> Floats:
    sections = filters._sections(band_hz, notch_hz, rate_hz)
    found: Floats = samples if sections is None else sosfiltfilt(sections, samples.astype(np.float64))
    return found


def drifting(seconds: float, rate_hz: float) -> Floats:
    """Noise on a baseline that walks far from zero, as electrodes do."""
    random, n = np.random.default_rng(3), int(seconds * rate_hz)
    walk = np.cumsum(random.standard_normal(n)) / 2 + 3000
    return (walk + 20 * random.standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize(
    ("rate_hz", "band_hz", "notch_hz"),
    [
        (200.0, (0.3, 35.0), None),
        (256.0, (0.3, 70.0), 60.0),
        (512.0, (10.0, 100.0), None),
        (100.0, None, 40.0),
        (25.6, (0.1, 15.0), None),
    ],
)
def test_a_long_stretch_is_filtered_as_scipy_filters_it(rate_hz: float, band_hz: Band, notch_hz: float | None) -> None:
    samples = drifting(300.3, rate_hz)
    wanted, found = plainly(samples, rate_hz, band_hz, notch_hz), filtered(samples, rate_hz, band_hz, notch_hz)
    scale = np.quantile(np.abs(wanted - np.median(wanted)), 0.99)
    assert np.abs(found - wanted).max() < 1e-4 * scale
    open_ended = filtered(samples, rate_hz, band_hz, notch_hz, begins=False, ends=False)
    settled = int(settle_s(band_hz, notch_hz) * rate_hz)
    assert np.abs(open_ended - wanted)[settled:-settled].max() < 2e-3 * scale
    if band_hz:
        assert not np.array_equal(open_ended, found)  # the ends alone are scipy's


def test_a_whole_night_is_drawn_as_the_plain_filter_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stretches with a gap between, over the edges of what is read at once."""
    seconds, path = 2400, tmp_path / "night.edf"
    signals = [
        EdfSignal(label, drifting(seconds, rate_hz) - 3000, rate_hz, "uV", -3000, 3000)
        for label, rate_hz in (("C3-M2", 100), ("ECG", 200), ("Thorax", 10))
    ]
    onsets = [float(i if i < 1500 else i + 100) for i in range(seconds)]
    write_edf(path, signals, start=datetime(2020, 1, 1, 23), kind="EDF+D", record_onsets_s=onsets)
    recording = open_recording([path], recording_id="night")
    fast = Waves(recording).window(0.0, 2500.0, 400, Look())
    monkeypatch.setattr(module, "filtered", plainly)
    plain_waves = Waves(recording)
    plain, sizes = plain_waves.window(0.0, 2500.0, 400, Look()), plain_waves.sizes(Look())
    assert len(plain.traces) == 3
    for name, pieces in plain.traces.items():
        for wanted, found in zip(pieces, fast.traces[name], strict=True):
            assert found.high is not None and wanted.high is not None
            for a, b in ((found.low, wanted.low), (found.high, wanted.high)):
                assert np.array_equal(np.isnan(a), np.isnan(b))
                assert np.nanmax(np.abs(a - b)) < 1e-3 * sizes[name][1]
