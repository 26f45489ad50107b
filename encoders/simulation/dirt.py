"""What goes wrong with a recording: planned for a night and a site, laid over its signals, and listed in its truth.

A fault is a span on one signal of the file. What the electrode picks up is added before the amplifier, so that the
site's filters act on it; a flat line comes after. Whole-night faults (swapped, inverted, missing, a wrong unit,
clipping) change how a signal is recorded, not what it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import Floats, constants, stream, wander
from encoders.simulation.night import Night
from encoders.simulation.scoring import Scored
from encoders.simulation.sites import ELECTRICAL, Sensor, prefilter, sensors
from encoders.vocabulary import EPOCH_S

OFF: Final = ("sensor off", "late start")
FLAT: Final = "flat"
PAUSE: Final = "recording paused"
_BY_CHANNEL: Final = (
    *OFF, "baseline drift", "mains hum", "electrode pop", "clipping", "dropout", "ECG leakage", "inverted", "missing",
)  # fmt: skip
_OTHER_UNIT: Final = {"uV": "mV", "mV": "uV"}
_HARMONICS: Final = ((1, 1.0), (2, 0.15), (3, 0.3))  # of mains hum: the odd ones are stronger; ours
_DRIFTS_BELOW_HZ: Final = 0.08  # an amplifier with a higher high-pass shows no drift
_EDGE_S: Final = 60.0  # a recording that begins or ends with a pause is a shorter one
_OPEN_UV: Final = (60.0, 15.0)  # what an open input holds: hum and noise


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in `[start_s, stop_s)` with the signal `label` of the file (None: all); `cause` is its detail."""

    name: str
    label: str | None
    start_s: float
    stop_s: float
    cause: str
    size: float = 0.0


def plan_dirt(night: Night, site: Mapping[str, Any]) -> tuple[Fault, ...]:
    """The faults of a night at a site, by start; each kind and channel draws from a stream of its own."""
    severity, mains = site.get("dirt", 1.0), site.get("mains_hz", 50)
    here = sensors(site)
    faults: list[Fault] = []
    for name in _BY_CHANNEL:
        rule = constants("dirt")[name]
        for sensor in here:
            # One finger clip makes saturation, pulse and plethysmogram.
            clip = sensor.family in ("oximeter", "ppg") and "oximeter" in rule["chance"]
            chance = severity * rule["chance"].get("oximeter" if clip else sensor.family, 0.0)
            if not chance:
                continue
            rng = stream(*night.key, "dirt", name, "oximeter" if clip else sensor.label)
            if rng.random() < chance and _shows(name, sensor, prefilter(site, sensor), mains):
                faults += _spans(rng, name, sensor, night, mains)
    faults += [*_sweat(night, here, severity), *_mixed_up(night, here, severity)]
    if "+" in site["kind"]:
        rng = stream(*night.key, "dirt", PAUSE)
        if rng.random() < severity * constants("dirt")[PAUSE]["chance"]["night"]:
            whole = [(float(round(a)), float(round(b))) for a, b in _times(rng, constants("dirt")[PAUSE], night)]
            inner = [(a, b) for a, b in whole if a >= _EDGE_S and b <= night.duration_s - _EDGE_S]
            faults += [Fault(PAUSE, None, a, b, "EDF+D gap") for a, b in inner]
    return tuple(sorted(faults, key=lambda fault: (fault.start_s, fault.name, fault.label or "")))


def _shows(name: str, sensor: Sensor, filters: str, mains: int) -> bool:
    """Whether the site's recorder lets a fault of this kind through on this sensor."""
    if name == "mains hum":
        return sensor.rate_hz > 2.2 * mains and "N:" not in filters
    if name == "baseline drift":
        return all(float(text.split("Hz")[0]) <= _DRIFTS_BELOW_HZ for text in filters.split("HP:")[1:])
    return True


def _times(rng: np.random.Generator, rule: Mapping[str, Any], night: Night) -> list[tuple[float, float]]:
    """Spans of a fault in seconds, apart from each other, rounded to 0.1 s; the whole night where it has no length."""
    end = night.duration_s
    if "minutes" not in rule:
        return [(0.0, end)]
    median, spread = rule["minutes"]
    count = 1 + int(rng.poisson(rule.get("more", 0.0)))
    length = 60 * median * np.exp(spread * rng.standard_normal(count))
    start = rng.uniform(0, end, count)
    turns = np.array([turn.start_s for turn in night.named("position change")])
    at_turn = rng.random(count) < rule.get("turned", 0.0)
    if len(turns):
        start = np.where(at_turn, turns[rng.integers(0, len(turns), count)], start)
    if rule.get("at_start"):
        start[:] = 0.0
    stop = np.where(rng.random(count) < rule.get("to_end", 0.0), end, start + length)
    spans: list[tuple[float, float]] = []
    for a, b in sorted(zip(start.round(1).tolist(), stop.clip(0, end).round(1).tolist(), strict=True)):
        if b - a >= 0.5 and (not spans or a >= spans[-1][1] + 1.0):
            spans.append((a, b))
    return spans


