"""The table of channel labels, `channels.toml`, read once and checked: what a label means, in which cohort, and why."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final

from encoders.errors import BadInput
from encoders.recordings.units import fold_unit
from encoders.vocabulary import CHANNELS, POSITIONS

TABLE: Final = Path(__file__).with_name("channels.toml")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a label stands for; `sign` -1 when it is written the other way round, `rank` the order of preference."""

    canonical: str
    why: str
    sign: int = 1
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Unclear:
    """A label without a meaning until somebody says the cohort: what cohorts use it for, and why it is unclear."""

    choices: dict[str, tuple[str, ...]]  # canonical -> cohorts that mean it
    why: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Who may serve one of the twelve channels, in order of preference; substitutes with their reasons."""

    unit: str
    main: tuple[str, ...]
    substitutes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort's labels (folded -> canonical and rank), derivations, rates, position codes and lead-off flags."""

    name: str
    labels: dict[str, tuple[str, int]]
    derive: dict[str, tuple[tuple[str, str], ...]]
    recognise: tuple[frozenset[str], ...] = ()
    rates_hz: dict[str, float] = field(default_factory=dict)
    lead_off: dict[str, str] = field(default_factory=dict)  # folded flag label -> folded label it speaks of
    position_codes: dict[int, str] | None = None  # only where documented
    position_why: str = ""


