"""The signal tower: patches of each channel, attention across channels and along time in turn, pooled to one vector.

Layers, formulas and parameter names are those of the published SleepLM checkpoint; positions are rotary, normalisation
comes after each residual sum. Attention runs through torch's scaled_dot_product_attention.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.models.recoca.config import SignalConfig

RMS_EPS = 1e-6
ROTARY_BASE = 10000.0


class Rotary(nn.Module):
    """Frequencies `(head/2,)` in radians per step; learned for channels, fixed along time."""

    freqs: Tensor

    def __init__(self, head: int, *, learned: bool) -> None:
        super().__init__()
        freqs = ROTARY_BASE ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
        if learned:
            self.freqs = nn.Parameter(freqs.float())
        else:
            self.register_buffer("freqs", freqs.float())  # persistent: published files hold it

    def table(self, steps: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines `(steps, head)`, each frequency twice in a row, for adjacent pairs."""
        steps_at = torch.arange(steps, device=self.freqs.device, dtype=torch.float32)
        angles = torch.outer(steps_at, self.freqs.float()).repeat_interleave(2, dim=1)
        return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Adjacent pairs (a, b) of the last axis become (a cos - b sin, a sin + b cos)."""
    if x.dtype == torch.float32:  # one pass: a pair is a complex number, and turning it a product
        turn = torch.complex(cos[..., ::2], sin[..., ::2])
        pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(-2)
    turned = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)
    return x * cos + turned * sin


class AxialAttention(nn.Module):
    """Self-attention over the last axis but one, rotary, without masks; q, k and v have no bias."""

    def __init__(self, width: int, heads: int, rotary: Rotary) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out_proj = nn.Linear(width, width)
        self.rotary_emb = rotary

    def forward(self, x: Tensor) -> Tensor:
        """`(n, steps, width)` to the same."""
        n, steps, width = x.shape
        cos, sin = (table.to(x.dtype) for table in self.rotary_emb.table(steps))
        split = (n, steps, self.heads, width // self.heads)
        q, k, v = (proj(x).view(split).transpose(1, 2) for proj in (self.q_proj, self.k_proj, self.v_proj))
        mixed = functional.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(n, steps, width))
        return out


class Gate(nn.Module):
    """The two branches of SwiGLU; `w1` is the one that passes through SiLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`SiLU(w1 x) * w2 x`."""
        gated: Tensor = functional.silu(self.w1(x), inplace=not self.training) * self.w2(x)
        return gated


class SwiGLU(nn.Module):
    """A feed-forward layer without biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = Gate(width, hidden)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., width)` to the same."""
        out: Tensor = self.down_proj(self.gate_proj(x))
        return out


class Block(nn.Module):
    """One layer across channels, then `num_temporal_layers` along time; each sum is normalised after it."""

    def __init__(self, config: SignalConfig, channel_rotary: Rotary) -> None:
        super().__init__()
        width, heads = config.transformer_width, config.transformer_heads
        hidden = int(width * config.mlp_ratio)
        self.channel_attention = AxialAttention(width, heads, channel_rotary)
        self.channel_norm, self.channel_mlp_norm = nn.RMSNorm(width, RMS_EPS), nn.RMSNorm(width, RMS_EPS)
        self.channel_mlp = SwiGLU(width, hidden)
        layers = range(config.num_temporal_layers)
        self.temporal_attention_layers = nn.ModuleList(
            AxialAttention(width, heads, Rotary(width // heads, learned=False)) for _ in layers
        )
        self.temporal_norms = nn.ModuleList(nn.RMSNorm(width, RMS_EPS) for _ in layers)
        self.temporal_mlps = nn.ModuleList(SwiGLU(width, hidden) for _ in layers)
        self.temporal_mlp_norms = nn.ModuleList(nn.RMSNorm(width, RMS_EPS) for _ in layers)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, patches, width)` to the same."""
        batch, channels, patches, width = x.shape
        x = x.transpose(1, 2).reshape(batch * patches, channels, width)
        x = self.channel_norm(x + self.dropout(self.channel_attention(x)))
        x = self.channel_mlp_norm(x + self.dropout(self.channel_mlp(x)))
        x = x.view(batch, patches, channels, width).transpose(1, 2).reshape(batch * channels, patches, width)
        for attention, norm, mlp, mlp_norm in zip(
            self.temporal_attention_layers,
            self.temporal_norms,
            self.temporal_mlps,
            self.temporal_mlp_norms,
            strict=True,
        ):
            x = norm(x + self.dropout(attention(x)))
            x = mlp_norm(x + self.dropout(mlp(x)))
        return x.view(batch, channels, patches, width)


def attend(attention: nn.MultiheadAttention, queries: Tensor, tokens: Tensor) -> Tensor:
    """What `attention(queries, tokens, tokens)` gives, `(batch, n, width)`.

    torch's own transposes its input first, for which the CPU then multiplies by a copy of the weights for each token.
    """
    weight, bias, width = attention.in_proj_weight, attention.in_proj_bias, attention.embed_dim
    split = (len(tokens), -1, attention.num_heads, width // attention.num_heads)
    query = functional.linear(queries, weight[:width], bias[:width]).view(split).transpose(1, 2)
    key, value = functional.linear(tokens, weight[width:], bias[width:]).chunk(2, dim=-1)
    mixed = functional.scaled_dot_product_attention(
        query, key.view(split).transpose(1, 2), value.view(split).transpose(1, 2)
    )
    out: Tensor = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    return out


class Pooler(nn.Module):
    """Learned queries that attend to all tokens."""

    def __init__(self, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.randn(1, queries, width) * width**-0.5)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(batch, n, width)` to `(batch, queries, width)`."""
        return attend(self.attn, self.query_tokens.expand(len(tokens), -1, -1), tokens)


