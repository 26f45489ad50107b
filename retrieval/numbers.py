"""Numbers as people write them in a question: `below 85 %`, `at least one minute`, `40-50 bpm`, `65 or older`.

A comparison is read where its own words say it; whose number it is, the question decides.
"""

import re
from dataclasses import dataclass, replace

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
         "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: float(n) for n, word in enumerate(_ONES, 1)} | {w: 10.0 * n for n, w in enumerate(_TENS, 2)}
_VALUES["hundred"] = 100.0
_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{'|'.join(_ONES[:9])}))?|{'|'.join(_ONES)})"
WORD = rf"(?:(?:(?:one|a)\s)?hundred(?:\s(?:and\s)?{_BELOW_100})?|{_BELOW_100})"
# Six digits hold every number of a night; longer ones are identifiers. `60..80` is a range.
NUMBER = (
    r"(?:(?<![\w,])(?<!(?<!\.)\.)\d{1,6}(?:[.,]\d{1,4})?(?![.,]?\d)"
    rf"|\b{WORD}\b|\b(?:half\s+)?an?(?=\s+(?:sec|min|hour)))"
)

# Units by what they measure. Beats, breaths and movements a minute are one family: the sensor says which.
UNITS = {
    "%": r"%|percent(?:age(?:\s+points?)?)?|per\s+cent|pct|points?",
    "/min": r"bpm|(?:(?:beats|breaths|respirations|movements|times)\s*)?(?:/|per|a)\s*min(?:ute)?|beats|breaths",
    "/h": r"(?:(?:events|times)\s*)?(?:/\s*|per\s+|an?\s+)h(?:ou)?r?",
    "years": r"(?:years?|yrs?|y)(?:[-\s]+(?:olds?|of\s+age))?|y[./]?o\.?",
    "kg/m2": r"kg\s*/\s*m\s*(?:2|²|\^\s*2)",
    "s": r"s|secs?|seconds?",
    "min": r"mins?|minutes?",
    "h": r"h|hrs?|hours?",
    "uV": r"[uµμ]v|microvolts?",
}
_UNIT = "|".join(UNITS.values())
_FAMILY = {"beats/min": "/min", "breaths/min": "/min", "1/min": "/min", "1/h": "/h"}  # a quantity's unit -> UNITS
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}

_THAN = {
    "<": "less|lower|fewer|smaller|shorter|younger|slower|milder|shallower|briefer",
    ">": "more|higher|greater|longer|larger|bigger|older|faster|deeper",
}
_OR_EQUAL = {  # `greater than or equal to`, `equal to or above`, `at or above`
    sign: rf"(?:{than})(?:\s+than)?\s+or\s+equal\s+to|(?:equal\s+to|at)\s+or\s+(?:(?:{than})\s+than|{beside})"
    for (sign, than), beside in zip(_THAN.items(), ("below|under|beneath", "above|over|beyond"), strict=True)
}
# Symbol -> what says it. `no more than 15` denies `more than 15`, and is compared on the same column. What is worse,
# `directed` tells.
_SAID = {
    "no >": rf"(?:no|not|never)\s+(?:(?:{_THAN['>']})\s+than|above|over|beyond|past|exceed(?:ing|ed|s)?)",
    "no <": rf"(?:no|not|never)\s+(?:(?:{_THAN['<']})\s+than|below|under|beneath)",
    "no worse": r"(?:no|not|never)\s+worse\s+than",
    "=": r"exactly|equal(?:s|ling)?(?:\s+to)?|=",
    "<=": rf"{_OR_EQUAL['<']}|at\s+most|up\s+to|(?:a\s+)?max(?:imum)?\s+of|<\s?=|=\s?<|≤|⩽",
    ">=": rf"{_OR_EQUAL['>']}|at\s+least|(?:a\s+)?min(?:imum)?\s+of|>\s?=|=\s?>|≥|⩾",
    "<": rf"below|under(?:neath)?|beneath|sub|south\s+of|short\s+of|(?:{_THAN['<']})\s+than|<",
    ">": rf"above|over|beyond|(?<!the\s)past|upwards?\s+of|north\s+of|(?:{_THAN['>']})\s+than"
    r"|(?:exceed|surpass)(?:e?s|ing|ed)?|topp?(?:s|ing|ed)|in\s+excess\s+of|>",
    "about": r"about|around|approx(?:imately|\.)?|roughly|circa|~|≈",
    "worse": r"worse\s+than",
    "better": r"better\s+than",
}  # fmt: skip
_AFTERWARDS = {
    "<=": r"(?:or|and)\s+(?:less|lower|below|under|beneath|fewer|younger|shorter|smaller)|at\s+(?:the\s+)?most",
    ">=": r"(?:or|and)\s+(?:more|higher|above|over|greater|older|longer|larger|up|upwards|beyond)"
    r"|at\s+(?:the\s+)?least|\+|plus(?!\s+(?:or|\d))",
    "worse=": r"or\s+worse",
    "better=": r"or\s+better",
}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}  # `60 < HR` says `HR > 60`
_END = r"(?![\w%])"
# A length of time, with groups `n` (absent in `last hour`) and `unit`.
DURATION = rf"(?:(?P<n>{NUMBER})[-\s]*)?(?P<unit>{UNITS['s']}|{UNITS['min']}|{UNITS['h']}){_END}"
_BOTH = re.compile(r"\s*,?\s*(?:and|but|yet)\s+")
_TO = r"\s*(?:to|through|-|–|—|\.\.+|…)\s*"
# After hours or minutes: `6 h 30 min`, `an hour and a half`.
_MORE = r"(?:(?<=h)|(?<=hr)|(?<=hrs)|(?<=hour)|(?<=hours)|(?<=min)|(?<=mins)|(?<=minute)|(?<=minutes))" \
        rf"(?:\s+and\s+a\s+half\b|\s*(?:and\s+)?\d{{1,2}}\s*(?:{UNITS['s']}|{UNITS['min']}|m){_END})"  # fmt: skip
