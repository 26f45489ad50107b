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
from encoders.recordings.units import fold_unit, scale_to
from encoders.vocabulary import CHANNELS

_NOT_VIEWED = frozenset({"electrode", "status"})


@dataclass(frozen=True, slots=True)
class Choice:
    """One channel of a recording: samples are `(label - minus_label) * scale`, in `unit`.

    channel: a slot of `vocabulary.CHANNELS`, or the canonical id of one measured and viewed beside them. sensor: what AF, HR
    and SPO2 came from. index, minus_index: positions in the list of signals that was resolved.
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

    choices: by channel; a slot that nothing serves is not a key, and `absent` says why. unmapped: labels that serve nothing.
    problems: one line per label that somebody must explain before its slot can be filled. notes: duplicates, refused
    derivations. position_codes: raw code -> word, only while POS is served. lead_off: channel -> label of its flag.
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


@dataclass(frozen=True, slots=True)
class _Source:
    """A signal, or a difference of two, that could serve a canonical channel."""

    canonical: str
    index: int
    minus_index: int | None
    scale: float
    unit: str
    rank: int
    why: str

    @property
    def signal(self) -> tuple[int, int | None]:
        return self.index, self.minus_index


@dataclass(slots=True)
class _Reading:
    """The header's signals as they are being explained: `left` holds why a signal serves nothing."""

    table: ChannelTable
    signals: Sequence[SignalHeader]
    rates_hz: Sequence[float] | None
    origins: Sequence[int] | None  # which file each signal is in
    cohort: str | None
    sources: dict[str, list[_Source]] = field(default_factory=dict)
    unclear: dict[int, Unclear] = field(default_factory=dict)
    left: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rate_hz(self, index: int) -> float | None:
        return None if self.rates_hz is None else self.rates_hz[index]

    def pace(self, index: int) -> float:
        """Something equal for signals of equal rate: the rate, or the samples per record while that is not known."""
        rate_hz = self.rate_hz(index)
        return self.signals[index].samples_per_record if rate_hz is None else rate_hz

    def add(self, index: int, meaning: Meaning) -> None:
        """Enter a signal under its canonical channel, scaled; or note why it can't be."""
        signal, table, canonical = self.signals[index], self.table, meaning.canonical
        kind, target = table.kinds[canonical], table.units[canonical]
        rate_hz, why = self.rate_hz(index), meaning.why
        if kind == "status":
            self.left[index] = table.means[canonical]
            return
        if canonical in table.envelope_of and rate_hz is not None and rate_hz < table.envelope_below_hz:
            canonical = table.envelope_of[canonical]
            why = f"{rate_hz:g} Hz is too slow for more than an envelope: {table.means[canonical]}"
        try:
            scale, unit, inferred = scale_to(
                target, table.factors.get(target, {}), signal.unit, signal.physical_min, signal.physical_max
            )
        except ValueError as error:
            self.left[index] = f"would be {canonical}, but {error}"
            return
        documented = self.table.cohorts[self.cohort].rates_hz.get(fold(signal.label)) if self.cohort else None
        if documented and rate_hz and abs(rate_hz - documented) > 0.01 * documented:
            why += f" ({rate_hz:g} Hz here, {documented:g} in the cohort's documentation)"
        why += f"; {inferred}" if inferred else ""
        source = _Source(canonical, index, None, meaning.sign * scale, unit, meaning.rank, why)
        self.sources.setdefault(canonical, []).append(source)

    def keep_first(self) -> None:
        """Order the signals of each canonical channel by preference, then header; all but the first serve nothing."""
        for canonical, found in self.sources.items():
            found.sort(key=lambda source: (source.rank, source.index))
            first, *others = found
            kept = self.signals[first.index]
            for other in others:
                signal = self.signals[other.index]
                same = signal.label == kept.label
                differs = [
                    text
                    for text, equal in (
                        (f"unit {signal.unit!r} instead of {kept.unit!r}", fold_unit(signal.unit) == fold_unit(kept.unit)),
                        ("another rate", self.pace(other.index) == self.pace(first.index)),
                    )
                    if not equal
                ]
                what = "the same label again" if same else f"a second {canonical}"
                self.left[other.index] = f"{what}{', ' + ', '.join(differs) if differs else ''}: {kept.label!r} is used"
                if same:
                    self.notes.append(f"label {signal.label!r} stands twice: {self.left[other.index]}")
            self.sources[canonical] = [first]

    def derive(self, target: str, plus: int, minus: int, why: str) -> None:
        """Enter `plus - minus` as `target` where both come at one rate, in one unit, from one file."""
        one, two = self.signals[plus], self.signals[minus]
        unequal = []
        if self.pace(plus) != self.pace(minus):
            unequal.append("rates")
        if fold_unit(one.unit) != fold_unit(two.unit):
            unequal.append("units")
        if self.origins is not None and self.origins[plus] != self.origins[minus]:
            unequal.append("files")
        if unequal:
            self.notes.append(f"{target} not derived: {one.label} and {two.label} differ in {' and '.join(unequal)}")
            return
        unit = self.table.units[target]
        try:
            scale, reached, inferred = scale_to(
                unit, self.table.factors.get(unit, {}), one.unit, one.physical_min, one.physical_max
            )
        except ValueError as error:
            self.notes.append(f"{target} not derived from {one.label}: {error}")
            return
        why = f"{one.label} - {two.label}, {why}{'; ' + inferred if inferred else ''}"
        self.sources[target] = [_Source(target, plus, minus, scale, reached, 0, why)]


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

    cohort: a name of `channels.toml`; None recognises it by labels where exactly one fits. overrides: `{label: canonical}`
    or `{canonical: label}` or `{canonical: "plus - minus"}`. rates_hz, origins: per signal, its rate and the number of its
    file. off: signals known to be empty, with the reason. position_codes: the site's own. strict: no substitutes, and
    AmbiguousChannel for a label that is needed and unclear. Raises BadInput for an unknown cohort or override.
    """
    table = load_table()
    if cohort is None:
        name, cohort_why = table.recognise({signal.label for signal in signals})
    else:
        name, cohort_why = table.require_cohort(cohort), "given"
    named, derived = _overrides(table, overrides or {}, signals)
    reading = _Reading(table, signals, rates_hz, origins, name)
    oximeter_status = None
    for index, signal in enumerate(signals):
        if signal.is_annotation:
            continue
        override = named.get(fold(signal.label))
        meaning = Meaning(override, "as you said", rank=-1) if override else table.meaning(signal.label, name)
        if off and index in off:
            reading.left[index] = off[index]
        elif not signal.usable:
            reading.left[index] = "the header gives it no samples or no scale"
        elif fold_unit(signal.unit) in table.unit_means:
            reading.left[index] = f"{table.means[table.unit_means[fold_unit(signal.unit)]]}: its unit is {signal.unit}"
        elif isinstance(meaning, Meaning):
            reading.add(index, meaning)
            if meaning.canonical == "oximeter_status":
                oximeter_status = oximeter_status or signal.label
        elif meaning is None:
            reading.left[index] = "label not in channels.toml"
        else:
            reading.unclear[index] = meaning
    reading.keep_first()
    for target, (plus, minus) in derived.items():
        reading.derive(target, plus, minus, "as you said")
    _derive_all(reading)
    codes = dict(position_codes) if position_codes else table.cohorts[name].position_codes if name else None
    choices, absent = _fill(reading, codes, strict=strict)
    problems = _problems(reading, choices, absent, file)
    if strict and problems:
        raise AmbiguousChannel(" ".join(problems))
    return Montage(
        choices, _unmapped(reading, choices), name, cohort_why, codes if "POS" in choices else None,
        _lead_off(reading, choices), oximeter_status, absent, problems, tuple(reading.notes), _rows(reading, choices),
    )  # fmt: skip


def explain(montage: Montage) -> list[dict[str, Any]]:
    """What each label became and why, one dictionary per signal in the header's order: label, rate_hz, unit, became, why."""
    return [asdict(row) for row in montage.rows]


