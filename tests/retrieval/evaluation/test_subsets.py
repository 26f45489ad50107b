"""Fewer sensors: the same epochs again, against all sensors, and events only by sensors that can show them."""

from dataclasses import replace

import numpy as np
import pytest

from encoders.models import load_encoder
from encoders.vocabulary import CHANNELS
from retrieval.agreement import confusion, f1_of
from retrieval.evaluation.events import event_truths
from retrieval.evaluation.figures import ALL_SENSORS, Figure
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import able, load_sensors
from retrieval.evaluation.staging import SMOOTHED, stage_scores, stage_truth
from retrieval.evaluation.subsets import measure_subsets, thinned

MOST = 200


@pytest.fixture(scope="module")
def figures(tiny_sample: Sample) -> list[Figure]:
    return measure_subsets(tiny_sample, most=MOST, yasa=False)


def test_epochs_are_thinned_evenly_over_everybody(tiny_sample: Sample) -> None:
    few = thinned(tiny_sample, MOST)
    assert len(few) == 180 and few.subjects() == tiny_sample.subjects()
    assert set(np.diff(few.frame["epoch"].to_numpy())) == {5, -175}
    assert len(thinned(tiny_sample, 10_000)) == len(tiny_sample)


def test_every_subset_is_staged_and_held_against_all_sensors(figures: list[Figure]) -> None:
    assert {f.subset for f in figures} == {ALL_SENSORS, *load_sensors().of(CHANNELS)}
    for subset in {f.subset for f in figures}:
        for method in ("zero-shot", SMOOTHED):
            said = {f.measure: f for f in figures if (f.subset, f.method) == (subset, method)}
            assert "macro-F1" in said and ("macro-F1 against all sensors" in said) == (subset != ALL_SENSORS)
            assert said["macro-F1"].value is not None and 0 <= said["macro-F1"].value <= 1


def test_the_difference_is_of_the_same_epochs_embedded_again(tiny_sample: Sample, figures: list[Figure]) -> None:
    whole = thinned(tiny_sample, MOST)
    part = whole.with_sensors(("EEG_C3",))
    truth = stage_truth(whole)
    rows = truth.rows[able(whole, ("EEG_C3",))[truth.rows]]
    there = np.unique(truth.codes[rows])
    fewer, full = (
        f1_of(confusion(truth.codes[rows], stage_scores(one, truth.task)[rows].argmax(axis=1), 5))[there].mean()
        for one in (part, whole)
    )
    of = {f.measure: f for f in figures if (f.subset, f.method) == ("EEG_C3 alone", "zero-shot")}
    assert of["macro-F1"].value == pytest.approx(fewer)
    assert of["macro-F1"].n == len(rows)
    assert of["macro-F1 against all sensors"].value == pytest.approx(fewer - full)
    assert of["macro-F1"].detail == {"channels": ["EEG_C3"], "enough": False}


def test_events_are_asked_of_sensors_that_can_show_them_alone(tiny_sample: Sample, figures: list[Figure]) -> None:
    kinds = {truth.task.name for truth in event_truths(thinned(tiny_sample, MOST))}
    assert {"apnea", "desaturation", "arousal"} <= kinds
    for f in figures:
        kind = f.measure.removesuffix(" against all sensors").removesuffix(" AUC")
        if f.measure.startswith(kind + " AUC"):
            assert f.detail["enough"] and kind in kinds and kind != "limb_movement"
    of = {subset: {f.measure for f in figures if f.subset == subset} for subset in {f.subset for f in figures}}
    assert "desaturation AUC" in of["SpO2 and heart rate"] and "desaturation AUC" not in of["without SpO2"]
    assert "apnea AUC" in of["belts alone"] and "apnea AUC against all sensors" in of["without EEG"]
    assert not any(measure.endswith("AUC") for measure in of["EEG_C3 alone"] - {"arousal AUC"})


def test_an_encoder_of_sentences_has_no_sensors(tiny_sample: Sample) -> None:
    assert measure_subsets(replace(tiny_sample, encoder=load_encoder("text:minilm", device="cpu"))) == []
