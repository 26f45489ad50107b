"""Captions: what the measures and the scoring of an epoch become in words, with numbers or without.

Without numbers a caption is made of few distinct sentences (wording.toml), so that a cohort embeds each once. Nothing
is said about a sensor that is absent, nor about a kind of event that nobody scored.
"""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from encoders.captions.frames import Array, Grid
from encoders.captions.lexicon import load_lexicon
from encoders.captions.measures import load_measures
from encoders.captions.scored import snake
from encoders.vocabulary import EVENTS, SLEEP_STAGES

PARTS = ("brain", "heart", "respiratory", "position_muscle", "stage_event")
DROP = 0.25  # share of facts left out of a seeded wording, so that training sees captions of any length

STAGE_CONCEPTS = {"W": "wake", "N1": "n1", "N2": "n2", "N3": "n3", "REM": "rem", "NREM": "nrem"}
# A group's count in which an event of a covered kind would show.
KIND_COUNTS = {
    "respiratory events": "n_respiratory", "desaturations": "n_desaturation",
    "arousals": "n_arousal", "limb movements": "n_limb_movement_any",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to say: the ways to say it; the first is canonical."""

    say: tuple[str, ...]


@cache
def load_wording() -> dict[str, Any]:
    """The tables of wording.toml."""
    return tomllib.loads((files("encoders.captions") / "wording.toml").read_text("utf-8"))


def caption_epochs(
    measures: Mapping[str, Array], scored: pl.DataFrame, epochs: Grid, *, seed: int | None = None, numbers: bool
) -> list[dict[str, str]]:
    """The five parts of each epoch's caption; a part is "" where there is nothing to say.

    measures: columns of `measure_epochs`; scored: `score_epochs` of the same epochs. `numbers` adds the values, as
    precisely as measures.toml prints them, the events' seconds and the substituted derivations. seed None gives the one
    canonical wording; a number gives another order, other synonyms, and a quarter of the facts left out (never all).
    """
    n = len(epochs.start_s)
    by_part: dict[str, list[list[Fact]]] = {part: [[] for _ in range(n)] for part in PARTS}
    for scale in load_wording()["scale"]:
        _add_scale(by_part[scale["part"]], scale, measures)
    _add_position(by_part["position_muscle"], measures)
    if numbers:
        for table in load_wording()["number"]:
            _add_numbers(by_part[table["part"]], table["clauses"], measures)
    by_part["stage_event"] = _stage_events(scored, numbers=numbers)
    captions = []
    for epoch in range(n):
        rng = random.Random(f"{seed}/{epoch}") if seed is not None else None
        captions.append({part: _said(by_part[part][epoch], rng) for part in PARTS})
    return captions


def _said(facts: list[Fact], rng: random.Random | None) -> str:
    if rng is None:
        return " ".join(fact.say[0] for fact in facts)
    kept = [fact for fact in facts if rng.random() >= DROP] or facts[:1]
    rng.shuffle(kept)
    return " ".join(rng.choice(fact.say) for fact in kept)


def scale_levels(
    measures: Mapping[str, Array], column: str, cuts: Sequence[float], unless: str = ""
) -> tuple[Array, Array]:
    """Which interval between `cuts` each value lies in, int `(n,)`, and where that is known, bool `(n,)`.

    The value is rounded as it is printed, so that what is said agrees with the number. `unless`: "column >= limit",
    where nothing is said.
    """
    values = np.round(np.asarray(measures[column], float), load_measures()[column].digits or 0)
    known = np.isfinite(values)
    if unless:
        other, _, limit = unless.split()
        known &= ~(np.asarray(measures[other], float) >= float(limit))
    return np.digitize(np.where(known, values, 0.0), cuts), known


def _add_scale(rows: list[list[Fact]], scale: Mapping[str, Any], measures: Mapping[str, Array]) -> None:
    level, known = scale_levels(measures, scale["column"], scale["cuts"], scale.get("unless", ""))
    facts = [Fact(tuple(say)) if say else None for say in scale["say"]]
    for epoch in np.flatnonzero(known):
        if (fact := facts[level[epoch]]) is not None:
            rows[epoch].append(fact)


def _add_position(rows: list[list[Fact]], measures: Mapping[str, Array]) -> None:
    words = load_wording()["position"]
    concepts = load_lexicon().concepts
    facts = {
        name: Fact(
            tuple(template.format(position=phrase) for template in words["say"] for phrase in concepts[name].say)
        )
        for name in ("left", "right", "supine", "prone")
    } | {"upright": Fact(tuple(words["upright"]))}
    turned = Fact(tuple(words["change"]))
    for row, position, change in zip(rows, measures["position"], measures["position_change"], strict=True):
        row += [facts[position]] if position else []
        row += [turned] if change else []


def _add_numbers(rows: list[list[Fact]], clauses: list[str], measures: Mapping[str, Array]) -> None:
    """A sentence of those clauses whose numbers are all known; nothing where none is."""
    table, slots = load_measures(), load_wording()["slots"]
    named = [[name for name in re.findall(r"{(\w+)}", clause) if name not in slots] for clause in clauses]
    known = np.array([np.all([_known(measures[name]) for name in names], axis=0) for names in named])
    for epoch in np.flatnonzero(known.any(axis=0)):
        values = _slot_words(slots, measures["substitutes"][epoch])
        said = []
        for clause, names, ok in zip(clauses, named, known[:, epoch], strict=True):
            if not ok:
                continue
            for name in names:
                value, digits = measures[name][epoch], table[name].digits
                values[name] = value if digits is None else f"{value:.{digits}f}"
            said.append(clause.format(**values))
        rows[epoch].append(Fact((_sentence(", ".join(said) + "."),)))


def _known(column: Array) -> Array:
    return np.array([value is not None for value in column]) if column.dtype == object else np.isfinite(column)


def _slot_words(slots: Mapping[str, str], substitutes: str | None) -> dict[str, str]:
    words = dict(slots)
    for item in (substitutes or "").split("; "):
        slot, _, derivation = item.partition(": ")
        if slot in words:
            words[slot] = f"{derivation} in place of {slots[slot]}"
    return words


def _stage_events(scored: pl.DataFrame, *, numbers: bool) -> list[list[Fact]]:
    words, concepts = load_wording(), load_lexicon().concepts
    stages = {stage: concepts[concept].say for stage, concept in STAGE_CONCEPTS.items()}
    stage_facts = {
        stage: Fact(
            tuple(_sentence(template, stage=phrase) for template in words["stage"]["say"] for phrase in phrases)
        )
        for stage, phrases in stages.items()
    }
    event_say = {name: concepts[snake(name)].say if snake(name) in concepts else (name,) for name in EVENTS}
    plain = {
        name: Fact(tuple(_sentence(template, event=phrase) for template in words["event"]["say"] for phrase in phrases))
        for name, phrases in event_say.items()
    }
    counts = {kind: scored[column].to_list() for kind, column in KIND_COUNTS.items()}
    rows: list[list[Fact]] = []
    for epoch, (stage, events) in enumerate(zip(scored["stage"].to_list(), scored["events"].to_list(), strict=True)):
        row = [stage_facts[stage]] if stage in stage_facts else []
        if events and numbers:
            for event in events:
                name, _, seconds = event.rpartition(" ")
                a, _, b = seconds.partition("-")
                templates = words["event"]["moment" if a == b else "numbers"]
                row.append(Fact(tuple(_sentence(t, event=say, a=a, b=b) for t in templates for say in event_say[name])))
        elif events:
            present = {event.rpartition(" ")[0] for event in events}
            row += [plain[name] for name in EVENTS if name in present]
        elif stage in SLEEP_STAGES:
            kinds = [kind for kind, count in counts.items() if count[epoch] == 0]
            if kinds and numbers:
                listed = " or ".join([", ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 1 else kinds)
                row.append(Fact(tuple(template.format(kinds=listed) for template in words["event"]["none"])))
            elif "arousals" in kinds:
                row.append(Fact(tuple(words["event"]["quiet"])))
        rows.append(row)
    return rows


def _sentence(template: str, **words: str) -> str:
    text = template.format(**words)
    return text[:1].upper() + text[1:]
