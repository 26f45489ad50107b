"""The heart: a rate that follows stage, breath, apneas and arousals; beats by integrating it; ECG and finger pulse.

Everything slow lives on a grid of `GRID_HZ`. A wave of a beat is the same at any sampling rate but for a sixteenth of a
sample: each combination of beat, posture, QT and place between two samples is worked out once and laid down many times.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.simulation.breathing import Breath
from encoders.simulation.draws import Floats, TruthEvent, by_stage, constants, on_grid, stream, wander
from encoders.simulation.oxygen import GRID_HZ  # that of breathing, whose phase sets the sinus arrhythmia
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S, POSITIONS

KINDS = ("sinus", "atrial", "ventricular")  # of beats
STEPS = 16  # places of a beat between two samples
QT_BINS = 48  # of the square root of RR, over QT_ROOTS
QT_ROOTS = (0.55, 1.35)

Waves = Callable[[NDArray[Any], Floats], Floats]


@dataclass(frozen=True, slots=True)
class Heart:
    """`rate_per_min` of the sinus node on `GRID_HZ`; one entry a beat in `beats_s` (R peaks) and `kinds`."""

    rate_per_min: Floats
    beats_s: NDArray[np.float64]
    kinds: NDArray[np.int8]  # indices into KINDS
    positions: NDArray[np.int8]  # of the body, one a beat, codes of `vocabulary.POSITIONS`
    person: tuple[int | str, ...]  # key of the streams that are the same in all nights of one person
    premature: tuple[TruthEvent, ...]  # from before the early wave to the end of its T wave


def plan_heart(
    key: tuple[int | str, ...], subject: Subject, stages: NDArray[np.int8], positions: NDArray[np.int8],
    breath: Breath, arousals: Sequence[TruthEvent], turns: Sequence[TruthEvent],
) -> Heart:  # fmt: skip
    """A rate that varies as hearts do, slows in apneas and races after them, and its beats, some of them premature.

    Variability is a sum of four components (drift, very low, low and high frequency), each with a standard deviation
    per stage fitted to real RR intervals; the high one is the breath itself.
    """
    facts = constants("heart")
    person = (*key[:2], "heart")
    rng, own = stream(*key, "heart"), stream(*person)
    n = len(breath.phase)
    hours = np.arange(n, dtype=np.float32) / (3600 * GRID_HZ)
    change = on_grid(by_stage(facts["rate"]["stage_factor"])[stages], GRID_HZ, 60.0) - 1
    change = change - np.float32(facts["rate"]["fall_per_hour"]) * (hours - hours[-1] / 2)
    fast = (wander(rng, n, GRID_HZ, 12.0), wander(rng, n, GRID_HZ, 12.0))
    turning = (2 * np.pi * 0.085 * 3600 * hours.astype(np.float64)).astype(np.float32)
    parts = {
        "drift": wander(rng, n, GRID_HZ, 600.0), "vlf": wander(rng, n, GRID_HZ, 40.0),
        "lf": fast[0] * np.cos(turning) + fast[1] * np.sin(turning),  # a band around 0.1 Hz
        "hf": np.sqrt(2) * np.minimum(breath.effort, 1.3) * np.sin(breath.phase - 0.5),
    }  # fmt: skip
    for name, part in parts.items():
        gain = subject.heart_variability * own.lognormal(0, facts["people"]["log_sd"])
        change = change + np.float32(gain) * on_grid(by_stage(facts[name]["sd"])[stages], GRID_HZ, 20.0) * part
    strength = facts["swing"]["gain"] * float(own.lognormal(0, facts["swing"]["log_sd"]))
    change = change + _swing(rng, strength, n, breath, arousals, turns)
    base = subject.heart_rate_bpm * (1 + facts["rate"]["with_ahi"] * min(subject.ahi_per_hour, 60) / 60)
    rate = np.clip(base * (1 + change), *facts["rate"]["limits_per_min"]).astype(np.float32)
    beats, kinds = _beats(rng, own, subject, rate)
    lying = positions[np.minimum(beats // EPOCH_S, len(positions) - 1).astype(int)]
    early = tuple(
        TruthEvent("premature beat", round(at - 0.2, 2), round(at + 0.4, 2), cause=KINDS[kind])
        for at, kind in zip(beats[kinds > 0].tolist(), kinds[kinds > 0], strict=True)
    )  # fmt: skip
    return Heart(rate, beats, kinds, lying, person, early)


def _swing(
    rng: np.random.Generator, strength: float, n: int, breath: Breath, arousals: Sequence[TruthEvent],
    turns: Sequence[TruthEvent],
) -> Floats:  # fmt: skip
    """What events do to the rate, as a fraction of it."""
    facts = constants("heart")["swing"]
    swing = np.zeros(n, np.float32)
    t = np.arange(round(40 * GRID_HZ), dtype=np.float32) / GRID_HZ
    up, late = t / facts["peak_s"], np.maximum(t - 8, 0) / 7
    race = up * np.exp(1 - up) - facts["undershoot"] * late**2 * np.exp(2 - 2 * late)
    rises: list[tuple[float, float]] = []
    ends = np.array([event.stop_s for event in breath.events])
    for event in breath.events:
        kind = "apnea" if "apnea" in event.name else "hypopnea"
        first, last = round(event.start_s * GRID_HZ), round(event.stop_s * GRID_HZ)
        full = min(1.0, (last - first) / GRID_HZ / facts["full_after_s"])
        swing[first:last] -= np.linspace(0, strength * facts[f"{kind}_fall"] * full, last - first, dtype=np.float32)
        rises.append((event.stop_s, facts[f"{kind}_rise"] * (0.5 + 0.5 * full)))
    for arousal in arousals:
        with_event = len(ends) > 0 and bool(np.abs(ends - arousal.start_s).min() < 5)  # its end has raced already
        height = facts["arousal_rise"] * ((arousal.stop_s - arousal.start_s) / 6) ** 0.5
        rises.append((arousal.start_s - 1.0, height * (0.3 if with_event else 1.0)))
    rises += [(turn.start_s - 1.0, facts["turn_rise"]) for turn in turns]
    for at_s, height in rises:
        over = swing[max(0, round(at_s * GRID_HZ)) :][: len(t)]
        over += (np.float32(strength * height * rng.lognormal(0, facts["log_sd"])) * race)[: len(over)]
    soft: Floats = uniform_filter1d(swing, round(GRID_HZ))
    return soft


def _beats(
    rng: np.random.Generator, own: np.random.Generator, subject: Subject, rate: Floats
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """R peaks where the integral of the rate reaches the next beat's share, and what kind each is."""
    facts = constants("heart")["premature"]
    count = np.cumsum(rate, dtype=np.float64) / 60.0 / GRID_HZ
    n = int(count[-1])
    low, high = facts["ventricular_share"]
    ventricular = own.uniform(low, high)
    early = np.unique(
        rng.integers(5, max(6, n - 5), rng.poisson(subject.ectopic_per_hour * len(rate) / GRID_HZ / 3600))
    )
    early = early[np.diff(early, prepend=-9) > 3]
    kinds = np.zeros(n, np.int8)
    kinds[early] = np.where(rng.random(len(early)) < ventricular, 2, 1)
    share = 1 + constants("heart")["beat"]["sd"] * rng.standard_normal(n)  # of a sinus cycle, from the beat before
    for kind, name in ((1, "atrial"), (2, "ventricular")):
        at = np.flatnonzero(kinds == kind)
        low, high = facts["coupling"][name]
        share[at] = rng.uniform(low, high, len(at))
        share[at + 1] = 1 + facts["return_delay"] if kind == 1 else 2 - share[at]
    due = np.cumsum(share)
    due = due[due < count[-1]]
    beats = np.interp(due, count, (np.arange(len(rate)) + 1) / GRID_HZ)
    return beats, kinds[: len(beats)]


