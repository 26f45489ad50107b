"""Which events a technician marks, what they are called, and where their edges are drawn.

Everything in the night that is, or looks like, an event is a candidate. How clear it is comes from what it left in the
signals (length, depth, fall of oxygen, cause); a doubt that everybody shares, the technician's habit and a doubt of the
moment are added, and what stays above zero is written. The site's rule then asks each hypopnea for its consequence.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from math import log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import TruthEvent, W, constants, scatter, stream
from encoders.simulation.night import RESPIRATORY, Night
from encoders.simulation.oxygen import GRID_HZ
from encoders.vocabulary import EPOCH_S, EVENTS

FALL_PCT = {"3% or arousal": 3.0, "4%": 4.0}  # AASM rules 1A and 1B for hypopneas
# AASM: apneas, hypopneas and RERAs 10 s, arousals 3 s, limb movements half a second.
SHORTEST_S = {"respiratory events": 10.0, "RERAs": 10.0, "arousals": 3.0, "limb movements": 0.5, "desaturations": 1.0}
SERIES, SERIES_GAP_S = 4, (5.0, 90.0)  # AASM: periodic movements come in fours at least, onsets this far apart
IDEAL_EDGE_S = 0.3  # standard deviation of the edges of a technician who agrees with the truth; ours
BREATHING = RESPIRATORY | {"RERA"}
CALM_S = 10.0  # AASM: of sleep before an arousal


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be taken for an event of `kind`; above 0 `clarity`, in standard deviations of doubt, most mark it."""

    event: TruthEvent
    kind: str
    clarity: float


def kind_of(event: TruthEvent) -> str | None:
    """What a site's `scores` must list for this event to be written; None for what nobody marks."""
    kind = "RERAs" if event.name == "RERA" else EVENTS.get(event.name)
    return kind if kind in SHORTEST_S else None


def mark_events(
    night: Night, stages: NDArray[np.int8], who: tuple[str, int], scores: Sequence[str], rule: str, carefulness: float
) -> list[TruthEvent]:
    """The events that technician `who` = (site, number) writes, by start; `stages` are the technician's own.

    The doubts are those of the candidates, whatever is scored: leaving a kind out changes others only where the rule
    for hypopneas rests on it.
    """
    facts, limit = constants("scoring")["events"], FALL_PCT[rule]
    found = _candidates(night, limit)
    own = stream(*night.key, "technician", who[1], "events").standard_normal((len(found), 4))
    shared = stream(*night.key, "ambiguity", "events").standard_normal((len(found), 2))
    common = facts["shared_variance"]
    doubt = common**0.5 * shared + (1 - common) ** 0.5 / carefulness * own[:, :2]
    leaning = {kind: habit / carefulness for kind, habit in event_habit(*who).items()}
    possible = [_in_sleep(c, stages) and (c.event.drop_pct is None or c.event.drop_pct >= limit) for c in found]
    consequences, by_arousal = _Consequences(night, found), limit == 3 and "arousals" in scores
    written: dict[int, TruthEvent] = {}
    for i, c in enumerate(found):
        if not possible[i] or c.clarity + doubt[i, 0] + leaning[c.kind] <= 0:
            continue
        event = c.event
        if c.kind == "respiratory events":
            name = _called(event.name, doubt[i, 1] + leaning["names"])
            event = event if name == event.name else replace(event, name=name)
            if event.name == "hypopnea":
                # What justifies a hypopnea is looked for, found, and written with it.
                reasons = [j for j in consequences.of(event, by_arousal) if possible[j]]
                if not reasons:
                    continue
                written |= {j: found[j].event for j in reasons}
        written[i] = event
    marked = [
        by_hand(event, found[i].kind, own[i, 2:], facts["edge_s"][found[i].kind], night.duration_s)
        for i, event in sorted(written.items()) if found[i].kind in scores
    ]  # fmt: skip
    return _consistent(marked)