@dataclass(frozen=True, slots=True)
class ChannelTable:
    """All of `channels.toml`; `kinds`, `units` and `means` by canonical id."""

    kinds: dict[str, str]
    units: dict[str, str]
    means: dict[str, str]
    slots: dict[str, Slot]
    sensors: dict[str, str]
    generic: Cohort
    cohorts: dict[str, Cohort]
    unclear: dict[str, Unclear]
    factors: dict[str, dict[str, float]]
    unit_means: dict[str, str]
    envelope_below_hz: float
    envelope_of: dict[str, str]
    electrodes: dict[str, str]
    pairs: dict[tuple[str, str], str]
    pair_text: re.Pattern[str]
    bare_text: re.Pattern[str]

    def meaning(self, label: str, cohort: str | None) -> Meaning | Unclear | None:
        """What `label` means in `cohort`, or with none known; None when the table has never seen it."""
        key = fold(label)
        if cohort is not None and key in self.cohorts[cohort].labels:
            canonical, rank = self.cohorts[cohort].labels[key]
            return Meaning(canonical, f"{cohort}: {self.means[canonical]}", rank=rank)
        if key in self.generic.labels:
            canonical, rank = self.generic.labels[key]
            return Meaning(canonical, f"the label says so: {self.means[canonical]}", rank=rank)
        if found := self.pair_text.fullmatch(key):
            return self._pair(self.electrodes[found[1]], self.electrodes[found[2]])
        if found := self.bare_text.fullmatch(key):
            return Meaning(f"el_{self.electrodes[found[1]]}", "bare electrode")
        return self.unclear.get(key)

    def _pair(self, plus: str, minus: str) -> Meaning | None:
        if canonical := self.pairs.get((plus, minus)):
            return Meaning(canonical, f"the label states {plus.upper()}-{minus.upper()}")
        if canonical := self.pairs.get((minus, plus)):
            why = (
                f"the label states {plus.upper()}-{minus.upper()}: {minus.upper()}-{plus.upper()} with its sign turned"
            )
            return Meaning(canonical, why, sign=-1, rank=1)
        return None

    def recognise(self, labels: set[str]) -> tuple[str | None, str]:
        """The one cohort whose distinctive labels are all in a header, and why that one, or why none."""
        hits = {
            name: sorted(labelled)
            for name, cohort in self.cohorts.items()
            for labelled in cohort.recognise[::-1]
            if labelled <= labels
        }
        if len(hits) == 1:
            ((name, found),) = hits.items()
            return name, "recognised by its labels " + ", ".join(found)
        if hits:
            return None, f"labels fit {' and '.join(sorted(hits))}: name the cohort to use its table"
        return None, "no cohort's distinctive labels are all here: generic labels only"

    def require_cohort(self, name: str) -> str:
        """`name` if there is such a cohort; BadInput names the nearest otherwise."""
        if name in self.cohorts:
            return name
        near = get_close_matches(name.casefold(), self.cohorts, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(f"cohort {name!r} is not in channels.toml: {hint}Known: {', '.join(self.cohorts)}")

    def require_canonical(self, name: str, where: str) -> str:
        """`name` if it is a canonical channel; BadInput says what would be one otherwise."""
        if name in self.kinds:
            return name
        if name in self.slots:
            raise BadInput(f"{where}: {name!r} is a slot; say what the sensor is: {', '.join(self.slots[name].main)}")
        near = get_close_matches(name.casefold(), self.kinds, 3)
        raise BadInput(f"{where}: {name!r} is no canonical channel{'; near it: ' + ', '.join(near) if near else ''}")

    def serves(self, canonical: str) -> set[str]:
        """Slots that a channel could fill, itself or by a derivation that starts with it."""
        names = {canonical}
        for cohort in (self.generic, *self.cohorts.values()):
            names |= {name for name, pairs in cohort.derive.items() if canonical in {plus for plus, _ in pairs}}
        return {slot for slot, wanted in self.slots.items() if names & {*wanted.main, *wanted.substitutes}}


def fold(label: str) -> str:
    """A label with letter case, spaces and underscores made equal; punctuation counts."""
    return re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", label)).casefold()


@cache
def load_table() -> ChannelTable:
    """The table of this package, checked: every id known, no label with two meanings in one cohort."""
    raw = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    groups = raw["canonical"]
    kinds = {name: group["kind"] for group in groups for name in group["ids"]}
    units = {name: group["unit"] for group in groups for name in group["ids"]}
    means = {name: text for group in groups for name, text in group["ids"].items()}

    def known(name: str, where: str) -> str:
        if name not in kinds:
            raise BadInput(f"channels.toml: {where}: {name!r} is no canonical channel")
        return name

    cohorts = {name: _cohort(name, table, known) for name, table in raw["cohort"].items()}
    generic = _cohort("generic", raw["generic"], known)
    for target in (name for cohort in (generic, *cohorts.values()) for name in cohort.derive):
        known(target, "derive")
    names = {name.removeprefix("el_") for name in kinds if name.startswith("el_")}
    spelled = {name: name for name in names} | raw["electrodes"]
    pairs = {tuple(name.removeprefix("eeg_").split("_")): name for name in kinds if name.startswith("eeg_")}
    pairs |= {tuple(text.split("-")): known(name, "pairs") for text, name in raw["pairs"].items()}
    any_electrode = "(" + "|".join(sorted((text for text in spelled if "_" not in text), key=len, reverse=True)) + ")"
    slots = {
        name: Slot(slot["unit"], tuple(slot["main"]), slot.get("substitutes", {}))
        for name, slot in raw["slots"].items()
    }
    if tuple(slots) != CHANNELS:
        raise BadInput(f"channels.toml: slots are {', '.join(slots)}, not {', '.join(CHANNELS)}")
    for slot in slots.values():
        for name in (*slot.main, *slot.substitutes):
            known(name, "slots")
    return ChannelTable(
        kinds, units, means, slots, raw["sensor"], generic, cohorts, _unclear(raw, generic, cohorts),
        {unit: {fold_unit(text): factor for text, factor in table.items()} for unit, table in raw["units"].items()},
        {fold_unit(text): known(name, "unit_means") for text, name in raw["unit_means"].items()},
        raw["envelope"]["below_hz"], raw["envelope"]["of"], spelled, pairs,
        re.compile(f"(?:eeg|eog)?{any_electrode}[-:/]?{any_electrode}"),
        re.compile(f"(?:eeg|eog)?{any_electrode}"),
    )  # fmt: skip


def _cohort(name: str, raw: Mapping[str, Any], known: Any) -> Cohort:
    labels: dict[str, tuple[str, int]] = {}
    for canonical, texts in raw["labels"].items():
        known(canonical, f"cohort.{name}.labels")
        for rank, text in enumerate(texts):
            if fold(text) in labels:
                raise BadInput(f"channels.toml: cohort.{name}: {text!r} stands twice")
            labels[fold(text)] = (canonical, rank)
    derive = {
        target: tuple(parse_derivation(text, f"cohort.{name}.derive") for text in texts)
        for target, texts in raw.get("derive", {}).items()
    }
    position = raw.get("position", {})
    documented = position.get("status") == "documented"
    codes = read_codes(position["codes"], f"cohort.{name}") if documented else None
    return Cohort(
        name, labels, derive, tuple(frozenset(labelled) for labelled in raw.get("recognise", ())),
        {fold(text): float(rate) for text, rate in raw.get("rate_hz", {}).items()},
        {fold(flag): fold(text) for flag, text in raw.get("lead_off", {}).items()},
        codes, ": ".join(filter(None, (position.get("status"), position.get("why")))),
    )  # fmt: skip


def read_codes(raw: Mapping[str, str], where: str) -> dict[int, str]:
    """Position codes `{number: word}` with words of `vocabulary.POSITIONS`; BadInput names the line at fault."""
    codes = {}
    for code, word in raw.items():
        if not re.fullmatch(r"-?\d+", code) or word not in POSITIONS.values():
            allowed = ", ".join(POSITIONS.values())
            raise BadInput(f"{where}: position code {code!r} = {word!r}: whole numbers = one of {allowed}")
        codes[int(code)] = word
    return codes


def parse_derivation(text: str, where: str) -> tuple[str, str]:
    """`plus - minus` as a pair; the minus stands between spaces, since labels hold minus signs themselves."""
    parts = [part.strip() for part in text.split(" - ")]
    if len(parts) != 2 or not all(parts):
        raise BadInput(f"{where}: {text!r} is not written PLUS - MINUS")
    return parts[0], parts[1]


def _unclear(raw: Mapping[str, Any], generic: Cohort, cohorts: Mapping[str, Cohort]) -> dict[str, Unclear]:
    """Labels under [ambiguous], and those that only cohorts know: no meaning while the cohort is not known."""
    said = {fold(label): why for label, why in raw["ambiguous"].items()}
    extra = {fold(label): names for label, names in raw["ambiguous_choices"].items()}
    keys = said.keys() | {key for cohort in cohorts.values() for key in cohort.labels if key not in generic.labels}
    unclear = {}
    for key in keys:
        choices: dict[str, tuple[str, ...]] = dict.fromkeys(extra.get(key, ()), ())
        for cohort in cohorts.values():
            if key in cohort.labels:
                name = cohort.labels[key][0]
                choices[name] = (*choices.get(name, ()), cohort.name)
        unclear[key] = Unclear(choices, said.get(key, "only these cohorts are known to use it"))
    return unclear
