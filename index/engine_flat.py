"""`flat`: FAISS on the CPU over the float16 rows as stored; the engine that the others are held to."""

import importlib
import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from index.errors import FaissMissing
from index.layout import Layout, engine_key
from index.ranking import Clock, Engine, fp32_error, gathered_top
from index.segments import Ids, Rows, Vectors

CACHE_ROWS = 100_000  # from here on the index is kept as a file that every process maps
# Up to this share of the rows gather and multiply beats FAISS's bitmap selector, and for a batch at any share: one
# conversion to float32 serves all queries (100 over 300,000 rows: 8 to 18 ms a query against 27 to 38, equal at 20).
GATHER_SHARE = 0.02
BATCH = 24
GATHER_K = 4096  # FAISS's heaps are slow for larger k


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
        few = positions is not None and len(positions) <= GATHER_SHARE * len(self.rows)
        if few or len(queries) >= BATCH or k > GATHER_K:
            return gathered_top(self.rows, queries, k, positions, clock)
        with clock("open"), self._opening:
            if self._index is None:
                self._index = self._open()
        faiss = load_faiss()

        with clock("search"):
            if positions is None:
                scores, found = self._index.search(queries, k)
            else:
                chosen = np.zeros(len(self.rows), dtype=bool)
                chosen[positions] = True
                bitmap = np.packbits(chosen, bitorder="little")
                selector = faiss.IDSelectorBitmap(bitmap)
                scores, found = self._index.search(queries, k, params=faiss.SearchParameters(sel=selector))
        return scores, found

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
