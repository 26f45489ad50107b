"""What a site's technician writes down of a night: stages and events as people score them, or the truth itself.

Two technicians agree as two people do: kappa of about 0.76 over the stages, N1 least, and worst on short events. They
see the same night, so that they stumble over the same epochs; each has habits that last from night to night.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from encoders.errors import BadInput
from encoders.simulation.draws import TruthEvent, stage_names, stream
from encoders.simulation.event_marks import FALL_PCT, IDEAL_EDGE_S, by_hand, kind_of, mark_events
from encoders.simulation.night import Night
from encoders.simulation.stage_confusion import confuse_stages


@dataclass(frozen=True, slots=True)
class Scored:
    """One technician's file in our words: a stage per epoch of 30 s, events by start, the kinds looked for."""

    stages: tuple[str, ...]
    events: tuple[TruthEvent, ...]
    kinds: tuple[str, ...]  # of `vocabulary.KINDS`
    lights_off_s: float
    lights_on_s: float
    scorer: str = "technician 1"
    rule: str = "3% or arousal"  # what makes a hypopnea


def score_night(night: Night, site: Mapping[str, Any], *, scorer: int = 0, ideal: bool = False) -> Scored:
    """The night as the site's technician number `scorer` scored it, of the kinds in `site["scores"]` alone.

    Of the site it reads `scores` (kinds of `vocabulary.KINDS`, and "RERAs") and, where they are given, `like` (its
    technicians and their habits go by that name), `hypopnea_rule` ("3% or arousal", AASM 1A, or "4%", AASM 1B) and
    `carefulness` (what a technician adds of habit and doubt is divided by it). Arousals justify a hypopnea only where
    the site scores arousals. An `ideal` technician writes the truth with edges drawn by hand, whatever the rule. Raises
    BadInput for an unknown rule.
    """
    scores, rule = tuple(site["scores"]), site.get("hypopnea_rule", "3% or arousal")
    if rule not in FALL_PCT:
        raise BadInput(f"hypopnea_rule: {rule!r}; possible are {', '.join(map(repr, FALL_PCT))}.")
    stages, events = night.stages, []
    if ideal:
        rng = stream(*night.key, "technician")
        for event in night.events:
            edges = rng.standard_normal(2)  # drawn for each event, so that the kinds scored change no edge
            if (kind := kind_of(event)) in scores and kind is not None:
                events.append(by_hand(event, kind, edges, IDEAL_EDGE_S, night.duration_s))
        events.sort(key=lambda e: (e.start_s, e.name))
    else:
        who, carefulness = (str(site.get("like", "")), scorer), float(site.get("carefulness", 1.0))
        stages = confuse_stages(night, who, carefulness)
        events = mark_events(night, stages, who, scores, rule, carefulness)
    return Scored(
        tuple(stage_names(stages)), tuple(events), tuple(kind for kind in scores if kind != "RERAs"),
        night.lights_off_s, night.lights_on_s, f"technician {scorer + 1}", rule,
    )  # fmt: skip


def stage_bouts(stages: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first epoch, epochs, stage) of each run of one stage."""
    edges = np.flatnonzero([True, *(a != b for a, b in pairwise(stages)), True]).tolist()
    return [(a, b - a, stages[a]) for a, b in pairwise(edges)]
