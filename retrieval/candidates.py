"""Which epochs can answer a question, which of them do, and why the others can't.

Each filter and fact is an array over all epochs, a byte each: 1 it holds, 0 it does not, -1 nobody can tell, and then
there is a reason. They come from SQL over the catalog and are kept (`Snapshot.arrays`); what is asked together is put
together here. What ranks is read of the rows that answer alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from encoders.captions import Concept
from encoders.models import Encoder
from encoders.vocabulary import EPOCH_S, STEP_CHANNELS
from index import Snapshot
from retrieval.asked import Fact, Filter, Question
from retrieval.by_night import Array, nights, placed
from retrieval.concepts import QUALITY, REASONS, event_name, measured, reason_sql, usable_sql
from retrieval.relations import Found, Pair, Run, evaluate, long_enough
from retrieval.remembered import remembered
from retrieval.told import Told, told

_EDGES = ("first", "last", "from_s", "to_s")


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows that answer a question, ascending, and what ranks each of them.

    seen: whether a sensor of the reader is usable. columns, of fact n: `which<n>` (of its concepts the first that
    holds), `truth<n>` (1 or 0 as scored, -1: not scored), `extent<n>` (seconds of the scored event), `grade<n>`,
    `told<n>` (whether an encoder's word stands for what nobody scored); of filter n `clear<n>`, where it ranks.
    able: how many epochs could answer. refused: how many could not, by reason. question: each filter with what was
    found out about it.
    """

    question: Question
    rows: Array
    seen: Array
    columns: dict[str, Array]
    able: int
    refused: dict[str, int]
    related: dict[int, Found]

    def shown(self, snapshot: Snapshot, chosen: Array) -> pl.DataFrame:
        """`epoch_id recording epoch start_s`, and what is said of each hit, of the chosen places among the rows."""
        rows = self.rows[chosen]
        frame = placed(snapshot, rows)
        for n in range(len(self.question.facts)):
            which, scored, extent, heard = (
                self.columns[f"{c}{n}"][chosen] for c in ("which", "truth", "extent", "told")
            )
            frame = frame.with_columns(
                pl.Series(f"which{n}", which.astype(np.int32)),
                pl.Series(f"truth{n}", scored == 1).set(pl.Series(scored < 0), None),
                pl.Series(f"extent{n}", extent, nan_to_null=True),
                pl.Series(f"told{n}", heard),
            )
        edges = [{"first": pl.col("epoch"), "last": pl.col("epoch"), "from_s": pl.col("start_s"),
                  "to_s": pl.col("start_s") + EPOCH_S}]  # fmt: skip
        for n, found in self.related.items():
            own = found.shown(rows)
            frame = frame.with_columns(own["said"].alias(f"filter{n}_said"))
            if isinstance(self.question.filters[n].relation, Pair):
                frame = frame.with_columns(own[edge].alias(f"{edge}{n}") for edge in _EDGES)
                edges.append({edge: pl.col(f"{edge}{n}") for edge in _EDGES})
        if len(edges) > 1:
            least = {"first": pl.min_horizontal, "from_s": pl.min_horizontal}
            frame = frame.with_columns(
                **{edge: least.get(edge, pl.max_horizontal)(*(of[edge] for of in edges)) for edge in _EDGES}
            )
        return frame


