"""The signal tower: any subset of twelve sensors becomes one vector, and one for each two seconds.

Each sensor's patches are tokens that know their sensor, their time and what their night is like. At each time the
sensors that are there are joined into one token by attention (absent ones are masked, not filled with zeros), and a
transformer over these steps and one token for each sensor's whole epoch gives the vectors.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.models.small.config import SmallConfig
from encoders.models.small.inputs import NIGHT
from encoders.models.small.patches import EPOCH_FEATURES, PATCH_FEATURES, STEPS, epoch_features, patch_features
from encoders.vocabulary import CHANNELS


class Encoded(NamedTuple):
    """What the tower says of a batch."""

    vector: Tensor  # (B, dim), unit
    steps: Tensor  # (B, 15, dim), unit: the same for each two seconds
    tokens: Tensor  # (B, 15 + 12, width): steps, then sensors
    there: Tensor  # (B, 15 + 12) bool
    features: Tensor  # (B, 12, 15, PATCH_FEATURES): what each patch holds, standardised
    predicted: Tensor | None  # those that were hidden, as told by the others, zero elsewhere; None when none was


class SignalTower(nn.Module):
    """See the module; means and deviations of the features are set from training data and kept with the weights."""

    patch_mean: Tensor
    patch_sd: Tensor
    epoch_mean: Tensor
    epoch_sd: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        c, small, wide = len(CHANNELS), config.patch_width, config.width
        for name, size in (("patch", PATCH_FEATURES), ("epoch", EPOCH_FEATURES)):
            self.register_buffer(f"{name}_mean", torch.zeros(c, size))
            self.register_buffer(f"{name}_sd", torch.ones(c, size))
        self.read_patch = _reader(PATCH_FEATURES, small)
        self.read_epoch = _reader(EPOCH_FEATURES, wide)
        self.night_patch, self.night_epoch = nn.Linear(NIGHT, small), nn.Linear(NIGHT, wide)
        self.sensor_patch, self.sensor_epoch = _embedding(c, small), _embedding(c, wide)
        self.scale_patch, self.scale_epoch = _gains(c, PATCH_FEATURES), _gains(c, EPOCH_FEATURES)
        self.time = _embedding(STEPS, wide)
        self.hidden_patch = _embedding(1, small)
        self.norm_patch = nn.LayerNorm(small)
        self.weigh = nn.Linear(small, config.heads)
        self.join = nn.Linear(small * config.heads, wide)
        self.first = _embedding(1, wide)
        self.layers = nn.ModuleList(_Layer(wide, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(wide)
        self.project = nn.Linear(wide, config.dim)
        self.guess = nn.Sequential(nn.Linear(wide + small, wide), nn.GELU(), nn.Linear(wide, PATCH_FEATURES))

    def forward(self, x: Tensor, present: Tensor, night: Tensor, hide: Tensor | None = None) -> Encoded:
        """`x` (B, 12, 1920) of `prepare`, `present` bool (B, 12), `night` (B, 12, NIGHT); `hide` bool (B, 12, 15)."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            x = x.float()
            patches = (patch_features(x) - self.patch_mean[:, None]) / self.patch_sd[:, None]
            whole = (epoch_features(x) - self.epoch_mean) / self.epoch_sd
            patches, whole = patches.clamp(-6, 6), whole.clamp(-6, 6)
        b = len(present)
        small = self.read_patch(patches * self.scale_patch[:, None])
        small = small + (self.night_patch(night) + self.sensor_patch)[:, :, None]
        if hide is not None:
            small = torch.where(hide[..., None], self.hidden_patch + self.sensor_patch[:, None], small)
        small = self.norm_patch(small)
        absent = (~present & present.any(1, keepdim=True))[:, :, None, None]  # attention over nothing is not a number
        weight = self.weigh(small).float().masked_fill(absent, -torch.inf).softmax(1)
        joined = torch.einsum("bcth,bcts->bths", weight.to(small.dtype), small).flatten(2)
        steps = self.join(joined) + self.time
        sensors = self.read_epoch(whole * self.scale_epoch) + self.night_epoch(night) + self.sensor_epoch
        kept = functional.pad(present, (1 + STEPS, 0), value=True)
        if hide is not None:  # an epoch's spectrum would give the hidden patches away
            kept = kept & ~functional.pad(hide.any(2), (1 + STEPS, 0))
        tokens = torch.cat([self.first.expand(b, 1, -1), steps, sensors], 1)
        for layer in self.layers:
            tokens = layer(tokens, kept)
        tokens = self.norm(tokens)
        predicted = None
        if hide is not None:
            row, sensor, step = hide.nonzero(as_tuple=True)
            guess = self.guess(torch.cat([tokens[row, 1 + step], self.sensor_patch[sensor].to(tokens.dtype)], -1))
            predicted = torch.zeros_like(patches).index_put((row, sensor, step), guess.to(patches.dtype))
        raw = self.project(tokens[:, : 1 + STEPS]).float()
        vector = functional.normalize(raw[:, 0] + raw[:, 1:].mean(1), dim=-1)  # so that a step means what it adds
        steps = functional.normalize(raw[:, 1:], dim=-1)
        return Encoded(vector, steps, tokens[:, 1:], kept[:, 1:], patches, predicted)

    @torch.no_grad()
    def standardise(self, x: Tensor, present: Tensor) -> None:
        """Set means and deviations of all features from a sample of inputs; a sensor that never comes keeps 0 and 1."""
        found = {"patch": patch_features(x.float()).transpose(1, 2), "epoch": epoch_features(x.float())[:, None]}
        for c in range(present.shape[1]):
            for name, features in found.items():
                of = features[present[:, c], :, c].flatten(0, 1)
                if len(of):
                    getattr(self, f"{name}_mean")[c] = of.mean(0)
                    getattr(self, f"{name}_sd")[c] = of.std(0).clamp(min=0.05)


def _reader(features: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, width), nn.GELU(), nn.Linear(width, width))


def _embedding(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(count, width))


def _gains(count: int, width: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(count, width))


class _Layer(nn.Module):
    """A pre-norm transformer layer; on a CPU plain products are several times as fast as torch's fused attention for
    sequences as short as these."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        b, n, width = x.shape
        query, key, value = self.qkv(self.norm(x)).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(-1, -2)).float() * (width / self.heads) ** -0.5
        weight = scores.masked_fill(~kept[:, None, None], -torch.inf).softmax(-1).to(value.dtype)
        x = x + self.out((weight @ value).transpose(1, 2).reshape(b, n, width))
        fed: Tensor = self.feed(x)
        return x + fed
