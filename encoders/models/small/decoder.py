"""Captions from the signal tower's tokens, word by word: a small decoder whose vocabulary is the wording itself.

Each part of a caption is a line of its own, [part, words, end]. Words keep the space before them, so that a text is its
words joined. Numbers are spelt digit by digit and serve the seconds of events; what a sensor measures is measured, and
not guessed in words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.captions.lexicon import load_lexicon
from encoders.captions.wording import KIND_COUNTS, PARTS, load_wording
from encoders.models.small.text import sentences_of
from encoders.vocabulary import EVENTS

PAD, END = 0, 1
MAX_WORDS = 96  # a part with a sentence of every scale has some seventy
Tensors = tuple[Tensor, ...]
_WORD = re.compile(r" ?(?:[^\W\d_]+\d?|\d|[^\w\s])")  # N3 and SpO2 are words, 12 is two digits
_SLOT = re.compile(r"{\w+}")


def words_of(text: str) -> list[str]:
    """The words and marks of a text, each with the space before it."""
    return _WORD.findall(" " + " ".join(text.split()))


def caption_words() -> tuple[str, ...]:
    """The vocabulary of today's wording.toml and lexicon.toml, as a model's configuration keeps it.

    Padding and end come first, then a start for each caption part, then the words in alphabetical order.
    """
    found = {form + digit for digit in "0123456789" for form in ("", " ")}
    for text in _wordings():
        first, *rest = _SLOT.split(text)
        found.update(words_of(first) + words_of(first[:1].upper() + first[1:]))  # as a sentence begins, and within one
        for piece in rest:
            found.update(_WORD.findall(piece))
    return ("<pad>", "<end>", *(f"<{part}>" for part in PARTS), *sorted(found))


def _wordings() -> Iterator[str]:
    """Every phrase and template that `caption_epochs` may use, but the measured numbers."""
    wording, concepts = load_wording(), load_lexicon().concepts
    for scale in wording["scale"]:
        for say in scale["say"]:
            yield from say
    for table in ("position", "stage", "event"):
        for say in wording[table].values():
            yield from say
    for concept in concepts.values():
        yield from concept.say
    yield from EVENTS
    yield ", ".join(KIND_COUNTS) + " or " + " or ".join(KIND_COUNTS)


class Vocabulary:
    """Words to ids and back, for the `words` that a model was made with."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._id = {word: number for number, word in enumerate(self.words)}

    def start(self, part: str) -> int:
        """The id that a part begins with."""
        return self._id[f"<{part}>"]

    def encode_caption(self, parts: Mapping[str, str | None], *, max_words: int = MAX_WORDS) -> Tensor:
        """Ids `(len(PARTS), max_words)` of a caption, padded.

        "" is a part that says nothing, and is learnt as such; a part that is None or not there is not known (nobody
        scored it) and is padding throughout. Sentences with a word that the vocabulary lacks are left out, and those
        that no longer fit.
        """
        ids = torch.full((len(PARTS), max_words), PAD)
        for row, part in enumerate(PARTS):
            if (text := parts.get(part)) is None:
                continue
            line = [self.start(part)]
            for sentence in sentences_of(text) if text else ():
                said = [self._id.get(word) for word in words_of(sentence)]
                known = [number for number in said if number is not None]
                if len(known) == len(said) and len(line) + len(known) < max_words:
                    line += known
            ids[row, : len(line) + 1] = torch.tensor([*line, END])
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a part, up to its end."""
        said = []
        for number in ids:
            if number in (PAD, END):
                break
            said.append(self.words[number])
        return "".join(word for word in said if not word.startswith("<")).strip()


class CaptionDecoder(nn.Module):
    """Causal self-attention over a part's words and cross-attention to what the signal tower says of an epoch."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        vocabulary_size: int,
        max_words: int = MAX_WORDS,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.max_words = max_words
        self.word = nn.Embedding(vocabulary_size, width)  # also what scores a word
        self.place = nn.Parameter(0.02 * torch.randn(max_words, width))
        self.nothing = nn.Parameter(0.02 * torch.randn(width))  # a token that is always there: no sensor may be
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.word.weight, std=0.02)

    def forward(self, ids: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        """Scores `(B, parts, L, vocabulary)` of what follows each id, for `caption_cross_entropy`.

        ids `(B, parts, L)` from the start on, without the last (`ids[..., :-1]`); tokens `(B, N, width)`, there
        `(B, N)` bool: tokens that are not there have no influence.
        """
        b, parts, length = ids.shape
        x = self.word(ids.flatten(0, 1)) + self.place[:length]
        mask, memory = self._mask(there), self._memory(tokens)
        for layer in self.layers:
            x, _ = layer(x, memory, mask)
        return self._scores(x).view(b, parts, length, self.word.num_embeddings)

    @torch.inference_mode()
    def write(self, starts: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        """Greedy ids `(B, parts, up to max_words)` from the part ids `starts` `(parts,)`, padded after the end.

        Every key and value is computed once; tokens and there as in `forward`.
        """
        rows = len(tokens) * len(starts)
        found = [starts.repeat(len(tokens))]
        mask, memory = self._mask(there), self._memory(tokens)
        caches: list[Tensors | None] = [None] * len(self.layers)
        ended = torch.zeros(rows, dtype=torch.bool, device=tokens.device)
        for at in range(self.max_words - 1):
            x = self.word(found[-1])[:, None] + self.place[at]
            for number, layer in enumerate(self.layers):
                x, caches[number] = layer(x, memory, mask, caches[number])
            best = (self._scores(x)[:, 0, END:].argmax(1) + END).masked_fill(ended, PAD)  # padding is never said
            found.append(best)
            ended |= best == END
            if ended.all():
                break
        return torch.stack(found, 1).view(len(tokens), len(starts), -1)

    def _memory(self, tokens: Tensor) -> Tensor:
        return torch.cat([self.nothing.to(tokens.dtype).expand(len(tokens), 1, -1), tokens], 1)

    def _mask(self, there: Tensor) -> Tensor:
        return functional.pad(there, (1, 0), value=True)[:, None, None]

    def _scores(self, x: Tensor) -> Tensor:
        return functional.linear(self.norm(x), self.word.weight)


class _Layer(nn.Module):
    """Pre-norm: words attend to words before them, then to the epoch, then each alone."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.own_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.asked_out = nn.Linear(width, width)
        self.alone = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor, cache: Tensors | None = None) -> tuple[Tensor, Tensors]:
        """`x` `(B * parts, words, width)` and what to give back with the next words; memory `(B, N, width)`.

        A cache holds the keys and values of the words before, and of the memory.
        """
        query, keys, values = self._split(self.own(self.norms[0](x)), 3)
        epoch = self._split(self.answer(memory), 2) if cache is None else cache[2:]
        if cache is not None:
            keys, values = torch.cat([cache[0], keys], 2), torch.cat([cache[1], values], 2)
        mixed = functional.scaled_dot_product_attention(query, keys, values, is_causal=cache is None)
        x = x + self.dropout(self.own_out(mixed.transpose(1, 2).flatten(2)))
        # Words do not see each other here, so all parts of an epoch ask at once, and its keys are computed once.
        words = x.shape[0] * x.shape[1] // max(len(memory), 1)
        asked = self.ask(self.norms[1](x)).reshape(len(memory), words, x.shape[2])
        (query,) = self._split(asked, 1)
        mixed = functional.scaled_dot_product_attention(query, epoch[0], epoch[1], attn_mask=mask)
        x = x + self.dropout(self.asked_out(mixed.transpose(1, 2).reshape(x.shape)))
        return x + self.dropout(self.alone(self.norms[2](x))), (keys, values, *epoch)

    def _split(self, packed: Tensor, count: int) -> Tensors:
        """`(rows, length, count * width)` to `count` times `(rows, heads, length, head)`."""
        rows, length, wide = packed.shape
        return packed.view(rows, length, count, self.heads, wide // count // self.heads).permute(2, 0, 3, 1, 4).unbind()


def generate(
    decoder: CaptionDecoder, words: Sequence[str], tokens: Tensor, there: Tensor, parts: Sequence[str] = PARTS
) -> list[dict[str, str]]:
    """The captions of epochs by part, greedily; "" for a part that has nothing to say."""
    vocabulary = Vocabulary(words)
    starts = torch.tensor([vocabulary.start(part) for part in parts], device=tokens.device)
    written = decoder.write(starts, tokens, there).tolist()
    return [{part: vocabulary.decode(ids[1:]) for part, ids in zip(parts, epoch, strict=True)} for epoch in written]
