"""Searching a published cohort, and what a reader says of a damaged one."""

import importlib.util
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from index import (
    BadVectors,
    DamagedCohort,
    EngineUnavailable,
    FaissMissing,
    NotACohort,
    Snapshot,
    UnknownSpace,
    Writer,
    WrongSchema,
)
from index.layout import folder_bytes
from tests.index.conftest import DIM, SPACE, put_night, unit


def test_a_filter_goes_into_the_search(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(3)) as snapshot:
        ids = snapshot.rows("stage = 'REM' AND age > 40")
        query = unit(np.random.default_rng(0), 2)
        result = snapshot.search(SPACE, "signal", query, 8, ids=ids)
        assert result.rows_searched == len(ids) == 20
        scores = query.astype(np.float64) @ snapshot.vectors(SPACE, "signal", ids).astype(np.float64).T
        assert np.array_equal(result.ids, ids[np.argsort(-scores, axis=1)[:, :8]])
        assert {"filter", "open", "rescore"} <= set(result.ms) and result.engine == "flat"
        assert "flat on cpu (60 vectors" in repr(result)


def test_every_engine_gives_the_same_answer(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(3)) as snapshot:
        query = unit(np.random.default_rng(0), 1)
        answers = [
            snapshot.search(SPACE, "caption", query, 9, engine=engine, exact=exact)
            for engine in ("auto", "flat", "torch-cpu")
            for exact in (False, True)
        ]
    assert all(np.array_equal(a.ids, answers[0].ids) for a in answers)
    assert all(np.array_equal(a.scores, answers[0].scores) for a in answers)
    assert answers[0].ids[0, 6:].tolist() == [-1, -1, -1]


def test_captions_are_found_by_the_rows_that_say_them(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(1)) as snapshot:
        rows = pl.DataFrame({"epoch_id": snapshot.rows("epoch IN (0, 1, 6)")})
        query = "SELECT DISTINCT caption_id FROM epochs SEMI JOIN chosen USING (epoch_id) ORDER BY 1"
        captions = snapshot.sql(query, chosen=rows).to_series().to_numpy()
        assert captions.tolist() == [1, 2]
        found = snapshot.search(SPACE, "caption", unit(np.random.default_rng(0), 1), 4, ids=captions)
        assert sorted(found.ids[0].tolist()) == [-1, -1, 1, 2]


def test_questions_that_do_not_fit_are_refused_in_one_line(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(1)) as snapshot:
        query = unit(np.random.default_rng(0), 1)
        with pytest.raises(UnknownSpace, match=f"no space 'other'.*it has: {SPACE}"):
            snapshot.search("other", "signal", query, 1)
        with pytest.raises(UnknownSpace, match="no collection 'smell'"):
            snapshot.search(SPACE, "smell", query, 1)
        with pytest.raises(BadVectors, match=rf"expected finite \(q, {DIM}\)"):
            snapshot.search(SPACE, "signal", query[:, :3], 1)
        with pytest.raises(BadVectors):
            snapshot.search(SPACE, "signal", query * np.nan, 1)
        with pytest.raises(ValueError, match="k = 0"):
            snapshot.search(SPACE, "signal", query, 0)
        with pytest.raises(EngineUnavailable, match="expected auto, flat"):
            snapshot.search(SPACE, "signal", query, 1, engine="warp")


def test_without_faiss_the_error_says_what_to_install(
    make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "faiss" else find(name, *a))
    with Snapshot.open(make_cohort(1)) as snapshot:
        with pytest.raises(FaissMissing, match=r"pip install 'sleepsearch\[cpu\]'"):
            snapshot.search(SPACE, "signal", unit(np.random.default_rng(0), 1), 1)
        engines = {engine["engine"]: engine for engine in snapshot.info()["engines"]}
    assert engines["flat"]["installed"] is False and engines["faiss-gpu"]["status"] == "unverified"


