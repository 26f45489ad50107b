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

import polars as pl

from encoders.captions import Concept
from encoders.captions.links import WINDOW_S
from encoders.vocabulary import APNEAS, EPOCH_S, EVENTS, HYPOPNEAS, SLEEP_STAGES
from index import Snapshot
from retrieval.concepts import NOT_SCORED, event_name, event_names, holds, reason_sql
from retrieval.concepts import measured as sensed
from retrieval.numbers import Comparison

BREATHS = (*APNEAS, *HYPOPNEAS)
SAME_PERIOD_S = 900.0  # REM up to 15 min apart is one REM period, as Feinberg and Floyd (1979) count them
_ROUNDING_S = 1e-6  # epochs begin at sums of decimals

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
    """What holds, `epoch_id holds reason clear first last from_s to_s said`, a row an epoch.

    holds: null where nobody can tell, for the `reason` of `concepts.REASONS`. clear: the more the surer. first, last,
    from_s, to_s: epochs and seconds of the stretch that shows it, null where the epoch alone does. says: what was
    found out about the nights that the question's words left open.
    """

    frame: pl.DataFrame
    says: str = ""


_SPAN = {"first": pl.Int64, "last": pl.Int64, "from_s": pl.Float64, "to_s": pl.Float64, "said": pl.String}


def evaluate(snapshot: Snapshot, relation: Relation) -> Found:
    """Which epochs of the cohort a relation holds for; a `Run` asks a ranking's own rows: see `long_enough`."""
    if isinstance(relation, Window):
        return _window(snapshot, relation)
    if isinstance(relation, Period):
        return Found(_spanless(_period(snapshot, relation)))
    assert isinstance(relation, Pair)
    rows = _states(snapshot, (relation.first.concept, relation.second.concept), measured=relation.measured)
    frame = rows.select(
        "epoch_id",
        pl.when(pl.col("a").is_not_null() & pl.col("b").is_not_null()).then(False).alias("holds"),
        pl.when(pl.col("a").is_null()).then("a_reason").otherwise("b_reason").alias("reason"),
    )
    marked = _marked(snapshot, relation, rows)
    frame = frame.join(marked, on="epoch_id", how="left", maintain_order="left")
    inside = pl.col("from_s").is_not_null()
    if relation.alone:  # that it stands alone can be said only where its partner would have been scored
        return Found(frame.with_columns(holds=pl.when(pl.col("holds").is_not_null()).then(inside)))
    frame = frame.with_columns(holds=inside | pl.col("holds"))
    if relation.measured:
        a, b = pl.col("a_measured"), pl.col("b_measured")  # where one of them can't be sensed, there is no saying no
        both = rows.select(both=pl.when(a.is_not_null() & b.is_not_null()).then(a & b))["both"]
        names = " and ".join(side.concept.say[0] for side in (relation.first, relation.second))
        told = pl.when(pl.col("holds").is_null() & both).then(pl.lit(f"{names} measured in the epoch, not scored"))
        frame = frame.with_columns(holds=pl.coalesce("holds", both), said=pl.coalesce("said", told))
    return Found(frame)


def long_enough(rows: pl.DataFrame, runs: Sequence[Run]) -> pl.DataFrame:
    """The rows that lie in a run of epochs of a length that all `runs` ask for; order is kept."""
    place = pl.col("epoch") - pl.int_range(pl.len()).over("recording", order_by="epoch")
    rows = rows.with_columns(run_s=pl.len().over("recording", place) * EPOCH_S)
    return rows.filter(pl.sql_expr(run.length.sql("run_s")) for run in runs).drop("run_s")


# ---- pairs


def _states(snapshot: Snapshot, concepts: Sequence[Concept], *, measured: bool = False) -> pl.DataFrame:
    """Every epoch by recording and place, with `a`, `b`: whether each concept holds; null, and why, where unknown.

    Events hold as scored, stages also as measured; with `measured`, `a_measured` and `b_measured` say it of both.
    """
    known = snapshot.columns()
    columns = ["epoch_id", "recording", "epoch", "start_s"]
    for name, concept in zip("ab", concepts, strict=False):
        event = event_name(concept)
        state = "NULL" if event and f"n_{event}" not in known else concept.scored if event else holds(concept)
        by_sensor = measured or not event
        reason = reason_sql(concept.channels, known, bool(concept.coverage)) if by_sensor else str(NOT_SCORED)
        columns += [f"({state})::BOOLEAN AS {name}", f"{reason} AS {name}_reason"]
        columns += [f"({sensed(concept)})::BOOLEAN AS {name}_measured"] if measured else []
    return snapshot.sql(f"SELECT {', '.join(columns)} FROM {snapshot.narrowest(columns)}").sort("recording", "epoch")


