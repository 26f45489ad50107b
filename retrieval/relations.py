"""Composition in time: which epochs lie in a pair of events, in a part of the night, or in a long enough run.

    Pair     two things one after the other, near each other, or linked; or one of them without the other
    Window   a share of the night, or its first or last hours
    Period   the n-th or last period of a stage in a night
    Run      epochs in a row that answer all the rest

Events pair by their own seconds, wherever epochs begin; of several scorings each kind is taken from the one that the
catalog uses. B comes after A when it starts after A starts and at most so long after A ends: an arousal often begins
just before the breath returns. Linked are a respiratory event and a desaturation or arousal by the windows and the
rule of `encoders.captions.links`. A stage is as an event from its first to its last epoch in a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from encoders.captions import Concept
from encoders.captions.links import WINDOW_S
from encoders.vocabulary import APNEAS, EPOCH_S, EVENTS, HYPOPNEAS, SLEEP_STAGES
from index import Snapshot
from retrieval.by_night import Array, by_recording, nights
from retrieval.concepts import NOT_SCORED, event_name, event_names, holds, reason_sql
from retrieval.concepts import measured as sensed
from retrieval.numbers import Comparison
from retrieval.remembered import remembered

BREATHS = (*APNEAS, *HYPOPNEAS)
SAME_PERIOD_S = 900.0  # REM up to 15 min apart is one REM period, as Feinberg and Floyd (1979) count them
_ROUNDING_S = 1e-6  # epochs begin at sums of decimals
_NIGHT_S = 1e7  # more than any recording lasts

Order = Literal["after", "near", "linked"]
Whole = Literal["night", "sleep", "recording"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of a pair: an event or a stage, and how long it must be."""

    concept: Concept
    length: Comparison | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The events that are meant; none for a stage."""
        return event_names(self.concept)


@dataclass(frozen=True, slots=True)
class Pair:
    """`second` after `first`, either near the other, or linked.

    alone: the one that must lack its partner. measured: where nobody scored them, an epoch in which sensors measured
    both will do (`apneas with desaturation`).
    """

    first: Side
    second: Side
    order: Order
    within_s: float = 0.0
    alone: Literal["", "first", "second"] = ""
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `stop` of the whole: shares of it, or seconds, negative ones from its end (`in_s`)."""

    start: float
    stop: float
    of: Whole
    in_s: bool = False
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """The n-th period of a stage in each night, -1 the last."""

    concept: Concept
    number: int


@dataclass(frozen=True, slots=True)
class Run:
    """Epochs in a row; `length` compares their seconds."""

    length: Comparison


Relation = Pair | Window | Period | Run


