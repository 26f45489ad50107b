"""The grammar of time within a night: windows, the clock, periods and runs, each read into one visible filter.

    first third of the night · second half · last hour · first 90 minutes of sleep · third hour of the recording
    before 2 am · after midnight · between 11 pm and 1 am · from 22:30 to 23:15 · at 03:15
    first REM period · last N3
    at least 3 epochs in a row · for at least 5 minutes · N3 longer than 10 minutes

The clock goes round: `before 2 am` is the twelve hours before it, `after 2 am` the twelve from it on.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from encoders.captions import Match
from encoders.recordings.timeline import DAY_S
from retrieval import phrases
from retrieval.asked import Filter
from retrieval.numbers import DURATION, NUMBER, SECONDS, Comparison, figure, unit_of, value
from retrieval.relations import Period, Run, Whole, Window

Span = tuple[int, int]

_NTH = {"first": 1, "1st": 1, "opening": 1, "initial": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4,
        "4th": 4, "fifth": 5, "5th": 5, "sixth": 6, "6th": 6, "seventh": 7, "eighth": 8, "last": -1, "final": -1,
        "closing": -1, "former": 1, "earlier": 1, "latter": -1, "later": -1}  # fmt: skip
_ORDINAL = "|".join(_NTH)
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "1/2": 2, "1/3": 3, "1/4": 4, "1/5": 5}
_IN = r"(?P<denied>(?:\b(?:not|outside(?:\s+of)?|except(?:\s+for)?|excluding|other\s+than)\s+)?)" \
      r"(?:\b(?:in|during|within|over|throughout|from|of|for)\s+)?(?:\bthe\s+)?\b"  # fmt: skip
_OF = (
    r"(?:\s+(?:of|in|after|following|from|since)\s+(?:the\s+|each\s+|every\s+|a\s+|their\s+|his\s+|her\s+|this\s+|that\s+)?"
    r"(?:whole\s+|entire\s+)?(?:(?P<night>nights?|time\s+in\s+bed|studies|study|lights[\s-]+o(?:ff|ut))"
    r"|(?P<recording>recordings?|files?)|(?P<sleep>sleep\s+period|sleep\s+onset|sleep))\b|\s+before\s+lights[\s-]+on\b)?(?!\s+(?:of|an?|hours?)\b)(?!\w)"
)
_SHARE = re.compile(rf"{_IN}(?P<nth>{_ORDINAL}|middle)[\s-]+(?P<part>{'|'.join(_PARTS)}){_OF}")
_PERCENT = re.compile(rf"{_IN}(?P<nth>{_ORDINAL})\s+(?P<n>{NUMBER})[\s-]*(?:%|per\s?cent){_OF}")
_HOURS = re.compile(rf"{_IN}(?P<nth>{_ORDINAL})[\s-]+{DURATION}{_OF}")
_WITHIN = r"(?P<denied>(?:\b(?:not|outside(?:\s+of)?)\s+)?)" \
          r"(?:\b(?:within|in|during|over|for)\s+(?:the\s+)?|\bthe\s+)(?:first\s+)?"  # fmt: skip
_ONSET = re.compile(
    rf"{_WITHIN}{DURATION}\s+(?:of|after|from|following)\s+(?:the\s+)?"
    r"(?:(?P<sleep>sleep\s+onset|onset\s+of\s+sleep|falling\s+asleep)|(?P<night>lights[\s-]+o(?:ff|ut))"
    r"|(?P<recording>start\s+of\s+(?:the\s+)?recording|recording\s+start))\b"
)
_SAID_OF = {"night": "the night", "sleep": "the sleep period, from its first to its last sleep", "recording":
            "the recording"}  # fmt: skip
NIGHT_SAYS = "the night from lights off to on where these are known, else the sleep period, else the recording"

_CLOCK = (
    r"(?:(?P<{0}h>\d{{1,2}}|(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|one)"
    r"(?=\s*(?:[ap]\.?m|o\W?cl|and\s|to\s|till?\s|until\s|in\s+the|at\s+night|$|[,;?])))"
    r"(?:[:.h](?P<{0}m>[0-5]\d)(?::[0-5]\d)?(?!\d))?\s*(?P<{0}ap>[ap]\.?\s?m\b\.?)?|(?P<{0}name>midnight|noon|midday)"
    r"|(?P<{0}four>(?:[01]\d|2[0-3])[0-5]\d)(?!\d)(?P<{0}hrs>\s*(?:h|hrs?|hours)\b)?)"
)
_DAY = r"(?P<day>(?:in|of)\s+the\s+(?:morning|night|evening|afternoon)|at\s+night)"
_ON = rf"(?:\s+o\W?clock\b)?(?:\s+(?:{_DAY}|h(?:ou)?rs|h)\b)?"
_TO = r"\s*(?:and|to|till|until|[-–—])\s*"
_BETWEEN = re.compile(
    rf"{_IN}(?:(?:between|from)\s+)?(?<![\w.,:]){_CLOCK.format('a')}{_TO}{_CLOCK.format('b')}{_ON}(?![\w:])"
)
_AT = re.compile(
    rf"{_IN}(?:(?P<before>(?<!just\s)(?<!shortly\s)(?<!right\s)before|until|till|up\s+to|prior\s+to|(?<!no\s)earlier\s+than|by"
    r"|no\s+later\s+than)|(?P<after>(?<!just\s)(?<!shortly\s)(?<!right\s)(?:after|past)|since|from|(?<!no\s)later\s+than|"
    r"no\s+(?:earlier|sooner)\s+than)"
    rf"|(?P<at>at|@))\s+(?:about\s+)?{_CLOCK.format('a')}{_ON}(?:\s+on(?:wards)?\b)?(?![\w:%])(?!\s*[-–]\d)"
)
_NEXT_TO = re.compile(  # `in the hour after midnight`
    rf"{_WITHIN}{DURATION}\s+(?:(?P<before>before|until|preceding|prior\s+to)|(?:after|of|from|following|past))\s+"
    rf"{_CLOCK.format('a')}{_ON}(?![\w:%])"
)
_ENDED = re.compile(r"\s*(?:$|[,.;?!)]|(?:in|with|without|on|during|and|or|but|where|when|while|for)\b)")
_IN_ROW = r"in\s+a\s+row|in\s+succession|on\s+end|at\s+a\s+stretch|back\s+to\s+back|consecutively|continuously|without\s+(?:a\s+)?(?:break|interruption)|uninterrupted(?:ly)?"  # noqa: E501
_ADJACENT = r"consecutive|successive|contiguous|continuous|neighbou?ring|adjacent|uninterrupted|unbroken|straight"
_EPOCHS = re.compile(
    rf"\s*(?:(?P<adjacent>{_ADJACENT})\s+)?(?:30[\s-]*s(?:ec\w*)?\s+)?epochs?\b(?P<row>\s*(?:(?:of|in)\s+)?,?\s*(?:{_IN_ROW})\b)?"
)
_BARE_EPOCHS = re.compile(
    rf"(?<![\w.,])(?P<n>\d{{1,4}}|two|three|four|five|six|seven|eight|nine|ten|twelve)(?P<rest>{_EPOCHS.pattern})"
)
_LASTING = re.compile(
    r"\b(?:sustained\s+|stays?\s+|persist\w*\s+|continuous(?:ly)?\s+|uninterrupted\s+|uninterruptedly\s+)?"
    r"(?:for|lasting|lasts?|lasted|sustained|persisting|persists?)\s*$"
)
_AFTER_LENGTH = re.compile(rf"\s*,?\s*(?:{_IN_ROW})\b|\s*of\s+(?:{_ADJACENT}|sustained)\b")
_BARE_LASTING = re.compile(
    rf"\b(?:sustained\s+for|sustained|lasting|for)\s+{DURATION}(?:\s+(?:{_IN_ROW})\b)?"
    rf"|(?P<of>{DURATION.replace('<n>', '<n2>').replace('<unit>', '<unit2>')}\s+of\s+(?:{_ADJACENT}|sustained)\b)"
)
_STRETCH = re.compile(
    r"(?:[\s,]|\b(?:sleep|periods?|episodes?|bouts?|stretch(?:es)?|runs?|that|which|is|are|of|lasting)\b)*"
)
_BOUT = re.compile(r"\b(?:periods?|episodes?|bouts?|stretch(?:es)?|runs?)\b")
_UNBROKEN = re.compile(rf"\b(?:{_ADJACENT}|sustained)\s+$")
_PERIOD = re.compile(
    rf"\b(?:the\s+)?(?P<nth>{_ORDINAL})\s+(?:scored\s+)?(?:(?:period|episode|bout|stretch|phase)\s+of\s+)?$"
)
_PERIOD_NOUN = re.compile(r"\s+(?:sleep\s+)?(?:period|episode|bout|stretch|phase)\b")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of the text `[start, stop)`: a filter, the `gaps` that it takes out of the words, and the matches
    of the lexicon that it `holds`, so that nothing else is read of them."""

    start: int
    stop: int
    condition: Filter
    gaps: tuple[Span, ...]
    held: tuple[Match, ...] = ()


