"""`flat`: FAISS on the CPU over the float16 rows as stored; the engine that the others are held to."""

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
from index.segments import Ids, Rows, Vectors

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
        first = rows.segments[0]
        name = f"{first.collection}-sqfp16-{engine_key(rows.segments)}.faiss"
        self._file = layout.engines(first.space) / name
        self._index: Any = None
        self._opening = threading.Lock()

    def error(self, *, precise: bool) -> float:
        return fp32_error(self.rows.dim)

    def top(
        self, queries: Vectors, k: int, positions: Ids | None, clock: Clock, *, precise: bool
    ) -> tuple[Vectors, Ids]:
        count = len(self.rows) if positions is None else len(positions)
        few = count <= GATHER_SHARE * len(self.rows)
        if few or len(queries) >= BATCH or (k > GATHER_K and count < GATHER_ROWS_A_K * k):
            return gathered_top(self.rows, queries, k, positions, clock)
        with clock("open"), self._opening:
            if self._index is None:
                self._index = self._open()
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

    def _open(self) -> Any:
        faiss = load_faiss()

        if self._file.is_file():
            try:
                return faiss.read_index(str(self._file), faiss.IO_FLAG_MMAP_IFC)
            except RuntimeError:
                pass  # a cache: what can't be read is built again
        index = faiss.IndexScalarQuantizer(self.rows.dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for _, halves in self.rows.blocks(None, size=1 << 20):
            index.add_sa_codes(np.ascontiguousarray(halves).view(np.uint8))  # its codes are our bytes
        if len(self.rows) >= CACHE_ROWS:
            return self._kept(index)
        return index

    def _kept(self, index: Any) -> Any:
        """The same index mapped from a file beside the cohort; the one in memory where the folder can't be written."""
        faiss = load_faiss()

        part: Path = self._file.with_suffix(f".{os.getpid()}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            faiss.write_index(index, str(part))
            part.replace(self._file)
        except (OSError, RuntimeError):  # read-only or full: FAISS raises RuntimeError
            part.unlink(missing_ok=True)
            return index
        return faiss.read_index(str(self._file), faiss.IO_FLAG_MMAP_IFC)
