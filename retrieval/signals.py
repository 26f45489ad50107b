"""Epochs on their way from a reading process to the encoder: written once, mapped there, deleted after."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from encoders.recordings import Epochs
from encoders.recordings.epochs import ChannelStatistics
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES

_SIGNALS, _REST = "signals.npy", "epochs.npz"


def signals_file(folder: Path, n: int) -> np.ndarray:
    """A mapped float32 array `(n, 12, 1920)` in `folder`, for `build_epochs` to fill."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (n, len(CHANNELS), EPOCH_SAMPLES)
    return np.lib.format.open_memmap(folder / _SIGNALS, mode="w+", dtype=np.float32, shape=shape)


def save_epochs(folder: Path, epochs: Epochs) -> None:
    """What belongs to the signals that `signals_file` holds."""
    assert epochs.statistics is not None
    numbers = {f"statistics_{f.name}": getattr(epochs.statistics, f.name) for f in fields(ChannelStatistics)}
    np.savez(folder / _REST, start_s=epochs.start_s, present=epochs.present, quality=epochs.quality, **numbers)


def load_epochs(folder: Path) -> Epochs:
    """The epochs of `signals_file` and `save_epochs`; signals are mapped, not read."""
    with np.load(folder / _REST) as rest:
        statistics = ChannelStatistics(**{f.name: rest[f"statistics_{f.name}"] for f in fields(ChannelStatistics)})
        return Epochs(
            rest["start_s"], np.load(folder / _SIGNALS, mmap_mode="r"), rest["present"], rest["quality"], statistics
        )
