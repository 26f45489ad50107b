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
WORD = rf"(?:(?:(?:one|a)\s)?hundred(?:\s(?:and\s)?{_BELOW_100})?|(?:an?\s)?dozen|{_BELOW_100})"
# Six digits hold every number of a night; longer ones are identifiers. `60..80` is a range, `5:30 h` a length.
NUMBER = (
    r"(?:(?<![\w,:])(?<!(?<!\.)\.)(?:\d{1,2}:[0-5]\d(?=\s*h)|\d{1,6}(?:[.,]\d{1,4})?(?![.,:]?\d))"
    rf"|\b{WORD}\b|\b(?:half\s+)?an?(?=\s+(?:sec|min|hour))|\b(?:half|(?:a\s+)?quarter(?:\s+of\s+an)?)(?=[-\s]+(?:hour|min)))"
)

# Units by what they measure. Beats, breaths and movements a minute are one family: the sensor says which.
UNITS = {
    "%": r"%(?:[-\s]*points?)?|percent(?:age(?:\s+points?)?)?|per\s+cent|pct|points?",
    "/min": r"bpm|(?:(?:beats|breaths|respirations|movements|times)\s*)?(?:/|per|a|each|every)\s*min(?:ute)?|beats"
    r"|breaths",
    "/h": r"(?:(?:events|times)\s*)?(?:/\s*|(?:per|an?|each|every)\s+)h(?:ou)?r?",
    "years": r"(?:years?|yrs?|y)(?:[-\s]+(?:olds?|of\s+age))?|y[./]?o\.?",
    "kg/m2": r"kg\s*(?:/|per)\s*m\s*(?:2|²|\^\s*2)",
    "s": r"s|secs?|seconds?",
    "min": r"mins?|minutes?",
    "h": r"h|hrs?|hours?",
    "uV": r"[uµμ]v|microvolts?",
}
_UNIT = "|".join(UNITS.values())
_FAMILY = {"beats/min": "/min", "breaths/min": "/min", "1/min": "/min", "1/h": "/h"}  # a quantity's unit -> UNITS
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}

_MORE_THAN = {"<": "less|lower|fewer|smaller|shorter|younger|slower|milder|shallower|briefer|weaker",
              ">": "more|higher|greater|longer|larger|bigger|older|faster|deeper|stronger"}  # fmt: skip
