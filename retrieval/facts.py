"""What is known of one epoch or night, fact by fact: each number with its unit and what it means.

A fact without a value says why: no sensor for it, its signal is bad here, or nobody scored it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from encoders.captions import PARTS, load_measures, load_nights
from encoders.captions.measures import Measure
from encoders.captions.scored import snake
from encoders.vocabulary import EVENTS
from index import Snapshot

_SIDES = ("c3_", "c4_", "eog_l_", "eog_r_", "thx_", "abd_", "flow_")  # a measure of one sensor of several
_ELSEWHERE = ("substitutes", "usable_channels")  # said of the recording, not of the sleep
_PERSON = ("age", "sex", "site")
_NIGHT = (
    "lights_source", "tib_min", "tst_min", "se_pct", "sol_min", "waso_min", "w_min", "n1_min", "n2_min", "n3_min",
    "rem_min", "arousal_index_per_h", "ahi_scored_per_h", "ahi_3a_per_h", "ahi_4_per_h", "rei_per_h", "odi3_per_h",
    "odi4_per_h", "spo2_mean_pct", "spo2_nadir_pct", "t90_pct", "plmi_per_h",
)  # fmt: skip
_STAGE = "The stage that a scorer gave this epoch; it covers the 30 s of the scorer's grid."
_EVENT = "Events that overlap this epoch by any amount, as scored."


@dataclass(frozen=True, slots=True)
class Fact:
    """value: number, text, or None with the reason in `why`. digits: how many are printed. single: the same of single
    sensors, or an event's seconds. part: of the caption."""

    part: str
    name: str
    value: float | str | None
    unit: str
    definition: str
    digits: int | None = None
    why: str = ""
    single: tuple[tuple[str, float | None], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fact as plain values."""
        return asdict(self)


def facts_of(snapshot: Snapshot, epoch_id: int) -> list[Fact]:
    """The facts of one epoch in the order of a caption's parts."""
    row = snapshot.sql("SELECT * FROM epoch_rows WHERE epoch_id = ?", [epoch_id]).row(0, named=True)
    return sorted([*_measured(row), *_scored(row)], key=lambda fact: PARTS.index(fact.part))


def _measured(row: Mapping[str, Any]) -> Iterator[Fact]:
    measures = [m for m in load_measures().values() if m.name in row and m.name not in _ELSEWHERE]
    for _, same in groupby(measures, key=lambda m: (m.definition, m.part, m.unit)):
        group = list(same)
        tails = [_tail(m) for m in group if _tail(m)]
        sides = [m for m in group if tails.count(_tail(m)) > 1]
        if len(sides) == len(group):
            sides = []
        for measure in group:
            if measure in sides:
                continue
            single = tuple((m.name.removesuffix(_tail(m)).replace("_", " "), row[m.name]) for m in sides)
            unit = "" if measure.digits is None else measure.unit
            value = row[measure.name]
            why = _why(row, measure) if value is None else ""
            yield Fact(measure.part, _plain(measure), value, unit, measure.definition, measure.digits, why, single)


def _tail(measure: Measure) -> str:
    """What follows the sensor in a measure's name, `_rate_per_min` of thx_rate_per_min; empty where none leads it."""
    side = next((s for s in _SIDES if measure.name.startswith(s)), None)
    return measure.name.removeprefix(side.rstrip("_")) if side else ""


def _plain(measure: Measure) -> str:
    """A measure's name as words; its unit stands beside the number."""
    endings = ("_pct", "_uv", "_bpm", "_per_min", "_hz", "_s")
    name = next((measure.name.removesuffix(e) for e in endings if measure.name.endswith(e)), measure.name)
    return name.replace("_", " ")


def _why(row: Mapping[str, Any], measure: Measure) -> str:
    """Why a measure is not there, by the channels that it could be taken from."""
    wanted = [channel for chosen in measure.channels for channel in chosen]
    if not wanted:
        return "not measured here"
    able = {c: row.get(f"ok_{c.lower()}") for c in wanted}
    if not any(all(able[c] is not None for c in chosen) for chosen in measure.channels):
        return f"no sensor: needs {' or '.join(' with '.join(chosen) for chosen in measure.channels)}"
    if not any(all(able[c] for c in chosen) for chosen in measure.channels):
        return "the sensor's signal is bad in this epoch"
    return "can't be measured in this epoch"


def _scored(row: Mapping[str, Any]) -> Iterator[Fact]:
    stage = row["stage"] if row["stage"] != "unscored" else None
    by = f" By {row['stage_source']}." if row["stage_source"] else ""
    yield Fact(PARTS[-1], "stage", stage, "", _STAGE + by, why="" if stage else "not scored")
    for event in EVENTS:
        name = snake(event)
        if f"n_{name}" not in row:
            continue
        count = row[f"n_{name}"]
        single = (("s of this epoch", row[f"{name}_s"]), ("s the longest", row[f"{name}_longest_s"])) if count else ()
        yield Fact(PARTS[-1], event, count, "", _EVENT, 0, "not scored" if count is None else "", single)


def night_facts(snapshot: Snapshot, recording: str) -> list[Fact]:
    """What people compare first of two nights: who slept, and the numbers of the night."""
    found = snapshot.sql("SELECT * FROM nights JOIN recordings USING (recording) WHERE recording = ?", [recording])
    row, known = found.row(0, named=True), load_nights()
    units = {name: facts["unit"].removeprefix("text") for name, facts in known.items()}
    return [
        Fact("night", name, row.get(name), units.get(name, ""), known.get(name, {}).get("definition", ""))
        for name in (*_PERSON, *_NIGHT)
    ]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A sentence of a generated caption, and what was measured or scored instead."""

    part: str
    said: str
    known: str


def contradictions(snapshot: Snapshot, epoch_id: int, generated: Mapping[str, str]) -> list[Contradiction]:
    """What in a generated caption is otherwise by the catalog; what nobody measured or scored contradicts nothing."""
    from retrieval.evaluation.fields import known_facts, levels_of, load_fields, said_in

    fields = load_fields()
    frame = snapshot.sql("SELECT * FROM epochs WHERE epoch_id = ?", [epoch_id])
    true = dict(zip(fields, (int(levels_of(bits)[0]) for bits in known_facts(frame, list(fields)).T), strict=True))
    found = []
    for part, text in generated.items():
        for name, level in said_in(text).items():
            if true[name] not in (-1, level):
                says = fields[name].say
                known = says[true[name]][0] if says[true[name]] else f"no {name.replace('_', ' ')} was found"
                found.append(Contradiction(part, says[level][0], known))
    return found