def read_windows(text: str, original: str, matches: Sequence[Match]) -> tuple[list[Reading], list[str]]:
    """Windows and times of day in lower-case `text`, none inside another, and notes on what could not be read.

    Two windows joined by `or` are not read: filters hold together.
    """
    found: list[Reading] = []
    for start, stop, sql, says, window in sorted(_windows(text), key=lambda w: (w[0], -w[1])):
        if not any(r.start < stop and start < r.stop for r in found):
            held = tuple(m for m in matches if m.start < stop and start < m.stop)
            columns = () if window else ("clock_s",)
            condition = Filter(said(original, start, stop), sql, columns, says=says, relation=window)
            found.append(Reading(start, stop, condition, ((start, stop),), held))
    notes: list[str] = []
    for first, second in pairwise(found):
        if re.fullmatch(r"[\s,]*(?:or|and/or|/)\s*", text[first.stop : second.start]):
            notes.append(f"{said(original, first.start, second.stop)!r} was not read: ask for one time after the other")
            found = [r for r in found if r not in (first, second)]
    return found, notes


def said(original: str, start: int, stop: int) -> str:
    """The user's own words there, without what joins them to others."""
    return original[start:stop].strip(" ,;(")


def _windows(text: str) -> Iterator[tuple[int, int, str, str, Window | None]]:
    for m in _SHARE.finditer(text):
        nth, parts = m["nth"], _PARTS[m["part"]]
        number = (parts + 1) / 2 if nth == "middle" else _NTH[nth] if _NTH[nth] > 0 else parts
        if number <= parts and number == int(number):
            yield _windowed(m, (number - 1) / parts, number / parts, in_s=False)
    for m in _HOURS.finditer(text):
        unit = unit_of(m["unit"])
        if unit not in ("h", "min") or (m["n"] is None and m["unit"] not in ("hour", "hr", "h")):
            continue
        length = (value(m["n"]) if m["n"] else 1.0) * SECONDS[unit]
        number = _NTH[m["nth"]]
        if number < 0:
            yield _windowed(m, -length, 0.0, in_s=True)
        elif number == 1 or m["n"] is None:  # `third hour`; `second 30 minutes` is not said so
            yield _windowed(m, (number - 1) * length, number * length, in_s=True)
    for m in _PERCENT.finditer(text):
        share = value(m["n"]) / 100
        if _NTH[m["nth"]] in (1, -1) and 0 < share <= 1:
            first = _NTH[m["nth"]] == 1
            yield _windowed(m, 0.0 if first else 1 - share, share if first else 1.0, in_s=False)
    for m in _ONSET.finditer(text):
        if (m["n"] or m["unit"] == "hour") and (unit := unit_of(m["unit"])):
            yield _windowed(m, 0.0, (value(m["n"]) if m["n"] else 1.0) * SECONDS[unit], in_s=True)
    for m in _NEXT_TO.finditer(text):
        length_s = (value(m["n"]) if m["n"] else 1.0) * SECONDS[unit_of(m["unit"]) or "h"]
        at_s = _clock_s(m, "a", _half(m, "a"))
        if at_s is not None and (_told(m, "a") or m["day"]) and (m["n"] or m["unit"] == "hour"):
            start_s = (at_s - length_s * bool(m["before"])) % DAY_S
            sql = f"(clock_s - {figure(start_s)} + 86400) % 86400 < {figure(length_s)}"
            yield _clocked(m, sql, f"from {_hhmm(start_s)} to {_hhmm(start_s + length_s)} by the recorder's clock")
    for m in _BETWEEN.finditer(text):
        if (span := _clock_span(m)) is not None:
            start_s, length_s = span
            sql = f"(clock_s - {figure(start_s)} + 86400) % 86400 < {figure(length_s)}"
            yield _clocked(m, sql, f"from {_hhmm(start_s)} to {_hhmm(start_s + length_s)} by the recorder's clock")
    for m in _AT.finditer(text):
        at_s = _clock_s(m, "a", _half(m, "a"))
        if at_s is None or not (_told(m, "a") or m["day"]):
            continue
        if m["before"]:
            ahead = f"({figure(at_s)} - clock_s + 86400) % 86400"
            yield _clocked(
                m, f"{ahead} > 0 AND {ahead} <= 43200", f"the twelve hours before {_hhmm(at_s)} by the recorder's clock"
            )
        elif m["after"]:
            sql = f"(clock_s - {figure(at_s)} + 86400) % 86400 < 43200"
            yield _clocked(m, sql, f"the twelve hours from {_hhmm(at_s)} on by the recorder's clock")
        else:
            sql = f"({figure(at_s)} - clock_s + 86400) % 86400 < 30"
            yield _clocked(m, sql, f"the epoch that holds {_hhmm(at_s)} by the recorder's clock")


