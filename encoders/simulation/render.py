"""The signals a recorder would take of a night, by canonical channel."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from encoders.simulation import airways, brain, eyes, heart, movement, muscle
from encoders.simulation.draws import Floats, constants, stream
from encoders.simulation.night import Night
from encoders.vocabulary import EPOCH_S

# A derivation is a difference of electrodes, each of which we make against its contralateral mastoid.
BIPOLAR = {
    "eeg_fz_cz": ("Fz", "Cz"), "eeg_cz_oz": ("Cz", "Oz"), "eeg_fpz_cz": ("Fpz", "Cz"), "eeg_pz_oz": ("Pz", "Oz"),
}  # fmt: skip
# Plus electrodes of muscles and heart, and the minus electrode that holds only what both pick up.
TWINS = {
    "el_chin_r": "el_chin_l", "el_chin_c": "el_chin_l", "el_ecg_1": "el_ecg_2",
    "el_leg_l1": "el_leg_l2", "el_leg_r1": "el_leg_r2",
}  # fmt: skip
STEPS = frozenset({"spo2", "heart_rate", "pulse", "body_position"})  # whole numbers at 1 Hz


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
        samples = _signal(night, name, rate, eeg, looks, mastoids)
        made[name] = movement.disturb(samples, name, rate, night.named("position change"), night.key)
    return made


def _electrodes(name: str) -> tuple[str, ...]:
    if name in BIPOLAR:
        return BIPOLAR[name]
    electrode = name.split("_")[1].capitalize() if name.startswith(("eeg_", "el_")) else ""
    return (electrode,) if electrode in constants("eeg")["electrodes"] else ()


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

    def emg(which: str) -> Floats:
        moves = night.named("periodic limb movement", "limb movement")
        side = {"l": "left", "r": "right"}.get(which[-1])
        moves = [move for move in moves if side is None or move.cause in (side, "both")]
        return muscle.render_muscle(
            night.key, night.subject, which, rate, night.stages, night.named("arousal"), night.named("position change"),
            moves,
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
    if name in TWINS:
        if name.startswith("el_ecg"):
            own = heart.render_ecg(night.heart, night.breath, rng, rate)
        else:
            own = emg("emg_chin" if name.startswith("el_chin") else name[:-1].replace("el_", "emg_"))
        both: Floats = own + _signal(night, TWINS[name], rate, eeg, looks, mastoids)
        return both
    if name in TWINS.values():
        scale = np.float32(0.02 if name == "el_ecg_2" else 3.0)
        return scale * rng.standard_normal(round(night.duration_s * rate), np.float32)
    if name.startswith("el_"):
        return eeg[_electrodes(name)[0], rate] + reference("m2" if int(name[-1]) % 2 else "m1")
    if name.startswith("emg_"):
        return emg(name)
    if name == "ecg":
        return heart.render_ecg(night.heart, night.breath, rng, rate)
    if name == "ppg":
        return heart.render_ppg(night.heart, night.breath, night.named("arousal"), rng, rate)
    if name in STEPS:
        steps: dict[str, NDArray[np.integer[Any]]] = {
            "spo2": night.breath.spo2_pct, "body_position": np.repeat(night.positions, round(EPOCH_S)),
            "pulse": heart.rate_channel(night.heart, average_s=8, delay_s=5),  # an oximeter's, later and smoother; ours
        }  # fmt: skip
        return np.repeat(steps.get(name, night.pulse_per_min).astype(np.int16), rate)
    return airways.render_breathing(night, rng, name, rate)
