"""The exact top k from any engine: its candidates re-scored alike, and proven complete, or searched again.

An engine may score in half precision; it says by how much its scores can be off. A row that it left out cannot be in
the answer when even its largest possible score is below the k-th. So every engine returns the same ids: scores are
float32 of a float64 product with the stored float16 rows, ties ordered by id.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from index.segments import BLOCK_ROWS, Ids, Rows, Vectors, widened

SHARE_ROWS = 500_000  # from so many rows a thread on, several scan parts of them for one question


class Clock:
    """Milliseconds spent in each named stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - start) * 1e3


class Engine(ABC):
    """Finds candidate rows of one collection."""

    kind: str
    device: str

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @abstractmethod
    def error(self, *, precise: bool) -> float:
        """How far a score may be from the true product, as a share of |query| |row|."""

    @abstractmethod
    def top(
        self, queries: Vectors, k: int, positions: Ids | None, clock: Clock, *, precise: bool
    ) -> tuple[Vectors, Ids]:
        """float32 scores (q, k), best first, and int64 positions (q, k); k is at most the number of positions."""


def fp32_error(dim: int) -> float:
    """Bound of a float32 dot product of `dim` terms in any order: dim roundings of 2^-24 each."""
    return (dim + 8) * 2.0**-24


def best_first(scores: Vectors, positions: Ids, k: int) -> tuple[Vectors, Ids]:
    """The k best of each row of scores (q, m), with their positions (q, m)."""
    if scores.shape[1] > k:
        keep = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
        scores = np.take_along_axis(scores, keep, axis=1)
        positions = np.take_along_axis(positions, keep, axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)


def gathered_top(rows: Rows, queries: Vectors, k: int, positions: Ids | None, clock: Clock) -> tuple[Vectors, Ids]:
    """Bring the chosen rows to float32 piece by piece and multiply: best where few rows remain or many ask."""
    scores = np.empty((len(queries), 0), dtype=np.float32)
    found = np.empty((len(queries), 0), dtype=np.int64)
    blocks = rows.blocks(positions)
    buffer = np.empty((BLOCK_ROWS, rows.dim), dtype=np.float32)
    while True:
        with clock("gather"):
            block = next(blocks, None)
            if block is None:
                return scores, found
            at, matrix = block[0], widened(block[1], buffer)
        with clock("search"):
            here = queries @ matrix.T
            if scores.shape[1] == k:
                # Most blocks hold nothing better, which a comparison tells sooner than a partition.
                better = np.flatnonzero((here > scores[:, -1:]).any(axis=0))
                if not len(better):
                    continue
                here, at = here[:, better], at[better]
            places = np.broadcast_to(at, here.shape)
            scores, found = best_first(np.hstack([scores, here]), np.hstack([found, places]), k)


def products(rows: Rows, queries: Vectors, positions: Ids) -> Vectors:
    """float32 inner products (n, q) of these positions, in their order, scanned in parts at once."""
    found = np.empty((len(positions), len(queries)), dtype=np.float32)

    def scan(part: tuple[int, int]) -> None:
        buffer = np.empty((BLOCK_ROWS, rows.dim), dtype=np.float32)
        for start in range(*part, BLOCK_ROWS):
            at = positions[start : min(start + BLOCK_ROWS, part[1])]
            np.matmul(widened(rows.take(at), buffer), queries.T, out=found[start : start + len(at)])

    in_parts(scan, len(positions))
    return found


def in_parts(work: Callable[[tuple[int, int]], None], rows: int) -> None:
    """`work` over [start, stop) of all rows, by as many threads as there are cores where it is worth it."""
    shares = max(1, min(os.cpu_count() or 1, rows // SHARE_ROWS))
    edges = np.linspace(0, rows, shares + 1).astype(int).tolist()
    if shares == 1:
        return work((0, rows))
    with ThreadPoolExecutor(shares) as pool:
        list(pool.map(work, pairwise(edges)))
    return None


def rescored(rows: Rows, query: Vectors, positions: Ids) -> tuple[Vectors, Ids]:
    """Float32 scores and ids of these positions, best first, ties by id; the same for every engine."""
    scores = np.empty(len(positions), dtype=np.float32)
    wide = query.astype(np.float64)
    for start in range(0, len(positions), BLOCK_ROWS):
        block = widened(rows.take(positions[start : start + BLOCK_ROWS]))
        scores[start : start + len(block)] = np.einsum("nd,d->n", block, wide, dtype=np.float64)
    ids = rows.ids[positions]
    order = np.lexsort((ids, -scores))
    return scores[order], ids[order]


def search(
    engine: Engine, queries: Vectors, k: int, positions: Ids | None, clock: Clock, *, exact: bool
) -> tuple[Ids, Vectors]:
    """ids (q, k) padded with -1 and scores (q, k) padded with -inf, over the given positions (None: every row)."""
    rows = engine.rows
    n = len(rows) if positions is None else len(positions)
    ids = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    want = min(k, n)
    if want == 0:
        return ids, scores
    norms = np.linalg.norm(queries, axis=1) * rows.max_norm
    open_ = np.arange(len(queries))
    # A scan that rounds is tried once more for many more candidates: far fewer rows than one that does not.
    rounds = engine.error(precise=exact) > fp32_error(rows.dim)
    for widen, precise in ((1, exact), *(((4, False),) if rounds else ()), (8, True)):
        # An engine without rounding of its own needs few rows beyond those wanted, and each is scored once more.
        spare = max(want, 64) if engine.error(precise=precise) > fp32_error(rows.dim) else min(max(want, 64), 1024)
        wide = min(n, widen * (want + spare))
        near, candidates = engine.top(queries[open_], wide, positions, clock, precise=precise)
        slack = engine.error(precise=precise) * norms[open_]
        with clock("rescore"):
            proven = np.zeros(len(open_), dtype=bool)
            for i, query in enumerate(open_):
                found, found_ids = rescored(rows, queries[query], candidates[i])
                scores[query, :want], ids[query, :want] = found[:want], found_ids[:want]
                proven[i] = wide == n or found[want - 1] > near[i, -1] + slack[i]
        open_ = open_[~proven]
        if not len(open_):
            return ids, scores
    with clock("ties"):
        for query in open_:
            slack_q = fp32_error(rows.dim) * norms[query]
            rivals = _at_least(rows, queries[query], float(scores[query, want - 1]) - 2 * slack_q, positions)
            found, found_ids = rescored(rows, queries[query], rivals)
            scores[query, :want], ids[query, :want] = found[:want], found_ids[:want]
    return ids, scores


def _at_least(rows: Rows, query: Vectors, score: float, positions: Ids | None) -> Ids:
    """Positions whose float32 score reaches `score`: the plain scan that settles many equal rows."""
    return np.concatenate([at[widened(matrix) @ query >= score] for at, matrix in rows.blocks(positions)])
