"""Find the recordings in folders: which files make one night, which annotations go with it, and what is none.

A recording is one EDF or BDF file (`.edf`, `.bdf`, `.rec`), except on the card of a ResMed machine, where the BRP,
PLD, SAD and SA2 files that start within a minute of each other are one session. Only headers are read here.
"""

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from encoders.errors import BadInput
from encoders.recordings.annotations.find import annotation_stem, find_annotations
from encoders.recordings.header import EdfHeader, read_header
from encoders.recordings.privacy import private_id

SUFFIXES: Final = frozenset({".edf", ".bdf", ".rec"})
_RESMED: Final = re.compile(r"(\d{8}_\d{6})_(BRP|PLD|SAD|SA2|EVE|CSL)", re.IGNORECASE)
_RESMED_SIGNALS: Final = ("BRP", "PLD", "SAD", "SA2")
_SESSION_S: Final = 60.0  # files of one session start within a minute of each other
_SLOWEST_HZ: Final = 0.01  # the fastest signal of a night is faster; a machine's daily summary has a value a day


@dataclass(frozen=True, slots=True)
class Source:
    """What one recording is made of. id_hashed: its stem showed a person or a date; note: what a report should say."""

    id: str
    paths: tuple[Path, ...]
    annotations: tuple[Path, ...]
    id_hashed: bool = False
    note: str = ""


@dataclass(slots=True)
class _Found:
    recordings: list[Path] = field(default_factory=list)
    annotation_edfs: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    given: set[Path] = field(default_factory=set)
    failures: list[tuple[Path, str]] = field(default_factory=list)


def discover(sources: Sequence[Path], *, id_key: bytes | None = None) -> tuple[list[Source], list[tuple[Path, str]]]:
    """Recordings in files and folders (walked, hidden ones left out), and (path, one-line reason) for what is none.

    Ids are unique: a stem that several files share gets its folder's name before it. A stem that shows a person or a
    date is hashed with `id_key`, so that an id is stable for one key; without one a random key is used.
    """
    key = id_key or secrets.token_bytes(16)
    found = _Found()
    seen: set[Path] = set()
    for source in map(Path, sources):
        files = list(_files(source))
        if not source.exists():
            found.failures.append((source, "no such file or folder"))
        given = not source.is_dir()
        if not given and not any(path.suffix.casefold() in SUFFIXES for path in files):
            found.failures.append((source, "no EDF or BDF recording in this folder"))
        found.given |= {path.resolve() for path in files if given}
        for path in files:
            if (real := path.resolve()) not in seen:
                seen.add(real)
                _sort_in(path, found, given=given)
    groups = list(_groups(found.recordings))
    paired = _annotations(groups, [*found.annotation_edfs, *found.others])
    used = {path.resolve() for paths in paired for path in paths}
    for path in found.annotation_edfs:
        if path.resolve() not in used:
            found.failures.append((path, "annotations without a recording of that name"))
    for path in found.others:
        if path.resolve() in found.given - used:
            found.failures.append((path, "not an EDF or BDF file, and no recording here has its name"))
    named = _ids(groups, key)
    made = [
        Source(name, paths, annotations, hashed, note)
        for paths, annotations, (name, hashed, note) in zip(groups, paired, named, strict=True)
    ]
    return made, found.failures


def _files(source: Path) -> Iterator[Path]:
    """The file itself, or all files below a folder in order, hidden ones left out, links to folders not followed."""
    if not source.is_dir():
        if source.exists():
            yield source
        return
    for folder, below, names in os.walk(source):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _sort_in(path: Path, found: _Found, *, given: bool) -> None:
    """Put one file where it belongs: recording, annotations, other, or a failure with its reason."""
    if path.suffix.casefold() not in SUFFIXES and not (given and _looks_edf(path)):
        if path.is_file() or given:  # a pipe would be waited for, a link to nothing is no annotation
            found.others.append(path)
        return
    try:
        header = read_header(path)
    except BadInput as error:
        found.failures.append((path, str(error)))
        return
    kind = _kind(header)
    if kind == "recording":
        found.recordings.append(path)
    elif kind == "annotations":
        found.annotation_edfs.append(path)
    else:
        found.failures.append((path, kind))


