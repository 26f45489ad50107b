"""What an export is asked for, and the pieces that it is made of: one file each, written whole or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from index import Snapshot
from retrieval.hit import Hit

if TYPE_CHECKING:
    from retrieval.cohort import Cohort


@dataclass(frozen=True, slots=True)
class Order:
    """What goes out: of these recordings whole nights, of `hits` their stretches; `provenance` says of what."""

    cohort: "Cohort"
    what: frozenset[str]
    recordings: tuple[str, ...]
    where: str | None
    words: str | None  # of the search that found the hits
    hits: tuple[Hit, ...]
    provenance: dict[str, Any]

    @property
    def snapshot(self) -> Snapshot:
        return self.cohort.snapshot

    def stamp(self) -> dict[str, str]:
        """The provenance in words, by key, without what is not known."""
        return {key: str(value) for key, value in self.provenance.items() if value is not None}

    def ranked(self, recording: str) -> list[tuple[int, Hit]]:
        """The hits in one recording with their ranks from 1."""
        return [(rank, hit) for rank, hit in enumerate(self.hits, 1) if hit.recording == recording]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file: `write` fills the path it is given and returns what had to be left out, in words."""

    name: str
    write: Callable[[Path], list[str]]


def write_whole(out: Path, piece: Piece) -> list[str]:
    """Write a piece beside its place and move it there; an interruption leaves nothing of it."""
    part = out / f".part-{piece.name}"
    try:
        left_out = piece.write(part)
        part.replace(out / piece.name)
    finally:
        part.unlink(missing_ok=True)
    return left_out