def _windowed(m: re.Match[str], start: float, stop: float, *, in_s: bool) -> tuple[int, int, str, str, Window]:
    of: Whole = "recording" if m["recording"] else "sleep" if m["sleep"] else "night"
    denied = bool(m["denied"].strip())
    at = f"{start:g} s to {stop:g} s" if in_s else f"{start:.3g} to {stop:.3g}"
    sql = f"{'NOT ' if denied else ''}{of}({at})"
    return m.start(), m.end(), sql, NIGHT_SAYS if of == "night" else _SAID_OF[of], Window(start, stop, of, in_s, denied)


def _clocked(m: re.Match[str], sql: str, says: str) -> tuple[int, int, str, str, None]:
    return m.start(), m.end(), f"NOT ({sql})" if m["denied"].strip() else sql, says, None


def _clock_s(m: re.Match[str], of: str, half: str | None = None) -> float | None:
    """Seconds from midnight of the time named `of`; None for a time that is none."""
    if m[f"{of}name"]:
        return 0.0 if m[f"{of}name"] == "midnight" else DAY_S / 2
    if four := m[f"{of}four"]:
        return int(four[:2]) * 3600.0 + int(four[2:]) * 60.0
    hour = value(m[f"{of}h"])
    half = (m[f"{of}ap"] or half or " ")[0]
    if hour > (24 if half == " " else 12):
        return None
    hour = hour % 12 + (12 if half == "p" else 0) if half in "ap" else hour % 24
    return hour * 3600 + (float(m[f"{of}m"]) * 60 if m[f"{of}m"] else 0.0)


