"""Which signal of a recording serves which channel, and why.

Labels are resolved by override, then cohort, then what their text states, then by derivation `plus - minus`; never by
substring. The facts stand in `channels.toml`. A label that means different sensors at different sites leaves its slot
empty and is reported in `Montage.problems` with the choices, until a `channels.toml` beside the recordings (see
`site_channels.py`) or an override says which; `strict=True` raises `AmbiguousChannel` at once and refuses substitutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from encoders.errors import AmbiguousChannel
from encoders.recordings.channel_table import ChannelTable, Meaning, Unclear, fold, load_table, parse_derivation
from encoders.recordings.header import SignalHeader
from encoders.recordings.montage_sources import Reading, Source
from encoders.recordings.units import fold_unit
from encoders.vocabulary import CHANNELS

UNKNOWN_LABEL = "label not in channels.toml"
_NOT_VIEWED = frozenset({"electrode", "status"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One channel of a recording: samples are `(label - minus_label) * scale`, in `unit`.

    channel: a slot of `vocabulary.CHANNELS`, or the canonical id of one measured and viewed beside them. sensor: what
    AF, HR and SPO2 came from. index, minus_index: positions in the list of signals that was resolved.
    """

    channel: str
    canonical: str
    label: str
    minus_label: str | None
    scale: float
    unit: str
    substitute: bool
    sensor: str | None
    why: str
    index: int = -1
    minus_index: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one signal of the header."""

    label: str
    rate_hz: float | None
    unit: str
    became: str
    why: str


@dataclass(frozen=True, slots=True)
class Montage:
    """The channels of a recording.

    choices: by channel; a slot that nothing serves is not a key, and `absent` says why. unmapped: labels that serve
    nothing. problems: one line per label that somebody must explain before its slot can be filled. notes: duplicates,
    refused derivations. position_codes: raw code -> word, only while POS is served. lead_off: channel -> label of its
    flag.
    """

    choices: dict[str, Choice]
    unmapped: tuple[tuple[str, str], ...]
    cohort: str | None
    cohort_why: str
    position_codes: dict[int, str] | None = None
    lead_off: dict[str, str] = field(default_factory=dict)
    oximeter_status: str | None = None
    absent: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots of `vocabulary.CHANNELS` that are served, in their order."""
        return tuple(slot for slot in CHANNELS if slot in self.choices)

    @property
    def substitutes(self) -> dict[str, str]:
        """Slot -> the derivation that stands in for it, for every substitute."""
        return {name: choice.canonical for name, choice in self.choices.items() if choice.substitute}

    def find(self, channel: str) -> Choice | None:
        """The choice for a slot or a canonical id; None when the recording has no such channel."""
        if channel in self.choices:
            return self.choices[channel]
        return next((choice for choice in self.choices.values() if choice.canonical == channel), None)


def resolve_montage(
    signals: Sequence[SignalHeader],
    *,
    cohort: str | None = None,
    overrides: Mapping[str, str] | None = None,
    strict: bool = False,
    file: str = "",
    rates_hz: Sequence[float] | None = None,
    origins: Sequence[int] | None = None,
    off: Mapping[int, str] | None = None,
    position_codes: Mapping[int, str] | None = None,
) -> Montage:
    """Explain every signal of a header and choose what serves each slot.

    cohort: a name of `channels.toml`; None recognises it by labels where exactly one fits. overrides: `{label:
    canonical}` or `{canonical: label}` or `{canonical: "plus - minus"}`. rates_hz, origins: per signal, its rate and
    the number of its file. off: signals known to be empty, with the reason. position_codes: the site's own. strict:
    no substitutes, and AmbiguousChannel for a label that is needed and unclear. Raises BadInput for an unknown cohort
    or override.
    """
    table = load_table()
    if cohort is None:
        name, cohort_why = table.recognise({signal.label for signal in signals})
    else:
        name, cohort_why = table.require_cohort(cohort), "given"
    named, derived = _overrides(table, overrides or {}, signals)
    reading = Reading(table, signals, rates_hz, origins, name)
    oximeter_status = None
    for index, signal in enumerate(signals):
        if signal.is_annotation:
            continue
        override = named.get(fold(signal.label))
        meaning = Meaning(override, "as you said", rank=-1) if override else table.meaning(signal.label, name)
        if fold_unit(signal.unit) in table.unit_means:
            reading.left[index] = f"{table.means[table.unit_means[fold_unit(signal.unit)]]}: its unit is {signal.unit}"
        elif isinstance(meaning, Meaning):
            why = (off or {}).get(index) or ("" if signal.usable else "has no samples or no scale in the header")
            if why:
                reading.refuse(index, meaning.canonical, why)
                continue
            reading.add(index, meaning)
            if meaning.canonical == "oximeter_status":
                oximeter_status = oximeter_status or signal.label
        elif meaning is None:
            reading.left[index] = UNKNOWN_LABEL
        else:
            reading.unclear[index] = meaning
    reading.keep_first()
    for target, (plus, minus) in derived.items():
        reading.derive(target, plus, minus, "as you said")
    _derive_all(reading)
    codes = dict(position_codes) if position_codes else table.cohorts[name].position_codes if name else None
    choices, absent = _fill(reading, codes, strict=strict)
    problems = _problems(reading, choices, absent)
    if strict and problems:
        raise AmbiguousChannel(" ".join([*([f"{file}:"] if file else []), *problems]))
    return Montage(
        choices, _unmapped(reading, choices), name, cohort_why, codes if "POS" in choices else None,
        _lead_off(reading, choices), oximeter_status, absent, problems, tuple(reading.notes), _rows(reading, choices),
    )  # fmt: skip


