"""Texts for a batch of epochs: full captions and short texts in varied words, as rows of a bank of sentence vectors.

The sentence encoder is frozen, so each distinct sentence goes through it once; what a text claims is known, so every
epoch of a batch can be told true, false or unknown for every text of it.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.models.minilm import MiniLM
from encoders.training.facts import INDEX, SLOTS, Bits, all_of, claim, true_pairs
from encoders.training.wordings import QUIET, Sentence, all_sentences

Rows = NDArray[np.int64]

_NREM: Final = 0b01110
_BLOCK: Final = 512  # sentences between two writes
_FREE: Final = 0.25  # of a training caption's facts, those said in free words rather than in a caption's
_SHARES: Final = np.array([0.0, 0.5, 0.35, 0.15])  # of short texts, by the number of things that they claim
# A short text is drawn the more the rarer it is true, up to a rarity of one epoch in a hundred; what somebody scored is
# asked for more than what is measured, and what is not there less than either.
_RARE, _SCORED, _DENYING = 1e-2, 2.0, 0.25


@dataclass(frozen=True, slots=True)
class SentenceBank:
    """The sentences that are trained on, their claims `(N, len(SLOTS))` and frozen unit vectors float16 `(N, 384)`."""

    sentences: tuple[Sentence, ...]
    claims: Bits
    vectors: NDArray[np.float16]

    @classmethod
    def open(
        cls, folder: Path, *, device: str = "auto", sentences: Iterable[Sentence] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "SentenceBank":  # fmt: skip
        """The bank kept in `folder`, or a new one: minutes on one core, resumed where it was stopped.

        `sentences` are all of `all_sentences` unless given; those kept apart are never in a bank. One process at a
        time.
        """
        chosen = tuple(s for s in (all_sentences() if sentences is None else sentences) if s.kind != "unseen")
        encoder = MiniLM(device=device)
        texts = [sentence.text for sentence in chosen]
        key = hashlib.sha256("\n".join([encoder.space, *texts]).encode()).hexdigest()[:16]
        kept, part, row_bytes = folder / f"sentences-{key}.f16", folder / f"sentences-{key}.part", 2 * encoder.dim
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with part.open("ab") as file:
                done = file.tell() // row_bytes
                file.truncate(done * row_bytes)
                while done < len(texts):
                    block = texts[done : done + _BLOCK]
                    file.write(encoder.embed_texts(block).astype(np.float16).tobytes())
                    file.flush()
                    done += len(block)
                    if progress:
                        progress(done, len(texts))
            part.replace(kept)
        vectors = np.fromfile(kept, np.float16).reshape(len(texts), encoder.dim)
        return cls(chosen, np.stack([sentence.claim for sentence in chosen]), vectors)

    def inputs(self, drawn: "Texts") -> tuple[Tensor, Tensor]:
        """What a text tower takes of texts: vectors `(S, 384)` of their sentences, and the text of each `(S,)`."""
        return torch.from_numpy(self.vectors[drawn.sentences].astype(np.float32)), torch.from_numpy(drawn.owner)


@dataclass(frozen=True, slots=True)
class Texts:
    """T texts: `sentences` (S,) rows of the bank, `owner` (S,) the text of each, ascending; `claims` (T, len(SLOTS));
    `of` (T,) the epoch that a text was drawn for, -1 for one that is there for balance.
    """

    sentences: Rows
    owner: Rows
    claims: Bits
    of: Rows


class TextSampler:
    """Draws texts that are true of given epochs.

    usual: bits of epochs to be trained on; what is rarely true of them is drawn more often where it is true.
    texts_per_epoch: a share `full_share` of them are captions, which state a random part of what is known, the others
    short texts for one to three things. balance: short texts added to a batch, each true of some epoch of it, the
    rarer the sooner.
    """

    def __init__(
        self, bank: SentenceBank, usual: Bits, *, texts_per_epoch: int = 2, full_share: float = 0.5, balance: int = 32
    ) -> None:
        self.bank = bank
        self._each, self._full_share, self._balance = texts_per_epoch, full_share, balance
        captions = [(s.says, n) for n, s in enumerate(bank.sentences) if s.kind == "caption" and s.says]
        self._captions = _Groups(captions)
        self._free = _Groups(_free_facts(bank.sentences))
        self._quiet = [n for n, s in enumerate(bank.sentences) if s.kind == "caption" and not s.says]
        self._short_claims, group_of = np.unique(bank.claims, axis=0, return_inverse=True)
        self._short_members = np.argsort(group_of, kind="stable")
        self._short_count = np.bincount(group_of)
        self._short_first = np.cumsum(self._short_count) - self._short_count
        self._things = np.minimum(np.count_nonzero(self._short_claims, axis=1), len(_SHARES) - 1)
        self._weigh(usual[:: max(1, len(usual) // 4096)])

    def _weigh(self, usual: Bits) -> None:
        """Per claim how much its rarity calls for it, and its weight among the claims that are true of one epoch."""
        claims = self._short_claims
        often = np.bincount(true_pairs(usual, claims)[1], minlength=len(claims)) / max(1, len(usual))
        scored = [slot.kind in ("stage", "event") for slot in SLOTS]
        denied = (claims[:, [slot.kind == "event" for slot in SLOTS]] == 1).any(axis=1)
        self._rarity = np.where(claims[:, scored].any(axis=1), _SCORED, 1.0) * np.where(denied, _DENYING, 1.0)
        self._rarity /= often + _RARE
        self._weight = self._shared(np.arange(len(claims)), often * self._rarity)

    def _shared(self, claims: Rows, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of some claims, by rarity, so that `_SHARES` come about; expected: how much of each there is."""
        things = self._things[claims]
        total = np.bincount(things, expected, len(_SHARES))
        weight: NDArray[np.float64] = self._rarity[claims] * _SHARES[things] / np.maximum(total[things], 1e-9)
        return weight

    def draw(self, bits: Bits, rng: np.random.Generator) -> Texts:
        """Texts for a batch `(B, len(SLOTS))`, of every epoch of which anything is known."""
        full = np.full(len(bits), self._full_share * self._each)
        full = np.floor(full + rng.random(len(bits))).astype(np.int64)
        epochs = np.repeat(np.arange(len(bits)), full)
        sentences, owner = self._caption(bits, epochs, rng)
        said, first = np.unique(owner, return_index=True)  # nothing is said where nothing is known
        short, of = self._short(bits, self._each - full, rng)
        return Texts(
            np.concatenate([sentences, short]),
            np.concatenate([np.searchsorted(said, owner), len(said) + np.arange(len(short))]),
            np.concatenate([all_of(self.bank.claims[sentences], first), self.bank.claims[short]]),
            np.concatenate([epochs[said], of]),
        )

    def _caption(self, bits: Bits, epochs: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Sentences of one caption for each of `epochs`, and the number of the caption that each belongs to."""
        wanted, calm = bits[epochs], np.zeros(len(bits), bool)
        calm[true_pairs(bits, claim(QUIET)[None])[0]] = True
        in_captions, free = self._captions.of(wanted), self._free.of(wanted)
        freely = (free >= 0) & (rng.random(free.shape) < _FREE)
        sentence = np.where(freely, self._free.drawn(free, rng), self._captions.drawn(in_captions, rng))
        quiet = np.where(calm[epochs], _drawn(self._quiet, len(epochs), rng), -1)
        sentence = np.column_stack([sentence, quiet])
        # Captions of any length, a fifth of them with everything in.
        luck = rng.random(sentence.shape) + 2.0 * (sentence < 0)
        kept = luck <= np.maximum(rng.uniform(0.3, 1.2, len(epochs)), luck.min(axis=1))[:, None]
        kept &= sentence >= 0
        text, column = np.nonzero(kept)
        order = np.argsort(text + rng.random(len(text)))
        return sentence[text, column][order], text[order]

    def _short(self, bits: Bits, count: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """So many short texts for each epoch, then those for balance; the epoch of each."""
        epoch, group = true_pairs(bits, self._short_claims)
        luck = rng.standard_exponential(len(group)) / self._weight[group]
        order = np.lexsort((luck, epoch))  # the smallest are a draw without replacement, by weight
        epoch, group = epoch[order], group[order]
        place = np.arange(len(epoch)) - np.searchsorted(epoch, epoch)
        taken = place < count[epoch]
        there = np.unique(group)
        luck = rng.standard_exponential(len(there)) / self._shared(there, self._rarity[there])
        balanced = there[np.argsort(luck)[: self._balance]]
        groups = np.concatenate([group[taken], balanced])
        of = np.concatenate([epoch[taken], np.full(len(balanced), -1)])
        pick = self._short_first[groups] + (rng.random(len(groups)) * self._short_count[groups]).astype(np.int64)
        return self._short_members[pick], of


class _Groups:
    """Sentences by the slot and level whose fact they state."""

    def __init__(self, facts: "list[tuple[tuple[int, int], int]]") -> None:
        self._table = np.full((len(SLOTS), 256), -1)
        members: list[int] = []
        first, count = [], []
        for group, (fact, several) in enumerate(groupby(sorted(facts), key=lambda pair: pair[0])):
            self._table[fact] = group
            first.append(len(members))
            members += [number for _, number in several]
            count.append(len(members) - first[-1])
        self._members, self._first, self._count = (np.array(column, np.int64) for column in (members, first, count))

    def of(self, bits: Bits) -> Rows:
        """The group of what is known of each slot, -1 where there is nothing to say; `(n, len(SLOTS))`."""
        return self._table[np.arange(len(SLOTS)), bits]

    def drawn(self, group: Rows, rng: np.random.Generator) -> Rows:
        """A sentence of each group, -1 where there is none."""
        if not len(self._members):
            return np.full(group.shape, -1)
        pick = self._first[group] + (rng.random(group.shape) * self._count[group]).astype(np.int64)
        return np.where(group < 0, -1, self._members[pick])


def _drawn(sentences: list[int], count: int, rng: np.random.Generator) -> Rows:
    return rng.choice(sentences, count) if sentences else np.full(count, -1)


def _free_facts(sentences: Iterable[Sentence]) -> "list[tuple[tuple[int, int], int]]":
    """Slot and level of which free words for one thing are true, with their numbers."""
    found = []
    for number, sentence in enumerate(sentences):
        if sentence.kind == "one":
            slot = int(np.flatnonzero(sentence.claim)[0])
            allowed = int(sentence.claim[slot])
            levels = [1 << level for level in range(len(SLOTS[slot].levels))]
            levels += [_NREM] if slot == INDEX["stage"] else []
            found += [((slot, level), number) for level in levels if level & ~allowed == 0]
    return found


def unseen_captions(bits: Bits, seed: int) -> list[str]:
    """Each epoch's full caption in wording that is never trained on, its facts in any order; "" where none is known."""
    rng = np.random.default_rng(seed)
    apart = [s for s in all_sentences() if s.kind == "unseen"]
    groups = _Groups([(s.says, n) for n, s in enumerate(apart) if s.says])
    quiet = [n for n, s in enumerate(apart) if not s.says]
    calm = np.zeros(len(bits), bool)
    calm[true_pairs(bits, claim(QUIET)[None])[0]] = True
    sentence = groups.drawn(groups.of(bits), rng)
    sentence = np.column_stack([sentence, np.where(calm, _drawn(quiet, len(bits), rng), -1)])
    return [" ".join(apart[n].text for n in rng.permutation(row[row >= 0])) for row in sentence]
