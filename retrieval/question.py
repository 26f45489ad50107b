"""From words to a question: a small grammar reads filters and facts, and what it can't read stays words.

What it reads, each into a visible filter (`Filter.sql` over the view `epochs`) that the user can take away:

    SpO2 below 85 % · heart rate over 100 · HR 40-50 · AHI of at least 15 · 30 or more events per hour   numbers
    hypopneas longer than 20 s · apneas lasting over a minute · more than two arousals                    events
    without arousals or desaturations · no apnea · not REM · non-supine · apnea-free · never below 90     negations
    women over 60 · men aged 40 to 50 · 70-year-old · older than 65                                       people

Stages, events and measures that the lexicon knows (`REM sleep`, `oxygen desaturation`) become facts. Facts hold
together in one epoch, but for those joined by `or`, and for two stages or two positions, of which an epoch has one:
these are alternatives. A negation asks scored rows alone: what nobody scored is no match, and is counted as not
assessable. A number, a negation or an order in time that was said and not read is noted, never guessed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from encoders.captions import Concept, Lexicon, Match, Quantity, load_lexicon, load_measures
from retrieval.numbers import SECONDS, Comparison, comparisons, figure

_EXCLUSIVE = ("stage", "position")  # an epoch has one of each
_FAMILY = {"beats/min": "/min", "breaths/min": "/min", "1/min": "/min", "1/h": "/h"}  # unit of a quantity -> of UNITS

_PEOPLE = r"people|persons?|patients?|subjects?|adults?|individuals?|participants?|sleepers?"
_WOMEN, _MEN = r"wom[ae]n|females?|ladies", r"m[ae]n|males?|gentlemen"
_SEXED = rf"(?:{_WOMEN}|{_MEN})"
_PERSON = re.compile(
    rf"\b(?:(?P<both>(?:{_WOMEN})\s*(?:and|or|/|&)\s*(?:{_MEN})|(?:{_MEN})\s*(?:and|or|/|&)\s*(?:{_WOMEN}))"
    rf"|(?P<women>{_WOMEN})|(?P<men>{_MEN})|(?P<any>{_PEOPLE}))\b(?:\s+(?:{_PEOPLE})\b)?"
)
_OLD = re.compile(
    r"(?<![\w.,])(\d{1,3})[-\s]*(?:years?|yrs?)[-\s]*olds?\b|\baged?\s+(?:of\s+)?(\d{1,3})(?![\w.,%-]|\s*(?:to|-)\s*\d)"
)
_OTHER_UNIT = re.compile(r"\s*(?:kg|lbs?|pounds|cm|mm\s?hg|bmi|mg|days?|weeks?|months?|nights?|epochs?)\b")

# Between an owner and its number: `SpO2 falls to below 85`, `apneas that last over a minute`.
_LINK_WORDS = (
    r"is|was|are|were|be|been|of|a|an|the|at|with|that|which|has|have|had|having|do(?:es)?|did|falls?|falling|fell|fallen|"
    r"drops?|dropp(?:ed|ing)|dips?|dipp(?:ed|ing)|goes|going|went|gets?|getting|rises?|rising|rose|stays?|staying|remains?|"
    r"last(?:s|ed|ing)?|for|durations?|lengths?|long|values?|levels?|readings?|to|down|up|even|ever|always|aged?"
)
_DENIED = r"not|never|\w+n['’]?t"
_LINK = re.compile(rf"(?:[\s=:,(]|\b(?:{_LINK_WORDS}|(?P<denied>{_DENIED}))\b)*")
_STAGE_LINK = re.compile(rf"(?:[\s=:,(]|\b(?:{_LINK_WORDS}|in|during|on|while|(?P<denied>{_DENIED}))\b)*")
_BACK_LINK = re.compile(r"\s*(?:(?:of|in|the|an?|different|separate|distinct|scored)\s+)*")
_RATE = re.compile(
    r"\s*(?:/|per\b|an?\s+(?:hour|minute|night)\b|every\b|each\b|in\s+(?:the|an?|one)\s+(?:hour|night)\b)"
)

_NO = (
    r"(?:without|no|not|non|never|neither|nor|free\s+(?:of|from)|(?:in\s+)?(?:the\s+)?absence\s+of|lack(?:s|ing)?(?:\s+of)?|"
    r"exclud(?:e|es|ing)|except(?:\s+for)?|other\s+than|devoid\s+of|\w+n['’]t)(?!\s+(?:only|just|necessarily|doubt|matter|sure)\b)"
)
_ANY = (
    r"any|an?|the|in|during|of|on|some|sign|evidence|scored|clear(?:ly)?|obvious|visible|apparent|further|other|associated|"
    r"accompanying|has|have|having|shows?|showing|contain(?:s|ing)?|include|including|single|lying|sleeping|stage"
)
_NEGATED = re.compile(rf"\b(?P<twice>{_NO}\s+)?{_NO}[-\s]+(?:with\s+)?(?:(?:no|{_ANY})\s+)*(?:stage\s+)?$")
_FREE = re.compile(r"(?:[-\s]free|\s+(?:(?:is|are|was|were)\s+)?absent)\b(?!\s+(?:of|from))")
_FAR_NEGATED = re.compile(rf"\b{_NO}\s+(?:(?!(?:in|during|with|and|or|but|while|when|at|for)\b)[\w'-]+\s+){{1,3}}$")
_CHAIN = re.compile(rf"[\s,]*(?P<how>or|nor|and|/|,|&)\s*(?:and\s+|or\s+)?(?:(?:no|not|without|{_ANY})\s+)*")
_OR = re.compile(r"\s*,?\s*(?:or|and/or|/)\s*(?:(?:in|an?|the|during|on|with|either|at)\s+)*")
_COMMA = re.compile(r"\s*,\s*(?:(?:in|an?|the|during|on|with)\s+)*")
_ORDER = re.compile(
    r"\b(?:then|after|before|follow(?:s|ed|ing)|preced(?:es|ed|ing)|within|until|first|last|in\s+a\s+row)\b"
)
_ATTRIBUTIVE = re.compile(
    r"[-\s]+(?!(?:with|without|in|during|at|on|and|or|after|before|when|where|while|that|which|from|of|for|by|to|under|over|"
    r"above|below|but|not|no|of|epochs?|stages?|only|then|is|has)\b)[a-z]"
)

_JOINS = r"with|and|or|but|in|of|at|for|on|by|when|where|while|who|whose|which|that|has|have|having|had|is|are|was|were|during|from"
_FILLER = re.compile(rf"\b(?:{_JOINS}|the|an?|epochs?|any|all|show|me|find|give|list|nights?|time|{_PEOPLE})\b")
_GAP = "\0"  # stands for what was read


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition read from the words: a row must be able to answer it, and say yes.

    columns: shown beside a hit. rank_by: column and sign that say how clearly an epoch fulfils it. channels: sensor
    sets that could answer, any one of them; empty where a scorer or a subjects' table must. says: what is compared.
    """

    words: str
    sql: str
    columns: tuple[str, ...]
    rank_by: tuple[str, int] | None = None
    channels: tuple[tuple[str, ...], ...] = ()
    says: str = ""

    def __str__(self) -> str:
        return f"{self.words}: {self.sql}" + (f" ({self.says})" if self.says else "")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something asked for in the user's words: one concept of the lexicon, or several of which any will do."""

    words: str
    concepts: tuple[Concept, ...]

    @property
    def concept(self) -> Concept:
        """The concept, or the first of the alternatives."""
        return self.concepts[0]

    def __str__(self) -> str:
        said = " or ".join(c.say[0] for c in self.concepts)
        return f"{self.words} = {said}" + (" (either will do)" if len(self.concepts) > 1 else "")


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was understood.

    words: what is embedded, empty when nothing is left. rest: those of them that are part of no fact. notes: what was
    said and could not be read, one sentence each.
    """

    text: str
    filters: tuple[Filter, ...]
    facts: tuple[Fact, ...]
    words: str
    rest: str = ""
    notes: tuple[str, ...] = ()

    def explain(self) -> list[str]:
        """How each piece was read, one line each."""
        lines = [f"filter: {f}" for f in self.filters] + [f"fact: {f}" for f in self.facts]
        return [*lines, f"embedded: {self.words}" if self.words else "embedded: no words left"]


@dataclass(slots=True)
class _Item:
    """One thing said: conditions, a concept, or both (`hypopneas longer than 20 s`); `[start, stop)` holds all of it."""

    start: int
    stop: int
    filters: list[Filter] = field(default_factory=list)
    concept: Concept | None = None
    own: tuple[tuple[int, int], ...] = ()  # what is left out of the embedded words
    sort: str = ""  # kind of concept, or what is compared: a negation goes on among things of one sort
    comparison: Comparison | None = None


class _Reader:
    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.original = text
        self.text = "".join(c.lower() if len(c.lower()) == 1 else c for c in text).replace(_GAP, " ")
        self.lexicon = lexicon
        self.matches = lexicon.find(self.text)
        self.items: list[_Item] = []
        self.notes: list[str] = []
        self.gaps: list[tuple[int, int]] = []  # what became filters
        self.held: list[Match] = []  # matches that belong to an item
        self.filters: list[Filter] = []
        self.facts: list[Fact] = []

    def said(self, start: int, stop: int) -> str:
        return self.original[start:stop].strip(" ,;(")

    def between(self, start: int, stop: int, blank: Sequence[Match] = ()) -> str:
        text = self.text[start:stop]
        for m in blank:
            if start <= m.start and m.stop <= stop:
                text = text[: m.start - start] + " " * (m.stop - m.start) + text[m.stop - start :]
        return text

    # ---- numbers and their owners

    def numbers(self) -> None:
        """Give each comparison to what stands before it, else to what follows, else to the people it is said of."""
        waiting = []
        for c in comparisons(self.text):
            inside = [m for m in self.matches if m.start < c.stop and c.start < m.stop]
            if any(m.start <= c.start or m.concept for m in inside):
                continue  # `stage 3`, `ODI 3 %`: the number is part of a name
            if not self._owned_before(c):
                waiting.append(c)
        for c in waiting:
            if not (self._owned_after(c) or self._age(c)) and (c.symbol != "between" or c.said != "to"):
                self.notes.append(f"{self.said(c.start, c.stop)!r} was not read: it is not clear what is compared")

    def _owned_before(self, c: Comparison) -> bool:
        placed = [m for m in self.matches if m.concept and m.concept.kind in _EXCLUSIVE and m.stop <= c.start]
        before = [m for m in self.matches if m.stop <= c.start and m not in self.held]
        for m in (*before[-1:], *[b for b in before[-3:-1][::-1] if b not in placed]):
            plain = m.quantity is not None and m.quantity.level != "epoch"
            link = (_LINK if plain else _STAGE_LINK).fullmatch(self.between(m.stop, c.start, () if plain else placed))
            if not link:
                continue
            compared = c.inverse() if link["denied"] else c
            if m.concept and (item := self._event(m, compared)):
                item.start, item.stop = m.start, c.stop
                item.own = ((c.start if any(m.stop <= p.start for p in placed) else m.stop, c.stop),)
                return self._hold(item, m)
            for quantity in [m.quantity] if m.quantity else self._meant(m, c):
                if (factor := _factor(quantity, c)) is not None:
                    if plain and self._qualified(m, c):
                        return True
                    return self._compared(quantity, compared, factor, m, m.start, c.stop)
        return False

    def _meant(self, m: Match, c: Comparison) -> list[Quantity]:
        """Quantities that a concept's words can stand for beside a number: `desaturation > 4 %`, `SpO2 drops below 85 %`."""
        quantities = self.lexicon.quantities.values()
        inner = Lexicon({}, self.lexicon.quantities).find(m.text)
        depth = [
            q for q in quantities if m.concept and q.of == m.concept.id and q.asked and q.asked[0] <= c.low < q.asked[1]
        ]
        return depth or [i.quantity for i in inner if i.quantity]

    def _owned_after(self, c: Comparison) -> bool:
        for m in self.matches:
            gap = self.text[c.stop : m.start] if m.start >= c.stop else ""
            if m in self.held or m.stop <= c.start or not _BACK_LINK.fullmatch(gap):
                continue
            if m.quantity and (factor := _factor(m.quantity, c)) is not None:
                return self._compared(m.quantity, c, factor, m, c.start, max(m.stop, c.stop))
            if m.start >= c.stop and m.concept and (name := _event_name(m.concept)):
                if c.unit is None and not _RATE.match(self.text, m.stop):
                    column, says = f"n_{name}", f"{m.concept.say[0]}s that overlap the epoch"
                elif c.unit in SECONDS and re.match(r"\s*of\b", gap):
                    column, says = f"{name}_s", f"seconds of {m.concept.say[0]} in the epoch"
                else:
                    return False
                some = c.symbol in (">", ">=", "no <") or (c.high is not None and c.low > 0)
                condition = self._condition(c, column, SECONDS.get(c.unit or "", 1.0), c.start, m.stop, says)
                own = (c.start, m.start if some else m.stop)
                item = _Item(c.start, m.stop, [condition], m.concept if some else None, (own,), column, c)
                return self._hold(item, m)
        return False

    def _event(self, m: Match, c: Comparison) -> _Item | None:
        """`hypopneas longer than 20 s`: the whole length of the longest one that overlaps the epoch."""
        if m.concept is None or c.unit not in SECONDS or (name := _event_name(m.concept)) is None:
            return None
        column = f"{name}_longest_s"
        says = f"length of the longest {m.concept.say[0]} that overlaps the epoch"
        condition = self._condition(c, column, SECONDS[c.unit], m.start, c.stop, says)
        if c.below:
            condition = replace(condition, sql=f"{condition.sql} AND {column} > 0")
        return _Item(m.start, c.stop, [condition], m.concept, (), column, c)

    def _compared(self, q: Quantity, c: Comparison, factor: float, m: Match, start: int, stop: int) -> bool:
        column = q.mean if c.high is not None else q.low if c.below else q.high
        if c.symbol in ("no <", "no >"):  # what is denied is the extreme: `never below 90` is of the lowest value
            column = q.low if c.symbol == "no <" else q.high
        condition = self._condition(c, column, factor, start, stop, q.says, ranks=q.level == "epoch")
        measure = load_measures().get(column)
        condition = replace(condition, channels=measure.channels if measure else q.channels)
        own = (
            ((m.start, m.stop), (c.start, c.stop))
            if _STAGED.search(self.said(start, stop).lower())
            else ((start, stop),)
        )
        return self._hold(_Item(start, stop, [condition], None, own, q.id, c), m)

    def _condition(
        self, c: Comparison, column: str, factor: float, start: int, stop: int, says: str, *, ranks: bool = True
    ) -> Filter:
        rank_by = (column, -1 if c.below or c.symbol == "no >" else 1) if ranks and c.high is None else None
        return Filter(self.said(start, stop), c.sql(column, factor), (column,), rank_by, (), says)

    def _qualified(self, m: Match, c: Comparison) -> bool:
        """`REM AHI above 30` compares what the catalog does not have; it must not become the AHI of the night."""
        near = [o for o in self.matches if o.stop <= m.start and not self.text[o.stop : m.start].strip(" -")]
        if not (near and near[-1].concept and near[-1].concept.kind in _EXCLUSIVE):
            return False
        self.held += [m, near[-1]]
        self.notes.append(f"{self.said(near[-1].start, c.stop)!r} was not read: nights have no such number")
        return True

    def _hold(self, item: _Item, *matches: Match) -> bool:
        self.items.append(item)
        self.held += [m for m in self.matches if m in matches or (item.start <= m.start and m.stop <= item.stop
                      and not (m.concept and m.concept.kind in _EXCLUSIVE))]  # fmt: skip
        return True

    # ---- people

    def _age(self, c: Comparison) -> bool:
        """A number of years: said so, or of people, or `older than`."""
        person = next((p for p in _PERSON.finditer(self.text) if self._beside(p.end(), c.start)), None)
        years = c.unit == "years" or re.search(r"\b(?:older|younger)\b", self.text[c.start : c.stop]) is not None
        if c.unit not in (None, "years") or not (years or person) or _OTHER_UNIT.match(self.text, c.stop):
            return False
        start = person.start() if person and (person["any"] or person["both"]) else c.start
        condition = Filter(self.said(start, c.stop), c.sql("age"), ("age",), says="age of the subject in years")
        return self._hold(_Item(start, c.stop, [condition], None, ((start, c.stop),), "person", c))

    def _beside(self, start: int, stop: int) -> bool:
        link = r"(?:[\s,(]|\b(?:aged?|who|are|is|of|the)\b)*"
        return start <= stop and re.fullmatch(link, self.text[start:stop]) is not None

    def people(self) -> None:
        for old in _OLD.finditer(self.text):
            if any(item.start < old.end() and old.start() < item.stop for item in self.items):
                continue
            years = int(old[1] or old[2])
            sql = f"age >= {figure(years)} AND age < {figure(years + 1)}"
            condition = Filter(self.said(*old.span()), sql, ("age",), says="age of the subject in years")
            self._hold(_Item(*old.span(), [condition], None, (old.span(),), "person"))
        for person in _PERSON.finditer(self.text):
            if person["women"] or person["men"]:
                sex = "F" if person["women"] else "M"
                condition = Filter(self.said(*person.span()), f"sex = '{sex}'", ("sex",), says="sex of the subject")
                self._join_person(_Item(*person.span(), [condition], None, (person.span(),), "person"))

    def _join_person(self, item: _Item) -> None:
        """`women over 60` is one thing said, so that `or` takes it whole."""
        for other in self.items:
            if other.sort == "person" and (
                self._beside(item.stop, other.start) or self._beside(other.stop, item.start)
            ):
                other.filters.append(item.filters[0])
                other.start, other.stop = min(item.start, other.start), max(item.stop, other.stop)
                other.own = ((other.start, other.stop),)
                return
        self.items.append(item)

    # ---- concepts, negations, alternatives

    def concepts(self) -> None:
        for m in self.matches:
            concept = m.concept or (self.lexicon.concepts.get(m.quantity.fact or "") if m.quantity else None)
            if concept is None or m in self.held:
                continue
            if concept.id == "sleep" and self._attributive(m):
                continue  # `sleep study`, `sleep quality`
            self.items.append(_Item(m.start, m.stop, [], concept, (), concept.kind))
        self.items.sort(key=lambda item: (item.start, item.stop))

    def _attributive(self, m: Match) -> bool:
        after = next((o for o in self.matches if o.start >= m.stop), None)
        adjacent = after is not None and after.concept and not self.text[m.stop : after.start].strip(" -")
        return not adjacent and _ATTRIBUTIVE.match(self.text, m.stop) is not None

    def negations(self) -> None:
        """Turn what is denied into filters; a denial goes on over `or` and, among things of one sort, `and` and commas."""
        kept: list[_Item] = []
        last: _Item | None = None  # the one denied just before
        for item in self.items:
            before = self.text[kept[-1].stop if kept and last is None else 0 : item.start]
            cue, free = _NEGATED.search(before), _FREE.match(self.text, item.stop)
            chain = _CHAIN.fullmatch(self.text[last.stop : item.start]) if last else None
            goes_on = chain and last and (chain["how"] in ("or", "nor", "/") or item.sort == last.sort)
            if (cue and cue["twice"]) or (not cue and not free and not goes_on and _FAR_NEGATED.search(before)):
                start = item.start - len(before) + (cue or _FAR_NEGATED.search(before)).start()  # type: ignore[union-attr]
                self.notes.append(f"{self.said(start, item.stop)!r} was not read: it is not clear what is denied")
                last = None
            elif cue or free or goes_on:
                start = item.start - len(before) + cue.start() if cue else item.start
                stop = free.end() if free else item.stop
                words = ("" if cue or free else "without ") + self.said(start, stop)
                self.filters.append(self._denied(item, words))
                self.gaps.append((start, stop))
                last = replace(item, stop=stop)
            else:
                kept.append(item)
                last = None
        self.items = kept

    def _denied(self, item: _Item, words: str) -> Filter:
        if item.filters:
            if len(item.filters) == 1 and item.comparison and " AND " not in item.filters[0].sql:
                first = item.filters[0]
                return replace(first, words=words, sql=f"NOT ({first.sql})", rank_by=None)
            sql = " AND ".join(f.sql for f in item.filters)
            return replace(_merged(words, f"NOT ({sql})", item.filters), says="")
        assert item.concept is not None
        sql = item.concept.scored or _holds(item.concept)
        rank_by = None if item.concept.scored else (str(item.concept.evidence), -item.concept.sign)
        return Filter(words, f"NOT ({sql})", _columns(item.concept), rank_by, _sensors(item.concept))

    def alternatives(self) -> None:
        """Group what `or` joins, stages with stages and positions with positions; all else must hold together."""
        groups: list[list[_Item]] = []
        joined_next = False
        for i in range(len(self.items) - 1, -1, -1):
            item, joined = self.items[i], False
            if i + 1 < len(self.items):
                gap, after = self.text[item.stop : self.items[i + 1].start], self.items[i + 1]
                joined = bool(_OR.fullmatch(gap)) or (
                    joined_next and after.sort == item.sort and bool(_COMMA.fullmatch(gap))
                )
            if joined:
                groups[0].insert(0, item)
            else:
                groups.insert(0, [item])
            joined_next = joined
        for kind in _EXCLUSIVE:
            groups = _one_of(groups, kind)
        for group in groups:
            self._emit(group)

    def _emit(self, group: list[_Item]) -> None:
        start, stop = group[0].start, group[-1].stop
        words = " or ".join(dict.fromkeys(self.said(item.start, item.stop) for item in group))
        if len(group) > 1 and any(item.filters for item in group):
            either = [
                " AND ".join([f.sql for f in i.filters] or [_holds(i.concept)]) for i in group if i.filters or i.concept
            ]
            conditions = [f for item in group for f in item.filters]
            self.filters.append(_merged(words, "(" + ") OR (".join(either) + ")", conditions))
            self.gaps.append((start, stop))
            return
        for item in group:
            self.filters += item.filters
            self.gaps += item.own
        if concepts := tuple({i.concept.id: i.concept for i in group if i.concept}.values()):
            self.facts.append(Fact(words if len(group) > 1 else self._name(group[0]), concepts))

    def _name(self, item: _Item) -> str:
        found = [m for m in self.matches if m.concept is item.concept and item.start <= m.start and m.stop <= item.stop]
        return self.said(found[0].start, found[0].stop) if found else self.said(item.start, item.stop)

    # ---- what is left

    def leftover(self, *, facts: bool) -> str:
        """The words without what became filters (and without facts), misspelt terms as they were understood."""
        left = list(self.original)
        for m in self.matches:
            if m.typo:
                left[m.start : m.stop] = [str(m.typo), *[""] * (m.stop - m.start - 1)]
        for start, stop in (*self.gaps, *(() if facts else [(m.start, m.stop) for m in self.matches])):
            left[start:stop] = [_GAP] * (stop - start)
        text = re.sub(rf"(?:(?:\b(?:{_JOINS})\b|[,;(])\s*)*{_GAP}+[),;]?", f" {_GAP} ", "".join(left), flags=re.I)
        text = re.sub(r"\s+", " ", text.replace(_GAP, " ")).strip(" ,;.?!()")
        text = re.sub(rf"^(?:(?:{_JOINS})\b[\s,]*)+|(?:[\s,]*\b(?:{_JOINS}))+$", "", text, flags=re.I)
        return text if re.search(r"[^\W\d_]", _FILLER.sub("", text.lower())) else ""

    def unread(self) -> Iterator[str]:
        """Numbers and orders in time that nothing took up."""
        yield from self.notes
        read = [*self.gaps, *((m.start, m.stop) for m in self.matches), *((i.start, i.stop) for i in self.items)]
        free = "".join(" " if any(a <= n < b for a, b in read) else c for n, c in enumerate(self.text))
        for number in re.finditer(r"(?<![\w.,])\d+(?:[.,:]\d+)*(?:\s*%|(?!\w))", free):
            if not any(number[0].strip(" %") in note for note in self.notes):
                hint = "say below, above, at least or between"
                yield f"the number {number[0]!r} was not read; {hint}"
        if order := _ORDER.search(free):
            yield f"{order[0]!r} was not read: all of a question is asked of one and the same epoch"


