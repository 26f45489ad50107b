"""What a site's technician writes down of a night. For now a careful one: the truth, with edges drawn by hand.

Stages are the true ones; edges of events move by a few tenths of a second and are rounded to 0.1 s, without breaking
the AASM minima. Disagreement between people about stages and events is not simulated yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from encoders.simulation.draws import TruthEvent, stage_names, stream
from encoders.simulation.night import Night
from encoders.vocabulary import EVENTS

EDGE_S = 0.3  # standard deviation of a hand-drawn edge; ours
# AASM: apneas and hypopneas 10 s, arousals 3 s, limb movements half a second.
SHORTEST_S = {"respiratory events": 10.0, "arousals": 3.0, "limb movements": 0.5, "desaturations": 1.0}


@dataclass(frozen=True, slots=True)
class Scored:
    """One technician's file in our words: a stage per epoch of 30 s, events by start, the kinds looked for."""

    stages: tuple[str, ...]
    events: tuple[TruthEvent, ...]
    kinds: tuple[str, ...]
    lights_off_s: float
    lights_on_s: float


def score_night(night: Night, site: Mapping[str, Any], *, scorer: int = 0, ideal: bool = False) -> Scored:
    """The night as the site's technician number `scorer` scored it; kinds that are not in `site["scores"]` are left out."""
    kinds = site["scores"]
    rng = stream(*night.key, "technician")
    events: list[TruthEvent] = []
    for event in night.events:
        kind = EVENTS.get(event.name)
        edges = rng.normal(0.0, EDGE_S, 2)  # drawn for each event, so that the kinds scored change no edge
        if kind not in kinds or kind is None:
            continue
        start = round(max(0.0, event.start_s + edges[0]), 1)
        stop = round(min(night.duration_s, max(event.stop_s + edges[1], start + SHORTEST_S[kind])), 1)
        events.append(replace(event, start_s=start, stop_s=stop))
    events.sort(key=lambda e: (e.start_s, e.name))
    return Scored(tuple(stage_names(night.stages)), tuple(events), tuple(kinds), night.lights_off_s, night.lights_on_s)


def stage_bouts(stages: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first epoch, epochs, stage) of each run of one stage."""
    edges = np.flatnonzero([True, *(a != b for a, b in pairwise(stages)), True]).tolist()
    return [(a, b - a, stages[a]) for a, b in pairwise(edges)]