@cache
def event_habit(site: str, scorer: int) -> dict[str, float]:
    """How much readier than others a technician is to mark each kind, and to call a breathing event an apnea."""
    sizes = constants("scoring")["events"]["habit"]
    draws = stream("habit", site, scorer, "events").standard_normal(len(sizes))
    return {kind: size * float(draw) for (kind, size), draw in zip(sizes.items(), draws, strict=True)}


def _candidates(night: Night, limit_pct: float) -> list[Candidate]:
    """All true events of the kinds, then what looks like one; the same for everybody who opens the night."""
    facts = constants("scoring")["events"]
    true = [(event, kind) for event in night.events if (kind := kind_of(event))]
    breathing = [event for event, kind in true if kind == "respiratory events"]
    clear: list[Candidate] = []
    for event, kind in true:
        base = facts["clarity"].get(event.name, facts["clarity"]["else"])
        if kind == "desaturations":
            base += facts["clearer_per_pct"] * ((event.drop_pct or limit_pct) - limit_pct)
        else:
            folds = log((event.stop_s - event.start_s) / facts["usual_s"][kind])
            base += facts["clearer_by_length"] * min(max(folds, -1.0), 1.0)
        base += facts["clearer_by_cause"] * (kind == "arousals" and event.cause in BREATHING)
        clear.append(Candidate(event, kind, base))
    rng = stream(*night.key, "ambiguity", "lookalikes")
    false: list[TruthEvent] = []
    for name, kind in (("arousal", "arousals"), ("limb movement", "limb movements")):
        starts = scatter(rng, night.stages, facts["lookalikes_per_min"][name], 15.0)
        shortest, longest = facts["lookalike_s"][name]
        lengths = rng.uniform(shortest, longest, len(starts))
        false += _free(name, starts, starts + lengths, [e for e, k in true if k == kind], CALM_S)
    # A leg that moves as breathing returns is no periodic movement (AASM), and is easily taken for one.
    false += [TruthEvent("limb movement", e.stop_s, e.stop_s + 1.5) for e in breathing]
    # Quieter breathing that ended in an arousal, a RERA above all, is easily taken for a hypopnea.
    reasons = [e for e, _ in true if e.name == "arousal" and e.cause not in RESPIRATORY]
    stops = np.array([e.start_s for e in reasons])
    false += _free("hypopnea", stops - rng.uniform(10.5, 25.0, len(stops)), stops, breathing, 2.0)
    flow = np.concatenate([[0.0], np.cumsum(night.breath.flow, dtype=np.float64)])
    for event in false:
        clarity = facts["lookalike_clarity"][event.name]
        if event.name == "hypopnea":
            first, last = round(event.start_s * GRID_HZ), max(1, round(event.stop_s * GRID_HZ))
            clarity -= facts["clearer_by_flow"] * float(flow[last] - flow[max(first, 0)]) / max(last - first, 1)
        clear.append(Candidate(event, kind_of(event) or "", clarity))
    return clear


def _free(
    name: str, starts: NDArray[np.float64], stops: NDArray[np.float64], taken: Sequence[TruthEvent], apart_s: float
) -> list[TruthEvent]:
    """Spans that keep `apart_s` from the taken ones and from each other, as events."""
    edges = [(e.start_s, e.stop_s) for e in sorted(taken, key=lambda e: e.start_s)]
    firsts = [start for start, _ in edges]
    free: list[TruthEvent] = []
    for start, stop in sorted(zip(starts.tolist(), stops.tolist(), strict=True)):
        near = edges[max(0, bisect_left(firsts, start) - 1) : bisect_right(firsts, stop + apart_s)]
        clash = any(a < stop + apart_s and start - apart_s < b for a, b in near)
        if start > 0 and not clash and (not free or free[-1].stop_s + apart_s <= start):
            free.append(TruthEvent(name, start, stop))
    return free