_AGES = r"(?:the\s+)?ages?\s+(?:of\s+)?"


def _any(said: dict[str, str]) -> str:
    return "|".join(f"(?:{words})" for words in said.values())


def _number(name: str) -> str:
    unit = rf"(?:[-\s]*(?P<unit_{name}>{_UNIT}){_END}(?P<more_{name}>{_MORE})?)?(?!\w)"
    return rf"(?P<{name}>{NUMBER})(?P<half_{name}>\s+and\s+a\s+half\b)?{unit}"


_RANGE = re.compile(
    r"(?:\b(?P<between>between|b/w|from|within|(?:in\s+the\s+)?rang(?:es?|ed|ing)(?:\s+(?:of|from|between))?)\s*:?\s+"
    rf"(?P<age>{_AGES})?{_number('a')}(?:\s*and\s*|{_TO}){_number('b')})|{_number('c')}{_TO}{_number('d')}"
)
_SUFFIXED = re.compile(rf"{_number('a')}\s*,?\s*(?P<said>{_any(_AFTERWARDS)})(?!\s*\w*\s*than)(?!\w)")
_PREFIXED = re.compile(
    rf"(?:(?<!\w)(?=[a-z])|(?<![<>=])(?![a-z]))(?P<said>{_any(_SAID)})\s*(?P<age>(?<=\s){_AGES})?{_number('a')}"
)
_REVERSED = re.compile(rf"{_number('a')}\s*(?P<said><\s?=|=\s?<|>\s?=|=\s?>|[<>≤≥⩽⩾])(?=\s*[a-z])")
_DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
_TEN = rf"[1-9]0['’]?s|{'|'.join(_DECADES)}"
_DECADE = re.compile(
    rf"\b(?:in|into|within|to)\s+(?P<whose>the|his|her|their)\s+(?P<a>{_TEN})"
    rf"(?:\s*(?:or|and|to|-|–)\s*(?:the(?:ir)?\s+)?(?P<b>{_TEN}))?(?!\w)"
)
LOOSE_DECADE = re.compile(rf"\b(?:(?:low|mid|high|upp|earl|lat)\w*[-\s]+)?(?:{_TEN})(?!\w)")  # `in the low 80s`


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number compared, `[start, stop)` in characters.

    symbol: a SQL sign, `no <` or `no >` (denied), `between`, `about`, two signs (`> <`), or what `directed` turns into
    one (`worse`). unit: one of UNITS, or None where none was said. said: the words; `reversed` stands before its owner.
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

    def directed(self, worse: str) -> "Comparison | None":
        """The same with a sign for `worse` or `better`; `worse` is `<` or `>`, empty where neither side is: None."""
        denied, _, way = self.symbol.rpartition(" ")
        if not way.startswith(("worse", "better")):
            return self
        sign = worse if way.startswith("worse") else _MIRRORED.get(worse, "")
        return replace(self, symbol=f"{denied} {sign}{'=' * way.endswith('=')}".strip()) if worse else None

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
    found = [c for c in found if c.said != "=" or not any(c.start < o.start < c.stop < o.stop for o in found)]
    kept: list[Comparison] = []
    for c in sorted(found, key=lambda c: (c.start, -c.stop)):
        last = kept[-1] if kept else None
        if last and c.start < last.stop:
            continue
        if last and _BOTH.fullmatch(text[last.stop : c.start]) and (one := both(last, c)):
            kept[-1] = one
        else:
            kept.append(c)
    return kept


