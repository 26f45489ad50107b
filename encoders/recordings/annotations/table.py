"""What a raw code means, bound to the format that it stands in; the facts themselves stand in `table.toml`."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from encoders.vocabulary import EVENTS, STAGES

_TOML: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("table.toml").read_text(encoding="utf-8"))

FORMATS: Final = tuple(
    name for name in _TOML["format"] if name != "boas"
)  # what `format=` takes; boas is one kind of bids
NOXTURNAL_COLUMNS: Final[dict[str, list[str]]] = _TOML["noxturnal"]


def fold(text: str) -> str:
    """The form in which texts are compared: no case, single spaces, `_` as a space."""
    return " ".join(text.replace("_", " ").split()).casefold()


def _lookup(names: Mapping[str, Iterable[str]], allowed: Iterable[str], where: str) -> dict[str, str]:
    """Turn `meaning -> texts` around; a text with two meanings, or a meaning outside the vocabulary, is our error."""
    found: dict[str, str] = {}
    for meaning, texts in names.items():
        if meaning not in allowed:
            raise KeyError(f"table.toml [{where}]: {meaning!r} is not in the vocabulary")
        for text in texts:
            if found.setdefault(fold(text), meaning) != meaning:
                raise KeyError(f"table.toml [{where}]: {text!r} means both {found[fold(text)]!r} and {meaning!r}")
    return found


@cache
def _stages(form: str) -> dict[str, str]:
    name = _TOML["format"][form]["stages"]
    return _lookup(_TOML["stages"][name], STAGES, f"stages.{name}")


@cache
def _events(form: str) -> dict[str, str]:
    name = _TOML["format"][form]["events"]
    return _lookup(_TOML["events"][name], EVENTS, f"events.{name}")


_COLUMN: Final = _lookup(_TOML["stages"]["column"], STAGES, "stages.column")
_LIGHTS: Final = _lookup(_TOML["lights"], ("off", "on"), "lights")
_IGNORED: Final = frozenset(fold(text) for text in _TOML["ignore"]["texts"])
_IGNORED_STARTS: Final = tuple(text[:-1] for text in _IGNORED if text.endswith("*"))


def stage_of(form: str, raw: str, *, in_column: bool = False) -> str | None:
    """The stage that `raw` means in this format, or None: a code that the format does not have is never guessed.

    `in_column`: the file says that this is a stage, so words such as "Movement" are no events.
    """
    return _stages(form).get(fold(raw)) or (_COLUMN.get(fold(raw)) if in_column else None)


def event_of(form: str, raw: str, cohort: str | None = None) -> str | None:
    """The event name of `vocabulary.EVENTS` that `raw` means in this format, or None where nobody mapped it.

    `Unsure` becomes a hypopnea only in the cohorts whose documentation says that it is one.
    """
    table = _events(form)
    text = fold(raw)
    name = table.get(text) or table.get(fold(raw.partition("|")[0]))
    if name is None:
        name = next((known for key, known in table.items() if key.endswith("*") and text.startswith(key[:-1])), None)
    if name == "unsure" and (cohort or "").casefold() in _TOML["unsure"]["is_hypopnea_in"]:
        return "hypopnea"
    return name


def lights_of(raw: str) -> str | None:
    """`off`, `on`, or None where the text does not speak of lights."""
    return _LIGHTS.get(fold(raw))


def is_ignored(raw: str) -> bool:
    """Whether the text is housekeeping: NSRR's `Recording Start Time`, what our own exports add."""
    return fold(raw) in _IGNORED or fold(raw).startswith(_IGNORED_STARTS)


def rules_of(form: str, raws: Iterable[str]) -> tuple[str, str]:
    """The scoring rules (`AASM`, `R&K` or `unknown`) and how that was decided, from the codes that occur."""
    marks = _TOML["rules"].get(_TOML["format"][form]["stages"], {})
    if "always" in marks:
        return marks["always"], "the format's documentation says so"
    seen = {fold(raw): raw for raw in raws}
    for rules, key in (("R&K", "rk"), ("AASM", "aasm")):
        if hit := next((seen[fold(text)] for text in marks.get(key, ()) if fold(text) in seen), None):
            return rules, f"{hit!r} occurs"
    return "unknown", "no code that only one rule set has"
