"""Every measure of a night's epochs, as columns with the names, units and definitions of measures.toml.

scipy and sleepecg are imported where they measure: a search needs this lexicon, not their two seconds.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from encoders.captions.brain import measure_brain, measure_eyes, rem_evidence
from encoders.captions.breathing import measure_breathing
from encoders.captions.frames import Array, Grid, Night
from encoders.captions.heart import measure_heart
from encoders.captions.muscle import measure_muscle, measure_position
from encoders.captions.oximetry import measure_oximetry
from encoders.vocabulary import CHANNELS


@dataclass(frozen=True, slots=True)
class Measure:
    """One column: `digits` None marks text; any one set of `channels` is enough to measure it."""

    name: str
    unit: str
    part: str
    channels: tuple[tuple[str, ...], ...]
    definition: str
    source: str
    digits: int | None = None


@cache
def load_measures() -> dict[str, Measure]:
    """The columns of measures.toml by name, in its order."""
    tables = tomllib.loads((files("encoders.captions") / "measures.toml").read_text("utf-8"))["measure"]
    measures: dict[str, Measure] = {}
    for table in tables:
        names, channels = table.pop("names"), tuple(tuple(group) for group in table.pop("channels"))
        measures |= {name: Measure(name=name, channels=channels, **table) for name in names}
    return measures


def part_sensors(part: str) -> tuple[str, ...]:
    """The channels of which a caption's part speaks, in the order of `CHANNELS`; all of them for stages and events."""
    said = {
        c for measure in load_measures().values() if measure.part == part for group in measure.channels for c in group
    }
    return tuple(channel for channel in CHANNELS if channel in said or part == "stage_event")


def measure_epochs(recording: Night, epochs: Grid) -> dict[str, Array]:
    """All columns of measures.toml for the epochs of a recording, in its order.

    Numbers are float64 `(n,)` with NaN, texts object `(n,)` with None, where the sensor is absent or bad. Signals are
    taken from the recording at their own rate; `epochs` gives the grid and which slots are usable. Columns "over the
    night's median" need the whole night's grid, so measure a night whole.
    """
    n = len(epochs.start_s)
    found = measure_brain(recording, epochs) | measure_eyes(recording, epochs) | measure_heart(recording, epochs)
    found |= measure_oximetry(recording, epochs) | measure_breathing(recording, epochs)
    found |= measure_muscle(recording, epochs) | measure_position(recording, epochs)
    found["rem_evidence"] = rem_evidence(found)
    found["usable_channels"] = np.asarray(epochs.present, bool).sum(axis=1).astype(np.float64)
    found["substitutes"] = np.full(n, substitutes(recording) or None, object)
    return {name: found[name] for name in load_measures()}


def substitutes(recording: Night) -> str:
    """Slots filled with another derivation than asked for, in words: "EEG_C3: Fpz-Cz"; empty where there is none."""
    choices = getattr(getattr(recording, "montage", None), "choices", {})
    named = []
    for slot in CHANNELS:
        choice = choices.get(slot)
        if choice is not None and choice.substitute:
            derivation = f"{choice.label} - {choice.minus_label}" if choice.minus_label else choice.label
            named.append(f"{slot}: {derivation}")
    return "; ".join(named)
