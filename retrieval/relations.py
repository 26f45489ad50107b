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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from encoders.captions import Concept
from encoders.captions.links import WINDOW_S
from encoders.vocabulary import APNEAS, EPOCH_S, EVENTS, HYPOPNEAS, SLEEP_STAGES
from index import Snapshot
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


@dataclass(frozen=True, slots=True)
class Found:
    """What a relation is of an epoch, as SQL: `holds reason clear first last from_s to_s said` of `judged`.

    Its expressions name the columns of `read`, which are expressions over an epoch's own columns, and of `table`, which
    is joined by its column `key`; each name stands there with {p} in front. holds: null where nobody can tell, for the
    `reason` of `concepts.REASONS`. clear: the more the surer. first, last, from_s, to_s: epochs and seconds of the
    stretch that shows it, null where the epoch alone does. says: what was found out about the nights that the
    question's words left open.
    """

    read: dict[str, str]
    table: pl.DataFrame
    key: str
    judged: dict[str, str]
    says: str = ""

    def reading(self, prefix: str) -> list[str]:
        """What is selected of an epoch."""
        return [f"({sql}) AS {prefix}{name}" for name, sql in self.read.items()]

    def joining(self, prefix: str) -> pl.DataFrame:
        """The table that is joined."""
        return self.table.rename({c: f"{prefix}{c}" for c in self.table.columns if c != self.key})

    def judging(self, prefix: str) -> dict[str, str]:
        """What is selected of both."""
        return {name: sql.format(p=prefix) for name, sql in self.judged.items()}


_SPAN = {"clear": "DOUBLE", "first": "BIGINT", "last": "BIGINT", "from_s": "DOUBLE", "to_s": "DOUBLE",
         "said": "VARCHAR"}  # fmt: skip


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
    read = {
        f"{name}{what}": sql
        for name, side in (("a", relation.first), ("b", relation.second))
        for what, sql in _state(snapshot, side.concept, measured=relation.measured).items()
    }
    table = _marked(snapshot, relation)
    judged = {name: f"{{p}}m_{name}" for name in _SPAN}
    scored = "CASE WHEN {p}a IS NOT NULL AND {p}b IS NOT NULL THEN FALSE END"
    inside = "{p}m_from_s IS NOT NULL"
    judged["reason"] = "CASE WHEN {p}a IS NULL THEN {p}a_reason ELSE {p}b_reason END"
    if relation.alone:  # that it stands alone can be said only where its partner would have been scored
        judged["holds"] = f"CASE WHEN ({scored}) IS NOT NULL THEN {inside} END"
    else:
        judged["holds"] = f"CASE WHEN {inside} THEN TRUE ELSE {scored} END"
    if relation.measured:  # where one of them can't be sensed, there is no saying no
        both = (
            "CASE WHEN {p}a_measured IS NOT NULL AND {p}b_measured IS NOT NULL THEN {p}a_measured AND {p}b_measured END"
        )
        names = " and ".join(side.concept.say[0] for side in (relation.first, relation.second))
        told = (
            f"CASE WHEN ({judged['holds']}) IS NULL AND ({both}) THEN '{names} measured in the epoch, not scored' END"
        )
        judged |= {"holds": f"coalesce({judged['holds']}, {both})", "said": f"coalesce({judged['said']}, {told})"}
    return Found(read, table.rename({c: f"m_{c}" for c in _SPAN}), "epoch_id", judged)


def holding(snapshot: Snapshot, relation: Relation) -> pl.DataFrame:
    """`epoch_id holds` of every epoch."""
    found = evaluate(snapshot, relation)
    columns = ["epoch_id", "recording", "epoch", "start_s", *found.reading("of_")]
    return snapshot.sql(
        f"WITH read AS (SELECT {', '.join(columns)} FROM {snapshot.narrowest(columns)}) "
        f"SELECT epoch_id, ({found.judging('of_')['holds']}) AS holds FROM read LEFT JOIN related USING ({found.key})",
        related=found.joining("of_"),
    )


def long_enough(rows: pl.DataFrame, runs: Sequence[Run]) -> pl.DataFrame:
    """The rows that lie in a run of epochs of a length that all `runs` ask for; order is kept."""
    place = pl.col("epoch") - pl.int_range(pl.len()).over("recording", order_by="epoch")
    rows = rows.with_columns(run_s=pl.len().over("recording", place) * EPOCH_S)
    return rows.filter(pl.sql_expr(run.length.sql("run_s")) for run in runs).drop("run_s")


