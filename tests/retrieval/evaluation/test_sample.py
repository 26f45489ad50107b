"""What an evaluation rests on: which epochs, whose, with what vectors, and what is left when sensors are taken away."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import polars as pl
import pytest

from encoders.captions import PARTS
from encoders.errors import BadInput
from encoders.recordings import Recording, build_epochs
from encoders.recordings.epochs import ChannelStatistics
from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS
from retrieval.evaluation.sample import Sample, draw_sample, keep_channels, named_in
from tests.conftest import SimCohort
from tests.retrieval.evaluation.conftest import TinyEncoder


def test_a_row_is_an_epoch_in_order_of_time_with_both_captions(sim_cohort: SimCohort, tiny_sample: Sample) -> None:
    frame = tiny_sample.frame
    assert len(tiny_sample) == sim_cohort.truth.height and frame.equals(frame.sort("recording", "start_s"))
    row = frame.row(100, named=True)
    parts = sim_cohort.cohort.snapshot.sql("SELECT * FROM captions WHERE caption_id = ?", [row["caption_id"]]).row(
        0, named=True
    )
    assert row["text"] == " ".join(parts[part] for part in PARTS if parts[part])
    assert row["text_numbers"] == " ".join(row[f"text_{part}"] for part in PARTS if row[f"text_{part}"])
    assert {"stage", "n_arousal", "hr_mean_bpm", "ok_ecg", "age", "sex", "site"} <= set(frame.columns)
    assert frame["site"].null_count() == 0 and not frame["seen"].any() and len(tiny_sample.subjects()) == 5


def test_vectors_of_sentences_come_from_the_cohort(sim_cohort: SimCohort) -> None:
    cohort = sim_cohort.cohort
    sample = draw_sample(cohort, cohort.encoder, most=300)
    ids = sample.frame["caption_id"].to_numpy()
    assert np.array_equal(sample.vectors, cohort.snapshot.vectors(cohort.encoder.space, "caption", ids))


def test_fewer_epochs_are_spread_over_subjects_in_stretches_without_a_break(sim_cohort: SimCohort) -> None:
    cohort = sim_cohort.cohort
    sample = draw_sample(cohort, cohort.encoder, most=610, seed=3)
    counts = Counter(sample.frame["subject"])
    assert sum(counts.values()) == 610 and set(counts.values()) == {122}
    steps = sample.frame.select(pl.col("epoch").diff().over("recording"))["epoch"].drop_nulls()
    assert set(steps) == {1}
    assert not sample.frame.equals(draw_sample(cohort, cohort.encoder, most=610, seed=4).frame)
    few = draw_sample(cohort, cohort.encoder, most=250)  # an hour each at least
    assert len(few.subjects()) == 2 and len(few) == 250


def test_what_was_trained_on_is_compared_whatever_its_case_and_never_unknown() -> None:
    frame = pl.DataFrame({"recording": ["a1", "b1", "c1", "d1"], "subject": ["A", "B", "C", "D"],
                          "cohort": ["SHHS", None, None, None], "site": ["SHHS", "Clinic", None, None]})  # fmt: skip
    assert named_in(frame, ["shhs", " clinic"]).to_list() == [True, True, False, False]
    assert named_in(frame, ["c", "D1"]).to_list() == [False, False, True, True]
    assert named_in(frame, ()).to_list() == [False] * 4
    assert named_in(frame, ["SH", "HS"]).to_list() == [False] * 4  # a part of a name is no name


def test_a_text_is_embedded_once_also_for_some_of_the_rows(tiny_sample: Sample) -> None:
    encoder = TinyEncoder()
    sample = Sample(encoder, tiny_sample.frame, tiny_sample.vectors)
    first = sample.texts(["one", "two", "one"])
    again = sample.rows(np.arange(5)).texts(["two", "three"])
    assert encoder.embedded == ["one", "two", "three"]
    assert np.array_equal(first[0], first[2]) and np.array_equal(first[1], again[0])
    assert sample.texts([]).shape == (0, encoder.dim)


def test_rows_by_mask_and_by_place_are_the_same(tiny_sample: Sample) -> None:
    mask = np.arange(len(tiny_sample)) % 7 == 3
    by_mask, by_place = tiny_sample.rows(mask), tiny_sample.rows(np.flatnonzero(mask))
    assert by_mask.frame.equals(by_place.frame) and np.array_equal(by_mask.vectors, tiny_sample.vectors[mask])


def test_fewer_sensors_are_as_a_recording_without_the_others(tiny_sample: Sample) -> None:
    kept = ["EEG_C3", "SPO2"]
    some = tiny_sample.rows(np.arange(170, 190))  # the end of one recording and the beginning of the next
    by_subset = some.by_sensors([kept, CHANNELS])
    assert np.allclose(by_subset[1].vectors, some.vectors, atol=1e-6)  # nothing taken away
    assert not np.allclose(by_subset[0].vectors, some.vectors, atol=1e-2)
    assert tiny_sample.cohort is not None
    for name, epochs in zip(some.frame["recording"].unique(maintain_order=True), some.epochs(), strict=True):
        less, bare = (
            keep_channels(epochs, kept),
            build_epochs(_Bare(tiny_sample.cohort.recording(name)), epochs.start_s),
        )
        assert np.array_equal(less.present, bare.present) and np.array_equal(less.quality, bare.quality)
        assert np.array_equal(less.signals, bare.signals)  # type: ignore[arg-type]
        for field in fields(ChannelStatistics):
            assert np.array_equal(*(getattr(e.statistics, field.name) for e in (less, bare)), equal_nan=True)


@dataclass(frozen=True)
class _Bare:
    """The slow way: a recording that never had the other channels."""

    recording: Recording

    def runs(self, channel: str) -> Sequence[Run]:
        return self.recording.runs(channel) if channel in ("EEG_C3", "SPO2") else ()

    def flags(self, channel: str) -> Sequence[Run]:
        return self.recording.flags(channel)

    def oximeter_status(self) -> Sequence[Run]:
        return self.recording.oximeter_status()


def test_each_recording_is_read_once_for_all_subsets(tiny_sample: Sample) -> None:
    read: list[tuple[str, int, int]] = []
    sample = draw_sample(tiny_sample.cohort, TinyEncoder(), most=250, progress=lambda *said: read.append(said))  # type: ignore[arg-type]
    assert [count for _, count, _ in read] == [1, 2]
    sample.by_sensors([["ECG"], ["SPO2"], ["EEG_C3", "EEG_C4"]])
    assert len(read) == 4 and read[-1][1:] == (2, 2)


def test_what_cannot_be_taken_is_refused_in_one_line(sim_cohort: SimCohort, tiny_sample: Sample) -> None:
    with pytest.raises(BadInput, match="no channel 'EEG'; channels: ECG"):
        tiny_sample.with_sensors(["EEG"])
    captions = draw_sample(sim_cohort.cohort, sim_cohort.cohort.encoder, most=200)
    with pytest.raises(BadInput, match="reads sentences alone"):
        captions.with_sensors(["ECG"])
    with pytest.raises(BadInput, match="no files behind them"):
        next(Sample(TinyEncoder(), tiny_sample.frame, tiny_sample.vectors).epochs())
    with pytest.raises(BadInput, match="most is 0"):
        draw_sample(sim_cohort.cohort, TinyEncoder(), most=0)
