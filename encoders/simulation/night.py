"""One simulated night: everything that happens in it, the signals a recorder would take, and the truth as tables."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import resample_poly

from encoders.simulation import brain, breathing, eyes, heart, movement
from encoders.simulation.breathing import Breath
from encoders.simulation.draws import Floats, TruthEvent, W, physiology, stream
from encoders.simulation.heart import Heart
from encoders.simulation.hypnogram import draw_hypnogram
from encoders.simulation.people import Subject
from encoders.vocabulary import EPOCH_S, POSITIONS

RESPIRATORY = frozenset({"obstructive apnea", "central apnea", "mixed apnea", "hypopnea"})
COUNTED = ("spindle", "K-complex", "slow wave", "rapid eye movement", "blink")
# A derivation is a difference of electrodes, each of which we make against its contralateral mastoid.
BIPOLAR = {"eeg_fz_cz": ("Fz", "Cz"), "eeg_cz_oz": ("Cz", "Oz")}
STEPS = frozenset({"spo2", "heart_rate", "pulse", "body_position"})  # whole numbers at 1 Hz


@dataclass(frozen=True)
class Night:
    """What happened, before anyone recorded or scored it. `stages` and `positions` are codes per epoch."""

    key: tuple[int | str, ...]  # of every random stream of this night
    subject: Subject
    stages: NDArray[np.int8]
    positions: NDArray[np.int8]
    open_eyes: NDArray[np.bool_]
    breath: Breath
    heart: Heart
    events: tuple[TruthEvent, ...]  # all of them, by start
    lights_off_s: float
    lights_on_s: float

    @property
    def duration_s(self) -> float:
        """Length of the recording."""
        return len(self.stages) * EPOCH_S

    def named(self, *names: str) -> list[TruthEvent]:
        """The events of these names, in time order."""
        return [event for event in self.events if event.name in names]

    @cached_property
    def pulse_per_min(self) -> NDArray[np.int16]:
        """The heart-rate channel: whole beats per minute at 1 Hz."""
        return heart.rate_channel(self.heart)


def plan_night(seed: int, subject: Subject, subject_index: int, night: int, n_epochs: int) -> Night:
    """Draws a night of `n_epochs`; `night` counts the nights of the subject from 0."""
    key = (seed, subject_index, night)
    stages = draw_hypnogram(stream(*key, "hypnogram"), subject, n_epochs)
    positions, turns = movement.plan_positions(stream(*key, "positions"), stages)
    breath = breathing.plan_breathing(stream(*key, "breathing"), subject, stages, positions)
    limbs = movement.plan_limb_movements(stream(*key, "limbs"), subject, stages)
    arousals = brain.plan_arousals(
        stream(*key, "arousals"), subject, stages, breath.events, breath.desaturations, limbs
    )
    # AASM rule 1A: a hypopnea needs its desaturation or its arousal; what has neither was only a quieter breath.
    respiratory = [e for e in breath.events if e.name != "hypopnea" or _has_consequence(e, breath, arousals, subject)]
    breath = replace(breath, events=tuple(respiratory))
    open_eyes = brain.plan_open_eyes(stream(*key, "open eyes"), stages)
    elements = brain.plan_elements(stream(*key, "elements"), stages, arousals, open_eyes)
    events = [*respiratory, *breath.desaturations, *arousals, *limbs, *turns, *elements]
    asleep = np.flatnonzero(stages != W)
    first, last = (int(asleep[0]), int(asleep[-1])) if len(asleep) else (n_epochs, n_epochs - 1)
    return Night(
        key, subject, stages, positions, open_eyes, breath,
        heart.plan_heart(stream(*key, "heart"), subject, stages, breath, arousals),
        tuple(sorted(events, key=lambda e: (e.start_s, e.name))),
        lights_off_s=EPOCH_S * max(0, first // 3), lights_on_s=EPOCH_S * min(n_epochs, last + 2),
    )  # fmt: skip


def _has_consequence(event: TruthEvent, breath: Breath, arousals: list[TruthEvent], subject: Subject) -> bool:
    lag = subject.circulation_s
    return any(event.start_s + lag - 6 <= d.start_s <= event.stop_s + lag + 6 for d in breath.desaturations) or any(
        event.stop_s - 1 <= a.start_s <= event.stop_s + 5 for a in arousals
    )


def truth_events(night: Night) -> pl.DataFrame:
    """All events as `name`, `start_s`, `stop_s`, with the oximeter's nadir and the cause where there is one."""
    return pl.DataFrame(
        [(e.name, e.start_s, e.stop_s, e.spo2_min_pct, e.cause) for e in night.events],
        schema=["name", "start_s", "stop_s", "spo2_min_pct", "cause"],
        schema_overrides={"spo2_min_pct": pl.Float64, "cause": pl.String},
        orient="row",
    )


