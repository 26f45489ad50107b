"""The catalog being written: DuckDB tables made from the frames handed in, and the flat view `epochs` over them.

Tables of a recording (all replaced when it is put again): `recordings` (one row), `epoch_rows`, `nights`, `events`,
`coverage` and any other that comes. Shared: `subjects` (one row a subject) and `captions` (one row a caption_id).
An epoch's or night's caption is named by a column `caption_id` or `caption_id_<part>`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from index.errors import CatalogConflict
from index.layout import Segment
from index.segments import Ids

KEYS: dict[str, dict[str, str]] = {
    "recordings": {"recording": "VARCHAR", "subject": "VARCHAR", "fingerprint": "VARCHAR"},
    "subjects": {"subject": "VARCHAR"},
    "nights": {"recording": "VARCHAR", "night_row": "BIGINT"},
    "epoch_rows": {
        "epoch_id": "BIGINT", "recording": "VARCHAR", "night_row": "BIGINT", "epoch": "BIGINT",
        "start_s": "DOUBLE", "stop_s": "DOUBLE", "caption_id": "BIGINT",
    },
    "events": {"recording": "VARCHAR", "name": "VARCHAR", "start_s": "DOUBLE", "stop_s": "DOUBLE"},
    "coverage": {"recording": "VARCHAR", "kind": "VARCHAR"},
    "captions": {"caption_id": "BIGINT"},
}  # fmt: skip
SHARED = {"subjects": "subject", "captions": "caption_id"}  # table -> its key
OWN = ("meta", "segments", "spaces")  # the catalog's own tables
COLLECTIONS = {"signal": ("epoch_rows", "epoch_id"), "caption": ("captions", "caption_id")}
_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
_NUMBERS = {"BIGINT", "FLOAT", "DOUBLE"}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def stored_type(kind: str) -> str:
    """The catalog's type for a frame's: whole numbers are BIGINT, decimals DOUBLE, categories text."""
    if kind.endswith("[]"):
        return stored_type(kind[:-2]) + "[]"
    if kind in _WHOLE:
        return "BIGINT"
    return "DOUBLE" if kind.startswith("DECIMAL") else "VARCHAR" if kind.startswith("ENUM") else kind


class Catalog:
    """One DuckDB file opened for writing. Each public method is one committed transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._con = duckdb.connect(str(path), config={"python_enable_replacements": False})
        with self._transaction():
            for table, columns in KEYS.items():
                listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
                self._con.execute(f"CREATE TABLE IF NOT EXISTS {table} ({listed})")
            self._con.execute("CREATE TABLE IF NOT EXISTS meta (key VARCHAR, value VARCHAR)")
            self._con.execute("CREATE TABLE IF NOT EXISTS spaces (space VARCHAR, dim BIGINT, info VARCHAR)")
            self._con.execute(
                "CREATE TABLE IF NOT EXISTS segments (space VARCHAR, collection VARCHAR, name VARCHAR, rows BIGINT, "
                "dim BIGINT, sha256 VARCHAR, ids_sha256 VARCHAR, max_norm DOUBLE)"
            )

    def close(self, *, checkpoint: bool = False) -> None:
        """Close; with `checkpoint`, everything is in the one file and no .wal stays beside it."""
        if checkpoint:
            self._con.execute("CHECKPOINT")
        self._con.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._con.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._con.execute("ROLLBACK")
            raise
        self._con.execute("COMMIT")

    def sql(self, query: str, params: Sequence[object] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        return select(self._con, query, params, frames)

    # ---- the catalog's own facts

    def meta(self, key: str) -> Any:
        row = self._con.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        return None if row is None else json.loads(row[0])

    def set_meta(self, key: str, value: object) -> None:
        with self._transaction():
            self._set_meta(key, value)

    def _set_meta(self, key: str, value: object) -> None:
        self._con.execute("DELETE FROM meta WHERE key = ?", [key])
        self._con.execute("INSERT INTO meta VALUES (?, ?)", [key, json.dumps(value)])

    def segments(self) -> tuple[Segment, ...]:
        found = self._con.execute("SELECT * FROM segments ORDER BY space, collection, name").fetchall()
        return tuple(Segment(*row) for row in found)

    def spaces(self) -> dict[str, dict[str, Any]]:
        found = self._con.execute("SELECT space, dim, info FROM spaces ORDER BY rowid").fetchall()
        return {space: {**json.loads(info), "dim": dim} for space, dim, info in found}

    def add_space(self, space: str, dim: int, info: Mapping[str, Any]) -> None:
        with self._transaction():
            self._con.execute("DELETE FROM spaces WHERE space = ?", [space])
            self._con.execute("INSERT INTO spaces VALUES (?, ?, ?)", [space, dim, json.dumps(dict(info))])

    def swap_segments(self, old: Sequence[Segment], new: Segment | None) -> None:
        with self._transaction():
            for s in old:
                self._con.execute(
                    "DELETE FROM segments WHERE space = ? AND collection = ? AND name = ?",
                    [s.space, s.collection, s.name],
                )
            if new is not None:
                row = [new.space, new.collection, new.name, new.rows, new.dim, new.sha256, new.ids_sha256, new.max_norm]
                self._con.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def fingerprints(self) -> dict[str, str]:
        return dict(self._con.execute("SELECT recording, fingerprint FROM recordings").fetchall())

    def live_ids(self, collection: str) -> Ids:
        return live_ids(self._con, collection)

    def counts(self) -> dict[str, int]:
        return table_counts(self._con)

    # ---- recordings in and out

    def put(self, recording: str, fingerprint: str, tables: Mapping[str, pl.DataFrame]) -> Ids:
        """Replace everything known of one recording; returns the new ids of its epochs, in the frame's order."""
        frames = {"epoch_rows" if name == "epochs" else name: frame for name, frame in tables.items()}
        for table in frames:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", table) or table in OWN:
                raise CatalogConflict(f"{recording}: {table!r} can't be a table's name; expected lower case, not {OWN}")
        nights = frames.get("nights")
        epochs = frames.get("epoch_rows", pl.DataFrame())
        first = int(self.meta("next_epoch_id") or 1)
        ids = np.arange(first, first + epochs.height, dtype=np.int64)
        if nights is not None:
            frames["nights"] = nights.with_columns(night_row=pl.int_range(nights.height, dtype=pl.Int64))
        if "epoch_rows" in frames:
            frames["epoch_rows"] = epochs.with_columns(
                pl.Series("epoch_id", ids), pl.Series("night_row", _night_of(epochs, nights), dtype=pl.Int64)
            )
        row = frames.get("recordings", pl.DataFrame({"recording": [recording]}))
        if row.height != 1:
            raise CatalogConflict(f"{recording}: {row.height} rows for `recordings`, expected one")
        frames["recordings"] = row.with_columns(fingerprint=pl.lit(fingerprint))
        ready = {table: _keyed(table, recording, frame) for table, frame in frames.items()}
        columns = {table: self._fit(table, frame) for table, frame in ready.items()}
        with self._transaction():
            self._delete(recording)
            for table, frame in ready.items():
                self._insert(table, frame, columns[table])
            self._set_meta("next_epoch_id", first + epochs.height)
        return ids

    def remove(self, recording: str) -> None:
        with self._transaction():
            self._delete(recording)

    def prune(self) -> None:
        """Drop the captions and subjects that no recording has any more."""
        used = [
            f"SELECT {quoted(column)} FROM {table} WHERE {quoted(column)} IS NOT NULL"
            for table in ("epoch_rows", "nights")
            for column in self._columns(table).values()
            if re.match(r"caption_id(_|$)", column)
        ]
        with self._transaction():
            self._con.execute(f"DELETE FROM captions WHERE caption_id NOT IN ({' UNION '.join(used)})")
            self._con.execute(
                "DELETE FROM subjects WHERE subject NOT IN "
                "(SELECT subject FROM recordings WHERE subject IS NOT NULL)"
            )  # fmt: skip

    def _delete(self, recording: str) -> None:
        if self._con.execute("SELECT 1 FROM recordings WHERE recording = ?", [recording]).fetchone() is None:
            return  # it was never put; looking through all epochs of a large catalog takes longer than putting it
        for table in self._tables():
            if table not in SHARED:
                self._con.execute(f"DELETE FROM {table} WHERE recording = ?", [recording])

    def _insert(self, table: str, frame: pl.DataFrame, columns: Mapping[str, str]) -> None:
        names = ", ".join(quoted(name) for name in columns)
        values = ", ".join(f"CAST({quoted(name)} AS {kind})" for name, kind in columns.items())
        with _registered(self._con, {"incoming": frame}):
            if table == "subjects":
                self._con.execute("DELETE FROM subjects WHERE subject IN (SELECT subject FROM incoming)")
            new = "WHERE caption_id NOT IN (SELECT caption_id FROM captions)" if table == "captions" else ""
            try:
                self._con.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM incoming {new}")
            except duckdb.ConversionException as error:
                raise CatalogConflict(f"table {table}: {one_line(error)}") from None

    # ---- columns

    def _tables(self) -> list[str]:
        found = self._con.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_name").fetchall()
        return [name for (name,) in found if name not in OWN]

    def _columns(self, table: str) -> dict[str, str]:
        """Lower-case name -> name as first seen."""
        return {name.lower(): name for name in self._types(table)}

    def _types(self, table: str) -> dict[str, str]:
        return dict(
            self._con.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
                [table],
            ).fetchall()
        )

    def _fit(self, table: str, frame: pl.DataFrame) -> dict[str, str]:
        """Give the table every column of the frame, widened where need be; returns the frame's columns' stored types.

        A column of nothing but nulls takes whatever type is known, else text until a value says more.
        """
        if table not in self._tables():
            self._con.execute(f"CREATE TABLE {table} (recording VARCHAR)")
        types = self._types(table)
        names = {name.lower(): name for name in types}
        if len({name.lower() for name in frame.columns}) < frame.width:
            raise CatalogConflict(f"table {table}: columns that differ only in case: {sorted(frame.columns)}")
        with _registered(self._con, {"incoming": frame}):
            incoming = {row[0]: row[1] for row in self._con.execute("DESCRIBE SELECT * FROM incoming").fetchall()}
        stored: dict[str, str] = {}
        for name, kind in incoming.items():
            empty = frame[name].null_count() == frame.height
            column, wanted = names.get(name.lower()), stored_type(kind)
            if column is None:
                stored[name] = "VARCHAR" if frame.schema[name] == pl.Null else wanted
                self._con.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {stored[name]}")
                continue
            have = types[column]
            if have == wanted or empty or name.lower() in KEYS.get(table, {}):
                stored[name] = have
                continue
            if {have, wanted} <= _NUMBERS:
                stored[name] = "DOUBLE"
            elif self._con.execute(f"SELECT count({quoted(column)}) FROM {table}").fetchone() == (0,):
                stored[name] = wanted
            else:
                raise CatalogConflict(
                    f"table {table}, column {name!r}: the catalog has {have}, these rows have {wanted}. "
                    f"Give the column one type in every recording, or rename it."
                )
            if stored[name] != have:
                self._con.execute(f"ALTER TABLE {table} ALTER {quoted(column)} TYPE {stored[name]}")
        return stored

    def define_view(self) -> None:
        """The flat view `epochs`: an epoch's columns, then its subject's, night's and recording's.

        A name taken by an earlier table gets its own table's in front: nights' start_s is `night_start_s`.
        """
        shown = view_columns({table: list(self._types(table)) for table in ("epoch_rows", *JOINS)})
        listed = (f"{alias}.{quoted(name)} AS {quoted(column)}" for column, (alias, name) in shown.items())
        joins = " ".join(JOINS[table] for table in ("recordings", "subjects", "nights"))
        self._con.execute(f"CREATE OR REPLACE VIEW epochs AS SELECT {', '.join(listed)} FROM epoch_rows e {joins}")