SPAN = {"row": pl.Int64, "clear": pl.Float64, "first": pl.Int64, "last": pl.Int64, "from_s": pl.Float64,
        "to_s": pl.Float64, "said": pl.String}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a relation is of every epoch, by row of the snapshot.

    holds: int8, -1 where nobody can tell, for the `reason` of `concepts.REASONS`. spans: of rows that lie in a stretch,
    `row clear first last from_s to_s said`: the more `clear` the surer; epochs and seconds of the stretch that shows
    it. said: of any rows, what is said of them instead. says: what was found out about the nights that the question's
    words left open.
    """

    holds: Array
    reason: Array
    spans: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SPAN))
    said: Callable[[Array], list[str | None]] | None = None
    says: str = ""

    def shown(self, rows: Array) -> pl.DataFrame:
        """`row clear first last from_s to_s said` of these rows, in their order; null where there is nothing."""
        asked = pl.DataFrame({"row": rows}, schema={"row": pl.Int64})
        found = asked.join(self.spans, on="row", how="left", maintain_order="left")
        return found.with_columns(said=pl.Series(self.said(rows), dtype=pl.String)) if self.said else found


def evaluate(snapshot: Snapshot, relation: Relation) -> Found:
    """Which epochs of the cohort a relation holds for; a `Run` asks a ranking's own rows: see `long_enough`.

    What was found is kept for the next question: it takes every event of the cohort, or every epoch.
    """
    return remembered(snapshot, ("relation", repr(relation)), lambda: _evaluate(snapshot, relation))


def _evaluate(snapshot: Snapshot, relation: Relation) -> Found:
    if isinstance(relation, Window):
        return _window(snapshot, relation)
    if isinstance(relation, Period):
        return _period(snapshot, relation)
    assert isinstance(relation, Pair)
    spans = _marked(snapshot, relation)
    (a, a_reason), (b, b_reason) = (_state(snapshot, side.concept, measured=relation.measured)
                                    for side in (relation.first, relation.second))  # fmt: skip
    inside = np.zeros(len(a), bool)
    inside[spans["row"].to_numpy()] = True
    scored = (a >= 0) & (b >= 0)
    if relation.alone:  # that it stands alone can be said only where its partner would have been scored
        holds = np.where(scored, inside, np.int8(-1))
    else:
        holds = np.where(inside, np.int8(1), np.where(scored, np.int8(0), np.int8(-1)))
    reason = np.where(a < 0, a_reason, b_reason)
    if not relation.measured:
        return Found(holds, reason, spans)
    # Where one of them can't be sensed, there is no saying no.
    by_sensor = [
        snapshot.arrays([f"({sensed(side.concept)})::BOOLEAN"])[0] for side in (relation.first, relation.second)
    ]
    both = np.where((by_sensor[0] >= 0) & (by_sensor[1] >= 0), by_sensor[0] & by_sensor[1], np.int8(-1))
    told = (holds < 0) & (both == 1)
    names = " and ".join(side.concept.say[0] for side in (relation.first, relation.second))

    def said(rows: Array) -> list[str | None]:
        marked = Found(holds, reason, spans).shown(rows)["said"].to_list()
        return [
            word or (f"{names} measured in the epoch, not scored" if of else None)
            for word, of in zip(marked, told[rows].tolist(), strict=True)
        ]

    return Found(np.where(holds < 0, both, holds), reason, spans, said)


def long_enough(rows: pl.DataFrame, runs: Sequence[Run]) -> pl.DataFrame:
    """The rows that lie in a run of epochs of a length that all `runs` ask for; order is kept."""
    place = pl.col("epoch") - pl.int_range(pl.len()).over("recording", order_by="epoch")
    rows = rows.with_columns(run_s=pl.len().over("recording", place) * EPOCH_S)
    return rows.filter(pl.sql_expr(run.length.sql("run_s")) for run in runs).drop("run_s")


# ---- pairs


def _state(snapshot: Snapshot, concept: Concept, *, measured: bool = False) -> tuple[Array, Array]:
    """Of every epoch whether a concept holds, and why nobody can tell where that is not known; with `measured`, the
    reason is a sensor's.

    Events hold as scored, stages also as measured.
    """
    known, event = snapshot.columns(), event_name(concept)
    state = "NULL" if event and f"n_{event}" not in known else concept.scored if event else holds(concept)
    by_sensor = measured or not event
    reason = reason_sql(concept.channels, known, bool(concept.coverage)) if by_sensor else str(NOT_SCORED)
    found, why = snapshot.arrays([f"({state})::BOOLEAN", f"({reason})::TINYINT"])
    return found, why


def _epochs_in(snapshot: Snapshot, concept: Concept) -> pl.DataFrame:
    """`night start_s` of the epochs in which a stage holds, in order."""
    known = nights(snapshot)
    rows = np.flatnonzero(_state(snapshot, concept)[0] == 1)
    return pl.DataFrame({"night": known.of[rows], "start_s": known.start_s[rows]}).sort("night", "start_s")


def _intervals(snapshot: Snapshot, side: Side, events: pl.DataFrame) -> pl.DataFrame:
    """`id night name start_s stop_s edge_s` of a side; edge_s: what is shown of a stage beside its partner."""
    named = (pl.lit(side.concept.say[0]).alias("name"), pl.lit(EPOCH_S).alias("edge_s"))
    if side.names:
        found = events.filter(pl.col("name").is_in(side.names)).with_columns(edge_s=pl.lit(None, pl.Float64))
    else:
        found = _in_row(_epochs_in(snapshot, side.concept), 0.0).with_columns(named)
    if side.length is not None:
        found = found.filter(pl.sql_expr(side.length.sql("(stop_s - start_s)")))
    return found.select("night", "name", "start_s", "stop_s", "edge_s").with_row_index("id")


def _in_row(rows: pl.DataFrame, apart_s: float) -> pl.DataFrame:
    """Stretches `night start_s stop_s` of sorted rows; a longer pause than `apart_s` parts them."""
    new = (pl.col("start_s").diff() > EPOCH_S + apart_s + _ROUNDING_S) | (pl.col("night").diff() != 0)
    rows = rows.with_columns(stretch=new.fill_null(True).cum_sum())
    return rows.group_by("stretch", maintain_order=True).agg(
        pl.col("night").first(), start_s=pl.col("start_s").min(), stop_s=pl.col("start_s").max() + EPOCH_S
    )


_NUMBERED = "(SELECT recording, row_number() OVER (ORDER BY recording) - 1 AS night FROM recordings)"


def _events(snapshot: Snapshot, names: Sequence[str]) -> pl.DataFrame:
    """`night name start_s stop_s` of these events, by start; of several scorings the one that the catalog uses."""
    kinds = ", ".join(f"('{name}', {f'{EVENTS[name]!r}' if EVENTS[name] else 'NULL'})" for name in sorted(set(names)))
    return snapshot.sql(
        f"""SELECT night::INTEGER AS night, e.name, e.start_s, greatest(e.start_s, e.stop_s) AS stop_s
        FROM events e JOIN (VALUES {kinds}) k(name, kind) ON e.name = k.name JOIN {_NUMBERED} USING (recording)
        WHERE k.kind IS NULL OR EXISTS (SELECT 1 FROM coverage c WHERE c.used AND c.kind = k.kind
            AND c.recording = e.recording AND c.scorer IS NOT DISTINCT FROM e.scorer)"""
    ).sort("night", "start_s", "stop_s", "name")


def linkable(first: Side, second: Side) -> bool:
    """Whether links tell of these two: a respiratory event and a desaturation or an arousal."""
    late, breath = (second, first) if _is_late(second) else (first, second)
    return _is_late(late) and bool(breath.names) and set(breath.names) <= {*BREATHS}


def _is_late(side: Side) -> bool:
    return bool(side.names) and set(side.names) <= WINDOW_S.keys()


def _marked(snapshot: Snapshot, pair: Pair) -> pl.DataFrame:
    """The epochs that lie in a pair: `row clear first last from_s to_s said`."""
    names = (*pair.first.names, *pair.second.names, *(BREATHS if pair.order == "linked" else ()))
    events = _events(snapshot, names) if names else pl.DataFrame()
    a, b = (_intervals(snapshot, side, events) for side in (pair.first, pair.second))
    pairs = _linked(pair, events, a, b) if pair.order == "linked" else _timed(pair, a, b)
    start, stop = pl.col("start_s"), pl.min_horizontal("stop_s", "start_s_b")
    found = pairs.select(
        "id", "id_b", "night",
        lo=pl.min_horizontal("start_s_b", pl.max_horizontal(start, (stop - pl.col("edge_s")).fill_null(start))),
        hi=pl.max_horizontal(
            pl.when(pl.col("edge_s").is_null()).then("stop_s").otherwise(stop),
            pl.coalesce(pl.col("start_s_b") + pl.col("edge_s_b"), "stop_s_b"),
        ),
        clear=pl.min_horizontal(pl.col("start_s_b") - pl.col("stop_s"), 0.0),
        said=pl.format("{} {}-{} s, {} {}-{} s", "name", *_rounded("start_s", "stop_s"), "name_b",
                       *_rounded("start_s_b", "stop_s_b")),
    )  # fmt: skip
    if pair.alone:
        subject, key, other = (a, "id", pair.second) if pair.alone == "first" else (b, "id_b", pair.first)
        lacking = pl.lit(other.concept.say[0])
        found = subject.join(found, left_on="id", right_on=key, how="anti").select(
            "night", lo="start_s", hi="stop_s", clear=pl.lit(0.0),
            said=pl.format("{} {}-{} s, no {}", "name", *_rounded("start_s", "stop_s"), lacking),
        )  # fmt: skip
    return _laid(snapshot, found)


def _rounded(*columns: str) -> list[pl.Expr]:
    return [pl.col(column).round(1) for column in columns]


def _beside(a: pl.DataFrame, b: pl.DataFrame, before_s: float, after_s: float) -> pl.DataFrame:
    """Each row of `a` with the rows of `b` (columns `_b`) of its night that lie at most so long before its start, or
    start so long after its end; both are sorted by night and start. All pairs of a night would be too many."""
    longest_s = float((b["stop_s"] - b["start_s"]).max() or 0.0) if b.height else 0.0  # type: ignore[arg-type]
    keys, own = (rows["night"].to_numpy() * _NIGHT_S for rows in (b, a))
    keys = keys + b["start_s"].to_numpy()
    low = np.searchsorted(keys, own + a["start_s"].to_numpy() - before_s - longest_s - 1.0)
    high = np.searchsorted(keys, own + a["stop_s"].to_numpy() + after_s + 1.0, side="right")
    counts = np.maximum(high - low, 0)
    left = np.repeat(np.arange(a.height), counts)
    right = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    other = b[right].rename({c: f"{c}_b" for c in b.columns})
    both: pl.DataFrame = pl.concat([a[left], other], how="horizontal")
    return both.filter(pl.col("night") == pl.col("night_b")).drop("night_b")


def _timed(pair: Pair, a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Pairs by their seconds, the second one's columns with `_b`."""
    start, stop, start_b, stop_b = (pl.col(c) for c in ("start_s", "stop_s", "start_s_b", "stop_s_b"))
    if pair.order == "near":
        both = _beside(a, b, pair.within_s, pair.within_s)
        same = (pl.col("name") == pl.col("name_b")) & (start == start_b) & (stop == stop_b)
        return both.filter((start_b <= stop + pair.within_s) & (start <= stop_b + pair.within_s) & ~same)
    both = _beside(a, b, 0.0, pair.within_s)
    return both.filter((start_b > start) & (start_b <= stop + pair.within_s + _ROUNDING_S))


