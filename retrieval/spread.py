"""How the scores of a classification are spread: counts in bins, so that a threshold can be tried without the epochs.

Bins are equal and one of their edges is where the labels part already, or where the scores part best into two groups:
what is counted from an edge on is exact. With it, the epochs behind a figure: of one cell of the confusion, on either
side of a threshold, or of one label of a vote.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from retrieval.calibration import two_groups
from retrieval.classify import Classification
from retrieval.fewshot import FewShot
from retrieval.zeroshot import ABSENT, PRESENT

BINS = 160
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Epochs by their score of one label, between `edges` `(bins + 1,)`; a bin holds its lower edge.

    `here`, `elsewhere`, `unscored`, each `(bins,)`: the scorer said this label, another one, nothing. `start`: the
    number of the edge at which a threshold begins. `of`: what the score is.
    """

    label: str
    of: str
    edges: list[float]
    here: list[int]
    elsewhere: list[int]
    unscored: list[int]
    start: int

    def to_json(self) -> dict[str, Any]:
        """The counts as plain values."""
        return asdict(self)


def spreads(found: Classification, *, bins: int = BINS) -> list[Spread]:
    """One for each label; of present and absent one, of their difference, or of the probability of `present`."""
    return [_spread(found, label, bins) for label in thresholded(found)]


def thresholded(found: Classification) -> tuple[str, ...]:
    """The labels that have a threshold of their own."""
    return (PRESENT,) if set(found.labels) == {PRESENT, ABSENT} else found.labels


def scores_of(found: Classification, label: str) -> tuple[Floats, str]:
    """What the threshold of a label is of, `(n,)`, NaN where there is none; and its name."""
    score = found.epochs[f"score_{label}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if found.calibrated:
        return score, "probability"
    if found.smoothing:
        return score, "share after smoothing, no calibrated probability"
    if thresholded(found) == (PRESENT,):
        absent = found.epochs[f"score_{ABSENT}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return score - absent, "similarity to present less that to absent, uncalibrated"
    return score, "similarity, uncalibrated"


def near(found: Classification, label: str, threshold: float, *, n: int = 8) -> pl.DataFrame:
    """The `n` epochs whose score of the label is nearest to the threshold, highest first, with `score`."""
    score, _ = scores_of(found, label)
    rows = np.argsort(np.abs(score - threshold), kind="stable")[: min(n, int(np.isfinite(score).sum()))]
    return _told(found, rows[np.argsort(-score[rows], kind="stable")], score)


def cell(found: Classification, scored: str | None, label: str | None, *, n: int = 8) -> pl.DataFrame:
    """The `n` surest epochs that the scorer called `scored` (None: nothing) and the words `label`, with `score`."""
    table = found.epochs.with_row_index("row")
    asked = table.filter(pl.col("scored").eq_missing(pl.lit(scored)), pl.col("label").eq_missing(pl.lit(label)))
    rows = asked["row"].to_numpy().astype(np.int64)
    score = scores_of(found, label)[0] if label in thresholded(found) else np.zeros(table.height)
    if label == ABSENT:
        score = -scores_of(found, PRESENT)[0]
    return _told(found, rows[np.argsort(-score[rows], kind="stable")][:n], score)


def voted(found: FewShot, label: str, *, close: bool = False, n: int = 8) -> pl.DataFrame:
    """The `n` epochs without an example that the vote called `label`, surest first, or the closest votes first:
    `recording subject start_s label share`."""
    share = found.votes[:, found.labels.index(label)]
    so = found.epochs.select(pl.col("label").eq_missing(pl.lit(label)) & pl.col("given").is_null())
    rows = np.flatnonzero(so.to_series().to_numpy())
    rows = rows[np.argsort(share[rows] if close else -share[rows], kind="stable")][:n]
    return (
        found.epochs[rows]
        .select("recording", "subject", "start_s", "label")
        .with_columns(pl.Series("share", share[rows]).round(3))
    )


def _told(found: Classification, rows: NDArray[np.int64], score: Floats) -> pl.DataFrame:
    columns = ("recording", "subject", "start_s", "label", "scored")
    return found.epochs[rows].select(columns).with_columns(pl.Series("score", score[rows]).round(4))


def _spread(found: Classification, label: str, bins: int) -> Spread:
    score, of = scores_of(found, label)
    known = np.isfinite(score)
    low, high, start = _ends(found, label, score[known])
    width = max((high - low) / (bins - 1), 1e-6)
    below = int(np.ceil((start - low) / width))  # so many edges lie below the start, which is one itself
    edges = start + (np.arange(bins + 1) - below) * width
    at = np.clip(np.searchsorted(edges, score[known], side="right") - 1, 0, bins - 1)
    scored = found.epochs["scored"].filter(pl.Series(known))
    none = scored.is_null().to_numpy()
    so = (scored == label).fill_null(False).to_numpy()
    counts = [np.bincount(at[mask], minlength=bins).tolist() for mask in (so, ~so & ~none, none)]
    return Spread(label, of, edges.tolist(), counts[0], counts[1], counts[2], below)


def _ends(found: Classification, label: str, score: Floats) -> tuple[float, float, float]:
    """Least and greatest score, and where a threshold begins."""
    if not len(score):
        return 0.0, 1.0, 0.5
    start = two_groups(score)
    if thresholded(found) == (PRESENT,):
        said = scores_of(found, label)[0][(found.epochs["label"] == label).fill_null(False).to_numpy()]
        start = float(said.min()) if len(said) else start
    return float(score.min()), float(score.max()), start
