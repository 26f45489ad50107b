"""Captions token by token, with every key and value computed once.

Text tokens are causal in both towers and the condition vectors never see the text, so nothing that was computed changes
as a caption grows. Scores are raw logits, as published; one beam is greedy decoding, which the published demo's three
groups of one beam amount to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from encoders.models.recoca.config import EOT, PAD, SOT
from encoders.models.recoca.model import ReCoCa


@dataclass(frozen=True, slots=True)
class Decoding:
    """How captions are decoded; lengths count the start token.

    `beams` in all, in `groups` that never meet. `force_end` writes the end token at `longest` and ends a row at id 0,
    as the reference's sampling mode does and its beam search does not.
    """

    beams: int = 1
    groups: int = 1
    longest: int = 256
    shortest: int = 16
    force_end: bool = False

    def __post_init__(self) -> None:
        if self.beams < 1 or self.groups < 1 or self.beams % self.groups:
            raise ValueError(
                f"beams {self.beams} in groups {self.groups}: beams must be a multiple of groups, both from 1"
            )
        if not 1 <= self.shortest < self.longest:
            raise ValueError(f"shortest {self.shortest}, longest {self.longest}: the first must be the smaller one")


class _Stack:
    """Blocks of open_clip with a cache: the keys and values of `rows` sequences of up to `length` positions."""

    def __init__(self, blocks: Any, rows: int, length: int, like: Tensor) -> None:
        self.blocks = blocks
        self.heads = blocks[0].attn.num_heads
        width = blocks[0].attn.embed_dim
        shape = (len(blocks), 2, rows, self.heads, length, width // self.heads)
        self.cache = like.new_empty(shape)
        self.filled = 0

    def attend(self, layer: int, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """One self-attention block over what is cached and the new positions `x` `(rows, new, width)`, all seen."""
        block = self.blocks[layer]
        rows, new, _ = x.shape
        packed = functional.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
        query, *pair = packed.view(rows, new, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        until = self.filled + new
        for kind, values in enumerate(pair):
            self.cache[layer, kind, :, :, self.filled : until] = values
        keys, values = self.cache[layer, :, :, :, :until]
        mask = None if hidden is None else ~hidden[:, None, None, :until]
        mixed = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        x = x + block.attn.out_proj(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + block.mlp(block.ln_2(x))
        return out

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows of the cache, in this order."""
        self.cache = self.cache.index_select(2, rows)


