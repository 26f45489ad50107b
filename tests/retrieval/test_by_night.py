"""The rows of each night, against what a plain query says of them."""

import numpy as np
import polars as pl
import pytest

from retrieval.by_night import Nights, by_recording, nights, placed


def test_rows_of_nights_are_those_that_the_catalog_names(sim_cohort) -> None:
    snapshot = sim_cohort.cohort.snapshot
    rows = snapshot.sql("SELECT epoch_id, recording, epoch, start_s, age FROM epochs ORDER BY epoch_id")
    known = nights(snapshot)
    assert placed(snapshot, np.arange(rows.height)).rows() == rows.drop("age").rows()
    for name in known.names:
        own = rows.filter(pl.col("recording") == name)
        assert snapshot.ids[known.rows_of(known.numbers([name]))].tolist() == own["epoch_id"].to_list()
    first = rows.group_by("recording").agg(pl.col("start_s").min()).sort("recording")["start_s"].to_list()
    assert known.over(np.minimum, known.start_s, np.nan).tolist() == first
    ages = by_recording(snapshot, ["age"])
    assert {known.names[n]: age for n, age in ages.iter_rows()} == dict(rows.select("recording", "age").iter_rows())


@pytest.mark.parametrize("missing", [[], [3], [0, 1, 7]])
def test_epochs_are_found_by_number_where_some_are_missing(missing: list[int]) -> None:
    epoch = np.delete(np.tile(np.arange(5, dtype=np.int32), 2), missing)
    of = np.delete(np.repeat(np.array([1, 0], np.int32), 5), missing)  # stored in the other order
    first, count = (np.array(v) for v in ([np.argmax(of == 0), 0, 0], [(of == 0).sum(), (of == 1).sum(), 0]))
    known = Nights(["a", "b", "none"], of, epoch, epoch * 30.0, first, count)
    number, asked = np.repeat([0, 1], 7), np.tile(np.arange(-1, 6), 2)
    places = {(n, e): row for row, (n, e) in enumerate(zip(of.tolist(), epoch.tolist(), strict=True))}
    right = [places.get(pair, -1) for pair in zip(number.tolist(), asked.tolist(), strict=True)]
    assert known.places(number, asked).tolist() == right
    assert known.over(np.add, np.ones(len(of), np.int64), 0).tolist() == count.tolist()