class Patching(nn.Module):
    """Non-overlapping windows of one channel, all channels alike; stored as the convolution that it is."""

    def __init__(self, config: SignalConfig) -> None:
        super().__init__()
        self.conv_patching = nn.Conv1d(1, config.conv_embed_dim, config.patch_size, stride=config.patch_size)

    def forward(self, signals: Tensor) -> Tensor:
        """`(batch, channels, samples)` to `(batch, channels, patches, conv_embed_dim)`."""
        weight = self.conv_patching.weight
        windows = signals.view(*signals.shape[:2], -1, weight.shape[-1])
        patches: Tensor = functional.linear(windows, weight[:, 0], self.conv_patching.bias)
        return patches


class SignalTower(nn.Module):
    """Epochs `(batch, channels, samples)` to a raw joint vector and the signal tokens of the decoder."""

    def __init__(self, config: SignalConfig, embed_dim: int) -> None:
        super().__init__()
        width, heads = config.transformer_width, config.transformer_heads
        self.config = config
        self.patching = Patching(config)
        self.embed_projection = nn.Linear(config.conv_embed_dim, width)
        self.channel_id_embed = nn.Embedding(config.input_channels, width)
        self.shared_channel_rope = Rotary(width // heads, learned=True)
        self.transformer_blocks = nn.ModuleList(
            Block(config, self.shared_channel_rope) for _ in range(config.transformer_layers)
        )
        self.ln_final = nn.RMSNorm(width, RMS_EPS)
        self.contrastive_pooler = Pooler(width, heads, 1)
        self.decoder_pooler = Pooler(width, heads, config.decoder_tokens)
        self.attn_pool = nn.MultiheadAttention(width, heads, batch_first=True)
        self.proj_to_embed = nn.Linear(width, embed_dim)

    def forward(self, signals: Tensor) -> tuple[Tensor, Tensor]:
        """Raw joint vectors `(batch, embed_dim)` and signal tokens `(batch, decoder_tokens, width)`.

        Raises ValueError for another number of channels or samples: other lengths would be floored in silence.
        """
        wanted = (self.config.input_channels, self.config.signal_length)
        if tuple(signals.shape[1:]) != wanted:
            raise ValueError(f"signals of shape {tuple(signals.shape)}: expected (batch, {wanted[0]}, {wanted[1]})")
        x = self.embed_projection(self.patching(signals)) + self.channel_id_embed.weight[:, None]
        for block in self.transformer_blocks:
            x = block(x)
        tokens = self.ln_final(x).flatten(1, 2)
        summary, signal_tokens = self.contrastive_pooler(tokens), self.decoder_pooler(tokens)
        pooled = attend(self.attn_pool, summary, signal_tokens)
        return self.proj_to_embed(pooled[:, 0]), signal_tokens