class _Captioner:
    """The two stacks over one batch of captions; `step` takes the newest ids and gives the next scores."""

    def __init__(self, model: ReCoCa, signal_tokens: Tensor, conditions: Tensor, longest: int) -> None:
        self.model = model
        rows, prefix = conditions.shape[:2]
        decoder = model.text_decoder
        self.text = _Stack(model.text.transformer.resblocks, rows, longest, signal_tokens)
        self.own = _Stack(decoder.resblocks, rows, longest + prefix, signal_tokens)
        self.cross = [_cross_pair(block, signal_tokens) for block in decoder.cross_attn]
        self.hidden = torch.zeros(rows, longest + 1, dtype=torch.bool, device=signal_tokens.device)
        if prefix:
            self._decode(conditions.to(signal_tokens.dtype))

    def step(self, ids: Tensor) -> Tensor:
        """Scores `(rows, vocabulary)` of what follows `ids` `(rows,)`, float32."""
        tower, at = self.model.text, self.text.filled
        x = (tower.token_embedding(ids) + tower.positional_embedding[at])[:, None]
        for layer in range(len(self.text.blocks)):
            x = self.text.attend(layer, x, self.hidden if self.hidden.any() else None)
        self.text.filled += 1
        self.hidden[:, at + 1] = ids == PAD  # the shifted mask of the text tower: the key after an id of 0
        decoder = self.model.text_decoder
        scores: Tensor = decoder.ln_final(self._decode(x)[:, -1]) @ decoder.text_projection
        return scores.float()

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone, in this order."""
        self.text.keep(rows)
        self.own.keep(rows)
        self.cross = [(keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self.cross]
        self.hidden = self.hidden.index_select(0, rows)

    def _decode(self, x: Tensor) -> Tensor:
        for layer, (block, (keys, values)) in enumerate(
            zip(self.model.text_decoder.cross_attn, self.cross, strict=True)
        ):
            x = self.own.attend(layer, x)
            width, heads = block.attn.embed_dim, block.attn.num_heads
            into = block.attn.in_proj_weight[:width], block.attn.in_proj_bias[:width]
            query = functional.linear(block.ln_1(x), *into).view(*x.shape[:2], heads, -1).transpose(1, 2)
            mixed = functional.scaled_dot_product_attention(query, keys, values)
            x = x + block.attn.out_proj(mixed.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.ln_2(x))
        self.own.filled += x.shape[1]
        return x


def _cross_pair(block: Any, signal_tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of the signal tokens for one cross-attention block, `(rows, heads, tokens, head)` each."""
    attention, width = block.attn, block.attn.embed_dim
    into = attention.in_proj_weight[width:], attention.in_proj_bias[width:]
    both = functional.linear(block.ln_1_kv(signal_tokens), *into)
    keys, values = both.view(*both.shape[:2], 2, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    return keys, values


@torch.inference_mode()
def generate(model: ReCoCa, signal_tokens: Tensor, indices: Tensor, decoding: Decoding | None = None) -> Tensor:
    """Ids `(rows, width)` from the start token to the end token, padded with 0.

    `signal_tokens` is `(rows, tokens, width)` of the signal tower, `indices` `(rows, slots)` the caption channels. A
    caption that reaches `longest` without an end has none.
    """
    decoding = decoding or Decoding()
    if decoding.longest > model.config.text_cfg.context_length:
        raise ValueError(f"longest {decoding.longest}: the context is {model.config.text_cfg.context_length}")
    conditions = model.conditions(indices)
    rows = signal_tokens.repeat_interleave(decoding.beams, 0), conditions.repeat_interleave(decoding.beams, 0)
    captioner = _Captioner(model, *rows, decoding.longest)
    found = (
        _greedy(captioner, len(indices), decoding) if decoding.beams == 1 else _beams(captioner, len(indices), decoding)
    )
    width = min(max(len(ids) for ids in found) + 1, decoding.longest)
    out = torch.full((len(found), width), PAD, dtype=torch.long)
    for row, ids in enumerate(found):
        ended = [*ids, EOT][:width] if ids[-1] != EOT else ids
        out[row, : len(ended)] = torch.tensor(ended)
    return out


def _greedy(captioner: _Captioner, rows: int, decoding: Decoding) -> list[list[int]]:
    """The best next id each time; rows that ended leave the batch."""
    found = [[SOT] for _ in range(rows)]
    open_rows = list(range(rows))
    newest = torch.full((rows,), SOT, device=captioner.hidden.device)
    for length in range(1, decoding.longest):
        scores = captioner.step(newest)
        if length < decoding.shortest:
            scores[:, EOT] = float("-inf")
        newest = scores.argmax(1)
        if decoding.force_end and length + 1 == decoding.longest:
            newest = torch.full_like(newest, EOT)
        going = []
        for at, (row, token) in enumerate(zip(open_rows, newest.tolist(), strict=True)):
            if token != EOT:
                found[row].append(token)
            if token != EOT and not (decoding.force_end and token == PAD):
                going.append(at)
        if not going:
            break
        if len(going) < len(open_rows):
            kept = torch.tensor(going, device=newest.device)
            captioner.keep(kept)
            newest, open_rows = newest[kept], [open_rows[at] for at in going]
    return found


class _Group:
    """One group of beams of one caption: its finished hypotheses, best `size` of them, and whether it is done."""

    def __init__(self, size: int) -> None:
        self.size, self.done = size, False
        self.finished: list[tuple[float, list[int]]] = []

    def add(self, ids: list[int], score: float) -> None:
        if len(self.finished) < self.size or score > min(self.finished, key=lambda f: f[0])[0]:
            self.finished.append((score, ids))
            if len(self.finished) > self.size:
                self.finished.remove(min(self.finished, key=lambda f: f[0]))


def _beams(captioner: _Captioner, captions: int, decoding: Decoding) -> list[list[int]]:
    """Grouped beam search on cumulative raw logits, hypotheses ranked by their sum over their length."""
    size, device = decoding.beams // decoding.groups, captioner.hidden.device
    groups = [_Group(size) for _ in range(captions * decoding.groups)]
    beams = [[SOT] for _ in range(captions * decoding.beams)]
    sums = torch.full((len(groups), size), -1e9, device=device)
    sums[:, 0] = 0
    newest = torch.full((len(beams),), SOT, device=device)
    for length in range(1, decoding.longest):
        scores = captioner.step(newest)
        if length < decoding.shortest:
            scores[:, EOT] = float("-inf")
        total = (sums.view(-1, 1) + scores).view(len(groups), -1)
        best, where = total.topk(2 * size, dim=1)
        chosen: list[tuple[float, int, int]] = []  # sum, beam it goes on from, id
        for number, group in enumerate(groups):
            first = number * size
            chosen += [(0.0, first, PAD)] * size if group.done else _advance(
                group, first, beams, list(_candidates(best[number], where[number], scores.shape[1])), length
            )  # fmt: skip
        sums = torch.tensor([c[0] for c in chosen], device=device).view(len(groups), size)
        origin = torch.tensor([c[1] for c in chosen], device=device)
        newest = torch.tensor([c[2] for c in chosen], device=device)
        beams = [[*beams[beam], token] for _, beam, token in chosen]
        if all(group.done for group in groups):
            break
        captioner.keep(origin)
    best_of: list[list[int]] = []
    for caption in range(captions):
        finished: list[tuple[float, list[int]]] = []
        for number in range(caption * decoding.groups, (caption + 1) * decoding.groups):
            group = groups[number]
            if not group.done:
                for beam in range(size):
                    ids = beams[number * size + beam]
                    group.add(ids, float(sums[number, beam]) / len(ids))
            finished += sorted(group.finished, key=lambda f: f[0])
        best_of.append(sorted(finished, key=lambda f: f[0])[-1][1])  # a later one wins a tie
    return best_of


def _candidates(best: Tensor, where: Tensor, vocabulary: int) -> Iterator[tuple[float, int, int]]:
    """(sum, beam within the group, id), best first."""
    for score, flat in zip(best.tolist(), where.tolist(), strict=True):
        yield score, flat // vocabulary, flat % vocabulary


def _advance(
    group: _Group, first: int, beams: list[list[int]], candidates: list[tuple[float, int, int]], length: int
) -> list[tuple[float, int, int]]:
    """Ends hypotheses, and gives the `size` beams that go on."""
    going: list[tuple[float, int, int]] = []
    for rank, (score, beam, token) in enumerate(candidates):
        if token == EOT:
            if rank < group.size:
                group.add(beams[first + beam], score / (length + 1))
        elif len(going) < group.size:
            going.append((score, first + beam, token))
    worst = min((score for score, _ in group.finished), default=float("-inf"))
    group.done = len(group.finished) >= group.size and worst >= candidates[0][0] / (length + 1)
    return going
