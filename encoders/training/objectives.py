"""What training makes small: signal and text together, the caption's words, hidden patches, two halves of the sensors.

Pure functions of tensors, each a scalar in float32 whatever the autocast; where a batch has nothing to learn from, the
value is 0 and so are the gradients. Across ranks, gather the vectors (and what the matches and weights are made from)
with `gathered` and let every rank compute the whole loss: DDP's mean of the gradients is then that of one process.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class People:
    """Whose epochs a batch holds: `age_years` NaN, `sex` and `site` -1 where unknown; all `(B,)`.

    `site` and `recording` are numbers that mean the same on every rank.
    """

    age_years: Tensor
    sex: Tensor
    site: Tensor
    recording: Tensor

    def gathered(self) -> "People":
        """Those of all ranks."""
        return People(gathered(self.age_years), gathered(self.sex), gathered(self.site), gathered(self.recording))


@dataclass(frozen=True, slots=True)
class DashWeights:
    """How much a negative counts by who it is: sleep2vec's values (arXiv 2602.13857 and its code)."""

    age_scale_years: float = 20.0
    other_sex: float = 0.8
    same_site: float = 1.3
    other_site: float = 0.8
    floor: float = 1e-6  # the weight of another window of the same recording; the least of any


def contrastive(signals: Tensor, texts: Tensor, matches: Tensor, *, scale: Tensor | float) -> Tensor:
    """Softmax both ways, each text against the epochs and each epoch against the texts, with several positives.

    signals `(B, D)`, texts `(T, D)`, unit; matches `(B, T)`: 1 true, 0 false, NaN unknown; scale multiplies cosines.
    For each text with a positive: minus the mean over its positives of the log softmax over that positive and all
    negatives; its other positives and the unknown stand nowhere in the denominator, so that no epoch of which a text
    is true is pushed from it. The same for each epoch over the texts; the two means are averaged. With an identity for
    matches this is open_clip's ClipLoss.
    """
    logits = scale * _similarity(signals, texts)
    return (_softmax_loss(logits, matches) + _softmax_loss(logits.T, matches.T)) / 2


def _softmax_loss(logits: Tensor, matches: Tensor) -> Tensor:
    negatives = logits.masked_fill(matches != 0, float("-inf")).logsumexp(1, keepdim=True)  # NaN != 0: left out as well
    true = matches == 1
    # log(exp p + sum exp n) - p = softplus(log sum exp n - p)
    losses = torch.where(true, functional.softplus(negatives - logits), 0.0).sum(1)
    count = true.sum(1)
    return (losses / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def sigmoid(
    signals: Tensor,
    texts: Tensor,
    matches: Tensor,
    *,
    scale: Tensor | float,
    bias: Tensor | float,
    balance: bool = False,
) -> Tensor:
    """Each pair of epoch and text alone, true or false (SigLIP's); unknown pairs are left out.

    Shapes as `contrastive`; logits are scale * cosine + bias. The sum over pairs by the number of epochs: with an
    identity for matches, open_clip's SigLipLoss. `balance` gives each text the mean over its positives plus the mean
    over its negatives, averaged over the texts that have either, so that a text true of one epoch in a hundred is not
    lost among its negatives; a bias begins at 0 there, not at SigLIP's -10.
    """
    logits = scale * _similarity(signals, texts) + bias
    losses = functional.softplus(torch.where(matches == 1, -logits, logits))
    sides = [torch.where(side, losses, 0.0).sum(0) for side in (matches == 1, matches == 0)]
    if not balance:
        return (sides[0] + sides[1]).sum() / max(len(signals), 1)
    counts = [(matches == 1).sum(0), (matches == 0).sum(0)]
    means = [side / count.clamp(min=1) for side, count in zip(sides, counts, strict=True)]
    return (means[0] + means[1]).sum() / (counts[0] + counts[1] > 0).sum().clamp(min=1)


def caption_cross_entropy(logits: Tensor, ids: Tensor, *, pad: int) -> Tensor:
    """Mean over words of minus the log probability of `ids` `(B, L)`, scored by `logits` `(B, L, V)` at the same place.

    Places with the id `pad` are left out. The caller shifts: `ids` are what comes next.
    """
    words = functional.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), ignore_index=pad, reduction="sum")
    return words / (ids != pad).sum().clamp(min=1)


def masked_patch(predicted: Tensor, features: Tensor, hidden: Tensor, there: Tensor) -> Tensor:
    """How far the hidden patches were guessed wrong, patch by patch: smooth L1, so that an artifact pulls linearly.

    predicted and features `(B, channels, patches, F)`, the features a target without gradient; hidden
    `(B, channels, patches)` bool; there `(B, channels)` or as hidden, bool. A mean over the features and over the
    patches that are hidden and whose sensor is there; what the others hold, NaN included, has no influence.
    """
    there = there if there.dim() == hidden.dim() else there[..., None]
    counted = (hidden & there)[..., None]
    guess = torch.where(counted, predicted.float(), 0.0)
    truth = torch.where(counted, features.detach().float(), 0.0)
    total = functional.smooth_l1_loss(guess, truth, reduction="sum")
    return total / (counted.sum() * predicted.shape[-1]).clamp(min=1)


