"""What a killed run goes on from: weights, their moving average, the optimiser, and how far it had come."""

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from encoders.errors import BadInput
from encoders.training.config import Optimiser, TrainConfig
from encoders.training.sleeplm import Model

CHECKPOINT = "checkpoint.pt"
_LOOKED_UP = ("token_embedding.weight", "channel_id_embed.weight")  # SleepLM's: a word that is never said would fade


class Average:
    """The exponential moving average of a model's weights, which is what is measured and kept in the end."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model: Model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int) -> None:
        """Move towards the weights after that step (from 1); the first steps count for more, so that chance fades."""
        decay = min(self._decay, step / (10 + step))
        mine: list[Tensor] = [*self.model.parameters()]
        theirs: list[Tensor] = [*model.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for mean, now in zip(self.model.buffers(), model.buffers(), strict=True):
            mean.copy_(now)


@dataclass(slots=True)
class State:
    """A run between two steps. No random state is kept: all that is random follows from (seed, step, process)."""

    model: Model
    average: Average
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    seconds: float = 0.0  # of training, validation left out

    def save(self, folder: Path, config: TrainConfig) -> None:
        """Write the checkpoint; whoever kills this finds the last one whole."""
        document = {
            "config": config.to_table(), "step": self.step, "seconds": self.seconds,
            "model": self.model.state_dict(), "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict(),
        }  # fmt: skip
        part = folder / f"{CHECKPOINT}.part"
        with part.open("wb") as file:
            torch.save(document, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / CHECKPOINT)

    def load(self, folder: Path, config: TrainConfig) -> bool:
        """Take up the checkpoint of `folder`; False where there is none, `BadInput` where another run wrote it."""
        path = folder / CHECKPOINT
        if not path.is_file():
            return False
        document = torch.load(path, map_location="cpu", weights_only=True)
        _same(path, document["config"], config.to_table())
        try:
            self.model.load_state_dict(document["model"])
            self.average.model.load_state_dict(document["average"])
            self.optimiser.load_state_dict(document["optimiser"])
        except (RuntimeError, ValueError) as wrong:
            raise BadInput(
                f"{path}: written by another version of this program; say --no-resume to begin again there"
            ) from wrong
        if document["scaler"]:
            self.scaler.load_state_dict(document["scaler"])
        self.step, self.seconds = int(document["step"]), float(document["seconds"])
        return True


def _same(path: Path, then: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> None:
    """What [run] says besides the seed changes nothing that is learnt, nor do the number of readers."""
    free = {("run", key) for key in now["run"] if key != "seed"} | {("data", "workers")}
    for section, keys in now.items():
        for key, value in keys.items():
            before = then.get(section, {}).get(key)
            if (section, key) not in free and before != value:
                raise BadInput(
                    f"{path}: belongs to a run with {section}.{key} = {before!r}, now {value!r}; name another output "
                    "folder, or say --no-resume to begin again there"
                )


def make_optimiser(model: nn.Module, chosen: Optimiser) -> torch.optim.AdamW:
    """AdamW over what may move; only the matrices of layers decay: no bias, norm, gain, embedding or the scale."""
    moving = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = {name for name, p in moving if p.dim() > 1 and name.endswith("weight") and not name.endswith(_LOOKED_UP)}
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in moving if name in matrices], "weight_decay": chosen.weight_decay},
        {"params": [p for name, p in moving if name not in matrices], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=chosen.lr, betas=(0.9, 0.98))
