"""What SQL says of every epoch, kept as arrays: against a plain query of the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index import Snapshot, Writer, arrays
from tests.index.conftest import DIM, SPACE, put_night, unit

EXPRESSIONS = ["stage = 'N2'", "nullif(stage, 'REM') = 'N2'", "spo2_min_pct", "epoch", "(age > 41)::BOOLEAN",
               "CASE WHEN epoch > 3 THEN 2 END::TINYINT"]  # fmt: skip


def plain(snapshot: Snapshot, expression: str) -> list[object]:
    return snapshot.sql(f"SELECT {expression} AS answer FROM epochs ORDER BY epoch_id")["answer"].to_list()


def same(found: np.ndarray, right: list[object]) -> bool:
    unknown = np.isnan(found) if found.dtype.kind == "f" else found == -1
    return all(v is None if gone else v == value for gone, value, v in zip(unknown, found.tolist(), right, strict=True))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small cohorts, too, keep their arrays as files."""
    monkeypatch.setattr(arrays, "CACHE_ROWS", 1)


def files(root: Path) -> list[Path]:
    return sorted((root / "engines").glob("rows-*/*"))


def test_arrays_hold_what_a_query_says_in_the_order_of_ids(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(3)
    with Writer(root) as writer:  # put again: its rows stand last, under new ids
        put_night(writer, "night1", seed=7)
        writer.publish()
    with Snapshot.open(root) as snapshot:
        assert (np.diff(snapshot.ids) > 0).all() and len(snapshot.ids) == 60
        for expression, found in zip(EXPRESSIONS, snapshot.arrays(EXPRESSIONS), strict=True):
            assert same(found, plain(snapshot, expression)), expression
        names, of = snapshot.recordings()
        assert [names[n] for n in of] == plain(snapshot, "recording")
        captions, place = snapshot.captions()
        assert captions[place].tolist() == plain(snapshot, "caption_id")
    assert not files(root)


def test_kept_arrays_are_those_of_a_query_in_the_next_process_too(make_cohort: Callable[..., Path], kept: None) -> None:
    root = make_cohort(2)
    for _ in range(2):  # written, then found
        with Snapshot.open(root) as snapshot:
            for expression, found in zip(EXPRESSIONS, snapshot.arrays(EXPRESSIONS), strict=True):
                assert same(found, plain(snapshot, expression)) and not found.flags.writeable
        assert len(files(root)) == len(EXPRESSIONS)
    with Snapshot.open(root) as snapshot:
        assert snapshot.kept("made up", lambda: np.arange(4)).tolist() == [0, 1, 2, 3]
    with Snapshot.open(root) as snapshot:
        assert snapshot.kept("made up", lambda: np.zeros(0)).tolist() == [0, 1, 2, 3]


def test_an_array_that_was_cut_short_is_made_again(make_cohort: Callable[..., Path], kept: None) -> None:
    root = make_cohort(1)
    with Snapshot.open(root) as snapshot:
        (right,) = snapshot.arrays(["spo2_min_pct"])
    (file,) = files(root)
    for damage in (b"", file.read_bytes()[:-8], b"no array"):
        file.unlink()
        file.write_bytes(damage)
        with Snapshot.open(root) as snapshot:
            assert np.array_equal(snapshot.arrays(["spo2_min_pct"])[0], right)


def test_where_nothing_can_be_written_arrays_stay_in_memory(
    make_cohort: Callable[..., Path], kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_cohort(1)
    monkeypatch.setattr(arrays, "HELD_BYTES", 100)
    (root / "engines").write_text("in the way")
    with Snapshot.open(root) as snapshot:
        for _ in range(2):
            for expression in EXPRESSIONS:
                assert same(snapshot.arrays([expression])[0], plain(snapshot, expression))


def test_arrays_go_with_their_snapshot(make_cohort: Callable[..., Path], kept: None) -> None:
    root = make_cohort(1)
    with Snapshot.open(root) as snapshot:
        snapshot.arrays(["epoch"])
    (first,) = files(root)
    for n in range(3):
        with Writer(root) as writer:
            put_night(writer, f"later{n}", seed=n)
            writer.publish()
        assert first.exists() == (n < 2)  # the last three snapshots stay


def test_a_pinned_snapshot_stays_while_its_own_is_refreshed(make_cohort: Callable[..., Path]) -> None:
    root = make_cohort(1)
    with Snapshot.open(root) as snapshot:
        pinned = snapshot.pinned()
        with Writer(root) as writer:
            put_night(writer, "later", seed=1)
            writer.publish()
        assert snapshot.refresh() and len(snapshot.ids) == 40
        assert len(pinned.ids) == 20 == len(pinned.arrays(["epoch"])[0]) and pinned.number < snapshot.number


def test_products_are_those_of_the_rows(make_cohort: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.ranking.SHARE_ROWS", 7)  # in parts
    asked = unit(np.random.default_rng(1), 2)
    with Snapshot.open(make_cohort(3)) as snapshot:
        ids = np.append(snapshot.ids[::2], 10**6)  # the last is nobody's
        found = snapshot.products(SPACE, "signal", asked, ids)
        right = snapshot.vectors(SPACE, "signal", ids) @ asked.T
        assert asked.shape == (2, DIM) and np.isnan(found[-1]).all()
        assert np.allclose(found[:-1], right[:-1], atol=1e-6)
