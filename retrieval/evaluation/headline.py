"""An evaluation's figures put side by side: the encoder's own, and beside them what simpler ways reach."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from retrieval.evaluation.evaluate import Evaluation
from retrieval.evaluation.figures import ALL_SENSORS, Figure


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of one task: what the encoder reaches, the plainest way first, and what is reached without it."""

    task: str
    measure: str
    own: tuple[Figure, ...]
    baselines: tuple[Figure, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        return self.own + self.baselines

    @property
    def base_rate(self) -> float | None:
        """How common it is, or what guessing gives."""
        return next((figure.base_rate for figure in self.figures if figure.base_rate is not None), None)


@cache
def load_words() -> dict[str, Any]:
    """words.toml."""
    return tomllib.loads((files("retrieval.evaluation") / "words.toml").read_text("utf-8"))


def rows(
    evaluation: Evaluation, *, task: str | None = None, subset: str = ALL_SENSORS, measure: str = ".*"
) -> list[Row]:
    """The figures that have a value, one row a measure whose whole name matches the expression `measure`."""
    held_against = [name for name in load_words()["baselines"] if f"({evaluation.encoder})" not in name]
    found: dict[tuple[str, str], list[Figure]] = {}
    for figure in evaluation.figures:
        if figure.value is None or figure.subset != subset or task not in (None, figure.task):
            continue
        if re.fullmatch(measure, figure.measure):
            found.setdefault((figure.task, figure.measure), []).append(figure)
    return [
        Row(*key, tuple(f for f in several if f.method not in held_against),
            tuple(f for f in several if f.method in held_against))
        for key, several in found.items()
    ]  # fmt: skip


def headline(evaluation: Evaluation) -> list[Row]:
    """The rows that words.toml puts on top, in its order; of several galleries the largest."""
    found: list[Row] = []
    for task, measure in load_words()["headline"]:
        several = [row for row in rows(evaluation, task=task, measure=measure) if row.own]
        found += several[-1:] if task == "retrieval" else several
    return found


def past(trained_on: Sequence[str]) -> str:
    """What an encoder was trained on, names that differ in their last number as one: `sim50001 (89), SHHS`."""
    alike: dict[str, list[str]] = {}
    for name in trained_on:
        alike.setdefault(re.sub(r"[-_ ]?\d+$", "", name), []).append(name)
    said = [names[0] if len(names) == 1 else f"{stem} ({len(names)})" for stem, names in alike.items()]
    return ", ".join(said) or "no recording"


def named(measure: str) -> str:
    """A measure as people read it: `obstructive_apnea AUC` without the underscore."""
    return measure.replace("_", " ")


def said(figure: Figure) -> str:
    """The value with its interval: `0.81 (0.77–0.85)`."""
    if figure.value is None:
        return "–"
    value = number(figure.value)
    return (
        value if figure.low is None or figure.high is None else f"{value} ({number(figure.low)}–{number(figure.high)})"
    )


def number(value: float) -> str:
    """Two decimals for shares and scores; none from a hundred on."""
    return (
        f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 0.01 or not value else f"{value:.1g}"
    )
