"""The table of measures and the columns that come out."""

from types import SimpleNamespace

import numpy as np

from encoders.captions.measures import load_measures, measure_epochs
from encoders.captions.wording import PARTS
from encoders.vocabulary import CHANNELS


def test_every_column_is_defined_and_every_definition_is_a_column(night):
    found = measure_epochs(*night(3))
    assert list(found) == list(load_measures())
    for name, measure in load_measures().items():
        assert measure.part in (*PARTS, "quality") and measure.definition and measure.source, name
        assert {channel for group in measure.channels for channel in group} <= {*CHANNELS, "snore"}
        assert found[name].shape == (3,) and (found[name].dtype == object) == (measure.digits is None), name


def test_a_recording_without_sensors_measures_nothing(night):
    for name, column in measure_epochs(*night(3)).items():
        if name == "usable_channels":
            assert (column == 0).all()
        elif column.dtype == object:
            assert column.tolist() == [None] * 3, name
        else:
            assert np.isnan(column).all(), name


def test_no_epochs_are_no_rows(night):
    assert all(len(column) == 0 for column in measure_epochs(*night(0)).values())


def test_each_sensor_fills_its_columns_only(night, seconds):
    t = seconds(6, 128.0)
    for slot in ("ECG", "EEG_C3", "EOG_L", "EMG_CHIN", "SPO2", "HR", "POS", "THX", "AF"):
        signal = (
            np.full(len(t), 1.0 if slot == "POS" else 90.0)
            if slot in ("SPO2", "HR", "POS")
            else np.sin(2 * np.pi * 0.3 * t)
        )
        found = measure_epochs(*night(6, **{slot: (128.0, signal)}))
        for name, column in found.items():
            filled = any(value is not None for value in column) if column.dtype == object else np.isfinite(column).any()
            allowed = load_measures()[name].channels
            assert not filled or name == "usable_channels" or (slot,) in allowed, (slot, name)


def test_substitutes_are_named(night):
    recording, epochs = night(2)
    choice = SimpleNamespace(substitute=True, label="Fpz", minus_label="Cz", sensor=None)
    recording.montage = SimpleNamespace(choices={"EEG_C3": choice})
    assert measure_epochs(recording, epochs)["substitutes"].tolist() == ["EEG_C3: Fpz - Cz"] * 2
