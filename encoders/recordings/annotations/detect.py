"""Which annotation format a file has, by content and name; one that could be several is refused, not guessed."""

import re
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import table
from encoders.recordings.annotations.codes import declared_codes, split_comments
from encoders.recordings.annotations.noxturnal import columns_of
from encoders.recordings.annotations.sheet import decode, read_bytes
from encoders.recordings.annotations.ucddb import ROW

_HEAD: Final = 65536
_XML_ROOT: Final = re.compile(r"<\s*(?:\w+:)?(PSGAnnotation|CMPStudyConfig)\b")
_ONE_PER_LINE: Final = ("ucddb", "isruc", "dreams", "luna eannot")


def _edf(head: bytes, path: Path) -> str:
    if b"EDF Annotations" not in head and b"BDF Annotations" not in head:
        raise UnreadableAnnotations(f"{path.name}: an EDF without an annotations signal; give it as a recording.")
    # ResMed files carry a checksum signal; the name alone decides nothing.
    return "resmed" if b"Crc16" in head and re.search(r"_(eve|csl)\.edf$", path.name, re.IGNORECASE) else "edf+"


def _one_per_line(path: Path, comments: list[str], lines: list[str]) -> str:
    name = path.name.casefold()
    if any(declared_codes(comment) for comment in comments):
        return "hypnogram text"
    if name.endswith("_stage.txt") and all(re.fullmatch(r"[0-8]", line) for line in lines):
        return "ucddb"
    if name.startswith("hypnogramaasm") and all(re.fullmatch(r"-?\d", line) for line in lines[1:]):
        return "dreams"
    if sum(table.stage_of("hypnogram text", line, in_column=True) is not None for line in lines) * 2 > len(lines):
        return "hypnogram text"
    raise UnreadableAnnotations(
        f"{path.name}: one code per line, and codes differ: 5 is REM in ISRUC, N3 in UCDDB, W in DREAMS. Pass format= "
        f"one of {', '.join(map(repr, _ONE_PER_LINE))}, or declare them in a first line "
        "'# codes: 0=W, 1=N1, 2=N2, 3=N3, 4=REM'."
    )


def detect_format(path: Path) -> str:
    """The format's name, one of `table.FORMATS`.

    Raises UnreadableAnnotations, naming the choices and the `format=` to pass, when content and name leave it open.
    """
    data = read_bytes(path)
    if data.startswith((b"0       ", b"\xffBIOSEMI")):
        return _edf(data[:_HEAD], path)
    if data.startswith(b"PAR1"):
        raise UnreadableAnnotations(f"{path.name}: a Parquet table (a simulated night's truth?) is no annotation file.")
    text = decode(data[:_HEAD], path.name)
    if text.lstrip().startswith("<"):
        if found := _XML_ROOT.search(text):
            return "nsrr xml" if found[1] == "PSGAnnotation" else "profusion xml"
        # Entities, comments or a broken start stand before the root: the reader will say which.
        return "profusion xml" if "profusion" in path.name.casefold() else "nsrr xml"
    comments, lines = split_comments(text.replace("\r\n", "\n").replace("\r", "\n"))
    suffix = path.suffix.casefold()
    if suffix == ".annot":
        return "luna annot"
    if suffix == ".eannot":
        return "luna eannot"
    head = re.split(r"[\t,;]", lines[0].casefold()) if lines else []
    columns = {cell.strip() for cell in head}
    if {"onset", "duration"} <= columns:
        return "bids"
    if {"onset_s", "duration_s", "label"} <= columns or {"epoch", "stage"} <= columns:
        return "csv"
    if lines and columns_of(lines[0]) is not None:
        return "noxturnal"
    if any(ROW.match(line) for line in lines) and path.name.casefold().endswith("respevt.txt"):
        return "ucddb"
    if len(data) > _HEAD and lines:
        lines = lines[:-1]  # the last one may be cut in half
    if lines and all(len(line.split()) <= 3 and "," not in line and "\t" not in line for line in lines):
        return _one_per_line(path, comments, lines)
    # Its lines are not quoted: a report in free text has the patient's name in the first of them.
    raise UnreadableAnnotations(
        f"{path.name}: format not recognised ({len(lines)} lines, first of {len(head)} columns). Known: "
        f"{', '.join(table.FORMATS)}; pass format=, or write a CSV 'onset_s,duration_s,label'."
    )
