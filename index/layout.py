"""Where a cohort's files lie, how they are written so that a crash loses nothing, and whether a snapshot is whole."""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from index.errors import DamagedCohort, NotACohort, WrongSchema

SCHEMA = 1  # of the catalog, the manifest and the segments together
KEPT_SNAPSHOTS = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """One append-only file of vectors, `rows` x `dim` little-endian float16, its int64 ids beside it."""

    space: str
    collection: str
    name: str
    rows: int
    dim: int
    sha256: str
    ids_sha256: str
    max_norm: float  # largest row norm: bounds the rounding error of a low-precision score


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a published snapshot says of itself (manifest.json); `catalog` holds its bytes and sha256."""

    schema: int
    snapshot: int
    parent: int | None
    code: str
    counts: dict[str, int]
    catalog: dict[str, Any]
    spaces: dict[str, dict[str, Any]]
    segments: tuple[Segment, ...]
    extra: dict[str, Any]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one cohort's folder."""

    root: Path

    @property
    def cohort_toml(self) -> Path:
        return self.root / "cohort.toml"

    @property
    def current(self) -> Path:
        return self.root / "CURRENT"

    @property
    def lock(self) -> Path:
        return self.root / "writer.lock"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def labels(self) -> Path:
        return self.root / "labels" / "labels.jsonl"

    def snapshot(self, number: int) -> Path:
        return self.snapshots / f"{number:06d}"

    def vectors(self, space: str) -> Path:
        return self.root / "vectors" / folder_name(space)

    def engines(self, space: str) -> Path:
        return self.root / "engines" / folder_name(space)

    def arrays(self, catalog_sha256: str) -> Path:
        return self.root / "engines" / f"rows-{catalog_sha256[:16]}"

    def segment(self, segment: Segment) -> Path:
        return self.vectors(segment.space) / f"{segment.name}.f16"

    def numbers(self) -> list[int]:
        """Numbers of the finished snapshot folders, whole or not, ascending."""
        if not self.snapshots.is_dir():
            return []
        return sorted(int(p.name) for p in self.snapshots.iterdir() if re.fullmatch(r"\d{6,}", p.name))

    def unfinished(self) -> list[Path]:
        return sorted(self.snapshots.glob("*.tmp")) if self.snapshots.is_dir() else []


def folder_name(space: str) -> str:
    """A space's name as a folder's: `text:minilm-0a1b2c3d` holds a colon, a path may hold slashes."""
    if not space or space.startswith("."):
        raise ValueError(f"space name {space!r}: expected <encoder>-<8 hex>")
    return quote(space, safe="")


def code_version() -> str:
    try:
        return version("sleepsearch")
    except PackageNotFoundError:
        return "not installed"