def rate_channel(heart: Heart, *, average_s: int = 5, delay_s: int = 0) -> NDArray[np.int16]:
    """Rate at 1 Hz in whole beats per minute, averaged as monitors do; an oximeter's pulse comes late."""
    seconds = np.arange(round(len(heart.rate_per_min) / GRID_HZ)) - delay_s
    beat = np.interp(seconds, heart.beats_s[1:], 60 / np.maximum(np.diff(heart.beats_s), 0.25))
    rate: NDArray[np.int16] = np.rint(uniform_filter1d(beat, average_s)).astype(np.int16)
    return rate


def render_ecg(heart: Heart, breath: Breath, rng: np.random.Generator, rate_hz: float) -> Floats:
    """One lead in mV: a P-QRS-T for each beat by person and posture, its height and baseline moved by breathing."""
    facts = constants("heart")["ecg"]
    n = round(len(heart.rate_per_min) / GRID_HZ * rate_hz)
    table = _person_waves(heart.person)
    chest = np.minimum(breath.effort, 1.5) * np.sin(breath.phase)
    qt = _qt_bin(heart.beats_s)

    def waves(codes: NDArray[Any], t: Floats) -> Floats:
        """`codes` count kind, position and QT bin."""
        kind, rest = np.divmod(codes, len(POSITIONS) * QT_BINS)
        position, bin_ = np.divmod(rest, QT_BINS)
        made = np.zeros_like(t)
        for wave in range(5):
            at, width, height = (table[kind, position, wave, i][:, None] for i in range(3))
            if wave == 4:
                at = at * _root(bin_)[:, None]  # T follows the RR interval as QT does
            made += height * np.exp(-0.5 * ((t - at) / width) ** 2)
        return made

    codes = (heart.kinds.astype(np.int64) * len(POSITIONS) + heart.positions) * QT_BINS + qt
    gain = 1 + facts["breath_gain"] * np.interp(heart.beats_s, _grid_s(chest), chest)
    baseline = facts["breath_mv"] * breath.effort * np.cos(breath.phase)
    baseline = baseline + facts["drift_mv"] * wander(rng, len(chest), GRID_HZ, 12.0)
    ecg = np.float32(facts["noise_mv"]) * rng.standard_normal(n, np.float32)  # last: its length follows the rate
    ecg += _upsample(baseline, n, rate_hz)
    _lay(ecg, heart.beats_s, codes, gain, waves, 0.32, 0.85, rate_hz)
    return ecg


