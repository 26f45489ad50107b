"""What was scored in each epoch: stage, counts, seconds and lengths of events; null wherever nobody scored the kind."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from encoders.captions.frames import Array, overlapped
from encoders.recordings.annotations.align import stage_on_grid
from encoders.recordings.timeline import Event, Scoring
from encoders.vocabulary import APNEAS, EPOCH_S, EVENTS, HYPOPNEAS, KINDS

Scorings = Scoring | Sequence[Scoring] | None

# Sums over event names: what a question without a type asks for.
GROUPS = {
    "apnea_any": APNEAS,
    "hypopnea_any": HYPOPNEAS,
    "respiratory": (*APNEAS, *HYPOPNEAS),
    "limb_movement_any": ("limb movement", "periodic limb movement"),
}
# Name that leaves the type open -> the typed names. Where the former is used, the latter are unknown.
UNTYPED = {"apnea": APNEAS[1:], "hypopnea": HYPOPNEAS[1:], "limb movement": ("periodic limb movement",)}
ALWAYS_TYPED = frozenset({"apnea"})  # who scores apneas gives a type unless we see otherwise; the others seldom


def snake(name: str) -> str:
    """An event's name as a column: "Cheyne-Stokes breathing" is cheyne_stokes_breathing."""
    return name.lower().replace(" ", "_").replace("-", "_")


def scored_columns() -> list[str]:
    """The columns of `score_epochs`, in its order."""
    names = [*(snake(name) for name in EVENTS), *GROUPS]
    counts = [column for name in names for column in (f"n_{name}", f"{name}_s", f"{name}_longest_s")]
    return ["stage", "stage_raw", "stage_source", *counts, "events"]


def by_kind(scorings: Scorings) -> dict[str, Scoring]:
    """For each kind of `vocabulary.KINDS` the first scoring that covers it; kinds that nobody scored are no keys."""
    several = [scorings] if isinstance(scorings, Scoring) else list(scorings or ())
    return {
        kind: next(s for s in several if kind in s.coverage)
        for kind in KINDS
        if any(kind in s.coverage for s in several)
    }


def chosen_events(scorings: Scorings) -> list[Event]:
    """Events by start: each kind from the scoring that `by_kind` chooses, what has no kind from every scoring."""
    several = [scorings] if isinstance(scorings, Scoring) else list(scorings or ())
    chosen = by_kind(several)
    return sorted(
        (
            event
            for s in several
            for event in s.events
            if (kind := EVENTS.get(event.name)) is None or chosen.get(kind) is s
        ),
        key=lambda event: (event.start_s, event.stop_s),
    )


def score_epochs(start_s: Array, scorings: Scorings) -> pl.DataFrame:
    """One row per epoch: stage, raw code, scorer; per event name and group `n_`, `_s`, `_longest_s`; events in words.

    `n_x` counts events overlapping the epoch by any amount, `x_s` the seconds of overlap, `x_longest_s` the whole
    length of the longest of them. All are null where the kind was not scored; events that no kind answers (snoring,
    RERA, ...) are null rather than zero where none is noted. A typed count is null in an epoch with an untyped event
    of its family, and everywhere if the source never gives the type. Several scorings complete each other by kind.
    """
    start_s = np.asarray(start_s, np.float64)
    n = len(start_s)
    covered, events = by_kind(scorings), chosen_events(scorings)
    seen = {event.name for event in events}
    tables = {name: _count([event for event in events if event.name == name], start_s) for name in EVENTS}
    known = {}
    for name, kind in EVENTS.items():
        known[name] = np.full(n, kind in covered) if kind else tables[name][0] > 0
    for untyped, typed in UNTYPED.items():
        stated = bool(seen & set(typed)) or (untyped in ALWAYS_TYPED and untyped not in seen)
        for name in typed:
            known[name] &= stated & ((tables[untyped][0] == 0) | (tables[name][0] > 0))
    columns: dict[str, object] = _stages(start_s, covered.get("stages"))
    for name, (count, seconds, longest) in tables.items():
        _put(columns, snake(name), count, seconds, longest, known[name])
    for group, names in GROUPS.items():
        count, seconds, longest = (np.stack([tables[name][part] for name in names]) for part in range(3))
        _put(columns, group, count.sum(0), seconds.sum(0), longest.max(0), np.full(n, EVENTS[names[0]] in covered))
    columns["events"] = _texts(events, start_s, any_scored=bool(covered.keys() - {"stages"}))
    return pl.DataFrame({name: columns[name] for name in scored_columns()})


def _stages(start_s: Array, scoring: Scoring | None) -> dict[str, object]:
    n = len(start_s)
    if scoring is None:
        return {name: pl.Series(name, [None] * n, pl.String) for name in ("stage", "stage_raw", "stage_source")}
    stage, raw = stage_on_grid(scoring, start_s)
    return {"stage": stage, "stage_raw": raw, "stage_source": [scoring.scorer] * n}


def _count(events: Sequence[Event], start_s: Array) -> tuple[Array, Array, Array]:
    count, seconds, longest = np.zeros(len(start_s), np.int32), np.zeros(len(start_s)), np.zeros(len(start_s))
    from_s = np.array([event.start_s for event in events])
    to_s = np.array([max(event.stop_s, event.start_s) for event in events])
    for number, hit in overlapped(from_s, np.maximum(to_s, from_s + 1e-6), start_s):
        a, b = from_s[number], to_s[number]
        count[hit] += 1
        seconds[hit] += np.minimum(b, start_s[hit] + EPOCH_S) - np.maximum(a, start_s[hit])
        longest[hit] = np.maximum(longest[hit], b - a)
    return count, np.clip(seconds, 0.0, EPOCH_S), longest


def _put(columns: dict[str, object], name: str, count: Array, seconds: Array, longest: Array, known: Array) -> None:
    for column, values in ((f"n_{name}", count), (f"{name}_s", seconds), (f"{name}_longest_s", longest)):
        dtype = pl.Int32 if values is count else pl.Float32
        columns[column] = pl.DataFrame({"v": values, "k": known}).select(
            pl.when(pl.col("k")).then(pl.col("v").cast(dtype)).alias(column)
        )[column]


def _texts(events: Sequence[Event], start_s: Array, *, any_scored: bool) -> pl.Series:
    """Each epoch's events as "hypopnea 3.2-20.1", seconds within the epoch; null where no kind of event was scored."""
    texts: list[list[str]] = [[] for _ in start_s]
    from_s = np.array([event.start_s for event in events])
    to_s = np.array([event.stop_s for event in events])
    for number, hit in overlapped(from_s, np.maximum(to_s, from_s + 1e-6), start_s):
        for epoch in range(hit.start, hit.stop):
            a, b = np.clip([from_s[number] - start_s[epoch], to_s[number] - start_s[epoch]], 0.0, EPOCH_S)
            texts[epoch].append(f"{events[number].name} {a:.1f}-{b:.1f}")
    return pl.Series("events", [text if text or any_scored else None for text in texts], pl.List(pl.String))
