"""The text side on open_clip's own modules: its text tower, and its decoder with condition vectors before the text.

Imported where one of the two is built: open_clip takes seconds to load, and signals alone do not need it.
"""

import torch
from torch import Tensor, nn

from encoders.models.door import open_clip
from encoders.models.recoca.config import PAD, DecoderConfig, TextConfig

open_clip()  # through the door first: what follows imports it

from open_clip.transformer import MultimodalTransformer, TextTransformer  # noqa: E402


class TextTower(TextTransformer):  # type: ignore[misc]  # open_clip is untyped
    """Token ids to a raw joint vector; a shifted mask hides each key that follows a padding id, from every query."""

    def __init__(self, config: TextConfig, embed_dim: int) -> None:
        super().__init__(
            context_length=config.context_length, vocab_size=config.vocab_size, width=config.width, heads=config.heads,
            layers=config.layers, mlp_ratio=config.mlp_ratio, output_dim=embed_dim, embed_cls=True, pad_id=PAD,
            output_tokens=True,
        )  # fmt: skip

    def embed(self, ids: Tensor) -> Tensor:
        """Raw joint vectors `(batch, embed_dim)` of ids `(batch, length)`.

        Keys after the first padding id are visible to nobody, so they are left out; the class token keeps the place
        that it has in the padded text.
        """
        length = ids.shape[1]
        kept = min(length, int((ids != PAD).sum(1).max()) + 1)
        if (ids[:, kept:] != PAD).any():  # an id of 0 inside the text: it is a token too
            kept = length
        x = self.token_embedding(ids[:, :kept])
        x = torch.cat([x, self.cls_emb.expand(len(ids), 1, -1)], dim=1)
        places = torch.cat([self.positional_embedding[:kept], self.positional_embedding[length : length + 1]])
        before = torch.cat([ids[:, :1].new_ones(len(ids), 1), ids[:, : kept - 1], ids[:, -1:]], dim=1)
        hidden = (before == PAD)[:, None, :] | torch.ones(kept + 1, kept + 1, device=ids.device).triu(1).bool()
        mask = torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill(hidden, float("-inf"))
        x = self.transformer(x + places, attn_mask=mask.repeat_interleave(self.heads, 0))
        raw: Tensor = self.ln_final(x[:, -1]) @ self.text_projection
        return raw


class CaptionDecoder(MultimodalTransformer):  # type: ignore[misc]
    """open_clip's decoder; condition vectors stand before the text, see each other, and are seen by all of it."""

    def __init__(self, config: DecoderConfig, vocab_size: int, prefix_len: int) -> None:
        self.prefix_len = prefix_len
        super().__init__(
            width=config.width, layers=config.layers, heads=config.heads, mlp_ratio=config.mlp_ratio,
            context_length=config.context_length + prefix_len, output_dim=vocab_size,
        )  # fmt: skip
        nn.init.normal_(self.text_projection, std=config.width**-0.5)  # open_clip leaves it uninitialised

    def logits(self, signal_tokens: Tensor, text_tokens: Tensor, conditions: Tensor) -> Tensor:
        """Next-token scores `(batch, text length, vocabulary)`; `conditions` is `(batch, up to prefix_len, width)`."""
        count, length = conditions.shape[1], conditions.shape[1] + text_tokens.shape[1]
        mask = torch.full((length, length), float("-inf"), device=text_tokens.device, dtype=text_tokens.dtype).triu(1)
        mask[:, :count] = 0
        x = torch.cat([conditions.to(text_tokens.dtype), text_tokens], dim=1)
        for block, cross in zip(self.resblocks, self.cross_attn, strict=True):
            x = cross(block(x, attn_mask=mask), k_x=signal_tokens, v_x=signal_tokens)
        scores: Tensor = self.ln_final(x[:, count:]) @ self.text_projection
        return scores
