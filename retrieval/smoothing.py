"""Stage scores smoothed over the night: a sleeper stays in a stage, and some stages follow others seldom.

A hidden Markov model over epochs. Its chances of passing from stage to stage are those of real nights
(transitions.toml); a night begins as such a chain does in the long run, and no other prior is used. A score becomes a
log-likelihood when it is divided by the temperature. Forward and backward (Rabiner 1989, Proc IEEE 77:257) give each
epoch's probabilities, all epochs of its night heard. Over epochs that are missing or unknown lies the power of the
matrix.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.vocabulary import EPOCH_S

Floats = NDArray[np.float64]
# Where an encoder names no temperature of its own: this share of the standard deviation of the scores about each
# epoch's mean, so that it fits the spread of any encoder's cosines without a look at labels. Chosen on five simulated
# nights, a classifier of their measures and noise added to it: macro-F1 0.83 to 0.82 (none), 0.70 to 0.76 (some), 0.49
# to 0.62 (much); at 0.1 the last gains half as much, at 0.5 the first falls to 0.75.
TEMPERATURE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Transitions:
    """`chances[i, j]`: of label j one epoch after label i; rows sum to one, none is zero."""

    labels: tuple[str, ...]
    chances: Floats

    @property
    def usual(self) -> Floats:
        """How frequent each label is in the long run, `(labels,)`."""
        k = len(self.labels)
        equations = np.vstack([self.chances.T - np.eye(k), np.ones(k)])
        frequency: Floats = np.linalg.lstsq(equations, np.append(np.zeros(k), 1.0), rcond=None)[0]
        return frequency

    def merged(self, means: Mapping[str, str]) -> "Transitions":
        """The same between coarser labels, `means` naming each one's; those it lacks are left out of the chain.

        A merged label is left as its members are in the long run.
        """
        labels = tuple(dict.fromkeys(means[label] for label in self.labels if label in means))
        member = np.array([[means.get(label) == new for new in labels] for label in self.labels], float)
        passages = member.T @ (self.usual[:, None] * self.chances) @ member
        return Transitions(labels, passages / passages.sum(axis=1, keepdims=True))

    def ordered(self, labels: Sequence[str]) -> "Transitions":
        """The same with its labels in this order."""
        at = [self.labels.index(label) for label in labels]
        return Transitions(tuple(labels), self.chances[np.ix_(at, at)])


@cache
def load_transitions() -> Transitions:
    """Of the five stages, from epoch to epoch of 30 s, as scripts/fit_transitions.py found them."""
    table = tomllib.loads((files("retrieval") / "transitions.toml").read_text("utf-8"))["next"]
    chances = np.array(list(table.values()))
    return Transitions(tuple(table), chances / chances.sum(axis=1, keepdims=True))


def usual_temperature(scores: NDArray[Any]) -> float:
    """The temperature for scores `(n, labels)` whose encoder names none."""
    known = scores[np.isfinite(scores).all(axis=1)].astype(np.float64)
    spread = float((known - known.mean(axis=1, keepdims=True)).std()) if len(known) else 0.0
    return max(TEMPERATURE_SHARE * spread, 1e-6)


def smooth(scores: NDArray[Any], start_s: NDArray[Any], transitions: Transitions, *, temperature: float) -> Floats:
    """Probabilities of the labels in each epoch of one night, float64 `(n, labels)`.

    `scores` `(n, labels)` in the order of `transitions.labels`, `start_s` `(n,)` ascending seconds of the epochs. An
    epoch whose scores are not finite stays NaN. ValueError for epochs that are not in order of time.
    """
    found = np.full(scores.shape, np.nan)
    known = np.flatnonzero(np.isfinite(scores).all(axis=1))
    if not len(known):
        return found
    steps = np.rint(np.diff(np.asarray(start_s, np.float64)[known]) / EPOCH_S).astype(np.int64)
    if (steps < 1).any():
        raise ValueError("epochs must be in order of time, 30 s apart or more")
    passes = {step: np.linalg.matrix_power(transitions.chances, int(step)) for step in np.unique(steps)}
    logs = scores[known].astype(np.float64) / temperature
    likely = np.exp(logs - logs.max(axis=1, keepdims=True))
    forward, backward = np.empty_like(likely), np.ones_like(likely)
    before = transitions.usual
    for i, like in enumerate(likely):
        now = before * like
        forward[i] = now / now.sum()
        before = forward[i] @ passes[steps[i]] if i < len(steps) else before
    for i in range(len(steps) - 1, -1, -1):
        then = passes[steps[i]] @ (likely[i + 1] * backward[i + 1])
        backward[i] = then / then.sum()
    both = forward * backward
    found[known] = both / both.sum(axis=1, keepdims=True)
    return found


def smooth_nights(
    scores: NDArray[Any], recording: Sequence[str], start_s: NDArray[Any], transitions: Transitions,
    *, temperature: float,
) -> Floats:  # fmt: skip
    """`smooth` of each recording by itself; `recording` names each row's."""
    names = np.asarray(recording, dtype=str)
    found = np.full(scores.shape, np.nan)
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        found[rows] = smooth(scores[rows], start_s[rows], transitions, temperature=temperature)
    return found
