"""Annotation files that belong to a recording, by name: beside it, in `annotations` folders, in NSRR's layout."""

import re
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

_SUFFIXES: Final = frozenset({".xml", ".annot", ".eannot", ".csv", ".tsv", ".txt", ".edf", ".bdf"})
# What an export adds to the recording's stem. EDF and TXT need one of them: alone they are recordings or notes.
_ADDED: Final = re.compile(
    r"(?:\.edf|\.bdf)?[-_.](nsrr|profusion|events?|annotations?|annots?|hypnogram|hypno|sleepscoring|scoring|stages?|staging|respevt)$",
    re.IGNORECASE,
)
_SCORER: Final = re.compile(r"[-_.]scorer[-_]?(\d+)$", re.IGNORECASE)  # another scorer's file of the same night
_SLEEP_EDF: Final = re.compile(r"((?:SC|ST)\d{4}[A-Z])[A-Z0-9]-(?:PSG|Hypnogram)$", re.IGNORECASE)
_RESMED: Final = re.compile(r"(\d{8}_\d{6})_(EVE|CSL|BRP|PLD|SA2|SAD)$", re.IGNORECASE)
_FOLDERS: Final = ("annotations", "annotations-events-nsrr", "annotations-events-profusion")


def _key_of_recording(path: Path) -> str:
    """What its annotation files share with a recording: the stem without BIDS' `_eeg`; Sleep-EDF: seven characters."""
    stem = path.stem
    if found := _SLEEP_EDF.fullmatch(stem):
        return found[1].casefold()
    return re.sub(r"_(eeg|ieeg|physio)$", "", stem, flags=re.IGNORECASE).casefold()


def annotation_stem(path: Path) -> str | None:
    """What an annotation file shares with its recording; None for what is none by name (recording, truth, notes)."""
    suffix, stem = path.suffix.casefold(), path.stem
    if suffix not in _SUFFIXES or ".truth" in path.name.casefold() or _RESMED.fullmatch(stem):
        return None
    if (found := _SLEEP_EDF.fullmatch(stem)) and suffix not in (".annot", ".eannot"):
        return found[1].casefold() if stem.casefold().endswith("hypnogram") else None
    bare = _SCORER.sub("", _ADDED.sub("", stem))
    if (bare != stem or suffix in (".annot", ".eannot")) and (found := _SLEEP_EDF.fullmatch(bare)):
        return found[1].casefold()  # what was made of a Sleep-EDF recording: SC4001E0-PSG_annotations.edf
    if suffix in (".edf", ".bdf", ".txt") and (
        bare == stem or (stem.casefold().endswith("sleepscoring") and suffix == ".txt")
    ):
        return None  # HMC has its scoring twice; the EDF+ is read
    return re.sub(r"\.(edf|bdf)$", "", bare, flags=re.IGNORECASE).casefold()


def _scorer(path: Path) -> int:
    """Which scorer's file it is by its name: 1 where the name says nothing."""
    found = _SCORER.search(_ADDED.sub("", path.stem))
    return int(found[1]) if found else 1


@lru_cache(maxsize=64)
def _index(files: tuple[Path, ...]) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for path in sorted(files):
        if (key := annotation_stem(path)) is not None:
            index.setdefault(key, []).append(path)
    return index


@lru_cache(maxsize=64)
def _listing(folder: Path, state: int) -> tuple[Path, ...]:
    """The files of a folder as of its last change: a folder of thousands of nights is listed once."""
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.casefold() in _SUFFIXES and path.is_file()))


def _files_in(folder: Path) -> tuple[Path, ...]:
    try:
        changed_ns, now_ns = folder.stat().st_mtime_ns, time.time_ns()
        # Time stamps of folders are coarse: one that changed just now may change again under the same stamp.
        return _listing(folder, changed_ns if now_ns - changed_ns > 2_000_000_000 else now_ns)
    except OSError:
        return ()


def _folders(recording: Path) -> list[Path]:
    """Where its annotations may lie; NSRR has `edfs/shhs1/X.edf` and `annotations-events-nsrr/shhs1/X-nsrr.xml`."""
    parent = recording.parent
    folders = [parent, *(base / name for base in (parent, parent.parent) for name in _FOLDERS)]
    for ancestor in recording.parents:
        if ancestor.name.casefold() in ("edfs", "edf"):
            folders += [ancestor.parent / name / parent.relative_to(ancestor) for name in _FOLDERS]
    return list(dict.fromkeys(folders))


def _resmed(recordings: Iterable[Path], files: Iterable[Path]) -> list[Path]:
    """EVE and CSL files of a therapy session: in its folder, the last of each kind begun before a signal file of it.

    The machine starts an EVE file some seconds before the signals; one may serve several signal files (AirCurve 10).
    """
    stamps = [(path.parent, found[1]) for path in recordings if (found := _RESMED.fullmatch(path.stem))]
    found_files: dict[Path, None] = {}
    for kind in ("EVE", "CSL") if stamps else ():
        marks = sorted(
            (found[1], path) for path in files if (found := _RESMED.fullmatch(path.stem)) and found[2].upper() == kind
        )
        for folder, stamp in stamps:
            if earlier := [path for begun, path in marks if begun <= stamp and path.parent == folder]:
                found_files[earlier[-1]] = None
    return sorted(found_files)


def find_annotations(recording_paths: Sequence[Path], *, among: Sequence[Path] | None = None) -> list[Path]:
    """The annotation files of one recording (of all its files), those of `NAME.scorer2...` after the others; by name
    only, nothing is opened.

    among: the files to choose from, in any folders; None looks beside the recording and in the folders named above.
    A `*.truth*` table of a simulated night is never an annotation, nor is a recording file itself.
    """
    own = {path.resolve() for path in recording_paths}
    found: dict[Path, None] = {}
    for recording in recording_paths:
        key = _key_of_recording(recording)
        if among is not None:
            found.update(dict.fromkeys(_index(tuple(among)).get(key, ())))
        else:
            for folder in _folders(recording):
                found.update(dict.fromkeys(_index(_files_in(folder)).get(key, ())))
    pool = (
        among
        if among is not None
        else [path for folder in {p.parent for p in recording_paths} for path in _files_in(folder)]
    )
    found.update(dict.fromkeys(_resmed(recording_paths, pool)))
    return sorted((path for path in found if path.resolve() not in own), key=lambda path: (_scorer(path), path))
