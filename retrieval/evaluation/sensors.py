"""Which sensors a task needs (prompts.toml), which subsets are tried (sensors.toml), where sensors are usable."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.vocabulary import CHANNELS
from retrieval.evaluation.sample import Sample
from retrieval.zeroshot import load_tasks

Sets = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Sensors:
    """modalities: what is plugged in or left out together. required: a task's alternative sets, any one is enough, none
    where nothing among the twelve channels is. subsets: tried besides all sensors and all but one modality."""

    modalities: dict[str, tuple[str, ...]]
    required: dict[str, Sets]
    subsets: dict[str, tuple[str, ...]]

    def of(self, channels: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The subsets that can be taken of these channels, by name: one modality less, then those named; each once."""
        less = {
            f"without {name}": tuple(c for c in channels if c not in members)
            for name, members in self.modalities.items()
        }
        named = {name: members for name, members in self.subsets.items() if set(members) <= set(channels)}
        found = {frozenset(channels): ""}
        for name, members in (less | named).items():
            if members:
                found.setdefault(frozenset(members), name)
        return {name: tuple(c for c in channels if c in members) for members, name in found.items() if name}

    def enough(self, task: str, channels: Sequence[str]) -> Sets:
        """The sets that the task needs, one of them, of those that these channels hold."""
        return tuple(members for members in self.required[task] if set(members) <= set(channels))


@cache
def load_sensors() -> Sensors:
    """sensors.toml, and what the tasks of prompts.toml need."""
    table = tomllib.loads((files("retrieval.evaluation") / "sensors.toml").read_text("utf-8"))
    modalities, subsets = ({k: tuple(v) for k, v in table[part].items()} for part in ("modalities", "subsets"))
    required = {
        name: tuple(members for members in task.sensors if set(members) <= set(CHANNELS))
        for name, task in load_tasks().items()
    }
    required |= {name: tuple(map(tuple, sets)) for name, sets in table["required"].items()}
    return Sensors(modalities, required, subsets)


def usable(frame: pl.DataFrame, sets: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """The epochs in which every sensor of one of the `sets` is usable, `(n,)`."""
    there = [[f"ok_{channel.lower()}" for channel in channels] for channels in sets]
    known = [columns for columns in there if set(columns) <= set(frame.columns)]
    if not known:
        return np.zeros(frame.height, bool)
    usable = pl.any_horizontal(
        *(pl.all_horizontal(*(pl.col(c).fill_null(False) for c in columns)) for columns in known)
    )
    mask: NDArray[np.bool_] = frame.select(usable.alias("usable"))["usable"].to_numpy()
    return mask


def able(sample: Sample, channels: Sequence[str] | None = None) -> NDArray[np.bool_]:
    """The epochs with a usable sensor that the encoder reads, of `channels` where given; all, if it reads captions."""
    read = [c for c in sample.encoder.channels if channels is None or c in channels]
    return usable(sample.frame, [[c] for c in read]) if sample.encoder.channels else np.ones(len(sample), bool)
