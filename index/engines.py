"""Which engine answers, and why: named by the caller, or chosen by rows and by what the machine has."""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from index.engine_faiss_gpu import FaissGpu
from index.engine_flat import FlatCpu
from index.engine_torch import TorchFlat
from index.errors import EngineUnavailable
from index.layout import Layout
from index.ranking import Engine
from index.segments import Rows

GPU_ROWS = 200_000  # below, the CPU answers in milliseconds and loading a device costs more than it saves


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One engine of the contract suite: `verified` says on what it has passed it."""

    name: str
    device: str
    verified: str | None
    module: str
    make: Callable[[Rows, Layout], Engine]
    distribution: str | None = None  # on PyPI, where the module alone does not tell: two of them bring `faiss`


ENGINES = {
    kind.name: kind
    for kind in (
        EngineKind("flat", "cpu", "cpu", "faiss", lambda rows, layout: FlatCpu(rows, layout)),
        EngineKind("torch-cpu", "cpu", "cpu", "torch", lambda rows, layout: TorchFlat(rows, "cpu")),
        EngineKind("torch", "cuda", None, "torch", lambda rows, layout: TorchFlat(rows, "cuda")),
        EngineKind("faiss-gpu", "cuda", None, "faiss", lambda rows, layout: FaissGpu(rows), "faiss-gpu"),
    )
}


def has_nvidia_driver() -> bool:
    """Without importing torch, which takes seconds: the driver's own files (Linux, WSL)."""
    return any(Path(path).exists() for path in ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libcuda.so.1"))


def choose(name: str, rows: int) -> tuple[EngineKind, str]:
    """The engine and one line on why; EngineUnavailable names the engines there are."""
    if name != "auto":
        if name not in ENGINES:
            raise EngineUnavailable(f"engine {name!r}: expected auto, {', '.join(ENGINES)}")
        return ENGINES[name], "asked for"
    if rows < GPU_ROWS:
        return ENGINES["flat"], f"{rows:,} vectors: exact on the CPU takes milliseconds (GPU from {GPU_ROWS:,})"
    if not has_nvidia_driver():
        return ENGINES["flat"], f"{rows:,} vectors, exact; no NVIDIA driver here"
    import torch

    if not torch.cuda.is_available():
        return ENGINES["flat"], f"{rows:,} vectors, exact; a driver is here, but this torch has no CUDA"
    return ENGINES["torch"], f"{rows:,} vectors on {torch.cuda.get_device_name()}"


def _installed(kind: EngineKind) -> bool:
    if importlib.util.find_spec(kind.module) is None:
        return False
    return kind.distribution is None or any(True for _ in importlib.metadata.distributions(name=kind.distribution))


def engines_info() -> list[dict[str, object]]:
    """What each engine needs, whether its package is here, and where it has passed the contract suite."""
    return [
        {
            "engine": kind.name,
            "device": kind.device,
            "installed": _installed(kind),
            "status": f"verified on {kind.verified}" if kind.verified else "unverified",
        }
        for kind in ENGINES.values()
    ]
