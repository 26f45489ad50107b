"""A site's recorder: what its sensors pick up of a night, through its amplifiers, as the integers it would store."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from encoders.recordings.write import EdfSignal
from encoders.simulation.dirt import OFF, Fault, as_recorded, kept_seconds, silence, soil, written_unit
from encoders.simulation.draws import Floats
from encoders.simulation.night import Night
from encoders.simulation.render import STEPS, render
from encoders.simulation.sites import ELECTRICAL, Sensor, amplify, prefilter, sensors
from encoders.vocabulary import POSITIONS

STEP_LIMITS: Final = {"spo2": (0, 100), "heart_rate": (0, 250), "pulse": (0, 250), "body_position": (0, 9)}
# What a recorder computes of others, and from which.
_SUMS: Final = {"eog_h": ("eog_l", "eog_r", -1.0), "effort_sum": ("thorax", "abdomen", 1.0)}
_LEVEL_HZ: Final = 100  # at which the chin's EMG is rectified where its level alone is kept


def record(night: Night, site: Mapping[str, Any], faults: Sequence[Fault] = ()) -> tuple[list[EdfSignal], list[float]]:
    """The site's signals as stored integers, and the start of each second that was recorded.

    What lies outside the recorder's range is clipped, as it would be.
    """
    here = as_recorded(sensors(site), faults)
    seconds = kept_seconds(night.duration_s, faults)
    stored: dict[str, EdfSignal] = {}
    for _, group in groupby(sorted(here, key=_together), _together):
        members = list(group)
        for sensor, samples in _made(night, members):
            signal = _step(sensor, samples, site, faults) if _is_step(sensor) else None
            signal = signal or _wave(sensor, samples, night, site, faults)
            if len(seconds) < night.duration_s:
                whole = signal.samples.reshape(-1, sensor.rate_hz)[seconds].reshape(-1)
                signal = EdfSignal(**{name: getattr(signal, name) for name in signal.__slots__} | {"samples": whole})
            stored[sensor.label] = signal
    return [stored[sensor.label] for sensor in here], seconds.astype(np.float64).tolist()


def _together(sensor: Sensor) -> str:
    """What is rendered in one go: all of the head, the belts; everything else alone, so that little is in memory."""
    return {"eeg": "head", "eog": "head", "effort": "belts"}.get(sensor.family, sensor.label)


def _is_step(sensor: Sensor) -> bool:
    return sensor.channel in STEPS or sensor.family == "flag"


def _made(night: Night, members: Sequence[Sensor]) -> Iterator[tuple[Sensor, NDArray[Any]]]:
    """Each sensor's samples, in the unit that we make them in."""
    rates: dict[str, int] = {}
    for sensor in members:
        for channel in _SUMS[sensor.channel][:2] if sensor.channel in _SUMS else (sensor.channel,):
            rates[channel] = sensor.rate_hz
    for channel in [name for name in rates if name.startswith("off:") or name == "oximeter_status"]:
        del rates[channel]
    if rates.pop("emg_chin_envelope", None):
        rates["emg_chin"] = _LEVEL_HZ
    made = render(night, rates)
    for sensor in members:
        if sensor.channel in _SUMS:
            one, other, sign = _SUMS[sensor.channel]
            yield sensor, made[one] + np.float32(sign) * made[other]
        elif sensor.family == "flag":
            yield sensor, np.zeros(round(night.duration_s * sensor.rate_hz), np.int16)
        elif sensor.channel == "emg_chin_envelope":
            waves = np.abs(amplify(made["emg_chin"], _LEVEL_HZ, "HP:16Hz"))
            yield sensor, waves.reshape(-1, _LEVEL_HZ // sensor.rate_hz).mean(axis=1)
        else:
            yield sensor, made[sensor.channel].copy()


def _step(sensor: Sensor, samples: NDArray[Any], site: Mapping[str, Any], faults: Sequence[Fault]) -> EdfSignal:
    """A channel of whole numbers: saturation, rates, position, flags."""
    low, high = STEP_LIMITS.get(sensor.channel, (0, 1))
    if sensor.channel == "body_position":
        codes = np.array([site["position"][POSITIONS[code]] for code in range(len(POSITIONS))], np.int16)
        samples = codes[samples]
    elif sensor.family == "flag":
        spo2 = [s.label for s in sensors(site) if s.channel == "spo2"]
        of = [sensor.channel.removeprefix("off:")] if sensor.channel.startswith("off:") else spo2
        for fault in faults:
            if fault.label in of and (fault.name in OFF or fault.name == "dropout"):
                samples[round(fault.start_s * sensor.rate_hz) : round(fault.stop_s * sensor.rate_hz)] = 1
    else:
        off_value = site.get("spo2_off", 0) if sensor.channel == "spo2" else 0
        high = max(high, off_value)
        silence(samples, sensor, faults, off_value)
    return EdfSignal(sensor.label, samples, sensor.rate_hz, sensor.unit, low, high, low, high)


def _wave(sensor: Sensor, samples: Floats, night: Night, site: Mapping[str, Any], faults: Sequence[Fault]) -> EdfSignal:
    """A waveform: what the electrodes pick up, the amplifier, the range, the converter."""
    own = [fault for fault in faults if fault.label == sensor.label]
    if own:
        leaks = any(fault.name == "ECG leakage" for fault in own)
        ecg = render(night, {"ecg": sensor.rate_hz})["ecg"] if leaks else None
        soil(samples, sensor, own, night, site.get("mains_hz", 50), ecg)
    text = prefilter(site, sensor)
    if sensor.channel != "emg_chin_envelope":  # was filtered at its own rate
        samples = amplify(np.asarray(samples, np.float32), sensor.rate_hz, text)
    sign = -1.0 if any(fault.name == "inverted" for fault in own) else 1.0
    silence(samples, sensor, own)
    samples = samples * np.float32(sign * sensor.gain * 65535 / (2 * sensor.limit))
    samples -= np.float32(0.5)
    np.rint(samples, out=samples)
    np.clip(samples, -32768, 32767, out=samples)
    return EdfSignal(
        sensor.label, samples.astype(np.int16), sensor.rate_hz, written_unit(sensor, own), -sensor.limit, sensor.limit,
        -32768, 32767, prefilter=text if sensor.family in ELECTRICAL or text else "",
    )  # fmt: skip
