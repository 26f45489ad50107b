"""People's labels: an append-only log of JSON lines beside the snapshots, joined when a question is asked."""

import json
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from index.errors import DamagedLabels
from index.layout import Layout, fsync_dir
from index.lock import FileLock

VERSION = 1
COLUMNS = {
    "id": pl.String, "author": pl.String, "time": pl.String, "recording": pl.String, "start_s": pl.Float64,
    "stop_s": pl.Float64, "label": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Labels:
    """The log of one cohort. Anyone may append at any time, several processes too; an ingest is not waited for."""

    root: Path

    @property
    def path(self) -> Path:
        return Layout(self.root).labels

    def add(self, recording: str, start_s: float, stop_s: float, label: str, *, author: str) -> str:
        """Append one label of [start_s, stop_s); on the disk when this returns. Returns its id."""
        if not start_s < stop_s:
            raise ValueError(f"label {label!r} of {recording}: [{start_s}, {stop_s}) s is empty, expected start < stop")
        return self._append(
            {"author": author, "recording": recording, "start_s": start_s, "stop_s": stop_s, "label": label}
        )

    def undo(self, entry: str, *, author: str) -> str:
        """Append the withdrawal of an entry (of a withdrawal too, which restores). KeyError where there is none."""
        if entry not in {line["id"] for line in self.entries()}:
            raise KeyError(f"no label with id {entry!r} in {self.path.name}")
        return self._append({"author": author, "undo": entry})

    def entries(self) -> list[dict[str, Any]]:
        """Every entry ever appended, oldest first; a line torn by a crash is left out."""
        found = []
        for line in self.path.read_bytes().split(b"\n") if self.path.is_file() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if not isinstance(entry, dict) or "id" not in entry:
                continue
            if entry.get("v", VERSION) > VERSION:
                raise DamagedLabels(
                    f"{self.path}: an entry of version {entry['v']}, this sleepsearch reads up to {VERSION}; "
                    f"pip install -U sleepsearch"
                )
            found.append(entry)
        return found

    def frame(self) -> pl.DataFrame:
        """The labels that stand: id, author, time (UTC), recording, start_s, stop_s, label."""
        entries, undone = self.entries(), set()
        for entry in reversed(entries):  # a later withdrawal decides first, and may itself be withdrawn
            if "undo" in entry and entry["id"] not in undone:
                undone.add(entry["undo"])
        standing = [e for e in entries if "undo" not in e and e["id"] not in undone]
        return pl.DataFrame([{name: e[name] for name in COLUMNS} for e in standing], schema=COLUMNS)

    def _append(self, fields: dict[str, Any]) -> str:
        entry = {
            "v": VERSION,
            "id": uuid.uuid4().hex,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **fields,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_suffix(".lock"))
        lock.acquire(wait=True)
        try:
            with self.path.open("ab+") as file:
                if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.write(b"\n")  # a torn line stays alone
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fsync_dir(self.path.parent)
        finally:
            lock.release()
        return str(entry["id"])