def candidates(snapshot: Snapshot, question: Question, where: str | None, reader: Encoder | None) -> Judged:
    """The rows that hold all filters and facts, of those that `where` matches."""
    known = snapshot.columns()
    within = _within(snapshot, where)
    artifacts = any(c.id == "artifact" for fact in question.facts for c in fact.concepts)
    spoilt = None
    if "n_artifact" in known and not artifacts and not question.include_bad:
        (spoilt,) = snapshot.arrays(["coalesce(n_artifact, 0) > 0"])
    asked, related, filters = [], {}, list(question.filters)
    for n, condition in enumerate(question.filters):
        if condition.relation is None:
            asked.append(_filter(snapshot, condition, spoilt))
        elif not isinstance(condition.relation, Run):
            found = related[n] = evaluate(snapshot, condition.relation)
            asked.append((found.holds, found.reason))
            if found.says:
                filters[n] = replace(condition, says=f"{condition.says}; {found.says}")
    facts = [_Judgement(snapshot, fact, spoilt, within, reader) for fact in question.facts]
    asked += [fact.judged for fact in facts]
    refused, open_ = np.zeros(len(REASONS), np.int64), within
    yes = within.copy() if asked else within
    for holds, reason in asked:
        unknown = open_ & (holds < 0)
        if unknown.any():
            refused += np.bincount(reason[unknown], minlength=len(REASONS))
            open_ = open_ & ~unknown
        yes &= holds == 1
    rows = np.flatnonzero(yes & open_)
    if runs := [f.relation for f in question.filters if isinstance(f.relation, Run)]:
        rows = _long_enough(snapshot, rows, runs)
    seen = np.zeros(len(rows), bool)
    if reader:
        (usable,) = snapshot.arrays([usable_sql([[c] for c in reader.channels if c not in STEP_CHANNELS], known)])
        seen = usable[rows] == 1
    columns = {f"{name}{n}": values for n, fact in enumerate(facts) for name, values in fact.ranking(rows).items()}
    for n, condition in enumerate(question.filters):
        if n in related and isinstance(condition.relation, Pair):
            columns[f"clear{n}"] = related[n].shown(rows)["clear"].fill_null(np.nan).to_numpy()
        elif condition.rank_by:
            column, sign = condition.rank_by
            columns[f"clear{n}"] = _numbers(snapshot, column if column in known else "NULL", rows) * sign
    return Judged(
        replace(question, filters=tuple(filters)), rows, seen, columns, int(open_.sum()),
        {name: int(count) for name, count in zip(REASONS, refused, strict=True)}, related,
    )  # fmt: skip


def prepare(snapshot: Snapshot, concept: Concept, reader: Encoder | None) -> None:
    """Read what a question for a concept will need, so that it is kept."""
    everywhere = np.ones(len(snapshot.ids), bool)
    _Concept(snapshot, concept, None, everywhere, reader).ranking(np.zeros(0, np.int64))


def _within(snapshot: Snapshot, where: str | None) -> Array:
    """Which rows a user's expression matches."""
    if not where:
        return np.ones(len(snapshot.ids), bool)

    def make() -> Array:
        found = np.zeros(len(snapshot.ids), bool)
        found[np.searchsorted(snapshot.ids, snapshot.rows(where))] = True
        return found

    return remembered(snapshot, ("where", where), make)


def _numbers(snapshot: Snapshot, sql: str, rows: Array) -> Array:
    """What a column says of these rows, float64, NaN: null."""
    decimal = snapshot.columns().get(sql) in ("DOUBLE", "FLOAT")
    (values,) = snapshot.arrays([sql if decimal else f"({sql})::DOUBLE"])
    return values[rows].astype(np.float64)


def _long_enough(snapshot: Snapshot, rows: Array, runs: Sequence[Run]) -> Array:
    known = nights(snapshot)
    frame = pl.DataFrame({"row": rows, "recording": known.of[rows], "epoch": known.epoch[rows]})
    return long_enough(frame, runs)["row"].to_numpy()


def _filter(snapshot: Snapshot, condition: Filter, spoilt: Array | None) -> tuple[Array, Array]:
    """Whether a filter holds, and why that could not be judged."""
    known = snapshot.columns()
    there = known.keys() >= set(condition.columns)  # a cohort without a subjects' table has no ages
    # Its figures are the asker's own, so no file is made of it.
    (holds,) = snapshot.arrays([f"({condition.sql if there else 'NULL'})::BOOLEAN"], keep=False)
    (reason,) = snapshot.arrays([f"({reason_sql(condition.channels, known, not condition.channels)})::TINYINT"])
    return _clean(holds, reason, spoilt) if condition.channels and condition.rank_by else (holds, reason)


def _clean(holds: Array, reason: Array, spoilt: Array | None) -> tuple[Array, Array]:
    """A measure says nothing of an epoch with a scored artifact."""
    if spoilt is None:
        return holds, reason
    return np.where(spoilt == 1, np.int8(-1), holds), np.where(spoilt == 1, np.int8(QUALITY), reason)


