"""The caption that a decoder learns to write for an epoch: what is known of it, in canonical wording, part by part."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from encoders.captions.wording import PARTS, load_wording
from encoders.models.small.decoder import Vocabulary
from encoders.training.facts import SLOTS, Bits, claim, matches
from encoders.training.wordings import QUIET, Sentence, all_sentences


class Spoken:
    """Captions as ids of a model's `words`."""

    def __init__(self, words: Sequence[str]) -> None:
        self._vocabulary = Vocabulary(words)
        said: dict[tuple[int, int], Sentence] = {}
        for sentence in all_sentences():
            if sentence.kind == "caption" and sentence.says:
                said.setdefault(sentence.says, sentence)  # the first wording is the canonical one
        self._said = {says: sentence.text for says, sentence in said.items()}

    @cached_property
    def _part(self) -> list[str]:
        """The part of a caption in which each slot is said."""
        scales = {scale["column"]: scale["part"] for scale in load_wording()["scale"]}
        return [
            scales.get(slot.name, "position_muscle" if "position" in slot.name else "stage_event") for slot in SLOTS
        ]

    @cached_property
    def _quiet(self) -> str:
        return next(s.text for s in all_sentences() if s.kind == "caption" and not s.says)

    def ids(self, bits: Bits) -> Tensor:
        """Of epochs `(B, slots)`: long `(B, parts, words)` as `Vocabulary.encode_caption` has them.

        A part of which no slot is known is padding throughout: what nobody measured or scored is not learnt as silence.
        """
        calm = matches(bits, claim(QUIET)[None])[:, 0] == 1
        rows = []
        for known, quiet in zip(bits.tolist(), calm, strict=True):
            parts: dict[str, list[str]] = {}
            for slot in np.flatnonzero(known):
                words = parts.setdefault(self._part[slot], [])
                if text := self._said.get((int(slot), known[slot])):
                    words.append(text)
            if quiet:
                parts["stage_event"].append(self._quiet)
            rows.append(self.encoded({part: " ".join(said) for part, said in parts.items()}))
        return torch.stack(rows) if rows else torch.zeros(0, len(PARTS), 1, dtype=torch.long)

    def encoded(self, parts: Mapping[str, str | None]) -> Tensor:
        """One caption's ids `(parts, words)`."""
        return self._vocabulary.encode_caption(parts)