def _clock_span(m: re.Match[str]) -> tuple[float, float] | None:
    """Start and length of `between 2 and 4 am`; a half of the day that is not said is the one that makes it shorter."""
    told, ends = _told(m, "a"), _told(m, "b") or m["day"] is not None
    if m["afour"] or m["bfour"]:
        ends = told = bool(m["afour"] and m["bfour"]) and (_told(m, "a") or _told(m, "b"))
    if not (ends or ((m["aname"] or m["aap"]) and _ENDED.match(m.string, m.end()))) or (m["am"] and not ends):
        return None
    if m["bm"] and not m["bap"] and m["ah"] and not (told or m["aap"]):
        return None  # `2 to 4:30`: whose half is not known
    starts = [s for half in _halves(m, "a") if (s := _clock_s(m, "a", half)) is not None]
    stops = [s for half in _halves(m, "b") if (s := _clock_s(m, "b", half)) is not None]
    spans = [((stop - start) % DAY_S, start) for start in starts for stop in stops]
    length_s, start_s = min(spans, default=(0.0, 0.0))
    return (start_s, length_s) if length_s else None


def _halves(m: re.Match[str], of: str) -> tuple[str | None, ...]:
    """The halves of the day that a time may lie in; None for one that the clock itself tells."""
    if _told(m, of):
        return (None,)
    return (_half(m, of),) if of == "b" and m["day"] else ("a", "p")


def _half(m: re.Match[str], of: str) -> str | None:
    """The half of the day in `11 at night`, `3 in the morning`."""
    if not m["day"] or not m[f"{of}h"] or _told(m, of):
        return None
    late = 6 <= value(m[f"{of}h"]) < 12
    return "a" if "morning" in m["day"] or ("night" in m["day"] and not late) else "p"


def _told(m: re.Match[str], of: str) -> bool:
    four = m[f"{of}four"]
    return bool(m[f"{of}m"] or m[f"{of}ap"] or m[f"{of}name"] or m[f"{of}hrs"] or (four and four[0] == "0"))


def _hhmm(seconds: float) -> str:
    minutes = int(seconds % DAY_S) // 60
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


