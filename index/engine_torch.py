"""`torch`: the rows on one device in float16; gather, matmul, exact re-score. Meant for CUDA, runs on any device."""

from typing import Any

import numpy as np

from index.errors import EngineUnavailable
from index.ranking import Clock, Engine, fp32_error
from index.segments import Ids, Rows, Vectors

SCORES_AT_ONCE = 1 << 27  # float32 scores held at a time: half a GiB


class TorchFlat(Engine):
    """One float16 matrix on the device. Scores in float16 first, in float32 when precise."""

    kind = "torch"

    def __init__(self, rows: Rows, device: str = "cuda") -> None:
        import torch

        super().__init__(rows)
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise EngineUnavailable("engine torch: no CUDA device here; use engine='flat' (FAISS on the CPU)")
        self.device = device
        try:
            self._matrix = torch.empty((len(rows), rows.dim), dtype=torch.float16, device=device)
            for at, halves in rows.blocks(None, size=1 << 18):
                self._matrix[at[0] : at[0] + len(at)] = torch.from_numpy(np.array(halves)).to(device)
        except torch.OutOfMemoryError:
            need = len(rows) * rows.dim * 2 / 2**30
            raise EngineUnavailable(
                f"engine torch: {need:.1f} GiB of vectors do not fit on {device}; use engine='flat'"
            ) from None

    def error(self, *, precise: bool) -> float:
        # float16: the query is rounded (2^-11), the product summed in float16 at worst pairwise and rounded once more.
        return fp32_error(self.rows.dim) + (0.0 if precise else 6 * 2.0**-11)

    def top(
        self, queries: Vectors, k: int, positions: Ids | None, clock: Clock, *, precise: bool
    ) -> tuple[Vectors, Ids]:
        import torch

        dtype = torch.float32 if precise else torch.float16
        tf32, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, False
        half_sums = torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        try:
            with torch.inference_mode():
                norms = np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-30))
                asked = torch.from_numpy(queries / norms).to(self.device).to(dtype)  # float16 ends at 65504
                where = None if positions is None else torch.from_numpy(positions).to(self.device)
                scores, found = self._scan(asked, where, k, dtype, clock)
                return scores.cpu().numpy() * norms, found.cpu().numpy()
        finally:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = half_sums

    def _scan(self, asked: Any, where: Any, k: int, dtype: Any, clock: Clock) -> tuple[Any, Any]:
        """Multiply piece by piece, keeping the best k so far."""
        import torch

        total = len(self.rows) if where is None else len(where)
        size = max(1, min(SCORES_AT_ONCE // len(asked), SCORES_AT_ONCE // self.rows.dim))
        scores = torch.empty((len(asked), 0), dtype=torch.float32, device=self.device)
        found = torch.empty((len(asked), 0), dtype=torch.int64, device=self.device)
        for start in range(0, total, size):
            stop = min(start + size, total)
            with clock("gather"):
                matrix = self._matrix[start:stop] if where is None else self._matrix[where[start:stop]]
                matrix = matrix.to(dtype)
                self._wait()
            with clock("search"):
                here = (asked @ matrix.T).float()
                best, at = here.topk(min(k, stop - start), dim=1)
                at = at + start if where is None else where[start:stop][at]
                scores, found = torch.cat([scores, best], dim=1), torch.cat([found, at], dim=1)
                if scores.shape[1] > k:
                    scores, keep = scores.topk(k, dim=1)
                    found = found.gather(1, keep)
                self._wait()
        return scores, found

    def _wait(self) -> None:
        """Kernels run in the background; without this the stages' milliseconds would lie."""
        import torch

        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
