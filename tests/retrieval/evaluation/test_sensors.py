"""Which sensors are tried and needed, and in which epochs they are usable."""

from dataclasses import replace

import numpy as np
import polars as pl

from encoders.vocabulary import CHANNELS
from retrieval.evaluation.sample import Sample
from retrieval.evaluation.sensors import able, load_sensors, usable


def test_every_channel_belongs_to_one_modality() -> None:
    members = [channel for several in load_sensors().modalities.values() for channel in several]
    assert sorted(members) == sorted(CHANNELS)


def test_subsets_are_one_modality_less_then_those_named_and_none_twice() -> None:
    found = load_sensors().of(CHANNELS)
    assert found["without EOG"] == tuple(c for c in CHANNELS if not c.startswith("EOG"))
    assert found["belts alone"] == ("ABD", "THX")
    assert {"EEG_C3 alone", "EEG_C4 alone", "EEG and EOG", "ECG and belts", "SpO2 and heart rate"} < set(found)
    assert len(set(found.values())) == len(found) == 14 and CHANNELS not in found.values()


def test_what_a_recording_lacks_is_not_tried() -> None:
    assert load_sensors().of(("EEG_C3", "EOG_L")) == {"without EEG": ("EOG_L",), "without EOG": ("EEG_C3",)}
    assert load_sensors().of(("EEG_C3",)) == {}


def test_one_of_the_alternative_sets_is_enough() -> None:
    sensors = load_sensors()
    assert sensors.enough("desaturation", ("SPO2", "HR")) == (("SPO2",),)
    assert sensors.enough("apnea", ("THX", "ABD", "ECG")) and not sensors.enough("apnea", ("THX", "ECG"))
    assert not sensors.enough("limb_movement", CHANNELS)
    assert not sensors.enough("staging", ("EEG_C3", "EEG_C4"))


def test_an_epoch_is_usable_by_one_whole_set() -> None:
    frame = pl.DataFrame({"ok_af": [True, False, None, True], "ok_thx": [False, True, True, None]})
    assert usable(frame, [["AF"]]).tolist() == [True, False, False, True]
    assert usable(frame, [["AF"], ["THX"]]).tolist() == [True, True, True, True]
    assert usable(frame, [["AF", "THX"], ["SPO2"]]).tolist() == [False] * 4
    assert usable(frame, []).tolist() == [False] * 4


def test_an_encoder_is_able_where_a_sensor_that_it_reads_is_usable(tiny_sample: Sample) -> None:
    ok = (np.arange(len(tiny_sample)) % 5 > 0).tolist()
    sample = replace(tiny_sample, frame=tiny_sample.frame.with_columns(pl.Series("ok_spo2", ok)))
    assert able(sample, ("SPO2",)).tolist() == ok
    assert not able(sample, ()).any()
