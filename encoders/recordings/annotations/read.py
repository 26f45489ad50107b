"""Annotation files of one recording -> what each scorer says about it, the default scorer first."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import table
from encoders.recordings.annotations.align import RecordingClock, lay
from encoders.recordings.annotations.codes import read_codes
from encoders.recordings.annotations.detect import detect_format
from encoders.recordings.annotations.edfplus import embedded_sheet, read_edfplus
from encoders.recordings.annotations.find import annotation_stem
from encoders.recordings.annotations.luna import read_annot
from encoders.recordings.annotations.noxturnal import read_noxturnal
from encoders.recordings.annotations.resmed import read_resmed
from encoders.recordings.annotations.sheet import Sheet
from encoders.recordings.annotations.tables import check_scope, read_bids, read_csv
from encoders.recordings.annotations.ucddb import read_respevt
from encoders.recordings.annotations.xml import read_nsrr, read_profusion
from encoders.recordings.timeline import Alignment, Scoring
from encoders.vocabulary import KINDS


def _ucddb(path: Path) -> list[Sheet]:
    return read_respevt(path) if "respevt" in path.name.casefold() else read_codes(path, "ucddb")


_READERS: Final[dict[str, Callable[[Path], list[Sheet]]]] = {
    "nsrr xml": read_nsrr,
    "profusion xml": read_profusion,
    "edf+": read_edfplus,
    "luna annot": read_annot,
    "luna eannot": lambda path: read_codes(path, "luna eannot"),
    "bids": read_bids,
    "csv": read_csv,
    "hypnogram text": lambda path: read_codes(path, "hypnogram text"),
    "ucddb": _ucddb,
    "isruc": lambda path: read_codes(path, "isruc"),
    "dreams": lambda path: read_codes(path, "dreams"),
    "resmed": read_resmed,
    "noxturnal": read_noxturnal,
}


_NUMBERED: Final = re.compile(r" \d+$")  # `human 2` is a person too
ECHO: Final = "our own export of the same scoring lies beside it, not read"


def _read(path: Path, form: str | None) -> list[Sheet]:
    if form is not None and form not in _READERS:
        raise UnreadableAnnotations(f"{path.name}: no annotation format {form!r}; known: {', '.join(table.FORMATS)}.")
    return _READERS[form or detect_format(path)](path)


def _rank(scorer: str) -> int:
    """People before programs before machines: the stated default."""
    return 1 if scorer.startswith("auto:") else 2 if scorer == "device" else 0


def _kinds(scoring: Scoring) -> frozenset[str]:
    return frozenset(scoring.coverage) | ({"stages"} if scoring.stages else frozenset())


def _merge(one: Scoring, other: Scoring) -> Scoring:
    """Two files of one scorer as one: everything side by side, the first file's alignment leading."""
    a, b = one.alignment, other.alignment
    staged = one if one.stages else other
    other_reason = f"{other.source}: {b.reason}"
    return replace(
        staged,
        source=one.source if one.source == other.source else f"{one.source} + {other.source}",
        files=(*one.files, *other.files),
        stages=tuple(sorted((*one.stages, *other.stages), key=lambda span: span.start_s)),
        events=tuple(sorted((*one.events, *other.events), key=lambda event: (event.start_s, event.stop_s))),
        coverage={kind: text for kind in KINDS if (text := one.coverage.get(kind) or other.coverage.get(kind))},
        lights_off_s=one.lights_off_s if one.lights_off_s is not None else other.lights_off_s,
        lights_on_s=one.lights_on_s if one.lights_on_s is not None else other.lights_on_s,
        alignment=Alignment(
            a.offset_s, a.reason if b.reason in a.reason else f"{a.reason}; {other_reason}",
            a.stage_count + b.stage_count, a.event_count + b.event_count, (*a.cut, *b.cut), (*a.unknown, *b.unknown),
        ),
        repairs=(*one.repairs, *other.repairs),
    )  # fmt: skip