def _person_waves(person: tuple[int | str, ...]) -> Floats:
    """`(kinds, positions, 5 waves, 3)`: time, width and height of each wave of lead II for this person."""
    facts = constants("heart")["ecg"]
    rng = stream(*person, "shape")
    axis = np.clip(rng.normal(*facts["axis_deg"]), *facts["axis_within_deg"])
    tall, t_tall = np.exp(rng.normal(0, [facts["r_log_sd"], facts["t_log_sd"]]).clip(-0.35, 0.35))
    t_axis = axis + rng.normal(0, 12)
    turned = {name: rng.normal(*facts["turned_deg"][name]) for name in POSITIONS.values()}
    table = np.zeros((len(KINDS), len(POSITIONS), 5, 3), np.float32)
    for code, name in POSITIONS.items():
        seen = np.cos(np.radians(axis + turned[name] - facts["lead_deg"]))
        leftward = np.sin(np.radians(np.clip(facts["lead_deg"] - axis - turned[name], 0, 90)))
        t_seen = np.cos(np.radians(t_axis + turned[name] - facts["lead_deg"]))
        for kind, beat in enumerate(KINDS):
            for wave, letter in enumerate("PQRST"):
                at, width, height = facts["waves"][letter]
                if beat != "sinus":
                    missing = [at, width, 0.0 if beat == "ventricular" else height]
                    at, width, height = facts[beat].get(letter, missing)
                if letter == "T":
                    height *= t_tall * max(t_seen, 0.35)
                elif letter == "S":  # what the axis takes from R it gives to S
                    height *= tall * (0.6 + 0.8 * leftward)
                else:
                    height *= tall * seen
                table[kind, code, wave] = at, width, height
    return table


