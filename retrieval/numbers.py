"""Numbers as people write them in a question: `below 85 %`, `at least one minute`, `40-50 bpm`, `65 or older`.

A comparison is read where its own words say it; whose number it is, the question decides.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: float(n) for n, word in enumerate(_ONES, 1)} | {w: 10.0 * n for n, w in enumerate(_TENS, 2)}
_VALUES |= {"fifteen": 15.0, "hundred": 100.0}
_WORD = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(_ONES[:9])}))?|(?:one\s)?hundred|{'|'.join([*_ONES, 'fifteen'])})"
)
# Six digits hold every number of a night; longer ones are identifiers.
_NUMBER = rf"(?:(?<![\w.,])\d{{1,6}}(?:[.,]\d{{1,4}})?(?![.,]?\d)|\b{_WORD}\b|\b(?:half\s+)?an?(?=\s+(?:sec|min|hour)))"

# Units by what they measure. Beats, breaths and movements a minute are one family: the sensor says which.
UNITS = {
    "%": r"%|percent(?:age(?:\s+points?)?)?|per\s+cent|pct",
    "/min": r"bpm|(?:(?:beats|breaths|movements|times)\s*)?(?:/|per|a)\s*min(?:ute)?|beats|breaths",
    "/h": r"(?:(?:events|times)\s*)?(?:/\s*|per\s+|an?\s+)h(?:ou)?r?",
    "years": r"(?:years?|yrs?)(?:[-\s]+(?:olds?|of\s+age))?|y/?o",
    "s": r"s|secs?|seconds?",
    "min": r"mins?|minutes?",
    "h": r"h|hrs?|hours?",
    "uV": r"[uµμ]v|microvolts?",
}
_UNIT = "|".join(UNITS.values())
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}

_THAN = {
    "<": "less|lower|fewer|smaller|shorter|younger|slower|milder|shallower",
    ">": "more|higher|greater|longer|larger|bigger|older|faster|deeper",
}
# Symbol -> what says it. `no more than 15` denies `more than 15`, and is compared on the same column.
_SAID = {
    "no >": rf"(?:no|not|never)\s+(?:(?:{_THAN['>']})\s+than|above|over|exceeding)",
    "no <": rf"(?:no|not|never)\s+(?:(?:{_THAN['<']})\s+than|below|under)",
    "<=": r"at\s+most|up\s+to|(?:a\s+)?max(?:imum)?\s+of|<=|=<|≤|⩽",
    ">=": r"at\s+least|(?:a\s+)?min(?:imum)?\s+of|>=|=>|≥|⩾",
    "<": rf"below|under|beneath|(?:{_THAN['<']})\s+than|<",
    ">": rf"above|over|beyond|(?:{_THAN['>']})\s+than|exceed(?:s|ing|ed)?|in\s+excess\s+of|>",
    "about": r"about|around|approximately|roughly|circa|~|≈",
}
_AFTERWARDS = {
    "<=": r"(?:or|and)\s+(?:less|lower|below|under|fewer|younger|shorter|smaller)",
    ">=": r"(?:or|and)\s+(?:more|higher|above|over|greater|older|longer|larger|up|upwards)|\+",
}
_END = r"(?![\w%])"


def _any(said: dict[str, str]) -> str:
    return "|".join(f"(?:{words})" for words in said.values())


def _number(name: str) -> str:
    return rf"(?P<{name}>{_NUMBER})(?:[-\s]*(?P<unit_{name}>{_UNIT}){_END})?"


_RANGE = re.compile(
    rf"(?:\b(?P<between>between|from)\s+{_number('a')}\s*(?:and|to|-|–|—)\s*{_number('b')})"
    rf"|{_number('c')}\s*(?:to|-|–|—)\s*{_number('d')}"
)
_SUFFIXED = re.compile(rf"{_number('a')}\s*(?P<said>{_any(_AFTERWARDS)})(?!\s*\w*\s*than)(?!\w)")
_PREFIXED = re.compile(rf"(?:(?<!\w)(?=[a-z])|(?<![<>=])(?![a-z]))(?P<said>{_any(_SAID)})\s*{_number('a')}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number compared, `[start, stop)` in characters: `symbol` is a SQL sign, `no <` or `no >` (denied), `between` or
    `about`; `unit` one of UNITS, or None where none was said."""

    start: int
    stop: int
    symbol: str
    low: float
    high: float | None
    unit: str | None
    said: str

    @property
    def below(self) -> bool:
        """Whether it is the low side of a quantity that decides."""
        return self.symbol in ("<", "<=", "no <")

    def inverse(self) -> "Comparison":
        """The same comparison denied, or, if it was denied, affirmed."""
        swapped = {"<": "no <", ">": "no >", "no <": "<", "no >": ">", "<=": ">", ">=": "<"}
        return replace(self, symbol=swapped.get(self.symbol, f"no {self.symbol}"))

    def sql(self, column: str, factor: float = 1.0) -> str:
        """The condition on a column whose unit is `1 / factor` of the one said."""
        low = figure(self.low * factor)
        if self.high is not None:
            return f"{column} {'NOT ' * self.symbol.startswith('no')}BETWEEN {low} AND {figure(self.high * factor)}"
        return f"{column} {({'no <': '>=', 'no >': '<='}).get(self.symbol, self.symbol)} {low}"


def figure(value: float) -> str:
    """A number as SQL takes it."""
    return f"{value:.10g}"


def comparisons(text: str) -> Iterator[Comparison]:
    """Every comparison in lower-case `text`, none inside another, by where it begins."""
    found = [c for pattern, read in _READ for m in pattern.finditer(text) if (c := read(m))]
    free = 0
    for comparison in sorted(found, key=lambda c: (c.start, -c.stop)):
        if comparison.start >= free:
            free = comparison.stop
            yield comparison


def _range(match: re.Match[str]) -> Comparison | None:
    first, second = ("a", "b") if match["a"] else ("c", "d")
    low, high = sorted((value(match[first]), value(match[second])))
    unit = _unit(match[f"unit_{second}"]) or _unit(match[f"unit_{first}"])
    return Comparison(match.start(), match.end(), "between", low, high, unit, match["between"] or "to")


def _prefixed(match: re.Match[str]) -> Comparison | None:
    symbol = _symbol(match["said"], _SAID)
    low, high = value(match["a"]), None
    if symbol == "about":  # five per cent either way: the filter shows it
        low, high = low * 0.95, low * 1.05
    return Comparison(match.start(), match.end(), symbol, low, high, _unit(match["unit_a"]), match["said"])


def _suffixed(match: re.Match[str]) -> Comparison | None:
    symbol = _symbol(match["said"], _AFTERWARDS)
    return Comparison(
        match.start(), match.end(), symbol, value(match["a"]), None, _unit(match["unit_a"]), match["said"]
    )


_READ = ((_RANGE, _range), (_PREFIXED, _prefixed), (_SUFFIXED, _suffixed))


def value(said: str) -> float:
    """The value of a number in digits or words; `a` is one, `half a` a half."""
    words = said.replace("-", " ").split()
    if words[0] in ("half", "a", "an"):
        return 0.5 if words[0] == "half" else 1.0
    if words[0] in _VALUES:
        return _VALUES["hundred"] if words[-1] == "hundred" else sum(_VALUES[word] for word in words)
    return float(said.replace(",", "."))


def _symbol(said: str, table: dict[str, str]) -> str:
    return next(symbol for symbol, words in table.items() if re.fullmatch(words, said))


def _unit(said: str | None) -> str | None:
    return next((unit for unit, words in UNITS.items() if re.fullmatch(words, said)), None) if said else None