def _overrides(
    table: ChannelTable, overrides: Mapping[str, str], signals: Sequence[SignalHeader]
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """Overrides as folded label -> canonical, and canonical -> indices of plus and minus."""
    at = {fold(signal.label): index for index, signal in reversed(list(enumerate(signals)))}
    named, derived = {}, {}
    for left, right in overrides.items():
        if left not in table.kinds:
            named[fold(left)] = table.require_canonical(right, f"override {left!r}")
        elif " - " not in right:
            named[fold(right)] = left
        else:
            plus, minus = (at.get(fold(part)) for part in parse_derivation(right, f"override {left!r}"))
            if plus is not None and minus is not None:  # one file of a cohort may lack what the others have
                derived[left] = plus, minus
    return named, derived


def _derive_all(reading: _Reading) -> None:
    """Derive what is not stored itself: by the cohort's rules, then by the generic ones."""
    table = reading.table
    rules = [*(table.cohorts[reading.cohort].derive.items() if reading.cohort else ()), *table.generic.derive.items()]
    for target, pairs in rules:
        for plus, minus in pairs:
            if target not in reading.sources and plus in reading.sources and minus in reading.sources:
                why = "two electrodes of one reference"
                reading.derive(target, reading.sources[plus][0].index, reading.sources[minus][0].index, why)


def _fill(
    reading: _Reading, codes: Mapping[int, str] | None, *, strict: bool
) -> tuple[dict[str, Choice], dict[str, str]]:
    """Choices by channel, and why each empty slot is empty; one physical channel serves one slot."""
    table, sources = reading.table, {name: found[0] for name, found in reading.sources.items()}
    choices: dict[str, Choice] = {}
    absent: dict[str, str] = {}

    def take(channel: str, source: _Source, why: str = "") -> None:
        minus = source.minus_index
        choices[channel] = Choice(
            channel, source.canonical, reading.signals[source.index].label,
            None if minus is None else reading.signals[minus].label, source.scale, source.unit, bool(why),
            table.sensors.get(source.canonical), f"substitute: {why} ({source.why})" if why else source.why,
            source.index, minus,
        )  # fmt: skip

    for slot, wanted in table.slots.items():
        found = next((sources[name] for name in wanted.main if name in sources), None)
        if found is None:
            absent[slot] = "no signal for it"
        elif slot == "POS" and not codes:
            cohort = reading.cohort
            why = table.cohorts[cohort].position_why if cohort else "cohort not known"
            absent[slot] = f"position codes are not documented ({why.strip(': ')})"
        else:
            take(slot, replace(found, unit="code") if slot == "POS" else found)
    used = {(choice.index, choice.minus_index) for choice in choices.values()}
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
            absent[slot] = f"strict montage: {name} could stand in"
            continue
        take(slot, source, table.slots[slot].substitutes[name])
        used.add(source.signal)
        del absent[slot]
    for name, source in sources.items():
        if table.kinds[name] not in _NOT_VIEWED and source.signal not in used:
            take(name, source)
    return choices, absent


def _problems(
    reading: _Reading, choices: Mapping[str, Choice], absent: dict[str, str], file: str
) -> tuple[str, ...]:
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
            f"{file + ': ' if file else ''}label {signal.label!r} is unclear ({why}); empty without it: "
            f"{', '.join(empty)}. It could be {' or '.join(name + text for name, text in can_be.items())}. Say which in a "
            f'channels.toml beside the recordings: [labels] "{signal.label}" = "{next(iter(can_be))}"'
            + (f", or cohort = {' or '.join(repr(site) for site in sites)}." if sites else ".")
        )
    return tuple(lines)


def _rows(reading: _Reading, choices: Mapping[str, Choice]) -> tuple[Row, ...]:
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


def _why_left(reading: _Reading, index: int) -> str:
    """Why a signal serves nothing."""
    if index in reading.left:
        return reading.left[index]
    if index in reading.unclear:
        choices = reading.unclear[index].choices
        said = ", ".join(f"{'/'.join(sites) or '?'} = {name}" for name, sites in choices.items())
        return f"unclear: {reading.unclear[index].why}; {said}" if said else f"unclear: {reading.unclear[index].why}"
    return "bare electrode: only differences of two are used"


def _unmapped(reading: _Reading, choices: Mapping[str, Choice]) -> tuple[tuple[str, str], ...]:
    used = {index for choice in choices.values() for index in (choice.index, choice.minus_index)}
    return tuple(
        (signal.label, _why_left(reading, index))
        for index, signal in enumerate(reading.signals)
        if index not in used and not signal.is_annotation
    )


def _lead_off(reading: _Reading, choices: Mapping[str, Choice]) -> dict[str, str]:
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
