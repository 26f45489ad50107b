"""The truth of simulated nights stands beside the figures as a ceiling, and only where it is."""

from dataclasses import replace

import numpy as np
import polars as pl

from retrieval.evaluation.events import measure_events
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.simulated import TRUTH, true_frame
from retrieval.evaluation.staging import measure_staging
from tests.conftest import SimCohort


def test_the_truth_of_each_epoch_is_the_simulators(tiny_sample: Sample, sim_cohort: SimCohort) -> None:
    true = true_frame(tiny_sample)
    assert true is not None and true.height == len(tiny_sample)
    asked = tiny_sample.frame.select("recording", "start_s")
    told = asked.join(sim_cohort.truth.select("recording", "start_s", "stage"), on=["recording", "start_s"], how="left")
    known = told["stage"].is_not_null()
    assert known.mean() > 0.8  # the others lie off the simulator's grid, where the technician began late
    assert true["stage"].filter(known).to_list() == told["stage"].filter(known).to_list()


def test_the_ceiling_is_what_the_scoring_lost_of_the_truth(tiny_sample: Sample) -> None:
    """These technicians write the truth; here every tenth epoch is scored N2 whatever it is."""
    frame = tiny_sample.frame
    slips = pl.Series(np.arange(frame.height) % 10 == 0)
    scored = frame.with_columns(stage=pl.when(slips).then(pl.lit("N2")).otherwise("stage"))
    ceilings = []
    for sample in (tiny_sample, replace(tiny_sample, frame=scored)):
        figures = {(f.method, f.measure): f for f in measure_staging(sample, yasa=False)}
        ceiling = figures[TRUTH, "macro-F1"]
        counts = np.array(ceiling.detail["confusion"])
        ceilings.append(float(np.trace(counts) / counts.sum()))
        assert "technicians erred" in ceiling.note
    assert ceilings[0] == 1.0
    assert np.isclose(ceilings[1], 1 - (slips & (frame["stage"] != "N2")).mean())
    events = {(figure.method, figure.measure): figure.value for figure in measure_events(tiny_sample)}
    assert events[TRUTH, "desaturation AUC"] > events["zero-shot", "desaturation AUC"]


def test_without_its_files_a_sample_has_no_ceiling(tiny_sample: Sample, sim_cohort: SimCohort, tmp_path) -> None:
    assert true_frame(replace(tiny_sample, cohort=None)) is None

    class Moved:
        root = tmp_path

    assert true_frame(replace(tiny_sample, cohort=Moved())) is None  # type: ignore[arg-type]
