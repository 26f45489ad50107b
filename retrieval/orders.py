"""The grammar of order: two events or stages, one after the other, near each other, linked, or one without the other.

    arousal within 30 s after a hypopnea · desaturation following an apnea · apnea ending in an arousal
    limb movement within 5 s of an arousal · arousal before a desaturation · arousal followed by wake
    hypopneas without arousal · apneas not followed by a desaturation · no arousal after a hypopnea
    REM then wake · N3 followed by N1 · wake after REM · transition from N2 to REM

Where no seconds are said, a respiratory event and its desaturation or arousal pair by their links, stages stand in
neighbouring epochs, and any other two lie within DEFAULT_S of each other. What was taken is said beside the filter.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from encoders.captions import Lexicon, Match
from encoders.captions.links import WINDOW_S
from retrieval import phrases
from retrieval.asked import Filter
from retrieval.numbers import DURATION, SECONDS, Comparison, comparisons, unit_of, value
from retrieval.relations import Order, Pair, Side, linkable
from retrieval.times import Reading, said

DEFAULT_S = 30.0  # from the end of the one to the start of the other, where nothing was said
BESIDE_S = 5.0  # `without`, of two events that no link tells of

_SOON = r"(?:(?:directly|immediately|shortly|soon|right|just|closely|promptly|quickly|straight)\s+)?"
_THAT = (
    r"(?:[\s,;:(]|\b(?:that|which|who|and(?=\s+then)|but(?=\s+(?:not|without))|is|are|was|were|be|being|been|has|have|had|each|all|always|usually|occur(?:s|red|ring)?|happen(?:s|ed|ing)?|"
    r"start(?:s|ed|ing)?|begin(?:s|ning)?|began|com(?:es?|ing)|came|appear(?:s|ed|ing)?|aris(?:es?|ing)|seen|found|scored|"
    r"events?|epochs?|periods?|episodes?|sleep)\b)*"
)
_A = (
    r"(?:\s*\b(?:an?|the|any|another|each|every|some|its|their|this|that|single|scored|subsequent|later|following|new|associated|"
    r"preceding|previous|prior|onset\s+of|epochs?\s+of|stage|an\s+epoch\s+of)\b)*\s*"
)
_NOT = r"(?P<no>(?:not|never|no\s+longer|n['’]t|don['’]?t|doesn['’]?t|without|isn['’]?t|aren['’]?t|wasn['’]?t|weren['’]?t|do\s+not|does\s+not|did\s+not)\s+(?:being\s+|be\s+)?)?"  # noqa: E501
_SPAN = (
    r"(?:within|inside|in\s+under|(?:in|during)(?=\s+the\b)|(?:in\s+)?(?:(?:no|not)\s+(?:more|later)|less|fewer)\s+than|under|up\s+to|"
    r"at\s+most|<\s?=?|≤)\s*"
)
_WITHIN = rf"{_SPAN}(?:the\s+)?(?:(?:first|next|last|previous|following)\s+)?{DURATION}\s*"
# What stands between the two, by what it says of the left one: `left` comes first, `right` does, `near`, `link`.
_CUES: dict[str, str] = {
    "right": rf"{_SOON}(?:(?:after|following)(?:\s+the\s+end\s+of)?|post|behind|subsequent\s+to|due\s+to|"
    r"(?:preceded|caused|triggered|provoked|induced|brought\s+on)\s+by|resulting\s+from|secondary\s+to|in\s+response\s+to)",
    "left": rf"{_SOON}(?:before|preceding|precedes?|prior\s+to|ahead\s+of|followed\s+{_SOON}by|(?:and\s+)?then|→|->|"
    r"=>|into|lead(?:s|ing)?\s+(?:up\s+)?to|led\s+to|caus(?:es?|ing)|trigger(?:s|ing)?|provok(?:es?|ing)|produc(?:es?|ing)|"
    r"result(?:s|ing|ed)?\s+in|induc(?:es?|ing)|(?:progress|chang|turn|evolv|morph)(?:s|es|ing)?\s+(?:in)?to|giv(?:es?|ing)\s+way\s+to|(?:and|with)\s+(?:an?\s+)?subsequent)",
    "ends": r"(?:end(?:s|ed|ing)?|terminat(?:es|ed|ing))\s+(?:in|with|by)|with\s+a\s+terminal",
    "link": r"with|w/(?!o)|(?:linked|associated|together|combined|accompanied|coupled)\s+(?:to|with|by)|"
    r"that\s+ha(?:s|ve)",
    "none": rf"{phrases.WITHOUT}|(?:with|and|but|has|have|having)\s+(?:no|zero|nil)|un(?:accompanied|followed)\s+by",
}  # fmt: skip
_PLAIN = {name: re.compile(rf"{_THAT}{_NOT}(?:{cue}){_A}") for name, cue in _CUES.items()}
_TIMED = re.compile(
    rf"{_THAT}{_NOT}(?:followed\s+|preceded\s+)?{_WITHIN}(?:(?P<right>after|following|post)"
    rf"|(?P<left>before|preceding|prior\s+to)|(?P<near>of|from|around)){_A}"
)
_BY_WITHIN = re.compile(rf"{_THAT}{_NOT}(?P<how>followed|preceded)\s+{_WITHIN}by{_A}")
_ALSO_WITHIN = re.compile(rf"\s*,?\s*{_WITHIN}(?!\s*(?:of|after|before|from)\b)")
_MOVES = re.compile(
    r"(?:\b(?:transitions?|changes?|switch(?:es)?|shifts?|passage|going|goes|moving|moves?|passing|progression)\s+)?\bfrom\s+(?:the\s+)?$"
    r"|\b(?:transitions?|transitioning|changes?|switch(?:es)?|shifts?)\s+(?:of\s+|out\s+of\s+)?$"
)
_FROM = re.compile(r"\s*(?:up\s+)?(?:from|out\s+of)\s+")  # `waking up from REM`
_TO = re.compile(rf"\s*(?:sleep\s*)?[\s-]*(?:in)?to[\s-]*{_A}")
_EDGE = re.compile(r"\s+(?:sleep\s+)?(?:onset|offset|ends?|latency|study|quality)\b")  # `after sleep onset`
_MOVE_NOUN = re.compile(r"\s+(?:sleep\s+)?(?:transitions?|changes?|switch(?:es)?|shifts?)\b")


def orders(text: str, original: str, matches: Sequence[Match], lexicon: Lexicon) -> Iterator[Reading]:
    """Every pair that lower-case `text` tells of, with what it holds of the lexicon's matches."""
    passed_over: list[Match] = []
    for n, left in enumerate(matches):
        if left in passed_over:
            continue
        for right in matches[n + 1 :]:
            first, second = _kind(left, lexicon), _kind(right, lexicon)
            if not first or not second:
                break
            between = [m for m in matches if left.stop <= m.start and m.stop <= right.start]
            if found := _pair(text, original, left, right, between, lexicon):
                yield from _going_on(text, original, found, left, right, matches, lexicon)
                passed_over += between
                break
            if first != "event" or second == "event":
                break  # places between an event and its cue may be passed over: `hypopnea in REM followed by arousal`