def dash(
    a: Tensor, b: Tensor, *, people: People | None, tau: float = 0.2, gamma: float = 0.10,
    weights: DashWeights = DashWeights(),
) -> Tensor:  # fmt: skip
    """DASH-InfoNCE between two halves of each epoch's sensors, both ways (sleep2vec, arXiv 2602.13857).

    a and b `(B, D)`, or `(B, S, D)` for a mean over S time steps, each step among its like; cosines are taken here.
    A row's negatives count by `negative_weights`; one of the same recording also loses `gamma` of cosine. The positive
    has weight 1. people None is plain InfoNCE.
    """
    a, b = (functional.normalize(x.float(), dim=-1) for x in (a, b))
    if a.dim() == 2:
        a, b = a[:, None], b[:, None]
    logits = _similarity(a.transpose(0, 1), b.transpose(0, 1)) / tau  # (S, B, B)
    offset = torch.zeros_like(logits[0])
    if people is not None:
        same = _same(people.recording).fill_diagonal_(False)
        offset = negative_weights(people, weights).log() - same * (gamma / tau)
    target = torch.arange(len(a), device=a.device).repeat(len(logits))
    ways = [functional.cross_entropy((way + offset).flatten(0, 1), target) for way in (logits, logits.mT)]
    return (ways[0] + ways[1]) / 2 if len(a) else logits.sum()


def negative_weights(people: People, weights: DashWeights = DashWeights()) -> Tensor:
    """`(B, B)` float32: how much each epoch counts as a negative of the row's; 1 on the diagonal.

    exp(-years apart / 20) * (1 or other_sex) * (same_site or other_site) + floor, and `floor` for another window of the
    same recording. Each row is divided by its mean over the negatives of other recordings; where a row has none, the
    recording does not count. Nothing ends below `floor`. What is unknown of either of two people is neutral: the mean
    of that factor over the row's known negatives (1 where none is known). A factor of 1 would make of all whose age
    nobody wrote down the nearest of negatives, and the 1e-6 of the published code drops them.
    """
    alone = ~_same(people.recording)
    age, sex, site = people.age_years.float(), people.sex, people.site
    years = (age[:, None] - age[None]).abs()
    by_age = _neutral(torch.exp(-years / weights.age_scale_years), age.isfinite(), alone)
    by_sex = _neutral(torch.where(_same(sex), 1.0, weights.other_sex), sex >= 0, alone)
    by_site = _neutral(torch.where(_same(site), weights.same_site, weights.other_site), site >= 0, alone)
    plain = by_age * by_sex * by_site + weights.floor
    off_diagonal = ~torch.eye(len(age), dtype=torch.bool, device=age.device)
    others = torch.where(alone.any(1, keepdim=True), alone, off_diagonal)
    counted = torch.where(others, plain, weights.floor)
    found = (counted / _mean(counted, others).clamp(min=weights.floor)).clamp(min=weights.floor)
    return found.fill_diagonal_(1.0)


def _neutral(factor: Tensor, known: Tensor, others: Tensor) -> Tensor:
    """`factor` `(B, B)` where both are known; else the row's mean over the known `others`, or 1."""
    pair = known[:, None] & known[None]
    factor = torch.where(pair, factor, 0.0)
    mean = torch.where((pair & others).any(1, keepdim=True), _mean(factor, pair & others), 1.0)
    return torch.where(pair, factor, mean)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Means of rows over `counted`; 0 where nothing is."""
    return torch.where(counted, values, 0.0).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)


def _same(values: Tensor) -> Tensor:
    return values[:, None] == values[None]


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """Dot products in float32: a logit of 100 * cosine has no digit left in bfloat16."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().mT


def gathered(tensor: Tensor) -> Tensor:
    """The rows of all ranks, in the order of ranks, with gradient to each; the tensor itself outside torchrun.

    Ranks may hold different numbers of rows. The gradient of a row is the sum over ranks.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return tensor
    from torch.distributed.nn.functional import all_gather

    rows = torch.tensor([len(tensor)], device=tensor.device)
    counts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(counts, rows)
    most = max(int(count) for count in counts)
    padded = torch.cat([tensor, tensor.new_zeros(most - len(tensor), *tensor.shape[1:])]).contiguous()
    parts = all_gather(padded)  # type: ignore[no-untyped-call]
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])
