"""A tiny deterministic encoder, and samples of the simulated cohort as it sees them."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest

from encoders.recordings import Epochs
from encoders.vocabulary import CHANNELS
from retrieval.evaluation.figures import interval
from retrieval.evaluation.sample import Sample, draw_sample
from tests.conftest import SimCohort

DIM = 48


@cache
def _direction(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(DIM)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)


class TinyEncoder:
    """Words are random directions, a text is their sum; signals are a random projection of each channel's spread."""

    name = "tiny"
    dim = DIM
    space = "tiny-00000000"
    channels: tuple[str, ...] = CHANNELS
    trained_on: tuple[str, ...] = ()
    merges_stages: Mapping[str, str] = MappingProxyType({})
    caveats: tuple[str, ...] = ()
    runs_on = "numpy"

    def __init__(self, describes: Callable[[Epochs], list[dict[str, str]]] | None = None) -> None:
        self.embedded: list[str] = []
        self.read = 0
        self._describes = describes

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded += texts
        words = [re.findall(r"\w+", text.lower()) or [""] for text in texts]
        return unit(np.stack([np.sum([_direction(word) for word in of], axis=0) for of in words]))

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        assert epochs.signals is not None and epochs.statistics is not None
        assert not epochs.signals[~epochs.present].any()  # what is absent is zero
        self.read += len(epochs)
        spread = np.log1p(epochs.signals.std(axis=2)) + np.nan_to_num(epochs.statistics.median) / 100
        return unit(spread @ np.random.default_rng(0).standard_normal((len(CHANNELS), DIM)) + 0.01)

    def describe(self, epochs: Epochs, parts: Sequence[str] | None = None) -> list[dict[str, str]]:
        return self._describes(epochs) if self._describes else [{} for _ in range(len(epochs))]


@pytest.fixture(scope="session")
def tiny_sample(sim_cohort: SimCohort) -> Sample:
    """All epochs of the simulated cohort, embedded by the tiny encoder from their files."""
    return draw_sample(sim_cohort.cohort, TinyEncoder())


@pytest.fixture(scope="session")
def told_sample(tiny_sample: Sample) -> Sample:
    """The same epochs by an encoder that knows every caption: its vectors are those of the captions' words."""
    return replace(tiny_sample, vectors=tiny_sample.texts(tiny_sample.frame["text"].to_list()))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the bootstrap's draws: no test asks for the width of an interval to the last digit."""
    monkeypatch.setitem(interval.__kwdefaults__, "draws", 40)
