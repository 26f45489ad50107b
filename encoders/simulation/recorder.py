"""A site's recorder: its labels, rates, units and ranges, as the integers it would store."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.recordings.write import EdfSignal
from encoders.simulation.night import Night
from encoders.simulation.render import STEPS, render
from encoders.vocabulary import POSITIONS

TO_UNIT = {("ecg", "uV"): 1000.0, ("emg", "mV"): 0.001}  # what we make is ECG in mV, all else electrical in uV
STEP_LIMITS = {"spo2": (0, 100), "heart_rate": (0, 250), "body_position": (0, 9)}


def record(night: Night, facts: dict[str, Any]) -> list[EdfSignal]:
    """The site's signals as stored integers; what lies outside the recorder's range is clipped, as it would be."""
    made = render(night, {channel: rate for _, channel, rate, *_ in facts["signals"]})
    signals: list[EdfSignal] = []
    for label, channel, rate, unit, limit in facts["signals"]:
        samples: NDArray[Any] = made.pop(channel)
        if channel in STEPS:
            low, high = STEP_LIMITS[channel]
            if channel == "body_position":
                codes = np.array([facts["position"][POSITIONS[code]] for code in range(len(POSITIONS))], np.int16)
                samples = codes[samples]
            signals.append(EdfSignal(label, samples, rate, unit, low, high, low, high))
            continue
        family = "ecg" if "ecg" in channel else "emg" if channel.startswith("emg_") else ""
        gain = TO_UNIT.get((family, unit), 1.0) * 65535 / (2 * limit)
        stored = np.clip(np.rint(samples * np.float32(gain) - 0.5), -32768, 32767).astype(np.int16)
        signals.append(EdfSignal(label, stored, rate, unit, -limit, limit, -32768, 32767))
    return signals