def _kind(m: Match, lexicon: Lexicon) -> str | None:
    concept = m.concept or (lexicon.concepts.get(m.quantity.fact or "") if m.quantity else None)
    if concept is None or (concept.kind == "event" and not Side(concept).names):
        return None
    return concept.kind if concept.kind in ("event", "stage", "position") else None


def _side(m: Match, lexicon: Lexicon, length: Comparison | None = None) -> Side:
    concept = m.concept or lexicon.concepts[(m.quantity.fact or "") if m.quantity else ""]
    return Side(concept, length)


def _pair(
    text: str, original: str, left: Match, right: Match, between: Sequence[Match], lexicon: Lexicon
) -> Reading | None:
    """The pair that two matches make by what stands between them, before them and after them."""
    if "position" in (_kind(left, lexicon), _kind(right, lexicon)) or any(
        _EDGE.match(text, m.stop) for m in (left, right)
    ):
        return None
    gap, length, cue_start = _bared(text, left, right, between)
    start, stop = left.start, right.stop
    staged = _kind(left, lexicon) == "stage", _kind(right, lexicon) == "stage"
    if not between and _TIMED.fullmatch(text, left.stop, right.start):  # `arousal < 5 s after an apnea`
        gap, length, cue_start = text[left.stop : right.start], None, left.stop
    within, timed, denied = None, None, False
    name = next((name for name, cue in _PLAIN.items() if (timed := cue.fullmatch(gap))), "")
    if not name and (timed := _TIMED.fullmatch(gap)):
        name = next(g for g in ("right", "left", "near") if timed[g])
    if not name and (timed := _BY_WITHIN.fullmatch(gap)):
        name = "left" if timed["how"] == "followed" else "right"
    if not name and all(staged) and _FROM.fullmatch(gap) and left.concept and left.concept.id == "wake":
        name = "right"
    if timed is None and all(staged) and _TO.fullmatch(gap):
        before, after = _MOVES.search(text[: left.start]), _MOVE_NOUN.match(text, right.stop)
        if before or after:
            name = "left"
            start, stop = before.start() if before else start, after.end() if after else stop
    if not name:
        return None
    denied = timed is not None and bool(timed["no"])
    late_length = _length_after(text, right) if not staged[1] else None
    if late_length:
        stop = late_length.stop
    if timed is not None and "n" in timed.groupdict():
        within = _seconds(timed)
        if within is None:
            return None
    elif (also := _ALSO_WITHIN.match(text, stop)) and (within := _seconds(also)) is not None:
        stop = also.end()
    sides = _side(left, lexicon, length), _side(right, lexicon, late_length)
    gaps = [(start, left.start), (cue_start, right.start), (right.stop, stop)]
    cue = phrases.DENIED.search(text[:start])
    if cue and (denied or name == "none" or cue["twice"]):
        return None  # `no hypopneas without arousal`: two denials, and it is not clear of what
    if cue and name != "none" and not all(staged):
        gaps[0] = (cue.start(), left.start)
        start = cue.start()
    relation = _relation(sides, name, within, staged, denied, bool(cue) and not all(staged))
    if relation is None:
        return None
    held = tuple(m for m in (left, right) if m.concept)
    words = said(original, start, stop)
    kept = [g for g in gaps if g[0] < g[1]]
    kept = [piece for g in kept for piece in _around(g, between)]
    if relation.alone == "first" or (relation.alone == "second"):
        lacking = (right if (sides[1] is relation.second) == (relation.alone == "first") else left).span
        kept.append(lacking)
    condition = Filter(words, _sql(relation), (), says=_says(relation), relation=relation)
    return Reading(start, stop, condition, tuple(kept), held)


