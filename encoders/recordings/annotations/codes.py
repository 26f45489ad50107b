"""Hypnograms of one code per line: Luna `.eannot`, UCDDB `_stage.txt`, ISRUC, DREAMS, texts that name their codes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import table
from encoders.recordings.annotations.sheet import Mark, Sheet, read_text
from encoders.vocabulary import EPOCH_S

_EPOCH_S: Final[Mapping[str, float]] = {"dreams": 5.0}  # the others: 30 s
_DECLARED: Final = re.compile(r"(-?\d+)\s*[:=]\s*([A-Za-z][\w ]*?)\s*(?=$|[,;])")
_PERIOD: Final = re.compile(r"(?:1 value per|epoch_s\s*[:=])\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


def declared_codes(comment: str) -> dict[str, str]:
    """Codes that a comment line such as `# codes: 0=W, 1=N1` or `# 0: Wake, 1: N1` declares: code -> stage."""
    pairs = ((code, table.stage_of("csv", word, in_column=True)) for code, word in _DECLARED.findall(comment))
    return {code: stage for code, stage in pairs if stage is not None}


def split_comments(text: str) -> tuple[list[str], list[str]]:
    """(comment lines without `#`, other lines that are not blank)."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return [line.lstrip("# ") for line in lines if line.startswith("#")], [
        line for line in lines if not line.startswith("#")
    ]


def read_codes(path: Path, form: str) -> list[Sheet]:
    """One code per line, in the codes of `form`: "ucddb", "isruc", "dreams", "luna eannot" or "hypnogram text".

    UnreadableAnnotations when no line is a code of that format: then it is another format.
    """
    sheet = Sheet(form, path, [], epoch_s=_EPOCH_S.get(form, EPOCH_S))
    comments, lines = split_comments(read_text(path, sheet.repairs))
    if form in ("hypnogram text", "luna eannot"):
        for comment in comments:
            sheet.own_codes = {**sheet.own_codes, **declared_codes(comment)}
            if found := _PERIOD.search(comment):
                sheet.epoch_s = float(found[1])
    if form == "dreams" and lines and lines[0].startswith("["):
        lines = lines[1:]
    epoch_s = sheet.epoch_s or EPOCH_S
    sheet.marks = [Mark(i * epoch_s, epoch_s, line, is_stage=True) for i, line in enumerate(lines)]
    if not any(line in sheet.own_codes or table.stage_of(form, line, in_column=True) for line in lines):
        shown = repr(lines[0]) if lines and len(lines[0]) < 6 else f"{len(lines)} lines"
        raise UnreadableAnnotations(
            f"{path.name}: no line is a stage of format {form!r} (first: {shown}); pass another format= or declare "
            "the codes in a first line such as '# codes: 0=W, 1=N1, 2=N2, 3=N3, 4=REM'."
        )
    return [sheet]
