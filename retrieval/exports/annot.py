"""Luna's `.annot` (zzz.bwh.harvard.edu/luna/ref/annotations): class, instance, channel, start, stop, meta by tabs.

A preamble describes each class, the line of column names follows, `.` is missing, times are seconds from the EDF's
start, meta is `key=value` joined by `|`. Stages have Luna's own class names; a name has `_` for a space.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from encoders.recordings.annotations.luna import EXPORT
from encoders.recordings.annotations.own import MARK
from retrieval.exports.order import Order, Piece
from retrieval.exports.scored import Page, Row, pages, rows_of, seconds

_STAGES = {"REM": "R", "NREM": "NR", "unscored": "?"}  # the others are spelled alike
_KINDS = {
    "stage": "sleep stage", "event": "scored event", "lights": "lights, as noted by the scorer",
    "hit": "a hit of a search, its rank as the instance | score[num] query[txt]",
    "label": "somebody's label | author[txt] time[txt]",
}  # fmt: skip


def pieces(order: Order) -> Sequence[Piece]:
    """A file a scorer and night."""
    return [Piece(f"{page.stem}.annot", partial(_write, order, page)) for page in pages(order)]


def _write(order: Order, page: Page, path: Path) -> list[str]:
    said = page.said | {key: value for key, value in order.stamp().items() if key in ("space", "query", "where")}
    path.write_text(document(rows_of(order, page), said), encoding="utf-8")
    return []


def document(rows: Sequence[Row], said: Mapping[str, str]) -> str:
    """The text of a file of these rows, which says of itself what `said` holds."""
    classes = {_class(row): _KINDS[row.kind] for row in rows}
    keys = " ".join(f"{_plain(key)}[txt]" for key in said)
    lines = [f"# {EXPORT} | what wrote this file, and whose scoring it is | {keys}"]
    lines += [f"# {name} | {meaning}" for name, meaning in classes.items()]
    lines.append("class\tinstance\tchannel\tstart\tstop\tmeta")
    lines.append(_line(EXPORT, ".", None, 0.0, 0.0, said))
    for row in rows:
        instance = row.name if row.kind in ("hit", "label") else "."
        lines.append(_line(_class(row), instance, row.channel, row.start_s, row.stop_s, row.facts))
    return "\n".join(lines) + "\n"


def _class(row: Row) -> str:
    if row.kind == "stage":
        return _STAGES.get(row.name, row.name)
    name = {"lights": f"lights {row.name}", "hit": f"{MARK} hit", "label": f"{MARK} label"}.get(row.kind, row.name)
    return name.replace(" ", "_")


def _line(
    name: str, instance: str, channel: str | None, start_s: float, stop_s: float, facts: Mapping[str, str]
) -> str:
    meta = "|".join(f"{key}={_plain(value)}" for key, value in facts.items() if value)
    cells = (name, _plain(instance), _plain(channel or "."), seconds(start_s), seconds(stop_s), meta or ".")
    return "\t".join(cells)


def _plain(text: str) -> str:
    """A text without what the format gives a meaning to."""
    return re.sub(r"[\s|;=\"]+", " ", text).strip() or "."