def _linked(pair: Pair, events: pl.DataFrame, a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Pairs by their links: a late event belongs to the latest-starting of all breaths in whose window it starts."""
    late, breath = (b, a) if _is_late(pair.second) else (a, b)
    window_s = WINDOW_S[(pair.second if _is_late(pair.second) else pair.first).names[0]]
    owners = _beside(late, events.filter(pl.col("name").is_in(BREATHS)), window_s, 0.0).filter(
        pl.col("start_s").is_between("start_s_b", pl.col("stop_s_b") + window_s)
    )
    owners = owners.sort("start_s_b", "stop_s_b").group_by("id").last()
    keys = ["night", "name", "start_s", "stop_s"]
    ids = owners.join(breath, left_on=["night", "name_b", "start_s_b", "stop_s_b"], right_on=keys, suffix="_of")
    first, second = ("id_of", "id") if breath is a else ("id", "id_of")
    both = ids.select(pl.col(first).alias("id"), pl.col(second).alias("id_b"))
    return both.join(a, on="id").join(b.drop("night"), left_on="id_b", right_on="id", suffix="_b")


def _laid(snapshot: Snapshot, found: pl.DataFrame) -> pl.DataFrame:
    """Stretches `night lo hi clear said` laid over the epochs; an epoch in several shows the first of them."""
    known = nights(snapshot)
    own = found["night"].unique().to_numpy()
    begin = known.first[own]
    origins = pl.DataFrame({"night": own, "origin": known.start_s[begin] - known.epoch[begin] * EPOCH_S})
    into = [(pl.col(edge) - pl.col("origin")) / EPOCH_S for edge in ("lo", "hi")]
    last = pl.max_horizontal(into[1].ceil() - 1, into[0].floor())  # an event without length lies where it starts
    spans = found.with_row_index("pair").join(origins, on="night")
    spans = spans.with_columns(epoch=pl.int_ranges(into[0].floor().cast(pl.Int64), last.cast(pl.Int64) + 1))
    places = spans.select("pair", "night", "epoch").explode("epoch", empty_as_null=False)
    row = known.places(places["night"].to_numpy(), places["epoch"].to_numpy())
    rows = places.drop("night").with_columns(row=pl.Series(row, dtype=pl.Int64)).filter(pl.col("row") >= 0)
    rows = rows.with_columns(start_s=pl.Series(known.start_s[rows["row"].to_numpy()]))
    laid = spans.drop("epoch").join(rows, on="pair").with_columns(
        first=pl.col("epoch").min().over("pair"), last=pl.col("epoch").max().over("pair"),
        from_s=pl.col("start_s").min().over("pair"), to_s=pl.col("start_s").max().over("pair") + EPOCH_S,
    )  # fmt: skip
    return (
        laid.sort("lo")
        .group_by("row")
        .agg(
            pl.col("clear").max(), pl.col("first", "from_s").min(), pl.col("last", "to_s").max(), pl.col("said").first()
        )
    )


# ---- parts of the night


def _window(snapshot: Snapshot, window: Window) -> Found:
    """An epoch lies where its middle lies. The night is from lights off to on where someone noted these, else from the
    first to the last epoch of sleep, else the recording."""
    columns, known = snapshot.columns(), nights(snapshot)
    (asleep,) = snapshot.arrays(
        [f"(stage IN ({', '.join(repr(s) for s in SLEEP_STAGES)}))::BOOLEAN" if "stage" in columns else "FALSE"]
    )
    least = known.over(np.minimum, np.where(asleep == 1, known.start_s, np.inf), np.inf)
    most = known.over(np.maximum, np.where(asleep == 1, known.start_s, -np.inf), -np.inf)
    sleeps, there = np.isfinite(least), known.count > 0
    frame = pl.DataFrame({
        "number": np.arange(len(known.names), dtype=np.int32),
        "sleep_s": np.where(sleeps, least, np.nan), "wake_s": np.where(sleeps, most + EPOCH_S, np.nan),
        "begin_s": known.over(np.minimum, known.start_s, np.nan),
        "last_s": known.over(np.maximum, known.start_s, np.nan) + EPOCH_S,
    }, nan_to_null=True).filter(pl.Series(there))  # fmt: skip
    asked = {"lights": "lights_source", "off_s": "lights_off_s", "on_s": "lights_on_s", "end_s": "duration_s"}
    have = {name: column for name, column in asked.items() if column in columns}
    stated = by_recording(snapshot, [f"{c}{'::DOUBLE' * (n != 'lights')} AS {n}" for n, c in have.items()])
    stated = stated.group_by("number").agg(pl.col(name).drop_nulls().first() for name in have)
    frame = frame.join(stated, on="number", how="left", maintain_order="left").with_columns(
        pl.lit(None, pl.String if name == "lights" else pl.Float64).alias(name) for name in asked if name not in have
    )
    frame = frame.with_columns(end_s=pl.coalesce("end_s", "last_s"))
    noted = (pl.col("lights") != "assumed") & pl.col("off_s").is_not_null() & pl.col("on_s").is_not_null()
    by = {
        "the time from lights off to on": (noted.fill_null(False) & (window.of == "night"), "off_s", "on_s"),
        "the sleep period": (pl.col("sleep_s").is_not_null() & (window.of != "recording"), "sleep_s",
                                             "wake_s"),
        "the recording": (pl.lit(window.of != "sleep"), "begin_s", "end_s"),
    }  # fmt: skip
    frame = frame.with_columns(
        by=pl.coalesce(pl.when(of).then(pl.lit(name)) for name, (of, _, _) in by.items()),
        lo=pl.coalesce(pl.when(of).then(lo) for of, lo, _ in by.values()),
        hi=pl.coalesce(pl.when(of).then(hi) for of, _, hi in by.values()),
    )
    length = pl.col("hi") - pl.col("lo")
    edges = [
        (pl.when(pl.lit(at < 0)).then(length + at).otherwise(at) if window.in_s else length * at)
        for at in (window.start, window.stop)
    ]
    if window.in_s and window.start < 0:
        edges[1] = length
    frame = frame.with_columns(
        start=pl.max_horizontal("lo", pl.col("lo") + edges[0]), stop=pl.min_horizontal("hi", pl.col("lo") + edges[1])
    )
    counts = dict(frame.group_by("by").len().iter_rows())
    spoken = [f"{name} in {counts[name]}" for name in by if name in counts]
    spoken += [f"not known in {counts[None]}" if None in counts else ""]
    start, stop, lo = np.full((3, len(known.names)), np.nan)
    number = frame["number"].to_numpy()
    for into, name in ((start, "start"), (stop, "stop"), (lo, "lo")):
        into[number] = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    named = dict(frame.select("number", "by").iter_rows())
    middle, of = known.start_s + EPOCH_S / 2, known.of
    inside = (middle >= start[of]) & (middle < stop[of])
    found = np.where(np.isnan(start + stop)[of], np.int8(-1), inside != window.denied)

    def said(rows: Array) -> list[str | None]:
        into = np.floor((known.start_s[rows] - lo[of[rows]]) / 60)
        each = zip(into.tolist(), of[rows].tolist(), (found[rows] == 1).tolist(), strict=True)
        return [f"{minutes:.0f} min into {named[n]}" if there else None for minutes, n, there in each]

    says = f"of the nights here, {', '.join(filter(None, spoken))}"
    return Found(found, np.full(len(found), NOT_SCORED, np.int8), said=said, says=says)


def _period(snapshot: Snapshot, period: Period) -> Found:
    known = nights(snapshot)
    found = _in_row(_epochs_in(snapshot, period.concept), SAME_PERIOD_S)
    wanted = pl.col("start_s") == pl.col("start_s").max() if period.number < 0 else pl.col("n") == period.number
    found = found.with_columns(n=pl.int_range(1, pl.len() + 1).over("night"))
    found = found.filter(wanted.over("night"))
    lo, hi = np.full((2, len(known.names)), np.nan)
    lo[found["night"]], hi[found["night"]] = found["start_s"], found["stop_s"]
    state, reason = _state(snapshot, period.concept)
    inside = (known.start_s >= lo[known.of]) & (known.start_s < hi[known.of])
    return Found(np.where(inside, state, np.int8(0)), reason)
