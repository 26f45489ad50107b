"""Epochs on their way from a reading process to the encoder: written once, mapped there, deleted after."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from encoders.recordings import Epochs
from encoders.recordings.epochs import BANDS_HZ, PERCENTILES, ChannelStatistics
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES

_SIGNALS, _REST = "signals.npy", "epochs.npz"


def signals_file(folder: Path, n: int) -> np.ndarray:
    """A mapped float32 array `(n, 12, 1920)` in `folder`, for `build_epochs` to fill."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (n, len(CHANNELS), EPOCH_SAMPLES)
    return np.lib.format.open_memmap(folder / _SIGNALS, mode="w+", dtype=np.float32, shape=shape)


def no_epochs() -> Epochs:
    """None at all: embedding them loads what embedding needs."""
    channels = len(CHANNELS)
    unknown = {f.name: np.full(channels, np.nan, np.float32) for f in fields(ChannelStatistics)}
    unknown["log_power"] = np.full((channels, len(BANDS_HZ) - 1, len(PERCENTILES)), np.nan, np.float32)
    signals = np.zeros((0, channels, EPOCH_SAMPLES), np.float32)
    masks = np.zeros((0, channels), bool), np.zeros((0, channels), np.uint8)
    return Epochs(np.zeros(0), signals, *masks, ChannelStatistics(**unknown))


def save_epochs(folder: Path, epochs: Epochs) -> None:
    """What belongs to the signals that `signals_file` holds."""
    assert epochs.statistics is not None
    numbers = {f"statistics_{f.name}": getattr(epochs.statistics, f.name) for f in fields(ChannelStatistics)}
    notes = np.array(json.dumps(epochs.notes))
    masks = {"present": epochs.present, "quality": epochs.quality}
    np.savez(folder / _REST, allow_pickle=False, start_s=epochs.start_s, notes=notes, **masks, **numbers)


def load_epochs(folder: Path) -> Epochs:
    """The epochs of `signals_file` and `save_epochs`; signals are mapped, not read."""
    with np.load(folder / _REST) as rest:
        statistics = ChannelStatistics(**{f.name: rest[f"statistics_{f.name}"] for f in fields(ChannelStatistics)})
        signals, notes = np.load(folder / _SIGNALS, mmap_mode="r"), json.loads(str(rest["notes"]))
        return Epochs(rest["start_s"], signals, rest["present"], rest["quality"], statistics, notes)
