"""YASA's stager (Vallat & Walker 2021, eLife 10:e70092) on one recording: trained on thousands of nights.

It is no part of this project: the extra `yasa` installs it. It wants one EEG, and takes an EOG and the chin EMG where
they are; age and sex where both are known.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.recordings import Recording
from encoders.recordings.timeline import Run
from encoders.vocabulary import EPOCH_S

INSTALL = "yasa is not installed; install it with: pip install 'sleepsearch[yasa]'"
_SLOTS = {"eeg": ("EEG_C4", "EEG_C3"), "eog": ("EOG_L", "EOG_R"), "emg": ("EMG_CHIN",)}  # first choice first
_RATE_HZ = 100.0  # it resamples to this in any case
_LEAST_HZ = 80.0  # it refuses less
_LEAST_EPOCHS = 10  # it refuses less than five minutes
_SPELLED = {"WAKE": "W", "R": "REM"}


def installed() -> bool:
    """Whether YASA can be imported."""
    return find_spec("yasa") is not None


def stage_night(
    recording: Recording, start_s: NDArray[np.float64], usable: Mapping[str, int], person: Mapping[str, Any] | None
) -> tuple[list[str | None], list[str]]:
    """The stage of each epoch at `start_s` `(n,)`, None where a channel has no samples; and the slots it was given.

    The night is staged whole, whatever epochs are asked for. `usable` counts the usable epochs of the slots that may
    be taken; `person` is what `about` says. `BadInput` where it can't be staged.
    """
    chosen = _choose(recording, usable)
    if "eeg" not in chosen:
        raise BadInput(f"no usable EEG of more than {_LEAST_HZ:g} Hz")
    origin_s = float(start_s[0]) % EPOCH_S
    numbers, epochs = whole_epochs([runs for _, runs in chosen.values()], origin_s)
    if len(numbers) < _LEAST_EPOCHS:
        raise BadInput("less than five minutes")
    said = dict(zip(numbers, _predict(epochs, list(chosen), person), strict=True))
    at = np.rint((start_s - origin_s) / EPOCH_S).astype(int)
    return [said.get(number) for number in at.tolist()], [slot for slot, _ in chosen.values()]


def about(age: object, sex: object) -> dict[str, Any] | None:
    """What it takes of a person, where all of it is known."""
    if not isinstance(age, float) or not 0 < age < 120 or sex not in ("M", "F"):
        return None
    return {"age": age, "male": sex == "M"}


def _choose(recording: Recording, usable: Mapping[str, int]) -> dict[str, tuple[str, list[Run]]]:
    """YASA's kind of channel -> ours and its samples: the slot usable in most epochs, of those fast enough."""
    chosen = {}
    for kind, slots in _SLOTS.items():
        for slot in sorted(slots, key=lambda slot: -usable.get(slot, 0)):
            runs = recording.runs(slot) if usable.get(slot) and kind not in chosen else []
            if runs and runs[0].rate_hz > _LEAST_HZ:
                chosen[kind] = (slot, runs)
    return chosen


def whole_epochs(channels: Sequence[Sequence[Run]], origin_s: float) -> tuple[list[int], NDArray[np.float64]]:
    """The numbers of the epochs that all channels cover, and their samples `(n, channels, 3000)` at 100 Hz."""
    from mne.filter import resample

    length = round(EPOCH_S * _RATE_HZ)
    found: list[dict[int, NDArray[np.float64]]] = []
    for runs in channels:
        own: dict[int, NDArray[np.float64]] = {}
        for run in runs:
            samples = np.asarray(run.samples, np.float64)
            if run.rate_hz != _RATE_HZ:
                samples = resample(samples, _RATE_HZ, run.rate_hz, npad="auto", verbose="error")
            number = math.ceil((run.start_s - origin_s) / EPOCH_S - 1e-6)
            first = round((origin_s + number * EPOCH_S - run.start_s) * _RATE_HZ)
            for at in range(max(first, 0), len(samples) - length + 1, length):
                own[number] = samples[at : at + length]
                number += 1
        found.append(own)
    numbers = sorted(set.intersection(*map(set, found)))
    return numbers, np.array([[own[n] for own in found] for n in numbers])


def _predict(epochs: NDArray[np.float64], kinds: Sequence[str], person: Mapping[str, Any] | None) -> list[str]:
    """Stages of epochs in uV; what lies between two stretches is left out."""
    import mne
    from yasa import SleepStaging

    names = {kind: kind.upper() for kind in kinds}
    info = mne.create_info(list(names.values()), _RATE_HZ, list(kinds), verbose="error")
    signals = np.concatenate(list(epochs), axis=1) * 1e-6  # mne counts in volts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sklearn's version, and of short recordings
        raw = mne.io.RawArray(signals, info, verbose="error")
        stager = SleepStaging(
            raw, names["eeg"], eog_name=names.get("eog"), emg_name=names.get("emg"), metadata=dict(person or {}) or None
        )
        return [_SPELLED.get(str(stage), str(stage)) for stage in stager.predict().hypno]
