"""What every encoder offers: signals and sentences as unit vectors of one space."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from encoders.recordings.epochs import Epochs


class Encoder(Protocol):
    """A frozen model behind a name.

    `space` names the vectors (`<encoder>-<8 hex of the weights' SHA-256>`); vectors of different spaces are never
    compared. `channels` are those of `vocabulary.CHANNELS` that it reads; empty for an encoder of sentences alone.
    `trained_on` names cohorts and subjects that it has seen, `caveats` what must be said beside its generated captions.
    `merges_stages` gives each stage that it never learned apart the name of the class it knows instead (N1 and N2:
    light); its staging is measured in those classes. Empty: it knows all five. `runs_on` says device and dtype with the
    reason, in words.
    """

    name: str
    dim: int
    channels: tuple[str, ...]
    trained_on: tuple[str, ...]
    merges_stages: Mapping[str, str]
    caveats: tuple[str, ...]
    runs_on: str

    @property
    def space(self) -> str: ...

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of sentences, float32 `(len(texts), dim)`."""
        ...

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        """Unit vectors of epochs, float32 `(n, dim)`; `BadInput` for an encoder that reads no signals."""
        ...

    def describe(self, epochs: Epochs, parts: Sequence[str] | None = None) -> list[dict[str, str]]:
        """Generated captions by part, one dictionary an epoch; empty dictionaries where there is no decoder."""
        ...
