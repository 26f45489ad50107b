"""What is drawn of a hit: all of it, or its ten minutes around its best epoch; no peak lost, no held value changed."""

import numpy as np
import pytest

from retrieval.strips import _thinned, shown_of, strip_of
from tests.conftest import SimCohort


@pytest.mark.parametrize(
    ("hit_s", "best_s", "shown_s"),
    [
        ((30.0, 60.0), 30.0, (30.0, 60.0)),
        ((30.0, 630.0), 600.0, (30.0, 630.0)),
        ((0.0, 1800.0), 900.0, (615.0, 1215.0)),
        ((0.0, 1800.0), 0.0, (0.0, 600.0)),
        ((0.0, 1800.0), 1770.0, (1200.0, 1800.0)),
    ],
)
def test_a_long_hit_is_drawn_around_its_best_epoch(
    hit_s: tuple[float, float], best_s: float, shown_s: tuple[float, float]
) -> None:
    assert shown_of(*hit_s, best_s) == shown_s


def test_held_values_are_thinned_to_their_changes() -> None:
    values = np.repeat(np.array([96, np.nan, 95, 96], np.float32), 2000)
    at = np.arange(8000) / 16
    time_s, kept = _thinned(at, values, 16.0, True)
    assert time_s.tolist() == [0.0, 125.0, 250.0, 375.0, at[-1]]
    assert np.array_equal(kept, [96, np.nan, 95, 96, 96], equal_nan=True)


def test_five_minutes_are_drawn_whole_and_their_peaks_stay(sim_cohort: SimCohort) -> None:
    recording = sim_cohort.cohort.nights()["recording"].sort()[0]
    whole, minute = (strip_of(sim_cohort.cohort, recording, 60.0, stop_s) for stop_s in (360.0, 120.0))
    assert (whole.start_s, whole.stop_s) == whole.of_s == (60.0, 360.0)
    for trace, part in zip(whole.traces, minute.traces, strict=False):
        assert trace.channel == part.channel and trace.time_s.max() > 350
        inside = (trace.time_s < 119.5) & np.isfinite(trace.values)
        if not trace.steps:
            scale = float(np.nanmax(np.abs(part.values)))
            assert trace.values[inside].max() == pytest.approx(
                np.nanmax(part.values[part.time_s < 119.5]), abs=0.02 * scale
            )
