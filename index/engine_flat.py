"""`flat`: FAISS on the CPU over the float16 rows as stored; the engine that the others are held to.

From COARSE_ROWS rows on it first scans bytes, half as much to read, and says by how much these can be off: the
farthest that any row lies from its bytes. `ranking.search` scores the best of them again and proves that no other could
be among them.
"""

import importlib
import importlib.util
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.errors import FaissMissing
from index.layout import Layout, engine_key
from index.ranking import SHARE_ROWS, Clock, Engine, best_first, fp32_error, gathered_top
from index.segments import Ids, Rows, Vectors, widened

COARSE_ROWS = 1_000_000
AHEAD_BYTES = 1 << 20  # asked for at once; systems cut larger wishes
CACHE_ROWS = 100_000  # from here on the index is kept as a file that every process maps
# Up to this share of the rows gather and multiply beats FAISS's bitmap selector (0.4 us a row gathered, 2 ns a row
# passed over), and for a batch at any share: one conversion to float32 serves all queries (100 over 300,000 rows: 8 to
# 18 ms a query against 27 to 38, equal at 20).
GATHER_SHARE = 0.005
BATCH = 24
# FAISS's heaps are slow for larger k, unless there are so many rows that nearly all are turned away at the door.
GATHER_K, GATHER_ROWS_A_K = 4096, 16


def require_faiss() -> None:
    """FaissMissing unless FAISS is installed, without paying for its import."""
    if importlib.util.find_spec("faiss") is None:
        raise FaissMissing(
            "FAISS is not installed; add it: pip install 'sleepsearch[cpu]' "
            "(or 'sleepsearch[gpu]' on Linux with an NVIDIA driver)"
        )


def load_faiss() -> Any:
    """The module, untyped: its own annotations know nothing of its Python wrappers."""
    return importlib.import_module("faiss")