_BESIDE = {"<": "below|under(?:neath)?|beneath", ">": "above|over|beyond"}
_THAN = {sign: rf"(?:{words})\s+th[ae]n" for sign, words in _MORE_THAN.items()}
_OR_EQUAL = {  # `greater than or equal to`, `equal to or above`, `at or above`
    sign: rf"(?:{words})(?:\s+th[ae]n)?\s+or\s+equal\s+to|(?:equal\s+to|at)\s+or\s+(?:{_THAN[sign]}|{_BESIDE[sign]})"
    for sign, words in _MORE_THAN.items()
}
# Symbol -> what says it. `no more than 15` denies `more than 15`, and is compared on the same column. What is worse,
# and what is reached, `directed` tells.
_SAID = {
    "no >": rf"(?:no|not|never)\s+(?:{_THAN['>']}|{_BESIDE['>']}|past|exceed(?:ing|ed|s)?)",
    "no <": rf"(?:no|not|never)\s+(?:{_THAN['<']}|{_BESIDE['<']})",
    "no worse": r"(?:no|not|never)\s+worse\s+than",
    "=": r"exactly|equal(?:s|ling)?(?:\s+to)?|=",
    "<=": rf"{_OR_EQUAL['<']}|at\s+(?:the\s+)?most|up\s+to|(?:an?\s+|the\s+)?max(?:imum)?\s+of|maximally|limited\s+to"
    r"|(?:as\s+(?:low|little|few|short)\s+as|down\s+to)|<\s?=|=\s?<|≤|⩽|≦",
    ">=": rf"{_OR_EQUAL['>']}|at\s+(?:the\s+)?least|(?:an?\s+|the\s+)?min(?:imum)?\s+of|minimally"
    r"|as\s+(?:high|long|many|much|deep|fast)\s+as|(?:starting|beginning)\s+(?:at|from)|>\s?=|=\s?>|≥|⩾|≧",
    "<": rf"{_BESIDE['<']}|sub-?|south\s+of|short\s+of|{_THAN['<']}|<",
    ">": rf"{_BESIDE['>']}|(?<!the\s)past|upwards?\s+of|north\s+of|{_THAN['>']}"
    r"|(?:exceed|surpass)(?:e?s|ing|ed)?|topp?(?:s|ing|ed)|in\s+excess\s+of|>",
    "about": r"about|around|approx(?:imately|\.)?|roughly|circa|ca\.|close\s+to|near(?:ly)?|almost|~|≈"
    r"|in\s+the\s+(?:region|vicinity|neighbou?rhood)\s+of",
    "reached": r"reach(?:es|ed|ing)?|hit(?:s|ting)?|touch(?:es|ed|ing)?",
    "worse": r"worse\s+than",
    "better": r"better\s+than",
}  # fmt: skip
_AFTERWARDS = {
    "<=": rf"(?:or|and)\s+(?:{_MORE_THAN['<']}|{_BESIDE['<']}|down(?:wards)?)"
    r"|at\s+(?:the\s+)?most|(?:at\s+a\s+)?max(?:imum)?(?=\s*(?:$|[,;)]))|tops",
    ">=": rf"(?:or|and)\s+(?:{_MORE_THAN['>']}|{_BESIDE['>']}|up(?:wards?)?|onwards?)|onwards?|upwards?"
    r"|at\s+(?:the\s+)?least|(?:at\s+a\s+)?minimum(?=\s*(?:$|[,;)]))|\+(?!\s*/)|plus(?!\s+(?:or|\d))",
    "about": r"or\s+(?:so|thereabouts)|[-–]?ish|give\s+or\s+take",
    "worse=": r"or\s+worse",
    "better=": r"or\s+better",
}
# What was going down or up, before `to 84 %`: that value was reached.
GOES = {
    "<=": r"(?:(?:f[ae]ll|drop|dip|sink|sank|decreas|declin|desaturat|plung|plummet|slid|slip|crash|reduc"
    r"|slow(?!er))\w*|(?:go(?:es|ing|ne)?|went)\s+down)",
    ">=": r"(?:(?:ris(?=e|ing)|rose|increas|climb|jump|shoot|shot|soar|spik|accelerat|surg|elevat)\w*"
    r"|(?:go(?:es|ing|ne)?|went)\s+up)",
}
_WENT = {  # `a drop in SpO2 to 84`
    sign: re.compile(rf"\b{words}\s+(?:[io][nf]\s+(?:\S+\s+){{1,3}})?(?:(?:down|up)\s+)?$")
    for sign, words in GOES.items()
}
_AFFIRMED = {"no <": ">=", "no >": "<="}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}  # `60 < HR` says `HR > 60`
_END = r"(?![\w%])"
# A length of time, with groups `n` (absent in `last hour`) and `unit`.
DURATION = rf"(?:(?P<n>{NUMBER})[-\s]*)?(?P<unit>{UNITS['s']}|{UNITS['min']}|{UNITS['h']}){_END}"
_BOTH = re.compile(r"\s*[,&]\s*|\s*,?\s*(?:and|but|yet)\s+(?:(?:is|are|still|also)\s+)*")
_TO = r"\s*(?:(?:(?:down|up)\s+)?to|through|-|–|—|\.\.+|…)\s*"
# After hours or minutes: `6 h 30 min`, `an hour and a half`.
_MORE = r"(?:(?<=h)|(?<=hr)|(?<=hrs)|(?<=hour)|(?<=hours)|(?<=min)|(?<=mins)|(?<=minute)|(?<=minutes))" \
        rf"(?:\s+and\s+a\s+half\b|(?<=h)\s?[0-5]\d(?!\w)" \
        rf"|\s*(?:and\s+)?\d{{1,2}}\s*(?:{UNITS['s']}|{UNITS['min']}|m){_END})"  # fmt: skip
_AGES = r"(?:the\s+)?ages?\s+(?:of\s+)?"


def _any(said: dict[str, str]) -> str:
    return "|".join(f"(?:{words})" for words in said.values())


