"""Everything that training says: sentences of captions, free words for one thing, and questions for two or three.

Each sentence comes with what it claims. The last third of a caption's wordings is kept apart, to say afterwards what
wording never heard costs.
"""

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations, pairwise
from typing import Any, Final, Literal

import numpy as np

from encoders.captions import Concept, load_lexicon, load_measures
from encoders.captions.scored import snake
from encoders.captions.wording import STAGE_CONCEPTS, load_wording
from encoders.training.facts import INDEX, SLOTS, STAGE_LEVELS, Bits, Slot, claim
from encoders.vocabulary import EVENTS

Kind = Literal["caption", "one", "several", "unseen"]
KEPT_APART: Final = 3  # one in so many of a caption's wordings
# What a caption's "undisturbed sleep" denies, where all of it was scored.
DISTURBANCES: Final = ("arousal", "respiratory", "desaturation", "limb_movement_any")
QUIET: Final = {"stage": STAGE_LEVELS[1:]} | dict.fromkeys(DISTURBANCES, ("absent",))

# Concepts that are asked for together. What no source scores, or only with its own sensor, stays alone.
_EVENTS: Final = (
    "apnea", "obstructive_apnea", "central_apnea", "mixed_apnea", "hypopnea", "respiratory_event", "desaturation",
    "arousal", "limb_movement", "periodic_limb_movement", "snoring", "cheyne_stokes_breathing", "rera",
    "position_change",
)  # fmt: skip
_DENIED: Final = ("apnea", "hypopnea", "respiratory_event", "desaturation", "arousal", "limb_movement", "snoring")
_TRIPLES: Final = 2500  # of the many thousand possible


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence or phrase and what it claims. kind: part of a caption, free words for one thing or for several, or
    part of a caption in wording that is kept apart. `says`: the slot and level whose fact it states in a caption.
    """

    text: str
    claim: Bits
    kind: Kind
    says: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Idea:
    """A thing that may be asked for: nouns fit into a sentence, words of any form stand alone or side by side."""

    id: str
    kind: str  # stage | thing | position
    holds: Bits
    nouns: tuple[str, ...]
    words: tuple[str, ...]


@cache
def load_paraphrases() -> dict[str, Any]:
    """The tables of paraphrases.toml."""
    return tomllib.loads((files("encoders.training") / "paraphrases.toml").read_text("utf-8"))


@cache
def all_sentences() -> tuple[Sentence, ...]:
    """Every distinct sentence, the same in every process; case and a full stop make no difference.

    The wording of captions comes first, trained on or kept apart, so that no free text repeats what is kept apart.
    """
    said: dict[str, Sentence] = {}
    for sentence in (*_captions(), *_free(random.Random(0)), *_several(random.Random(1))):
        said.setdefault(sentence.text.lower().rstrip(" .?!"), sentence)
    return tuple(said.values())


# ---- what captions say


def _captions() -> Iterator[Sentence]:
    """Sentences of captions; per fact, those trained on before those kept apart."""
    words, concepts = load_wording(), load_lexicon().concepts
    milder = load_paraphrases()["milder"]
    for scale in words["scale"]:
        slot = SLOTS[INDEX[scale["column"]]]
        for level, say in zip(slot.levels, scale["say"], strict=True):
            both = milder.get(slot.name, ())
            yield from _fact(say, slot, level, claim({slot.name: both if level == next(iter(both), None) else [level]}))
    position = SLOTS[INDEX["position"]]
    for level in position.levels:
        templates = words["position"]["upright" if level == "upright" else "say"]
        yield from _fact(templates, position, level, claim({"position": [level]}), concepts[level].say, "position")
    yield from _fact(
        words["position"]["change"], SLOTS[INDEX["position_change"]], "present", holds(concepts["position_change"])
    )
    stages, stage = words["stage"]["say"], SLOTS[INDEX["stage"]]
    for name, concept in STAGE_CONCEPTS.items():
        yield from _fact(stages, stage, name, holds(concepts[concept]), concepts[concept].say, "stage")
    for name in EVENTS:
        known = concepts.get(snake(name))
        belts = snake(name) == "respiratory_paradox"
        is_there = holds(known) if known and not belts else claim({snake(name): ["present"]})
        phrases = known.say if known else (name,)
        yield from _fact(words["event"]["say"], SLOTS[INDEX[snake(name)]], "present", is_there, phrases, "event")
    for text, kind in _parted(words["event"]["quiet"]):
        yield Sentence(text, claim(QUIET), kind)


def _fact(
    say: Sequence[str], slot: Slot, level: str, claims: Bits, phrases: Sequence[str] = ("",), hole: str = "phrase"
) -> Iterator[Sentence]:
    value = 0b01110 if level == "NREM" else 1 << slot.levels.index(level)
    for template, kind in _parted(say):
        for phrase in phrases if f"{{{hole}}}" in template else ("",):
            text = template.format(**{hole: phrase})
            yield Sentence(text[:1].upper() + text[1:], claims, kind, (INDEX[slot.name], value))


def _parted(say: Sequence[str]) -> Iterator[tuple[str, Kind]]:
    """Wordings to train on, then those kept apart: the last third, and never the first, which is the canonical one."""
    apart = len(say) // KEPT_APART
    for number, text in enumerate(say):
        yield text, "caption" if number < len(say) - apart else "unseen"


# ---- what questions say


def holds(concept: Concept) -> Bits:
    """What a concept of the lexicon claims: its stages, position or event as scored, or its measure's levels.

    Paradoxical breathing is what the belts show, for no source notes every one; ValueError for what has no slot.
    """
    event = re.search(r"\bn_(\w+) > 0", concept.scored or "")
    if event and concept.id != "respiratory_paradox":
        return claim({event[1]: ["present"]})
    if concept.kind in ("stage", "position"):
        named = re.findall(r"'(\w+)'", re.split(r"= |IN ", str(concept.scored))[-1])
        return claim({concept.kind: [name for name in named if name != "NREM"]})
    if concept.evidence not in INDEX or concept.present_from is None:
        raise ValueError(f"no slot answers {concept.id!r}")
    slot, limit = SLOTS[INDEX[concept.evidence]], concept.present_from
    step = 10.0 ** -(load_measures()[slot.name].digits or 0)  # values are rounded to it: 49 and less is under 50
    edges = [-np.inf, *slot.cuts, np.inf]
    inside = [low >= limit if concept.sign > 0 else high <= limit + step for low, high in pairwise(edges)]
    return claim({slot.name: [level for level, is_in in zip(slot.levels, inside, strict=True) if is_in]})


@cache
def ideas() -> dict[str, Idea]:
    """The lexicon's concepts by id, with the nouns and words of the lexicon and of the paraphrases."""
    extra = {entry["of"][0]: entry for entry in load_paraphrases()["concept"] if _single(entry)}
    found = {}
    for concept in load_lexicon().concepts.values():
        if concept.kind == "quality":
            continue
        entry = extra.get(concept.id, {})
        kind = concept.kind if concept.kind in ("stage", "position") else "thing"
        nouns = (*concept.say, *entry.get("noun", ()))
        found[concept.id] = Idea(concept.id, kind, holds(concept), nouns, (*nouns, *concept.also))
    return found