def both(first: Comparison, second: Comparison) -> Comparison | None:
    """Two sides of one span, or None where the two say different things."""
    low, high = (second, first) if first.below else (first, second)
    signs = low.symbol + high.symbol
    if first.below == second.below or low.high is not None or high.high is not None or set(signs) - set("<>="):
        return None
    if second.unit != first.unit and (first.unit or second.unit == "years"):
        return None
    symbol = f"{low.symbol} {high.symbol}"
    return replace(first, stop=second.stop, symbol=symbol, low=low.low, high=high.low, unit=second.unit, said="both")


def _range(match: re.Match[str]) -> Comparison:
    first, second = ("a", "b") if match["a"] else ("c", "d")
    unit = unit_of(match[f"unit_{second}"]) or unit_of(match[f"unit_{first}"])
    low, high = sorted((_value(match, first), _value(match, second)))
    unit = "years" if match["age"] and unit is None else unit
    return Comparison(match.start(), match.end(), "between", low, high, unit, match["between"] or "to")


def _prefixed(match: re.Match[str]) -> Comparison:
    symbol, unit = _symbol(match["said"], _SAID), unit_of(match["unit_a"])
    low, high = _value(match, "a"), None
    if symbol == "about":  # five per cent either way: the filter shows it
        low, high = low * 0.95, low * 1.05
    unit = "years" if match["age"] and unit is None else unit
    return Comparison(match.start(), match.end(), symbol, low, high, unit, match["said"])


def _suffixed(match: re.Match[str]) -> Comparison:
    symbol = _symbol(match["said"], _AFTERWARDS)
    unit = unit_of(match["unit_a"])
    return Comparison(match.start(), match.end(), symbol, _value(match, "a"), None, unit, match["said"])


def _turned(match: re.Match[str]) -> Comparison:
    symbol = _MIRRORED[_symbol(match["said"], {sign: _SAID[sign] for sign in _MIRRORED})]
    unit = unit_of(match["unit_a"])
    return Comparison(match.start(), match.end(), symbol, _value(match, "a"), None, unit, "reversed")


def _decade(match: re.Match[str]) -> Comparison:
    low, high = sorted((_ten(match["a"]), _ten(match["b"] or match["a"])))
    unit = None if match["whose"] == "the" else "years"
    return Comparison(match.start(), match.end(), ">= <", low, high + 10, unit, "decade")


def _ten(said: str) -> float:
    return 10.0 * (_DECADES.index(said) + 2) if said in _DECADES else float(said[:2])


_READ = ((_RANGE, _range), (_PREFIXED, _prefixed), (_SUFFIXED, _suffixed), (_REVERSED, _turned), (_DECADE, _decade))


def _value(match: re.Match[str], name: str) -> float:
    """The number of that name in its own unit, with what is said after it: `an hour and a half`."""
    number, more, unit = value(match[name]), match[f"more_{name}"] or "", unit_of(match[f"unit_{name}"])
    if match[f"half_{name}"] or more.endswith("half"):
        return number + 0.5
    if rest := re.search(r"(\d+)\s*(\w+)", more):
        return number + float(rest[1]) * SECONDS[unit_of(rest[2]) or "min"] / SECONDS.get(unit or "", 3600.0)
    return number


def value(said: str) -> float:
    """The value of a number in digits or words; `a` is one, `half a` a half."""
    words = [word for word in said.replace("-", " ").split() if word != "and"]
    if "hundred" in words:
        return 100.0 + sum(_VALUES[word] for word in words[words.index("hundred") + 1 :])
    if words[0] in ("half", "a", "an"):
        return 0.5 if words[0] == "half" else 1.0
    return sum(_VALUES[word] for word in words) if words[0] in _VALUES else float(said.replace(",", "."))


def _symbol(said: str, table: dict[str, str]) -> str:
    return next(symbol for symbol, words in table.items() if re.fullmatch(words, said))


def factor_of(unit: str, c: Comparison) -> float | None:
    """What turns the unit said into a quantity's own; None where it measures something else."""
    if c.unit is None:
        return 1.0
    if c.unit in SECONDS and unit in SECONDS:
        return SECONDS[c.unit] / SECONDS[unit]
    return 1.0 if c.unit == _FAMILY.get(unit, unit) else None


def unit_of(said: str | None) -> str | None:
    """The key of UNITS that these words are; None where there are none."""
    return next((unit for unit, words in UNITS.items() if re.fullmatch(words, said)), None) if said else None
