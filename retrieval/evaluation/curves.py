"""How well scores rank what is there above what is not: areas under two curves, quick enough for a bootstrap.

Rows are sorted once; a draw of rows is then a weight a row, and each curve a cumulative sum. Equal scores are one step,
so that no order among them is assumed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_POINTS = 100  # of a curve that is kept to be drawn
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows from the highest score down."""

    order: NDArray[np.int64]
    positive: NDArray[np.bool_]  # in that order
    ends: NDArray[np.int64]  # the last place of each score

    @classmethod
    def of(cls, positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> "Ranking":
        """Of rows `(n,)` with finite `scores`."""
        order = np.argsort(-scores, kind="stable")
        falls = np.flatnonzero(np.diff(scores[order]))
        return cls(order, positive[order], np.append(falls, len(order) - 1))

    def auc(self, rows: NDArray[np.int64]) -> float:
        """Area under the ROC curve of a draw of rows; NaN without a positive or a negative."""
        hits, alarms = self._counts(rows)
        if not (hits[-1] and alarms[-1]):
            return float("nan")
        return float(np.trapezoid(hits / hits[-1], alarms / alarms[-1]))

    def average_precision(self, rows: NDArray[np.int64]) -> float:
        """Mean precision at each gain of recall of a draw of rows; NaN without a positive."""
        hits, alarms = self._counts(rows)
        if not hits[-1]:
            return float("nan")
        return float(np.diff(hits) @ (hits[1:] / np.maximum(hits[1:] + alarms[1:], 1)) / hits[-1])

    def points(self) -> dict[str, list[float]]:
        """False alarm rate, recall and precision at up to a hundred places, to draw both curves from."""
        hits, alarms = self._counts(np.arange(len(self.order)))
        at = np.unique(np.linspace(0, len(hits) - 1, _POINTS).astype(np.int64))
        precision = np.where(hits + alarms > 0, hits / np.maximum(hits + alarms, 1), 1.0)
        curves = {
            "false_alarms": alarms / max(alarms[-1], 1),
            "recall": hits / max(hits[-1], 1),
            "precision": precision,
        }
        return {name: np.round(values[at], 4).tolist() for name, values in curves.items()}

    def _counts(self, rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Positives and negatives at or above each score, from none on."""
        weight = np.bincount(rows, minlength=len(self.order))[self.order]
        hits, alarms = (
            np.cumsum(weight * side)[self.ends].astype(np.float64) for side in (self.positive, ~self.positive)
        )
        return np.concatenate([[0.0], hits]), np.concatenate([[0.0], alarms])