def _single(entry: Mapping[str, Any]) -> bool:
    return len(entry.get("of", ())) == 1 and "without" not in entry


def _absent(idea: Idea) -> Bits:
    """That an event is not there."""
    return np.where(idea.holds == 2, 1, 0).astype(np.uint32)


def both(first: Bits, second: Bits) -> Bits | None:
    """The claim of two things said together; None where they exclude each other."""
    shared = (first != 0) & (second != 0)
    joined = np.where(shared, first & second, first | second)
    return None if np.any(shared & (joined == 0)) else joined


def _free(rng: random.Random) -> Iterator[Sentence]:
    """The paraphrases, then each word of an idea in some of the sentences for one thing."""
    known, table = ideas(), load_paraphrases()
    for entry in table["concept"]:
        claims = claim(entry.get("claim", {}))
        for part in [known[name].holds for name in entry.get("of", ())] + [
            _absent(known[name]) for name in entry.get("without", ())
        ]:
            joined = both(claims, part)
            if joined is None:
                raise ValueError(f"paraphrases.toml: {entry} contradicts itself")
            claims = joined
        kind: Kind = "one" if np.count_nonzero(claims) == 1 else "several"
        for text in (*entry["say"], *entry.get("noun", ())):
            yield Sentence(text, claims, kind)
    for idea in known.values():
        for word in idea.words:
            templates = table["loose"]["one"] + (
                rng.sample(table["sentence"][idea.kind], 6) if word in idea.nouns else []
            )
            for template in templates:
                yield Sentence(_filled(template, word), idea.holds, "one")


def _several(rng: random.Random) -> Iterator[Sentence]:
    """Sentences for two and three things; per pair or triple a few, drawn from all templates and words."""
    known = ideas()
    stages, positions = ([i for i in known.values() if i.kind == kind] for kind in ("stage", "position"))
    events = [known[name] for name in _EVENTS]
    measures = [i for i in known.values() if i.kind == "thing" and i.holds[: INDEX["stage"]].any()]
    pairs = [
        *(("stage_thing", (a, b), 14) for a in stages for b in events),
        *(("stage_thing", (a, b), 6) for a in stages for b in measures),
        *(("stage_position", (a, b), 8) for a in stages for b in positions),
        *(("thing_position", (a, b), 4) for a in events for b in positions),
        *(("thing_thing", (a, b), 6) for a, b in combinations(events, 2)),
        *(("thing_thing", (a, b), 3) for a in events for b in measures),
        *(("thing_thing", (a, b), 2) for a, b in combinations(measures, 2)),
    ]
    for pattern, pair, count in pairs:
        yield from _drawn(rng, pattern, pair, count)
    for denied in (known[name] for name in _DENIED):
        for idea in (*stages, *events):
            claims = both(idea.holds, _absent(denied))
            if claims is not None:
                for template in rng.sample(load_paraphrases()["sentence"]["without"], 5):
                    text = _filled(template, rng.choice(idea.nouns), rng.choice(denied.nouns))
                    yield Sentence(text, claims, "several")
    for _ in range(_TRIPLES):
        a, b, c = rng.choice(stages), rng.choice(events), rng.choice([*events, *measures, *positions])
        yield from _drawn(rng, "three_position" if c.kind == "position" else "three", (a, b, c), 2)


def _drawn(rng: random.Random, pattern: str, parts: Sequence[Idea], count: int) -> Iterator[Sentence]:
    """A quarter of them loose words, the others in the pattern's sentences; none where the parts exclude each other."""
    table, claims = load_paraphrases(), parts[0].holds
    for part in parts[1:]:
        joined = both(claims, part.holds)
        if joined is None:
            return
        claims = joined
    for _ in range(count):
        loose = rng.random() < 0.25
        templates = table["loose"]["two" if len(parts) == 2 else "three"] if loose else table["sentence"][pattern]
        words = [rng.choice(part.words if loose else part.nouns) for part in parts]
        yield Sentence(_filled(rng.choice(templates), *words), claims, "several")


def _filled(template: str, *words: str) -> str:
    """The template with its braces filled in their order: "no {b}" takes "a dip" as "no dip"."""
    text = template.format(**dict(zip("abc", words, strict=False)))
    return re.sub(r"\b(no|any|single) (?:an?|the) ", r"\1 ", text)