def _one_per_scorer(scorings: list[Scoring]) -> list[Scoring]:
    """Files of one scorer become one scoring where they score different kinds (UCDDB stages and events).

    Where two score the same kind they are two opinions: `human`, `human 2`.
    """
    merged: list[Scoring] = []
    for scoring in scorings:
        for i, known in enumerate(merged):
            same = known.scorer == scoring.scorer
            if same and (not _kinds(known) & _kinds(scoring) or known.source == scoring.source == "resmed"):
                merged[i] = _merge(known, scoring)
                break
        else:
            merged.append(scoring)
    count: dict[str, int] = {}
    named: list[Scoring] = []
    for scoring in merged:
        count[scoring.scorer] = count.get(scoring.scorer, 0) + 1
        again = count[scoring.scorer]
        named.append(scoring if again == 1 else replace(scoring, scorer=f"{scoring.scorer} {again}"))
    return named


def _drop_twins(sheets: list[Sheet]) -> list[Sheet]:
    """NSRR publishes each scoring as NSRR XML and as Profusion XML; the NSRR one is read, the other named."""
    nsrr = {annotation_stem(sheet.path): sheet for sheet in sheets if sheet.source == "nsrr xml" and sheet.path}
    kept: list[Sheet] = []
    for sheet in sheets:
        twin = nsrr.get(annotation_stem(sheet.path)) if sheet.source == "profusion xml" and sheet.path else None
        if twin is None:
            kept.append(sheet)
        else:
            twin.notes.append("the Profusion XML of the same night is the same scoring, not read")
    return _without_echoes(kept)


def _without_echoes(sheets: list[Sheet]) -> list[Sheet]:
    """Exports of ours only where no other file speaks for their scorer, and of several formats one."""
    original = {_NUMBERED.sub("", sheet.scorer): sheet for sheet in sheets if not sheet.exported}
    form: dict[str, str] = {}
    kept: list[Sheet] = []
    for sheet in sheets:
        other = original.get(_NUMBERED.sub("", sheet.scorer))
        if not sheet.exported:
            kept.append(sheet)
        elif other is not None:
            if ECHO not in other.notes:
                other.notes.append(ECHO)
        elif form.setdefault(sheet.scorer, sheet.source) == sheet.source:
            kept.append(sheet)
    return kept


def default_first(scorings: Sequence[Scoring]) -> list[Scoring]:
    """People before `auto:<tool>` before `device`, then who scored stages, then as they come."""
    return sorted(scorings, key=lambda one: (not one.coverage, _rank(one.scorer), "stages" not in one.coverage))


def read_annotations(
    paths: Sequence[Path],
    recording: RecordingClock,
    *,
    format: str | None = None,
    cohort: str | None = None,
    scorer: str | None = None,
    scope: Sequence[str] | None = None,
    refused: list[tuple[Path | None, str]] | None = None,
) -> list[Scoring]:
    """What each scorer says about one recording, on its timeline; the default scorer first, [] when nothing was scored.

    The default: people before `auto:<tool>` before `device`, then who scored stages, then the order of the files.
    format: one of `table.FORMATS` for all `paths`; None detects each. cohort: decides what `Unsure` means. scorer: the
    one to put first. scope: kinds that the default scorer looked for, beyond those with events; without it a kind
    without an event is not covered. Raises UnreadableAnnotations for a file that cannot be used; given a list
    `refused`, leaves it out instead and adds (file, None for annotations inside the recording; one line why) to it.
    """
    declared = check_scope(scope, "scope") if scope is not None else {}
    sheets: list[Sheet] = []
    for path in map(Path, paths):
        with _left_out(path, refused):
            sheets += _read(path, format)
    inside = embedded_sheet(recording)
    if inside is not None:
        sheets.append(inside)
    laid: list[Scoring] = []
    for sheet in _drop_twins(sheets):
        with _left_out(sheet.path, refused):
            laid.append(lay(sheet, recording, cohort=cohort))
    scorings = default_first(_one_per_scorer(laid))
    if scorer is not None and scorings:
        names = [one.scorer for one in scorings]
        if scorer not in names:
            raise UnreadableAnnotations(f"no scorer {scorer!r} in {_names(paths)}; there are: {', '.join(names)}.")
        scorings.insert(0, scorings.pop(names.index(scorer)))
    if declared and scorings:
        scorings[0] = replace(scorings[0], coverage={**scorings[0].coverage, **declared})
    return scorings


@contextmanager
def _left_out(path: Path | None, refused: list[tuple[Path | None, str]] | None) -> Iterator[None]:
    """Turn an unusable file into an entry of `refused`, where the caller wants that."""
    try:
        yield
    except UnreadableAnnotations as error:
        if refused is None:
            raise
        refused.append((path, str(error)))


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(Path(path).name for path in paths) or "the recording's own annotations"
