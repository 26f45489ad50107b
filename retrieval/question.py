"""From words to a question: a small grammar reads filters and facts, and what it can't read stays words.

What it reads, each into a visible filter (`Filter.sql` over the view `epochs`) that the user can take away:

    SpO2 below 85 · heart rate over 100 · AHI between 15 and 30 · at least 20 arousals per hour   comparisons
    hypopneas longer than 20 s · lasting at least 1 min                                           event durations
    without arousals or desaturations · no apnea · not REM                                        negations
    women over 60 · men · aged 40 to 50 · older than 65                                           people

Stages, events and measures that the lexicon knows (`REM sleep`, `oxygen desaturation`) become facts.
A negation asks scored rows alone: what nobody scored is no match, and is counted as not assessable.
"""

import re
from dataclasses import dataclass

from encoders.captions import Concept, Lexicon, Quantity, load_lexicon

_N, _M = r"(?P<n>\d+(?:[.,]\d+)?)", r"(?P<m>\d+(?:[.,]\d+)?)"
_BELOW = r"below|under|less\s+than|lower\s+than|fewer\s+than|smaller\s+than|at\s+most|no\s+more\s+than|up\s+to|<=|≤|<"
_ABOVE = r"above|over|more\s+than|greater\s+than|higher\s+than|exceeding|at\s+least|no\s+less\s+than|>=|≥|>"
_COMPARE = rf"(?P<compare>{_BELOW}|{_ABOVE})\s*"
_LINK = r"^(?:\s|,|=|is|was|of|falls?|drops?|dropping|falling|fell|rises?|rising|goes|that)*"
_UNIT = (
    r"(?:\s*(?:%|percent|per\s*cent|bpm|beats?(?:\s+per\s+minute|/min)?|breaths?(?:\s+per\s+minute|/min)?|/\s*min|per\s+minute"
    r"|/\s*h|per\s+hour|an\s+hour|uv|µv|hz|minutes?|mins?|years?(?:\s+old|\s+of\s+age)?|hours?|seconds?|secs?|h|s)(?![a-z0-9]))*"
)
_END = r"(?![\d.,]*\d)"
_AFTER = (
    re.compile(rf"{_LINK}(?:between|from)\s*{_N}\s*%?\s*(?:and|to|-|–)\s*{_M}{_END}{_UNIT}"),
    re.compile(rf"{_LINK}{_COMPARE}{_N}{_END}{_UNIT}"),
)
_BEFORE = re.compile(rf"{_COMPARE}{_N}{_UNIT}\s*(?:of\s+|in\s+|the\s+|an?\s+)*$")
_DURATION = re.compile(
    r"(?:that\s+)?(?:last(?:s|ed|ing)?\s+)?(?:for\s+)?(?P<compare>longer\s+than|shorter\s+than|"
    + f"{_BELOW}|{_ABOVE})"
    + rf"\s*{_N}"
    r"\s*(?P<unit>seconds?|secs?|s|minutes?|mins?)(?![a-z0-9])"
)
_SEX = ((re.compile(r"\b(?:women|woman|females?)\b"), "F"), (re.compile(r"\b(?:men|man|males?)\b"), "M"))
_YEARS = r"(?:\s+years?(?:\s+old|\s+of\s+age)?)?(?![\w%])"
_PERSON = r"(?:people|persons?|patients?|subjects?|adults?|women|woman|females?|men|man|males?|aged?)"
_AGES = (
    re.compile(rf"\baged?\s+(?:between\s+|from\s+)?{_N}\s*(?:-|–|to|and)\s*{_M}{_YEARS}"),
    re.compile(rf"(?<=\b)(?P<compare>older\s+than|younger\s+than)\s+{_N}{_YEARS}"),
    re.compile(rf"\b(?P<who>{_PERSON})\s+{_COMPARE}{_N}{_YEARS}"),
)
_NOT = re.compile(
    r"\b(?:without|no|not|non|free\s+of|free\s+from|(?:in\s+)?(?:the\s+)?absence\s+of|excluding|except)\s+(?:any\s+|an?\s+|in\s+|during\s+|scored\s+)*$"
)
_NOR = re.compile(r"^\s*,?\s*(?:or|and|nor|,)\s+(?:any\s+|an?\s+|no\s+)*$")
_FILLER = re.compile(
    r"\b(?:with|and|or|in|at|on|for|during|where|when|that|which|has|have|having|of|the|an?|epochs?|any|who|show|me|find|is|are|all|"
    r"nights?|people|persons?|patients?|subjects?|adults?)\b"
)


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition read from the words: a row must be able to answer it, and say yes."""

    words: str
    sql: str
    columns: tuple[str, ...]  # what is shown beside a hit, and must be known for a row to be assessable
    concept: Concept | None = None  # behind a negation or a duration
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
    """A question as it was understood; `words` is what is embedded, empty when nothing is left."""

    text: str
    filters: tuple[Filter, ...]
    facts: tuple[Fact, ...]
    words: str

    def explain(self) -> list[str]:
        """How each piece was read, one line each."""
        lines = [f"filter: {f}" for f in self.filters]
        lines += [f"fact: {f.words} = {f.concept.say[0]}" for f in self.facts]
        return [*lines, f"embedded: {self.words}" if self.words else "embedded: no words left"]


class _Reader:
    """The text while it is read: what became a filter is blanked, so that no other rule reads it again."""

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.original = text
        self.text = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        self.lexicon = lexicon
        self.matches = lexicon.find(self.text)
        self.filters: list[tuple[int, Filter]] = []

    def take(self, start: int, stop: int) -> str:
        self.text = self.text[:start] + " " * (stop - start) + self.text[stop:]
        self.matches = [m for m in self.matches if m.stop <= start or m.start >= stop]
        return self.original[start:stop].strip(" ,;")

    def add(self, start: int, stop: int, sql: str, columns: tuple[str, ...], concept: Concept | None = None,
            rank_by: tuple[str, int] | None = None, words: str = "") -> None:  # fmt: skip
        taken = self.take(start, stop)
        self.filters.append((start, Filter(words or taken, sql, columns, concept, rank_by)))

    def comparisons(self) -> None:
        for match in [m for m in self.matches if m.quantity is not None and m.quantity.of is None]:
            if match not in self.matches or match.quantity is None:
                continue
            if found := next((f for p in _AFTER if (f := p.search(self.text[match.stop :]))), None):
                self._compared(match.quantity, found, match.start, match.stop + found.end())
            elif found := _BEFORE.search(self.text[: match.start]):
                unit = re.match(_UNIT, self.text[match.stop :])
                self._compared(match.quantity, found, found.start(), match.stop + (unit.end() if unit else 0))

    def _compared(self, quantity: Quantity, found: re.Match[str], start: int, stop: int) -> None:
        groups = found.groupdict()
        if groups.get("m"):
            low, high = sorted((_plain(groups["n"]), _plain(groups["m"])), key=float)
            self.add(start, stop, f"{quantity.mean} BETWEEN {low} AND {high}", (quantity.mean,))
            return
        below = re.fullmatch(_BELOW, groups["compare"]) is not None
        column = quantity.low if below else quantity.high
        sql = f"{column} {_symbol(groups['compare'], below)} {_plain(groups['n'])}"
        self.add(start, stop, sql, (column,), rank_by=(column, -1 if below else 1))

    def durations(self) -> None:
        lengths = {q.of: q for q in self.lexicon.quantities.values() if q.of}
        for found in [*_DURATION.finditer(self.text)]:
            events = [m for m in self.matches if m.concept is not None and m.concept.id in lengths]
            if not events:
                return
            nearest = min(events, key=lambda m: min(abs(found.start() - m.stop), abs(m.start - found.end())))
            concept = nearest.concept
            assert concept is not None
            column = lengths[concept.id].mean
            below = found["compare"].startswith("shorter") or re.fullmatch(_BELOW, found["compare"]) is not None
            seconds = float(_plain(found["n"])) * (60 if found["unit"].startswith("m") else 1)
            sql = f"{column} {_symbol(found['compare'], below)} {seconds:g}" + (f" AND {column} > 0" if below else "")
            words = (
                f"{self.original[nearest.start : nearest.stop]} {self.original[found.start() : found.end()].strip()}"
            )
            self.add(found.start(), found.end(), sql, (column,), concept, (column, -1 if below else 1), words)

    def people(self) -> None:
        for pattern in _AGES:
            while found := pattern.search(self.text):
                groups = found.groupdict()
                start = found.start("compare") if groups.get("who") not in (None, "age", "aged") else found.start()
                if groups.get("m"):
                    sql = f"age BETWEEN {groups['n']} AND {groups['m']}"
                else:
                    below = "younger" in groups["compare"] or re.fullmatch(_BELOW, groups["compare"]) is not None
                    sql = f"age {_symbol(groups['compare'], below)} {groups['n']}"
                self.add(start, found.end(), sql, ("age",))
        for pattern, sex in _SEX:
            while found := pattern.search(self.text):
                self.add(found.start(), found.end(), f"sex = '{sex}'", ("sex",))

    def negations(self) -> None:
        spans: list[tuple[int, int, Concept, str]] = []
        ended: int | None = None  # where the last negated concept stopped: `without arousals or desaturations`
        for match in [m for m in self.matches if m.concept is not None]:
            said = _NOT.search(self.text[: match.start])
            chained = ended is not None and _NOR.match(self.text[ended : match.start])
            if match.concept is not None and (said or chained):
                start, before = (said.start(), "") if said else (match.start, "without ")
                spans.append((start, match.stop, match.concept, before + self.original[start : match.stop]))
                ended = match.stop
            else:
                ended = None
        for start, stop, concept, words in spans:
            self.add(start, stop, f"NOT ({_holds(concept)})", (), concept, words=words)


def _holds(concept: Concept) -> str:
    """SQL for a concept being there: as scored, or for what is only ever measured by its evidence."""
    if concept.scored:
        return concept.scored
    return f"{concept.evidence} {'>=' if concept.sign > 0 else '<='} {concept.present_from}"


def _plain(number: str) -> str:
    return number.replace(",", ".")


def _symbol(compare: str, below: bool) -> str:
    inclusive = re.search(r"least|most|no\s|up\s|=|≤|≥", compare) is not None
    return ("<" if below else ">") + ("=" if inclusive else "")


def _left(text: str) -> str:
    """The words left when the filters were taken out; empty when only filler remains."""
    words = re.sub(r"\s+", " ", text).strip(" ,;.?!")
    words = re.sub(r"^(?:(?:and|or|with|in|of|at|,)\s+)+|(?:\s+(?:and|or|with|in|of|at|,))+$", "", words)
    return words if re.search(r"[^\W\d_]", _FILLER.sub("", words.lower())) else ""


def read_question(text: str, lexicon: Lexicon | None = None) -> Question:
    """The question in `text`: its filters, facts and remaining words (module docstring: the grammar)."""
    reader = _Reader(text, lexicon or load_lexicon())
    reader.people()
    reader.comparisons()
    reader.durations()
    reader.negations()
    facts: dict[str, Fact] = {}
    for match in reader.matches:
        if match.concept is not None:
            facts.setdefault(match.concept.id, Fact(text[match.start : match.stop], match.concept))
    filters = tuple(f for _, f in sorted(reader.filters, key=lambda pair: pair[0]))
    return Question(text, filters, tuple(facts.values()), _left(_mended(reader)))


def _mended(reader: _Reader) -> str:
    """What is left of the text, with misspelt terms as they were understood."""
    left = "".join(o if b != " " else " " for o, b in zip(reader.original, reader.text, strict=True))
    for match in sorted((m for m in reader.matches if m.typo), key=lambda m: -m.start):
        left = left[: match.start] + str(match.typo) + left[match.stop :]
    return left
