"""Baselines: neighbours are other people's, captions are asked without the part that answers."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from encoders.captions import PARTS
from encoders.errors import BadInput
from retrieval.evaluation.baselines import caption_space, left_out, measures_knn
from retrieval.evaluation.features import measures_of
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.staging import stage_truth

NEIGHBOURS = 25


def test_neighbours_are_the_nearest_epochs_of_others(tiny_sample: Sample) -> None:
    truth = stage_truth(tiny_sample).codes.copy()
    truth[::9] = -1
    found = measures_knn(tiny_sample, truth, 5)
    assert found is not None and np.isnan(found[::9]).all()
    values, subject = measures_of(tiny_sample), tiny_sample.frame["subject"].to_numpy()
    for row in np.flatnonzero(truth >= 0)[::97]:
        others = np.flatnonzero((subject != subject[row]) & (truth >= 0))
        with warnings.catch_warnings(action="ignore"):  # a measure that nobody else has
            mean, spread = np.nanmean(values[others], axis=0), np.nanstd(values[others], axis=0)
        z = np.nan_to_num((values - mean) / np.where(spread > 0, spread, 1.0))
        nearest = others[np.argsort(((z[others] - z[row]) ** 2).sum(axis=1))[:NEIGHBOURS]]
        expected = np.bincount(truth[nearest], minlength=5) / NEIGHBOURS
        assert found[row] == pytest.approx(expected, abs=1 / NEIGHBOURS)  # two at the same distance may change places


def test_one_subject_has_no_neighbours(tiny_sample: Sample) -> None:
    alone = tiny_sample.rows((tiny_sample.frame["subject"] == tiny_sample.subjects()[0]).to_numpy())
    assert measures_knn(alone, stage_truth(alone).codes, 5) is None


def test_the_caption_space_is_the_mean_of_the_parts_without_stage_and_events(tiny_sample: Sample) -> None:
    assert tiny_sample.cohort is not None
    rows = np.arange(0, len(tiny_sample), 111)
    vectors, embed = caption_space(tiny_sample.rows(rows))
    for vector, caption in zip(vectors, tiny_sample.frame["caption_id"][rows], strict=True):
        parts = tiny_sample.cohort.snapshot.sql("SELECT * FROM captions WHERE caption_id = ?", [caption])
        said = [parts[part][0] for part in PARTS if part != "stage_event" and parts[part][0]]
        mean = np.asarray(embed(said)).mean(axis=0)
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-4)


def test_a_sample_without_a_cohort_has_no_captions(tiny_sample: Sample) -> None:
    with pytest.raises(BadInput, match="draw them from a cohort"):
        caption_space(replace(tiny_sample, cohort=None))


def test_what_was_left_out_is_said_and_nothing_is_not() -> None:
    assert left_out(unscored=3, of_no_use=0, too_short=1) == "left out: 3 unscored, 1 too short"
    assert left_out(unscored=0) == ""