def _looks_edf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) in (b"0       ", b"\xffBIOSEMI")
    except OSError:
        return False


def _kind(header: EdfHeader) -> str:
    """`recording`, `annotations`, or the reason why a file is neither."""
    usable = [signal for signal in header.signals if signal.usable]
    if not header.record_s or not usable:
        annotated = any(signal.is_annotation for signal in header.signals)
        return "annotations" if annotated else "no signal in it has samples, a scale and a rate"
    fastest_hz = max(signal.samples_per_record for signal in usable) / header.record_s
    return "recording" if fastest_hz >= _SLOWEST_HZ else "daily summary of a therapy device, no waveforms"


def _groups(recordings: Iterable[Path]) -> Iterator[tuple[Path, ...]]:
    """Files of one recording together: ResMed sessions, everything else alone."""
    stamped: list[tuple[Path, datetime, int, Path]] = []
    for path in recordings:
        match = _RESMED.fullmatch(path.stem)
        begun = _stamp(match[1]) if match else None
        if match and begun and match[2].upper() in _RESMED_SIGNALS:
            stamped.append((path.parent, begun, _RESMED_SIGNALS.index(match[2].upper()), path))
        else:
            yield (path,)
    for _, folder in groupby(sorted(stamped), key=lambda entry: entry[0]):
        session: list[tuple[Path, datetime, int, Path]] = []
        for entry in folder:
            late = session and (entry[1] - session[0][1]).total_seconds() > _SESSION_S
            if late or any(entry[2] == other[2] for other in session):
                yield _session(session)
                session = []
            session.append(entry)
        yield _session(session)


def _session(entries: Sequence[tuple[Path, datetime, int, Path]]) -> tuple[Path, ...]:
    return tuple(entry[3] for entry in sorted(entries, key=lambda entry: entry[2]))


def _stamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%d_%H%M%S")
    except ValueError:
        return None


def _annotations(groups: Sequence[tuple[Path, ...]], among: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Annotations of each recording: what lies beside it, else what bears its name anywhere in the sources.

    A name that several recordings share is looked for beside them only: another site's night is not theirs.
    """
    by_stem: dict[str, list[Path]] = {}
    for path in among:
        if (stem := annotation_stem(path)) is not None:
            by_stem.setdefault(stem, []).append(path)
    shared = Counter(paths[0].stem.casefold() for paths in groups)
    made = []
    for paths in groups:
        stem = paths[0].stem.casefold()
        found = find_annotations(paths)
        if not found and shared[stem] == 1:
            keys = dict.fromkeys((stem, stem.rpartition("_")[0], stem[:7]))
            found = find_annotations(paths, among=[path for key in keys for path in by_stem.get(key, ())])
        made.append(tuple(found))
    return made


def _ids(groups: Sequence[tuple[Path, ...]], key: bytes) -> list[tuple[str, bool, str]]:
    """(id, hashed, note) of each recording: its stem, made unique by folder names, then by its suffix or a number."""
    names = [[paths[0].stem, *(part for part in reversed(paths[0].absolute().parent.parts[1:]))] for paths in groups]
    depths = [1] * len(groups)
    while True:
        texts = ["-".join(reversed(name[:depth])) for name, depth in zip(names, depths, strict=True)]
        count = Counter(texts)
        again = [n for n, text in enumerate(texts) if count[text] > 1 and depths[n] < len(names[n])]
        if not again:
            break
        for n in again:
            depths[n] += 1
    made: list[tuple[str, bool, str]] = []
    taken: Counter[str] = Counter()
    for paths, name, depth in zip(groups, names, depths, strict=True):
        parts = [private_id(part, key) for part in reversed(name[:depth])]
        text, hashed = "-".join(part for part, _ in parts), any(was for _, was in parts)
        taken[text] += 1
        if taken[text] > 1:  # one folder holds n1.edf and n1.rec
            text = f"{text}{paths[0].suffix}" if taken[text] == 2 else f"{text}-{taken[text]}"
        notes = ["its name shows a person or a date, so the id is a keyed hash"] if hashed else []
        notes += ["several files have this name, so the folder stands before it"] if depth > 1 else []
        made.append((text, hashed, "; ".join(notes)))
    return made
