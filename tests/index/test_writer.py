"""What the writer stores, how it resumes, and what stays whole when it is killed."""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index import BadVectors, CatalogConflict, CohortLocked, Snapshot, UnknownSpace, Writer, WrongSchema
from tests.index.conftest import DIM, SPACE, caption_vectors, night_tables, put_night, three_nights, unit

STEPS = ["merge", "checkpoint", "manifest", "rename", "current", "retire"]


def contents(root: Path) -> dict[str, object]:
    """Everything a reader can learn, without epoch ids and file names."""
    with Snapshot.open(root) as snapshot:
        snapshot.verify()
        epochs = snapshot.sql("SELECT * FROM epochs ORDER BY recording, start_s")
        ids = epochs["epoch_id"].to_numpy()
        found = snapshot.search(SPACE, "signal", unit(np.random.default_rng(5), 3), 7)
        names = dict(zip(ids.tolist(), zip(epochs["recording"], epochs["start_s"], strict=True), strict=True))
        captions = snapshot.sql("SELECT * FROM captions ORDER BY caption_id")
        return {
            "epochs": epochs.drop("epoch_id").to_dicts(),
            "captions": captions.to_dicts(),
            "signal": snapshot.vectors(SPACE, "signal", ids).tolist(),
            "caption": snapshot.vectors(SPACE, "caption", captions["caption_id"].to_numpy()).tolist(),
            "hits": [[names[i] for i in row] for row in found.ids.tolist()],
            "counts": snapshot.info()["counts"],
        }


def test_what_was_put_comes_out_of_the_flat_view(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(3)) as snapshot:
        row = snapshot.sql("SELECT * FROM epochs WHERE recording = 'night2' AND epoch = 4").to_dicts()[0]
        assert row["subject"] == "s-night2" and row["age"] == 42 and row["ahi_scored_per_h"] == 2.0
        assert row["start_s"] == 120.0 and row["night_start_s"] == 0.0 and row["night_stop_s"] == 600.0
        assert row["events"] == [] and row["cohort"] == "made up"
        assert "fingerprint" not in row and "night_row" not in row
        assert snapshot.info()["counts"] == {
            "captions": 6, "coverage": 3, "epochs": 60, "events": 3, "nights": 3, "recordings": 3, "subjects": 3,
        }  # fmt: skip


def test_an_epoch_belongs_to_the_shortest_night_row_that_holds_it(tmp_path: Path) -> None:
    nights = pl.DataFrame({"start_s": [0.0, 300.0], "stop_s": [600.0, 600.0], "segment": ["whole", "PAP"]})
    epochs = pl.DataFrame({"start_s": [0.0, 270.0, 300.0, 570.0, 600.0]})
    with Writer(tmp_path) as writer:
        writer.put("split", "1", {"nights": nights, "epochs": epochs})
        writer.publish()
    with Snapshot.open(tmp_path) as snapshot:
        found = snapshot.sql("SELECT segment FROM epochs ORDER BY start_s")["segment"].to_list()
    assert found == ["whole", "whole", "PAP", "PAP", None]


