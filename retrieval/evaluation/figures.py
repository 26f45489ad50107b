"""A measured figure with its interval, its base rate, and how many people stand behind it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.vocabulary import EPOCH_S

BOOTSTRAPS = 200
BLOCK_EPOCHS = int(600 / EPOCH_S)  # one night alone: ten minutes hang together
ONE_SUBJECT = "one subject"
ALL_SENSORS = "all sensors"

Statistic = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of an evaluation.

    `low`, `high`: 95 % interval over subjects, None where there is none; `n`: what was counted (epochs, texts ...);
    `base_rate`: what chance would give or how frequent the class is; `detail`: curves and tables for plots.
    """

    task: str
    measure: str
    method: str
    value: float | None
    n: int
    subjects: int
    low: float | None = None
    high: float | None = None
    base_rate: float | None = None
    subset: str = ALL_SENSORS
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The figure as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic over all rows, and its 95 % bootstrap interval; None where it can't be computed."""

    value: float | None
    low: float | None
    high: float | None
    note: str


def interval(statistic: Statistic, subjects: Sequence[str], *, seed: int = 0, draws: int = BOOTSTRAPS) -> Interval:
    """`statistic(rows)` over all rows, and its percentile interval when whole subjects are drawn with replacement.

    `subjects` names each row's; rows of one subject stand in order of time, since with one subject alone blocks of ten
    minutes are drawn and the note says so. A draw whose statistic is not finite (a class is absent) is left out.
    """
    names, owner = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    everything = np.arange(len(owner))
    value = _finite(statistic(everything)) if len(owner) else None
    alone = len(names) == 1
    groups = (
        np.array_split(everything, max(1, len(everything) // BLOCK_EPOCHS))
        if alone
        else [np.flatnonzero(owner == i) for i in range(len(names))]
    )
    note = ONE_SUBJECT if alone else ""
    if value is None or len(groups) < 2:
        return Interval(value, None, None, note)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = rng.integers(len(groups), size=len(groups))
        if (one := _finite(statistic(np.concatenate([groups[i] for i in drawn])))) is not None:
            found.append(one)
    if len(found) < draws / 2:
        return Interval(value, None, None, note)
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(value, float(low), float(high), note)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