def _spans(rng: np.random.Generator, name: str, sensor: Sensor, night: Night, mains: int) -> list[Fault]:
    """The faults of one kind on one sensor."""
    rule, found = constants("dirt")[name], []
    for start, stop in _times(rng, rule, night):
        size = _size(rng, rule)
        if name in OFF:
            electrode = sensor.family in ELECTRICAL and sensor.rate_hz > 2.2 * mains
            cause = "open input: hum and noise" if electrode and rng.random() < 0.5 else FLAT
        else:
            cause = {
                "baseline drift": f"about {size:.1f} {'mV' if sensor.family == 'ecg' else 'of a quiet breath'}",
                "mains hum": f"{mains} Hz, {size:.0f} uV rms", "electrode pop": f"{size:.0f} uV",
                "clipping": f"at {size * sensor.limit:.3g} {sensor.unit}".strip(), "dropout": "no signal",
                "ECG leakage": f"{size:.0f} uV of 1 mV", "inverted": "polarity", "missing": "not in the file",
            }[name]  # fmt: skip
        found.append(Fault(name, sensor.label, start, stop, cause, size))
    return found


def _size(rng: np.random.Generator, rule: Mapping[str, Any]) -> float:
    median, spread = rule.get("size", (0.0, 0.0))
    return round(float(median * np.exp(spread * rng.standard_normal())), 3)


def _sweat(night: Night, here: Sequence[Sensor], severity: float) -> list[Fault]:
    """Sweat is the sleeper's: the same spans on most electrodes of the head."""
    rule, rng = constants("dirt")["sweat"], stream(*night.key, "dirt", "sweat")
    if rng.random() >= severity * rule["chance"]["night"]:
        return []
    spans, faults = _times(rng, rule, night), []
    for sensor in here:
        own = stream(*night.key, "dirt", "sweat", sensor.label)
        if own.random() < rule["chance"].get(sensor.family, 0.0):
            size = _size(own, rule)
            faults += [Fault("sweat", sensor.label, a, b, f"{size:.0f} uV rms", size) for a, b in spans]
    return faults


def _mixed_up(night: Night, here: Sequence[Sensor], severity: float) -> list[Fault]:
    """Two channels exchanged, or a family of signals with a wrong unit in the header, all night."""
    faults: list[Fault] = []
    rng, rules = stream(*night.key, "dirt", "mixed up"), constants("dirt")
    swaps, units = rng.random(2)
    if swaps < severity * rules["swapped"]["chance"]["night"]:
        alike = [
            (a, b) for i, a in enumerate(here) for b in here[i + 1 :]
            if a.family == b.family and (a.rate_hz, a.unit, a.limit) == (b.rate_hz, b.unit, b.limit)
            and ((a.channel.startswith("eeg_") and b.channel.startswith("eeg_"))
                 or {a.channel, b.channel} == {"thorax", "abdomen"})
        ]  # fmt: skip
        if alike:
            a, b = alike[int(rng.integers(len(alike)))]
            for one, other in ((a, b), (b, a)):
                faults.append(Fault("swapped", one.label, 0.0, night.duration_s, f"exchanged with {other.label}"))
    if units < severity * rules["wrong unit"]["chance"]["night"]:
        family = ("eeg", "eog", "emg", "ecg")[int(rng.integers(4))]
        faults += [
            Fault("wrong unit", s.label, 0.0, night.duration_s, f"{_OTHER_UNIT[s.unit]} written for {s.unit}")
            for s in here
            if s.family == family and s.unit in _OTHER_UNIT
        ]
    return faults


def as_recorded(here: Iterable[Sensor], faults: Sequence[Fault]) -> list[Sensor]:
    """The sensors as they were on that night: exchanged, missing, or with less range. Labels stay what they are."""
    by_label = {sensor.label: sensor for sensor in here}
    found = dict(by_label)
    for fault in faults:
        if fault.label not in found:
            continue
        if fault.name == "swapped":
            other = fault.cause.removeprefix("exchanged with ")
            found[fault.label] = replace(found[fault.label], channel=by_label[other].channel)
        elif fault.name == "clipping":
            found[fault.label] = replace(
                found[fault.label], limit=float(f"{fault.size * by_label[fault.label].limit:.3g}")
            )
    gone = {fault.label for fault in faults if fault.name == "missing"}
    return [sensor for label, sensor in found.items() if label not in gone]


def written_unit(sensor: Sensor, faults: Iterable[Fault]) -> str:
    """The unit in the header: the right one, but for a fault."""
    wrong = any(fault.name == "wrong unit" and fault.label == sensor.label for fault in faults)
    return _OTHER_UNIT[sensor.unit] if wrong else sensor.unit


