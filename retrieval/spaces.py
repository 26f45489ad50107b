"""Which encoder a cohort's questions use, and how a caption becomes a vector of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.models import TEXT_ENCODER, Encoder
from index import Snapshot


def encoder_of(snapshot: Snapshot) -> str:
    """The encoder of the cohort's default space, by the name that leads back to its weights."""
    return str(snapshot.spaces().get(snapshot.default_space or "", {}).get("encoder", TEXT_ENCODER))


def public_name(encoder: Encoder) -> str:
    """An encoder's name as it may be shown and passed on: folders of this machine may hold a person's name."""
    scheme, _, path = encoder.name.partition(":")
    return f"{scheme}:{Path(path).name}" if Path(path).is_absolute() else encoder.name


def caption_vectors(
    captions: pl.DataFrame, parts: Sequence[str], embed: Callable[[Sequence[str]], NDArray[Any]], dim: int
) -> NDArray[np.float32]:
    """Unit vectors `(len(captions), dim)` of what these parts say; zero where they say nothing.

    A caption's vector is the unit mean of its parts' vectors: the parts say unrelated things, and a sentence encoder
    keeps one statement apart better than five in one text. Each distinct sentence is embedded once.
    """
    sentences = sorted({text for part in parts for text in captions[part] if text})
    place = {text: i for i, text in enumerate(sentences)}
    vectors = embed(sentences) if sentences else np.zeros((0, dim), np.float32)
    means = np.zeros((captions.height, dim), np.float32)
    for row, texts in enumerate(captions.select(parts).iter_rows()):
        if said := [place[text] for text in texts if text]:
            means[row] = vectors[said].mean(axis=0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return means
