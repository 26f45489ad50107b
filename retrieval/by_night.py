"""Every epoch's night, as numbers: the rows of `Snapshot.arrays` that each recording has, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from index import Snapshot
from retrieval.remembered import remembered

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Nights:
    """Recordings by number, in the order of their `names`; `of` `(rows,)` is each row's.

    epoch, start_s: of each row. first, count `(recordings,)`: a recording's rows are the `count` from `first` on; the
    epochs of one are stored at once, and in order of time. A recording without epochs has a count of 0.
    """

    names: list[str]
    of: Array
    epoch: Array
    start_s: Array
    first: Array
    count: Array

    def over(self, ufunc: np.ufunc, values: Array, empty: Any) -> Array:
        """`ufunc` over the values of each recording's rows, by its number."""
        some = np.flatnonzero(self.count)
        by_row = some[np.argsort(self.first[some])]
        found = np.full(len(self.names), empty, np.result_type(values.dtype, type(empty)))
        if len(by_row):
            found[by_row] = ufunc.reduceat(values, self.first[by_row])
        return found

    def rows_of(self, numbers: Sequence[int] | Array) -> Array:
        """The rows of these recordings, in their order."""
        counts = self.count[numbers]
        shift = np.repeat(self.first[numbers] - (np.cumsum(counts) - counts), counts)
        rows: Array = np.add(shift, np.arange(len(shift)))
        return rows

    def names_of(self, rows: Array) -> pl.Series:
        """The name of each row's recording."""
        return pl.Series("recording", np.array(self.names, dtype=object)[self.of[rows]], dtype=pl.String)

    def numbers(self, names: Sequence[str]) -> Array:
        """The numbers of recordings by name."""
        found: Array = np.searchsorted(np.array(self.names, np.str_), np.array(names, np.str_))
        return found

    def places(self, number: Array, epoch: Array) -> Array:
        """The row of each pair of a recording's number and an epoch; -1 where there is none."""
        most = len(self.of) - 1
        if most < 0:
            return np.full(len(number), -1)
        guess: Array = np.clip(self.first[number] + epoch - self.epoch[np.minimum(self.first[number], most)], 0, most)
        there = (self.of[guess] == number) & (self.epoch[guess] == epoch)
        if there.all():
            return guess
        # Epochs are missing within a night: every row is looked through.
        keys = self.of.astype(np.int64) << 32 | self.epoch
        order = np.argsort(keys, kind="stable")
        wanted = number.astype(np.int64) << 32 | epoch
        at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), most)]
        return np.where(keys[at] == wanted, at, -1)


def nights(snapshot: Snapshot) -> Nights:
    """The nights of a snapshot, once for it."""
    return remembered(snapshot, ("nights of rows",), lambda: _nights(snapshot))


def _nights(snapshot: Snapshot) -> Nights:
    names, of = snapshot.recordings()
    epoch, start_s = snapshot.arrays(["epoch::INTEGER", "start_s"])
    edges = np.flatnonzero(np.diff(of, prepend=-1))
    first, count = np.zeros((2, len(names)), np.int64)
    first[of[edges]] = edges
    count[of[edges]] = np.diff(edges, append=len(of))
    return Nights(names, of, epoch, start_s, first, count)


def placed(snapshot: Snapshot, rows: Array) -> pl.DataFrame:
    """`epoch_id recording epoch start_s` of these rows, in their order."""
    known = nights(snapshot)
    return pl.DataFrame(
        {"epoch_id": snapshot.ids[rows], "recording": known.names_of(rows),
         "epoch": known.epoch[rows].astype(np.int64), "start_s": known.start_s[rows]}
    )  # fmt: skip


def by_recording(snapshot: Snapshot, columns: Sequence[str]) -> pl.DataFrame:
    """`number` and what SQL says of each recording by its nights, person and itself: one row for each of its nights, in
    their order. No column of an epoch may be named."""
    own = remembered(snapshot, ("rows of nights",), lambda: _parts(snapshot))
    source = snapshot.narrowest(["recording", *columns], base="own")
    listed = "".join(f", {sql}" for sql in columns)
    numbers = pl.DataFrame({"recording": (known := nights(snapshot)).names, "number": np.arange(len(known.names))})
    return snapshot.sql(
        f"SELECT number{listed} FROM {source} JOIN numbers USING (recording) ORDER BY row", own=own, numbers=numbers
    )


def _parts(snapshot: Snapshot) -> pl.DataFrame:
    """`recording night_row row` of the first epoch of each part of a night that has a row of `nights` of its own."""
    (night_row,) = snapshot.arrays(["coalesce(night_row, -1)::INTEGER"], source="epoch_rows")
    known = nights(snapshot)
    rows = np.flatnonzero((np.diff(known.of, prepend=-1) != 0) | (np.diff(night_row, prepend=-2) != 0))
    return pl.DataFrame({"recording": known.names_of(rows), "night_row": night_row[rows], "row": rows})