class _Judgement:
    """One fact over all epochs: whether any of its concepts holds, and what ranks the rows of which it does."""

    def __init__(
        self, snapshot: Snapshot, fact: Fact, spoilt: Array | None, within: Array, reader: Encoder | None
    ) -> None:
        self._snapshot, self._concepts = snapshot, fact.concepts
        self._each = [_Concept(snapshot, concept, spoilt, within, reader) for concept in fact.concepts]

    @property
    def judged(self) -> tuple[Array, Array]:
        """Whether it holds, and the reason of the first concept that nobody can tell."""
        holds, reason = self._each[0].holds, self._each[0].reason
        for other in self._each[1:]:
            reason = np.where(holds < 0, reason, other.reason)
            holds = np.where((holds == 1) | (other.holds == 1), np.int8(1), np.minimum(holds, other.holds))
        return holds, reason

    def ranking(self, rows: Array) -> dict[str, Array]:
        """`which truth extent grade told` of these rows: of the first concept that holds and has it."""
        found: dict[str, Array] = {}
        holds = [each.holds[rows] == 1 for each in self._each]
        found["which"] = np.select(holds, [np.int8(j) for j in range(len(holds))], np.int8(0))
        ranking = [each.ranking(rows) for each in self._each]
        for name, empty in (("truth", np.int8(-1)), ("extent", np.nan), ("grade", np.nan), ("told", False)):
            values = [each[name] for each in ranking]
            if len(values) == 1:
                found[name] = values[0]
                continue
            # A concept that holds but has no such value leaves it to the next: one measured, one scored.
            has = [v >= 0 if name == "truth" else v == v for v in values]
            found[name] = np.select([h & there for h, there in zip(holds, has, strict=True)], values, empty)
        return found


class _Concept:
    """One concept over all epochs, as scored, as measured, and where neither as an encoder tells it."""

    def __init__(
        self, snapshot: Snapshot, concept: Concept, spoilt: Array | None, within: Array, reader: Encoder | None
    ) -> None:
        self._snapshot, self._concept = snapshot, concept
        event = event_name(concept)
        reason = reason_sql(concept.channels, snapshot.columns(), bool(concept.coverage or event))
        self.truth, sensed, why = snapshot.arrays(
            [f"({concept.scored or 'NULL'})::BOOLEAN", f"({measured(concept)})::BOOLEAN", f"({reason})::TINYINT"]
        )
        self._sensed, self.reason = _clean(sensed, why, spoilt) if concept.kind == "measure" else (sensed, why)
        self._told: Told | None = None
        if reader and bool(((self.truth < 0) & within).any()):
            self._told = told(snapshot, reader, concept)
        self.holds = np.where(self.truth < 0, self._sensed, self.truth)
        if self._told:
            self.holds = np.where(self._decides(slice(None)), self._told.there, self.holds)

    def _decides(self, rows: Array | slice) -> Array:
        """Where an encoder's word stands, since nobody scored the epoch.

        Of stages the encoder is asked first, of all else what a sensor measured: a count of seconds without airflow
        needs no likeness to words.
        """
        assert self._told
        decides = (self.truth[rows] < 0) & (self._told.there[rows] >= 0)
        return decides if self._concept.kind == "stage" else decides & (self._sensed[rows] < 0)

    def ranking(self, rows: Array) -> dict[str, Array]:
        """`truth extent grade told` of these rows."""
        concept, event = self._concept, event_name(self._concept)
        nothing = np.full(len(rows), np.nan)
        grade = _numbers(self._snapshot, concept.evidence, rows) * concept.sign if concept.evidence else nothing
        extent = _numbers(self._snapshot, f"{event}_s", rows) if event else nothing
        heard = np.zeros(len(rows), bool)
        if self._told:
            heard = self._decides(rows)
            grade = np.where(heard, self._told.grade[rows], grade)
        return {"truth": self.truth[rows], "extent": extent, "grade": grade, "told": heard}
