"""Numbers as people write them in a question: `below 85 %`, `at least one minute`, `40-50 bpm`, `65 or older`.

A comparison is read where its own words say it; whose number it is, the question decides.
"""

import re
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
    "=": r"exactly|equal(?:s|ling)?(?:\s+to)?",
    "<=": r"(?:less|lower|smaller)\s+than\s+or\s+equal\s+to|at\s+most|up\s+to|(?:a\s+)?max(?:imum)?\s+of|<=|=<|≤|⩽",
    ">=": r"(?:greater|more|higher)\s+than\s+or\s+equal\s+to|at\s+least|(?:a\s+)?min(?:imum)?\s+of|>=|=>|≥|⩾",
    "<": rf"below|under|beneath|(?:{_THAN['<']})\s+than|<",
    ">": rf"above|over|beyond|(?:{_THAN['>']})\s+than|exceed(?:s|ing|ed)?|in\s+excess\s+of|>",
    "about": r"about|around|approximately|roughly|circa|~|≈",
}
_AFTERWARDS = {
    "<=": r"(?:or|and)\s+(?:less|lower|below|under|fewer|younger|shorter|smaller)",
    ">=": r"(?:or|and)\s+(?:more|higher|above|over|greater|older|longer|larger|up|upwards)|\+",
}
_END = r"(?![\w%])"
# A length of time, with groups `n` (absent in `last hour`) and `unit`.
DURATION = rf"(?:(?P<n>{_NUMBER})[-\s]*)?(?P<unit>{UNITS['s']}|{UNITS['min']}|{UNITS['h']}){_END}"
_BOTH = re.compile(r"\s*,?\s*(?:and|but|yet)\s+")


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
    """A number compared, `[start, stop)` in characters.

    symbol: a SQL sign, `no <` or `no >` (denied), `between`, `about`, or two signs (`> <`). unit: one of UNITS, or None
    where none was said.
    """

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

    @property
    def some(self) -> bool:
        """Whether none at all, zero, does not fulfil it."""
        return (
            self.low > 0
            if self.high is not None
            else self.symbol in (">", ">=", "no <") or (self.symbol == "=" and self.low > 0)
        )

    def sql(self, column: str, factor: float = 1.0) -> str:
        """The condition on a column whose unit is `1 / factor` of the one said."""
        low = figure(self.low * factor)
        if self.high is None:
            return f"{column} {({'no <': '>=', 'no >': '<='}).get(self.symbol, self.symbol)} {low}"
        high = figure(self.high * factor)
        above, _, below = self.symbol.removeprefix("no ").partition(" ")
        span = f"{column} {above} {low} AND {column} {below} {high}" if below else f"{column} BETWEEN {low} AND {high}"
        return f"NOT ({span})" if self.symbol.startswith("no ") else span


def figure(value: float) -> str:
    """A number as SQL takes it."""
    return f"{value:.10g}"


def comparisons(text: str) -> list[Comparison]:
    """Every comparison in lower-case `text`, none inside another, in order; `above 15 and below 30` is one."""
    found = [read(m) for pattern, read in _READ for m in pattern.finditer(text)]
    kept: list[Comparison] = []
    for c in sorted(found, key=lambda c: (c.start, -c.stop)):
        last = kept[-1] if kept else None
        if last and c.start < last.stop:
            continue
        if last and _BOTH.fullmatch(text[last.stop : c.start]) and (both := _both(last, c)):
            kept[-1] = both
        else:
            kept.append(c)
    return kept


def _both(first: Comparison, second: Comparison) -> Comparison | None:
    """Two sides of one span, or None where the two say different things."""
    low, high = (second, first) if first.below else (first, second)
    if first.below == second.below or low.high is not None or "no" in low.symbol + high.symbol:
        return None
    if second.unit != first.unit and (first.unit or second.unit == "years"):
        return None
    symbol = f"{low.symbol} {high.symbol}"
    return replace(first, stop=second.stop, symbol=symbol, low=low.low, high=high.low, unit=second.unit)


def _range(match: re.Match[str]) -> Comparison:
    first, second = ("a", "b") if match["a"] else ("c", "d")
    low, high = sorted((value(match[first]), value(match[second])))
    unit = unit_of(match[f"unit_{second}"]) or unit_of(match[f"unit_{first}"])
    return Comparison(match.start(), match.end(), "between", low, high, unit, match["between"] or "to")


def _prefixed(match: re.Match[str]) -> Comparison:
    symbol = _symbol(match["said"], _SAID)
    low, high = value(match["a"]), None
    if symbol == "about":  # five per cent either way: the filter shows it
        low, high = low * 0.95, low * 1.05
    return Comparison(match.start(), match.end(), symbol, low, high, unit_of(match["unit_a"]), match["said"])


def _suffixed(match: re.Match[str]) -> Comparison:
    symbol = _symbol(match["said"], _AFTERWARDS)
    return Comparison(
        match.start(), match.end(), symbol, value(match["a"]), None, unit_of(match["unit_a"]), match["said"]
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


def unit_of(said: str | None) -> str | None:
    """The key of UNITS that these words are; None where there are none."""
    return next((unit for unit, words in UNITS.items() if re.fullmatch(words, said)), None) if said else None
