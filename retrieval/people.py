"""People by age, build or sex, each word with the condition that it stands for: `octogenarians`, `72F`, `65 yo`."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from retrieval import phrases
from retrieval.numbers import Comparison, value


@dataclass(frozen=True, slots=True)
class Person:
    """What `[start, stop)` says of the subject: conditions on a column each. exact: an age in years, no word for it."""

    start: int
    stop: int
    conditions: tuple[tuple[str, str], ...]
    exact: bool = False


@cache
def _groups() -> list[tuple[re.Pattern[str], str, str]]:
    tables = tomllib.loads((files("retrieval") / "people.toml").read_text("utf-8"))["group"]
    return [(re.compile(rf"\b(?:{'|'.join(t['words'])})s?\b(?!-\w)"), t["sql"], t["column"]) for t in tables]


def people(text: str, original: str) -> Iterator[Person]:
    """Exact ages, then people by sex, then words for an age; `text` is `original` in lower case."""
    for old in phrases.OLD.finditer(text):
        years = value(old["a"] or old["b"])
        yield Person(*old.span(), (_years(years),), exact=True)
    for over in phrases.OVERS.finditer(text):
        side, age = (next(over[g] for g in groups if over[g]) for groups in ("abc", "nko"))
        yield Person(*over.span(), ((f"age {'>' if side == 'over' else '<'} {age}", "age"),), exact=True)
    for said in phrases.SHORTHAND.finditer(original):
        sex = (f"sex = '{said['sex']}'", "sex")
        yield Person(*said.span(), (_years(float(said["years"])), sex), exact=True)
    for person in phrases.PERSON.finditer(text):
        if not person["any"]:
            yield Person(*person.span(), ((f"sex = '{'F' if person['F'] else 'M'}'", "sex"),))
    words = [(m.span(), sql, column) for pattern, sql, column in _groups() for m in pattern.finditer(text)]
    for (start, stop), sql, column in words:
        if phrases.NOT_A_PERSON.match(text, start):
            continue
        if not any(a <= start and stop <= b and b - a > stop - start for (a, b), _, _ in words):
            yield Person(start, stop, ((sql, column),))


def age_asked(text: str, c: Comparison) -> tuple[int, int] | None:
    """Where a comparison is of an age: in years, of people beside it, or `older than`; None where it is not."""
    if c.unit not in (None, "years") or phrases.OTHER_UNIT.match(text, c.stop) or not c.directed(""):
        return None
    said, words = list(phrases.PERSON.finditer(text)), text[c.start : c.stop]
    before = next((p for p in said if beside(text, p.end(), c.start)), None)
    after = words.endswith(
        ("+", "over", "older", "above", "under", "younger", "below")
    )  # `60+ women`, not `over 60 women`
    after = after and any(beside(text, c.stop, p.start()) for p in said)
    gaps = [text[p.end() : c.start] or text[c.stop : p.start()] for p in said]
    joined = c.said in ("over", "under", "above", "below", ">", "<") and any(phrases.JOINED.fullmatch(g) for g in gaps)
    if c.unit or before or after or joined or re.search(r"\b(?:older|younger)\b", words):
        return (before.start() if before and before["any"] else c.start, c.stop)
    return None


def beside(text: str, start: int, stop: int) -> bool:
    """Whether nothing but `aged`, `who are` and the like stands in `[start, stop)`."""
    return start <= stop and phrases.AGED.fullmatch(text, start, stop) is not None


def _years(age: float) -> tuple[str, str]:
    return f"age >= {age:g} AND age < {age + 1:g}", "age"