def _intervals(side: Side, events: pl.DataFrame, rows: pl.DataFrame, state: str) -> pl.DataFrame:
    """`id recording name start_s stop_s edge_s` of a side; edge_s: what is shown of a stage beside its partner."""
    named = (pl.lit(side.concept.say[0]).alias("name"), pl.lit(EPOCH_S).alias("edge_s"))
    if side.names:
        found = events.filter(pl.col("name").is_in(side.names)).with_columns(edge_s=pl.lit(None, pl.Float64))
    else:
        found = _in_row(rows.filter(state), 0.0).with_columns(named)
    if side.length is not None:
        found = found.filter(pl.sql_expr(side.length.sql("(stop_s - start_s)")))
    return found.select("recording", "name", "start_s", "stop_s", "edge_s").with_row_index("id")


def _in_row(rows: pl.DataFrame, apart_s: float) -> pl.DataFrame:
    """Stretches `recording start_s stop_s` of sorted rows; a longer pause than `apart_s` parts them."""
    new = (pl.col("start_s").diff().over("recording") > EPOCH_S + apart_s + _ROUNDING_S).fill_null(True)
    rows = rows.with_columns(stretch=new.cum_sum().over("recording"))
    return rows.group_by("recording", "stretch", maintain_order=True).agg(
        start_s=pl.col("start_s").min(), stop_s=pl.col("start_s").max() + EPOCH_S
    )


def _events(snapshot: Snapshot, names: Sequence[str]) -> pl.DataFrame:
    """`recording name start_s stop_s` of these events, by start; of several scorings the one that the catalog uses."""
    kinds = ", ".join(f"('{name}', {f'{EVENTS[name]!r}' if EVENTS[name] else 'NULL'})" for name in sorted(set(names)))
    return snapshot.sql(
        f"""SELECT e.recording, e.name, e.start_s, greatest(e.start_s, e.stop_s) AS stop_s
        FROM events e JOIN (VALUES {kinds}) k(name, kind) ON e.name = k.name
        WHERE k.kind IS NULL OR EXISTS (SELECT 1 FROM coverage c WHERE c.used AND c.kind = k.kind
            AND c.recording = e.recording AND c.scorer IS NOT DISTINCT FROM e.scorer)"""
    ).sort("recording", "start_s", "stop_s", "name")


def linkable(first: Side, second: Side) -> bool:
    """Whether links tell of these two: a respiratory event and a desaturation or an arousal."""
    late, breath = (second, first) if _is_late(second) else (first, second)
    return _is_late(late) and bool(breath.names) and set(breath.names) <= {*BREATHS}


def _is_late(side: Side) -> bool:
    return bool(side.names) and set(side.names) <= WINDOW_S.keys()


def _marked(snapshot: Snapshot, pair: Pair, rows: pl.DataFrame) -> pl.DataFrame:
    """The epochs that lie in a pair: `epoch_id clear first last from_s to_s said`."""
    names = (*pair.first.names, *pair.second.names, *(BREATHS if pair.order == "linked" else ()))
    events = _events(snapshot, names) if names else pl.DataFrame()
    a, b = _intervals(pair.first, events, rows, "a"), _intervals(pair.second, events, rows, "b")
    pairs = _linked(pair, events, a, b) if pair.order == "linked" else _timed(pair, a, b)
    start, stop = pl.col("start_s"), pl.min_horizontal("stop_s", "start_s_b")
    found = pairs.select(
        "id", "id_b", "recording",
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
            "recording", lo="start_s", hi="stop_s", clear=pl.lit(0.0),
            said=pl.format("{} {}-{} s, no {}", "name", *_rounded("start_s", "stop_s"), lacking),
        )  # fmt: skip
    return _laid(found, rows)


def _rounded(*columns: str) -> list[pl.Expr]:
    return [pl.col(column).round(1) for column in columns]


