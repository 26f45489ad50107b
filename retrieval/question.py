"""From words to a question: a small grammar reads filters and facts, and what it can't read stays words.

What it reads, each into a visible filter (`Filter.sql` over the view `epochs`) that the user can take away:

    SpO2 below 85 · heart rate over 100 · AHI between 15 and 30 · at least 20 arousals per hour   comparisons
    hypopneas longer than 20 s · lasting at least 1 min                                          event durations
    without arousals or desaturations · no apnea · not REM                                        negations
    women over 60 · men · aged 40 to 50 · older than 65                                          people

Stages, events and measures that the lexicon knows (`REM sleep`, `oxygen desaturation`) become facts.
A negation asks scored rows alone: what nobody scored is no match, and is counted as not assessable.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from encoders.captions import Concept, Lexicon, Match, Quantity, load_lexicon

_NUMBER = r"(?P<{0}>\d+(?:[.,]\d+)?)"
_BELOW = r"below|under|less than|lower than|fewer than|smaller than|at most|no more than|up to|<=|≤|<"
_ABOVE = r"above|over|more than|greater than|higher than|exceeding|at least|no less than|>=|≥|>"
_INCLUSIVE = {"at most", "no more than", "up to", "<=", "≤", "at least", "no less than", ">=", "≥"}
_COMPARE = rf"(?P<compare>{_BELOW}|{_ABOVE})"
_LINK = r"(?:\s+(?:is|was|of|falls?|drops?|dropping|falling|rises?|rising|goes|that\s+is))*\s*"
_UNIT = r"\s*(?:%|percent|per\s*cent|bpm|beats?\s+per\s+minute|beats/min|/\s*min|per\s+minute|/\s*h|per\s+hour|an?\s+hour|uv|µv|hz|minutes?|min|years?(?:\s+old)?|hours?|h|s|sec(?:ond)?s?)?(?![a-z0-9])"
_SECONDS = {"s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "min": 60, "mins": 60, "minute": 60, "minutes": 60}
_DURATION = re.compile(
    r"(?:(?:that\s+)?last(?:s|ed|ing)?\s+)?"
    r"(?P<compare>longer\s+than|shorter\s+than|(?<=lasting )(?:more|less)\s+than|(?:for\s+)?(?:at\s+least|at\s+most|more\s+than|less\s+than|over|under|>=|<=|≥|≤|>|<))\s*"
    + _NUMBER.format("n")
    + r"\s*(?P<unit>s|secs?|seconds?|mins?|minutes?)(?![a-z0-9])"
)
_SEX = (
    (re.compile(r"\b(?:women|woman|females?)\b"), "F"),
    (re.compile(r"\b(?:men|man|males?)\b"), "M"),
)
_AGE = re.compile(
    r"(?:\baged?\s+)?\b(?P<compare>older\s+than|younger\s+than|aged?\s+(?:over|under|above|below|at\s+least))\s+" + _NUMBER.format("n")
    + r"(?:\s+years?(?:\s+old)?)?(?![a-z0-9])"
)  # fmt: skip
_PEOPLE_AGE = re.compile(
    r"(?<=\bpeople )|(?<=\bwomen )|(?<=\bmen )|(?<=\bfemales )|(?<=\bmales )|(?<=\bpatients )|(?<=\bsubjects )|(?<=\badults )"
)
_AGE_RANGE = re.compile(
    r"\baged?\s+(?:between\s+|from\s+)?" + _NUMBER.format("low") + r"\s*(?:-|–|to|and)\s*" + _NUMBER.format("high")
)
_NOT = re.compile(r"\b(?:without(?:\s+(?:any|an?))?|no|not|non|free\s+of|free\s+from|absence\s+of|excluding|except)\s+(?:an?\s+|any\s+|in\s+)?$")
_AND_NOT = re.compile(r"^\s*(?:,|or|and|nor|,\s*(?:or|and|nor))\s+(?:an?\s+|any\s+)?$")
_FILLER = re.compile(r"\b(?:with|and|or|in|during|where|that|has|have|having|of|the|an?|epochs?|any|who|people|patients|subjects)\b")


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition read from the words: rows must answer it, and say yes."""

    words: str
    sql: str
    columns: tuple[str, ...]  # what must be known for a row to be assessable
    concept: str | None = None  # the lexicon's concept behind a negation or a duration
    rank_by: tuple[str, int] | None = None  # column and sign that say how clearly the condition holds

    def __str__(self) -> str:
        return f"{self.words}: {self.sql}"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something asked for: a concept of the lexicon in the user's words."""

    words: str
    concept: Concept


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was understood."""

    text: str
    filters: tuple[Filter, ...]
    facts: tuple[Fact, ...]
    words: str  # what is embedded: the text without what became filters; empty when nothing is left

    def explain(self) -> list[str]:
        """Lines that say how each piece was read."""
        lines = [f"filter    {f}" for f in self.filters]
        lines += [f"fact      {f.words} -> {f.concept.id}" for f in self.facts]
        return [*lines, f"words     {self.words!r} (embedded)" if self.words else "words     none left to embed"]


class _Reader:
    """The text while it is read: spans that became filters are blanked so that no other rule reads them again."""

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.original = text
        self.text = text.lower()
        self.lexicon = lexicon
        self.filters: list[Filter] = []
        self.matches: list[Match] = []

    def take(self, start: int, stop: int) -> str:
        words = self.original[start:stop].strip()
        self.text = self.text[:start] + " " * (stop - start) + self.text[stop:]
        return words

    def compare(self, quantity: Quantity, words: str, operator: str, number: str) -> None:
        below = operator in _BELOW.split("|")
        column = quantity.low if below else quantity.high
        sign = "<" if below else ">"
        symbol = sign + ("=" if operator in _INCLUSIVE else "")
        self.filters.append(
            Filter(words, f"{column} {symbol} {_plain(number)}", (column,), rank_by=(column, -1 if below else 1))
        )

    def quantities(self) -> None:
        by_word = {word.lower(): q for q in self.lexicon.quantities for word in q.words}
        names = "|".join(re.escape(w).replace(r"\ ", r"[\s-]+") for w in sorted(by_word, key=len, reverse=True))
        name = rf"(?<![a-z0-9])(?P<name>{names})(?![a-z0-9])"
        two = _NUMBER.format("n") + r"\s*%?\s*(?:and|to|-|–)\s*" + _NUMBER.format("m")
        for pattern in (
            rf"{name}{_LINK}(?:between|from)\s*{two}{_UNIT}",
            rf"{name}{_LINK}{_COMPARE}\s*{_NUMBER.format('n')}{_UNIT}",
            rf"{_COMPARE}\s*{_NUMBER.format('n')}{_UNIT}\s*(?:of\s+)?{name}{_UNIT}",
        ):
            while found := re.search(pattern, self.text):
                quantity = by_word[re.sub(r"[\s-]+", " ", found["name"])] if found["name"] not in by_word else by_word[found["name"]]
                groups = found.groupdict()
                words = self.take(*found.span())
                if "m" in groups:
                    low, high = sorted((_plain(groups["n"]), _plain(groups["m"])), key=float)
                    column = quantity.mean
                    self.filters.append(Filter(words, f"{column} BETWEEN {low} AND {high}", (column,)))
                else:
                    self.compare(quantity, words, groups["compare"], groups["n"])

    def durations(self) -> None:
        while found := _DURATION.search(self.text):
            events = [m for m in self.matches if m.concept.kind == "event" and m.concept.duration]
            if not events:
                return
            nearest = min(events, key=lambda m: min(abs(found.start() - m.stop), abs(m.start - found.stop())))
            column = str(nearest.concept.duration)
            short = any(w in found["compare"] for w in ("shorter", "less", "most", "under", "<", "≤"))
            symbol = "<" if short else ">"
            if any(w in found["compare"] for w in ("least", "most", "=", "≥", "≤")):
                symbol += "="
            seconds = f"{float(found['n'].replace(',', '.')) * _SECONDS[found['unit']]:g}"
            words = f"{nearest.text} {self.take(*found.span())}"
            sql = f"{column} {symbol} {seconds}" + (f" AND {column} > 0" if short else "")
            self.filters.append(Filter(words, sql, (column,), nearest.concept.id, (column, -1 if short else 1)))

    def people(self) -> None:
        while found := _AGE_RANGE.search(self.text):
            low, high = found["low"], found["high"]
            self.filters.append(Filter(self.take(*found.span()), f"age BETWEEN {low} AND {high}", ("age",)))
        while found := _AGE.search(self.text):
            self._age(found)
        bare = re.compile(rf"(?:{_PEOPLE_AGE.pattern}){_COMPARE}\s+{_NUMBER.format('n')}(?:\s+years?(?:\s+old)?)?(?![a-z0-9%])")
        while found := bare.search(self.text):
            self._age(found)
        for pattern, sex in _SEX:
            while found := pattern.search(self.text):
                self.filters.append(Filter(self.take(*found.span()), f"sex = '{sex}'", ("sex",)))

    def _age(self, found: re.Match[str]) -> None:
        below = any(w in found["compare"] for w in ("younger", *_BELOW.split("|")))
        symbol = ("<" if below else ">") + ("=" if "least" in found["compare"] else "")
        n = found["n"]
        self.filters.append(Filter(self.take(*found.span()), f"age {symbol} {n}", ("age",)))

    def negations(self) -> None:
        kept: list[Match] = []
        open_stop: int | None = None  # where the last negated concept ended: `without arousals or desaturations`
        for match in self.matches:
            before = self.text[: match.start]
            chained = open_stop is not None and _AND_NOT.match(self.text[open_stop : match.start])
            said = _NOT.search(before)
            if not (said or chained):
                kept.append(match)
                open_stop = None
                continue
            start = said.start() if said else int(open_stop or 0)
            self.filters.append(_negated(match, self.original[start : match.stop].strip(" ,")))
            open_stop = match.stop
        for match in self.matches:
            if match not in kept:
                said = _NOT.search(self.text[: match.start])
                self.take(said.start() if said else match.start, match.stop)
        self.matches = kept


def _plain(number: str) -> str:
    return number.replace(",", ".")


def _negated(match: Match, words: str) -> Filter:
    concept = match.concept
    if concept.scored:
        return Filter(words, f"NOT ({concept.scored})", concept.columns, concept.id)
    sign = ">=" if concept.sign > 0 else "<="
    return Filter(words, f"NOT ({concept.evidence} {sign} {concept.present_from})", concept.columns, concept.id)


def _left(text: str) -> str:
    """The words that are left when filters were taken out; empty when only filler remains."""
    words = re.sub(r"\s+", " ", text).strip(" ,;.?!")
    return words if re.search(r"[a-z]", _FILLER.sub("", words.lower())) else ""


def read_question(text: str, lexicon: Lexicon | None = None) -> Question:
    """The question in `text`: its filters, facts and remaining words (module docstring: the grammar)."""
    reader = _Reader(text, lexicon or load_lexicon())
    reader.quantities()
    reader.people()
    reader.matches = sorted(reader.lexicon.find(reader.text), key=lambda m: m.start)
    reader.durations()
    reader.negations()
    facts = tuple(Fact(text[m.start : m.stop], m.concept) for m in _unique(reader.matches))
    left = "".join(o if b != " " else " " for o, b in zip(text, reader.text, strict=True))
    return Question(text, tuple(reader.filters), facts, _left(left))


def _unique(matches: Iterable[Match]) -> list[Match]:
    seen: dict[str, Match] = {}
    for match in matches:
        seen.setdefault(match.concept.id, match)
    return list(seen.values())