def _relation(
    sides: tuple[Side, Side],
    name: str,
    within: float | None,
    staged: tuple[bool, bool],
    denied: bool,
    left_denied: bool,
) -> Pair | None:
    left, right = sides
    first, second = (right, left) if name == "right" else sides
    lacking = "left" if left_denied else "right" if denied or name == "none" else ""
    if name in ("link", "none") and (any(staged) or (name == "link" and not linkable(left, right))):
        return None  # `REM without arousals` and `arousal with limb movement` ask of one epoch
    if name == "near" and (any(staged) or within is None):
        return None
    if any(staged) and lacking:
        return None
    order: Order = "after"
    if name == "near":
        order, window_s = "near", within or 0.0
    elif within is not None:
        window_s = within
    elif name in ("link", "none", "ends") and linkable(left, right):
        order, window_s = "linked", 0.0
    elif name == "none":
        order, window_s = "near", BESIDE_S
    elif linkable(first, second) and set(second.names) <= WINDOW_S.keys():
        order, window_s = "linked", 0.0
    else:
        window_s = 0.0 if all(staged) else BESIDE_S if name == "ends" else DEFAULT_S
    alone: Literal["", "first", "second"] = ""
    if lacking:
        subject = right if lacking == "left" else left
        alone = "first" if subject is first else "second"
    return Pair(first, second, order, window_s, alone, measured=name == "link")


def _bared(text: str, left: Match, right: Match, between: Sequence[Match]) -> tuple[str, Comparison | None, int]:
    """What stands between two matches without places (`in REM`), and without how long the left one is, which is given
    apart; where what is read begins: a number of another unit is left to be read as a filter of its own."""
    gap = text[left.stop : right.start]
    for m in reversed(between):
        before = re.sub(r"\b(?:in|during|on|while)\s+(?:the\s+)?$", "", gap[: m.start - left.stop])
        gap = before + " " + gap[m.stop - left.stop :]
    first = next(iter(comparisons(gap)), None)
    before = gap[: first.start].rstrip() if first else ""
    if (
        first
        and phrases.LINK.fullmatch(gap[: first.start])
        and not before.endswith("within")
        and first.said != "within"
    ):
        lasting = first.unit in SECONDS and left.concept is not None and left.concept.kind == "event"
        rest = gap[first.stop :]
        if lasting and not between:
            return rest, _shifted(first, left.stop), left.stop
        if not between and first.unit not in SECONDS:
            return rest, None, left.stop + first.stop
    return gap, None, left.stop


