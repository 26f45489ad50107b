"""What SQL says of a concept of the lexicon: whether it holds, as scored or as measured, and why nobody can tell."""

import re
from collections.abc import Iterable, Mapping, Sequence

from encoders.captions import Concept
from encoders.captions.scored import GROUPS, snake
from encoders.vocabulary import EVENTS
from retrieval.numbers import figure

REASONS = ("sensor", "not_scored", "quality")  # why a row cannot answer; SQL gives the place in this list
NOT_SCORED, QUALITY = REASONS.index("not_scored"), REASONS.index("quality")


def event_name(concept: Concept) -> str | None:
    """The name in an event's columns: `hypopnea_any` of `n_hypopnea_any > 0`."""
    found = re.fullmatch(r"n_(\w+) > 0", concept.scored or "")
    return found[1] if found else None


def event_names(concept: Concept) -> tuple[str, ...]:
    """The events of the vocabulary that a concept counts; none for what is no event."""
    name = event_name(concept)
    return GROUPS.get(name or "", tuple(event for event in EVENTS if snake(event) == name))


def measured(concept: Concept) -> str:
    """SQL for a concept being there by what a sensor measured; null where nothing did, or nothing can."""
    if concept.evidence is None or concept.present_from is None:
        return "NULL::BOOLEAN"
    sql = f"{concept.evidence} {'>=' if concept.sign > 0 else '<='} {figure(concept.present_from)}"
    return f"{sql} AND NOT coalesce({concept.unless}, FALSE)" if concept.unless else sql


def holds(concept: Concept) -> str:
    """SQL for a concept being there: as scored, and where nobody scored it by its evidence."""
    if concept.scored and concept.evidence:
        return f"coalesce({concept.scored}, {measured(concept)})"
    return concept.scored or measured(concept)


def usable_sql(channels: Iterable[Sequence[str]], known: Mapping[str, str]) -> str:
    """SQL for an epoch in which all sensors of one of the sets are usable; `known` are the columns that exist."""
    return " OR ".join(_usable(chosen) for chosen in _columns(channels, known)) or "FALSE"


def reason_sql(channels: Sequence[Sequence[str]], known: Mapping[str, str], scorable: bool) -> str:
    """SQL for why a row cannot answer, as an index of REASONS; `scorable`: a usable sensor alone was not enough."""
    sets = _columns(channels, known)
    there = [" AND ".join(f"{c} IS NOT NULL" for c in chosen) or "TRUE" for chosen in sets]
    cases = [f"WHEN {_usable(s)} THEN 1" for s in sets if scorable] + [f"WHEN {t} THEN 2" for t in there]
    neither = 0 if channels else 1
    return f"(CASE {' '.join(cases)} ELSE {neither} END)" if cases else str(neither)


def _columns(channels: Iterable[Sequence[str]], known: Mapping[str, str]) -> list[list[str]]:
    sets = [[f"ok_{c.lower()}" for c in chosen] for chosen in channels]
    return [chosen for chosen in sets if known.keys() >= set(chosen)]


def _usable(columns: Sequence[str]) -> str:
    return " AND ".join(f"coalesce({c}, FALSE)" for c in columns) or "TRUE"
