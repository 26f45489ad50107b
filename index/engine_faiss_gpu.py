"""`faiss-gpu`: a float16 GpuIndexFlat; filters by gathering, since GPU indexes accept a selector and ignore it."""

import threading
from typing import Any

import numpy as np

from index.engine_flat import load_faiss, require_faiss
from index.errors import EngineUnavailable
from index.ranking import Clock, Engine, fp32_error, gathered_top
from index.segments import Ids, Rows, Vectors

MAX_K = 2048  # of FAISS's GPU selection


class FaissGpu(Engine):
    """FAISS on the first CUDA device. Not yet run on one: `info` says `unverified`."""

    kind, device = "faiss-gpu", "cuda:0"

    def __init__(self, rows: Rows) -> None:
        super().__init__(rows)
        require_faiss()
        faiss = load_faiss()

        # faiss-cpu has neither; asking for the count first, as index_cpu_to_all_gpus with no GPU fails silently.
        if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
            raise EngineUnavailable(
                "engine faiss-gpu: needs an NVIDIA driver and pip install 'sleepsearch[gpu]'; use engine='flat'"
            )
        self._resources = faiss.StandardGpuResources()
        self._busy = threading.Lock()  # its resources serve one thread at a time
        config = faiss.GpuIndexFlatConfig()
        config.useFloat16 = True
        self._index: Any = faiss.GpuIndexFlatIP(self._resources, rows.dim, config)
        for _, halves in rows.blocks(None):
            self._index.add(halves.astype(np.float32))

    def error(self, *, precise: bool) -> float:
        # Rows are float16 already; the query may be rounded to it and the product summed in it.
        return fp32_error(self.rows.dim) + (0.0 if precise else 6 * 2.0**-11)

    def top(
        self, queries: Vectors, k: int, positions: Ids | None, clock: Clock, *, precise: bool
    ) -> tuple[Vectors, Ids]:
        if k > MAX_K:
            return gathered_top(self.rows, queries, k, positions, clock)
        faiss = load_faiss()

        if positions is None and not precise:
            with clock("search"), self._busy:
                norms = np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-30))
                scores, found = self._index.search(queries / norms, k)  # float16 ends at 65504
            return scores * norms, found
        chosen = np.arange(len(self.rows)) if positions is None else positions
        with clock("gather"):
            matrix = self.rows.take(chosen).astype(np.float32)
        with clock("search"), self._busy:
            scores, at = faiss.knn_gpu(self._resources, queries, matrix, k, metric=faiss.METRIC_INNER_PRODUCT)
        return scores, chosen[at]