def render_ppg(
    heart: Heart, breath: Breath, arousals: Sequence[TruthEvent], rng: np.random.Generator, rate_hz: float
) -> Floats:
    """The finger's plethysmogram, a quiet pulse being about 1: late, smaller after arousals and events, breathing."""
    facts = constants("heart")["ppg"]
    n, grid = round(len(heart.rate_per_min) / GRID_HZ * rate_hz), len(breath.phase)
    t = np.arange(round(40 * GRID_HZ), dtype=np.float32) / GRID_HZ / facts["drop_peak_s"]
    dip = (t * np.exp(1 - t)) ** 2
    narrow = np.zeros(grid, np.float32)
    (deep,) = rng.spawn(1)  # events of its own, so that one more of them changes nothing before it
    for at_s in sorted([a.start_s for a in arousals] + [event.stop_s for event in breath.events]):
        over = narrow[round(at_s * GRID_HZ) :][: len(dip)]
        depth = min(0.85, facts["drop"] * deep.lognormal(0, facts["drop_log_sd"]))
        np.maximum(over, (np.float32(depth) * dip)[: len(over)], out=over)
    open_wide = np.exp(np.float32(facts["wanders"]) * wander(rng, grid, GRID_HZ, 240.0)) * (1 - narrow)
    size = open_wide * (1 + facts["breath_gain"] * np.minimum(breath.effort, 1.5) * np.sin(breath.phase - 1.0))
    late = stream(*heart.person, "pulse").normal(*facts["arrival_s"])
    late = late + facts["arrival_wanders_s"] * wander(rng, grid, GRID_HZ, 120.0)
    grid_s = _grid_s(size)
    arrivals = heart.beats_s + np.interp(heart.beats_s, grid_s, late)
    # A beat that comes early finds the ventricle half empty; the one after its pause throws more.
    filled = np.diff(heart.beats_s, prepend=heart.beats_s[0] - 1.0)
    filled = np.clip(filled / uniform_filter1d(filled, 9), 0.5, 1.5)
    gain = np.interp(heart.beats_s, grid_s, size) * np.where(filled < 0.85, facts["weak_premature"], filled**0.4)

    def waves(codes: NDArray[Any], t: Floats) -> Floats:
        root = _root(codes)[:, None]
        made = np.zeros_like(t)
        for at, width, height in facts["waves"]:
            made += np.float32(height) * np.exp(-0.5 * ((t - at * root) / (width * root)) ** 2)
        return made

    ppg = np.float32(facts["noise"]) * rng.standard_normal(n, np.float32)
    # AC-coupled: what the pulses add up to on average is taken off again.
    level = 0.32 * size * heart.rate_per_min / 60 - facts["breath_mv"] * breath.effort * np.sin(breath.phase - 1.5)
    ppg -= _upsample(level, n, rate_hz)
    _lay(ppg, arrivals, _qt_bin(heart.beats_s), gain, waves, 0.12, 1.2, rate_hz)
    return ppg


def _root(bin_: NDArray[Any]) -> Floats:
    """Square root of RR in the middle of a QT bin."""
    low, high = QT_ROOTS
    return (low + (bin_ + 0.5) * (high - low) / QT_BINS).astype(np.float32)


def _qt_bin(beats_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """QT follows RR slowly, here over fifteen beats."""
    rr = uniform_filter1d(np.diff(beats_s, prepend=beats_s[0] - 1.0), 15)
    low, high = QT_ROOTS
    bins: NDArray[np.int64] = ((np.sqrt(rr) - low) / (high - low) * QT_BINS).clip(0, QT_BINS - 1).astype(np.int64)
    return bins


def _grid_s(values: NDArray[Any]) -> NDArray[np.float64]:
    return (np.arange(len(values)) + 1) / GRID_HZ


def _upsample(values: NDArray[Any], n: int, rate_hz: float) -> Floats:
    """Values on `GRID_HZ` as `(n,)` samples, straight lines between them."""
    samples: Floats = np.interp(np.arange(n) / rate_hz, _grid_s(values), values).astype(np.float32)
    return samples


def _lay(
    signal: Floats, beats_s: NDArray[np.float64], codes: NDArray[Any], gain: NDArray[Any], waves: Waves,
    before_s: float, length_s: float, rate_hz: float,
) -> None:  # fmt: skip
    """Adds `gain * waves(code, t)`, `t` in seconds from the beat, from `before_s` before each beat on; ends are cut."""
    length = int(length_s * rate_hz)
    first = np.ceil((beats_s - before_s) * rate_hz)
    step = ((first - (beats_s - before_s) * rate_hz) * STEPS).astype(np.int64).clip(0, STEPS - 1)
    distinct, which = np.unique(codes * STEPS + step, return_inverse=True)
    code, step = np.divmod(distinct, STEPS)
    t = ((step[:, None] + 0.5) / STEPS + np.arange(length)) / rate_hz - before_s
    table = waves(code, t.astype(np.float32))
    whole = np.flatnonzero((first >= 0) & (first + length <= len(signal)))
    at, turns = first.astype(np.int64), 4  # neighbours overlap, every fourth beat does not
    for turn in range(turns):
        some = whole[turn::turns]
        signal[at[some, None] + np.arange(length)] += table[which[some]] * gain[some, None].astype(np.float32)
    for i in np.setdiff1d(np.arange(len(beats_s)), whole):
        over = signal[max(0, at[i]) : max(0, at[i] + length)]
        over += (np.float32(gain[i]) * table[which[i]])[max(0, -at[i]) :][: len(over)]