def explain(montage: Montage) -> list[dict[str, Any]]:
    """What each label became and why, in the header's order: label, rate_hz, unit, became ("" for nothing), why."""
    return [asdict(row) for row in montage.rows]


def _overrides(
    table: ChannelTable, overrides: Mapping[str, str], signals: Sequence[SignalHeader]
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """Overrides as folded label -> canonical, and canonical -> indices of plus and minus."""
    at = {fold(signal.label): index for index, signal in reversed(list(enumerate(signals)))}
    named, derived = {}, {}
    for left, right in overrides.items():
        if right in table.kinds or left not in table.kinds:
            named[fold(left)] = table.require_canonical(right, f"override {left!r}")
        elif " - " not in right:
            named[fold(right)] = left
        else:
            plus, minus = (at.get(fold(part)) for part in parse_derivation(right, f"override {left!r}"))
            if plus is not None and minus is not None:  # one file of a cohort may lack what the others have
                derived[left] = plus, minus
    return named, derived


def _derive_all(reading: Reading) -> None:
    """Derive what is not stored itself: by the cohort's rules, then by the generic ones."""
    table = reading.table
    rules = [*(table.cohorts[reading.cohort].derive.items() if reading.cohort else ()), *table.generic.derive.items()]
    for target, pairs in rules:
        for plus, minus in pairs:
            if target not in reading.sources and plus in reading.sources and minus in reading.sources:
                why = "two electrodes of one reference"
                reading.derive(target, reading.sources[plus][0].index, reading.sources[minus][0].index, why)


def _fill(
    reading: Reading, codes: Mapping[int, str] | None, *, strict: bool
) -> tuple[dict[str, Choice], dict[str, str]]:
    """Choices by channel, and why each empty slot is empty; one physical channel serves one slot."""
    table, sources = reading.table, {name: found[0] for name, found in reading.sources.items()}
    choices: dict[str, Choice] = {}
    absent: dict[str, str] = {}

    def take(channel: str, source: Source, why: str = "") -> None:
        minus = source.minus_index
        choices[channel] = Choice(
            channel, source.canonical, reading.signals[source.index].label,
            None if minus is None else reading.signals[minus].label, source.scale, source.unit, bool(why),
            table.sensors.get(source.canonical), f"substitute: {why} ({source.why})" if why else source.why,
            source.index, minus,
        )  # fmt: skip

    for slot, wanted in table.slots.items():
        found = next((sources[name] for name in wanted.main if name in sources), None)
        if slot == "POS" and not codes:
            why = table.cohorts[reading.cohort].position_why if reading.cohort else "cohort not known"
            absent[slot] = (
                f"position codes are not documented ({why})" if found or reading.cohort else "no signal for it"
            )
        elif found is None:
            absent[slot] = next(
                (reading.lost[name] for name in wanted.main if name in reading.lost), "no signal for it"
            )
        else:
            take(slot, replace(found, unit="code") if slot == "POS" else found)
    used = {(choice.index, choice.minus_index) for choice in choices.values()}
    refused: set[str] = set()
    ranked = sorted(
        (rank, at, slot, name)
        for at, (slot, wanted) in enumerate(table.slots.items())
        for rank, name in enumerate(wanted.substitutes)
        if name in sources and slot in absent
    )
    for _, _, slot, name in ranked:  # the better substitute first, whichever slot it is for
        source = sources[name]
        if slot in choices or source.signal in used:
            continue
        if strict:
            if slot not in refused:
                refused.add(slot)
                absent[slot] = f"strict montage: {name} could stand in"
            continue
        take(slot, source, table.slots[slot].substitutes[name])
        used.add(source.signal)
        del absent[slot]
    for name, source in sources.items():
        if table.kinds[name] not in _NOT_VIEWED and source.signal not in used:
            take(name, source)
    return choices, absent


def _problems(reading: Reading, choices: Mapping[str, Choice], absent: dict[str, str]) -> tuple[str, ...]:
    """One line for each label that could fill an empty slot if somebody said what it is."""
    table, lines = reading.table, []
    used = {index for choice in choices.values() for index in (choice.index, choice.minus_index)}
    for index, signal in enumerate(reading.signals):
        bare = next((name for name, found in reading.sources.items() if found[0].index == index), "")
        if index in reading.unclear:
            unclear = reading.unclear[index]
            can_be = {name: f" ({', '.join(sites)})" if sites else "" for name, sites in unclear.choices.items()}
            why = unclear.why
        elif table.kinds.get(bare) == "electrode" and index not in used:
            unclear = table.unclear.get(fold(signal.label), Unclear({}, ""))
            can_be = {name: f" ({', '.join(sites)})" for name, sites in unclear.choices.items() if name != bare}
            targets = [name for name, pairs in table.generic.derive.items() if bare in {plus for plus, _ in pairs}]
            can_be |= {name: "" for name in targets if name not in can_be}
            why = "a bare electrode, and nothing in this file to subtract from it"
        else:
            continue
        empty = [slot for slot in CHANNELS if slot in absent and any(slot in table.serves(name) for name in can_be)]
        if not empty:
            continue
        for slot in empty:
            absent[slot] = f"{signal.label!r} is unclear: {why}"
        sites = sorted({site for names in unclear.choices.values() for site in names})
        lines.append(
            f"label {signal.label!r} is unclear ({why}); empty without it: "
            f"{', '.join(empty)}. It could be {' or '.join(name + text for name, text in can_be.items())}. "
            f'Say which in a channels.toml beside the recordings: [labels] "{signal.label}" = "{next(iter(can_be))}"'
            + (f", or cohort = {' or '.join(repr(site) for site in sites)}." if sites else ".")
        )
    return tuple(lines)


def _rows(reading: Reading, choices: Mapping[str, Choice]) -> tuple[Row, ...]:
    rows = []
    for index, signal in enumerate(reading.signals):
        if signal.is_annotation:
            continue
        served = [choice for choice in choices.values() if index in (choice.index, choice.minus_index)]
        if served:
            became = ", ".join(
                choice.channel + (f" ({choice.canonical})" if choice.channel != choice.canonical else "")
                for choice in served
            )
            why = served[0].why
        else:
            became, why = "", _why_left(reading, index)
        rows.append(Row(signal.label, reading.rate_hz(index), signal.unit, became, why))
    return tuple(rows)


def _why_left(reading: Reading, index: int) -> str:
    """Why a signal serves nothing."""
    if index in reading.left:
        return reading.left[index]
    if index in reading.unclear:
        choices = reading.unclear[index].choices
        said = ", ".join(f"{'/'.join(sites) or '?'} = {name}" for name, sites in choices.items())
        return f"unclear: {reading.unclear[index].why}; {said}" if said else f"unclear: {reading.unclear[index].why}"
    return "bare electrode: only differences of two are used"


def _unmapped(reading: Reading, choices: Mapping[str, Choice]) -> tuple[tuple[str, str], ...]:
    used = {index for choice in choices.values() for index in (choice.index, choice.minus_index)}
    return tuple(
        (signal.label, _why_left(reading, index))
        for index, signal in enumerate(reading.signals)
        if index not in used and not signal.is_annotation
    )


def _lead_off(reading: Reading, choices: Mapping[str, Choice]) -> dict[str, str]:
    if reading.cohort is None:
        return {}
    flags = {target: flag for flag, target in reading.table.cohorts[reading.cohort].lead_off.items()}
    labels = {fold(signal.label): signal.label for signal in reading.signals}
    found = {}
    for name, choice in choices.items():
        flag = flags.get(fold(choice.label))
        if flag in labels:
            found[name] = labels[flag]
    return found