class FlatCpu(Engine):
    """IndexScalarQuantizer fp16 (half the memory of float32, and faster), filtered by bitmap or by gathering."""

    kind, device = "flat", "cpu"

    def __init__(self, rows: Rows, layout: Layout) -> None:
        super().__init__(rows)
        require_faiss()
        self._folder = layout.engines(rows.segments[0].space)
        self._coarse = len(rows) >= COARSE_ROWS
        self._index: Any = None
        self._file: Path | None = None  # that it is mapped from
        self._error = 0.0  # of the bytes, as a share of the largest row
        self._opening = threading.Lock()

    def error(self, *, precise: bool) -> float:
        if self._coarse and not precise:
            self._ready()
            return fp32_error(self.rows.dim) + self._error
        return fp32_error(self.rows.dim)

    def top(
        self, queries: Vectors, k: int, positions: Ids | None, clock: Clock, *, precise: bool
    ) -> tuple[Vectors, Ids]:
        count = len(self.rows) if positions is None else len(positions)
        few = count <= GATHER_SHARE * len(self.rows)
        slow = k > GATHER_K and count < GATHER_ROWS_A_K * k and not self._coarse
        if few or slow or len(queries) >= BATCH or (self._coarse and precise):
            return gathered_top(self.rows, queries, k, positions, clock)
        with clock("open"):
            self._ready()
            self._read_in_order()
        with clock("search"):
            chosen = None
            if positions is not None:
                chosen = np.zeros(len(self.rows), dtype=bool)
                chosen[positions] = True
            shares = min(load_faiss().omp_get_max_threads(), len(self.rows) // SHARE_ROWS)
            if shares < 2 or len(queries) > 1:  # FAISS itself gives each query a thread
                return self._scan(queries, k, chosen, None)
            edges = np.linspace(0, len(self.rows), shares + 1).astype(int)
            with ThreadPoolExecutor(shares) as pool:
                parts = list(pool.map(lambda part: self._scan(queries, k, chosen, part), pairwise(edges.tolist())))
            return best_first(np.hstack([part[0] for part in parts]), np.hstack([part[1] for part in parts]), k)

    def _scan(
        self, queries: Vectors, k: int, chosen: NDArray[np.bool_] | None, part: tuple[int, int] | None
    ) -> tuple[Vectors, Ids]:
        """FAISS's own top k of the chosen rows of one part; -1 where there are fewer."""
        faiss = load_faiss()

        if chosen is None and part is None:
            found: tuple[Vectors, Ids] = self._index.search(queries, k)
            return found
        if chosen is None:
            assert part is not None
            selector = faiss.IDSelectorRange(*part)
        else:
            own = chosen
            if part is not None:
                own = np.zeros_like(chosen)
                own[slice(*part)] = chosen[slice(*part)]
            bitmap = np.packbits(own, bitorder="little")
            selector = faiss.IDSelectorBitmap(bitmap)
        found = self._index.search(queries, k, params=faiss.SearchParameters(sel=selector))
        return found

    def _ready(self) -> None:
        """Open the index, or build it, the first time it is needed."""
        with self._opening:
            if self._index is None:
                self._index = self._open()

    def _read_in_order(self) -> None:
        """Ask the system for the bytes of a large index from its first to its last.

        Where they are not in memory, a scan of the mapped file would wait for one page after the other; where they are,
        asking takes 50 ms or less a gigabyte.
        """
        if self._file is not None and self._coarse and hasattr(os, "posix_fadvise"):
            with self._file.open("rb") as file:
                for start in range(0, os.fstat(file.fileno()).st_size, AHEAD_BYTES):
                    os.posix_fadvise(file.fileno(), start, AHEAD_BYTES, os.POSIX_FADV_WILLNEED)

    def _open(self) -> Any:
        faiss = load_faiss()
        kind = f"{self.rows.segments[0].collection}-{'int8' if self._coarse else 'sqfp16'}"
        key = engine_key(self.rows.segments)
        # The name tells by how much the bytes are off.
        for path in self._folder.glob(f"{kind}-*{key}.faiss"):
            try:
                index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
                self._file = path
                self._error = float(path.stem.removeprefix(f"{kind}-").removesuffix(key).strip("-") or 0)
                return index
            except (RuntimeError, ValueError):
                pass  # a cache: what can't be read is built again
        if self._coarse:
            index, self._error = self._bytes()
            return self._kept(index, f"{kind}-{self._error:.8f}-{key}.faiss")
        index = faiss.IndexScalarQuantizer(self.rows.dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for _, halves in self.rows.blocks(None, size=1 << 20):
            index.add_sa_codes(np.ascontiguousarray(halves).view(np.uint8))  # its codes are our bytes
        return self._kept(index, f"{kind}-{key}.faiss") if len(self.rows) >= CACHE_ROWS else index

    def _bytes(self) -> tuple[Any, float]:
        """An index of one byte a dimension, and how far at most a row lies from it, as a share of the largest row."""
        faiss = load_faiss()

        index = faiss.IndexScalarQuantizer(self.rows.dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
        low, high = np.full((2, self.rows.dim), np.inf, np.float32) * [[1], [-1]]
        for _, halves in self.rows.blocks(None, size=1 << 14):
            vectors = widened(halves)
            low, high = np.minimum(low, vectors.min(axis=0)), np.maximum(high, vectors.max(axis=0))
        index.train(np.stack([low, high]).astype(np.float32))  # each dimension from its least to its greatest
        farthest = 0.0
        for _, halves in self.rows.blocks(None, size=1 << 14):
            vectors = widened(halves)
            codes = index.sa_encode(vectors)
            farthest = max(farthest, float(np.linalg.norm(vectors - index.sa_decode(codes), axis=1).max()))
            index.add_sa_codes(codes)
        return index, np.ceil(1e8 * farthest / max(self.rows.max_norm, 1e-9)) / 1e8

    def _kept(self, index: Any, name: str) -> Any:
        """The same index mapped from a file beside the cohort; the one in memory where the folder can't be written."""
        faiss = load_faiss()

        file = self._folder / name
        part = file.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            faiss.write_index(index, str(part))
            part.replace(file)
            self._file = file
        except (OSError, RuntimeError):  # read-only or full: FAISS raises RuntimeError
            part.unlink(missing_ok=True)
            return index
        return faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