def soil(
    samples: Floats, sensor: Sensor, faults: Iterable[Fault], night: Night, mains: int, ecg: Floats | None
) -> None:  # fmt: skip
    """Adds to `samples`, in place and in the unit that they are made in, what the faults bring before the amplifier.

    `ecg` is the heart in mV at the same rate, needed for its leakage.
    """
    rate, volt = sensor.rate_hz, np.float32(0.001 if sensor.family == "ecg" else 1.0)
    for fault in (fault for fault in faults if fault.label == sensor.label):
        first, last = (min(len(samples), round(t * rate)) for t in (fault.start_s, fault.stop_s))
        part, n = samples[first:last], last - first
        rng = stream(*night.key, "dirt", fault.name, sensor.label, round(fault.start_s * 10))
        if fault.name in OFF and fault.cause != FLAT:
            hum, noise = _OPEN_UV
            part[:] = volt * (hum * _hum(rng, n, rate, mains) + np.float32(noise) * rng.standard_normal(n, np.float32))
        elif fault.name == "mains hum":
            part += volt * np.float32(fault.size) * _hum(rng, n, rate, mains)
        elif fault.name == "sweat":
            part += np.float32(fault.size) * _slow(rng, n, rate, 3.0)
        elif fault.name == "baseline drift":
            part += np.float32(fault.size) * _slow(rng, n, rate, 90.0)
        elif fault.name == "electrode pop":
            t = np.arange(n, dtype=np.float32) / rate
            part += np.float32(fault.size * rng.choice((-1, 1))) * np.exp(-t / np.float32(0.25))
        elif fault.name == "ECG leakage" and ecg is not None:
            part += np.float32(fault.size) * ecg[first:last]


def _hum(rng: np.random.Generator, n: int, rate: int, mains: int) -> Floats:
    """Mains hum of unit rms, harmonics within the recorder's reach; its strength wanders from minute to minute."""
    t = np.arange(rate) / rate  # whole periods fit a second
    parts = [
        weight * np.sqrt(2) * np.sin(2 * np.pi * (k * mains * t + rng.random()))
        for k, weight in _HARMONICS if 2.2 * k * mains < rate
    ]  # fmt: skip
    second = np.sum(parts, axis=0) / np.sqrt(sum(weight**2 for _, weight in _HARMONICS[: len(parts)]))
    seconds = n // rate + 1
    strength = np.exp(0.25 * wander(rng, seconds, 1.0, 60.0)).astype(np.float32)
    made: Floats = (strength[:, None] * second.astype(np.float32)).reshape(-1)[:n]
    return made


def _slow(rng: np.random.Generator, n: int, rate: int, over_s: float) -> Floats:
    """A wandering of unit rms over `over_s` seconds that begins and ends at nothing."""
    grid_hz = min(4.0, 12.0 / over_s)
    size = round(n / rate * grid_hz) + 3
    at = np.arange(size) / grid_hz
    grid = wander(rng, size, grid_hz, over_s) * np.clip(np.minimum(at, at[-1] - at) / over_s, 0, 1)
    made: Floats = np.interp(np.arange(n) / rate, at, grid).astype(np.float32)
    return made


def silence(samples: NDArray[Any], sensor: Sensor, faults: Iterable[Fault], off_value: int = 0) -> None:
    """Sets `samples`, in place, to a flat line (step channels: to what stands for no reading) where nothing comes."""
    for fault in faults:
        if fault.label == sensor.label and (fault.name == "dropout" or (fault.name in OFF and fault.cause == FLAT)):
            samples[round(fault.start_s * sensor.rate_hz) : round(fault.stop_s * sensor.rate_hz)] = off_value


def kept_seconds(duration_s: float, faults: Iterable[Fault]) -> NDArray[np.int64]:
    """The whole seconds of the night that were recorded: all but those of a pause."""
    kept = np.ones(round(duration_s), bool)
    for fault in faults:
        if fault.name == PAUSE:
            kept[int(fault.start_s) : int(fault.stop_s)] = False
    return np.flatnonzero(kept)


def unseen(scored: Scored, here: Sequence[Sensor], faults: Sequence[Fault]) -> Scored:
    """What a technician could not have seen is taken out: epochs and events of a pause, falls without an oximeter."""
    pauses = [(fault.start_s, fault.stop_s) for fault in faults if fault.name == PAUSE]
    spo2 = {sensor.label for sensor in here if sensor.channel == "spo2"}
    blind = [(f.start_s, f.stop_s) for f in faults if f.label in spo2 and (f.name == "dropout" or f.name in OFF)]

    def within(start_s: float, stop_s: float, spans: list[tuple[float, float]]) -> float:
        return sum(max(0.0, min(stop_s, b) - max(start_s, a)) for a, b in spans)

    stages = [
        "unscored" if within(i * EPOCH_S, (i + 1) * EPOCH_S, pauses) > EPOCH_S / 2 else stage
        for i, stage in enumerate(scored.stages)
    ]
    events = [
        event for event in scored.events
        if not within(event.start_s, event.stop_s, pauses)
        and not (event.name == "desaturation" and within(event.start_s, event.stop_s, blind))
    ]  # fmt: skip
    return replace(scored, stages=tuple(stages), events=tuple(events))
