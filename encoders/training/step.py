"""The losses of one batch: which epochs are seen whole and which as two halves, what is hidden, what is compared."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.models.small.decoder import PAD
from encoders.models.small.patches import STEPS
from encoders.models.small.tower import Encoded
from encoders.training.augment import two_subsets
from encoders.training.config import Objectives
from encoders.training.facts import INDEX, Bits, answerable, matches
from encoders.training.moments import step_matches
from encoders.training.objectives import (
    People,
    caption_cross_entropy,
    contrastive,
    dash,
    gathered,
    masked_patch,
    sigmoid,
)
from encoders.training.sleeplm import Model
from encoders.training.spoken import Spoken

_RUN = 3  # patches hidden in a row: a patch's neighbours look a second into it
_HIDE_SENSORS = 0.5  # of the sensors of an epoch in which patches are hidden


@dataclass(frozen=True, slots=True)
class Signals:
    """This process' share of a batch: `x` (b, 12, 1920), `present` (b, 12), `night` (b, 12, NIGHT), `rows` (b,) long.

    `rows` are the places of these epochs in the whole batch.
    """

    x: Tensor
    present: Tensor
    night: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> "Signals":
        """The same on that device."""
        x, present, night, rows = (
            tensor.to(device, non_blocking=True) for tensor in (self.x, self.present, self.night, self.rows)
        )
        return Signals(x, present, night, rows)


@dataclass(frozen=True, slots=True)
class Said:
    """The whole batch of B epochs in words, the same on every process.

    `bits` uint32 (B, slots) is what is known of each epoch, `told` uint32 (B,) the stages whose epochs its recording
    holds, `moments` uint32 (B, STEPS) which events fill each step, `people` whose they are; `claims` uint32 (T, slots)
    what each text says, `sentences` (S, 384) its words (for SleepLM ids of the whole text), `owner` (S,) the text of
    each.
    """

    sentences: Tensor
    owner: Tensor
    claims: Bits
    bits: Bits
    told: NDArray[np.uint32]
    moments: Bits
    people: People

    def to(self, device: torch.device) -> "Said":
        """The same with its tensors on that device."""
        who = self.people
        moved = [t.to(device) for t in (who.age_years, who.sex, who.site, who.recording)]
        sentences, owner = (t.to(device, non_blocking=True) for t in (self.sentences, self.owner))
        return replace(self, sentences=sentences, owner=owner, people=People(*moved))

    def known(self, rows: Tensor, present: Tensor) -> Bits:
        """What can be told of the epochs at these places (n,) from the sensors that are left to them (n, 12)."""
        return answerable(self.bits[rows.cpu().numpy()], present.cpu().numpy())

    def matches(self, rows: Tensor, present: Tensor) -> Tensor:
        """Which texts are true of them, (n, T) as `facts.matches` has it. What a sensor taken away would have told is
        unknown. Where a recording holds the epochs of some stages alone, texts of the other stages are not judged:
        else the recorder would be learnt as a sign against them.
        """
        found = matches(self.known(rows, present), self.claims)
        stage, told = self.claims[:, INDEX["stage"]], self.told[rows.cpu().numpy()]
        found[(stage != 0) & (stage & told[:, None] == 0)] = np.nan
        return torch.from_numpy(found).to(rows.device)

    def moments_of(self, rows: Tensor) -> Tensor:
        """Which texts are true of which steps of them, (n, STEPS, T) as `moments.step_matches` has it."""
        at = rows.cpu().numpy()
        return torch.from_numpy(step_matches(self.bits[at], self.moments[at], self.claims)).to(rows.device)


class Step(nn.Module):
    """The model with its objectives; a batch gives the losses, unweighted and by name.

    One forward for all of them, so that DistributedDataParallel sees each step whole.
    """

    def __init__(self, model: Model, chosen: Objectives, spoken: Spoken | None = None) -> None:
        """`spoken` has the captions that a decoder learns."""
        super().__init__()
        self.model = model
        self.spoken = spoken
        self.chosen = chosen
        self.weights = {name: getattr(chosen, name) for name in chosen.NAMES if getattr(chosen, name)}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum that is made small."""
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()

    def forward(self, signals: Signals, said: Said, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of the objectives that have a weight; `generator` (on the signals' device) draws halves and holes."""
        chosen, present = self.chosen, signals.present
        first, second = two_subsets(present, generator)
        halves = torch.zeros_like(signals.rows, dtype=torch.bool)
        if "dash" in self.weights:  # evenly spread over the whole batch, whichever process has the row
            share = chosen.dash_rows
            halves = ((signals.rows + 1) * share).floor() > (signals.rows * share).floor()
            halves &= first.any(1) & second.any(1)  # one sensor alone has no halves
        whole = ~halves
        order = torch.cat([whole.nonzero(), halves.nonzero(), halves.nonzero()])[:, 0]
        present = torch.cat([present[whole], first[halves], second[halves]])
        hide = None
        if "masked" in self.weights:
            hide = _holes(present, chosen, generator)
        encoded = self.model.signals(signals.x[order], present, signals.night[order], hide)
        losses: dict[str, Tensor] = {}
        scale, bias = self.model.scale, self.model.logit_bias
        if self.weights.keys() & {"contrastive", "sigmoid", "steps"}:
            texts = self.model.texts(said.sentences, said.owner, len(said.claims))
        if self.weights.keys() & {"contrastive", "sigmoid"}:
            vectors, rows, there = gathered(encoded.vector), gathered(signals.rows[order]), gathered(present)
            matches = said.matches(rows, there)
            if "contrastive" in self.weights:
                losses["contrastive"] = contrastive(vectors, texts, matches, scale=scale)
            if "sigmoid" in self.weights:
                losses["sigmoid"] = sigmoid(vectors, texts, matches, scale=scale, bias=bias, balance=chosen.balance)
        if "steps" in self.weights:  # of this process' own share
            assert isinstance(encoded, Encoded)  # SleepLM has no vectors of steps, and its start refuses the weight
            moments = said.moments_of(signals.rows[order]).flatten(0, 1)
            losses["steps"] = sigmoid(encoded.steps.flatten(0, 1), texts, moments, scale=scale, bias=bias, balance=True)
        if "caption" in self.weights and self.spoken and self.model.decoder is not None:
            split = int(whole.sum())
            ids = self.spoken.ids(said.known(signals.rows[whole], present[:split])).to(present.device)
            ids = ids[..., : int((ids != PAD).sum(-1).max())] if split else ids
            scores = self.model.decoder(ids[..., :-1], encoded.tokens[:split], encoded.there[:split])
            losses["caption"] = caption_cross_entropy(scores.flatten(0, 1), ids[..., 1:].flatten(0, 1), pad=PAD)
        if hide is not None and encoded.predicted is not None:
            losses["masked"] = masked_patch(encoded.predicted, encoded.features, hide, present)
        if "dash" in self.weights:
            n, split = int(halves.sum()), int(whole.sum())
            a, b = (gathered(part) for part in (encoded.vector[split : split + n], encoded.vector[split + n :]))
            people = _of(said.people, gathered(signals.rows[halves])) if chosen.dash_people else None
            losses["dash"] = dash(a, b, people=people, tau=chosen.dash_tau, gamma=chosen.dash_gamma)
        return losses


def _of(people: People, rows: Tensor) -> People:
    return People(people.age_years[rows], people.sex[rows], people.site[rows], people.recording[rows])


def _holes(present: Tensor, chosen: Objectives, generator: torch.Generator) -> Tensor:
    """Patches to hide, bool (B, 12, 15): runs in half of the sensors of some epochs, about the share asked for."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, device=present.device, generator=generator)

    n, channels = present.shape
    begins = draw(n, channels, STEPS) < 1 - (1 - chosen.hide_patches) ** (1 / _RUN)
    holes = functional.max_pool1d(begins.float(), _RUN, stride=1, padding=_RUN // 2) > 0
    picked = (draw(n, channels) < _HIDE_SENSORS) & (draw(n, 1) < chosen.hide_rows) & present
    return holes & picked[..., None]