def _number(name: str) -> str:
    unit = rf"(?:[-\s]*(?P<unit_{name}>{_UNIT})(?:{_END}|(?<=\dh)(?=[0-5]\d(?!\w)))(?P<more_{name}>{_MORE})?)?(?!\w)"
    return rf"(?P<{name}>{NUMBER})(?P<half_{name}>\s+and\s+a\s+half\b)?{unit}"


_RANGE = re.compile(
    r"(?:\b(?P<between>between|b/w|from|within|(?:in\s+the\s+)?rang(?:es?|ed|ing)(?:\s+(?:of|from|between))?)\s*:?\s+"
    rf"(?P<age>{_AGES})?{_number('a')}(?:\s*and\s*|{_TO}){_number('b')})|{_number('c')}{_TO}{_number('d')}"
)
_HALF_OPEN = re.compile(  # `15 to less than 30`
    rf"(?:\bfrom\s+)?{_number('a')}{_TO}(?:{_THAN['<']}|{_BESIDE['<']}|<)\s*{_number('b')}"
)
_EITHER_WAY = re.compile(rf"{_number('a')}\s*(?:±|\+\s?/\s?[-–−]|plus\s+or\s+minus)\s*{_number('b')}")
# `reaches 120 or more`; not `above 90 and below 95`
_AFTER = rf"\s*,?\s*(?P<after>{_any(_AFTERWARDS)})(?!\s*\w*\s*th[ae]n)(?!\w|\s*{NUMBER})"
_MOVED = re.compile(rf"\bto\s+{_number('a')}(?:{_AFTER})?(?!{_TO}[<\d])")
_PREFIXED = re.compile(
    rf"(?:(?<!\w)(?=[a-z])|(?<![<>=])(?![a-z]))(?P<said>{_any(_SAID)})\s*(?P<age>(?<=\s){_AGES})?{_number('a')}(?:{_AFTER})?"
)
_SUFFIXED = re.compile(rf"(?:\bfrom\s+)?{_number('a')}{_AFTER}")
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
    one (`worse`, `reached`). unit: one of UNITS, or None where none was said. said: the words; `reversed` stands
    before its owner.
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
        if way == "reached":  # who does not reach a value stays below it
            return replace(self, symbol="<" if denied else f"{worse or '>'}=")
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
            return f"{column} {_AFFIRMED.get(self.symbol, self.symbol)} {low}"
        high = figure(self.high * factor)
        above, _, below = self.symbol.removeprefix("no ").partition(" ")
        span = f"{column} {above} {low} AND {column} {below} {high}" if below else f"{column} BETWEEN {low} AND {high}"
        return f"NOT ({span})" if self.symbol.startswith("no ") else span


def figure(value: float) -> str:
    """A number as SQL takes it."""
    return f"{value:.10g}"


def comparisons(text: str) -> list[Comparison]:
    """Every comparison in lower-case `text`, none inside another, in order; `above 15 and below 30` is one."""
    found = [c for pattern, read in _READ for m in pattern.finditer(text) if (c := read(m))]
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
    signs = [_AFFIRMED.get(c.symbol, c.symbol) for c in (first, second)]
    if set("".join(signs)) - set("<>=") or signs[0][0] == signs[1][0] or "=" in signs:
        return None
    if second.unit != first.unit and (first.unit or second.unit == "years"):
        return None
    (above, low), (below, high) = sorted(zip(signs, (first.low, second.low), strict=True), reverse=True)
    if low >= high:
        return None
    return replace(
        first, stop=second.stop, symbol=f"{above} {below}", low=low, high=high, unit=second.unit, said="both"
    )


def _range(match: re.Match[str]) -> Comparison:
    first, second = ("a", "b") if match["a"] else ("c", "d")
    unit = unit_of(match[f"unit_{second}"]) or unit_of(match[f"unit_{first}"])
    values = _value(match, first), _value(match, second)
    if match["between"] == "from" and (sign := _went(match)):  # `falls from 95 to 85`
        return Comparison(*match.span(), sign, values[1], None, unit, "to")
    unit = "years" if match["age"] and unit is None else unit
    return Comparison(*match.span(), "between", min(values), max(values), unit, match["between"] or "to")


