"""The words of sleep medicine in lexicon.toml, checked, and found in a question: longest phrase first."""

import difflib
import re
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from encoders.errors import BadInput
from encoders.vocabulary import CHANNELS, KINDS

CONCEPT_KINDS = ("stage", "event", "measure", "position", "quality")
LEVELS = ("epoch", "night", "subject")
TYPO_LETTERS = 5  # shorter words are too near to others
TYPO_CUTOFF = 0.84  # one slip in six letters; "breathing"/"breeding" (.71) stay apart


class BadLexicon(BadInput):
    """The lexicon has an entry that cannot be used; the text names the entry and the field."""


@dataclass(frozen=True, slots=True)
class Concept:
    """A stage, event, measure, position or quality that a question may name; fields as in lexicon.toml."""

    id: str
    kind: str
    say: tuple[str, ...]
    also: tuple[str, ...] = ()
    coverage: str | None = None
    scored: str | None = None
    evidence: str | None = None
    sign: int = 1
    present_from: float | None = None
    channels: tuple[tuple[str, ...], ...] = ()
    covers: tuple[str, ...] = ()
    unless: str | None = None

    @property
    def phrases(self) -> tuple[str, ...]:
        return self.say + self.also


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that a question may compare; fields as in lexicon.toml."""

    id: str
    words: tuple[str, ...]
    unit: str
    low: str
    high: str
    mean: str
    level: str
    says: str
    of: str | None = None
    asked: tuple[float, ...] = ()
    fact: str | None = None
    channels: tuple[tuple[str, ...], ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        return self.words


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase in a question, `[start, stop)` in characters; `typo` holds the phrase that was meant, if misspelt."""

    start: int
    stop: int
    text: str
    entry: Concept | Quantity
    typo: str | None = None

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.stop

    @property
    def concept(self) -> Concept | None:
        return self.entry if isinstance(self.entry, Concept) else None

    @property
    def quantity(self) -> Quantity | None:
        return self.entry if isinstance(self.entry, Quantity) else None


@dataclass(frozen=True)
class Lexicon:
    """Concepts and quantities by id, and the search for their phrases."""

    concepts: dict[str, Concept]
    quantities: dict[str, Quantity]
    ordinary: frozenset[str] = frozenset()
    _owner: dict[tuple[str, ...], Concept | Quantity] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        entries: list[Concept | Quantity] = [*self.concepts.values(), *self.quantities.values()]
        for entry in entries:
            for phrase in entry.phrases:
                key = tuple(word for word, _, _ in words_of(phrase))
                owner = self._owner.setdefault(key, entry)
                if owner is not entry:
                    raise BadLexicon(f"lexicon.toml: {phrase!r} belongs to {owner.id!r} and {entry.id!r}; leave one.")

    def find(self, question: str) -> list[Match]:
        """Every phrase in the question, none inside another, in its order; the longest one at a place wins.

        Case, plural, hyphens and British -oea-, -aem- do not matter. A misspelt word of five letters or more is
        taken for a phrase's word when it is near enough and is no ordinary word.
        """
        words = words_of(question)
        meant = [self._mended(word) for word, _, _ in words]
        longest = max(map(len, self._owner), default=0)
        matches, at = [], 0
        while at < len(words):
            for length in range(min(longest, len(words) - at), 0, -1):
                key = tuple(meant[at : at + length])
                if (entry := self._owner.get(key)) is not None:
                    start, stop = words[at][1], words[at + length - 1][2]
                    written = tuple(word for word, _, _ in words[at : at + length])
                    typo = " ".join(key) if key != written else None
                    matches.append(Match(start, stop, question[start:stop], entry, typo))
                    at += length
                    break
            else:
                at += 1
        return matches

    def _mended(self, word: str) -> str:
        known = _long_words(tuple(self._owner))
        if word in known or word in self.ordinary or len(word) < TYPO_LETTERS or not word.isalpha():
            return word
        near = difflib.get_close_matches(word, known, n=1, cutoff=TYPO_CUTOFF)
        return near[0] if near and near[0][0] == word[0] else word


@cache
def _long_words(keys: tuple[tuple[str, ...], ...]) -> list[str]:
    return sorted({word for key in keys for word in key if len(word) >= TYPO_LETTERS})


def words_of(text: str) -> list[tuple[str, int, int]]:
    """The words of a text in the form that is compared, with where each begins and ends.

    Hyphens and slashes part words; a letter-digit word stays one (N3, SpO2); plurals and spellings are made alike.
    """
    return [(_plain(match[0]), match.start(), match.end()) for match in re.finditer(r"[a-z0-9]+|%", text.lower())]


def _plain(word: str) -> str:
    word = word.replace("oea", "ea").replace("pnoe", "pne").replace("xaem", "xem").replace("artef", "artif")
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word


@cache
def load_lexicon(path: Path | None = None) -> Lexicon:
    """The lexicon of the package, or one of the same form; BadLexicon for unknown or missing fields and values."""
    text = path.read_text("utf-8") if path else (files("encoders.captions") / "lexicon.toml").read_text("utf-8")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadLexicon(f"lexicon.toml: not TOML ({error}); mend that line.") from error
    concepts = {entry.id: entry for table in tables.get("concept", ()) if (entry := _entry(Concept, table))}
    quantities = {entry.id: entry for table in tables.get("quantity", ()) if (entry := _entry(Quantity, table))}
    if len(concepts) + len(quantities) < len(tables.get("concept", ())) + len(tables.get("quantity", ())):
        raise BadLexicon("lexicon.toml: an id occurs twice; give each concept and each quantity its own.")
    for concept in concepts.values():
        _check(concept.id, "kind", concept.kind, CONCEPT_KINDS)
        _check(concept.id, "coverage", concept.coverage, (None, *KINDS))
        _check(concept.id, "sign", concept.sign, (1, -1))
        for other in concept.covers:
            _check(concept.id, "covers", other, tuple(concepts))
        for channel in (channel for group in concept.channels for channel in group):
            _check(concept.id, "channels", channel, (*CHANNELS, "snore"))
        if concept.evidence and (concept.present_from is None or not concept.channels):
            raise BadLexicon(f"lexicon.toml: {concept.id!r} has evidence, so it needs present_from and channels.")
        if not concept.scored and not concept.evidence:
            raise BadLexicon(f"lexicon.toml: nothing answers {concept.id!r}; give it `scored` or `evidence`.")
    for quantity in quantities.values():
        _check(quantity.id, "level", quantity.level, LEVELS)
        _check(quantity.id, "of", quantity.of, (None, *concepts))
        _check(quantity.id, "fact", quantity.fact, (None, *concepts))
    return Lexicon(concepts, quantities, frozenset(tables.get("ordinary", ())))


def _entry(kind: type, table: dict[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    for name in table.keys() - known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; {near[0]}?" if near else ""
        raise BadLexicon(f"lexicon.toml: {table.get('id')!r} has unknown field {name!r}{hint}.")
    frozen = {name: _frozen(value) for name, value in table.items()}
    try:
        return kind(**frozen)
    except TypeError as error:
        raise BadLexicon(f"lexicon.toml: {table.get('id')!r}: {error}.") from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check(owner: str, name: str, value: object, possible: tuple[object, ...]) -> None:
    if value not in possible:
        raise BadLexicon(f"lexicon.toml: {owner!r} has {name} = {value!r}; possible: {', '.join(map(str, possible))}.")
