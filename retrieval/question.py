"""From words to a question: a small grammar reads filters and facts, and what it can't read stays words.

What it reads, each into a visible filter (`Filter.sql` over the view `epochs`) that the user can take away:

    SpO2 below 85 % · heart rate over 100 · HR 40-50 · AHI of at least 15 · 30 or more events per hour   numbers
    hypopneas longer than 20 s · apneas lasting over a minute · more than two arousals                    events
    without arousals or desaturations · no apnea · not REM · non-supine · apnea-free · never below 90     negations
    women over 60 · men in their forties · 72F · octogenarians · BMI above 30                              people

Times within a night (`first third of the night`, `after 2 am`, `for at least 5 minutes`) are read by `retrieval.times`,
events and stages in their order (`arousal within 30 s after a hypopnea`, `REM then wake`) by `retrieval.orders`, and
what nothing here can answer (`CO2`) by `retrieval.unanswerable`, each into a filter as well.

Stages, events and measures that the lexicon knows (`REM sleep`, `oxygen desaturation`) become facts. Facts hold
together in one epoch, but for those joined by `or`, and for two stages or two positions, of which an epoch has one:
these are alternatives. A negation asks scored rows alone: what nobody scored is no match, and is counted as not
assessable. A number, a negation or an order in time that was said and not read is noted, never guessed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from encoders.captions import Lexicon, Match, Quantity, load_measures
from retrieval import phrases
from retrieval.asked import Fact, Filter, Question
from retrieval.concepts import event_name, measured
from retrieval.items import EXCLUSIVE, Item, denied, holds_of, merged, one_of
from retrieval.numbers import SECONDS, Comparison, both, comparisons, factor_of
from retrieval.orders import orders
from retrieval.owners import owners
from retrieval.people import age_asked, beside, people
from retrieval.remains import GAP, left_over, unread
from retrieval.times import Reading, bare_runs, periods, read_windows, run_of, said
from retrieval.unanswerable import unanswerable
from retrieval.vocabulary import is_name, question_lexicon, worse_of

_LONGEST = 2000  # characters; a sentence encoder takes less

__all__ = ["Fact", "Filter", "Question", "event_name", "measured", "read_question"]
Span = tuple[int, int]


def read_question(text: str, lexicon: Lexicon | None = None) -> Question:
    """The question in `text`: its filters, facts and remaining words (module docstring: the grammar)."""
    reader = _Reader(text[:_LONGEST], lexicon or question_lexicon())
    if len(text) > _LONGEST:
        reader.notes.append(f"only the first {_LONGEST} of {len(text)} characters were read")
    reader.times()
    reader.unanswered()
    reader.numbers()
    reader.people()
    reader.concepts()
    reader.negations()
    reader.alternatives()
    filters = tuple(f for _, f in sorted(reader.filters, key=lambda pair: pair[0]))
    gaps, matches = reader.gaps, reader.matches
    rest = left_over(text[:_LONGEST], matches, [*gaps, *(m.span for m in matches)])
    words = left_over(text[:_LONGEST], matches, gaps, but=reader.kept)
    read = [*gaps, *((item.start, item.stop) for item in reader.items)]
    loose = [m for m in matches if m.quantity and m not in reader.held]
    notes = (*reader.notes, *unread(reader.text, text, matches, read, loose, reader.notes))
    return Question(text, filters, tuple(reader.facts), words, rest, notes, reader.include_bad)


class _Reader:
    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.original = text
        self.text = "".join(c.lower() if len(c.lower()) == 1 else "?" for c in text).replace(GAP, " ")
        self.lexicon = lexicon
        self.matches = [m for m in lexicon.find(self.text) if not is_name(self.text, m)]
        self.held: list[Match] = []  # matches that belong to an item
        self.items: list[Item] = []
        self.filters: list[tuple[int, Filter]] = []  # with where each was said
        self.facts: list[Fact] = []
        self.gaps: list[Span] = []  # what became filters
        self.kept: list[Span] = []  # what became facts, and stays among the words
        self.notes: list[str] = []
        self.include_bad = False

    def said(self, start: int, stop: int) -> str:
        return said(self.original, start, stop)

    # ---- time, and what nothing can answer

    def times(self) -> None:
        """Windows and the clock, then events and stages in their order, then periods; each leaves the text."""
        if bad := phrases.INCLUDE_BAD.search(self.text):
            self.include_bad = True
            self._leave([bad.span()])
            self.held += [m for m in self.matches if bad.start() <= m.start and m.stop <= bad.end()]
        found, notes = read_windows(self.text, self.original, self.matches)
        self.notes += notes
        for reading in found:
            self._take(reading)
        free = [m for m in self.matches if m not in self.held]
        for reading in [
            *orders(self.text, self.original, free, self.lexicon),
            *periods(self.text, self.original, free),
        ]:
            self._take(reading)

    def unanswered(self) -> None:
        """Subjects that no sensor or scorer of a cohort can answer: a filter that no row can fulfil, and the reason."""
        for m, reason in unanswerable(self.text, self.matches):
            sensor = ((m.text,),)
            condition = Filter(
                self.said(*m.span), "NULL::BOOLEAN", (), channels=sensor, says=f"can't be answered: {reason}"
            )
            self._take(Reading(m.start, m.stop, condition, (m.span,)))
            self.notes.append(f"{self.said(*m.span)!r} can't be answered here: {reason}")

    def _take(self, reading: Reading) -> None:
        self.filters.append((reading.start, reading.condition))
        self.held += reading.held
        self._leave(reading.gaps)

    def _leave(self, gaps: Sequence[Span]) -> None:
        """What was read leaves the text, so that nothing else is read of it."""
        self.gaps += gaps
        for start, stop in gaps:
            self.text = self.text[:start] + " " * (stop - start) + self.text[stop:]

    # ---- numbers and their owners

    def numbers(self) -> None:
        """Give each comparison to what stands before it, else to what follows, else to the people it is said of."""
        waiting: list[Comparison] = []
        overs = [m.span() for m in phrases.OVERS.finditer(self.text)]
        for c in self._facing([c for c in comparisons(self.text) if not any(a <= c.start < b for a, b in overs)]):
            inside = [m for m in self.matches if m.start < c.stop and c.start < m.stop]
            if any(m.start <= c.start or m.concept for m in inside):
                continue  # `stage 3`, `ODI 3 %`: the number is part of a name
            if c.unit is None and (epochs := run_of(self.text, self.original, c, self.matches)):
                self._take(epochs)
                continue
            waiting += [] if self._owned_before(c) else [c]
        for c in waiting:
            if self._owned_after(c) or self._age(c) or c.said in ("to", "through"):
                continue
            if lasting := run_of(self.text, self.original, c, self.matches):
                self._take(lasting)
                continue
            if c.symbol == ">=" and c.low == 1 and c.unit is None:  # `at least one` asks no more than the thing itself
                self.gaps.append((c.start, c.stop))
            else:
                self.notes.append(f"{self.said(c.start, c.stop)!r} was not read: it is not clear what is compared")
        for reading in bare_runs(self.text, self.original, [m for m in self.matches if m not in self.held]):
            if not any(item.start < reading.stop and reading.start < item.stop for item in self.items):
                self._take(reading)

    def _facing(self, found: list[Comparison]) -> Iterator[Comparison]:
        """All of them but those on both sides of what they compare, which are taken: `5 <= AHI < 15`."""
        while found:
            c = found.pop(0)
            m = next((m for m in self.matches if m.start >= c.stop), None)
            if c.said == "reversed" and found and m and m.quantity and not self.text[c.stop : m.start].strip():
                one = both(c, found[0])
                if (
                    one
                    and phrases.LINK.fullmatch(self.text, m.stop, found[0].start)
                    and factor_of(m.quantity.unit, one)
                ):
                    self._compared(m.quantity, one, factor_of(m.quantity.unit, one) or 1.0, m, (c.start, one.stop))
                    found.pop(0)
                    continue
            yield c

    def _owned_before(self, c: Comparison) -> bool:
        places = [m for m in self.matches if m.stop <= c.start and m.concept and m.concept.kind in EXCLUSIVE]
        if c.unit is None and phrases.FOREIGN.match(self.text, c.stop):  # `alpha 8-13 Hz`
            return False
        before = [m for m in self.matches if m.stop <= c.start and m not in places]
        if not before or before[-1] in self.held or c.said == "reversed":
            return False
        if self._owned(c, before[-1], places):
            return True
        beside = before[-1].concept  # `heart rate during apneas above 100`
        return (
            len(before) > 1
            and beside is not None
            and before[-2] not in self.held
            and bool(before[-2].quantity)
            and (self._owned(c, before[-2], [*places, before[-1]]))
        )

    def _owned(self, c: Comparison, m: Match, places: Sequence[Match]) -> bool:
        between = sorted((p for p in places if p.start >= m.stop), key=lambda p: p.start)  # `apneas in REM over 20 s`
        link = phrases.LINK.fullmatch(self._without(between, m.stop, c.start))
        whole_night = m.quantity is not None and m.quantity.level != "epoch"
        if link is None or (whole_night and between):
            return False
        asked = c.inverse() if link["denied"] else c
        if m.concept and (name := event_name(m.concept)) and c.unit in SECONDS:
            return self._lasting(asked, m, name, (m.start, c.stop), (m.stop, c.stop))
        return self._measured(m, asked, (m.start, c.stop), self.text[m.stop : c.start])

    def _lasting(self, c: Comparison, m: Match, name: str, span: Span, own: Span) -> bool:
        """How long an event is."""
        longest, c = f"{name}_longest_s", c.directed(">") or c
        assert m.concept is not None
        says = f"length of the longest {m.concept.say[0]} that overlaps the epoch"
        condition = self._condition(c, longest, SECONDS[c.unit or "s"], span, says)
        if not c.some:
            condition = replace(condition, sql=f"{condition.sql} AND {longest} > 0")
        return self._hold(Item(*span, [condition], m.concept, own, longest), m)

    def _measured(self, m: Match, c: Comparison, span: Span, gap: str) -> bool:
        """The first quantity that a number beside `m` may be of, and whose unit it has."""
        found, said = owners(self.lexicon, m, c, self.text[: m.start], gap)
        for quantity in found:
            if (factor := factor_of(quantity.unit, c)) is not None:
                return self._compared(
                    quantity, c, factor, m, (min(span[0], m.start - said) if said else span[0], span[1])
                )
        return False

    def _without(self, matches: Sequence[Match], start: int, stop: int) -> str:
        """The text in between, without these matches and the prepositions before them."""
        text = self.text[:stop]
        for m in reversed(matches):
            before = re.sub(r"\b(?:in|during|on|while)\s+(?:the\s+)?$", "", text[: m.start])
            text = before + " " + text[m.stop :]
        return text[start:]

    def _owned_after(self, c: Comparison) -> bool:
        for m in self.matches:
            gap = self.text[c.stop : m.start] if m.start >= c.stop else ""
            if m in self.held or m.stop <= c.start or not phrases.BACK_LINK.fullmatch(gap):
                continue
            hour = phrases.PER_HOUR.match(self.text, m.stop) if c.unit is None else None
            per = replace(c, unit="/h") if hour and m.concept else c  # `more than 15 limb movements an hour`
            stop = hour.end() if hour else max(m.stop, c.stop)
            beside = m.quantity or (per.unit and m.start >= c.stop)  # `> 4 % desaturation`
            if beside and self._measured(m, per, (c.start, stop), ""):
                return True
            if m.concept and m.start >= c.stop and (name := event_name(m.concept)) and (c := c.directed(">") or c):
                if c.unit is None and not phrases.PER_TIME.match(self.text, m.stop):
                    column, says = f"n_{name}", f"{m.concept.say[0]}s that overlap the epoch"
                elif c.unit in SECONDS and re.match(r"\s*of\b", gap):
                    column, says = f"{name}_s", f"seconds of {m.concept.say[0]} in the epoch"
                elif c.unit in SECONDS:  # `over 30 s long apneas`
                    return self._lasting(c, m, name, (c.start, m.stop), (c.start, m.start))
                else:
                    return False
                condition = self._condition(c, column, SECONDS.get(c.unit or "", 1.0), (c.start, m.stop), says)
                own = (c.start, m.start if c.some else m.stop)
                return self._hold(Item(c.start, m.stop, [condition], m.concept if c.some else None, own, column), m)
        return False

    def _compared(self, q: Quantity, c: Comparison, factor: float, m: Match, span: Span) -> bool:
        """The quantity's column for what is said: the extreme that decides, or the statistic that is named."""
        directed = c.directed(worse_of(q.id))
        if directed is None:
            return False
        c = directed
        near = [o for o in self.matches if o.stop <= m.start and not self.text[o.stop : m.start].strip(" -")]
        before = phrases.STATISTIC_BEFORE.search(self.text[: m.start])
        statistic = before or phrases.STATISTIC.search(self.text[m.stop : max(m.stop, c.start)])
        column = q.mean if c.high is not None else q.low if c.below else q.high
        if c.symbol in ("no <", "no >"):  # what is denied is the extreme: `never below 90` is of the lowest value
            column = q.low if c.symbol == "no <" else q.high
        wrong = None
        if q.level != "epoch" and near and near[-1].concept and near[-1].concept.kind in EXCLUSIVE:
            wrong = near[-1].start  # `REM AHI above 30` must not become the AHI of the night
            self.held.append(near[-1])
        elif statistic:
            span = (before.start() if before else span[0], span[1])
            column = {"mean": q.mean, "min": q.low, "max": q.high}[str(statistic.lastgroup)]
            if statistic.lastgroup != "mean" and f"_{statistic.lastgroup}_" not in column:
                wrong = span[0]
        if wrong is not None:
            self.held.append(m)
            self.notes.append(f"{self.said(wrong, span[1])!r} was not read: the catalog has no such number")
            return True
        condition = self._condition(c, column, factor, span, q.says, ranks=q.level == "epoch")
        measure = load_measures().get(column)
        condition = replace(condition, channels=measure.channels if measure else q.channels)
        return self._hold(Item(*span, [condition], None, span, q.id), m)

    def _condition(
        self, c: Comparison, column: str, factor: float, span: Span, says: str, *, ranks: bool = True
    ) -> Filter:
        one_sided = c.high is None and c.symbol != "="
        rank_by = (column, -1 if c.symbol in ("<", "<=", "no >") else 1) if ranks and one_sided else None
        return Filter(self.said(*span), c.sql(column, factor), (column,), rank_by, (), says)

    def _hold(self, item: Item, owner: Match) -> bool:
        self.items.append(item)
        inside = [m for m in self.matches if m.quantity and item.start <= m.start and m.stop <= item.stop]  # `bpm`
        self.held += [owner, *inside]
        return True

    # ---- people

    def _age(self, c: Comparison) -> bool:
        """A number of years: said so, or of people, or `older than`."""
        if span := age_asked(self.text, c):
            self._person(span, c.sql("age"), "age")
        return span is not None

    def people(self) -> None:
        """Exact ages, sexes and words for an age; `women over 60` is one thing said, so that `or` takes it whole."""
        for person in people(self.text, self.original):
            ages = [item for item in self.items if any(f.columns == ("age",) for f in item.filters)]
            of = self.items if person.exact else ages
            taken = any(item.start < person.stop and person.start < item.stop for item in of)
            for sql, column in person.conditions:
                next_to = any(self._close(person.start, person.stop, item) for item in ages)
                if (column == "sex" and not person.exact) or not (
                    taken or (column == "age" and not person.exact and next_to)
                ):
                    self._person((person.start, person.stop), sql, column)

    def _close(self, start: int, stop: int, item: Item) -> bool:
        """Whether an item is beside what is said, or beside the people that follow it: `adult women over 60`."""
        follow = phrases.PERSON.match(self.text, stop + len(self.text[stop:]) - len(self.text[stop:].lstrip()))
        ends = (stop, follow.end() if follow else stop)
        return any(beside(self.text, end, item.start) for end in ends) or beside(self.text, item.stop, start)

    def _person(self, span: Span, sql: str, column: str) -> None:
        condition = Filter(self.said(*span), sql, (column,), says=f"{column} of the subject")
        for other in self.items:
            if other.sort == "person" and (
                beside(self.text, span[1], other.start) or beside(self.text, other.stop, span[0])
            ):
                other.start, other.stop = min(span[0], other.start), max(span[1], other.stop)
                other.own = (other.start, other.stop)
                other.filters.append(condition)
                return
        self.items.append(Item(*span, [condition], None, span, "person"))
        self.held += [m for m in self.matches if span[0] <= m.start and m.stop <= span[1]]

    # ---- concepts, negations, alternatives

    def concepts(self) -> None:
        """Phrases of the lexicon that no number took; `sleep` in `sleep study` is none."""
        for m in self.matches:
            concept = m.concept or (self.lexicon.concepts.get(m.quantity.fact or "") if m.quantity else None)
            beside = [o for o in self.matches if o.start >= m.stop and not self.text[m.stop : o.start].strip(" -")]
            part = concept and concept.id == "sleep" and not beside and phrases.NOUN_AFTER.match(self.text, m.stop)
            if concept and m not in self.held and not part:
                self.items.append(Item(*m.span, [], concept, None, concept.kind))
        self.items.sort(key=lambda item: (item.start, item.stop))

    def negations(self) -> None:
        """Turn what is denied into filters; a denial goes on over `or`, and over `and` among one sort."""
        kept: list[Item] = []
        last: Item | None = None  # the one denied just before
        for item in self.items:
            first = last.stop if last else kept[-1].stop if kept else 0
            before = self.text[first : item.start]
            cue, free = phrases.DENIED.search(before), phrases.FREE_OF.match(self.text, item.stop)
            chain = phrases.GOES_ON.fullmatch(before) if last else None
            goes_on = chain and last and (chain["how"] in ("or", "nor", "/") or item.sort == last.sort)
            unclear = phrases.HARDLY.search(before)
            if last and self.filters and phrases.LACKING.fullmatch(before):  # `no REM without atonia`: two denials
                first, unclear = last.start, re.match("", before)
                self.filters.pop()
                self.gaps.pop()
            if not unclear:
                far = None if cue or free or goes_on else phrases.DENIED_FAR.search(before)
                unclear = cue if cue and cue["twice"] else far
            if unclear:
                words = self.said(first + unclear.start(), item.stop)
                self.notes.append(f"{words!r} was not read: it is not clear what is denied")
                last = replace(item, sort="")
            elif cue or free or goes_on:
                span = (first + cue.start() if cue else item.start, item.stop + (len(free[0]) if free else 0))
                words = ("" if cue or free else "without ") + self.said(*span)
                self.filters.append((span[0], denied(item, words)))
                self.gaps.append(span)
                last = replace(item, stop=span[1])
            else:
                kept.append(item)
                last = None
        self.items = kept

    def alternatives(self) -> None:
        """Group what `or` joins, stages with stages and positions with positions; all else must hold together."""
        groups: list[list[Item]] = []
        joined = False  # whether the item that follows is joined to the one after it
        for item in reversed(self.items):
            following = groups[0][0] if groups else None
            gap = self.text[item.stop : following.start] if following else ""
            listed = joined and following and following.sort == item.sort and phrases.COMMA.fullmatch(gap)
            joined = bool(following and (phrases.OR.fullmatch(gap) or listed))
            if joined:
                groups[0].insert(0, item)
            else:
                groups.insert(0, [item])
        for kind in EXCLUSIVE:
            groups = one_of(groups, kind)
        for group in groups:
            self._emit(group)

    def _emit(self, group: list[Item]) -> None:
        words = " or ".join(dict.fromkeys(self.said(item.start, item.stop) for item in group))
        if len(group) > 1 and any(item.filters for item in group):
            either = [" AND ".join(f.sql for f in i.filters) or holds_of(i.concept) for i in group]
            conditions = [f for item in group for f in item.filters]
            span = (group[0].start, group[-1].stop)
            self.filters.append((span[0], merged(words, " OR ".join(f"({e})" for e in either), conditions)))
            self.gaps.append(span)
            return
        for item in group:
            self.filters += [(item.start, f) for f in item.filters]
            self.gaps += [item.own] if item.own else []
        if concepts := tuple({i.concept.id: i.concept for i in group if i.concept}.values()):
            named = [m for m in self.matches if m.concept in concepts and group[0].start <= m.start < group[-1].stop]
            self.kept += [m.span for m in named]
            self.facts.append(Fact(self.said(*named[0].span) if named and len(group) == 1 else words, concepts))
