"""The nearest examples of an epoch in the index, nobody's own where they have any, and how they vote.

Epochs are compared by their signals' vectors; in a cohort without any by those of their captions, of which several
epochs share one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from index import Snapshot

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

_BATCH = 8192  # epochs a search
_FEW = 1024  # examples that are compared at once
_CLOSEST = 1e-3  # a distance that float16 rows can't tell from none
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors to compare: the space, its collection, the column that holds their ids, and the channels behind them."""

    name: str
    collection: str
    key: str
    channels: tuple[str, ...]

    @classmethod
    def of(cls, cohort: "Cohort") -> "Space":
        if cohort.reader:
            return cls(cohort.reader.space, "signal", "epoch_id", tuple(cohort.reader.channels))
        return cls(cohort.encoder.space, "caption", "caption_id", ())


def neighbours(
    snapshot: Snapshot, space: Space, frame: pl.DataFrame, shots: pl.DataFrame, able: NDArray[np.bool_], k: int,
    progress: Progress | None = None,
) -> tuple[Rows, Floats]:  # fmt: skip
    """Rows of `shots` and cosines `(n, k)` for the rows `able`, nearest first; -1 and 0 where there is none.

    A row that is an example itself is compared with other subjects' examples alone.
    """
    nearest, cosines = np.full((frame.height, k), -1), np.zeros((frame.height, k), np.float32)
    keys, owners = shots[space.key].to_numpy(), shots["subject"].to_numpy()
    own = shots["row"].to_numpy()
    rest = able.copy()
    rest[own] = False
    jobs = [(np.flatnonzero(rest), np.arange(len(own)))]
    jobs += [(own[owners == name], np.flatnonzero(owners != name)) for name in np.unique(owners)]
    asked = frame[space.key].to_numpy()
    done, of = 0, sum(len(rows) for rows, _ in jobs)
    for rows, allowed in jobs:
        if not len(allowed):
            continue
        order = allowed[np.argsort(keys[allowed], kind="stable")]
        ids = np.unique(keys[order])
        few = snapshot.vectors(space.name, space.collection, ids) if len(ids) <= _FEW else None
        for first in range(0, len(rows), _BATCH):
            batch = rows[first : first + _BATCH]
            queries = snapshot.vectors(space.name, space.collection, asked[batch])
            if few is None:
                answer = snapshot.search(space.name, space.collection, queries, min(k, len(ids)), ids=ids)
                found, scores = answer.ids, answer.scores
            else:
                found, scores = among(queries, few, ids, min(k, len(ids)))
            nearest[batch], cosines[batch] = examples_of(found, scores, keys[order], order, k)
            if progress:
                progress("the nearest examples of each epoch", min(done + first + _BATCH, of), of)
        done += len(rows)
    return nearest, cosines


def among(queries: Floats, few: Floats, ids: Rows, k: int) -> tuple[Rows, Floats]:
    """Ids and cosines `(n, k)` of the nearest of a `few` unit rows, best first, of equals the lower id.

    For a handful of examples one product does what an engine would, without its cost for each query.
    """
    scores = np.asarray(queries.astype(np.float64) @ few.astype(np.float64).T, np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return ids[order], np.take_along_axis(scores, order, axis=1)


def examples_of(found: Rows, scores: Floats, keys: Rows, order: Rows, k: int) -> tuple[Rows, Floats]:
    """The first `k` examples behind the vectors found `(n, m)`; epochs of one wording share a caption's vector.

    keys: the vector of each example, ascending; order: their places.
    """
    before = np.searchsorted(keys, found, side="left")
    counts = np.where(found >= 0, np.searchsorted(keys, found, side="right") - before, 0)
    reached = counts.cumsum(axis=1)
    rows = np.arange(len(found))
    nearest, cosines = np.full((len(found), k), -1), np.zeros((len(found), k), np.float32)
    for j in range(k):
        column = np.minimum((reached <= j).sum(axis=1), found.shape[1] - 1)
        there = j < reached[:, -1]
        place = before[rows, column] + j - (reached[rows, column] - counts[rows, column])
        nearest[there, j] = order[place[there]]
        cosines[there, j] = scores[rows, column][there]
    return nearest, cosines


def votes_of(nearest: Rows, cosines: Floats, codes: Rows, labels: int) -> Floats:
    """Share of each label among the neighbours' weights, `(n, labels)`; zeros where there is no neighbour."""
    weights = np.where(nearest >= 0, 1 / np.maximum(distances(cosines), _CLOSEST), 0.0)
    votes = np.zeros((len(nearest), labels), np.float64)
    rows = np.arange(len(nearest))
    for j in range(nearest.shape[1]):
        np.add.at(votes, (rows, codes[nearest[:, j]]), weights[:, j])
    return np.asarray(votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-12), np.float32)


def distances(cosines: Floats) -> Floats:
    """Between unit vectors, by their cosine."""
    return np.asarray(np.sqrt(np.maximum(2 - 2 * cosines, 0)), np.float32)
