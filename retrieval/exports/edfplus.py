"""EDF+ files of annotations alone (EDF+C without signals), for EDFbrowser, MNE and whatever reads EDF+.

Onsets count from the recording's start. The header has no patient, the date that EDF+ gives to anonymous recordings and
the recorder's time of day. Stages have the standard's own texts; `text@@channel` names a channel, as MNE writes it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from encoders.recordings import write_edf
from encoders.recordings.annotations.own import MARK
from encoders.recordings.tal import Annotation, format_tal
from encoders.recordings.timeline import DAY_S
from encoders.recordings.write import DUMMY_START, TAL_BYTES
from retrieval.exports.order import Order, Piece
from retrieval.exports.scored import Page, Row, pages, rows_of

_STAGES = {"REM": "R", "NREM": "N", "unscored": "?"}  # the others are spelled alike


def pieces(order: Order) -> Sequence[Piece]:
    """A file a scorer and night."""
    return [Piece(f"{page.stem}_annotations.edf", partial(_write, order, page)) for page in pages(order)]


def _write(order: Order, page: Page, path: Path) -> list[str]:
    notes = [*statement_notes(page.said | order.stamp()), *map(annotation, rows_of(order, page))]
    write_edf(path, [], start=anonymous(page.start_clock_s), annotations=notes, recording_note=note(page.simulated))
    return []


def anonymous(clock_s: float | None) -> datetime | None:
    """The time of day on EDF+'s date of anonymous recordings; None where the clock is not known."""
    return None if clock_s is None else DUMMY_START + timedelta(seconds=clock_s % DAY_S)


def note(simulated: bool) -> str:
    """What the header's recording field says."""
    return f"simulated {MARK} export" if simulated else f"{MARK} export"


def statement_notes(said: dict[str, str]) -> Iterable[Annotation]:
    """What the file says of itself: at its start, one short text a fact."""
    return [_fitting(Annotation(0.0, 0.0, f"{MARK} {key}: {value}")) for key, value in said.items()]


def annotation(row: Row) -> Annotation:
    """A row as EDF+ has it; texts that are too long for a record are cut."""
    match row.kind:
        case "stage":
            text = f"Sleep stage {_STAGES.get(row.name, row.name)}"
        case "event":
            text = row.name[:1].upper() + row.name[1:]
        case "lights":
            text = f"Lights {row.name}"
        case "hit":
            text = f"{MARK} hit {row.name} ({row.facts['score']}): {row.facts['query']}"
        case _:
            text = f"{MARK} label: {row.name}"
    if row.channel:
        text += f"@@{row.channel}"
    return _fitting(Annotation(row.start_s, row.stop_s - row.start_s, text))


def _fitting(wanted: Annotation) -> Annotation:
    text = wanted.text
    while len(format_tal(wanted.onset_s, wanted.duration_s, text)) > TAL_BYTES:
        text = text[:-2].rstrip("…") + "…"
    return Annotation(wanted.onset_s, wanted.duration_s, text)
