"""`fragmented REM`, `severe sleep apnea`, `little deep sleep`: an adjective and its noun become numbers of the night.

The words and what they stand for are the table adjectives.toml; the nouns are the lexicon's, and a few more there. What
was read is taken out of the question, so that the grammar of `retrieval.question` reads the rest. An adjective that
stands before a noun of which it says nothing known is noted, never guessed.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from encoders.captions import Concept, load_lexicon, load_nights
from encoders.captions.lexicon import Match, words_of
from retrieval import phrases
from retrieval.numbers import comparisons

_BETWEEN = re.compile(r"(?:[\s,-]|\b(?:of|the|an?|and|very|oxygen|sleep)\b)*")  # from an adjective to its noun
_PLACE = re.compile(r"\s+(?:in|during|while|on)\s+(?:the\s+)?")


@dataclass(frozen=True, slots=True)
class NightFact:
    """What a night is asked to have much or little of.

    measures: numbers of the night (`nights`, night_numbers.toml), each with 1 where more comes first, else -1. share:
    the concept, where no number is named, of which the share of the sleep counts, `sign` as above; of that part of the
    sleep where `during` holds. within: the class [from, to) that the first number must lie in; outside it if `denied`.
    """

    words: str
    measures: tuple[tuple[str, int], ...] = ()
    share: Concept | None = None
    during: Concept | None = None
    sign: int = 1
    within: tuple[float, float] | None = None
    denied: bool = False

    def __str__(self) -> str:
        said = [f"{'more' if sign > 0 else 'less'} {name} first" for name, sign in self.measures]
        if self.share:
            of = self.during.say[0] if self.during else "sleep"
            said.append(f"{'more' if self.sign > 0 else 'less'} of the night's {of} with {self.share.say[0]} first")
        if self.within:
            low, high = self.within
            bounds = f"from {low:g}" + (f" to under {high:g}" if high < float("inf") else "")
            said.append(f"{self.measures[0][0]} {'not ' if self.denied else ''}{bounds}")
        return f"{self.words} = {', '.join(said)}"


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    stop: int
    aspect: str
    sign: int
    group: str | None  # of `classes`


_Spanned = TypeVar("_Spanned", Match, _Word)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("retrieval") / "adjectives.toml").read_text("utf-8"))


def read_adjectives(text: str) -> tuple[list[NightFact], str, list[str]]:
    """What adjectives say of nights; the text without it; notes on adjectives that could not be read."""
    low = "".join(c.lower() if len(c.lower()) == 1 else "?" for c in text)
    nouns = _nouns(low)
    facts: list[NightFact] = []
    notes: list[str] = []
    gaps: list[tuple[int, int]] = []
    numbers = [c.start for c in comparisons(low)]  # `long apneas over 20 s` is the grammar's
    adjectives = [a for a in _adjectives(low) if not any(n.start <= a.start < n.stop for n in nouns)]
    for at, adjective in enumerate(adjectives):
        others = adjectives[at + 1 :]
        noun = next((n for n in nouns if n.start >= adjective.stop and _joined(low, adjective, n, others)), None)
        if noun is None:
            continue
        person = noun.entry.id == "sleeper"  # stays in the text: `good sleepers over 60`
        if not person and any(n >= noun.stop and phrases.LINK.fullmatch(low, noun.stop, n) for n in numbers):
            continue
        place = next((n for n in nouns if n.start > noun.stop and _PLACE.fullmatch(low, noun.stop, n.start)), None)
        denial = phrases.DENIED.search(low[: adjective.start])
        start = denial.start() if denial else adjective.start
        place = place if place and place.concept and place.concept.kind in ("stage", "position") else None
        stop = place.stop if place and adjective.aspect == "amount" else noun.stop
        words = " ".join(text[start:stop].split())
        fact = _fact(words, adjective, noun, place)
        if fact is None:
            notes.append(f"{words!r} was not read: no number of a night says it")
        elif denial and denial["twice"]:
            notes.append(f"{words!r} was not read: it is not clear what is denied")
        else:
            facts.append(_denied(fact) if denial else fact)
            gaps += [(start, adjective.stop), *([] if person else [(noun.start, stop)])]
    left = "".join(" " if any(a <= i < b for a, b in gaps) else c for i, c in enumerate(text))
    return facts, " ".join(left.split()), notes


def _denied(fact: NightFact) -> NightFact:
    if fact.within:  # who is not severe need not be mild: the class alone is denied
        return replace(fact, denied=True, measures=tuple((name, -sign) for name, sign in fact.measures))
    return replace(fact, measures=tuple((name, -sign) for name, sign in fact.measures), sign=-fact.sign)


def _fact(words: str, adjective: _Word, noun: Match, place: Match | None) -> NightFact | None:
    table, entry = _table(), noun.entry
    lexicon = load_lexicon().concepts
    if place and adjective.aspect == "amount" and entry.id in lexicon:
        return NightFact(words, share=lexicon[entry.id], during=place.concept, sign=adjective.sign)
    named = table["aspect"].get(adjective.aspect, {}).get(entry.id)
    if named:
        signed = tuple((name.lstrip("-"), -adjective.sign if name[0] == "-" else adjective.sign) for name in named)
        bounds = table["classes"].get(adjective.group) if [name for name, _ in signed] == ["ahi_any_per_h"] else None
        return NightFact(words, signed, within=tuple(bounds) if bounds else None)
    if noun.quantity and adjective.aspect in ("value", "length", "amount") and noun.quantity.mean in load_nights():
        return NightFact(words, ((noun.quantity.mean, adjective.sign),))
    if adjective.aspect == "amount" and entry.id in lexicon:
        return NightFact(words, share=lexicon[entry.id], sign=adjective.sign)
    return None


def _joined(text: str, adjective: _Word, noun: Match, others: list[_Word]) -> bool:
    """Whether nothing but small words and further adjectives stand between."""
    between = list(text[adjective.stop : noun.start])
    for other in others:
        if other.stop <= noun.start:
            between[other.start - adjective.stop : other.stop - adjective.stop] = " " * (other.stop - other.start)
    return _BETWEEN.fullmatch("".join(between)) is not None


def _nouns(text: str) -> list[Match]:
    """Phrases of this table and of the lexicon; of two that overlap the longer one."""
    own = [
        Match(start, stop, text[start:stop], Concept(noun["id"], "night", tuple(noun["words"])))
        for noun in _table()["noun"]
        for start, stop in _found(text, noun["words"])
    ]
    return sorted(_longest([*own, *load_lexicon().find(text)]), key=lambda m: m.start)


def _adjectives(text: str) -> list[_Word]:
    words = [
        _Word(start, stop, entry["aspect"], entry["sign"], entry.get("class"))
        for entry in _table()["adjective"]
        for start, stop in _found(text, entry["words"])
    ]
    return sorted(_longest(words), key=lambda w: w.start)


def _longest(spans: Sequence[_Spanned]) -> list[_Spanned]:
    """Those that overlap no longer one; of equals the first."""
    kept: list[_Spanned] = []
    for span in sorted(spans, key=lambda s: s.start - s.stop):
        if not any(k.start < span.stop and span.start < k.stop for k in kept):
            kept.append(span)
    return kept


def _found(text: str, phrases_: list[str]) -> Iterator[tuple[int, int]]:
    words = words_of(text)
    for phrase in phrases_:
        key = [word for word, _, _ in words_of(phrase)]
        for at in range(len(words) - len(key) + 1):
            if [word for word, _, _ in words[at : at + len(key)]] == key:
                yield words[at][1], words[at + len(key) - 1][2]
