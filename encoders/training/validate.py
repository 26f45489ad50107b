"""A quick look at subjects kept apart while training goes on: the losses, stages and events asked for in words.

No interval and no baseline: `sleepsearch evaluate` measures a finished encoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

from encoders.captions.lexicon import load_lexicon
from encoders.captions.wording import STAGE_CONCEPTS
from encoders.models.minilm import MiniLM
from encoders.training.facts import STAGE_LEVELS, claim, matches
from encoders.training.feed import Feed, Rows
from encoders.training.objectives import gathered
from encoders.training.sleeplm import Model
from encoders.training.step import Step

EVENTS = {"apnea_any": "apnea", "arousal": "arousal", "desaturation": "desaturation"}  # slot -> concept
LEAST = 5  # epochs of either kind without which an area under the curve is noise


@dataclass(frozen=True, slots=True)
class Prompts:
    """Wordings of each stage and event as a text tower takes them; `owner` is the name that each belongs to."""

    names: tuple[str, ...]
    sentences: torch.Tensor  # (S, 384) vectors, or (S, context length) ids
    owner: NDArray[np.int64]

    @classmethod
    @cache
    def load(cls, device: str, token_ids: Callable[[Sequence[str]], torch.Tensor] | None = None) -> "Prompts":
        """From the lexicon's own words, embedded once a process; `token_ids` for a tower that reads ids."""
        concepts = load_lexicon().concepts
        words = {stage: concepts[STAGE_CONCEPTS[stage]].phrases for stage in STAGE_LEVELS}
        words |= {slot: concepts[concept].phrases for slot, concept in EVENTS.items()}
        said = [(name, phrase) for name, phrases in words.items() for phrase in phrases]
        owner = np.array([list(words).index(name) for name, _ in said])
        texts = [phrase for _, phrase in said]
        read = token_ids(texts) if token_ids else torch.from_numpy(MiniLM(device=device).embed_texts(texts))
        return cls(tuple(words), read, owner)

    @torch.no_grad()
    def vectors(self, model: Model, device: torch.device) -> NDArray[np.float32]:
        """One unit vector a name `(len(names), dim)`: the mean over its wordings."""
        n = len(self.sentences)
        each = model.texts(self.sentences.to(device), torch.arange(n, device=device), n).float().cpu().numpy()
        mean = np.stack([each[self.owner == number].mean(0) for number in range(len(self.names))])
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)


def measure(
    vectors: NDArray[np.float32], bits: NDArray[np.uint32], prompts: Prompts, asked: NDArray[np.float32]
) -> dict[str, float]:
    """Macro-F1 of stages by the nearest prompt, and the area under the curve of each event within sleep.

    vectors `(n, dim)` of epochs, bits as `facts.fact_bits` has them, asked: the prompts' vectors. A stage that is not
    known leaves its epoch out, one that never occurs leaves the mean; an event without five epochs of either kind has
    no figure.
    """
    scores = vectors @ asked.T
    found: dict[str, float] = {}
    stage = matches(bits, np.stack([claim({"stage": [level]}) for level in STAGE_LEVELS]))
    known = (stage == 1).any(1)
    if known.any():
        truth, guess = stage[known].argmax(1), scores[known, : len(STAGE_LEVELS)].argmax(1)
        labels = np.unique(truth)
        found["stage macro-F1"] = float(f1_score(truth, guess, labels=labels, average="macro", zero_division=0))
    asleep = known & (stage[:, 0] == 0)
    for slot in EVENTS:
        happened = matches(bits, claim({slot: ["present"]})[None])[:, 0]
        rows = asleep & np.isfinite(happened)
        if min((happened[rows] == 1).sum(), (happened[rows] == 0).sum()) >= LEAST:
            score = scores[rows, prompts.names.index(slot)]
            found[f"AUC {EVENTS[slot]}"] = float(roc_auc_score(happened[rows], score))
    return found


def look(step: Step, feed: Feed, rows: Rows, prompts: Prompts, device: torch.device) -> dict[str, float]:
    """Losses and figures of these epochs under the model of `step`; every process takes part and has the whole."""
    losses: list[dict[str, torch.Tensor]] = []
    vectors, bits = [], []
    with torch.no_grad():
        for chunk, signals, said in feed.chunks(rows):
            signals = signals.to(device)
            losses.append(step(signals, said.to(device), torch.Generator(device).manual_seed(len(losses))))
            vectors.append(gathered(step.model.embed_signals(signals.x, signals.present, signals.night)).cpu())
            bits.append(feed.bits(chunk))
        if not losses:
            return {}
        asked = prompts.vectors(step.model, device)
    found = {f"loss {name}": float(torch.stack([loss[name] for loss in losses]).float().mean()) for name in losses[0]}
    return found | measure(torch.cat(vectors).float().numpy(), np.concatenate(bits), prompts, asked)