# ---- pairs


def _state(snapshot: Snapshot, concept: Concept, *, measured: bool = False) -> dict[str, str]:
    """SQL of whether a concept holds, and why nobody can tell where that is null; with `measured`, by a sensor.

    Events hold as scored, stages also as measured.
    """
    known, event = snapshot.columns(), event_name(concept)
    state = "NULL" if event and f"n_{event}" not in known else concept.scored if event else holds(concept)
    by_sensor = measured or not event
    reason = reason_sql(concept.channels, known, bool(concept.coverage)) if by_sensor else str(NOT_SCORED)
    found = {"": f"({state})::BOOLEAN", "_reason": reason}
    return found | ({"_measured": f"({sensed(concept)})::BOOLEAN"} if measured else {})


# Nights have numbers, since text is slow to sort and to compare.
_NUMBERED = "(SELECT recording, row_number() OVER (ORDER BY recording) AS night FROM recordings)"


def _epochs_in(snapshot: Snapshot, concept: Concept) -> pl.DataFrame:
    """`night start_s` of the epochs in which a stage holds, in order."""
    state = _state(snapshot, concept)[""]
    source = snapshot.narrowest(["recording", "epoch", "start_s", state])
    return snapshot.sql(
        f"WITH own AS (SELECT recording, epoch, start_s FROM {source} WHERE {state}) "
        f"SELECT night, start_s FROM own JOIN {_NUMBERED} USING (recording) ORDER BY night, epoch"
    )


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


