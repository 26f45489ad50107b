"""Which seconds and which sensor of an epoch carry what it is likened to, and the test of it: take them away again.

Seconds are named by the likeness of each short step. They are checked by hiding them from the model, as patches were
hidden in its training, beside hiding as many other seconds of the same epoch. A sensor is named by how much the score
falls when it is taken away as if the recording had never had it, and checked by what it says alone. A flat line in
place of what is hidden would not do: to a model of breathing that is an apnea.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.models import Encoder
from encoders.recordings import Epochs
from encoders.vocabulary import CHANNELS, EPOCH_S

Spans = NDArray[np.float64]  # (n, 2) seconds from the epoch's start
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_OTHERS = 3  # stretches hidden beside the named one
# The best of .3, .4 and .5 on 2,000 events of five kinds, of simulated people that nothing was trained on: intersection
# over union .65, .68, .67 on average. The likeliest step with its neighbours above a bar: .48.
_FLOOR = 0.4


def stretches(likeness: NDArray[np.floating]) -> Spans:
    """The likeliest stretch of each epoch, `(n, steps)` to `(n, 2)` seconds.

    Of all stretches the one with the largest sum of likeness, counted from `_FLOOR` of the way between the epoch's
    least and largest: a step in the middle that is less like does not cut it.
    """
    n, steps = likeness.shape
    low, high = likeness.min(axis=1, keepdims=True), likeness.max(axis=1, keepdims=True)
    total = np.cumsum(likeness - (low + _FLOOR * (high - low)), axis=1, dtype=np.float64)
    total = np.hstack([np.zeros((n, 1)), total])
    first, last = np.triu_indices(steps + 1, 1)
    best = (total[:, last] - total[:, first]).argmax(axis=1)
    return np.asarray(np.stack([first[best], last[best]], axis=1) * EPOCH_S / steps, np.float64)


def tells_steps(encoder: Encoder) -> bool:
    """Whether an encoder gives vectors of the steps within an epoch and can be asked with some of them hidden."""
    return hasattr(encoder, "embed_steps") and hasattr(getattr(encoder, "model", None), "signals")


def embed_hidden(encoder: Any, epochs: Epochs, hide: Bools) -> NDArray[np.float32]:
    """Unit vectors `(n, dim)` of epochs of which the steps `hide` `(n, steps)` are hidden, of every sensor."""
    import torch

    from encoders.models.small.inputs import prepare

    inputs, device = prepare(epochs), next(encoder.model.parameters()).device
    x, present = (torch.from_numpy(part).to(device) for part in (inputs.x, inputs.present))
    night = torch.from_numpy(inputs.night).to(device).expand(len(x), -1, -1)
    patches = torch.from_numpy(np.repeat(hide[:, None], len(CHANNELS), axis=1)).to(device)
    with torch.inference_mode():
        vectors: NDArray[np.float32] = encoder.model.signals(x, present, night, patches).vector.float().cpu().numpy()
    return vectors


@dataclass(frozen=True, slots=True)
class SecondsCheck:
    """named, others `(n,)`: the score with the named seconds hidden, and the mean with as many others hidden; NaN where
    the stretch leaves no room beside it.
    """

    named: Floats
    others: Floats

    @property
    def checked(self) -> Bools:
        """The epochs with room for others, `(n,)`."""
        return np.isfinite(self.others)

    @property
    def lowers(self) -> Bools:
        """Of the epochs checked, whether the named seconds cost more."""
        return np.asarray(self.named[self.checked] < self.others[self.checked])


def check_seconds(encoder: Encoder, epochs: Epochs, spans: Spans, direction: NDArray[Any], steps: int) -> SecondsCheck:
    """Hide each epoch's span, then as many seconds elsewhere in it, at up to three places that do not touch the span.

    `direction` `(dim,)`: a vector's product with it is the score.
    """
    first, last = (np.rint(spans[:, side] * steps / EPOCH_S).astype(int) for side in (0, 1))
    at = np.arange(steps)

    def hidden(start: NDArray[Any]) -> Floats:
        mask = (at >= start[:, None]) & (at < (start + last - first)[:, None])
        return np.asarray(embed_hidden(encoder, epochs, mask) @ direction, np.float64)

    rooms = [_room(a, b, steps) for a, b in zip(first, last, strict=True)]
    named, free = hidden(first), np.array([len(room) > 0 for room in rooms])
    others = np.zeros(len(epochs))
    for share in np.linspace(0.0, 1.0, _OTHERS):
        others += hidden(np.array([room[round(share * (len(room) - 1))] if room else 0 for room in rooms])) / _OTHERS
    return SecondsCheck(named, np.where(free, others, np.nan))


def _room(first: int, last: int, steps: int) -> list[int]:
    """Where a stretch of the same length may begin beside the steps `[first, last)`."""
    length = last - first
    return [start for start in range(steps - length + 1) if start + length <= first or start >= last]


@dataclass(frozen=True, slots=True)
class SensorsCheck:
    """alone, drop `(n, modalities)`: the score with a modality alone, and how far the score falls without it; NaN where
    an epoch has none of its channels, or nothing else.
    """

    modalities: tuple[str, ...]
    alone: Floats
    drop: Floats

    @property
    def named(self) -> NDArray[np.int64]:
        """The modality that says most alone, `(n,)`."""
        return np.asarray(np.nan_to_num(self.alone, nan=-np.inf).argmax(axis=1))

    @property
    def checked(self) -> Bools:
        """The epochs with a second modality to compare with, `(n,)`."""
        return np.asarray(np.isfinite(self.drop).sum(axis=1) > 1)

    @property
    def lowers(self) -> Bools:
        """Of the epochs checked, whether the named one's loss costs more than others' on average."""
        drop = self.drop[self.checked]
        own = np.take_along_axis(drop, self.named[self.checked][:, None], axis=1)[:, 0]
        return np.asarray(own > (np.nansum(drop, axis=1) - own) / (np.isfinite(drop).sum(axis=1) - 1))


def check_sensors(encoder: Encoder, epochs: Epochs, direction: NDArray[Any]) -> SensorsCheck:
    """Each modality alone, then all but it, as if the recording had never had the others; `direction` as above."""
    from retrieval.evaluation.sample import keep_channels  # evaluation imports this module
    from retrieval.evaluation.sensors import load_sensors

    modalities = {name: m for name, m in load_sensors().modalities.items() if set(m) & set(encoder.channels)}

    def score(channels: Sequence[str]) -> Floats:
        left = keep_channels(epochs, channels)
        scores = np.asarray(encoder.embed_epochs(left) @ direction, np.float64)
        scores[~left.present.any(axis=1)] = np.nan
        return scores

    whole = score(CHANNELS)
    alone, drop = np.full((2, len(epochs), len(modalities)), np.nan)
    for i, members in enumerate(modalities.values()):
        there = epochs.present[:, [CHANNELS.index(channel) for channel in members]].any(axis=1)
        if there.any():
            alone[there, i] = score(members)[there]
            drop[there, i] = (whole - score([c for c in CHANNELS if c not in members]))[there]
    return SensorsCheck(tuple(modalities), alone, drop)
