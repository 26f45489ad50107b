"""Answers held against the truth: precision of the first ten hits by kind of question, and silence where due."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from encoders.vocabulary import EPOCH_S
from questions.rivals import Stretch
from questions.rules import Mask, Rules
from questions.sets import KINDS, UNANSWERABLE, Question

DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    """One question put to one answerer. `right` of `returned` hits hold a relevant epoch, `share` is the mean share of
    a hit's epochs that are relevant; `base_rate` of all epochs (of all nights), 0 where none is."""

    question: Question
    returned: int
    right: int
    share: float
    base_rate: float

    @property
    def precision(self) -> float:
        """Right hits of those returned; nothing returned is nothing right."""
        return self.right / self.returned if self.returned else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of question, one answerer.

    `precision` with its interval is over the `n` questions that have a relevant epoch (`without`: how many have none),
    `when_answered` over those for which something came back (`answered`: their share); `epochs` is the share of the
    hits' epochs that are relevant. For questions that can't be answered `silent` is the share for which nothing came
    back, and the rest is None.
    """

    kind: str
    answerer: str
    n: int
    without: int
    hits: float
    base_rate: float | None = None
    precision: float | None = None
    low: float | None = None
    high: float | None = None
    answered: float | None = None
    when_answered: float | None = None
    epochs: float | None = None
    silent: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The line as plain values."""
        return asdict(self)


def held_against(rules: Rules, question: Question, relevant: Mapping[str, Mask], hits: Sequence[Stretch]) -> Asked:
    """What the hits of one question are worth; a hit in a recording without truth is wrong."""
    if question.kind == "night":
        good = [bool(relevant[name].any()) if name in relevant else False for name, _, _ in hits]
        base = float(np.mean([mask.any() for mask in relevant.values()]))
        return Asked(question, len(hits), sum(good), float(np.mean(good)) if good else 0.0, base)
    parts = [
        relevant[name][int(start // EPOCH_S) : int(np.ceil(stop / EPOCH_S))] if name in relevant else np.zeros(1, bool)
        for name, start, stop in hits
    ]
    base = float(np.concatenate(list(relevant.values())).mean())
    share = float(np.mean([part.mean() if part.size else 0.0 for part in parts])) if parts else 0.0
    return Asked(question, len(hits), sum(bool(part.any()) for part in parts), share, base)


def lines(answerer: str, asked: Sequence[Asked]) -> list[Line]:
    """One line a kind, and one of all kinds that can be answered."""
    answerable = [a for a in asked if a.question.kind not in UNANSWERABLE]
    return [_line(kind, answerer, [a for a in asked if a.question.kind == kind]) for kind in KINDS] + [
        _line("all that can be answered", answerer, answerable)
    ]


def _line(kind: str, answerer: str, asked: Sequence[Asked]) -> Line:
    hits = float(np.mean([a.returned for a in asked])) if asked else 0.0
    if kind in UNANSWERABLE:
        found = _over([float(not a.returned) for a in asked])
        return Line(kind, answerer, len(asked), 0, hits, silent=found[0], low=found[1], high=found[2])
    good = [a for a in asked if a.base_rate > 0]
    value, low, high = _over([a.precision for a in good])
    back = [a for a in good if a.returned]
    return Line(
        kind, answerer, len(good), len(asked) - len(good), hits, _over([a.base_rate for a in good])[0],
        value, low, high, _over([float(a.returned > 0) for a in good])[0], _over([a.precision for a in back])[0],
        _over([a.share for a in back])[0],
    )  # fmt: skip


def worth(kind: str, full: Sequence[Asked], less: Sequence[Asked]) -> dict[str, Any]:
    """What precision is lost when something is left out, question by question, with its interval."""
    pairs = [
        (f, o) for f, o in zip(full, less, strict=True)
        if f.base_rate > 0 and (kind == f.question.kind or kind not in KINDS)
    ]  # fmt: skip
    value, low, high = _over([f.precision - o.precision for f, o in pairs])
    return {"kind": kind, "n": len(pairs), "loss": value, "low": low, "high": high}


def _over(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """The mean and its 95 % bootstrap interval over questions; none of nothing."""
    array = np.asarray(values, float)
    if not len(array):
        return None, None, None
    drawn = array[np.random.default_rng(0).integers(len(array), size=(DRAWS, len(array)))].mean(axis=1)
    return float(array.mean()), float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))
