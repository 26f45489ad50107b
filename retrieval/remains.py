"""What is left of a question: the words that nothing took, and notes on what was said and not read."""

import re
from collections.abc import Iterator, Sequence

from encoders.captions import Match
from retrieval import phrases
from retrieval.numbers import LOOSE_DECADE

GAP = "\0"  # stands for what was read
_COMPARED = r"(?:below|under|above|over|than|least|most|[<>≤≥=])"
Span = tuple[int, int]


def left_over(original: str, matches: Sequence[Match], read: Sequence[Span], but: Sequence[Span] = ()) -> str:
    """The words without the spans that were read; misspelt terms stand as they were understood."""
    left = list(original)
    for m in matches:
        if m.typo:
            left[m.start : m.stop] = [m.typo, *[""] * (m.stop - m.start - 1)]
    for start, stop in read:
        for n in range(start, stop):
            left[n] = left[n] if any(a <= n < b for a, b in but) else GAP
    joins = rf"(?:(?:\b(?:{phrases.JOINS})\b|[,;(])\s*)*"
    text = re.sub(rf"{joins}{GAP}+[),;]?", " ", "".join(left), flags=re.I)
    text = re.sub(r"\s+", " ", text).strip(" ,;.?!()")
    text = re.sub(rf"^(?:\b(?:{phrases.JOINS})\b[\s,]*)+|(?:[\s,]*\b(?:{phrases.JOINS}))+$", "", text, flags=re.I)
    return text if re.search(r"[^\W\d_]", phrases.FILLER.sub("", text.lower())) else ""


def unread(
    text: str,
    original: str,
    matches: Sequence[Match],
    read: Sequence[Span],
    loose: Sequence[Match],
    notes: Sequence[str],
) -> Iterator[str]:
    """Notes on numbers, ages, times and orders that nothing took up, beyond `notes`.

    text: lower case, blank where it was read. read: spans that are no match. loose: quantities that no number took.
    """
    taken = [*read, *(m.span for m in matches)]
    free = "".join(" " if any(a <= n < b for a, b in taken) else c for n, c in enumerate(text))
    for number in re.finditer(r"(?<![\w.,])\d+(?:[.,:]\d+)*(?:\s*%|\s?[ap]m\b|(?!\w))", free):
        if not any(number[0].strip(" %") in note for note in notes):
            yield f"the number {number[0]!r} was not read: say below, above, at least or between"
    for number in re.finditer(rf"{_COMPARED}\s*(\d+[a-z]\w*)", free):
        yield f"the number {original[number.start(1) : number.end(1)]!r} was not read: its unit is not known here"
    for m in loose:
        if number_word := phrases.NUMBER_AFTER.match(free, m.stop):  # `AHI thirty`
            yield f"the number {number_word['n']!r} was not read: say below, above, at least or between"
    for decade in LOOSE_DECADE.finditer(free):
        yield f"{decade[0]!r} was not read: say a range, as `80-84`"
    for old in phrases.VAGUE_AGE.finditer(text):
        if not any(a <= old.start() < b for a, b in read):
            yield f"{old[0]!r} was not read as an age: say one, as `over 65`"
    for when in phrases.VAGUE_TIME.finditer(free):
        yield f"{when[0]!r} was not read: say a time, as `between 1 and 4 am`"
    if order := phrases.ORDER.search(phrases.VAGUE_TIME.sub(lambda m: " " * len(m[0]), free)):
        said = original[order.start() : order.end()]
        yield f"{said!r} was not read: the rest of the question is asked of one and the same epoch"