def fsync_dir(path: Path) -> None:
    if os.name == "nt":  # a folder can't be opened there; NTFS journals renames
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_whole(path: Path, text: str) -> None:
    """Replace a small file in one step: a reader sees the old text or the new, never half of one."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    fsync_dir(path.parent)


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_cohort_toml(layout: Layout) -> dict[str, Any]:
    """Name, default space, schema; {} where there is none yet. A newer schema is refused here."""
    try:
        settings = tomllib.loads(layout.cohort_toml.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DamagedCohort(
            f"{layout.cohort_toml}: not TOML ({error}). Expected name, default_space and schema; mend the line or "
            f"delete the file, the snapshots do not need it."
        ) from None
    check_schema(layout, settings.get("schema", SCHEMA))
    return settings


def write_cohort_toml(layout: Layout, name: str, default_space: str | None) -> None:
    lines = [f"name = {json.dumps(name, ensure_ascii=False)}"]  # a JSON string is a TOML basic string
    if default_space is not None:
        lines.append(f"default_space = {json.dumps(default_space, ensure_ascii=False)}")
    write_whole(layout.cohort_toml, "\n".join([*lines, f"schema = {SCHEMA}"]) + "\n")


def check_schema(layout: Layout, schema: object) -> None:
    if not isinstance(schema, int) or schema > SCHEMA:
        raise WrongSchema(
            f"{layout.root}: cohort schema {schema}; sleepsearch {code_version()} reads up to {SCHEMA}. "
            f"Install the newer sleepsearch that wrote it: pip install -U sleepsearch."
        )


def read_manifest(layout: Layout, number: int) -> Manifest:
    """The manifest of one finished snapshot; DamagedCohort says what is wrong with it."""
    path = layout.snapshot(number) / "manifest.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        check_schema(layout, fields["schema"])
        segments = tuple(Segment(**segment) for segment in fields.pop("segments"))
        return Manifest(segments=segments, **fields)
    except FileNotFoundError:
        raise DamagedCohort(f"snapshot {number:06d} has no manifest.json") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedCohort(f"snapshot {number:06d}: manifest.json is damaged ({error!r})") from None


def check_whole(layout: Layout, manifest: Manifest, *, hashes: bool = False) -> None:
    """Every file the manifest names is there with the size it says (and, on request, the SHA-256)."""
    catalog = layout.snapshot(manifest.snapshot) / "catalog.duckdb"
    files = [(catalog, manifest.catalog["bytes"], manifest.catalog["sha256"])]
    for segment in manifest.segments:
        path = layout.segment(segment)
        files.append((path, segment.rows * segment.dim * 2, segment.sha256))
        files.append((path.with_suffix(".ids"), segment.rows * 8, segment.ids_sha256))
    for path, size, digest in files:
        where = f"snapshot {manifest.snapshot:06d}: {path.relative_to(layout.root)}"
        if not path.is_file():
            raise DamagedCohort(f"{where} is missing")
        if path.stat().st_size != size:
            raise DamagedCohort(f"{where} has {path.stat().st_size} bytes, the manifest says {size}")
        if hashes and sha256_file(path) != digest:
            raise DamagedCohort(f"{where} does not have the SHA-256 of the manifest")


def published(layout: Layout) -> tuple[Manifest, str | None]:
    """The manifest that CURRENT names, or of the newest whole snapshot with a note on what was wrong.

    NotACohort where nothing was published yet, DamagedCohort where no snapshot is whole.
    """
    numbers = layout.numbers()
    try:
        current = layout.current.read_text(encoding="utf-8").strip()
        trouble = (
            "" if current.isdecimal() and int(current) in numbers else f"CURRENT names {current!r}, not a snapshot"
        )
    except (FileNotFoundError, NotADirectoryError):
        current, trouble = "", "CURRENT is missing"
    except UnicodeDecodeError:
        current, trouble = "", "CURRENT is not text"
    if not numbers and not current:
        raise NotACohort(
            f"{layout.root}: no published snapshot here{' yet' if layout.unfinished() else ''}. "
            f"Make one: sleepsearch ingest SOURCE --cohort {layout.root}"
        )
    candidates = [n for n in reversed(numbers) if trouble or n != int(current)]
    for number in candidates if trouble else [int(current), *candidates]:
        try:
            manifest = read_manifest(layout, number)
            check_whole(layout, manifest)
        except DamagedCohort as error:
            trouble = trouble or str(error)
            continue
        return manifest, f"{trouble}; reading snapshot {number:06d} instead, ingest again to bring it up to date" if (
            trouble
        ) else None
    raise DamagedCohort(
        f"{layout.root}: {trouble}, and no other snapshot is whole. Restore the folder from a backup, or ingest into a "
        f"new one: sleepsearch ingest SOURCE --cohort DIR"
    )


def engine_key(segments: tuple[Segment, ...]) -> str:
    """Names an engine's file by the segments that it was built from."""
    return hashlib.sha256("".join(f"{s.name}:{s.sha256}:{s.ids_sha256};" for s in segments).encode()).hexdigest()[:16]


def folder_bytes(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):  # nothing where there is no such folder
        for name in names:
            with suppress(FileNotFoundError):  # a writer at work takes files away
                total += Path(folder, name).stat().st_size
    return total


def by_collection(segments: tuple[Segment, ...]) -> Mapping[tuple[str, str], tuple[Segment, ...]]:
    """Segments of each (space, collection), in the order they were written."""
    groups: dict[tuple[str, str], tuple[Segment, ...]] = {}
    for segment in segments:
        key = (segment.space, segment.collection)
        groups[key] = (*groups.get(key, ()), segment)
    return groups
