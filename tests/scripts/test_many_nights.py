"""A hundred generated nights, 96,000 epochs: that they are a cohort as ingested, and that search reads little of it."""

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from many_nights import EPOCHS, make  # noqa: E402

from retrieval import Cohort  # noqa: E402

pytestmark = pytest.mark.slow
NIGHTS = 100
ROWS = NIGHTS * EPOCHS


@pytest.fixture(scope="module")
def many(sim_cohort: Any, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    root = tmp_path_factory.mktemp("many") / "cohort"
    make(sim_cohort.cohort.root, root, NIGHTS)
    return Cohort(root)


@pytest.fixture(scope="module")
def rows(many: Cohort) -> pl.DataFrame:
    """Everything that the dumb scans below need, read whole."""
    return many.snapshot.sql(
        "SELECT epoch_id, recording, epoch, start_s, stage, n_desaturation, n_artifact, spo2_min_pct, caption_id, age, "
        "sex, ok_spo2 FROM epochs ORDER BY epoch_id"
    )


def places(answer: Any) -> set[tuple[str, float]]:
    """Every epoch of an answer's stretches."""
    return {(h.recording, s) for h in answer.hits for s in np.arange(h.start_s, h.stop_s, 30.0).tolist()}


def test_a_generated_cohort_is_whole_and_says_what_it_is(many: Cohort, rows: pl.DataFrame) -> None:
    many.snapshot.verify()
    assert rows.height == ROWS and rows["epoch_id"].n_unique() == ROWS
    assert many.snapshot.manifest.extra["generated"]
    notes = many.snapshot.sql("SELECT notes FROM recordings")["notes"].explode()
    assert len(notes) == NIGHTS and notes.str.contains("generated").all()
    assert len(many.snapshot.search(many.encoder.space, "caption", np.eye(1, many.encoder.dim), 1).ids) == 1
    assert all(facts["missing"] == 0 for of in many.info()["spaces"].values() for facts in of["collections"].values())
    assert rows.group_by("recording").agg(pl.col("spo2_min_pct").mean())["spo2_min_pct"].drop_nulls().n_unique() > 50


def test_a_number_is_compared_as_in_a_plain_scan(many: Cohort, rows: pl.DataFrame) -> None:
    answer = many.search("SpO2 below 85", k=10)
    clean = rows.filter(pl.col("n_artifact").fill_null(0) == 0)
    right = clean.filter(pl.col("spo2_min_pct") < 85)
    assert right.height and places(answer) <= set(right.select("recording", "start_s").iter_rows())
    assert answer.searched == clean["spo2_min_pct"].count()
    assert answer.searched + sum(answer.not_assessable.values()) == ROWS
    lowest = right.sort("spo2_min_pct", "epoch_id")["spo2_min_pct"][0]
    first = rows.filter(recording=answer.hits[0].recording, start_s=answer.hits[0].start_s)
    assert answer.hits[0].why[0].endswith(f"{lowest:.4g}") and first.height == 1


def test_facts_and_sql_leave_the_rows_of_a_plain_scan(many: Cohort, rows: pl.DataFrame) -> None:
    where = "age > 40 AND epoch >= 100"
    answer = many.search("REM sleep without desaturation", where=where, k=ROWS)
    asked = rows.filter((pl.col("age") > 40) & (pl.col("epoch") >= 100))
    known = asked.filter(pl.col("stage").ne("unscored") & pl.col("n_desaturation").is_not_null())
    right = known.filter((pl.col("stage") == "REM") & (pl.col("n_desaturation") == 0))
    assert answer.searched == known.height
    assert answer.searched + sum(answer.not_assessable.values()) == asked.height
    assert places(answer) == set(right.select("recording", "start_s").iter_rows())


def test_more_hits_than_the_best_rows_hold_are_found_among_all(many: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = many.search("N2 in the first third of the night", k=60)
    monkeypatch.setattr("retrieval.cohort.BEST", 40)
    assert [repr(hit) for hit in many.search("N2 in the first third of the night", k=60).hits] == [
        repr(hit) for hit in whole.hits
    ]
    assert len(whole.hits) == 60


def test_only_what_answers_leaves_the_catalog(many: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    from index import snapshot

    read: list[int] = []
    plain = snapshot.select

    def counted(*given: Any) -> pl.DataFrame:
        frame = plain(*given)
        read.append(frame.height)
        return frame

    monkeypatch.setattr(snapshot, "select", counted)
    answer = many.search("SpO2 below 85", k=10)
    assert answer.hits and sum(read) < ROWS / 10
    read.clear()
    many.search("arousal within 30 s after a hypopnea", k=10)
    assert 0 < max(read) < ROWS / 4


def test_likeness_to_an_epoch_is_that_of_a_whole_matrix(many: Cohort) -> None:
    answer = many.similar("generated-000050@7200", k=5)
    target = many.locate("generated-000050@7200").epoch_id
    from retrieval.search import standardised
    from retrieval.similar import measured_columns

    measures = measured_columns(many.snapshot)
    frame = many.snapshot.sql(f"SELECT epoch_id, recording, epoch, caption_id, {', '.join(measures)} FROM epoch_rows")
    own = frame.filter(epoch_id=target).row(0, named=True)
    near = (pl.col("recording") == own["recording"]) & ((pl.col("epoch") - own["epoch"]).abs() <= 1)
    others = frame.filter(~near)
    values = pl.concat([frame.filter(epoch_id=target), others]).select(measures).to_numpy()
    values = values[:, np.isfinite(values[0])]
    spread = np.nanstd(values, axis=0)
    gaps = np.nanmean(np.abs(values[1:] - values[0]) / np.where(spread > 0, spread, 1), axis=1)
    space = many.encoder.space
    vectors = many.snapshot.vectors(space, "caption", others["caption_id"].to_numpy())
    (wanted,) = many.snapshot.vectors(space, "caption", np.array([own["caption_id"]]))
    score = standardised(vectors @ wanted) - standardised(np.nan_to_num(gaps, nan=3.0))
    assert answer.searched == others.height == ROWS - 3
    assert answer.hits[0].score == pytest.approx(float(score.max()), abs=2e-4)


def test_memory_does_not_hold_the_whole_table(many: Cohort) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for question in ("deep sleep", "REM with desaturation", "hypopneas without arousal"):
        many.search(question)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 400  # read whole, the table and the lists made of it are more than that
