"""Batches of cached epochs, from any number of recordings' folders, without reading more than is asked for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.errors import BadInput
from encoders.models.small.inputs import NIGHT, VERSION
from encoders.training.facts import FACTS_VERSION, SLOTS
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES

ROW: Final = "row.json"  # in each recording's folder, written last
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
    """

    def __init__(self, folders: Path | Sequence[Path]) -> None:
        """`folders`: of recordings, or of caches, all of whose recordings are taken. BadInput for one that is neither,
        or that another version of the inputs or facts wrote.
        """
        given = [folders] if isinstance(folders, Path) else list(folders)
        self.folders = tuple(sorted({each for folder in given for each in _recordings(folder)}))
        rows = [_checked(folder) for folder in self.folders]
        self.people = pl.DataFrame(rows, schema=_PEOPLE, orient="row")
        counts = self.people["epochs"].to_numpy()
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self.recording = np.repeat(np.arange(len(counts)), counts)
        self._x = [np.load(folder / "x.npy", mmap_mode="r") for folder in self.folders]
        self._present = _stacked(self.folders, "present.npy", np.zeros((0, len(CHANNELS)), bool))
        night = [np.load(folder / "night.npy") for folder in self.folders]
        self._night = torch.from_numpy(np.stack(night) if night else np.zeros((0, len(CHANNELS), NIGHT), np.float32))

    def __len__(self) -> int:
        return int(self._first[-1])

    def __repr__(self) -> str:
        return f"EpochStore({len(self)} epochs of {len(self.people)} recordings)"

    def __reduce__(self) -> tuple[Any, ...]:
        return EpochStore, (self.folders,)  # a loader's process maps the files itself

    @cached_property
    def bits(self) -> NDArray[np.uint32]:
        """What is known of every epoch."""
        return _stacked(self.folders, "bits.npy", np.zeros((0, len(SLOTS)), np.uint32))

    def rows_of(self, recordings: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The epochs of some rows of `people`."""
        return np.flatnonzero(np.isin(self.recording, recordings))

    def batch(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """The epochs at these numbers, in this order, a number as often as it is given; read in the files' order."""
        wanted = np.asarray(rows, np.int64)
        of = self.recording[wanted]
        order = np.argsort(wanted, kind="stable")
        half = np.empty((len(wanted), len(CHANNELS), EPOCH_SAMPLES), np.float16)
        for at in np.split(order, np.flatnonzero(np.diff(of[order])) + 1) if len(order) else ():
            number = of[at[0]]
            half[at] = self._x[number][wanted[at] - self._first[number]]
        recording = torch.from_numpy(of)
        return Batch(
            torch.from_numpy(half).float(), torch.from_numpy(self._present[wanted]), self._night[recording],
            torch.from_numpy(self.bits[wanted].astype(np.int64)), recording,
        )  # fmt: skip


def _recordings(folder: Path) -> Iterator[Path]:
    if (folder / ROW).is_file():
        yield folder
        return
    found = [path.parent for path in folder.glob(f"*/{ROW}") if not path.parent.name.startswith(".")]
    if not found:
        raise BadInput(f"{folder}: no cached recording in it; `build_cache` makes such a folder.")
    yield from found


def _checked(folder: Path) -> list[Any]:
    row = json.loads((folder / ROW).read_text(encoding="utf-8"))
    if (row.get("inputs"), row.get("facts")) != (VERSION, FACTS_VERSION):
        raise BadInput(f"{folder}: cached by another version of this program; build the cache again (same call).")
    return [row[name] for name in _PEOPLE]


def _stacked(folders: Sequence[Path], name: str, empty: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([empty, *(np.load(folder / name) for folder in folders)])
