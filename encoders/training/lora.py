"""LoRA: beside each weight matrix of trained weights a product of two thin ones that learns, merged at the end.

Source: arXiv 2106.09685. Done by torch's parametrisation, so that attention's joint matrix of queries, keys and values
and every linear layer are reached alike, and the model's own code knows nothing of it.
"""

import math
from fnmatch import fnmatch

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from encoders.errors import BadInput

_LEAST = 16  # a matrix with a shorter side has nothing to save


class _Beside(nn.Module):
    """`weight + alpha / rank * up @ down`; `up` begins at 0, so that training begins at the weights given."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.empty(rank, columns, device=weight.device, dtype=weight.dtype))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.gain = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.gain * (self.up @ self.down)


def add_lora(model: nn.Module, rank: int, alpha: float, *, targets: str = "*") -> list[str]:
    """Freeze `model` and give those matrices whose names match `targets` a trainable product of that rank; says which.

    Only linear layers and attention: biases, norms and embeddings stay as they are, as do matrices with a side under
    16. A rank above half a matrix's shorter side is lowered to that; `rank * (rows + columns)` numbers of each matrix
    learn. `targets` is a pattern as of file names ("signals.*"); `BadInput` when it matches none.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found = [
        (module, name, weight, f"{path}.{name}")
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.MultiheadAttention))
        for name, weight in module.named_parameters(recurse=False)
        if weight.dim() == 2 and min(weight.shape) >= _LEAST and fnmatch(f"{path}.{name}", targets)
    ]
    if not found:
        raise BadInput(f"LoRA: no matrix has a name like {targets!r}; * takes all that are large enough")
    for module, name, weight, _ in found:
        parametrize.register_parametrization(
            module, name, _Beside(weight, min(rank, min(weight.shape) // 2), alpha), unsafe=True
        )
    return [name for *_, name in found]


def merge_lora(model: nn.Module) -> None:
    """Add each product to its matrix and forget it: the state dictionary is again that of the plain model.

    A copy.deepcopy can be merged while the model goes on learning.
    """
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module):
            continue
        merged = {name: getattr(module, name).detach().clone() for name in module.parametrizations}  # type: ignore[union-attr]
        # torch's own removal takes the weight's property from the class, which the model that was copied still uses.
        module.__class__ = type(module).__bases__[0]
        del module.parametrizations
        for name, weight in merged.items():
            module.register_parameter(name, nn.Parameter(weight))