def test_a_recording_put_again_replaces_its_rows_and_masks_its_vectors(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(2)
    with Snapshot.open(root) as before:
        old = before.rows("recording = 'night0'")
        kept = before.rows("recording = 'night1'")
        with Writer(root) as writer:
            new = put_night(writer, "night0", seed=9, n=8)
            writer.publish()
        assert not set(new.tolist()) & set(old.tolist())
        assert len(before.rows()) == 40  # the reader goes on with what it opened
        assert before.refresh() and not before.refresh()
        assert sorted(before.rows().tolist()) == sorted([*kept.tolist(), *new.tolist()])
        result = before.search(SPACE, "signal", unit(np.random.default_rng(0), 1), 40)
        assert set(result.ids[0].tolist()) == {-1, *kept.tolist(), *new.tolist()} and result.rows_searched == 28
        assert np.isnan(before.vectors(SPACE, "signal", old)).all()
        facts = before.info()["spaces"][SPACE]["collections"]["signal"]
        assert (facts["vectors"], facts["dead"], facts["missing"]) == (28, 20, 0)


def test_captions_and_subjects_that_nobody_has_any_more_go(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(2)
    with Writer(root) as writer:
        writer.remove("night0")
        writer.put("night1", "2", {"epochs": pl.DataFrame({"start_s": [0.0], "caption_id": [3]})})
        writer.publish()
    with Snapshot.open(root) as snapshot:
        assert snapshot.sql("SELECT caption_id FROM captions").to_series().to_list() == [3]
        assert snapshot.info()["counts"]["subjects"] == 0
        assert snapshot.search(SPACE, "caption", unit(np.random.default_rng(0), 1), 5).ids[0, 0] == 3


def test_a_caption_that_returns_finds_its_vector_still_there(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    with Writer(root) as writer:
        writer.remove("night0")
        writer.publish()
        tables = night_tables("night0")
        writer.put("night0", "again", tables)
        assert len(writer.missing(SPACE, "caption")) == 0
        assert len(writer.missing(SPACE, "signal")) == 20
        assert writer.missing("other-00000000", "caption", np.array([5, 5, 77])).tolist() == [5, 77]


def test_vectors_stored_twice_are_kept_once(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        ids = writer.put("a", "1", {"epochs": pl.DataFrame({"start_s": [0.0, 30.0]})})
        x = unit(np.random.default_rng(0), 2)
        assert writer.add_vectors(SPACE, "signal", ids, x) == 2
        assert writer.add_vectors(SPACE, "signal", ids, -x) == 0
        writer.publish(default_space=SPACE)
    with Snapshot.open(tmp_path) as snapshot:
        assert np.allclose(snapshot.vectors(SPACE, "signal", ids[::-1]), x[::-1], atol=1e-3)
        assert snapshot.default_space == SPACE


def test_one_run_publishes_one_segment_a_collection(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(5)
    assert len(list(root.glob("vectors/*/*.f16"))) == 2
    with Writer(root) as writer:
        put_night(writer, "later", seed=1)
        put_night(writer, "even later", seed=2)
        writer.publish()
    assert len(list(root.glob("vectors/*/*.f16"))) == 3  # no caption was new


def test_types_are_widened_and_unknown_columns_are_null(tmp_path: Path) -> None:
    steps: list[dict[str, object]] = [
        {"x": [1], "late": [None]},
        {"x": [1.5], "late": [True]},
        {"x": [None], "late": [None], "tags": [[]]},
        {"X": [2], "new": ["a"], "tags": [["t"]]},
    ]
    with Writer(tmp_path) as writer:
        for i, columns in enumerate(steps):
            writer.put(f"r{i}", "1", {"epochs": pl.DataFrame({"start_s": [0.0], **columns})})
        writer.put("cat", "1", {"epochs": pl.DataFrame({"new": pl.Series(["c"], dtype=pl.Categorical)})})
        writer.put(
            "sub", "1", {"subjects": pl.DataFrame({"subject": [7]}), "recordings": pl.DataFrame({"subject": [7]})}
        )
        writer.publish()
    with Snapshot.open(tmp_path) as snapshot:
        columns = snapshot.columns()
        assert columns["x"] == "DOUBLE" and columns["late"] == "BOOLEAN" and columns["tags"] == "VARCHAR[]"
        rows = snapshot.sql("SELECT x, late, new, tags FROM epochs ORDER BY recording").rows()
    assert rows == [
        (None, None, "c", None), (1.0, None, None, None), (1.5, True, None, None), (None, None, None, []),
        (2.0, None, "a", ["t"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"epochs": {"age": ["old"]}}, "column 'age': the catalog has BIGINT, these rows have VARCHAR"),
        ({"nights": {"recording": ["other"]}}, "rows of another recording"),
        ({"captions": {"text": ["no id"]}}, "needs a caption_id"),
        ({"recordings": {"site": ["a", "b"]}}, "2 rows for `recordings`"),
        ({"segments": {"a": [1]}}, "can't be a table's name"),
        ({"x; DROP": {"a": [1]}}, "can't be a table's name"),
        ({"events": {"A": [1], "a": [1]}}, "differ only in case"),
        ({"events": {"start_s": ["soon"]}}, "Could not convert string 'soon'"),
    ],
)
def test_a_table_that_contradicts_the_catalog_is_refused_whole(
    tables: dict[str, dict[str, list[object]]], words: str, tmp_path: Path
) -> None:
    with Writer(tmp_path) as writer:
        writer.put("a", "1", {"epochs": pl.DataFrame({"start_s": [0.0], "age": [3]})})
        with pytest.raises(CatalogConflict, match=words):
            writer.put("b", "1", {name: pl.DataFrame(columns) for name, columns in tables.items()})
        assert writer.fingerprints() == {"a": "1"}
        writer.put("a", "2", {"epochs": pl.DataFrame({"start_s": [0.0], "age": [4]})})


def test_bad_vectors_are_refused(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        x = unit(np.random.default_rng(0), 2)
        writer.add_vectors(SPACE, "signal", np.array([1]), x[:1])
        with pytest.raises(BadVectors, match="row 1 is not finite"):
            writer.add_vectors(SPACE, "signal", np.array([2, 3]), np.array([x[0], x[0] * np.nan]))
        with pytest.raises(BadVectors, match="3 ids for 2 vectors"):
            writer.add_vectors(SPACE, "signal", np.arange(3), x)
        with pytest.raises(BadVectors, match=f"the space has {DIM}"):
            writer.add_vectors(SPACE, "caption", np.arange(2), x[:, :4])
        with pytest.raises(UnknownSpace, match="signal, caption"):
            writer.add_vectors(SPACE, "smell", np.arange(2), x)
        with pytest.raises(UnknownSpace, match="default space 'nope'"):
            writer.publish(default_space="nope")


def test_a_second_writer_is_refused_with_the_first_ones_process(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    with Writer(root), pytest.raises(CohortLocked, match=f"process {os.getpid()} is writing"), Writer(root):
        pass
    with Writer(root):
        pass


def test_nothing_changed_publishes_nothing(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    with Writer(root) as writer:
        assert writer.fingerprints() == {"night0": "print-night0-0-20"}
        assert writer.publish() == 1
    assert [p.name for p in (root / "snapshots").iterdir()] == ["000001"]


def test_an_empty_run_still_makes_a_cohort(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        assert writer.publish() == 1
    with Snapshot.open(tmp_path) as snapshot:
        assert len(snapshot.rows("start_s > 0")) == 0 and snapshot.default_space is None


def test_the_last_three_snapshots_stay_and_an_open_reader_of_an_older_one_goes_on(
    make_cohort: Callable[..., Path],
) -> None:
    root = make_cohort(2)
    with Snapshot.open(root) as reader:
        for seed in range(1, 5):
            with Writer(root) as writer:
                writer.remove("night1")
                put_night(writer, "night0", seed=seed)
                writer.publish()
        assert sorted(p.name for p in (root / "snapshots").iterdir()) == ["000003", "000004", "000005"]
        result = reader.search(SPACE, "signal", unit(np.random.default_rng(0), 1), 100)
        assert (result.ids[0] >= 0).sum() == 40 and len(reader.rows("age = 41")) == 20
    with Snapshot.open(root) as now:
        now.verify()


def test_a_run_that_ended_early_is_taken_up_again(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    root = make_cohort(1)
    with Writer(root) as writer:
        put_night(writer, "night1", seed=1)
        writer.put("night2", "print-night2-2-20", night_tables("night2", seed=2))  # its vectors never came
    with Snapshot.open(root) as snapshot:
        assert len(snapshot.rows()) == 20
    with Writer(root) as writer:
        assert set(writer.fingerprints()) == {"night0", "night1", "night2"}
        left = writer.missing(SPACE, "signal")
        assert len(left) == 20
        assert writer.sql("SELECT DISTINCT recording FROM epoch_rows e JOIN l USING (epoch_id)",
                          l=pl.DataFrame({"epoch_id": left})).item() == "night2"  # fmt: skip
        new = writer.missing(SPACE, "caption")
        writer.add_vectors(SPACE, "caption", new, caption_vectors(new))
        writer.add_vectors(SPACE, "signal", left, unit(np.random.default_rng(102), 20))
        writer.publish()
    assert contents(root) == contents(make_cohort(3, "clean"))


def test_a_run_grown_from_another_snapshot_is_dropped(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    with Writer(root) as writer:
        put_night(writer, "night1", seed=1)
    (root / "snapshots" / "000002.tmp").rename(root / "snapshots" / "000009.tmp")
    with Writer(root) as writer:
        assert set(writer.fingerprints()) == {"night0", "night1"}  # its number does not matter
        writer.publish()
        put_night(writer, "night2", seed=2)
    (root / "CURRENT").write_text("000001\n")
    manifest = root / "snapshots" / "000009" / "manifest.json"
    manifest.unlink()
    with Writer(root) as writer:
        assert set(writer.fingerprints()) == {"night0"}
        assert any("dropped" in note for note in writer.notes)


def test_an_older_schema_is_searched_but_not_written(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    manifest = root / "snapshots" / "000001" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": 0}))
    with Snapshot.open(root) as snapshot:
        assert len(snapshot.rows()) == 20
    with pytest.raises(WrongSchema, match="can be searched but not written"), Writer(root):
        pass


def _write(root: Path, kill_at: int, said: Connection) -> None:
    """Three nights, each step said; killed at that step (0: never)."""
    at = []

    def on_step(step: str) -> None:
        at.append(step)
        said.send(step)
        if len(at) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with Writer(root, on_step=on_step) as writer:
        three_nights(writer)


def run_child(root: Path, kill_at: int) -> tuple[int | None, list[str]]:
    """In a process of its own; all of them are forked from one that has the imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_write, args=(root, kill_at, theirs))
    child.start()
    theirs.close()
    steps: list[str] = []
    with ours, suppress(EOFError):
        while True:
            steps.append(ours.recv())
    child.join()
    return child.exitcode, steps


@pytest.mark.slow
def test_a_writer_killed_at_any_step_loses_nothing_and_its_successor_finishes(
    make_cohort: Callable[..., Path],
) -> None:
    clean = make_cohort(3, "clean")
    begun = make_cohort(1, "begun")
    expected, before = contents(clean), contents(begun)
    returncode, steps = run_child(make_cohort(1, "whole"), 0)
    assert returncode == 0
    assert [s for s in STEPS if s in steps] == STEPS and {"begin", "put", "segment", "vectors"} <= set(steps)
    for kill_at in range(1, len(steps) + 1):
        root = shutil.copytree(begun, begun.with_name(f"killed-{kill_at}"))
        with Snapshot.open(root) as reader:
            asked = unit(np.random.default_rng(5), 2)
            answer = reader.search(SPACE, "signal", asked, 7)
            returncode, seen = run_child(root, kill_at)
            assert returncode == -signal.SIGKILL and seen == steps[:kill_at]
            again = reader.search(SPACE, "signal", asked, 7)
            assert np.array_equal(again.ids, answer.ids) and np.array_equal(again.scores, answer.scores)
            assert len(reader.rows("age = 40")) == 20
        # A newcomer sees the old snapshot whole, or the new one whole: never something between.
        published = contents(root)
        assert published == (expected if "current" in seen else before), seen[-1]
        with Writer(root) as writer:
            three_nights(writer)
        assert contents(root) == expected, seen[-1]
        left = {p.name for p in root.rglob("*") if p.suffix in (".tmp", ".part", ".wal")}
        assert not left, seen[-1]
        named = {s.name for s in Snapshot.open(root).manifest.segments}
        assert {p.stem for p in root.glob("vectors/*/*")} >= named


RECORDINGS = st.sampled_from(["a", "b", "c"])
ACTIONS = st.one_of(
    st.tuples(st.just("put"), RECORDINGS, st.integers(0, 6)),
    st.tuples(st.just("remove"), RECORDINGS, st.just(0)),
    st.tuples(st.just("publish"), st.just(""), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


@given(st.lists(ACTIONS, max_size=7))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence_of_changes_equals_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, int]]
) -> None:
    root = tmp_path_factory.mktemp("model")
    model: dict[str, int] = {}
    vectors: dict[int, np.ndarray] = {}
    rng = np.random.default_rng(0)
    writer = Writer(root).__enter__()
    for action, recording, n in actions:
        if action == "put":
            ids = writer.put(recording, str(n), {"epochs": pl.DataFrame({"start_s": np.arange(n) * 30.0})})
            assert not set(ids.tolist()) & set(vectors)
            x = unit(rng, n)
            writer.add_vectors(SPACE, "signal", ids, x)
            vectors.update(zip(ids.tolist(), x, strict=True))
            model[recording] = n
        elif action == "remove":
            writer.remove(recording)
            model.pop(recording, None)
        elif action == "publish":
            writer.publish()
        else:
            writer.__exit__(None, None, None)
            writer = Writer(root).__enter__()
        assert writer.fingerprints() == {name: str(n) for name, n in model.items()}
    writer.publish()
    writer.__exit__(None, None, None)
    with Snapshot.open(root) as snapshot:
        counted = snapshot.sql("SELECT recording, count(*) AS n FROM epochs GROUP BY recording").rows()
        assert dict(counted) == {name: n for name, n in model.items() if n}
        live = snapshot.rows()
        if len(live):
            asked = unit(rng, 1)
            found = snapshot.search(SPACE, "signal", asked, len(live))
            halves = np.array([vectors[i] for i in live.tolist()]).astype(np.float16).astype(np.float64)
            best = np.lexsort((live, -(halves @ asked[0].astype(np.float64)).astype(np.float32)))
            assert found.ids[0].tolist() == live[best].tolist()
            assert np.array_equal(snapshot.vectors(SPACE, "signal", live), halves.astype(np.float32))
