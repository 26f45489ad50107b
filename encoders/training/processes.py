"""One process or several: who this one is under `torchrun`, what all must agree on, and a Ctrl-C that loses nothing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import current_thread, main_thread
from types import FrameType

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from encoders.models.devices import Placement, place

_PATIENCE = timedelta(hours=12)  # the others wait while the first caches recordings


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among `world`, and where it runs."""

    rank: int
    world: int
    placement: Placement

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on together."""
        if self.world > 1:
            distributed.barrier()

    def agree(self, stop: bool, seconds: float) -> tuple[bool, float]:
        """Whether any process was asked to stop, and the longest time: all leave a loop at the same step."""
        if self.world == 1:
            return stop, seconds
        said = torch.tensor([float(stop), seconds], dtype=torch.float64).to(self.placement.device)
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return bool(said[0]), float(said[1])

    def share(self, step: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.world == 1:
            return step
        # A batch without halves or holes, or weights of an objective that is left out, leave parameters unused.
        return DistributedDataParallel(step, find_unused_parameters=True, broadcast_buffers=False)


@contextmanager
def processes(device: str, dtype: str) -> Iterator[Processes]:
    """Those that `torchrun` started, or this one alone; NCCL between GPUs, Gloo between CPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, place(device, dtype))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    placement = place(device, dtype)
    if placement.device.type == "cuda":
        chosen = torch.device("cuda", local % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
        placement = replace(placement, device=chosen)
    distributed.init_process_group("nccl" if placement.device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(distributed.get_rank(), world, placement)
    finally:
        distributed.destroy_process_group()


class Asked:
    """Whether somebody asked to stop; a second time stops at once."""

    stop = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True


@contextmanager
def stoppable() -> Iterator[Asked]:
    """Ctrl-C and SIGTERM are answered between two steps, never within one."""
    asked = Asked()
    if current_thread() is not main_thread():  # only the main thread hears signals
        yield asked
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
