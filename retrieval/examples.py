"""Questions that a cohort can answer, made from what its catalog holds, for people who ask it for the first time."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from encoders.vocabulary import EVENTS
from index import Snapshot
from retrieval.question import read_question

if TYPE_CHECKING:
    from retrieval.cohort import Cohort


@dataclass(frozen=True, slots=True)
class Example:
    """A question with hits here, and the level at which it is asked."""

    words: str
    level: str = "epoch"


@cache
def _table() -> tuple[dict[str, Any], ...]:
    return tuple(tomllib.loads((files("retrieval") / "examples.toml").read_text("utf-8"))["example"])


def examples(cohort: "Cohort", count: int = 6) -> list[Example]:
    """Up to `count` questions of examples.toml, filled from the catalog, that have hits and were read whole."""
    found: dict[str, Example] = {}
    for kind, example in _filled(cohort.snapshot):
        if len(found) == count:
            break
        if kind not in found and not read_question(example.words).notes:
            answer = cohort.search(example.words, level=example.level, k=1)
            if answer.hits and not any("resembles" in note for note in answer.notes):
                found[kind] = example
    return list(found.values())


def _filled(snapshot: Snapshot) -> Iterator[tuple[str, Example]]:
    """Each question with its kind; those for which the catalog has no event or value are left out."""
    known = snapshot.columns()
    scored = snapshot.sql("SELECT name FROM events GROUP BY name ORDER BY count(*) DESC, name")["name"]
    event = next((name for name in scored if EVENTS.get(name) == "respiratory events"), None)
    for entry in _table():
        if "{event}" in entry["words"] and event is None:
            continue
        number = None
        if entry.get("length_of"):
            number = _round(snapshot, "stop_s - start_s", f"events WHERE name = '{event}'", entry)
        elif column := entry.get("column"):
            number = _round(snapshot, column, "epochs", entry) if column in known else None
        if "{n}" not in entry["words"] or number is not None:
            yield entry["kind"], Example(entry["words"].format(event=event, n=number), entry.get("level", "epoch"))


def _round(snapshot: Snapshot, value: str, source: str, entry: dict[str, Any]) -> str | None:
    """The value at the quantile of an entry, in its steps; None where there is none."""
    found = snapshot.sql(f"SELECT quantile_cont({value}, {entry['quantile']})::DOUBLE AS at FROM {source}")["at"][0]
    return None if found is None else f"{round(found / entry['step']) * entry['step']:g}"