def truth_epochs(night: Night) -> pl.DataFrame:
    """One row per epoch: stage, position and physiology as it was; null where there was none to measure."""
    n = len(night.stages)
    per_epoch = round(EPOCH_S * breathing.GRID_HZ)
    breathes = (night.breath.effort > 0.2).reshape(n, per_epoch)
    rate = np.where(breathes, night.breath.rate_per_min.reshape(n, per_epoch), 0).sum(axis=1)
    enough = breathes.mean(axis=1) > 1 / 3
    spo2 = night.breath.spo2_pct.reshape(n, round(EPOCH_S))
    middle = (night.heart.beats_s[1:] + night.heart.beats_s[:-1]) / 2
    epoch_of = np.minimum((middle // EPOCH_S).astype(int), n - 1)
    intervals = np.diff(night.heart.beats_s)
    columns = {
        "start_s": np.arange(n) * EPOCH_S,
        "stage": brain.stage_names(night.stages),
        "position": [POSITIONS[int(code)] for code in night.positions],
        "hr_bpm": 60 * np.bincount(epoch_of, minlength=n) / np.bincount(epoch_of, intervals, minlength=n),
        "breathing_rate_per_min": pl.Series(rate / np.maximum(breathes.sum(axis=1), 1)).set(pl.Series(~enough), None),
        "spo2_mean_pct": spo2.mean(axis=1),
        "spo2_min_pct": spo2.min(axis=1).astype(np.float64),
    }
    for name in COUNTED:
        starts = np.array([e.start_s for e in night.named(name)])
        columns[f"{name.lower().replace('-', ' ').replace(' ', '_')}_count"] = np.bincount(
            (starts // EPOCH_S).astype(int), minlength=n
        )
    for name, events in (("arousal", night.named("arousal")), ("respiratory_event", night.named(*RESPIRATORY))):
        columns[f"{name}_s"] = _covered(events, n)
    return pl.DataFrame(columns)


def _covered(events: list[TruthEvent], n: int) -> NDArray[np.float64]:
    """Seconds of each epoch that the events fill."""
    covered = np.zeros(n)
    for event in events:
        for epoch in range(int(event.start_s // EPOCH_S), min(n, int(np.ceil(event.stop_s / EPOCH_S)))):
            covered[epoch] += min(event.stop_s, (epoch + 1) * EPOCH_S) - max(event.start_s, epoch * EPOCH_S)
    return covered


def render(night: Night, rates_hz: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The signals named by canonical channel id, each at its rate: uV, mV for ECG, %, 1/min, position codes, else a.u.

    A single electrode (`el_c3`) is its derivation plus what its reference picked up, so that differences are exact.
    """
    made: dict[str, NDArray[Any]] = {}
    eeg: dict[tuple[str, int], Floats] = {}
    wanted: dict[int, set[str]] = {}
    for name, rate in rates_hz.items():
        for electrode in _electrodes(name):
            wanted.setdefault(rate, set()).add(electrode)
    eye_rate = next((rate for name, rate in rates_hz.items() if name in ("eog_l", "eog_r", "el_e1", "el_e2")), None)
    leak_rate = next(iter(wanted), eye_rate)  # the eyes' electrodes see the same brain
    if eye_rate and leak_rate:
        wanted.setdefault(leak_rate, set()).update(("C3", "C4"))
    for rate, names in wanted.items():
        rendered = brain.render_eeg(
            night.key, night.subject, night.stages, night.open_eyes, night.named("arousal"), night.events,
            sorted(names), rate,
        )  # fmt: skip
        eeg |= {(name, rate): samples for name, samples in rendered.items()}
    looks: dict[str, Floats] = {}
    if eye_rate and leak_rate:
        leak: Floats = (eeg["C3", leak_rate] + eeg["C4", leak_rate]) / 2
        leak = leak if leak_rate == eye_rate else resample_poly(leak, eye_rate, leak_rate)
        looks["eog_l"], looks["eog_r"] = eyes.render_eyes(
            night.key, night.stages, night.events, leak[: round(night.duration_s * eye_rate)], eye_rate
        )
    mastoids: dict[tuple[str, int], Floats] = {}
    for name, rate in rates_hz.items():
        made[name] = _signal(night, name, rate, eeg, looks, mastoids)
    return made


def _electrodes(name: str) -> tuple[str, ...]:
    if name in BIPOLAR:
        return BIPOLAR[name]
    electrode = name.split("_")[1].capitalize() if name.startswith(("eeg_", "el_")) else ""
    return (electrode,) if electrode in physiology()["eeg"]["electrodes"] else ()


def _signal(
    night: Night, name: str, rate: int, eeg: Mapping[tuple[str, int], Floats], looks: Mapping[str, Floats],
    mastoids: dict[tuple[str, int], Floats],
) -> NDArray[Any]:  # fmt: skip
    rng = stream(*night.key, "signal", name)

    def reference(side: str) -> Floats:
        """What one mastoid picks up against the recorder's own reference: slow drift and hum are shared by all."""
        if (side, rate) not in mastoids:
            noise = stream(*night.key, "mastoid", side).standard_normal(round(night.duration_s * rate), np.float32)
            mastoids[side, rate] = np.float32(3.0) * noise
        return mastoids[side, rate]

    def muscle(which: str) -> Floats:
        return movement.render_muscle(
            rng, which, rate, night.stages, night.named("arousal"), night.named("position change"),
            night.named("periodic limb movement"),
        )  # fmt: skip

    if name in BIPOLAR:
        plus, minus = BIPOLAR[name]
        return eeg[plus, rate] - eeg[minus, rate]
    if name.startswith("eeg_"):
        return eeg[_electrodes(name)[0], rate]
    if name in ("eog_l", "eog_r"):
        return looks[name]
    if name in ("el_m1", "el_m2"):
        return reference(name[-2:])
    if name in ("el_e1", "el_e2"):  # MrOS, CFS and CCSHS refer both eyes to M2
        return looks["eog_l" if name == "el_e1" else "eog_r"] + reference("m2")
    if name in ("el_chin_r", "el_ecg_1"):  # plus electrodes: the other one holds only what both pick up
        twin = {"el_chin_r": "el_chin_l", "el_ecg_1": "el_ecg_2"}[name]
        own = muscle("emg_chin") if name == "el_chin_r" else heart.render_ecg(night.heart, night.breath, rng, rate)
        both: Floats = own + _signal(night, twin, rate, eeg, looks, mastoids)
        return both
    if name in ("el_chin_l", "el_ecg_2"):
        scale = np.float32(3.0 if name == "el_chin_l" else 0.02)
        return scale * rng.standard_normal(round(night.duration_s * rate), np.float32)
    if name.startswith("el_"):
        return eeg[_electrodes(name)[0], rate] + reference("m2" if int(name[-1]) % 2 else "m1")
    if name.startswith("emg_"):
        return muscle(name)
    if name == "ecg":
        return heart.render_ecg(night.heart, night.breath, rng, rate)
    if name in STEPS:
        steps: dict[str, NDArray[np.integer[Any]]] = {
            "spo2": night.breath.spo2_pct, "body_position": np.repeat(night.positions, round(EPOCH_S)),
        }  # fmt: skip
        return np.repeat(steps.get(name, night.pulse_per_min).astype(np.int16), rate)
    return breathing.render_breathing(night.breath, rng, name, rate, night.subject)
