"""BIDS tables: `NAME_hypnogram.tsv` (onset, duration, stage) and `NAME_events.tsv`, each with its JSON.

`n/a` is missing. The JSON says who scored and by which tool; a program's stages stand in a column of its own name, so
that they are never taken for a person's even where the JSON is lost.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from encoders.recordings.annotations.own import MARK
from encoders.recordings.annotations.tables import EXPORT
from retrieval.exports.order import Order, Piece
from retrieval.exports.scored import Page, Row, pages, rows_of, seconds

_MEANINGS = {"W": "Wake", "N1": "N1", "N2": "N2", "N3": "N3", "REM": "REM", "NREM": "NREM", "unscored": "unscored"}
_SECONDS = {"onset": {"Description": "From the recording's start", "Units": "s"},
            "duration": {"Description": "Length; 0 is a moment", "Units": "s"}}  # fmt: skip
_COLUMNS = {
    "trial_type": {"Description": f"Event as the AASM names it; '{MARK} hit' of a search, '{MARK} label' of a person"},
    "channel": {"Description": "Channel that the scorer named"},
    "spo2_min_pct": {"Description": "Lowest saturation of a desaturation", "Units": "%"},
    "score": {"Description": "Rank score of a hit, no probability"},
    "note": {"Description": "The question of a hit, or a label's text"},
    "author": {"Description": "Whose label it is"},
}


def pieces(order: Order) -> Sequence[Piece]:
    """Two tables a scorer and night, where there is something to say, and their JSON."""
    made = []
    for page in pages(order):
        for name in sorted(page.tells):
            made += [
                Piece(f"{page.stem}_{name}.tsv", partial(_write, order, page, name)),
                Piece(f"{page.stem}_{name}.json", partial(_describe, order, page, name)),
            ]
    return made


def _write(order: Order, page: Page, name: str, path: Path) -> list[str]:
    rows = [row for row in rows_of(order, page) if (row.kind == "stage") == (name == "hypnogram")]
    lines = ["\t".join(("onset", "duration", *_columns(page, name)))]
    lines += ["\t".join((seconds(r.start_s), seconds(r.stop_s - r.start_s), *_cells(r, name))) for r in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return []


def _columns(page: Page, name: str) -> Sequence[str]:
    if name == "events":
        return tuple(_COLUMNS)
    program = (page.scorer or "").removeprefix("auto:")
    return ("stage",) if program == page.scorer else (f"stage_{program}",)


def _cells(row: Row, name: str) -> Sequence[str]:
    if name == "hypnogram":
        return (row.name,)
    trial = {"lights": f"Lights {row.name}", "hit": f"{MARK} hit", "label": f"{MARK} label"}.get(row.kind, row.name)
    said = row.facts.get("query", row.name if row.kind == "label" else "")
    facts = [row.facts.get(key, "") for key in ("spo2_min_pct", "score")]
    return [
        " ".join(cell.split()) or "n/a"
        for cell in (trial, row.channel or "", *facts, said, row.facts.get("author", ""))
    ]


def _describe(order: Order, page: Page, name: str, path: Path) -> list[str]:
    columns = {**_COLUMNS} if name == "events" else {
        column: {"Description": f"Sleep stage by {page.scorer}", "Levels": _MEANINGS} for column in _columns(page, name)
    }  # fmt: skip
    said = page.said | order.stamp()
    if "scope" in said:
        kinds = said["scope"].split(", ")
        said["scope"] = ", ".join(kind for kind in kinds if (kind == "stages") == (name == "hypnogram"))
    path.write_text(
        json.dumps({**_SECONDS, **columns, EXPORT: said}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return []
