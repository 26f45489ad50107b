"""Vectors on disk: append-only float16 segments with their int64 ids, written whole and read through a map."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import BadVectors
from index.layout import Layout, Segment, fsync_dir

F16 = np.dtype("<f2")
I64 = np.dtype("<i8")
BLOCK_ROWS = 4096  # rows brought to float32 at a time: 6 MB at 384 dimensions stay in the processor's cache

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
Halves = NDArray[np.float16]


def widened(halves: Halves, out: Vectors | None = None) -> Vectors:
    """The same numbers as float32 (finite ones, as stored), several times as fast as a cast.

    The bits of a half stand in a float's place, 2^112 too small: its exponent counts from 15 and not from 127.
    """
    found = np.empty(halves.shape, np.float32) if out is None else out[: len(halves)]
    step = max(1, (1 << 18) // max(1, halves.shape[1]))  # of a piece that stays in the processor's cache
    for start in range(0, len(halves), step):
        piece = found[start : start + step]
        bits = piece.view(np.int32)
        np.copyto(bits, halves[start : start + step].view(np.int16))  # the sign goes into all upper bits
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, np.int32(-0x70002000), out=bits)  # the sign alone is left of them
        np.multiply(piece, np.float32(2.0**112), out=piece)
    return found


def to_halves(vectors: Vectors, *, what: str) -> Halves:
    """float (n, dim) as the float16 that is stored; BadVectors unless two-dimensional, finite and within its range."""
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(vectors, dtype=F16)
    if halves.ndim != 2 or halves.shape[1] == 0:
        raise BadVectors(f"{what}: shape {halves.shape}, expected (n, dim)")
    if not np.isfinite(halves).all():
        row = int(np.flatnonzero(~np.isfinite(halves).all(axis=1))[0])
        raise BadVectors(
            f"{what}: row {row} is not finite in float16; expected unit vectors, leave the row out instead"
        )
    return halves


def write_segment(
    layout: Layout, space: str, collection: str, blocks: Iterable[tuple[Ids, Halves]], dim: int
) -> Segment | None:
    """Store blocks of (ids, rows) as one new segment: temporary names, fsync, rename. None where no row came."""
    folder = layout.vectors(space)
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(p.stem.removeprefix("seg-")) for p in folder.glob("seg-*.*")]
    final = folder / f"seg-{max(taken, default=0) + 1:06d}.f16"
    part, ids_part = final.with_suffix(".f16.part"), final.with_suffix(".ids.part")
    digest, ids_digest, rows, max_norm = hashlib.sha256(), hashlib.sha256(), 0, 0.0
    with part.open("wb") as file, ids_part.open("wb") as ids_file:
        for ids, halves in blocks:
            raw, raw_ids = halves.astype(F16, copy=False).tobytes(), ids.astype(I64, copy=False).tobytes()
            file.write(raw)
            ids_file.write(raw_ids)
            digest.update(raw)
            ids_digest.update(raw_ids)
            rows += len(ids)
            max_norm = max(max_norm, float(np.linalg.norm(halves.astype(np.float32), axis=1).max(initial=0.0)))
        for handle in (file, ids_file):
            handle.flush()
            os.fsync(handle.fileno())
    if rows == 0:
        part.unlink()
        ids_part.unlink()
        return None
    ids_part.replace(final.with_suffix(".ids"))
    part.replace(final)
    fsync_dir(folder)
    return Segment(space, collection, final.stem, rows, dim, digest.hexdigest(), ids_digest.hexdigest(), max_norm)


def delete_segment(layout: Layout, segment: Segment) -> None:
    for suffix in (".f16", ".ids"):
        layout.segment(segment).with_suffix(suffix).unlink(missing_ok=True)


def read_ids(layout: Layout, segment: Segment) -> Ids:
    """int64 (rows,), mapped."""
    return np.asarray(np.memmap(layout.segment(segment).with_suffix(".ids"), dtype=I64, mode="r", shape=segment.rows))


def read_rows(layout: Layout, segment: Segment) -> Halves:
    """float16 (rows, dim), mapped: pages are read when touched."""
    return np.asarray(np.memmap(layout.segment(segment), dtype=F16, mode="r", shape=(segment.rows, segment.dim)))


class Rows:
    """All stored rows of one collection of one space, as one matrix over mapped segments.

    A row is addressed by its position, 0 .. n - 1 in the order written. Where an id was stored twice, the later counts.
    """

    def __init__(self, layout: Layout, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self.dim = segments[0].dim
        self.max_norm = max(segment.max_norm for segment in segments)
        # Everything is mapped now: a later writer may delete the files of a snapshot that a reader still has open.
        self._ids = [read_ids(layout, segment) for segment in segments]
        self._parts = [read_rows(layout, segment) for segment in segments]
        self._starts = np.cumsum([0, *(segment.rows for segment in segments)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def ids(self) -> Ids:
        return self._ids[0] if len(self._ids) == 1 else np.concatenate(self._ids)

    @cached_property
    def _order(self) -> Ids | None:
        return None if bool(np.all(self.ids[1:] > self.ids[:-1])) else np.argsort(self.ids, kind="stable")

    @cached_property
    def _sorted(self) -> Ids:
        return self.ids if self._order is None else self.ids[self._order]

    @cached_property
    def _dense(self) -> bool:
        """Whether the ids go up by one, as those of epochs do: then an id's place needs no search."""
        return (
            len(self) > 0
            and int(self._sorted[-1] - self._sorted[0]) == len(self) - 1
            and bool(np.all(np.diff(self._sorted) == 1))
        )

    def positions(self, ids: Ids) -> Ids:
        """Ascending positions of the ids that are stored, each once; the others are left out."""
        if len(ids) > 1 and not np.all(ids[1:] > ids[:-1]):
            ids = np.unique(ids)
        if self._dense:
            at = ids - self._sorted[0]
            at = at[(at >= 0) & (at < len(self))]
        else:
            at = np.searchsorted(self._sorted, ids, side="right") - 1
            at = at[(at >= 0) & (self._sorted[np.maximum(at, 0)] == ids)]
        return at if self._order is None else np.sort(self._order[at])

    def take(self, positions: Ids) -> Halves:
        """float16 (n, dim) of these positions, in their order."""
        if len(self._parts) == 1:
            return self._parts[0][positions]
        out = np.empty((len(positions), self.dim), dtype=F16)
        part_of = np.searchsorted(self._starts, positions, side="right") - 1
        for part in np.unique(part_of):
            mine = part_of == part
            out[mine] = self._parts[part][positions[mine] - self._starts[part]]
        return out

    def blocks(self, positions: Ids | None, size: int = BLOCK_ROWS) -> Iterator[tuple[Ids, Halves]]:
        """(positions, float16 rows) in pieces of at most `size`; None means every row."""
        if positions is not None:
            for start in range(0, len(positions), size):
                chosen = positions[start : start + size]
                yield chosen, self.take(chosen)
            return
        for first, part in zip(self._starts, self._parts, strict=False):
            for start in range(0, len(part), size):
                block = part[start : start + size]
                yield np.arange(first + start, first + start + len(block), dtype=np.int64), block


def stored_paths(layout: Layout, segments: Iterable[Segment]) -> set[Path]:
    return {layout.segment(s).with_suffix(suffix) for s in segments for suffix in (".f16", ".ids")}