def _length_after(text: str, m: Match) -> Comparison | None:
    """How long an event must be, said just after it: `after an apnea longer than 20 s`."""
    first = next((c for c in comparisons(text[m.stop :]) if c.unit in SECONDS), None)
    if first is None or not phrases.LINK.fullmatch(text[m.stop : m.stop + first.start]):
        return None
    return _shifted(first, m.stop)


def _shifted(c: Comparison, by: int) -> Comparison:
    factor = SECONDS[c.unit or "s"]
    high = None if c.high is None else c.high * factor
    return replace(c, start=c.start + by, stop=c.stop + by, low=c.low * factor, high=high, unit="s")


def _seconds(m: re.Match[str]) -> float | None:
    unit = unit_of(m["unit"])
    return value(m["n"]) * SECONDS[unit] if m["n"] and unit in SECONDS else None


def _around(gap: tuple[int, int], between: Sequence[Match]) -> Iterator[tuple[int, int]]:
    """The pieces of a gap that hold no match of their own: places in it are still facts."""
    at = gap[0]
    for m in between:
        if gap[0] <= m.start and m.stop <= gap[1]:
            yield at, m.start
            at = m.stop
    yield at, gap[1]


def _going_on(
    text: str, original: str, found: Reading, left: Match, right: Match, matches: Sequence[Match], lexicon: Lexicon
) -> Iterator[Reading]:
    """The reading, and one for each further event that the left one must do without: `without arousals or apneas`."""
    yield found
    pair = found.condition.relation
    if not isinstance(pair, Pair) or pair.alone != "first" or found.stop != right.stop:
        return
    for m in matches[matches.index(right) + 1 :]:
        goes_on = phrases.GOES_ON.fullmatch(text, right.stop, m.start)
        if not goes_on or _kind(m, lexicon) != "event" or goes_on["how"] not in ("or", "nor", "/"):
            return
        other = _side(m, lexicon)
        linked: Order = "linked" if linkable(pair.first, other) else "near"
        relation = Pair(pair.first, other, linked, 0.0 if linked == "linked" else BESIDE_S, "first")
        words = f"{original[left.start : left.stop]} without {original[m.start : m.stop]}"
        condition = Filter(words, _sql(relation), (), says=_says(relation), relation=relation)
        yield Reading(right.stop, m.stop, condition, ((right.stop, m.stop),), (m,))
        right = m


# ---- how it is shown


def _name(side: Side) -> str:
    return f"{side.concept.id}[{side.length.sql('s')}]" if side.length else side.concept.id


def _sql(pair: Pair) -> str:
    sql = f"{pair.order}({_name(pair.first)}, {_name(pair.second)}"
    sql += ")" if pair.order == "linked" else f", {pair.within_s:g} s)"
    return f"{getattr(pair, pair.alone).concept.id} NOT {sql}" if pair.alone else sql


def _says(pair: Pair) -> str:
    first, second = pair.first.concept.say[0], pair.second.concept.say[0]
    if pair.order == "linked":
        late, breath = (second, first) if set(pair.second.names) <= WINDOW_S.keys() else (first, second)
        name = (pair.second if late == second else pair.first).names[0]
        says = f"{late} linked to {breath}: starts from its start to {WINDOW_S[name]:g} s after its end"
    elif pair.order == "near":
        says = f"{first} and {second} with at most {pair.within_s:g} s between them"
    elif pair.within_s == 0 and not (pair.first.names or pair.second.names):
        says = f"{second} in the epoch after {first}"
    else:
        says = f"{second} starts after the start of {first} and up to {pair.within_s:g} s after its end"
    alone = pair.second if pair.alone == "second" else pair.first
    return f"{alone.concept.say[0]} of which this does not hold: {says}" if pair.alone else says