# ---- runs and periods


def run_of(text: str, original: str, c: Comparison, matches: Sequence[Match]) -> Reading | None:
    """A comparison that says how many epochs in a row, or how long something must last."""
    start, stop, length = c.start, c.stop, None
    if (
        c.unit is None
        and (epochs := _EPOCHS.match(_without(text, matches), c.stop))
        and (epochs["adjacent"] or epochs["row"])
    ):
        stop, length = epochs.end(), _times(c, 30.0)
    elif c.unit in SECONDS:
        before, after = _LASTING.search(text[: c.start]), _AFTER_LENGTH.match(text, c.stop)
        stage = next((m for m in reversed(matches) if m.stop <= c.start), None)
        longer = stage is not None and stage.concept is not None and stage.concept.kind in ("stage", "position")
        gap = text[stage.stop : c.start] if stage else ""
        bout = _BOUT.search(gap) or (stage and _UNBROKEN.search(text[: stage.start]))  # `wake bouts over 10 min`
        longer = (
            longer and (bout or re.match(r"(?:no\s+|not\s+)?(?:longer|shorter)", text[c.start : c.stop])) is not None
        )
        if before or after or (longer and stage and _STRETCH.fullmatch(text[stage.stop : c.start])):
            start, stop = before.start() if before else c.start, after.end() if after else c.stop
            length = _times(c, SECONDS[c.unit])
    return _run(original, start, stop, length, matches) if length else None


def _without(text: str, matches: Sequence[Match]) -> str:
    """The text with what the lexicon knows blanked: `5 REM epochs in a row` is of five epochs in a row."""
    for m in matches:
        text = text[: m.start] + " " * (m.stop - m.start) + text[m.stop :]
    return text


def bare_runs(text: str, original: str, matches: Sequence[Match]) -> Iterator[Reading]:
    """Runs whose length is not compared, and so is the least: `3 epochs in a row`, `for 5 minutes`."""
    for m in _BARE_EPOCHS.finditer(_without(text, matches)):
        if m["adjacent"] or m["row"]:
            low = value(m["n"])
            yield _run(original, m.start(), m.end(), Comparison(*m.span(), ">=", low * 30.0, None, "s", ""), matches)
    for m in _BARE_LASTING.finditer(text):
        number, unit = m["n"] or m["n2"], unit_of(m["unit"] or m["unit2"])
        if unit in ("min", "h") and number:
            low = value(number) * SECONDS[unit]
            yield _run(original, m.start(), m.end(), Comparison(*m.span(), ">=", low, None, "s", ""), matches)


def _times(c: Comparison, factor: float) -> Comparison:
    high = None if c.high is None else c.high * factor
    return Comparison(c.start, c.stop, c.symbol, c.low * factor, high, "s", c.said)


def _run(original: str, start: int, stop: int, length: Comparison, matches: Sequence[Match]) -> Reading:
    says = "epochs in a row, 30 s each, that answer all the rest"
    inside = [m for m in matches if m.concept and start <= m.start and m.stop <= stop]  # still facts
    edges = [start, *(edge for m in inside for edge in m.span), stop]
    condition = Filter(said(original, start, stop), length.sql("run_s"), (), says=says, relation=Run(length))
    return Reading(start, stop, condition, tuple(zip(edges[::2], edges[1::2], strict=True)))


def periods(text: str, original: str, matches: Sequence[Match]) -> Iterator[Reading]:
    """`first REM period`, `last N3`: the n-th period of a stage in each night; the stage stays among the facts."""
    for m in matches:
        before = _PERIOD.search(text[: m.start])
        noun = _PERIOD_NOUN.match(text, m.stop)
        if before is None or m.concept is None or m.concept.kind != "stage" or phrases.EPOCH_AFTER.match(text, m.stop):
            continue
        if m.concept.id == "sleep" and not noun:  # `the last sleep study`
            continue
        stop = noun.end() if noun else m.stop
        number = _NTH[before["nth"]]
        stage = m.concept.say[0]
        which = "last" if number < 0 else str(number)
        says = f"period {which} of {stage} in each night, pauses of up to 15 min left in"
        sql = f"period({m.concept.id}, {which})"
        condition = Filter(said(original, before.start(), stop), sql, (), says=says, relation=Period(m.concept, number))
        gaps = [(before.start(), m.start)] + ([(m.stop, stop)] if noun else [])
        yield Reading(before.start(), stop, condition, tuple(gaps))
