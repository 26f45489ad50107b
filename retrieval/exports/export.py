"""One export: what is asked is checked first, then its files are written one by one, each whole or not at all.

Formats: `tsv` (BIDS: `NAME_hypnogram.tsv`, `NAME_events.tsv`, each with its JSON), `annot` (Luna), `edf+` (annotations
alone), `csv` and `parquet` (one table each), `clips` (an EDF a hit), `vectors` (NumPy and a table of ids), `arrow`.
Files of stages and events say who scored, by which rules and what was looked for: `ingest` reads them back as they
were, and passes them over beside the originals. Names are the recordings' ids, times seconds from their starts; no
date, path or file name goes out.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from encoders.errors import BadInput
from index.layout import code_version
from retrieval.exports import annot, bids, clips, edfplus, tables, vectors
from retrieval.exports.order import Order, Piece, write_whole

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

WHAT = ("stages", "events", "labels", "hits", "nights")
_SCORED = ("stages", "events", "labels", "hits")
# Format -> (its pieces, what it can hold, its name in a file name).
_FORMATS: dict[str, tuple[Callable[[Order], Sequence[Piece]], tuple[str, ...], str]] = {
    "tsv": (bids.pieces, _SCORED, "bids"),
    "annot": (annot.pieces, _SCORED, "annot"),
    "edf+": (edfplus.pieces, _SCORED, "edfplus"),
    "csv": (tables.csv_pieces, WHAT, "csv"),
    "parquet": (tables.parquet_pieces, WHAT, "parquet"),
    "clips": (clips.pieces, ("hits",), "clips"),
    "vectors": (vectors.numpy_pieces, (), "vectors"),
    "arrow": (vectors.arrow_pieces, (), "arrow"),
}
FORMATS = tuple(_FORMATS)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote, in the shape that `export --json` prints."""

    format: str
    out: str
    files: list[str]
    recordings: int
    hits: int
    seconds: float
    provenance: dict[str, Any]
    left_out: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)  # {"file", "error"}: one never stops the others

    def frame(self) -> pl.DataFrame:
        """One row a file: its name in `out`, and why it could not be written, else null."""
        rows = [*({"file": name, "error": None} for name in self.files), *self.failed]
        return pl.DataFrame(rows, schema={"file": pl.String, "error": pl.String})

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def export(
    cohort: "Cohort", out: Path, format: str, *, what: Sequence[str] | None = None, where: str | None = None,
    search: str | None = None, k: int = 10, overwrite: bool = False, progress: Progress | None = None,
) -> ExportReport:  # fmt: skip
    """Write what the cohort knows into the folder `out`.

    `what`: of `WHAT`; None: all that the format holds, hits where `search` asks for some. `where` is an SQL expression
    over the view `epochs`: nights count when any of their epochs does, vectors and hits by the epoch. A file that
    stands already is not written over without `overwrite`, and then nothing is. `BadInput` for what can't be taken.
    """
    began = time.monotonic()
    plan, holds, short = _FORMATS[_known("--format", format, FORMATS)]
    chosen = _what(format, what, holds, search)
    cohort.snapshot.refresh()
    hits = tuple(cohort.search(search, where=where, k=k).hits) if search is not None else ()
    provenance = {
        "tool": f"sleepsearch {code_version()}", "snapshot": cohort.snapshot.number,
        "space": cohort.snapshot.default_space, "where": where, "query": search,
        "k": k if search is not None else None,
    }  # fmt: skip
    recordings = tuple(sorted({hit.recording for hit in hits})) if chosen == {"hits"} else _recordings(cohort, where)
    order = Order(cohort, chosen, recordings, where, search, hits, provenance)
    pieces = list(plan(order))
    if not pieces:
        asked = ", ".join(kind for kind in WHAT if kind in chosen) or "vectors"
        raise BadInput(f"nothing to write: no {asked} in the {len(recordings)} nights asked for; see sleepsearch info.")
    statement = f"sleepsearch-{short}.json"
    _room(out, [*(piece.name for piece in pieces), statement], overwrite=overwrite)
    files: list[str] = []
    left_out: list[str] = []
    failed: list[dict[str, str]] = []
    for done, piece in enumerate(pieces, 1):
        try:
            left_out += write_whole(out, piece)
            files.append(piece.name)
        except BadInput as error:
            failed.append({"file": piece.name, "error": str(error)})
        if progress:
            progress(piece.name, done, len(pieces))
    said = json.dumps({**provenance, "files": files, "left_out": left_out, "failed": failed}, indent=1)

    def state(path: Path) -> list[str]:
        path.write_text(said + "\n", encoding="utf-8")
        return []

    write_whole(out, Piece(statement, state))
    seconds = round(time.monotonic() - began, 2)
    return ExportReport(format, str(out), files, len(recordings), len(hits), seconds, provenance, left_out, failed)


def _known(option: str, word: str, words: Sequence[str]) -> str:
    if word not in words:
        near = get_close_matches(word, words, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(f"{option} {word!r} is not known; {hint}Possible: {', '.join(words)}.")
    return word


def _what(format: str, what: Sequence[str] | None, holds: Sequence[str], search: str | None) -> frozenset[str]:
    """What goes out: as asked, else all that the format holds."""
    for kind in what or ():
        if _known("--what", kind, WHAT) not in holds:
            raise BadInput(f"--format {format} holds no {kind}; it holds: {', '.join(holds) or 'vectors alone'}.")
    chosen = frozenset(what or (kind for kind in holds if kind != "hits" or search is not None))
    if "hits" in chosen | set(holds[:1] if format == "clips" else ()) and search is None:
        raise BadInput('hits are those of a search; add --search "WORDS", for example --search "long apneas in REM".')
    if search is not None and "hits" not in chosen:
        raise BadInput(f'--search is for hits, and --format {format} writes none as asked; add "hits" to --what.')
    return chosen


def _recordings(cohort: "Cohort", where: str | None) -> tuple[str, ...]:
    """The nights with an epoch that matches, by id."""
    names = cohort.snapshot.sql("SELECT recording FROM recordings ORDER BY recording")["recording"].to_list()
    if where is None:
        return tuple(names)
    rows = pl.DataFrame({"epoch_id": cohort.snapshot.rows(where)}, schema={"epoch_id": pl.Int64})
    found = cohort.snapshot.sql("SELECT DISTINCT recording FROM epoch_rows JOIN rows USING (epoch_id)", rows=rows)
    kept = set(found["recording"])
    return tuple(name for name in names if name in kept)


def _room(out: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Make the folder; `BadInput` where it is none, or a file of that name stands there."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out}: a file of that name stands there; give a folder.")
    standing = [name for name in names if (out / name).exists()]
    if standing and not overwrite:
        more = f" and {len(standing) - 1} more" if len(standing) > 1 else ""
        raise BadInput(f"{out / standing[0]}{more}: stands already; --overwrite writes over it, or give another --out.")
    out.mkdir(parents=True, exist_ok=True)
