"""How far two ways of naming the same epochs agree: F1 of each label, their mean, and Cohen's kappa.

All of them are taken from a confusion matrix `(labels, labels)`, what is true by what was said, so that a bootstrap
counts and does nothing else. A label that is not among the truth has no F1 (NaN).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.int64]


def confusion(truth: NDArray[np.int64], said: NDArray[np.int64], labels: int, others: int | None = None) -> Table:
    """The table of two columns of label numbers, each in `[0, labels)`; `said` in `[0, others)` where they differ."""
    wide = others or labels
    table: Table = np.bincount(truth * wide + said, minlength=labels * wide).reshape(labels, wide)
    return table


def f1_of(table: NDArray[Any]) -> NDArray[np.float64]:
    """F1 of each label, `(labels,)`; NaN for one that is not among the truth."""
    true = table.sum(axis=1)
    both = true + table.sum(axis=0)
    return np.where(true > 0, 2 * np.diag(table) / np.maximum(both, 1), np.nan)


def kappa_of(table: NDArray[Any]) -> float:
    """Cohen's kappa; NaN where chance alone would agree always."""
    total = table.sum()
    if not total:
        return float("nan")
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / float(total) ** 2
    return float((np.trace(table) / total - chance) / (1 - chance)) if chance < 1 else float("nan")