# What the view `epochs` joins to the rows of epochs, in the order in which names are given away.
JOINS = {
    "subjects": "LEFT JOIN subjects s ON s.subject = r.subject",
    "nights": "LEFT JOIN nights n ON n.recording = e.recording AND n.night_row = e.night_row",
    "recordings": "LEFT JOIN recordings r ON r.recording = e.recording",
}


def view_columns(types: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, str]]:
    """Column of the view -> alias of its table (e, s, n, r) and its name there, from the tables' columns."""
    shown = {name: ("e", name) for name in types["epoch_rows"] if name != "night_row"}
    taken = {name.lower() for name in types["epoch_rows"]}
    for table, prefix in (("subjects", "subject_"), ("nights", "night_"), ("recordings", "recording_")):
        for name in types[table]:
            if name in ("recording", "night_row", "fingerprint") or (table == "subjects" and name == "subject"):
                continue
            column = prefix + name if name.lower() in taken else name
            if column.lower() not in taken:
                taken.add(column.lower())
                shown[column] = (table[0], name)
    return shown


def _keyed(table: str, recording: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its key column, categories as text; CatalogConflict where the key is wrong or null."""
    odd = [name for name, dtype in frame.schema.items() if dtype == pl.Object]
    if odd:
        raise CatalogConflict(f"{recording}: table {table}, column {odd[0]!r} holds Python objects, expected one type")
    frame = frame.with_columns(
        *[pl.col(name).cast(pl.String) for name, t in frame.schema.items() if isinstance(t, pl.Categorical | pl.Enum)],
        *[pl.col(name).cast(pl.List(pl.String)) for name, t in frame.schema.items() if t == pl.List(pl.Null)],
    )
    if table in SHARED:
        key = SHARED[table]
        if key not in frame.columns or frame[key].null_count():
            raise CatalogConflict(f"{recording}: table {table} needs a {key} in every row")
        dtype = pl.String if key == "subject" else pl.Int64
        return frame.with_columns(pl.col(key).cast(dtype)).unique(key, keep="last", maintain_order=True)
    if "recording" not in frame.columns:
        return frame.with_columns(recording=pl.lit(recording))
    if not (frame["recording"].cast(pl.String) == recording).all():
        raise CatalogConflict(f"{recording}: table {table} has rows of another recording; put each by itself")
    return frame


def _night_of(epochs: pl.DataFrame, nights: pl.DataFrame | None) -> list[int | None]:
    """For each epoch the row of `nights` that holds its start: the shortest where they overlap, else None."""
    if nights is None or nights.height == 0:
        return [None] * epochs.height
    if nights.height == 1 or not {"start_s", "stop_s"} <= set(nights.columns):
        return [0] * epochs.height
    start = nights["start_s"].cast(pl.Float64).fill_null(float("-inf")).to_numpy()
    stop = nights["stop_s"].cast(pl.Float64).fill_null(float("inf")).to_numpy()
    by_length = np.argsort(stop - start, kind="stable")
    at = epochs["start_s"].cast(pl.Float64).to_numpy()[:, None]
    inside = (at >= start[by_length]) & (at < stop[by_length])
    return [int(by_length[row.argmax()]) if row.any() else None for row in inside]


@contextmanager
def _registered(con: duckdb.DuckDBPyConnection, frames: Mapping[str, pl.DataFrame]) -> Iterator[None]:
    for name, frame in frames.items():
        con.register(name, frame)
    try:
        yield
    finally:
        for name in frames:
            con.unregister(name)


def select(
    con: duckdb.DuckDBPyConnection, query: str, params: Sequence[object], frames: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Run one trusted query, with polars frames as extra tables, into a polars frame."""
    with _registered(con, frames):
        result = pl.from_arrow(con.execute(query, list(params)).to_arrow_table())
    assert isinstance(result, pl.DataFrame)
    return result


def live_ids(con: duckdb.DuckDBPyConnection, collection: str) -> Ids:
    """Ascending ids of a collection that the catalog still has; vectors of any other id are dead."""
    table, key = COLLECTIONS[collection]
    return ascending(con, f"SELECT {key} FROM {table}")


def ascending(con: duckdb.DuckDBPyConnection, query: str) -> Ids:
    """The ids of a query of one column, ascending. Those of epochs nearly always come so, and DuckDB's own sorting of
    ten million takes longer than all else."""
    (found,) = con.execute(query).fetchnumpy().values()
    ids = np.asarray(found, dtype=np.int64)
    return ids if bool(np.all(ids[1:] > ids[:-1])) else np.sort(ids)


def table_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    names = con.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_name").fetchall()
    counts = {}
    for (name,) in names:
        if name not in OWN:
            row = con.execute(f"SELECT count(*) FROM {name}").fetchone()
            counts["epochs" if name == "epoch_rows" else name] = int(row[0]) if row else 0
    return counts


def one_line(error: BaseException) -> str:
    """A DuckDB message without its class, its SQL and its caret."""
    first = str(error).split("\n\n")[0].split("\nLINE")[0].replace("\n", " ")
    return re.sub(r"^[A-Z][A-Za-z ]*Error: ", "", first).strip()
