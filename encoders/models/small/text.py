"""The text tower: sentences of a frozen pretrained encoder, adapted and joined into one vector a text.

A caption is many statements. Each sentence is embedded alone, so that a statement weighs the same beside one other or
beside ten, and every distinct sentence is embedded once.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.models.small.config import SmallConfig

_END = re.compile(r"(?<=[.!?;])\s+(?=\S)")


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, at least one; a stop within a number or an abbreviation ends none."""
    return [part for part in _END.split(text.strip()) if part] or [text]


class TextTower(nn.Module):
    """Sentence vectors `(S, 384)` with the text that each belongs to, to unit vectors of texts."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        wide = config.text_width
        self.first = nn.Linear(config.sentence_dim, wide)
        self.second = _Residual(wide, config.dropout)
        self.third = _Residual(wide, config.dropout)
        self.weigh = nn.Linear(wide, 1)
        self.norm = nn.LayerNorm(wide)
        self.join = _Residual(wide, config.dropout)
        self.project = nn.Linear(wide, config.dim)

    def forward(self, sentences: Tensor, owner: Tensor, n: int) -> Tensor:
        """`sentences` (S, 384), `owner` (S,) the text of each, from 0 to n - 1; unit vectors (n, dim)."""
        said = self.third(self.second(self.first(sentences)))
        weight = functional.softplus(self.weigh(said))
        total = torch.zeros(n, said.shape[1], device=said.device, dtype=said.dtype)
        total = total.index_add(0, owner, said * weight)
        return functional.normalize(self.project(self.join(self.norm(total))).float(), dim=-1)


class _Residual(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.inner(x)
        return x + added


def grouped(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """All sentences of some texts, and the text of each."""
    parts = [sentences_of(text) for text in texts]
    return [s for text in parts for s in text], [i for i, text in enumerate(parts) for _ in text]
