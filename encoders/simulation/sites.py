"""What a site's recorder is, read from `sites.toml`: its sensors, and the filters of its amplifiers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from scipy.signal import butter, iirnotch, sosfilt, sosfilt_zi, tf2sos

from encoders.simulation.draws import Floats, constants

# Family of sensors by how the canonical channel begins, the first that fits; filters and faults go by family.
_FAMILIES: Final = (
    ("el_ecg", "ecg"), ("el_e", "eog"), ("el_chin", "emg"), ("el_leg", "leg"), ("el_", "eeg"), ("eeg_", "eeg"),
    ("eog_", "eog"), ("emg_leg", "leg"), ("emg_", "emg"), ("ecg", "ecg"), ("thorax", "effort"), ("abdomen", "effort"),
    ("effort", "effort"), ("airflow", "flow"), ("nasal_pressure", "pressure"), ("snore", "snore"), ("ppg", "ppg"),
    ("spo2", "oximeter"), ("pulse", "oximeter"), ("heart_rate", "rate"), ("body_position", "position"),
)  # fmt: skip
ELECTRICAL: Final = frozenset({"eeg", "eog", "emg", "leg", "ecg"})
_TO_UNIT: Final = {"V": 1e-6, "mV": 1e-3, "uV": 1.0, "": 1.0}  # from uV; a site may leave the unit out
_PASSES_ALL: Final = 0.45  # of the rate: a low-pass from here on is what the recorder does against aliasing anyway
_NOTCH_QUALITY: Final = 30.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """One signal as the site's file has it; `channel` is a canonical id, or `off:LABEL` for a lead-off flag."""

    label: str
    channel: str
    rate_hz: int
    unit: str
    limit: float  # largest magnitude in `unit`; 0 for step channels

    @property
    def family(self) -> str:
        """What filters and faults it shares with others."""
        return _family(self.channel)

    @property
    def gain(self) -> float:
        """Factor from the unit in which we make it (mV for ECG, uV for other electrical signals) to the site's."""
        if self.family not in ELECTRICAL:
            return 1.0
        return _TO_UNIT[self.unit] * (1000.0 if self.family == "ecg" else 1.0)


@cache
def _family(channel: str) -> str:
    return next((family for start, family in _FAMILIES if channel.startswith(start)), "flag")


def site_facts() -> dict[str, dict[str, Any]]:
    """The sites of `sites.toml` by name."""
    return constants("sites")


def sensors(site: Mapping[str, Any]) -> list[Sensor]:
    """The site's signals in the order of its files."""
    return [Sensor(*row) for row in site["signals"]]


def prefilter(site: Mapping[str, Any], sensor: Sensor) -> str:
    """The filters of a sensor in EDF+'s words (`HP:0.3Hz LP:35Hz N:50Hz`); empty where the site states none."""
    text: str = site.get("filters", {}).get(sensor.family, "")
    return text


def amplify(samples: Floats, rate_hz: int, text: str) -> Floats:
    """Samples as an amplifier with the filters of `text` passes them, float32: first order, settled at the start.

    A high-pass and a low-pass share one second-order section; the notch is another. Words that are no filter in Hz
    (rectification, a bandwidth's name) are for the header alone.
    """
    named = {kind: float(hz) for kind, hz in re.findall(r"\b(HP|LP|N):([\d.]+)Hz", text)}
    high, low, notch = (named.get(kind, 0.0) for kind in ("HP", "LP", "N"))
    low = low if low < _PASSES_ALL * rate_hz else 0.0
    sections = []
    if high or low:
        kind, edges = ("band", [high, low]) if high and low else ("high", high) if high else ("low", low)
        sections.append(butter(1, edges, kind, fs=rate_hz, output="sos"))
    if 0 < notch < _PASSES_ALL * rate_hz:
        sections.append(tf2sos(*iirnotch(notch, _NOTCH_QUALITY, fs=rate_hz)))
    for sos in sections:
        rest = (sosfilt_zi(sos) * samples[0]).astype(np.float32)
        samples, _ = sosfilt(sos.astype(np.float32), samples, zi=rest)
    return samples
