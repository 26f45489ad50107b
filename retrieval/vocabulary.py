"""The words that a question may use: those of the lexicon, and those of vocabulary.toml, which captions don't."""

import re
import tomllib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, cast

from encoders.captions import Lexicon, Match, Quantity, load_lexicon


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("retrieval") / "vocabulary.toml").read_text("utf-8"))


@cache
def question_lexicon() -> Lexicon:
    """The lexicon with the further phrases and quantities of vocabulary.toml."""
    known, table = load_lexicon(), _table()
    also = {name: tuple(words) for name, words in table["also"].items()}
    concepts = {name: replace(c, also=c.also + also.get(name, ())) for name, c in known.concepts.items()}
    quantities = {name: replace(q, words=q.words + also.get(name, ())) for name, q in known.quantities.items()}
    for entry in table["quantity"]:
        quantities[entry["id"]] = Quantity(**(entry | {"words": tuple(entry["words"])}))
    return Lexicon(concepts, quantities, known.ordinary)


@cache
def meant_by(concept: str) -> str | None:
    """The quantity that a concept's words stand for beside a number."""
    means: dict[str, str] = _table()["means"]
    return means.get(concept)


@cache
def per_hour_of(concept: str) -> str | None:
    """The index that counts a concept's events by the hour."""
    return cast(str | None, _table()["per_hour"].get(concept))


@cache
def sibling_of(quantity: str) -> str | None:
    """The same quantity in another unit."""
    return cast(str | None, _table()["sibling"].get(quantity))


@cache
def moved_of(quantity: str) -> dict[str, str]:
    """What a quantity falls by (`<=`) and rises by (`>=`), as quantities of their own."""
    return cast(dict[str, str], _table()["moved"].get(quantity, {}))


@cache
def moves() -> frozenset[str]:
    """Quantities that say by how much another one fell or rose."""
    return frozenset(name for ways in _table()["moved"].values() for name in ways.values())


@cache
def worse_of(quantity: str) -> str:
    """`<` or `>`, the side of a quantity that is the worse one; empty where neither is."""
    return next((sign for sign, names in _table()["worse"].items() if quantity in names), "")


def is_name(text: str, m: Match) -> bool:
    """Whether what follows makes a phrase part of another thing's name: `REM behaviour disorder`."""
    return _name_after().match(text, m.stop) is not None


@cache
def _name_after() -> re.Pattern[str]:
    words = "|".join(r"[\s-]+".join(map(re.escape, said.split())) for said in _table()["name"]["before"])
    return re.compile(rf"[\s-]+(?:{words})s?\b(?!\s*\d)")
