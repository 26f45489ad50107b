"""A reader's view of one cohort: the published snapshot, its catalog, its filters and its vectors."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import polars as pl

from index.arrays import Array, Arrays
from index.catalog import COLLECTIONS, JOINS, live_ids, quoted, select, view_columns
from index.engines import choose, engines_info
from index.errors import BadVectors, DamagedCohort, UnknownSpace
from index.filters import READER_CONFIG, TIME_LIMIT_S, matching_rows
from index.labels import Labels
from index.layout import Layout, Manifest, by_collection, check_whole, folder_bytes, published, read_cohort_toml
from index.ranking import Clock, Engine, products, search
from index.segments import Ids, Rows, Vectors, widened


@dataclass(frozen=True, slots=True)
class SearchResult:
    """ids int64 (q, k) padded -1, scores float32 (q, k) padded -inf; best first, equal scores by id.

    rows_searched: live rows left after the filter. ms: milliseconds of each stage (filter, open, gather, search, ...).
    """

    ids: Ids
    scores: Vectors
    engine: str
    device: str
    why: str
    ms: dict[str, float]
    rows_searched: int

    def __repr__(self) -> str:
        spent = ", ".join(f"{stage} {ms:.1f}" for stage, ms in self.ms.items())
        return f"SearchResult({self.ids.shape}, {self.engine} on {self.device} ({self.why}), ms: {spent})"


@dataclass(slots=True)
class _State:
    """Everything that belongs to one published snapshot; replaced whole when a newer one is taken up."""

    manifest: Manifest
    note: str | None
    con: duckdb.DuckDBPyConnection
    rows: dict[tuple[str, str], Rows]
    arrays: Arrays
    ids: Ids | None = None  # of the epochs; filled when first asked for
    captions: Ids | None = None
    live: dict[tuple[str, str], Ids | None] = field(default_factory=dict)  # live positions; None: every row
    engines: dict[tuple[str, str, str], Engine] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)  # of the view; filled when first asked for
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)  # of each its table's alias and its name there
    lock: threading.Lock = field(default_factory=threading.Lock)


class Snapshot:
    """Read-only and safe to use from several threads; never waits for the writer.

    Raises NotACohort, DamagedCohort, WrongSchema on opening. `note` says what was found amiss, if anything.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._state = _load(layout)

    @classmethod
    def open(cls, root: Path) -> Self:
        return cls(Layout(root.resolve()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._state.con.close()

    def refresh(self) -> bool:
        """Take up a newer published snapshot, if there is one; searches under way end on the one they began with."""
        try:
            if int(self._layout.current.read_text(encoding="utf-8")) == self.number:
                return False
        except (OSError, ValueError):
            return False
        state = _load(self._layout)
        if state.manifest.snapshot == self.number:
            state.con.close()
            return False
        self._state = state
        return True

    def pinned(self) -> "Snapshot":
        """The same snapshot, which stays the one that it is while this one is refreshed: for what takes several steps
        over rows. It shares what was read, and is not closed by itself."""
        pinned = Snapshot.__new__(type(self))
        pinned._layout, pinned._state = self._layout, self._state
        return pinned

    @property
    def root(self) -> Path:
        """The cohort's directory."""
        return self._layout.root

    @property
    def number(self) -> int:
        return self._state.manifest.snapshot

    @property
    def note(self) -> str | None:
        return self._state.note

    @property
    def manifest(self) -> Manifest:
        return self._state.manifest

    @property
    def name(self) -> str:
        return str(read_cohort_toml(self._layout).get("name", self._layout.root.name))

    @property
    def default_space(self) -> str | None:
        """The space that cohort.toml names, else the first; None where there are no vectors."""
        spaces = self.spaces()
        chosen = read_cohort_toml(self._layout).get("default_space")
        return chosen if chosen in spaces else next(iter(spaces), None)

    def spaces(self) -> dict[str, dict[str, Any]]:
        """space -> its `dim` and what the writer said of it."""
        return self._state.manifest.spaces

    # ---- tables

    def sql(self, query: str, params: Sequence[object] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        """Our own, trusted query over the tables and the view `epochs`; frames join as tables of their names."""
        return select(self._state.con.cursor(), query, params, frames)

    def columns(self) -> dict[str, str]:
        """Columns of the view `epochs` and their DuckDB types: what a filter may name."""
        return dict(_columns(self._state))

    def own_columns(self) -> set[str]:
        """Those of them that are of the epoch itself, not of its night, person or recording."""
        known = _columns(self._state)
        return {column for column in known if self._state.shown.get(column, ("", ""))[0] == "e"}

    def narrowest(
        self, expressions: Sequence[str], ids: Sequence[int] | None = None, *, base: str = "epoch_rows"
    ) -> str:
        """What to select these expressions from: `epoch_rows`, with those of the view's other tables that they name.

        The same rows as the view `epochs` has, which joins all of them by text and takes DuckDB long to plan. ids: of
        these epochs alone, each looked up by itself: DuckDB then reads only the blocks in which they lie.
        base: a frame with `recording` and `night_row` in the epochs' stead, where none of their columns is named.
        """
        state = self._state
        text = " ".join(expressions).lower()
        words = set(re.findall(r"\w+", text))
        wanted = {c for c in _columns(state) if c.lower() in (words if re.fullmatch(r"\w+", c) else text)}
        if ids is not None:
            these = ", ".join(str(int(i)) for i in ids) or "NULL"
            own = {"recording", "night_row"} | {c for c in wanted if state.shown.get(c, ("",))[0] == "e"}
            listed = ", ".join(map(quoted, sorted(own)))
            each = (f"SELECT {listed} FROM epoch_rows WHERE epoch_id = {int(i)}" for i in ids)
            base = f"({' UNION ALL '.join(each)})" if len(ids) else "(FROM epoch_rows WHERE FALSE)"
        if not wanted <= state.shown.keys():
            return "epochs" if ids is None else f"(SELECT * FROM epochs WHERE epoch_id IN ({these}))"
        others = {column: state.shown[column] for column in wanted if state.shown[column][0] != "e"}
        if not others:
            return base
        aliases = {alias for alias, _ in others.values()}
        aliases |= {"r"} if "s" in aliases else set()
        joins = " ".join(JOINS[table] for table in ("recordings", "subjects", "nights") if table[0] in aliases)
        listed = "".join(f", {alias}.{quoted(name)} AS {quoted(column)}" for column, (alias, name) in others.items())
        return f"(SELECT e.*{listed} FROM {base} e {joins})"

    # ---- every epoch at once

    @property
    def ids(self) -> Ids:
        """Ascending ids of all epochs: row n of every array of `arrays` is the n-th of them."""
        state = self._state
        if state.ids is None:
            state.ids = live_ids(state.con.cursor(), "signal")
        return state.ids

    def arrays(self, expressions: Sequence[str], *, source: str | None = None, keep: bool = True) -> list[Array]:
        """What trusted SQL over the view says of each epoch, in the order of `ids`, read-only.

        BOOLEAN as int8, other whole numbers as they are, -1: null; decimals with NaN. source: with an `epoch_id`, to
        read in the view's stead. keep: in a large cohort as files of the cache, for the next process too.
        """
        source = source or self.narrowest(expressions)
        wanted = {sql: sql for sql in expressions}
        found = self._state.arrays.get(self._state.con.cursor(), self.ids, wanted, source, keep=keep)
        return [found[sql] for sql in expressions]

    def kept(self, name: str, make: Callable[[], Array]) -> Array:
        """What `make` gives of this snapshot, from the cache where it is there; `name` says all it depends on."""
        return self._state.arrays.made(name, self.ids, make)

    def recordings(self) -> tuple[list[str], Array]:
        """The names of the recordings, ascending, and for each epoch which of them it is of, int32."""
        names = self.sql("SELECT recording FROM recordings ORDER BY recording")["recording"].to_list()
        number = "(SELECT recording, (row_number() OVER (ORDER BY recording) - 1)::INTEGER AS number FROM recordings)"
        (of,) = self.arrays(["number"], source=f"(FROM epoch_rows JOIN {number} USING (recording))")
        return names, of

    def captions(self) -> tuple[Ids, Array]:
        """Ascending ids of the captions, and for each epoch the place of its own among them, int32; -1: it has none."""
        state = self._state
        if state.captions is None:
            state.captions = live_ids(state.con.cursor(), "caption")
        ids = state.captions

        def places() -> Array:
            (of,) = self.arrays(["caption_id"], keep=False)
            at = np.searchsorted(ids, of).astype(np.int32)
            return np.where(np.append(ids, -1)[at] == of, at, np.int32(-1)) if len(ids) else np.full(len(of), -1)

        return ids, self.kept("places of captions", places)

    def rows(self, where: str | None = None, *, time_limit_s: float = TIME_LIMIT_S) -> Ids:
        """Ascending ids of the epochs that match a user's expression (None: all); InvalidFilter in one line."""
        state = self._state
        con = state.con.cursor()
        if where is None or not where.strip():
            return live_ids(con, "signal")
        source = self.narrowest([where])
        return matching_rows(con, where, list(_columns(state)), source=source, time_limit_s=time_limit_s)

    # ---- vectors

    def search(
        self,
        space: str,
        collection: str,
        queries: Vectors,
        k: int,
        *,
        ids: Ids | None = None,
        engine: str = "auto",
        exact: bool = False,
    ) -> SearchResult:
        """The k nearest rows by inner product with the stored float16 rows, among `ids` (None: all live ones).

        queries: float (q, dim) or (dim,), taken as they are. Ids that are dead or have no vector are not searched. The
        ids returned are exact under every engine; `exact` leaves out even the half-precision first pass.
        """
        state = self._state
        rows = _rows(state, space, collection)
        asked = np.ascontiguousarray(np.atleast_2d(np.asarray(queries, dtype=np.float32)))
        if asked.ndim != 2 or asked.shape[1] != rows.dim or not np.isfinite(asked).all():
            raise BadVectors(f"{space}: queries of shape {asked.shape}, expected finite (q, {rows.dim})")
        if k < 1:
            raise ValueError(f"k = {k}: expected 1 or more")
        clock = Clock()
        with clock("filter"):
            positions = _live(state, space, collection)
            if ids is not None:
                chosen = rows.positions(np.asarray(ids, dtype=np.int64))
                positions = chosen if positions is None else np.intersect1d(chosen, positions, assume_unique=True)
                positions = None if len(positions) == len(rows) else positions
        kind, why = choose(engine, len(rows))
        with clock("open"), state.lock:
            key = (space, collection, kind.name)
            if key not in state.engines:
                state.engines[key] = kind.make(rows, self._layout)
        chosen_engine = state.engines[key]
        found, scores = search(chosen_engine, asked, k, positions, clock, exact=exact)
        searched = len(rows) if positions is None else len(positions)
        return SearchResult(found, scores, kind.name, chosen_engine.device, why, clock.ms, searched)

    def vectors(self, space: str, collection: str, ids: Ids) -> Vectors:
        """float32 (n, dim) in the order of the ids; a row of NaN where an id is dead or has no vector."""
        state = self._state
        rows = _rows(state, space, collection)
        wanted = np.asarray(ids, dtype=np.int64)
        positions = rows.positions(wanted)
        live = _live(state, space, collection)
        if live is not None:
            positions = np.intersect1d(positions, live, assume_unique=True)
        out = np.full((len(wanted), rows.dim), np.nan, dtype=np.float32)
        if len(positions):
            here = rows.ids[positions]
            order = np.argsort(here)
            at = np.searchsorted(here[order], wanted, side="right") - 1
            known = here[order][at] == wanted
            out[known] = widened(rows.take(positions[order][at[known]]))
        return out

    def products(self, space: str, collection: str, queries: Vectors, ids: Ids) -> Vectors:
        """float32 (n, q) inner products of queries (q, dim) with the rows of ascending ids; NaN where one is dead or
        has no vector. For what needs the score of every row: `search` finds the best sooner."""
        state = self._state
        rows = _rows(state, space, collection)
        positions, live = rows.positions(ids), _live(state, space, collection)
        if live is not None:
            positions = np.intersect1d(positions, live, assume_unique=True)
        found = np.full((len(ids), len(queries)), np.nan, dtype=np.float32)
        found[np.searchsorted(ids, rows.ids[positions])] = products(rows, np.asarray(queries, np.float32), positions)
        return found

    # ---- what it is

    def verify(self) -> None:
        """Hash every file of the snapshot; DamagedCohort names the first that differs."""
        check_whole(self._layout, self._state.manifest, hashes=True)

    def info(self) -> dict[str, Any]:
        """Counts, bytes, vectors live, dead and missing of each space, engines and whether each was verified."""
        state, root = self._state, self._layout.root
        spaces: dict[str, Any] = {}
        for space, facts in state.manifest.spaces.items():
            held = {key[1]: _facts(state, *key) for key in state.rows if key[0] == space}
            spaces[space] = {**facts, "collections": held}
        folders = ("snapshots", "vectors", "engines", "labels")
        return {
            "name": self.name,
            "path": str(root),
            "snapshot": self.number,
            "note": self.note,
            "schema": state.manifest.schema,
            "code": state.manifest.code,
            "counts": dict(state.manifest.counts),
            "labels": Labels(root).frame().height,
            "default_space": self.default_space,
            "spaces": spaces,
            "bytes": {folder: folder_bytes(root / folder) for folder in folders},
            "engines": engines_info(),
            "extra": dict(state.manifest.extra),
        }


def _load(layout: Layout) -> _State:
    """Open what is published; once more if the writer retired it between the reading of CURRENT and of its files."""
    read_cohort_toml(layout)
    for attempt in (1, 2):
        manifest, note = published(layout)
        path = layout.snapshot(manifest.snapshot) / "catalog.duckdb"
        try:
            rows = {key: Rows(layout, segments) for key, segments in by_collection(manifest.segments).items()}
            con = duckdb.connect(str(path), read_only=True, config=READER_CONFIG)
        except (FileNotFoundError, duckdb.Error) as error:
            if attempt == 1:
                continue
            raise DamagedCohort(
                f"{path.relative_to(layout.root)} can't be opened ({str(error).splitlines()[0]}). Ingest into a new "
                f"folder: sleepsearch ingest SOURCE --cohort DIR"
            ) from None
        return _State(manifest, note, con, rows, Arrays(layout.arrays(manifest.catalog["sha256"])))
    raise AssertionError("unreachable")


def _columns(state: _State) -> dict[str, str]:
    """Name -> type of the view's columns, asked once a snapshot: describing 240 of them takes longer than a filter."""
    with state.lock:
        if not state.columns:
            con = state.con.cursor()
            types = {t: [name for name, *_ in con.execute(f"DESCRIBE {t}").fetchall()] for t in ("epoch_rows", *JOINS)}
            state.shown.update(view_columns(types))
            described = con.execute("SELECT column_name, column_type FROM (DESCRIBE epochs)")
            state.columns.update(described.fetchall())
        return state.columns


def _rows(state: _State, space: str, collection: str) -> Rows:
    if (space, collection) not in state.rows:
        held: Mapping[str, object] = state.manifest.spaces
        have = ", ".join(f"{s} ({c})" for s, c in state.rows) or "none"
        what = f"no space {space!r}" if space not in held else f"space {space!r} has no {collection} vectors"
        if collection not in COLLECTIONS:
            what = f"no collection {collection!r}"
        raise UnknownSpace(f"{what} in this cohort; it has: {have}. Add it: sleepsearch ingest SOURCE --encoder NAME")
    return state.rows[space, collection]


def _live(state: _State, space: str, collection: str) -> Ids | None:
    """Ascending positions of the rows that the catalog still names; None where that is every row."""
    key = (space, collection)
    with state.lock:
        if key not in state.live:
            positions = state.rows[key].positions(live_ids(state.con.cursor(), collection))
            state.live[key] = None if len(positions) == len(state.rows[key]) else positions
        return state.live[key]


def _facts(state: _State, space: str, collection: str) -> dict[str, int]:
    rows, live = state.rows[space, collection], _live(state, space, collection)
    alive = len(rows) if live is None else len(live)
    named = len(live_ids(state.con.cursor(), collection))
    return {
        "vectors": alive,
        "dead": len(rows) - alive,
        "missing": named - alive,
        "segments": len(rows.segments),
        "bytes": len(rows) * rows.dim * 2,
    }
