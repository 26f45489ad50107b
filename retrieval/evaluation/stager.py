"""YASA's stager (Vallat & Walker 2021, eLife 10:e70092) on a cohort's own recordings: trained on thousands of nights.

It is no part of this project: the extra `yasa` installs it. It wants one EEG, and takes an EOG and the chin EMG where
they are; age and sex where both are known.
"""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.recordings import Recording
from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, EPOCH_S
from retrieval.evaluation.sample import Sample

YASA = "YASA"
INSTALL = "yasa is not installed; install it with: pip install 'sleepsearch[yasa]'"
_SLOTS = {"eeg": ("EEG_C4", "EEG_C3"), "eog": ("EOG_L", "EOG_R"), "emg": ("EMG_CHIN",)}  # first choice first
_RATE_HZ = 100.0  # it resamples to this in any case
_LEAST_HZ = 80.0  # it refuses less
_LEAST_EPOCHS = 10  # it refuses less than five minutes
_SPELLED = {"WAKE": "W", "R": "REM"}


@dataclass(frozen=True, slots=True)
class Staged:
    """YASA's stage of each row of a sample, None where it had none; `montages` counts nights by what they were staged
    from; `why` the nights that it could not stage, by reason."""

    stages: list[str | None]
    montages: dict[str, int]
    why: dict[str, int]

    def words(self) -> str:
        """What it was given, for a figure's note."""
        said = [f"from {montage} (nights: {count})" for montage, count in self.montages.items()]
        return "; ".join([*said, *(f"not staged: {reason} (nights: {count})" for reason, count in self.why.items())])


def installed() -> bool:
    """Whether YASA can be imported."""
    return find_spec("yasa") is not None


def yasa_stages(sample: Sample, sensors: Sequence[str] | None = None) -> Staged:
    """Every recording of the sample staged whole from its files.

    With `sensors`, from none but these, and without age and sex: as much as an encoder is shown of that subset.
    `BadInput` where there are no files behind the sample.
    """
    if sample.cohort is None:
        raise BadInput("these epochs have no files behind them: draw them from a cohort to stage them with YASA.")
    frame = sample.frame
    stages: list[str | None] = [None] * frame.height
    montages: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for (name,), rows in frame.with_row_index("row").group_by("recording", maintain_order=True):
        recording = sample.cohort.recording(str(name))
        chosen = _choose(recording, rows, sensors or CHANNELS)
        if "eeg" not in chosen:
            why[f"no usable EEG of more than {_LEAST_HZ:g} Hz"] += 1
            continue
        origin_s = float(rows["start_s"][0]) % EPOCH_S
        numbers, epochs = _epochs([runs for _, runs in chosen.values()], origin_s)
        if len(numbers) < _LEAST_EPOCHS:
            why["less than five minutes"] += 1
            continue
        about = _about(rows["age"][0], rows["sex"][0]) if sensors is None else None
        slots = [slot for slot, _ in chosen.values()]
        montages[" + ".join([*slots, *(["age and sex"] if about else [])])] += 1
        said = dict(zip(numbers, _predict(epochs, list(chosen), about), strict=True))
        at = np.rint((rows["start_s"].to_numpy() - origin_s) / EPOCH_S).astype(int)
        for row, number in zip(rows["row"], at.tolist(), strict=True):
            stages[row] = said.get(number)
    return Staged(stages, dict(montages), dict(why))


def _choose(recording: Recording, rows: pl.DataFrame, sensors: Sequence[str]) -> dict[str, tuple[str, list[Run]]]:
    """YASA's kind of channel -> ours and its samples: the slot usable in most epochs, of those fast enough."""
    chosen = {}
    for kind, slots in _SLOTS.items():
        epochs = {slot: int(rows[f"ok_{slot.lower()}"].fill_null(False).sum()) for slot in slots if slot in sensors}
        for slot in sorted(epochs, key=lambda slot: -epochs[slot]):
            runs = recording.runs(slot) if epochs[slot] and kind not in chosen else []
            if runs and runs[0].rate_hz > _LEAST_HZ:
                chosen[kind] = (slot, runs)
    return chosen


def _epochs(channels: Sequence[Sequence[Run]], origin_s: float) -> tuple[list[int], NDArray[np.float64]]:
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


def _about(age: float | None, sex: str | None) -> dict[str, Any] | None:
    """What it takes of a person, where all of it is known."""
    if age is None or not 0 < age < 120 or sex not in ("M", "F"):
        return None
    return {"age": age, "male": sex == "M"}


def _predict(epochs: NDArray[np.float64], kinds: Sequence[str], about: dict[str, Any] | None) -> list[str]:
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
            raw, names["eeg"], eog_name=names.get("eog"), emg_name=names.get("emg"), metadata=about
        )  # fmt: skip
        return [_SPELLED.get(str(stage), str(stage)) for stage in stager.predict().hypno]
