"""Whose number it is: the quantities that a comparison beside a phrase of the lexicon may be of, likeliest first.

desaturations > 4 %  the depth     SpO2 falling by 8 points  the fall     T90 over 30 min  the minutes
arousals > 20/h      the index     alpha above 40 %          the power    slow waves > 75 µV  their amplitude
"""

import re
from collections.abc import Iterator

from encoders.captions import Lexicon, Match, Quantity
from retrieval.numbers import GOES, Comparison
from retrieval.vocabulary import meant_by, moved_of, moves, per_hour_of, sibling_of

_MOVE_OF = {sign: re.compile(rf"\b{words}\s+(?:in|of)\s+(?:the\s+)?$") for sign, words in GOES.items()}
_MOVING = {sign: re.compile(rf"\b{words}") for sign, words in GOES.items()}
_BY = re.compile(r"\b(?:by|of)\s*$")
_TO = re.compile(r"\bto\b")
MOST_MOVED = 40  # a heart rate or saturation above it is a level: `heart rate rises above 100`


def owners(lexicon: Lexicon, m: Match, c: Comparison, before: str, gap: str) -> tuple[list[Quantity], int]:
    """The quantities, and how many characters of `before`, the text up to `m`, say so; `gap` is what parts the two."""
    names, said = list(_of_concept(lexicon, m, c)), 0
    if m.quantity:
        move, said = _move(m.quantity, c, before, gap)
        names = [move] if move else [m.quantity.id, sibling_of(m.quantity.id)]
    if re.search(r"\bby\s*$", gap):  # `AHI reduced by more than 20` is of no AHI above 20
        names = [name for name in names if name in moves()]
    return [lexicon.quantities[name] for name in names if name in lexicon.quantities], said


def _of_concept(lexicon: Lexicon, m: Match, c: Comparison) -> Iterator[str | None]:
    concept = m.concept
    if concept is None:
        return
    if c.unit == "/h":
        yield per_hour_of(concept.id)
    yield meant_by(concept.id)
    quantities = lexicon.quantities.values()
    yield from (q.id for q in quantities if q.of == concept.id and q.asked and q.asked[0] <= c.low < q.asked[1])
    yield from (i.quantity.id for i in Lexicon({}, lexicon.quantities).find(m.text) if i.quantity)
    if c.unit:  # `alpha 8-12` is of hertz
        yield from (q.id for q in quantities if q.fact == concept.id or q.mean == concept.evidence)


def _move(q: Quantity, c: Comparison, before: str, gap: str) -> tuple[str | None, int]:
    """What a quantity rises or falls by, where that is meant: `falls by 5`, `a rise of over 10`, `drop > 4`."""
    for sign, moved in moved_of(q.id).items():
        noun = _MOVE_OF[sign].search(before)
        by = _BY.search(gap) or (not c.below and c.low < MOST_MOVED)
        if (noun or _MOVING[sign].search(gap)) and by and not _TO.search(gap) and c.said != "to":
            return moved, len(noun[0]) if noun else 0
    return None, 0
