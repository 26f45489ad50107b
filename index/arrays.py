"""What SQL says of every epoch, one array each in the order of their ids, kept for the next question.

The catalog is unpacked anew by each query, which takes a fifth of a second a column of ten million rows; going through
an array of bytes takes milliseconds. From CACHE_ROWS rows on an array is a file beside the engines that every process
maps: a cache, named by the catalog's hash and the expression, and built again at will.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from index.layout import code_version
from index.segments import Ids

CACHE_ROWS = 100_000
HELD_BYTES = 256 << 20  # of arrays that are no file; the oldest go first
_BATCH_ROWS = 1 << 18
Array = NDArray[Any]


class Arrays:
    """The arrays of one catalog; safe to use from several threads, and beside other processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Array] = {}
        self._held: dict[str, int] = {}  # bytes of those in memory
        self._lock = threading.Lock()

    def get(
        self, con: duckdb.DuckDBPyConnection, ids: Ids, wanted: Mapping[str, str], source: str, *, keep: bool
    ) -> dict[str, Array]:
        """By the name of each: booleans int8 (-1: null), other whole numbers as they are (-1), decimals (NaN).

        wanted: name -> expression over `source`, which has a column `epoch_id`. keep: whether files are made of them.
        """
        keys = {name: hashlib.sha256(f"{sql}\0{source}".encode()).hexdigest()[:24] for name, sql in wanted.items()}
        found = {name: array for name, key in keys.items() if (array := self._there(key, len(ids))) is not None}
        fresh = {keys[name]: wanted[name] for name in wanted if name not in found}
        if fresh:
            made = dict(zip(fresh, _read(con, ids, list(fresh.values()), source), strict=True))
            ready = {key: self._kept(key, array, keep=keep and len(ids) >= CACHE_ROWS) for key, array in made.items()}
            found |= {name: ready[key] for name, key in keys.items() if key in ready}
        return found

    def made(self, name: str, ids: Ids, make: Callable[[], Array]) -> Array:
        """An array that no SQL gives, by a name of its own; of another version of this program, it is made again."""
        key = hashlib.sha256(f"{name}\0{code_version()}".encode()).hexdigest()[:24]
        there = self._there(key, None)
        return self._kept(key, make(), keep=len(ids) >= CACHE_ROWS) if there is None else there

    def _there(self, key: str, rows: int | None) -> Array | None:
        with self._lock:
            if key in self._known:
                return self._known[key]
        try:
            array: Array = np.load(self._folder / f"{key}.npy", mmap_mode="r")
        except (OSError, ValueError, EOFError):  # none, or cut short: it is made again
            return None
        if rows is not None and len(array) != rows:
            return None
        with self._lock:
            return self._known.setdefault(key, np.asarray(array))

    def _kept(self, key: str, array: Array, *, keep: bool) -> Array:
        """The array, mapped from its file where one could be written."""
        array.flags.writeable = False
        if keep:
            part = self._folder / f"{key}.{os.getpid()}-{threading.get_ident()}.part"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as file:
                    np.save(file, array)
                part.replace(self._folder / f"{key}.npy")
                if (mapped := self._there(key, len(array))) is not None:
                    return mapped
            except OSError:  # read-only or full
                with suppress(OSError):
                    part.unlink()
        with self._lock:
            self._known[key] = array
            self._held[key] = array.nbytes
            while sum(self._held.values()) > HELD_BYTES and len(self._held) > 1:
                oldest = next(iter(self._held))
                del self._known[oldest], self._held[oldest]
        return array


def _read(con: duckdb.DuckDBPyConnection, ids: Ids, expressions: list[str], source: str) -> list[Array]:
    """One pass over the catalog for all of them, in pieces: DuckDB holds a whole result within its memory limit."""
    listed = ", ".join(f"({sql}) AS c{n}" for n, sql in enumerate(expressions))
    reader = con.execute(f"SELECT epoch_id, {listed} FROM {source}").to_arrow_reader(_BATCH_ROWS)
    arrays: list[Array] = []
    at = 0
    for batch in reader:
        frame = pl.DataFrame(pl.from_arrow(batch))
        own = frame["epoch_id"].to_numpy()
        # Rows come in the order in which they were stored, which is that of their ids; else each is put in its place.
        here = ids[at : at + len(own)]
        place: Any = slice(at, at + len(own)) if np.array_equal(own, here) else np.searchsorted(ids, own)
        at += len(own)
        values = [_plain(frame[f"c{n}"]) for n in range(len(expressions))]
        arrays = arrays or [_empty(len(ids), column.dtype) for column in values]
        for array, column in zip(arrays, values, strict=True):
            array[place] = column
    return arrays or [np.empty(0, np.int8) for _ in expressions]


def _plain(column: pl.Series) -> Array:
    if column.dtype in (pl.Float32, pl.Float64):
        return column.fill_null(np.nan).to_numpy()
    return (column.cast(pl.Int8) if column.dtype in (pl.Boolean, pl.Null) else column).fill_null(-1).to_numpy()


def _empty(rows: int, dtype: np.dtype[Any]) -> Array:
    """As long as all ids: one that a query left out stays unknown."""
    return np.full(rows, np.nan if dtype.kind == "f" else -1, dtype)
