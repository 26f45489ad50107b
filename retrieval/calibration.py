"""Thresholds and probabilities for zero-shot scores, fitted on the labelled nights of other subjects alone.

Platt scaling (logistic regression from scikit-learn): of the difference of present and absent, or of the scores of all
labels at once. It is fitted crosswise: subjects are dealt into at most ten groups, and a group's epochs are calibrated
by the labelled epochs of all others; whoever has no labels is calibrated by all who have. A label is said where its
probability is the highest; `present` from that threshold on which had the best F1 on the subjects it was fitted on,
since a rare event is hardly ever likelier than not.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEWEST_OTHERS = 3  # labelled subjects besides the one that is calibrated; a chance of fewer people's is theirs
_GROUPS = 10
_BINS = 10
Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """chances `(n, labels)`, NaN where the scores are; threshold `(n,)` of the second label where there are two asked
    as present and absent, else None; off: expected calibration error over ten bins, on labelled epochs.
    """

    chances: Floats
    threshold: Floats | None
    subjects: int
    off: float

    def words(self) -> str:
        """What was done, in a sentence."""
        cut = ""
        if self.threshold is not None:
            low, high = float(np.nanmin(self.threshold)), float(np.nanmax(self.threshold))
            span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
            cut = f"; `present` from a probability of {span} on, the best F1 of those subjects"
        return (
            f"calibrated by Platt scaling (logistic regression), each subject by the labelled nights of others, "
            f"{self.subjects} labelled subjects{cut}; expected calibration error {self.off:.3f}"
        )


def calibrate(scores: NDArray[Any], codes: Codes, subjects: NDArray[Any], labels: tuple[str, ...], *, presence: bool
              ) -> Calibrated | str:  # fmt: skip
    """Chances of each label from `scores` `(n, features)`; a sentence says why when too little is labelled.

    `codes` `(n,)` the scored label's number, -1 unknown; `subjects` `(n,)` names. `presence`: one feature, and the two
    labels are absent (0) and present (1).
    """
    scores = np.asarray(scores, np.float64)
    known = np.isfinite(scores).all(axis=1)
    fit = np.flatnonzero(known & (codes >= 0))
    people = np.unique(subjects[fit])
    if len(people) <= FEWEST_OTHERS:
        return f"uncalibrated: labelled subjects: {len(people)}, and each needs {FEWEST_OTHERS} others who are labelled"
    group = np.full(len(codes), -1)
    for number, person in enumerate(people):
        group[subjects == person] = number % _GROUPS
    chances = np.full((len(codes), len(labels)), np.nan)
    threshold = np.full(len(codes), np.nan) if presence else None
    for number in np.unique(group[known]):
        on = fit[group[fit] != number]
        if missing := [label for i, label in enumerate(labels) if not (codes[on] == i).any()]:
            return f"uncalibrated: nobody else is labelled {missing[0]}"
        rows = np.flatnonzero(known & (group == number))
        model = _platt(scores[on], codes[on])
        chances[rows] = model.predict_proba(scores[rows])
        if threshold is not None:
            threshold[rows] = best_threshold(model.predict_proba(scores[on])[:, 1], codes[on] == 1)
    said = chances[:, 1] if presence else np.nanmax(np.where(known[:, None], chances, 0.0), axis=1)
    right = codes == 1 if presence else np.where(known[:, None], chances, 0.0).argmax(axis=1) == codes
    return Calibrated(chances, threshold, len(people), calibration_error(said[fit], right[fit]))


def _platt(scores: Floats, codes: Codes) -> "Pipeline":
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(scores, codes)


def best_threshold(chances: Floats, there: NDArray[np.bool_]) -> float:
    """The smallest chance that counts as present for the best F1 of presence."""
    order = np.argsort(-chances, kind="stable")
    hits, said = np.cumsum(there[order]), np.arange(1, len(order) + 1)
    last = np.append(np.diff(chances[order]) != 0, True)  # epochs of one chance are said together
    f1 = np.where(last, 2 * hits / (said + there.sum()), -1.0)
    return float(chances[order][f1.argmax()])


def calibration_error(chances: Floats, right: NDArray[np.bool_]) -> float:
    """Mean distance of what was promised and what came true, over ten bins of equally many epochs."""
    bins = np.array_split(np.argsort(chances, kind="stable"), min(_BINS, len(chances)))
    return float(sum(len(b) * abs(chances[b].mean() - right[b].mean()) for b in bins) / len(chances))


def two_groups(values: Floats) -> float:
    """Where values part best into two groups, by the variance between them (Otsu 1979, IEEE Trans SMC 9:62)."""
    ordered = np.sort(values)
    n = len(ordered)
    if n < 2:
        return float(ordered[0]) if n else 0.0
    below = np.arange(1, n)
    sums = np.cumsum(ordered)
    between = below * (n - below) * (sums[:-1] / below - (sums[-1] - sums[:-1]) / (n - below)) ** 2
    at = int(between.argmax())
    return float((ordered[at] + ordered[at + 1]) / 2)
