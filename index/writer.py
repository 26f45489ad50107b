"""The one writer of a cohort: fills a `.tmp` catalog recording by recording, then publishes it as a snapshot.

A kill at any moment leaves the last published snapshot whole; the next writer goes on from what was committed.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import polars as pl

from index.catalog import COLLECTIONS, Catalog
from index.errors import BadVectors, DamagedCohort, NotACohort, UnknownSpace, WrongSchema
from index.layout import (
    KEPT_SNAPSHOTS,
    SCHEMA,
    Layout,
    Manifest,
    Segment,
    by_collection,
    check_whole,
    code_version,
    engine_key,
    fsync_dir,
    fsync_file,
    published,
    read_cohort_toml,
    read_manifest,
    sha256_file,
    write_cohort_toml,
    write_whole,
)
from index.lock import FileLock
from index.segments import (
    Halves,
    Ids,
    Vectors,
    delete_segment,
    read_ids,
    read_rows,
    stored_paths,
    to_halves,
    write_segment,
)


class Writer:
    """Context manager that holds the cohort's writer lock.

    `on_step(name)` is told each durable step as it is done. `notes` lists what was found amiss and how it was mended.
    Raises CohortLocked, WrongSchema, DamagedCohort.
    """

    def __init__(self, root: Path, name: str | None = None, *, on_step: Callable[[str], None] | None = None) -> None:
        self.layout = Layout(root.resolve())
        self.notes: list[str] = []
        self._name = name
        self._step = on_step or (lambda _: None)
        self._lock = FileLock(self.layout.lock)
        self._parent: Manifest | None = None
        self._work: Catalog | None = None
        self._changed = False
        self._stored: dict[tuple[str, str], Ids] = {}

    def __enter__(self) -> Self:
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            settings = read_cohort_toml(self.layout)
            self._name = self._name or settings.get("name") or self.layout.root.name
            self._parent = self._newest()
            self._adopt()
            self._sweep()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._work is not None:
            folder = self._work.path.parent
            self._work.close()
            self._work = None
            if not self._changed:
                shutil.rmtree(folder)
        self._lock.release()

    # ---- what is there

    def fingerprints(self) -> dict[str, str]:
        """recording -> fingerprint, of what is published or was committed by an unfinished run."""
        return self._catalog.fingerprints()

    def sql(self, query: str, params: Sequence[object] = (), **frames: pl.DataFrame) -> pl.DataFrame:
        """Read the catalog being written: base tables only (`epoch_rows`), the view `epochs` comes with publishing."""
        return self._catalog.sql(query, params, **frames)

    def missing(self, space: str, collection: str, ids: Ids | None = None) -> Ids:
        """Those ids, of these or of all live ones, that have no vector in this space yet; each once, ascending."""
        stored = self._stored_ids(space, collection)
        wanted = self._catalog.live_ids(collection) if ids is None else np.unique(np.asarray(ids, dtype=np.int64))
        at = np.searchsorted(stored, wanted, side="right") - 1
        return wanted[stored[at] != wanted] if len(stored) else wanted  # at -1 is the last, which is larger

    # ---- changes, each durable when it returns

    def put(self, recording: str, fingerprint: str, tables: Mapping[str, pl.DataFrame]) -> Ids:
        """Store one recording's tables in one transaction, in place of any earlier version of it.

        tables: `epochs`, `recordings` (one row), `nights`, `events`, `coverage`, `subjects`, `captions`, others; all
        optional. A `recording` column is added where missing; new columns are added to the catalog, types widened,
        CatalogConflict otherwise. Returns int64 ids of the rows of `epochs`, in order, never used before.
        """
        ids = self._catalog.put(recording, fingerprint, tables)
        self._mark("put")
        return ids

    def remove(self, recording: str) -> None:
        """Forget a recording; its vectors stay in their segments, masked, until those are merged."""
        self._catalog.remove(recording)
        self._mark("remove")

    def add_vectors(
        self, space: str, collection: str, ids: Ids, vectors: Vectors, *, info: Mapping[str, Any] | None = None
    ) -> int:
        """Store unit vectors, float (n, dim), kept as float16; ids stored before are skipped. Returns rows added.

        collection: `signal` (ids of epochs) or `caption` (caption ids). info: JSON facts about the space.
        """
        if collection not in COLLECTIONS:
            raise UnknownSpace(f"collection {collection!r}: expected one of {', '.join(COLLECTIONS)}")
        halves = to_halves(vectors, what=f"{space} {collection}")
        ids = np.asarray(ids, dtype=np.int64)
        if ids.shape != (len(halves),):
            raise BadVectors(f"{space} {collection}: {ids.size} ids for {len(halves)} vectors")
        known = self._catalog.spaces().get(space)
        if known is not None and known["dim"] != halves.shape[1]:
            raise BadVectors(f"{space}: vectors of {halves.shape[1]} dimensions, the space has {known['dim']}")
        if known is None or (info and {**known, **info} != known):
            self._catalog.add_space(space, halves.shape[1], {**(known or {}), **(info or {})})
            self._changed = True
        ids, first = np.unique(ids, return_index=True)
        new = np.isin(ids, self.missing(space, collection, ids))
        ids, halves = ids[new], halves[first[new]]
        segment = write_segment(self.layout, space, collection, [(ids, halves)], halves.shape[1])
        self._step("segment")
        if segment is not None:
            stored = self._stored_ids(space, collection)
            self._catalog.swap_segments((), segment)
            self._stored[space, collection] = np.insert(stored, np.searchsorted(stored, ids), ids)
            self._mark("vectors")
        return len(ids)

    # ---- publishing

    def publish(self, extra: Mapping[str, Any] | None = None, *, default_space: str | None = None) -> int:
        """Make what was committed so far the current snapshot; returns its number. Without changes nothing is written.

        extra: JSON kept in the manifest. default_space: which space a question uses unless it says (else the first).
        Steps: merge this run's segments, checkpoint, manifest, rename, CURRENT, retire the snapshots beyond three.
        """
        if not self._changed and self._parent is not None:
            self._write_settings(self._parent.spaces, default_space)
            return self._parent.snapshot
        work = self._catalog
        folder = work.path.parent
        number = int(folder.stem)
        spaces = work.spaces()
        _check_space(default_space, spaces)
        work.prune()
        self._merge_segments(work)
        self._step("merge")
        work.define_view()
        counts, segments = work.counts(), work.segments()
        work.close(checkpoint=True)
        self._work = None
        fsync_file(work.path)
        self._step("checkpoint")
        catalog = {"bytes": work.path.stat().st_size, "sha256": sha256_file(work.path)}
        parent = self._parent_number or None
        facts = (SCHEMA, number, parent, code_version(), counts, catalog, spaces, segments, dict(extra or {}))
        manifest = Manifest(*facts)
        write_whole(folder / "manifest.json", manifest.to_json())
        self._step("manifest")
        folder.rename(self.layout.snapshot(number))
        fsync_dir(self.layout.snapshots)
        self._step("rename")
        self._move_current(manifest)
        self._write_settings(spaces, default_space)
        self._retire()
        self._sweep()
        self._step("retire")
        return number

    def _move_current(self, manifest: Manifest) -> None:
        write_whole(self.layout.current, self.layout.snapshot(manifest.snapshot).name + "\n")
        self._parent, self._changed = manifest, False
        self._stored.clear()
        self._step("current")

    def _write_settings(self, spaces: Mapping[str, object], default_space: str | None) -> None:
        _check_space(default_space, spaces)
        settings = read_cohort_toml(self.layout)
        chosen = default_space or settings.get("default_space") or next(iter(spaces), None)
        if (self._name, chosen, SCHEMA) != tuple(settings.get(key) for key in ("name", "default_space", "schema")):
            write_cohort_toml(self.layout, str(self._name), chosen)

    def _merge_segments(self, work: Catalog) -> None:
        """One segment for this run instead of one a recording, without the rows that died meanwhile."""
        old = set(self._parent.segments if self._parent else ())
        for (space, collection), segments in by_collection(work.segments()).items():
            fresh = tuple(s for s in segments if s not in old)
            live = work.live_ids(collection)
            if len(fresh) < 2 and all(np.isin(read_ids(self.layout, s), live).all() for s in fresh):
                continue
            merged = write_segment(self.layout, space, collection, self._live_blocks(fresh, live), segments[0].dim)
            work.swap_segments(fresh, merged)
            for segment in fresh:
                delete_segment(self.layout, segment)

    def _live_blocks(self, segments: Sequence[Segment], live: Ids) -> Iterator[tuple[Ids, Halves]]:
        for segment in segments:
            ids = read_ids(self.layout, segment)
            keep = np.isin(ids, live)
            yield ids[keep], read_rows(self.layout, segment)[keep]

    # ---- starting, adopting, cleaning up

    @property
    def _catalog(self) -> Catalog:
        if self._work is None:
            self._work = self._begin()
        return self._work

    @property
    def _parent_number(self) -> int:
        return self._parent.snapshot if self._parent else 0

    def _begin(self) -> Catalog:
        """A new `.tmp` that starts as a copy of the parent's catalog."""
        number = max(self.layout.numbers(), default=0) + 1
        folder = self.layout.snapshots / f"{number:06d}.tmp"
        folder.mkdir(parents=True)
        path = folder / "catalog.duckdb"
        if self._parent is not None:
            part = folder / "catalog.part"
            shutil.copyfile(self.layout.snapshot(self._parent.snapshot) / "catalog.duckdb", part)
            part.rename(path)
        work = Catalog(path)
        work.set_meta("grown_from", [SCHEMA, self._parent_number])
        self._step("begin")
        return work

    def _newest(self) -> Manifest | None:
        """The snapshot to go on from; finishes a publication that was killed between rename and CURRENT."""
        try:
            manifest, note = published(self.layout)
        except NotACohort:
            return None
        if manifest.schema < SCHEMA:
            raise WrongSchema(
                f"{self.layout.root}: cohort schema {manifest.schema} can be searched but not written; this "
                f"sleepsearch writes {SCHEMA}. Ingest into a new folder: sleepsearch ingest SOURCE --cohort NEW"
            )
        if note is not None:
            self.notes.append(note)
        for number in self.layout.numbers():
            if number > manifest.snapshot:
                try:
                    later = read_manifest(self.layout, number)
                    check_whole(self.layout, later)
                except DamagedCohort as error:
                    self.notes.append(f"{error}; dropped")
                    continue
                if later.parent == manifest.snapshot:
                    manifest = later
        if not self._names_current(manifest):
            self._move_current(manifest)
        return manifest

    def _names_current(self, manifest: Manifest) -> bool:
        try:
            return self.layout.current.read_text(encoding="utf-8").strip() == f"{manifest.snapshot:06d}"
        except (FileNotFoundError, UnicodeDecodeError):
            return False

    def _adopt(self) -> None:
        """Take over the `.tmp` of a run that did not end, if it grew from the current snapshot; drop any other."""
        parent = self._parent_number
        for folder in self.layout.unfinished():
            work: Catalog | None = None
            try:
                if self._work is None and (folder / "catalog.duckdb").is_file() and int(folder.stem) > parent:
                    work = Catalog(folder / "catalog.duckdb")
                    if work.meta("grown_from") == [SCHEMA, parent] and self._have_files(work):
                        (folder / "manifest.json").unlink(missing_ok=True)
                        self._work, self._changed = work, True
                        continue
            except duckdb.Error as error:
                self.notes.append(f"{folder.name}: unreadable ({str(error).splitlines()[0]}); started anew")
            if work is not None:
                work.close()
                self.notes.append(f"{folder.name}: an unfinished run on another snapshot; dropped")
            shutil.rmtree(folder)

    def _have_files(self, work: Catalog) -> bool:
        return all(
            self.layout.segment(s).is_file() and self.layout.segment(s).stat().st_size == s.rows * s.dim * 2
            for s in work.segments()
        )

    def _retire(self) -> None:
        """Keep the last three whole snapshots. On Linux and macOS a reader of an older one keeps its open files."""
        kept = 0
        manifest: Manifest | None
        for number in reversed(self.layout.numbers()):
            try:
                manifest = read_manifest(self.layout, number)
                check_whole(self.layout, manifest)
                kept += 1
            except DamagedCohort:
                manifest = None
            if number != self._parent_number and (manifest is None or kept > KEPT_SNAPSHOTS):
                shutil.rmtree(self.layout.snapshot(number))

    def _sweep(self) -> None:
        """Delete vector and engine files that no snapshot and no unfinished run names."""
        used: set[Path] = set()
        keys: set[str] = set()
        try:
            manifests = [read_manifest(self.layout, number) for number in self.layout.numbers()]
        except DamagedCohort:
            return  # what an unreadable manifest names is unknown, so nothing is thrown away
        groups = [manifest.segments for manifest in manifests]
        if self._work is not None:
            groups.append(self._work.segments())
        for segments in groups:
            used |= stored_paths(self.layout, segments)
            keys |= {engine_key(group) for group in by_collection(segments).values()}
        for path in (self.layout.root / "vectors").glob("*/seg-*"):
            if path not in used:
                path.unlink()
        for path in (self.layout.root / "engines").glob("*/*.faiss"):
            if path.stem.rsplit("-", 1)[-1] not in keys:
                path.unlink()
        catalogs = {self.layout.arrays(manifest.catalog["sha256"]) for manifest in manifests}
        for path in (self.layout.root / "engines").glob("rows-*"):
            if path not in catalogs:
                shutil.rmtree(path)

    def _stored_ids(self, space: str, collection: str) -> Ids:
        key = (space, collection)
        if key not in self._stored:
            mine = by_collection(self._catalog.segments()).get(key, ())
            parts = [read_ids(self.layout, segment) for segment in mine]
            self._stored[key] = np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
        return self._stored[key]

    def _mark(self, step: str) -> None:
        self._changed = True
        self._step(step)


def _check_space(name: str | None, spaces: Mapping[str, object]) -> None:
    if name is not None and name not in spaces:
        raise UnknownSpace(f"default space {name!r}: the cohort has {', '.join(spaces) or 'none'}")
