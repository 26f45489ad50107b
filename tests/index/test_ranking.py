"""The contract of every engine, against the dumb twin: a float64 product of all stored rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index import engine_flat, ranking
from index.engines import ENGINES
from index.errors import EngineUnavailable
from index.layout import Layout
from index.ranking import Clock, Engine
from index.segments import Rows, to_halves, widened, write_segment

N, DIM = 4000, 24


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


needs_gpu = pytest.mark.skipif(not _has_cuda(), reason="no CUDA device: this engine stays `unverified`")
KINDS = [
    "flat",
    "flat, bytes first",
    "torch-cpu",
    pytest.param("torch", marks=needs_gpu),
    pytest.param("faiss-gpu", marks=needs_gpu),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Rows]:
    """Three segments; ids neither dense nor ascending; every eighth row equals its neighbour, so that scores tie."""
    rng = np.random.default_rng(7)
    layout = Layout(tmp_path_factory.mktemp("cohort"))
    x = rng.standard_normal((N, DIM)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[8::8] = x[7:-1:8]
    ids = rng.permutation(10 * N)[:N].astype(np.int64)
    cuts = [(0, 1500), (1500, 1501), (1501, N)]
    parts = [(ids[a:b], to_halves(x[a:b], what="made up")) for a, b in cuts]
    segments = [write_segment(layout, "tiny", "signal", [part], DIM) for part in parts]
    return layout, Rows(layout, [s for s in segments if s is not None])


def made(kind: str, rows: Rows, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Engine:
    name, _, coarse = kind.partition(",")
    monkeypatch.setattr(engine_flat, "COARSE_ROWS", 1 if coarse else N + 1)
    return ENGINES[name].make(rows, layout)


@pytest.fixture
def engine(stored: tuple[Layout, Rows], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    layout, rows = stored
    try:
        return made(request.param, rows, layout, monkeypatch)
    except EngineUnavailable as error:
        pytest.skip(str(error))


def twin(rows: Rows, query: np.ndarray, k: int, positions: np.ndarray | None) -> tuple[list[int], np.ndarray]:
    at = np.arange(len(rows)) if positions is None else positions
    matrix = np.concatenate([block for _, block in rows.blocks(None)]).astype(np.float64)[at]
    scores = (matrix * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    best = sorted(zip((-scores).tolist(), rows.ids[at].tolist(), strict=True))[:k]
    return [i for _, i in best], -np.array([s for s, _ in best], dtype=np.float32)


def queries(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


@pytest.mark.parametrize("engine", KINDS, indirect=True)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("n_queries", [1, 30])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 1.0])
def test_k_come_back_when_k_match(engine: Engine, share: float, n_queries: int, *, exact: bool) -> None:
    some = np.sort(np.random.default_rng(3).permutation(N)[: int(share * N)])
    positions = None if share == 1.0 else some
    asked = queries(n_queries)
    k = min(10, int(share * N))
    ids, scores = ranking.search(engine, asked, k, positions, Clock(), exact=exact)
    for row in range(n_queries):
        expected, expected_scores = twin(engine.rows, asked[row], k, positions)
        assert ids[row].tolist() == expected
        assert np.array_equal(scores[row], expected_scores)


@pytest.mark.parametrize("engine", KINDS, indirect=True)
def test_fewer_matches_than_k_are_padded(engine: Engine) -> None:
    ids, scores = ranking.search(engine, queries(2), 9, np.array([3, 5]), Clock(), exact=False)
    assert (ids[:, 2:] == -1).all() and np.isneginf(scores[:, 2:]).all()
    assert set(ids[0, :2].tolist()) == set(engine.rows.ids[[3, 5]].tolist())


@pytest.mark.parametrize("engine", KINDS, indirect=True)
def test_nothing_matches_an_empty_filter(engine: Engine) -> None:
    ids, scores = ranking.search(engine, queries(1), 4, np.empty(0, dtype=np.int64), Clock(), exact=False)
    assert ids.tolist() == [[-1] * 4] and np.isneginf(scores).all()


@pytest.mark.parametrize("engine", KINDS, indirect=True)
@pytest.mark.parametrize("k", [2500, N, N + 3])
def test_k_beyond_2048_is_exact(engine: Engine, k: int) -> None:
    asked = queries(1)
    ids, _ = ranking.search(engine, asked, k, None, Clock(), exact=False)
    assert ids[0, : min(k, N)].tolist() == twin(engine.rows, asked[0], k, None)[0]
    assert (ids[0, N:] == -1).all()


@pytest.mark.parametrize("engine", KINDS, indirect=True)
def test_a_query_is_not_renormalised(engine: Engine) -> None:
    asked = queries(1)
    _, once = ranking.search(engine, asked, 3, None, Clock(), exact=False)
    for factor in (3, 1e6, 0):  # float16 ends at 65504
        _, scaled = ranking.search(engine, asked * np.float32(factor), 3, None, Clock(), exact=False)
        assert np.allclose(scaled, once * factor)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_equal_rows_come_in_the_order_of_their_ids(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    x = np.random.default_rng(0).standard_normal((1200, DIM)).astype(np.float32)
    x[100:1100] = x[100]
    ids = np.random.default_rng(1).permutation(1200).astype(np.int64)
    segment = write_segment(layout, "tiny", "signal", [(ids, to_halves(x, what=""))], DIM)
    assert segment is not None
    rows = Rows(layout, [segment])
    clock = Clock()
    found, _ = ranking.search(made(kind, rows, layout, monkeypatch), x[100:101], 5, None, clock, exact=False)
    assert found[0].tolist() == twin(rows, x[100], 5, None)[0]
    assert "ties" in clock.ms


def test_an_index_kept_on_disk_answers_as_the_one_in_memory(
    stored: tuple[Layout, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, rows = stored
    fresh = engine_flat.FlatCpu(rows, layout).top(queries(2), 10, None, Clock(), precise=False)
    monkeypatch.setattr(engine_flat, "CACHE_ROWS", 1)
    for _ in range(2):  # written, then found
        kept = engine_flat.FlatCpu(rows, layout).top(queries(2), 10, None, Clock(), precise=False)
        assert np.array_equal(kept[1], fresh[1])
    (file,) = layout.engines("tiny").glob("*-sqfp16-*")
    file.write_bytes(b"not an index")
    again = engine_flat.FlatCpu(rows, layout).top(queries(2), 10, None, Clock(), precise=False)
    assert np.array_equal(again[1], fresh[1])


def test_bytes_are_no_farther_off_than_they_say_nor_when_found_again(
    stored: tuple[Layout, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, rows = stored
    monkeypatch.setattr(engine_flat, "COARSE_ROWS", 1)
    asked = queries(1)
    asked /= np.linalg.norm(asked)
    matrix = np.concatenate([block for _, block in rows.blocks(None)]).astype(np.float64)
    for _ in range(2):  # written, then found
        engine = engine_flat.FlatCpu(rows, layout)
        bound = engine.error(precise=False) * rows.max_norm
        scores, places = engine.top(asked, N, None, Clock(), precise=False)
        off = np.abs(scores[0] - matrix[places[0]] @ asked[0])
        assert 0 < off.max() <= bound < 0.05
    assert len([*layout.engines("tiny").glob("*-int8-*")]) == 1


def test_halves_are_widened_as_a_cast_does() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = np.concatenate([every[np.isfinite(every)]] * 9).reshape(-1, 8)
    assert np.array_equal(widened(finite), finite.astype(np.float32))
    out = np.empty((len(finite) + 5, 8), np.float32)
    assert np.array_equal(widened(finite, out), finite.astype(np.float32)) and np.shares_memory(
        widened(finite, out), out
    )


@pytest.mark.parametrize("most", [1.0, 0.5, 0.04])
def test_parts_scanned_by_threads_answer_as_the_whole(
    most: float, stored: tuple[Layout, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, rows = stored
    chosen = None if most == 1.0 else np.arange(0, len(rows), round(1 / most), dtype=np.int64)
    k = 10
    whole = engine_flat.FlatCpu(rows, layout).top(queries(1), k, chosen, Clock(), precise=False)
    monkeypatch.setattr(engine_flat, "SHARE_ROWS", 100)
    monkeypatch.setattr(engine_flat.load_faiss(), "omp_get_max_threads", lambda: 3)
    scanned: list[object] = []
    plain = engine_flat.FlatCpu._scan
    monkeypatch.setattr(engine_flat.FlatCpu, "_scan", lambda *of: scanned.append(of[-1]) or plain(*of))
    parts = engine_flat.FlatCpu(rows, layout).top(queries(1), k, chosen, Clock(), precise=False)
    assert len(scanned) == 3 and np.array_equal(parts[1], whole[1]) and np.array_equal(parts[0], whole[0])


@pytest.mark.parametrize("name", ["torch", "faiss-gpu"])
def test_an_engine_that_can_not_run_here_names_another(name: str, stored: tuple[Layout, Rows]) -> None:
    if _has_cuda():
        pytest.skip("it can run here")
    layout, rows = stored
    make: Callable[[Rows, Layout], Engine] = ENGINES[name].make
    with pytest.raises(EngineUnavailable, match="use engine='flat'"):
        make(rows, layout)


def test_half_precision_errors_stay_within_their_bound(stored: tuple[Layout, Rows]) -> None:
    layout, rows = stored
    engine = ENGINES["torch-cpu"].make(rows, layout)
    asked = queries(5)
    exact = asked.astype(np.float64) @ np.concatenate([b for _, b in rows.blocks(None)]).astype(np.float64).T
    for precise in (False, True):
        scores, at = engine.top(asked, N, None, Clock(), precise=precise)
        off = np.abs(scores - np.take_along_axis(exact, at, axis=1)).max(axis=1)
        assert (off <= engine.error(precise=precise) * np.linalg.norm(asked, axis=1) * rows.max_norm).all()