def _timed(pair: Pair, a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Pairs by their seconds, the second one's columns with `_b`."""
    both = a.join(b, on="recording", suffix="_b")
    start, stop, start_b, stop_b = (pl.col(c) for c in ("start_s", "stop_s", "start_s_b", "stop_s_b"))
    if pair.order == "near":
        same = (pl.col("name") == pl.col("name_b")) & (start == start_b) & (stop == stop_b)
        return both.filter((start_b <= stop + pair.within_s) & (start <= stop_b + pair.within_s) & ~same)
    return both.filter((start_b > start) & (start_b <= stop + pair.within_s + _ROUNDING_S))


def _linked(pair: Pair, events: pl.DataFrame, a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Pairs by their links: a late event belongs to the latest-starting of all breaths in whose window it starts."""
    late, breath = (b, a) if _is_late(pair.second) else (a, b)
    window_s = WINDOW_S[(pair.second if _is_late(pair.second) else pair.first).names[0]]
    owners = late.join(events.filter(pl.col("name").is_in(BREATHS)), on="recording", suffix="_r").filter(
        pl.col("start_s").is_between("start_s_r", pl.col("stop_s_r") + window_s)
    )
    owners = owners.sort("start_s_r", "stop_s_r").group_by("id").last()
    keys = ["recording", "name", "start_s", "stop_s"]
    ids = owners.join(breath, left_on=["recording", "name_r", "start_s_r", "stop_s_r"], right_on=keys, suffix="_of")
    first, second = ("id_of", "id") if breath is a else ("id", "id_of")
    both = ids.select(pl.col(first).alias("id"), pl.col(second).alias("id_b"))
    return both.join(a, on="id").join(b.drop("recording"), left_on="id_b", right_on="id", suffix="_b")


def _laid(found: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Stretches `recording lo hi clear said` laid over the epochs; an epoch in several shows the first of them."""
    origins = rows.group_by("recording").agg(origin=(pl.col("start_s") - pl.col("epoch") * EPOCH_S).first())
    into = [(pl.col(edge) - pl.col("origin")) / EPOCH_S for edge in ("lo", "hi")]
    last = pl.max_horizontal(into[1].ceil() - 1, into[0].floor())  # an event without length lies where it starts
    spans = found.with_row_index("pair").join(origins, on="recording")
    spans = spans.with_columns(epoch=pl.int_ranges(into[0].floor().cast(pl.Int64), last.cast(pl.Int64) + 1))
    laid = spans.explode("epoch").join(rows, on=["recording", "epoch"]).with_columns(
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


def _spanless(frame: pl.DataFrame) -> pl.DataFrame:
    empty = {name: kind for name, kind in {"clear": pl.Float64, **_SPAN}.items() if name not in frame.columns}
    return frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in empty.items())


def _window(snapshot: Snapshot, window: Window) -> Found:
    """An epoch lies where its middle lies. The night is from lights off to on where someone noted these, else from the
    first to the last epoch of sleep, else the recording."""
    known = snapshot.columns()

    def column(name: str) -> str:
        return f"any_value({name})" if name in known else "NULL"

    asleep = f"WHERE stage IN ({', '.join(repr(s) for s in SLEEP_STAGES)})" if "stage" in known else "WHERE FALSE"
    nights = snapshot.sql(
        f"""SELECT recording, {column("lights_source")} AS lights, {column("lights_off_s")}::DOUBLE AS off_s,
        {column("lights_on_s")}::DOUBLE AS on_s, min(start_s) FILTER ({asleep}) AS sleep_s,
        max(start_s) FILTER ({asleep}) + {EPOCH_S} AS wake_s, min(start_s) AS begin_s,
        coalesce({column("duration_s")}::DOUBLE, max(start_s) + {EPOCH_S}) AS end_s FROM epochs GROUP BY recording"""
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
    frame = snapshot.sql("SELECT epoch_id, recording, start_s FROM epoch_rows").join(
        nights.select("recording", "start", "stop", "lo", "by"), on="recording", how="left", maintain_order="left"
    )
    middle = pl.col("start_s") + EPOCH_S / 2
    inside = (middle >= pl.col("start")) & (middle < pl.col("stop"))
    counts = dict(nights.group_by("by").len().iter_rows())
    said = [f"{name} in {counts[name]}" for name in by if name in counts]
    said += [f"not known in {counts[None]}" if None in counts else ""]
    into = ((pl.col("start_s") - pl.col("lo")) / 60).floor().cast(pl.Int64)
    holds = inside != window.denied
    told = pl.when(holds).then(pl.format("{} min into {}", into, "by"))
    frame = frame.select("epoch_id", holds=holds, reason=pl.lit(NOT_SCORED), said=told)
    return Found(_spanless(frame), f"of the nights here, {', '.join(filter(None, said))}")


def _period(snapshot: Snapshot, period: Period) -> pl.DataFrame:
    rows = _states(snapshot, [period.concept])
    found = _in_row(rows.filter("a"), SAME_PERIOD_S)
    wanted = pl.col("start_s") == pl.col("start_s").max() if period.number < 0 else pl.col("n") == period.number
    found = found.with_columns(n=pl.int_range(1, pl.len() + 1).over("recording"))
    found = found.filter(wanted.over("recording")).select("recording", pl.col("start_s").alias("lo"), "stop_s")
    rows = rows.join(found, on="recording", how="left", maintain_order="left")
    inside = (pl.col("start_s") >= pl.col("lo")) & (pl.col("start_s") < pl.col("stop_s"))
    return rows.select("epoch_id", holds=pl.col("a") & inside.fill_null(False), reason="a_reason")
