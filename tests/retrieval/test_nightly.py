from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from encoders.errors import BadInput
from retrieval.by_night import nights
from retrieval.night_numbers import load_numbers, night_numbers, stages_of


def test_numbers_of_the_night_are_what_one_counts(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    stages = stages_of(cohort.snapshot, None)
    found = night_numbers(cohort.snapshot, stages, list(load_numbers()))
    assert found.height == 5
    for row in found.iter_rows(named=True):
        known = nights(cohort.snapshot)
        own = stages.names(known.rows_of(known.numbers([row["recording"]]))).to_list()
        asleep = [s for s in own if s not in ("W", None)]
        first = next(i for i, s in enumerate(own) if s not in ("W", None))
        assert row["n3_pct"] == pytest.approx(100 * asleep.count("N3") / len(asleep))
        assert row["awake_pct"] == pytest.approx(100 * own[first:].count("W") / len(own[first:]))
        to_wake = sum(a not in ("W", None) and b == "W" for a, b in pairwise(own))
        assert row["awakenings_per_h"] == pytest.approx(120 * to_wake / len(asleep))
        if own.count("REM") >= 10:
            left = sum(a == "REM" and b not in ("REM", None) for a, b in pairwise(own))
            assert row["rem_breaks_per_h"] == pytest.approx(120 * left / own.count("REM"))
        else:
            assert row["rem_breaks_per_h"] is None and row["rem_breaks_per_h_known"]


def test_nights_rank_by_the_number_and_say_so(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    answer = cohort.search("little deep sleep", level="night")
    numbers = night_numbers(cohort.snapshot, stages_of(cohort.snapshot, None), ["n3_pct"])
    by_name = dict(numbers.select("recording", "n3_pct").iter_rows())
    assert [h.recording for h in answer.hits] == sorted(by_name, key=lambda name: (by_name[name], name))
    assert f"n3_pct = {by_name[answer.hits[0].recording]:.3g} %, rank 1 of 5" in answer.hits[0].why[0]
    assert answer.hits[0].start_s == 0.0 and answer.hits[0].caption.keys() == {"night"}
    assert any("little deep sleep" in line for line in answer.understood)


def test_a_night_without_the_sensor_or_the_scoring_is_counted(sim_cohort) -> None:
    answer = sim_cohort.cohort.search("deep desaturations", level="night")
    assert answer.not_assessable["sensor"] == 1  # hmc-like has no oximeter
    assert answer.searched == 4 and not any("hmc" in h.recording for h in answer.hits)
    arousals = sim_cohort.cohort.search("frequent arousals", level="night")
    assert arousals.not_assessable["not_scored"] == 2  # mesa-like and hmc-like score none
    assert not any("hmc" in h.recording or "mesa" in h.recording for h in arousals.hits)


def test_a_class_and_its_denial_part_the_nights_that_can_answer(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    severe = cohort.search("severe sleep apnea", level="night")
    others = cohort.search("no severe sleep apnea", level="night")
    numbers = night_numbers(cohort.snapshot, stages_of(cohort.snapshot, None), ["ahi_any_per_h"])
    ahi = dict(numbers.select("recording", "ahi_any_per_h").drop_nulls().iter_rows())
    assert {h.recording for h in severe.hits} == {name for name, value in ahi.items() if value >= 30}
    assert {h.recording for h in others.hits} == {name for name, value in ahi.items() if value < 30}
    assert severe.searched == others.searched == len(ahi)


def test_people_and_facts_of_epochs_join_in(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    answer = cohort.search("women with desaturations in REM", level="night")
    rows = cohort.snapshot.sql("SELECT recording, sex, stage, n_desaturation, spo2_drop_pct FROM epochs")
    women = set(rows.filter(pl.col("sex") == "F")["recording"])
    assert {h.recording for h in answer.hits} <= women
    both = (pl.col("stage") == "REM") & pl.coalesce(pl.col("n_desaturation") > 0, pl.col("spo2_drop_pct") >= 3)
    having = set(rows.filter(both & (pl.col("sex") == "F"))["recording"])
    assert {h.recording for h in answer.hits} == having
    assert cohort.search("women", level="night", without=["women"]).filter == []


def test_words_that_mean_nothing_here_find_nothing(sim_cohort) -> None:
    answer = sim_cohort.cohort.search("purple elephants on a bicycle", level="night")
    assert not answer.hits and any("nothing here resembles" in note for note in answer.notes)


def test_words_left_over_rank_by_the_nearest_tenth_of_the_night(sim_cohort) -> None:
    cohort = sim_cohort.cohort
    words = "patients with heart trouble"
    answer = cohort.search(words, level="night")
    assert answer.understood == [f"embedded: {words}"] and len(answer.hits) == 5
    (query,) = cohort.encoder.embed_texts([words])
    rows = cohort.snapshot.sql("SELECT recording, caption_id FROM epoch_rows")
    near = cohort.snapshot.vectors(cohort.encoder.space, "caption", rows["caption_id"].to_numpy()) @ query
    for hit in answer.hits:
        own = np.sort(near[(rows["recording"] == hit.recording).to_numpy()])
        assert f"cosine of captions = {own[-max(1, round(len(own) / 10)) :].mean():.3g}" in hit.why[0]


def test_an_unknown_level_is_refused(sim_cohort) -> None:
    with pytest.raises(BadInput, match="epoch and night"):
        sim_cohort.cohort.search("REM", level="week")
