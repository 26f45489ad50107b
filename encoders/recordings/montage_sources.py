"""What each signal of a header could serve: its canonical channel, scaled; or a difference of two; or why nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from encoders.recordings.channel_table import ChannelTable, Meaning, Unclear, fold
from encoders.recordings.header import SignalHeader
from encoders.recordings.units import fold_unit, scale_to


@dataclass(frozen=True, slots=True)
class Source:
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
class Reading:
    """The header's signals as they are being explained; `left` holds why a signal serves nothing."""

    table: ChannelTable
    signals: Sequence[SignalHeader]
    rates_hz: Sequence[float] | None
    origins: Sequence[int] | None  # which file each signal is in
    cohort: str | None
    sources: dict[str, list[Source]] = field(default_factory=dict)
    unclear: dict[int, Unclear] = field(default_factory=dict)
    left: dict[int, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)  # canonical channels of which a signal was refused, and why
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
            why = f"{rate_hz:g} Hz is too slow for more than an envelope: {table.means[table.envelope_of[canonical]]}"
            self.lost[canonical] = f"{signal.label!r}: {why}"
            canonical = table.envelope_of[canonical]
        try:
            scale, unit, inferred = scale_to(
                target, table.factors.get(target, {}), signal.unit, signal.physical_min, signal.physical_max
            )
        except ValueError as error:
            self.refuse(index, canonical, f"would be {canonical}, but {error}")
            return
        documented = self.table.cohorts[self.cohort].rates_hz.get(fold(signal.label)) if self.cohort else None
        if documented and rate_hz and abs(rate_hz - documented) > 0.01 * documented:
            why += f" ({rate_hz:g} Hz here, {documented:g} in the cohort's documentation)"
        if inferred:
            why += f"; {inferred}"
            self.notes.append(f"{signal.label!r}: {inferred}")
        source = Source(canonical, index, None, meaning.sign * scale, unit, meaning.rank, why)
        self.sources.setdefault(canonical, []).append(source)

    def refuse(self, index: int, canonical: str, why: str) -> None:
        """Note why a signal that would be `canonical` serves nothing."""
        self.left[index] = why
        self.lost[canonical] = f"{self.signals[index].label!r} {why}"

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
                        (
                            f"unit {signal.unit!r} instead of {kept.unit!r}",
                            fold_unit(signal.unit) == fold_unit(kept.unit),
                        ),
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
        if inferred:
            why += f"; {inferred}"
            self.notes.append(f"{target}: {inferred}")
        why = f"{one.label} - {two.label}, {why}"
        self.sources[target] = [Source(target, plus, minus, scale, reached, 0, why)]
