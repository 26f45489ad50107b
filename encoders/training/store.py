"""Batches of cached epochs, from any number of recordings' folders, without reading more than is asked for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.errors import BadInput
from encoders.models.sleeplm import READS
from encoders.models.small.inputs import FLOOR, NIGHT, POWERS, SPREAD, TAILS, VERSION, WAVES
from encoders.models.small.patches import STEPS
from encoders.training.facts import FACTS_VERSION, SLOTS, answerable
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES

ROW: Final = "row.json"  # in each recording's folder, written last
SLEEPLM: Final = "sleeplm.npy"  # SleepLM's own inputs, where they were asked for
_READ: Final = np.isin(CHANNELS, READS)
_PEOPLE: dict[str, pl.DataType | type[pl.DataType]] = {
    "recording": pl.String, "subject": pl.String, "site": pl.String, "age": pl.Float64, "sex": pl.String,
    "simulated": pl.Boolean, "epochs": pl.Int64, "stages_told": pl.List(pl.String), "scorer": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Batch:
    """Epochs in the order asked for: `x` float32 `(B, 12, 1920)`, `present` bool `(B, 12)`, `night` float32
    `(B, 12, NIGHT)`, `bits` int64 `(B, slots)`, `recording` int64 `(B,)`, a row of `EpochStore.people`.
    """

    x: Tensor
    present: Tensor
    night: Tensor
    bits: Tensor
    recording: Tensor


class EpochStore:
    """The epochs of folders that `build_cache` wrote, numbered through in the order of `people`.

    people: a row a recording: `recording subject site age sex simulated epochs stages_told scorer`, null where
    unknown. recording: `(n,)` the row of `people` of each epoch. bits: uint32 `(n, slots)`, all of them in memory.

    As SleepLM sees them (`sleeplm`), `x` is its normalised input in the twelve channels' places and `night` is in the
    same units; a sensor that it does not read is never present, and what such sensors alone tell is not known.
    """

    def __init__(self, folders: Path | Sequence[Path], *, sleeplm: bool = False) -> None:
        """`folders`: of recordings, or of caches, all of whose recordings are taken. BadInput for one that is neither,
        that another version of the inputs or facts wrote, or that lacks SleepLM's inputs where they are asked for.
        """
        self.sleeplm = sleeplm
        given = [folders] if isinstance(folders, Path) else list(folders)
        self.folders = tuple(sorted({each for folder in given for each in recordings_in(folder)}))
        rows = [_checked(folder, sleeplm=sleeplm) for folder in self.folders]
        self.people = pl.DataFrame(rows, schema=_PEOPLE, orient="row")
        counts = self.people["epochs"].to_numpy()
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self.recording = np.repeat(np.arange(len(counts)), counts)
        self._x = [np.load(folder / (SLEEPLM if sleeplm else "x.npy"), mmap_mode="r") for folder in self.folders]
        self._present = _stacked(self.folders, "present.npy", np.zeros((0, len(CHANNELS)), bool))
        night = [np.load(folder / "night.npy") for folder in self.folders]
        self._night = torch.from_numpy(np.stack(night) if night else np.zeros((0, len(CHANNELS), NIGHT), np.float32))
        if sleeplm:
            self._present &= _READ
            self._night = _in_deviations(self._night)

    def __len__(self) -> int:
        return int(self._first[-1])

    def __repr__(self) -> str:
        return f"EpochStore({len(self)} epochs of {len(self.people)} recordings)"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(EpochStore, sleeplm=self.sleeplm), (self.folders,)  # a loader's process maps the files itself

    @cached_property
    def bits(self) -> NDArray[np.uint32]:
        """What is known of every epoch."""
        bits = _stacked(self.folders, "bits.npy", np.zeros((0, len(SLOTS)), np.uint32))
        return answerable(bits, np.broadcast_to(_READ, (len(bits), len(CHANNELS)))) if self.sleeplm else bits

    @cached_property
    def moments(self) -> NDArray[np.uint32]:
        """Which events fill each step of every epoch, `(n, STEPS)`."""
        return _stacked(self.folders, "moments.npy", np.zeros((0, STEPS), np.uint32))

    def rows_of(self, recordings: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The epochs of some rows of `people`."""
        return np.flatnonzero(np.isin(self.recording, recordings))

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The epochs at these numbers, in this order, a number as often as it is given; read in the files' order."""
        wanted = np.asarray(rows, np.int64)
        of = self.recording[wanted]
        order = np.argsort(wanted, kind="stable")
        half = np.zeros((len(wanted), len(CHANNELS), EPOCH_SAMPLES), np.float16)
        for at in np.split(order, np.flatnonzero(np.diff(of[order])) + 1) if len(order) else ():
            number = of[at[0]]
            read = self._x[number][wanted[at] - self._first[number]]
            half[at, : read.shape[1]] = read
        recording = torch.from_numpy(of)
        return Batch(
            torch.from_numpy(half).float(), torch.from_numpy(self._present[wanted]), self._night[recording],
            torch.from_numpy(self.bits[wanted].astype(np.int64)), recording,
        )  # fmt: skip


def recordings_in(folder: Path) -> Iterator[Path]:
    """The folders of a cache's recordings, or `folder` itself where it is one; BadInput where there is none."""
    if (folder / ROW).is_file():
        yield folder
        return
    found = [path.parent for path in folder.glob(f"*/{ROW}") if not path.parent.name.startswith(".")]
    if not found:
        raise BadInput(f"{folder}: no cached recording in it; `build_cache` makes such a folder.")
    yield from found


def _checked(folder: Path, *, sleeplm: bool) -> list[Any]:
    row = json.loads((folder / ROW).read_text(encoding="utf-8"))
    if row.get("inputs") != VERSION:
        raise BadInput(f"{folder}: cached by another version of this program; build the cache again (same call).")
    if row.get("facts") != FACTS_VERSION:
        raise BadInput(
            f"{folder}: its facts were counted by another version of this program; build the cache again (same call), "
            "or call encoders.training.cache.renew_facts on it, which needs no recording."
        )
    if sleeplm and not (folder / SLEEPLM).is_file():
        raise BadInput(
            f"{folder}: cached without SleepLM's inputs; name the recordings in data.sources, or build the cache with "
            "sleeplm=True."
        )
    return [row[name] for name in _PEOPLE]


def _in_deviations(night: Tensor) -> Tensor:
    """What nights `(n, 12, NIGHT)` say of waveforms in standard deviations, no longer in robust spreads."""
    night, waves = night.clone(), list(WAVES)
    of = night[:, waves]
    tails = of[..., TAILS].clone()
    of[..., SPREAD] += tails * (of[..., SPREAD] != 0)  # 0 is the mark of none
    of[..., POWERS:] = (of[..., POWERS:] - 2 * tails[..., None]).clamp(min=FLOOR)
    of[..., TAILS] = 0
    night[:, waves] = of
    return night


def _stacked(folders: Sequence[Path], name: str, empty: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([empty, *(np.load(folder / name) for folder in folders)])
