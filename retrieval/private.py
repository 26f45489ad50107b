"""What must not travel with a cohort: where its files lie, and the key that hides name-like ids.

Kept in `<cohort>/private/`, apart from the catalog, so that a cohort can be passed on without that folder; waveforms
are then not to be had, all else works.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from encoders.errors import BadInput
from encoders.recordings import SiteChannels, Source, load_site_channels


class Private:
    """The folder `private/` of a cohort: `key`, `sources.json` and the cohort's own `channels.toml`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "private"
        self._path = self.folder / "sources.json"
        self._sources: dict[str, dict[str, object]] = {}
        if self._path.is_file():
            self._sources = json.loads(self._path.read_text(encoding="utf-8"))

    def key(self) -> bytes:
        """The key of the hashed ids; made once, readable by its owner alone."""
        path = self.folder / "key"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        return path.read_bytes()

    def paths(self, recording: str) -> tuple[Path, ...]:
        """The signal files of a recording; `BadInput` when they are not known or gone."""
        entry = self._sources.get(recording)
        if entry is None:
            raise BadInput(f"where the files of {recording!r} lie is not known here; ingest their folder again.")
        paths = tuple(Path(p) for p in entry["paths"])  # type: ignore[attr-defined]
        for path in paths:
            if not path.is_file():
                raise BadInput(f"a file of {recording!r} is gone; put it back, or ingest its new folder.")
        return paths

    def unchanged(self, source: Source) -> dict[str, str]:
        """SHA-256 by path of the source's files whose size and time of change are those of the last ingest."""
        entry = self._sources.get(source.id, {})
        files: Mapping[str, list[object]] = entry.get("files", {})  # type: ignore[assignment]
        known = {}
        for path in (*source.paths, *source.annotations):
            stamp = files.get(str(path.absolute()))
            if stamp and stamp[:2] == _stamp(path):
                known[str(path)] = str(stamp[2])
        return known

    def remember(self, source: Source, hashes: Mapping[str, str]) -> None:
        """Note where a recording lies and the hashes of its files; `save` writes it down.

        Whole paths: the cohort is asked from other folders than the one in which it was made.
        """
        files = {str(Path(path).absolute()): [*_stamp(Path(path)), sha] for path, sha in hashes.items()}
        self._sources[source.id] = {"paths": [str(p.absolute()) for p in source.paths], "files": files}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.save()

    def save(self) -> None:
        """Write what was remembered, whole or not at all; leaving the context does so whatever happened in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._sources, indent=0), encoding="utf-8")
        temporary.replace(self._path)

    def site(self, given: Path | None = None) -> SiteChannels:
        """The cohort's own word on its labels: the `channels.toml` given, which is kept, or the one kept earlier."""
        kept = self.folder / "channels.toml"
        if given is None:
            return load_site_channels(kept) if kept.is_file() else SiteChannels()
        site = load_site_channels(given)
        self.folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(given.read_text(encoding="utf-8"), encoding="utf-8")
        return site


def _stamp(path: Path) -> list[object]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