def _event_name(concept: Concept) -> str | None:
    """The name in an event's columns: `hypopnea_any` of `n_hypopnea_any > 0`."""
    found = re.fullmatch(r"n_(\w+) > 0", concept.scored or "")
    return found[1] if found else None


def _factor(quantity: Quantity, c: Comparison) -> float | None:
    """What turns the unit said into the quantity's own; None where it measures something else."""
    if c.unit is None:
        return 1.0
    if c.unit in SECONDS and quantity.unit in SECONDS:
        return SECONDS[c.unit] / SECONDS[quantity.unit]
    return 1.0 if c.unit == _FAMILY.get(quantity.unit, quantity.unit) else None


def _holds(concept: Concept | None) -> str:
    """SQL for a concept being there: as scored, and where nobody scored it by its evidence."""
    if concept is None:
        return "TRUE"
    measured = f"{concept.evidence} {'>=' if concept.sign > 0 else '<='} {concept.present_from}"
    if concept.scored and concept.evidence:
        return f"coalesce({concept.scored}, {measured})"
    return concept.scored or measured


def _columns(concept: Concept) -> tuple[str, ...]:
    """The columns that say whether it is there."""
    named = re.findall(r"\b(?:stage|position|n_\w+)\b", re.sub(r"'[^']*'", "", concept.scored or ""))
    return tuple(dict.fromkeys(named)) or ((concept.evidence,) if concept.evidence else ())


