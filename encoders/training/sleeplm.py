"""SleepLM as the loop trains it: its own inputs, its own tokenizer, and the objectives that it has the parts for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.captions.wording import PARTS
from encoders.models.recoca.config import EOT, PAD, SOT
from encoders.models.recoca.model import ReCoCa
from encoders.models.sleeplm import CLIP_SD, READS, UNKNOWN_POSITION, tokenizer
from encoders.models.small.model import BIAS, MAX_SCALE, SmallModel
from encoders.models.small.patches import STEPS
from encoders.training.facts import Bits
from encoders.training.spoken import Spoken
from encoders.training.texts import SentenceBank, Texts
from encoders.training.wordings import Sentence
from encoders.vocabulary import CHANNELS

START = EOT + 1  # ids from here on are no words
_ENDS = (".", "!", "?", ";")


class Heard(NamedTuple):
    """What the signal tower says of a batch; see `encoders.models.small.tower.Encoded`."""

    vector: Tensor  # (B, dim), unit
    tokens: Tensor  # (B, decoder tokens, width)
    there: Tensor  # (B, decoder tokens) bool: all of them
    features: Tensor  # (B, 12, 15, samples): the input itself, two seconds a patch
    predicted: Tensor | None  # the same, rebuilt from the tokens; None when no patch was hidden


class SleepLMModel(nn.Module):
    """ReCoCa under the names by which the loop calls `SmallModel`.

    Like the published model it has no mask for a sensor: what is absent or hidden is zeros, and position -1.
    """

    def __init__(self, recoca: ReCoCa) -> None:
        super().__init__()
        self.recoca = recoca
        self.logit_bias = nn.Parameter(torch.tensor(BIAS))  # for `sigmoid` alone; a published file has no place for it

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by."""
        return self.recoca.logit_scale.exp().clamp(max=MAX_SCALE)

    def signals(self, x: Tensor, present: Tensor, night: Tensor, hide: Tensor | None = None) -> Heard:
        """`x` (B, 12, 1920) of an `EpochStore` for SleepLM, `present` bool (B, 12), `hide` bool (B, 12, 15).

        It knows nothing of the night.
        """
        count = len(READS)
        absent = torch.zeros(count, 1, device=x.device)
        absent[READS.index("POS")] = UNKNOWN_POSITION
        whole = torch.where(present[:, :count, None], x[:, :count].clamp(-CLIP_SD, CLIP_SD), absent)
        seen = whole
        if hide is not None:
            seen = torch.where(hide[:, :count].repeat_interleave(x.shape[-1] // STEPS, -1), absent, whole)
        raw, tokens = self.recoca.biosignals(seen)
        predicted = _patches(self.recoca.signal_decoder(tokens)) if hide is not None else None
        there = torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)
        return Heard(functional.normalize(raw.float(), dim=-1), tokens, there, _patches(whole), predicted)

    def embed_signals(self, x: Tensor, present: Tensor, night: Tensor) -> Tensor:
        """Unit vectors `(B, dim)`."""
        return self.signals(x, present, night).vector

    def texts(self, ids: Tensor, owner: Tensor, n: int) -> Tensor:
        """Unit vectors `(n, dim)` of whole texts as ids `(n, context length)`; each is its own `owner`."""
        return self.recoca.embed_texts(ids)

    @property
    def decoder(self) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
        """Scores of captions; None where its decoder was not loaded."""
        return self._captions if hasattr(self.recoca, "text_decoder") else None

    def _captions(self, ids: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        """Scores `(B, lines, L, vocabulary)` of what follows each of `ids` `(B, lines, L)`; 0 for a line of padding."""
        row, line = (ids[..., 0] != PAD).nonzero(as_tuple=True)
        if not len(row):  # torch's attention takes no empty batch
            return 0 * tokens.sum() + tokens.new_zeros(*ids.shape, self.recoca.config.text_cfg.vocab_size)
        said = ids[row, line]
        part = said[:, 0] - START
        _, words = self.recoca.text(torch.cat([torch.full_like(said[:, :1], SOT), said[:, 1:]], 1))
        conditions = self.recoca.conditions(torch.stack([part, torch.full_like(part, -1)], 1))
        known = self.recoca.text_decoder.logits(tokens[row], words, conditions)
        scores = known.new_zeros(*ids.shape, known.shape[-1])
        scores[row, line] = known
        return scores


Model = SmallModel | SleepLMModel  # what the loop trains


def _patches(signals: Tensor) -> Tensor:
    """`(B, 10, 1920)` to `(B, 12, 15, 128)`, zeros for the sensors that SleepLM does not read."""
    return functional.pad(signals.reshape(*signals.shape[:2], STEPS, -1), (0, 0, 0, 0, 0, len(CHANNELS) - len(READS)))


class TokenBank(SentenceBank):
    """The same sentences for a text tower with a tokenizer; their frozen vectors are not used."""

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> "TokenBank":
        """Those of these sentences that are trained on."""
        chosen = tuple(s for s in sentences if s.kind != "unseen")
        return cls(chosen, np.stack([s.claim for s in chosen]), np.zeros((len(chosen), 0), np.float16))

    def inputs(self, drawn: Texts) -> tuple[Tensor, Tensor]:
        """Ids `(T, context length)` of whole texts, and which text each is."""
        first = np.flatnonzero(np.diff(drawn.owner, prepend=-1))
        texts = [[self.sentences[n].text for n in of] for of in np.split(drawn.sentences, first[1:])]
        return token_ids([joined(text) for text in texts]), torch.arange(len(drawn.claims))


class SpokenTokens(Spoken):
    """Captions as ids of SleepLM's tokenizer; a line begins with `START` and the number of its part."""

    def __init__(self) -> None:
        super().__init__(())

    def ids(self, bits: Bits) -> Tensor:
        """One part of each epoch that is known, in turn by the place in the batch: `(B, 1, context length)`.

        The published model learns a part a step too: its vocabulary is large, and five cost five times the memory.
        """
        lines = super().ids(bits)
        known = (lines[..., 0] != PAD).int()
        turn = torch.arange(len(lines)) % known.sum(1).clamp(min=1)
        chosen = (known.cumsum(1) > turn[:, None]).int().argmax(1)
        return lines[torch.arange(len(lines)), chosen, None]

    def encoded(self, parts: Mapping[str, str | None]) -> Tensor:
        """Ids `(parts, context length)`; "" is a part that says nothing, an unknown one is padding throughout."""
        return torch.stack([_line(number, parts.get(part)) for number, part in enumerate(PARTS)])


@cache
def _line(part: int, text: str | None) -> Tensor:
    ids = token_ids([text or ""])[0]
    ids[0] = START + part
    return ids if text is not None else torch.full_like(ids, PAD)


def joined(sentences: Sequence[str]) -> str:
    """Sentences as one text; free words that stand between others get the stop that they lack."""
    return " ".join(text if text.endswith(_ENDS) or len(sentences) == 1 else f"{text}." for text in sentences)


def token_ids(texts: Sequence[str]) -> Tensor:
    """Ids `(n, 256)` of SleepLM's tokenizer, padded with 0; longer texts are cut."""
    ids: Tensor = tokenizer()(list(texts))
    return ids