def _events(snapshot: Snapshot, names: Sequence[str]) -> pl.DataFrame:
    """`night name start_s stop_s` of these events, by start; of several scorings the one that the catalog uses."""
    kinds = ", ".join(f"('{name}', {f'{EVENTS[name]!r}' if EVENTS[name] else 'NULL'})" for name in sorted(set(names)))
    return snapshot.sql(
        f"""SELECT night, e.name, e.start_s, greatest(e.start_s, e.stop_s) AS stop_s
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
    """The epochs that lie in a pair: `epoch_id clear first last from_s to_s said`."""
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
    origins = snapshot.sql(
        f"SELECT night, arg_min(start_s - epoch * {EPOCH_S}, epoch) AS origin FROM epoch_rows JOIN {_NUMBERED} "
        "USING (recording) WHERE night IN (SELECT night FROM wanted) GROUP BY night",
        wanted=found.select(pl.col("night").unique()),
    )
    into = [(pl.col(edge) - pl.col("origin")) / EPOCH_S for edge in ("lo", "hi")]
    last = pl.max_horizontal(into[1].ceil() - 1, into[0].floor())  # an event without length lies where it starts
    spans = found.with_row_index("pair").join(origins, on="night")
    spans = spans.with_columns(epoch=pl.int_ranges(into[0].floor().cast(pl.Int64), last.cast(pl.Int64) + 1))
    places = spans.select("pair", "night", "epoch").explode("epoch", empty_as_null=False)
    rows = snapshot.sql(
        f"SELECT pair, epoch_id, epoch, start_s FROM epoch_rows JOIN {_NUMBERED} USING (recording) "
        "JOIN places USING (night, epoch)",
        places=places,
    )
    laid = spans.drop("epoch").join(rows, on="pair").with_columns(
        first=pl.col("epoch").min().over("pair"), last=pl.col("epoch").max().over("pair"),
        from_s=pl.col("start_s").min().over("pair"), to_s=pl.col("start_s").max().over("pair") + EPOCH_S,
    )  # fmt: skip
    return (
        laid.sort("lo")
        .group_by("epoch_id")
        .agg(
            pl.col("clear").max(), pl.col("first", "from_s").min(), pl.col("last", "to_s").max(), pl.col("said").first()
        )
    )


# ---- parts of the night


_NO_SPAN = {name: f"NULL::{kind}" for name, kind in _SPAN.items()}


def _window(snapshot: Snapshot, window: Window) -> Found:
    """An epoch lies where its middle lies. The night is from lights off to on where someone noted these, else from the
    first to the last epoch of sleep, else the recording."""
    known = snapshot.columns()

    def column(name: str) -> str:
        return f"any_value({name})" if name in known else "NULL"

    asleep = f"WHERE stage IN ({', '.join(repr(s) for s in SLEEP_STAGES)})" if "stage" in known else "WHERE FALSE"
    needed = ["recording", "stage", "start_s", "duration_s", "lights_source", "lights_off_s", "lights_on_s"]
    nights = snapshot.sql(
        f"""SELECT recording, {column("lights_source")} AS lights, {column("lights_off_s")}::DOUBLE AS off_s,
        {column("lights_on_s")}::DOUBLE AS on_s, min(start_s) FILTER ({asleep}) AS sleep_s,
        max(start_s) FILTER ({asleep}) + {EPOCH_S} AS wake_s, min(start_s) AS begin_s,
        coalesce({column("duration_s")}::DOUBLE, max(start_s) + {EPOCH_S}) AS end_s FROM {snapshot.narrowest(needed)}
        GROUP BY recording"""
    )
    stated = (pl.col("lights") != "assumed") & pl.col("off_s").is_not_null() & pl.col("on_s").is_not_null()
    by = {
        "the time from lights off to on": (stated.fill_null(False) & (window.of == "night"), "off_s", "on_s"),
        "the sleep period": (pl.col("sleep_s").is_not_null() & (window.of != "recording"), "sleep_s",
                                             "wake_s"),
        "the recording": (pl.lit(window.of != "sleep"), "begin_s", "end_s"),
    }  # fmt: skip
    nights = nights.with_columns(
        by=pl.coalesce(pl.when(there).then(pl.lit(name)) for name, (there, _, _) in by.items()),
        lo=pl.coalesce(pl.when(there).then(lo) for there, lo, _ in by.values()),
        hi=pl.coalesce(pl.when(there).then(hi) for there, _, hi in by.values()),
    )
    length = pl.col("hi") - pl.col("lo")
    edges = [
        (pl.when(pl.lit(at < 0)).then(length + at).otherwise(at) if window.in_s else length * at)
        for at in (window.start, window.stop)
    ]
    if window.in_s and window.start < 0:
        edges[1] = length
    nights = nights.with_columns(
        start=pl.max_horizontal("lo", pl.col("lo") + edges[0]), stop=pl.min_horizontal("hi", pl.col("lo") + edges[1])
    )
    counts = dict(nights.group_by("by").len().iter_rows())
    said = [f"{name} in {counts[name]}" for name in by if name in counts]
    said += [f"not known in {counts[None]}" if None in counts else ""]
    middle = f"(start_s + {EPOCH_S / 2})"
    holds = f"({middle} >= {{p}}start AND {middle} < {{p}}stop) <> {window.denied}"
    into = "floor((start_s - {p}lo) / 60)::BIGINT"
    judged = _NO_SPAN | {
        "holds": holds, "reason": str(NOT_SCORED),
        "said": f"CASE WHEN {holds} THEN {into} || ' min into ' || {{p}}by END",
    }  # fmt: skip
    table = nights.select("recording", "start", "stop", "lo", "by")
    return Found({}, table, "recording", judged, f"of the nights here, {', '.join(filter(None, said))}")


def _period(snapshot: Snapshot, period: Period) -> Found:
    found = _in_row(_epochs_in(snapshot, period.concept), SAME_PERIOD_S)
    wanted = pl.col("start_s") == pl.col("start_s").max() if period.number < 0 else pl.col("n") == period.number
    found = found.with_columns(n=pl.int_range(1, pl.len() + 1).over("night"))
    found = found.filter(wanted.over("night")).select(
        "night", pl.col("start_s").alias("lo"), pl.col("stop_s").alias("hi")
    )
    nights = snapshot.sql(f"SELECT recording, night FROM {_NUMBERED}")
    state = _state(snapshot, period.concept)
    inside = "coalesce(start_s >= {p}lo AND start_s < {p}hi, FALSE)"
    judged = _NO_SPAN | {"holds": f"{{p}}a AND {inside}", "reason": "{p}a_reason"}
    table = nights.join(found, on="night").drop("night")
    return Found({"a": state[""], "a_reason": state["_reason"]}, table, "recording", judged)
