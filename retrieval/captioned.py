"""Captions found from signals: of all captions of a cohort, those nearest to an epoch's signals.

A caption's vector is the unit mean of its parts', as everywhere. Many captions share few sentences, so the sentences'
vectors are kept, and of each caption which five it has: a caption costs five numbers, not a vector.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.captions import PARTS
from encoders.models import Encoder
from index import Snapshot

_MOST = 4  # cohorts and encoders whose sentences are kept
_AT_ONCE = 20_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NearCaption:
    """A caption of the cohort: its parts in words, its cosine with the signals, and an epoch that has it."""

    caption: dict[str, str]
    cosine: float
    epochs: int  # how many have it
    recording: str
    start_s: float


@dataclass(frozen=True, slots=True)
class NearCaptions:
    """The nearest captions, best first; `rank` (from 1) and `cosine` of the caption that the epoch itself has, if the
    cohort knows it; `of` how many were compared."""

    captions: list[NearCaption]
    of: int
    rank: int | None
    cosine: float | None


@dataclass(frozen=True, slots=True)
class _Sentences:
    """ids `(n,)` of captions, ascending; has `(n, parts)`: rows of `vectors` `(sentences + 1, dim)`, the last of which
    is silence; length `(n,)` of the sum of a caption's vectors."""

    ids: NDArray[np.int64]
    has: NDArray[np.int32]
    vectors: Floats
    length: Floats

    def cosines(self, signal: Floats) -> Floats:
        """Of each caption with one unit vector, `(n,)`; 0 for a caption that says nothing."""
        near = (self.vectors @ signal)[self.has].sum(axis=1)
        found: Floats = near / np.maximum(self.length, 1e-9)
        return found


_kept: dict[tuple[str, int, str], _Sentences] = {}


def nearest_captions(
    snapshot: Snapshot, reader: Encoder, signal: NDArray[Any], *, k: int = 5, own: int | None = None
) -> NearCaptions:
    """The `k` captions of the cohort nearest to a unit vector `(dim,)` of an epoch's signals; `own`: the id of the
    caption that the epoch has."""
    known = _sentences(snapshot, reader)
    cosines = known.cosines(np.asarray(signal, np.float32))
    best = np.lexsort((known.ids, -cosines))[:k]
    listed = ", ".join(str(int(i)) for i in known.ids[best]) or "NULL"
    rows = snapshot.sql(
        f"SELECT c.*, e.epochs, r.recording, r.start_s FROM captions c JOIN (SELECT caption_id, count(*) AS epochs, "
        f"min(epoch_id) AS epoch_id FROM epoch_rows WHERE caption_id IN ({listed}) GROUP BY caption_id) e "
        "USING (caption_id) JOIN epoch_rows r USING (epoch_id)"
    )
    by_id = {row["caption_id"]: row for row in rows.iter_rows(named=True)}
    found = [
        NearCaption({p: row[p] for p in PARTS if row[p]}, round(float(cosines[i]), 4), row["epochs"],
                    row["recording"], row["start_s"])
        for i in best if (row := by_id.get(int(known.ids[i])))
    ]  # fmt: skip
    place = int(np.searchsorted(known.ids, own)) if own is not None else len(known.ids)
    if place == len(known.ids) or known.ids[place] != own:
        return NearCaptions(found, len(known.ids), None, None)
    rank = int((cosines > cosines[place]).sum()) + 1
    return NearCaptions(found, len(known.ids), rank, round(float(cosines[place]), 4))


def _sentences(snapshot: Snapshot, reader: Encoder) -> _Sentences:
    key = (str(snapshot.root), snapshot.number, reader.space)
    if key not in _kept:
        made = _embedded(snapshot, reader)
        while len(_kept) >= _MOST:
            _kept.pop(next(iter(_kept)))
        _kept[key] = made
    return _kept[key]


def _embedded(snapshot: Snapshot, reader: Encoder) -> _Sentences:
    captions = snapshot.sql(
        f"SELECT caption_id, {', '.join(PARTS)} FROM captions WHERE caption_id IN (SELECT caption_id FROM epoch_rows) "
        "ORDER BY caption_id"
    )
    sentences = sorted({text for part in PARTS for text in captions[part].unique() if text})
    number = {text: i for i, text in enumerate(sentences)}
    silence = len(sentences)
    has = np.stack([
        captions[part].replace_strict(number, default=silence).fill_null(silence).to_numpy().astype(np.int32)
        for part in PARTS
    ], axis=1)  # fmt: skip
    vectors = np.zeros((silence + 1, reader.dim), np.float32)
    if sentences:
        vectors[:-1] = reader.embed_texts(sentences)
    gram = vectors @ vectors.T
    length = np.zeros(len(has), np.float32)
    for first in range(0, len(has), _AT_ONCE):
        part = has[first : first + _AT_ONCE]
        length[first : first + _AT_ONCE] = np.sqrt(np.maximum(gram[part[:, :, None], part[:, None, :]].sum((1, 2)), 0))
    return _Sentences(captions["caption_id"].to_numpy(), has, vectors, length)
