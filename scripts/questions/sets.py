"""The question files and the phrases: read, counted, and held against the hashes that freeze them."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoders.errors import BadInput

HERE = Path(__file__).parent
KINDS = (
    "plain", "synonym", "number", "negation", "demography", "time", "night", "not_assessable", "rare_event", "nonsense",
)  # fmt: skip
UNANSWERABLE = ("not_assessable", "nonsense")
GROUPS = ("comparison", "negation", "demography", "time", "nothing")


@dataclass(frozen=True, slots=True)
class Question:
    """`ask` as typed; `relevant` the conditions of which held.toml's head tells."""

    kind: str
    ask: str
    relevant: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """`say` as typed; the rest is what must be read from it, as the head of phrases.toml tells."""

    group: str
    say: str
    numbers: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    sex: str | None = None
    time: tuple[dict[str, Any], ...] = ()
    words: tuple[str, ...] = ()


def questions(name: str) -> list[Question]:
    """The questions of held.toml or tuning.toml, in their order."""
    read = _read(f"{name}.toml", KINDS)
    return [Question(kind, q["ask"], tuple(q["relevant"])) for kind, of in read.items() for q in of]


def phrases() -> list[Phrase]:
    """The phrases of phrases.toml, in their order."""
    return [_phrase(group, of) for group, all_of in _read("phrases.toml", GROUPS).items() for of in all_of]


def _phrase(group: str, of: dict[str, Any]) -> Phrase:
    lists = {key: tuple(value) for key, value in of.items() if isinstance(value, list)}
    return Phrase(group, **(of | lists))


def frozen() -> dict[str, tuple[str, str]]:
    """By file name the SHA-256 that froze it, and the one that it has."""
    lines = [line.split() for line in (HERE / "frozen.txt").read_text(encoding="utf-8").splitlines()]
    return {name: (was, hashlib.sha256((HERE / name).read_bytes()).hexdigest()) for was, name in lines}


def _read(name: str, keys: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    read = tomllib.loads((HERE / name).read_text(encoding="utf-8"))
    if tuple(read) != keys:
        raise BadInput(f"{name}: has {', '.join(read)}; must have, in this order, {', '.join(keys)}.")
    return read
