"""A cohort that grows while it is read: dropped files, a look over them first, then an ingest that can be ended.

Dropped files are kept in `private/added/<drop>/`, since waveforms are read from them whenever someone looks; like all
of `private/` they do not travel with a cohort that is passed on.
"""

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encoders.errors import BadInput
from index import Snapshot, Writer
from retrieval.files import check, cores
from retrieval.ingest import IngestReport, Progress, ingest
from retrieval.private import Private
from retrieval.subjects import read_subjects

_ADDED = "added"


def why_not(root: Path) -> str | None:
    """Why nothing can be added to the cohort; None where it can be."""
    if not os.access(root, os.W_OK):
        return f"the cohort's folder {root} can't be written to by this server; ingest with an account that may."
    return None


def take_files(root: Path, files: Sequence[tuple[Path, str]]) -> str:
    """Keep these files, each under its own name, in one new folder of the cohort; the drop's name.

    `BadInput` where a name is none of a plain file, or stands twice.
    """
    names = [name for _, name in files]
    for name in names:
        if not name or Path(name).name != name or name.startswith(".") or names.count(name) > 1:
            raise BadInput(f"{name!r} can't be the name of a dropped file; drop files of different plain names.")
    drop = secrets.token_hex(6)
    folder = Private(root).folder / _ADDED / drop
    folder.mkdir(parents=True)
    for path, name in files:
        shutil.copyfile(path, folder / name)
    return drop


def dropped(root: Path, drop: str) -> Path:
    """The folder of a drop; `BadInput` where there is none of that name."""
    folder = Private(root).folder / _ADDED / drop
    if not drop.isalnum() or not folder.is_dir():
        raise BadInput("the dropped files are no longer there; drop them again.")
    return folder


def discard(root: Path, drop: str) -> None:
    """Delete the files of a drop."""
    shutil.rmtree(dropped(root, drop))


def look_over(
    root: Path, sources: Sequence[Path], *, subjects: Path | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """`retrieval.check` of the sources, nothing written; each recording says whether the cohort has one of its name
    (`known`) and whether the subjects' CSV speaks of it (`listed`, None without a CSV), whose `notes` come along."""
    for source in sources:
        if not source.exists():
            raise BadInput(f"{source}: no such file or folder on the server's machine.")
    people = read_subjects(subjects)
    found = check(sources, progress=progress)
    with Snapshot.open(root) as snapshot:
        known = set(snapshot.sql("SELECT recording FROM recordings")["recording"])
    for row in found["recordings"]:
        row["known"] = row["recording"] in known
        row["listed"] = people.of(row["recording"])["subject_known"] if subjects else None
    return found | {"notes": list(people.notes)}


def grow(
    sources: Sequence[Path], root: Path, *, subjects: Path | None = None, progress: Progress | None = None
) -> IngestReport:
    """Ingest into the cohort that others read. One core is left to them.

    Whatever `progress` raises ends it after the night at hand; what was read until then is published and stays.
    """
    if said := why_not(root):
        raise BadInput(said)
    ended = False
    with Snapshot.open(root) as snapshot:
        said_before = dict(snapshot.manifest.extra)

    def on(what: str, done: int, of: int) -> None:
        nonlocal ended
        if progress:
            ended = True  # unless it returns
            progress(what, done, of)
            ended = False

    try:
        return ingest(sources, root, subjects=subjects, workers=max(1, cores() - 1), progress=on)
    except BaseException:
        if ended:
            with Writer(root) as writer:  # takes up what the ingest had committed
                writer.publish(said_before)
        raise