class _Consequences:
    """What follows from a breathing event: falls of oxygen one circulation time later, arousals at its end."""

    def __init__(self, night: Night, found: Sequence[Candidate]) -> None:
        self.lag_s = night.subject.circulation_s
        self.indices = {k: [i for i, c in enumerate(found) if c.kind == k] for k in ("desaturations", "arousals")}
        for indices in self.indices.values():
            indices.sort(key=lambda i: found[i].event.start_s)
        self.starts_s = {k: [found[i].event.start_s for i in indices] for k, indices in self.indices.items()}

    def of(self, event: TruthEvent, by_arousal: bool) -> list[int]:
        """Indices of candidates; arousals only where they count. The windows are those of the night's own rule."""
        fall = self._within("desaturations", event.start_s + self.lag_s - 6, event.stop_s + self.lag_s + 6)
        return fall + self._within("arousals", event.stop_s - 1, event.stop_s + 5) * by_arousal

    def _within(self, kind: str, first_s: float, last_s: float) -> list[int]:
        starts = self.starts_s[kind]
        return self.indices[kind][bisect_left(starts, first_s) : bisect_right(starts, last_s)]


def _called(name: str, doubt: float) -> str:
    """What a breathing event is called: the row of its true name, cut by a doubt of unit variance."""
    row: dict[str, float] = constants("scoring")["events"]["called"][name]
    until = list(accumulate(row.values()))
    return list(row)[min(bisect_left(until, NormalDist().cdf(doubt) * until[-1]), len(row) - 1)]


def _in_sleep(c: Candidate, stages: NDArray[np.int8]) -> bool:
    """Whether the technician's own stages allow the event: AASM scores them in sleep, arousals after 10 s of it."""
    if c.kind == "desaturations":
        return True
    first, last = int(c.event.start_s // EPOCH_S), int(c.event.stop_s // EPOCH_S)
    if c.kind == "arousals":
        first = last = int(max(0.0, c.event.start_s - CALM_S) // EPOCH_S)
    return any(stages[epoch] != W for epoch in range(first, min(last + 1, len(stages))))


def by_hand(event: TruthEvent, kind: str, doubt: NDArray[np.float64], sd_s: float, duration_s: float) -> TruthEvent:
    """The event with edges drawn by hand to a tenth of a second, no shorter than its kind may be."""
    start = max(0.0, event.start_s + sd_s * float(doubt[0]))
    stop = max(event.stop_s + sd_s * float(doubt[1]), start + SHORTEST_S[kind])
    over = max(0.0, stop - duration_s)
    return replace(event, start_s=round(start - over, 1), stop_s=round(stop - over, 1))


def _consistent(marked: Sequence[TruthEvent]) -> list[TruthEvent]:
    """Events by start, none over another of its kind, no RERA over breathing events; leg movements named by series."""
    kept: list[TruthEvent] = []
    until: dict[str, float] = {}
    for event in sorted(marked, key=lambda e: (e.start_s, e.name)):
        kind = kind_of(event) or ""
        track = "respiratory events" if kind == "RERAs" else kind
        start = max(event.start_s, until.get(track, 0.0))
        if event.stop_s - start >= SHORTEST_S[kind] - 1e-9:
            kept.append(event if start == event.start_s else replace(event, start_s=start))
            until[track] = event.stop_s
    legs = [e.start_s for e in kept if kind_of(e) == "limb movements"]
    gaps = np.diff(legs)
    linked = (gaps >= SERIES_GAP_S[0]) & (gaps <= SERIES_GAP_S[1])
    runs = np.split(np.arange(len(legs)), np.flatnonzero(~linked) + 1)
    name = {legs[i]: "periodic limb movement" if len(run) >= SERIES else "limb movement" for run in runs for i in run}
    kept = [replace(e, name=name[e.start_s]) if kind_of(e) == "limb movements" else e for e in kept]
    return sorted(kept, key=lambda e: (e.start_s, e.name))
