"""Encoders: a registry of models that turn epochs and sentences into unit vectors."""

from encoders.models.encoder import Encoder
from encoders.models.registry import DEFAULT_ENCODER, ENCODERS, TEXT_ENCODER, load_encoder

__all__ = ["DEFAULT_ENCODER", "ENCODERS", "TEXT_ENCODER", "Encoder", "load_encoder"]
