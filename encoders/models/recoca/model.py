"""The whole model, or the towers that a job needs: embedding never loads the decoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.models.recoca.config import ReCoCaConfig, SignalConfig
from encoders.models.recoca.signal_tower import SignalTower

PARTS = ("biosignals", "text", "text_decoder", "signal_decoder")  # by the prefix of their keys


@dataclass(frozen=True, slots=True)
class Forward:
    """What a training step needs, by the names of its losses; features are unit vectors."""

    signal_features: Tensor
    text_features: Tensor
    logits: Tensor
    labels: Tensor
    logit_scale: Tensor
    reconstruction: Tensor | None


class Reconstruction(nn.Module):
    """Signal tokens back to the epoch that they came from, through one pooled vector."""

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        width = config.transformer_width
        self.shape = (config.input_channels, config.signal_length)
        layer = nn.TransformerEncoderLayer(
            width, config.transformer_heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.to_signal = nn.Sequential(
            nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, self.shape[0] * self.shape[1])
        )

    def forward(self, signal_tokens: Tensor) -> Tensor:
        """`(batch, tokens, width)` to `(batch, channels, samples)`."""
        out: Tensor = self.to_signal(self.transformer(signal_tokens).mean(1))
        return out.view(-1, *self.shape)


class ReCoCa(nn.Module):
    """Signals, texts and captions in one space; parameter names are those of the published checkpoint."""

    def __init__(self, config: ReCoCaConfig, parts: Sequence[str] = PARTS) -> None:
        super().__init__()
        self.config = config
        width = config.text_cfg.width
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        if "biosignals" in parts:
            self.biosignals = SignalTower(config.biosignals_cfg, config.embed_dim)
        if "text" in parts:
            from encoders.models.recoca.text import TextTower

            self.text = TextTower(config.text_cfg, config.embed_dim)
        if "text_decoder" in parts:
            from encoders.models.recoca.text import CaptionDecoder

            self.text_decoder = CaptionDecoder(config.multimodal_cfg, config.text_cfg.vocab_size, config.prefix_len)
            self.channel_embeddings = nn.Parameter(torch.randn(config.num_caption_channels, width) * 0.02)
            self.padding_embedding = nn.Parameter(torch.randn(width) * 0.02)
        if "signal_decoder" in parts:
            self.signal_decoder = Reconstruction(config.biosignals_cfg)

    def embed_signals(self, signals: Tensor) -> Tensor:
        """Unit vectors `(batch, embed_dim)` of normalised epochs `(batch, channels, samples)`."""
        return functional.normalize(self.biosignals(signals)[0].float(), dim=-1)

    def embed_texts(self, ids: Tensor) -> Tensor:
        """Unit vectors `(batch, embed_dim)` of token ids padded to the context length."""
        return functional.normalize(self.text.embed(ids).float(), dim=-1)

    def conditions(self, indices: Tensor) -> Tensor:
        """Condition vectors `(batch, slots, width)` of caption channels `(batch, slots)`; -1 is the learned filler."""
        if (
            indices.min() < -1
            or indices.max() >= len(self.channel_embeddings)
            or indices.shape[1] > self.config.prefix_len
        ):
            raise ValueError(
                f"caption channels {indices.tolist()}: -1 to {len(self.channel_embeddings) - 1} are possible, "
                f"{self.config.prefix_len} a row at most"
            )
        table = torch.cat([self.padding_embedding[None], self.channel_embeddings])
        return table[indices + 1]

    def forward(self, signals: Tensor, ids: Tensor, indices: Tensor) -> Forward:
        """Everything that the objectives compare, for a batch of epochs and one caption each.

        `logits` are the teacher-forced scores `(batch, length - 1, vocabulary)` of `labels`; the last token is dropped.
        """
        raw, signal_tokens = self.biosignals(signals)
        raw_text, text_tokens = self.text(ids)
        logits = self.text_decoder.logits(signal_tokens, text_tokens[:, :-1], self.conditions(indices))
        rebuilt = self.signal_decoder(signal_tokens) if hasattr(self, "signal_decoder") else None
        signal_features, text_features = (functional.normalize(vectors, dim=-1) for vectors in (raw, raw_text))
        return Forward(signal_features, text_features, logits, ids[:, 1:], self.logit_scale.exp(), rebuilt)
