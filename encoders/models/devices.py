"""Where a model runs and in what precision, chosen by what the machine has, and said in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoders.errors import BadInput

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
CPU_BUDGET_BYTES = 400 * 2**20  # of activations; larger batches are no faster on a CPU
GPU_SHARE = 0.5  # of the memory that is free


@dataclass(frozen=True, slots=True)
class Placement:
    """A device, a dtype, and why."""

    device: "torch.device"
    dtype: "torch.dtype"
    why: str

    def __str__(self) -> str:
        return f"{self.device}, {str(self.dtype).removeprefix('torch.')} ({self.why})"


def choose_device(device: str) -> tuple["torch.device", str]:
    """The device asked for, or CUDA where there is one, and why; `BadInput` for one that is not usable here."""
    import torch

    try:
        chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as wrong:
        raise BadInput(f"device {device!r}: not usable here ({str(wrong).splitlines()[0]}); say auto or cpu") from wrong
    why = "asked for" if device != "auto" else "a CUDA device is there" if chosen.type == "cuda" else "no CUDA device"
    return chosen, why


def place(device: str = "auto", dtype: str = "auto") -> Placement:
    """The device and dtype asked for, or the best there is: half precision only where the hardware multiplies in it."""
    import torch

    if dtype not in DTYPES:
        raise BadInput(f"dtype {dtype!r}: possible are {', '.join(DTYPES)}")
    chosen, why = choose_device(device)
    if dtype != "auto":
        return Placement(chosen, getattr(torch, dtype), f"{why}; dtype asked for")
    if chosen.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Placement(chosen, torch.bfloat16, f"{why} with bfloat16")
        return Placement(chosen, torch.float16, f"{why}, without bfloat16")
    if chosen.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return Placement(chosen, torch.bfloat16, f"{why}; the CPU has bfloat16 matrix units")
    return Placement(chosen, torch.float32, f"{why}; no half-precision units")


def batch_size(placement: Placement, bytes_per_item: int) -> int:
    """How many items of that many bytes of activations go through at once."""
    import torch

    budget = CPU_BUDGET_BYTES
    if placement.device.type == "cuda":
        budget = int(GPU_SHARE * torch.cuda.mem_get_info(placement.device)[0])
    return max(1, min(512, budget // bytes_per_item))
