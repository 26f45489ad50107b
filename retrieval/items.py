"""One thing said in a question, and what denying it or joining it to others makes of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from encoders.captions import Concept
from retrieval.asked import Filter
from retrieval.concepts import holds

EXCLUSIVE = ("stage", "position")  # an epoch has one of each
Span = tuple[int, int]


@dataclass(slots=True)
class Item:
    """One thing said: conditions, a concept, or both (`hypopneas longer than 20 s`); in `[start, stop)`."""

    start: int
    stop: int
    filters: list[Filter] = field(default_factory=list)
    concept: Concept | None = None
    own: Span | None = None  # what is left out of the embedded words, but for words of facts
    sort: str = ""  # kind of concept, or what is compared: a negation goes on among things of one sort


def holds_of(concept: Concept | None) -> str:
    """The condition that a concept of an item stands for; it must have one."""
    assert concept is not None
    return holds(concept)


def denied(item: Item, words: str) -> Filter:
    """The filter that says the item is not there."""
    if item.filters:
        return merged(words, f"NOT ({' AND '.join(f.sql for f in item.filters)})", item.filters)
    concept = item.concept
    assert concept is not None
    named = re.findall(r"\b(?:stage|position|n_\w+)\b", re.sub(r"'[^']*'", "", concept.scored or ""))
    columns = tuple(dict.fromkeys(named)) or (str(concept.evidence),)
    rank_by = None if concept.scored else (str(concept.evidence), -concept.sign)
    channels = () if concept.coverage else concept.channels
    return Filter(words, f"NOT ({concept.scored or holds(concept)})", columns, rank_by, channels)


def merged(words: str, sql: str, filters: Sequence[Filter]) -> Filter:
    """Filters as one, with all their columns and what they say."""
    columns = tuple(dict.fromkeys(c for f in filters for c in f.columns))
    return Filter(
        words, sql, columns, None, filters[0].channels, "; ".join(dict.fromkeys(f.says for f in filters if f.says))
    )


def one_of(groups: list[list[Item]], kind: str) -> list[list[Item]]:
    """All groups of one exclusive kind as one; what covers another (`sleep` in `N2 sleep`) says nothing more."""
    alike = [g for g in groups if all(i.sort == kind for i in g)]
    ids = {i.concept.id for g in alike for i in g if i.concept}
    told = [g for g in alike if len(g) > 1 or not (g[0].concept and ids & set(g[0].concept.covers))]
    one = [item for g in told for item in g]
    first = told[0] if told else None
    return [one if g is first else g for g in groups if g not in alike or g is first]
