"""Training of encoders: what is made small, from what data, and how."""

from encoders.training.objectives import (
    DashWeights,
    People,
    caption_cross_entropy,
    contrastive,
    dash,
    gathered,
    masked_patch,
    negative_weights,
    sigmoid,
)

__all__ = [
    "DashWeights",
    "People",
    "caption_cross_entropy",
    "contrastive",
    "dash",
    "gathered",
    "masked_patch",
    "negative_weights",
    "sigmoid",
]
