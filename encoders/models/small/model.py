"""The whole of `sleepsearch-small`: signal tower, text tower, and a caption decoder where its configuration has one."""

import math

import torch
from torch import Tensor, nn

from encoders.models.small.config import SmallConfig
from encoders.models.small.decoder import CaptionDecoder
from encoders.models.small.text import TextTower
from encoders.models.small.tower import Encoded, SignalTower

SCALE, BIAS = 10.0, -2.0  # of cosines, where training starts; about one text in eight is true of an epoch
MAX_SCALE = 100.0


class SmallModel(nn.Module):
    """`signals`, `texts` and `decoder` (None without); cosines times `scale`, plus `bias`, are log odds in training."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        self.signals = SignalTower(config)
        self.texts = TextTower(config)
        self.decoder: CaptionDecoder | None = None
        if config.decoder_layers:
            self.decoder = CaptionDecoder(config.width, config.decoder_layers, config.heads, len(config.words))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.logit_bias = nn.Parameter(torch.tensor(BIAS))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by."""
        return self.logit_scale.exp().clamp(max=MAX_SCALE)

    def embed_signals(self, x: Tensor, present: Tensor, night: Tensor) -> Tensor:
        """Unit vectors `(n, dim)` of inputs as `SignalTower` takes them."""
        encoded: Encoded = self.signals(x, present, night)
        return encoded.vector
