"""NSRR XML and Compumedics Profusion XML, read by element name and without ever expanding an entity."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations.sheet import Mark, Sheet, decode, number, quoted, read_bytes, time_of_day
from encoders.recordings.timeline import Repair, clock
from encoders.vocabulary import EPOCH_S

_DECLARATION: Final = re.compile(r"^\s*<\?xml[^>]*\?>")


def _root(path: Path, repairs: list[Repair]) -> Element:
    """The root element; a file whose bytes are not in the encoding that it declares is read in the one they are in."""
    data = read_bytes(path)
    try:
        try:
            return cast(Element, fromstring(data))
        except DefusedXmlException:
            raise
        except (ParseError, ValueError, LookupError):
            root = cast(Element, fromstring(_DECLARATION.sub("", decode(data, path.name))))
            repairs.append(
                Repair(
                    path.name, "XML declaration", "an encoding that the bytes are not in", "the encoding they are in"
                )
            )
            return root
    except DefusedXmlException:
        raise UnreadableAnnotations(
            f"{path.name}: the XML declares entities, as an XML bomb does; annotation exports have none: refused."
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise UnreadableAnnotations(f"{path.name}: broken XML ({error}); export or download the file again.") from None


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _find(root: Element, *names: str) -> Iterator[Element]:
    """Elements at a path of names below the root, whatever their namespace."""
    for child in root:
        if _name(child) == names[0]:
            if len(names) == 1:
                yield child
            else:
                yield from _find(child, *names[1:])


def _texts(element: Element) -> dict[str, str]:
    return {_name(child): (child.text or "").strip() for child in element}


def _epoch_s(root: Element, path: Path, repairs: list[Repair]) -> float:
    text = next((element.text or "" for element in _find(root, "EpochLength")), None)
    value = number(text)
    if value is not None and 0.5 <= value <= 300:
        return value
    repairs.append(Repair(path.name, "EpochLength", "nothing" if text is None else repr(text[:20]), f"{EPOCH_S:g} s"))
    return EPOCH_S


def _skip(sheet: Sheet, bad: list[str]) -> None:
    if bad:
        sheet.skipped.append(f"{len(bad)} events left out: {bad[0]}" + (" (the first)" if len(bad) > 1 else ""))


def _span(fields: dict[str, str], i: int, bad: list[str]) -> tuple[float, float] | None:
    start, duration = number(fields.get("Start")), number(fields.get("Duration") or "0")
    if start is None or duration is None or duration < 0:
        shown = ", ".join(
            f"{key} {quoted(fields[key]) if key in fields else 'missing'}" for key in ("Start", "Duration")
        )
        bad.append(f"ScoredEvent {i} has {shown}, wanted seconds")
        return None
    return start, duration


def read_nsrr(path: Path) -> list[Sheet]:
    """NSRR XML (`PSGAnnotation`): stages are run-length, `Recording Start Time` is not an event (Luna annot.cpp)."""
    sheet = Sheet("nsrr xml", path, [])
    root = _root(path, sheet.repairs)
    _expect(root, "PSGAnnotation", path)
    sheet.epoch_s = _epoch_s(root, path, sheet.repairs)
    bad: list[str] = []
    for i, element in enumerate(_find(root, "ScoredEvents", "ScoredEvent"), 1):
        fields = _texts(element)
        concept = fields.get("EventConcept", "")
        if concept.casefold() == "recording start time":
            if (told := time_of_day(fields.get("ClockTime", "").rpartition(" ")[2])) is not None:
                sheet.notes.append(f"the file names {clock(told)} as the recording's start")
            continue
        is_stage = fields.get("EventType", "").casefold().startswith("stages")
        if span := _span(fields, i, bad):
            nadir = number(fields.get("SpO2Nadir"))
            sheet.marks.append(
                Mark(
                    *span, concept, fields.get("SignalLocation") or None, None if is_stage else nadir, is_stage=is_stage
                )
            )
    _skip(sheet, bad)
    return [sheet]


def read_profusion(path: Path) -> list[Sheet]:
    """Profusion XML (`CMPStudyConfig`): a code per `EpochLength` in `SleepStages`, events beside; 9 is unscored."""
    sheet = Sheet("profusion xml", path, [])
    root = _root(path, sheet.repairs)
    _expect(root, "CMPStudyConfig", path)
    sheet.epoch_s = epoch_s = _epoch_s(root, path, sheet.repairs)
    bad: list[str] = []
    for i, element in enumerate(_find(root, "ScoredEvents", "ScoredEvent"), 1):
        fields = _texts(element)
        if span := _span(fields, i, bad):
            sheet.marks.append(
                Mark(*span, fields.get("Name", ""), fields.get("Input") or None, number(fields.get("LowestSpO2")))
            )
    for i, element in enumerate(_find(root, "SleepStages", "SleepStage")):
        sheet.marks.append(Mark(i * epoch_s, epoch_s, (element.text or "").strip(), is_stage=True))
    _skip(sheet, bad)
    return [sheet]


def _expect(root: Element, name: str, path: Path) -> None:
    if _name(root) != name:
        raise UnreadableAnnotations(f"{path.name}: the XML's root is <{_name(root)[:40]}>, this format has <{name}>.")