def _sensors(concept: Concept) -> tuple[tuple[str, ...], ...]:
    """Sensor sets that answer where no scorer is needed."""
    return () if concept.coverage else concept.channels


def _merged(words: str, sql: str, filters: Sequence[Filter]) -> Filter:
    columns = tuple(dict.fromkeys(c for f in filters for c in f.columns))
    return Filter(words, sql, columns, None, filters[0].channels, "; ".join(f.says for f in filters if f.says))


def _one_of(groups: list[list[_Item]], kind: str) -> list[list[_Item]]:
    """All groups of one exclusive kind as one; what covers another (`sleep` in `N2 sleep`) says nothing more."""
    alike = [g for g in groups if all(i.sort == kind for i in g)]
    ids = {i.concept.id for g in alike for i in g if i.concept}
    wider = [g for g in alike if len(g) == 1 and g[0].concept and ids & set(g[0].concept.covers)]
    told = [g for g in alike if g not in wider]
    if not told:
        return groups
    one = [i for g in told for i in g]
    return [one if g is told[0] else g for g in groups if g is told[0] or (g not in told and g not in wider)]


def read_question(text: str, lexicon: Lexicon | None = None) -> Question:
    """The question in `text`: its filters, facts and remaining words (module docstring: the grammar)."""
    reader = _Reader(text, lexicon or load_lexicon())
    reader.numbers()
    reader.people()
    reader.concepts()
    reader.negations()
    reader.alternatives()
    return Question(text, tuple(reader.filters), tuple(reader.facts), reader.leftover(facts=True),
                    reader.leftover(facts=False), tuple(reader.unread()))  # fmt: skip
