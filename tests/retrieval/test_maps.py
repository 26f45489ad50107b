"""Maps of epochs and nights, and what is said of epochs that are chosen on them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from retrieval import BadInput, Cohort
from retrieval.maps import (
    Map,
    colour_of,
    colours_of,
    epoch_facts,
    flatten,
    make_map,
    map_key,
    nights_where,
    places_of,
    sample,
    similarity,
    stored_map,
    vectors_of,
)
from retrieval.selection import label_epochs, summarise, where_of
from tests.conftest import SimCohort


@pytest.fixture(scope="module")
def made(sim_cohort: SimCohort) -> Map:
    return make_map(sim_cohort.cohort, vectors_of(sim_cohort.cohort, "caption"))


def test_points_of_two_clouds_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    clouds = np.concatenate([rng.normal(0, 1, (60, 80)), rng.normal(6, 1, (60, 80))])
    for method in ("t-SNE", "PCA"):
        xy, second = flatten(clouds, method), np.arange(len(clouds)) >= len(clouds) // 2
        distances = np.linalg.norm(xy[:, None] - xy[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        assert (second[distances.argmin(axis=1)] == second).mean() > 0.95
        assert np.abs(xy).max() == pytest.approx(1)


def test_a_sample_takes_each_night_by_its_share() -> None:
    nights = np.repeat([0, 1, 2], [5000, 3000, 2000])
    taken = np.bincount(nights[sample(len(nights), 100)])
    assert np.abs(taken - [50, 30, 20]).max() <= 1
    assert sample(7, 100).tolist() == list(range(7))


def test_a_map_is_kept_and_the_same_again(sim_cohort: SimCohort, made: Map) -> None:
    snapshot = sim_cohort.cohort.snapshot
    kept = stored_map(snapshot, made.vectors)
    assert kept is not None and kept.key == made.key == map_key(snapshot, made.vectors)
    assert np.array_equal(kept.ids, made.ids) and np.array_equal(kept.xy, made.xy)
    assert sim_cohort.cohort.info()["bytes"]["engines"] > 0
    again = make_map(sim_cohort.cohort, made.vectors)
    assert np.allclose(again.xy, made.xy)
    rough = make_map(sim_cohort.cohort, made.vectors, rough=True)
    assert (made.method, rough.method) == ("t-SNE", "PCA") and rough.key != made.key
    assert np.array_equal(rough.ids, made.ids)


def test_a_damaged_or_missing_map_is_none(sim_cohort: SimCohort, made: Map) -> None:
    (path,) = (sim_cohort.root / "engines").glob(f"*/map-*-{made.key}.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert stored_map(sim_cohort.cohort.snapshot, made.vectors) is None
    path.write_bytes(whole)


def test_epochs_of_which_nothing_is_known_are_left_out_and_counted() -> None:
    class Vectors:
        space, collection = "s", "signal"

        def of(self, _: object, rows: pl.DataFrame) -> np.ndarray:
            found = np.random.default_rng(1).normal(size=(rows.height, 8)).astype(np.float32)
            found[::4] = np.nan
            return found

    epochs = pl.DataFrame({"epoch_id": range(40), "caption_id": range(40)})
    manifest = SimpleNamespace(catalog={"sha256": "x"})
    snapshot: Any = SimpleNamespace(sql=lambda *_: epochs, manifest=manifest, root=Path("/proc/nowhere"))
    vectors: Any = Vectors()
    found = make_map(SimpleNamespace(snapshot=snapshot), vectors)  # type: ignore[arg-type]
    assert (found.of, found.left_out, len(found.xy), found.method) == (40, 10, 30, "PCA")
    assert not set(found.ids.tolist()) & set(range(0, 40, 4))


def test_signals_are_refused_where_there_are_none(sim_cohort: SimCohort) -> None:
    with pytest.raises(BadInput, match="--encoder"):
        vectors_of(sim_cohort.cohort, "signal")


def test_points_are_described_and_coloured_in_their_order(sim_cohort: SimCohort, made: Map) -> None:
    cohort = sim_cohort.cohort
    facts = epoch_facts(cohort.snapshot, made.ids)
    truth = {
        row["epoch_id"]: row
        for row in cohort.snapshot.sql("SELECT epoch_id, recording, start_s, stage, age FROM epochs").to_dicts()
    }
    assert facts["recording"].to_list() == [truth[i]["recording"] for i in made.ids]
    assert facts["start_s"].to_list() == [truth[i]["start_s"] for i in made.ids]
    stages = [None if truth[i]["stage"] == "unscored" else truth[i]["stage"] for i in made.ids]
    assert colour_of(cohort, made, "stage") == stages
    assert colour_of(cohort, made, "age") == [truth[i]["age"] for i in made.ids]
    columns = {row["column"]: row["kind"] for row in colours_of(cohort, made)}
    assert columns["stage"] == "text" and columns["delta_pct"] == "number" and "epoch_id" not in columns
    with pytest.raises(BadInput, match="no colour"):
        colour_of(cohort, made, "report")


def test_likeness_to_a_sentence_is_highest_where_it_is_so(sim_cohort: SimCohort, made: Map) -> None:
    found = np.array(similarity(sim_cohort.cohort, made, "deep slow-wave sleep, stage N3"), float)
    deep = np.array(colour_of(sim_cohort.cohort, made, "stage")) == "N3"
    assert np.nanmean(found[deep]) > np.nanmean(found[~deep])
    with pytest.raises(BadInput, match="empty"):
        similarity(sim_cohort.cohort, made, " ")


def test_a_filter_names_its_points(sim_cohort: SimCohort, made: Map) -> None:
    places = places_of(sim_cohort.cohort, made, "stage = 'REM'")
    assert set(places) == {i for i, s in enumerate(colour_of(sim_cohort.cohort, made, "stage")) if s == "REM"}


def test_nights_have_a_map_too(sim_cohort: SimCohort) -> None:
    cohort = sim_cohort.cohort
    nights = make_map(cohort, vectors_of(cohort, "caption"), "night")
    assert nights.recordings == tuple(sorted(nights.recordings)) and len(nights.xy) == 5 and nights.method == "PCA"
    assert len(colour_of(cohort, nights, "age")) == 5
    assert colour_of(cohort, nights, "recording") == list(nights.recordings)
    where = nights_where(nights, [0, 2])
    named = cohort.nights(where=where)["recording"].to_list()
    assert named == [nights.recordings[0], nights.recordings[2]]
    assert places_of(cohort, nights, where) == [0, 2]


def _choices(ids: np.ndarray) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    yield ids[:1]
    yield ids[::3][:300]
    yield np.sort(rng.choice(ids, len(ids) // 2, replace=False))
    yield ids[10:-10]
    yield np.r_[ids[:200], ids[-200:]]


def test_a_filter_written_for_epochs_is_matched_by_just_these(sim_cohort: SimCohort) -> None:
    snapshot = sim_cohort.cohort.snapshot
    for chosen in _choices(snapshot.rows()):
        where = where_of(chosen[::-1])
        assert snapshot.rows(where).tolist() == chosen.tolist(), where
        assert len(where) <= 10_000


def test_scattered_epochs_of_a_large_cohort_are_refused() -> None:
    with pytest.raises(BadInput, match="fewer"):
        where_of(np.arange(1, 9_000_000, 1_500))
    with pytest.raises(BadInput, match="no epoch"):
        where_of([])


def test_a_selection_says_what_it_has_and_the_rest_has_not(sim_cohort: SimCohort, made: Map) -> None:
    cohort = sim_cohort.cohort
    stages = np.array(colour_of(cohort, made, "stage"))
    found = summarise(cohort.snapshot, made.ids[stages == "N3"], made.ids)
    n3 = next(share for share in found.stages if share.what == "N3")
    assert (n3.share, n3.rest) == (1, 0) and found.epochs == (stages == "N3").sum() and found.among == len(made.ids)
    assert sum(found.nights.values()) == found.epochs
    delta = [d for d in found.measures if "delta" in d.measure or "slow_wave" in d.measure]
    assert delta and all(d.apart > 0 for d in delta)
    for share in found.events:  # the dumb twin: counted one by one
        column = {"limb movement": "n_limb_movement_any"}.get(share.what, f"n_{share.what}")
        values = colour_of(cohort, dataclasses.replace(made, ids=made.ids[stages == "N3"]), column)
        known = [v for v in values if v is not None]
        assert share.n == len(known)
        assert share.share == pytest.approx(np.mean([v > 0 for v in known])) if known else share.share is None


def test_epochs_are_labelled_together_as_stretches(sim_cohort: SimCohort, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(sim_cohort.root, tmp_path / "copy")
    cohort = Cohort(tmp_path / "copy")
    rows = cohort.snapshot.sql("SELECT epoch_id, start_s FROM epoch_rows WHERE recording = (SELECT min(recording) FROM "
                               "epoch_rows) ORDER BY start_s")  # fmt: skip
    ids = rows["epoch_id"].to_numpy()[[3, 4, 5, 9]]
    written = label_epochs(cohort, ids, "odd one", "ann")
    starts = rows["start_s"].to_list()
    assert [(w.start_s, w.stop_s) for w in written] == [(starts[3], starts[3] + 90), (starts[9], starts[9] + 30)]
    assert all(w.new and w.author == "ann" for w in written)
    assert not any(w.new for w in label_epochs(cohort, ids, "odd one", "ann"))
    with pytest.raises(BadInput, match="label is empty"):
        label_epochs(cohort, ids, "", "ann")