def _half_open(match: re.Match[str]) -> Comparison | None:
    low, high, unit = _value(match, "a"), _value(match, "b"), unit_of(match["unit_b"]) or unit_of(match["unit_a"])
    return Comparison(*match.span(), ">= <", low, high, unit, "both") if low < high else None


def _either_way(match: re.Match[str]) -> Comparison:
    middle, apart, unit = _value(match, "a"), _value(match, "b"), unit_of(match["unit_b"]) or unit_of(match["unit_a"])
    return Comparison(*match.span(), "between", middle - apart, middle + apart, unit, "about")


def _moved(match: re.Match[str]) -> Comparison | None:
    sign = _went(match)
    return _one_sided(match, sign, "to") if sign else None


def _went(match: re.Match[str]) -> str | None:
    """The sign for a value that something went to, by the word before the match."""
    before = match.string[: match.start()]
    return next((sign for sign, went in _WENT.items() if went.search(before)), None)


def _prefixed(match: re.Match[str]) -> Comparison:
    return _one_sided(match, _symbol(match["said"], _SAID), match["said"], "years" if match["age"] else None)


def _suffixed(match: re.Match[str]) -> Comparison:
    return _one_sided(match, "", match["after"])


def _one_sided(match: re.Match[str], symbol: str, said: str, meant: str | None = None) -> Comparison:
    low, high = _value(match, "a"), None
    after = _symbol(match["after"], _AFTERWARDS) if match["after"] else ""
    symbol = after if after and not (symbol and after == "about") else symbol  # `below 85 or so` is below
    if symbol == "about":  # five per cent either way: the filter shows it
        low, high = low * 0.95, low * 1.05
    return Comparison(*match.span(), symbol, low, high, unit_of(match["unit_a"]) or meant, said)


def _turned(match: re.Match[str]) -> Comparison:
    symbol = _MIRRORED[_symbol(match["said"], {sign: _SAID[sign] for sign in _MIRRORED})]
    return Comparison(*match.span(), symbol, _value(match, "a"), None, unit_of(match["unit_a"]), "reversed")


def _decade(match: re.Match[str]) -> Comparison:
    low, high = sorted((_ten(match["a"]), _ten(match["b"] or match["a"])))
    unit = None if match["whose"] == "the" else "years"
    return Comparison(*match.span(), ">= <", low, high + 10, unit, "decade")


def _ten(said: str) -> float:
    return 10.0 * (_DECADES.index(said) + 2) if said in _DECADES else float(said[:2])


_READ = ((_RANGE, _range), (_HALF_OPEN, _half_open), (_EITHER_WAY, _either_way), (_MOVED, _moved),
         (_PREFIXED, _prefixed), (_SUFFIXED, _suffixed), (_REVERSED, _turned), (_DECADE, _decade))  # fmt: skip


def _value(match: re.Match[str], name: str) -> float:
    """The number of that name in its own unit, with what is said after it: `an hour and a half`."""
    number, more, unit = value(match[name]), match[f"more_{name}"] or "", unit_of(match[f"unit_{name}"])
    if match[f"half_{name}"] or more.endswith("half"):
        return number + 0.5
    if rest := re.search(r"(\d+)\s*([a-z]*)", more):
        return number + float(rest[1]) * SECONDS[unit_of(rest[2]) or "min"] / SECONDS.get(unit or "", 3600.0)
    return number


def value(said: str) -> float:
    """The value of a number in digits or words; `a` is one, `half a` a half."""
    words = [word for word in said.replace("-", " ").split() if word != "and"]
    if "hundred" in words:
        return 100.0 + sum(_VALUES[word] for word in words[words.index("hundred") + 1 :])
    if "dozen" in words:
        return 12.0
    if "quarter" in words:
        return 0.25
    if words[0] in ("half", "a", "an"):
        return 0.5 if words[0] == "half" else 1.0
    if words[0] in _VALUES:
        return sum(_VALUES[word] for word in words)
    hours, _, minutes = said.replace(",", ".").partition(":")
    return float(hours) + float(minutes or 0) / 60


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