def test_threads_may_share_a_snapshot_that_is_refreshed_meanwhile(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(2)
    troubles: list[BaseException] = []
    with Snapshot.open(root) as snapshot:
        stop = threading.Event()

        def ask() -> None:
            try:
                while not stop.is_set():
                    result = snapshot.search(SPACE, "signal", unit(np.random.default_rng(0), 1), 5)
                    assert (result.ids >= 0).all() and len(snapshot.rows("stage = 'N2'")) >= 20
            except BaseException as error:  # noqa: BLE001  handed to the main thread
                troubles.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(3):
            with Writer(root) as writer:
                put_night(writer, f"later{i}", seed=i)
                writer.publish()
            assert snapshot.refresh()
        stop.set()
        for thread in threads:
            thread.join()
        assert not troubles and len(snapshot.rows()) == 100


def test_info_tells_sizes_counts_and_spaces(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(2)) as snapshot:
        info = snapshot.info()
    facts = info["spaces"][SPACE]
    assert facts["dim"] == DIM and facts["encoder"] == "tiny"
    assert facts["collections"]["signal"] == {"vectors": 40, "dead": 0, "missing": 0, "segments": 1, "bytes": 1280}
    assert info["name"] == "made up" and info["default_space"] == SPACE and info["extra"] == {"made_by": "tests"}
    assert info["bytes"]["vectors"] == 40 * 40 + 6 * 40 and info["bytes"]["snapshots"] > 0
    json.dumps(info)


def test_a_folder_without_a_cohort_says_how_to_make_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotACohort, match="sleepsearch ingest SOURCE --cohort"):
            Snapshot.open(path)
    with Writer(tmp_path) as writer:
        put_night(writer, "a")
    with pytest.raises(NotACohort, match="no published snapshot here yet"):
        Snapshot.open(tmp_path)
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(NotACohort):
        Snapshot.open(file)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "manifest.json": lambda root: (root / "snapshots/000002/manifest.json").unlink(),
    "manifest.json is damaged": lambda root: _truncate(root / "snapshots/000002/manifest.json"),
    "CURRENT names '000007'": lambda root: (root / "CURRENT").write_text("000007\n") and None,
    "CURRENT names ''": lambda root: (root / "CURRENT").write_text("") and None,
    "CURRENT is missing": lambda root: (root / "CURRENT").unlink(),
    "catalog.duckdb has": lambda root: _truncate(root / "snapshots/000002/catalog.duckdb"),
    "catalog.duckdb is missing": lambda root: (root / "snapshots/000002/catalog.duckdb").unlink(),
    "seg-000003.f16 has": lambda root: _truncate(next(root.glob("vectors/*/seg-000003.f16"))),
    "seg-000003.ids is missing": lambda root: next(root.glob("vectors/*/seg-000003.ids")).unlink(),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_snapshot_gives_way_to_the_one_before_it_with_a_note(
    what: str, make_cohort: Callable[..., Path]
) -> None:
    root = make_cohort(1)
    with Writer(root) as writer:
        put_night(writer, "night1", seed=1)
        writer.publish()
    DAMAGE[what](root)
    whole = 2 if what.startswith("CURRENT") else 1
    with Snapshot.open(root) as snapshot:
        assert snapshot.number == whole and len(snapshot.rows()) == 20 * whole
        assert snapshot.note is not None and what in snapshot.note and "\n" not in snapshot.note
    with Writer(root) as writer:
        assert any(what in note for note in writer.notes)
        put_night(writer, "night2", seed=2)
        assert writer.publish() == 3
    with Snapshot.open(root) as snapshot:
        assert snapshot.note is None and len(snapshot.rows()) == 20 * (whole + 1)
        snapshot.verify()


def test_with_nothing_whole_left_the_error_names_the_next_step(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    _truncate(next(root.glob("vectors/*/*.f16")))
    for use in (lambda: Snapshot.open(root), lambda: Writer(root).__enter__()):
        with pytest.raises(DamagedCohort, match=r"has \d+ bytes, the manifest says \d+.* Restore the folder") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_found_by_verify(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    path = next(root.glob("vectors/*/*.f16"))
    raw = bytearray(path.read_bytes())
    raw[5] ^= 1
    path.write_bytes(raw)
    with Snapshot.open(root) as snapshot, pytest.raises(DamagedCohort, match="does not have the SHA-256"):
        snapshot.verify()


def test_a_newer_schema_is_refused_in_one_line(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    manifest = root / "snapshots/000001/manifest.json"
    text = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(text), "schema": 99}))
    with pytest.raises(WrongSchema, match="pip install -U sleepsearch"):
        Snapshot.open(root)
    manifest.write_text(text)
    (root / "cohort.toml").write_text("schema = 99\n")
    with pytest.raises(WrongSchema, match="cohort schema 99"):
        Snapshot.open(root)
    (root / "cohort.toml").write_text("schema = [\n")
    with pytest.raises(DamagedCohort, match="not TOML"):
        Snapshot.open(root)


def test_a_cohort_in_a_folder_that_can_not_be_written_is_read(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    folders = [p for p in [root, *root.rglob("*")] if p.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        with Snapshot.open(root) as snapshot:
            assert (snapshot.search(SPACE, "signal", unit(np.random.default_rng(0), 1), 3).ids >= 0).all()
    finally:
        for folder in folders:
            folder.chmod(0o755)


COHORTS = sorted((Path(__file__).parent / "cohorts").glob("*.zip"))


@pytest.mark.parametrize("packed", COHORTS, ids=lambda path: path.stem)
def test_a_cohort_written_by_an_earlier_release_is_still_read(packed: Path, tmp_path: Path) -> None:
    """Each release adds one: the folder that `make_cohort(2)` wrote, zipped, named by its version."""
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    with Snapshot.open(tmp_path) as snapshot:
        snapshot.verify()
        assert len(snapshot.rows("age = 41 AND stage = 'N2'")) == 10
        found = snapshot.search(SPACE, "signal", unit(np.random.default_rng(0), 1), 5)
        assert (found.ids >= 0).all()


def test_the_first_release_left_a_cohort() -> None:
    assert "0.1.0" in {path.stem for path in COHORTS}


def test_the_narrowest_relation_joins_only_the_tables_that_are_named(make_cohort: Callable[..., Path]) -> None:
    with Snapshot.open(make_cohort(1)) as snapshot:
        own = snapshot.narrowest(["epoch_id", "(stage = 'N2') AS deep"])
        further = next(
            name for name in snapshot.columns() if name not in snapshot.sql("FROM epoch_rows LIMIT 0").columns
        )
        assert own == "epoch_rows"
        for column in ("stage", further, *(c for c in snapshot.columns() if c.startswith(("night_", "subject")))):
            source = snapshot.narrowest(["epoch_id", f"{column} IS NULL"])
            query = f"SELECT epoch_id, {column} FROM {{}} ORDER BY epoch_id"
            assert source.count("JOIN") < 3 and snapshot.sql(query.format(source)).equals(
                snapshot.sql(query.format("epochs"))
            )


def test_a_file_that_goes_away_while_sizes_are_added_up_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"12345")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert folder_bytes(tmp_path) == 5
    assert folder_bytes(tmp_path / "nowhere") == 0
