"""Vectors of the cohort: NumPy with a table of ids beside it, or one Arrow file with both.

`signal` has a row an epoch, `caption` a row a distinct caption (`caption_id` is a column of the epochs' table), each of
the cohort's default space or, where that has none, of the first that has. They are unit vectors, float32 `(n, dim)`; an
epoch that the encoder's sensors don't reach has a vector of zeros, `readable` false: unknown, near nothing. Ids without
a vector are left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from index.layout import folder_name
from retrieval.exports.order import Order, Piece
from retrieval.exports.tables import metadata, write_parquet

_ROWS = 65_536  # read at a time: 100 MB at 384 dimensions
_KEYS = {"signal": "epoch_id", "caption": "caption_id"}
_TABLES = {
    "signal": "SELECT epoch_id, recording, start_s, stop_s, stage, stage_source, caption_id FROM epoch_rows "
              "JOIN wanted USING (epoch_id) ORDER BY epoch_id",
    "caption": "SELECT * FROM captions JOIN (SELECT DISTINCT caption_id FROM epoch_rows JOIN wanted USING (epoch_id)) "
               "USING (caption_id) ORDER BY caption_id",
}  # fmt: skip


def numpy_pieces(order: Order) -> Sequence[Piece]:
    """`NAME.npy` and, row by row, `NAME.ids.parquet`."""
    return _pieces(order, {".npy": _npy, ".ids.parquet": _ids})


def arrow_pieces(order: Order) -> Sequence[Piece]:
    """One Arrow file with ids and vectors."""
    return _pieces(order, {".arrow": _arrow})


@dataclass(frozen=True, slots=True)
class _Held:
    """The rows of one collection that have a vector, and how many of those asked for have none."""

    order: Order
    space: str
    collection: str
    table: pl.DataFrame
    lost: int

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The vectors, some at a time: (first row, float32 `(rows, dim)`)."""
        return _blocks(self.order, self.space, self.collection, self.table)

    @property
    def left_out(self) -> list[str]:
        return [f"{self.collection}: {self.lost} rows without a vector in {self.space}"] if self.lost else []


def _pieces(order: Order, kinds: dict[str, Callable[[_Held, Path], list[str]]]) -> Sequence[Piece]:
    snapshot = order.snapshot
    there = snapshot.info()["spaces"]
    spaces = sorted(there, key=lambda space: space != snapshot.default_space)
    wanted = pl.DataFrame({"epoch_id": snapshot.rows(order.where)}, schema={"epoch_id": pl.Int64})
    made = []
    for collection in _KEYS:
        space = next((space for space in spaces if collection in there[space]["collections"]), None)
        if space is None:
            continue
        held = _held(order, space, collection, snapshot.sql(_TABLES[collection], wanted=wanted))
        name = f"{folder_name(space)}.{collection}"
        made += [Piece(name + suffix, partial(write, held)) for suffix, write in kinds.items() if held.table.height]
    return made


def _held(order: Order, space: str, collection: str, table: pl.DataFrame) -> _Held:
    have, readable = np.zeros(table.height, bool), np.zeros(table.height, bool)
    for at, rows in _blocks(order, space, collection, table):
        here = slice(at, at + len(rows))
        have[here], readable[here] = np.isfinite(rows).all(axis=1), rows.any(axis=1)
    table = table.with_columns(pl.Series("readable", readable)).filter(pl.Series(have, dtype=pl.Boolean))
    return _Held(order, space, collection, table, int((~have).sum()))


def _blocks(
    order: Order, space: str, collection: str, table: pl.DataFrame
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    ids = table[_KEYS[collection]].to_numpy()
    for at in range(0, len(ids), _ROWS):
        yield at, order.snapshot.vectors(space, collection, ids[at : at + _ROWS])


def _npy(held: _Held, path: Path) -> list[str]:
    dim = int(held.order.snapshot.spaces()[held.space]["dim"])
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(held.table.height, dim))
    for at, rows in held.blocks():
        out[at : at + len(rows)] = rows
    out.flush()
    return held.left_out


def _ids(held: _Held, path: Path) -> list[str]:
    write_parquet(held.table.with_row_index("row"), held.order, path)
    return []


def _arrow(held: _Held, path: Path) -> list[str]:
    """Record batches as they are read, so that no more than a block is held."""
    import pyarrow as pa

    table = held.table.to_arrow()
    dim = int(held.order.snapshot.spaces()[held.space]["dim"])
    schema = table.schema.append(pa.field("vector", pa.list_(pa.float32(), dim))).with_metadata(metadata(held.order))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for at, rows in held.blocks():
            column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), dim)
            block = table.slice(at, len(rows)).append_column(schema.field("vector"), column)
            writer.write_table(block.cast(schema))
    return held.left_out
