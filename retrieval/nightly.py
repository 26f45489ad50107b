"""Nights that answer a question: `fragmented REM with deep desaturations`, `severe sleep apnea in women over 60`.

What an adjective says of its noun becomes numbers of the night (`retrieval.adjectives`: `fragmented REM` is how often
REM is left, per hour of it). Of what remains the grammar of `retrieval.question` reads

    numbers of night or person (`AHI above 30`, `women over 60`)   filter: the night must be able to answer, and say yes
    what an epoch must be or have (`desaturations in REM`)         the share of the night's sleep that has all of it
    words left over                                                the tenth of its epochs that is nearest to them

The share is of the epochs of sleep that can answer (of all epochs where wake is asked for, or nobody knows the stages).
Words are compared with the captions of the epochs, and with their signals where the cohort has an encoder for them;
what counts is the mean over the nearest tenth of the night. The rank score of a night is

    mean of  z(each thing asked)  ·  z(its captions near the words)  ·  z(its signals near the words)

where a thing of several numbers is the mean of their z, turned so that more is better, over those the night has, and z
standardises over the nights left. It is no probability. A night of which no epoch has what is asked is no hit. Unknown
is not no: a night that lacks the sensor or the scoring for one of the things asked is counted as not assessable, and
not ranked.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import Concept, load_lexicon, load_nights
from encoders.errors import BadInput
from encoders.models import Encoder
from index import Snapshot
from retrieval.adjectives import NightFact, read_adjectives
from retrieval.asked import Filter, Question
from retrieval.by_night import by_recording, nights
from retrieval.concepts import NOT_SCORED, QUALITY, REASONS, event_name, holds, reason_sql
from retrieval.details import details, hit_of
from retrieval.hit import Answer, Hit
from retrieval.night_numbers import STAGES, Staged, load_numbers, night_numbers, stages_of
from retrieval.question import read_question
from retrieval.relations import Relation, Run, evaluate, long_enough
from retrieval.search import WORDS_FLOOR, standardised

LEVELS = ("epoch", "night")
NEAREST = 0.1  # of the epochs of a night, whose likeness to words counts: a night is about what it has some of


def search_nights(
    snapshot: Snapshot, encoder: Encoder, words: str, *, where: str | None, k: int, reader: Encoder | None = None,
    without: Sequence[int | str] = (),
) -> Answer:  # fmt: skip
    """The `k` best nights for a question in plain words; `where` keeps nights of which any epoch matches, `without`
    takes filters of the grammar away as `Question.without` does."""
    began = time.perf_counter()
    snapshot = snapshot.pinned()
    facts, left, notes = read_adjectives(words)
    question = read_question(left).without(without)
    table = _Table(snapshot, kept(snapshot, where), reader)
    together, alone = _split(question, snapshot)
    for fact in facts:
        table.ask(fact)
    for condition in alone:
        table.keep_by(condition)
    if together:
        table.ask_share(" with ".join(c.words for c in together), together)
    notes += question.notes
    vague = bool(facts or alone or together)
    text = question.rest if vague else question.words
    if text:
        notes += table.ask_words(text, encoder, reader, must=not vague)
    elif not vague:
        notes.append("nothing in the question was read as a property of nights")
        table.empty()
    hits = table.hits(k)
    understood = [f"night: {fact}" for fact in facts]
    understood += [f"filter: {f}" for f in alone]
    understood += [f"share of the sleep: {' with '.join(c.words for c in together)}"] if together else []
    understood.append(f"embedded: {text}" if text else "embedded: no words left")
    ms = {"total": round((time.perf_counter() - began) * 1000, 2)}
    sql = [f.sql for f in alone] + ([where] if where else [])
    return Answer(words, sql, table.searched, table.refused, hits, "exact scan of nights", ms, notes, understood)


def kept(snapshot: Snapshot, where: str | None) -> list[str]:
    """The recordings of which any epoch matches `where`, by name; all without it."""
    known = nights(snapshot)
    if not where:
        return [name for name, count in zip(known.names, known.count, strict=True) if count]
    rows = np.searchsorted(snapshot.ids, snapshot.rows(where))
    return [known.names[n] for n in np.unique(known.of[rows])]


def night_hits(snapshot: Snapshot, found: Sequence[tuple[str, float, list[str]]]) -> list[Hit]:
    """Whole nights as hits, from their names, scores and reasons; the caption is the night's report."""
    rows = snapshot.sql(
        "SELECT recording, any_value(duration_s) AS duration_s, any_value(report) AS report FROM recordings "
        "JOIN nights USING (recording) SEMI JOIN wanted USING (recording) GROUP BY recording",
        wanted=pl.DataFrame({"recording": [name for name, _, _ in found]}, schema={"recording": pl.String}),
    )
    by_name = {row["recording"]: row for row in rows.iter_rows(named=True)}
    known, names = nights(snapshot), [name for name, _, _ in found]
    ids = snapshot.ids[known.first[known.numbers(names)]].tolist()
    shown = details(snapshot, ids)
    return [
        replace(
            hit_of(shown[epoch_id], 0.0, float(by_name[name]["duration_s"]), score, reasons),
            stage=None, stage_source=None, events=[], caption={"night": by_name[name]["report"]},
        )
        for epoch_id, (name, score, reasons) in zip(ids, found, strict=True)
    ]  # fmt: skip


# ---- what is asked of epochs, and what of nights


@dataclass(frozen=True, slots=True)
class _Condition:
    """What an epoch must be or have: SQL over it, or what it is to others; `channels`, or a scorer, could answer."""

    words: str
    sql: str
    channels: Sequence[Sequence[str]] = ()
    scorable: bool = True
    relation: Relation | None = None


def _split(question: Question, snapshot: Snapshot) -> tuple[list[_Condition], list[Filter]]:
    """What an epoch must be or have, all of it at once; and conditions on nights and people."""
    known = snapshot.columns()
    own = snapshot.own_columns()
    alone = [f for f in question.filters if f.relation is None and not own & set(f.columns)]
    together = [
        _Condition(f.words, f.sql if known.keys() >= set(f.columns) else "NULL", f.channels, not f.channels, f.relation)
        for f in question.filters
        if f not in alone
    ]
    return [*together, *(_of_concepts(fact.words, fact.concepts) for fact in question.facts)], alone


def _of_concepts(words: str, concepts: Sequence[Concept]) -> _Condition:
    """Any of these concepts is there."""
    sql = " OR ".join(f"({holds(c)})" for c in concepts)
    scorable = any(c.coverage or event_name(c) for c in concepts)
    return _Condition(words, sql, [s for c in concepts for s in c.channels], scorable)


def _sensors(number: str) -> Sequence[Sequence[str]]:
    """The sensor sets that give a number of the night; none where somebody must score it."""
    of_lexicon = (q.channels for q in load_lexicon().quantities.values() if q.mean == number and q.channels)
    return load_numbers().get(number, {}).get("channels") or next(of_lexicon, ())


class _Table:
    """The nights left, and what each of them scores for each thing asked."""

    def __init__(self, snapshot: Snapshot, names: list[str], reader: Encoder | None) -> None:
        self.snapshot, self._reader, self._rows = snapshot, reader, nights(snapshot)
        self.frame = pl.DataFrame({"recording": names}, schema={"recording": pl.String})
        self.refused = dict.fromkeys(REASONS, 0)
        self._nights, self._numbered = len(names), False
        self._asked: list[tuple[str, list[tuple[str, int]]]] = []  # words, and columns of `frame` with their signs
        self._shown: dict[str, tuple[str, str]] = {}  # column -> what it is called, and its unit

    @cached_property
    def stages(self) -> Staged:
        """The stages of every epoch, as `stages_of` gives them."""
        return stages_of(self.snapshot, self._reader)

    @property
    def searched(self) -> int:
        """How many nights could answer, whether they say yes or no."""
        return self._nights - sum(self.refused.values())

    def _numbers(self) -> NDArray[Any]:
        """Which recordings the nights left are."""
        return self._rows.numbers(self.frame["recording"].to_list())

    def _holds(self, condition: _Condition) -> NDArray[Any]:
        """Whether each epoch of the cohort fulfils a condition; its stage is the encoder's where nobody scored it."""
        if condition.relation is not None:
            return evaluate(self.snapshot, condition.relation).holds
        sql = f"({condition.sql})::BOOLEAN"
        (found,) = self.snapshot.arrays([sql], keep=False)
        told = self._rows.rows_of(np.flatnonzero(self.stages.told))
        if not len(told) or not re.search(r"\bstage\b", sql):
            return found
        stages = pl.DataFrame({"epoch_id": self.snapshot.ids[told], "stage": self.stages.names(told)})
        again = self.snapshot.sql(
            f"SELECT epoch_id, {sql} AS holds FROM (SELECT epochs.* REPLACE (coalesce(s.stage, 'unscored') AS stage) "
            "FROM epochs JOIN stages s USING (epoch_id))",
            stages=stages,
        ).sort("epoch_id")
        found = found.copy()
        found[np.sort(told)] = again["holds"].cast(pl.Int8).fill_null(-1).to_numpy()
        return found

    def empty(self) -> None:
        """Nothing was understood, so nothing is ranked."""
        self.frame = self.frame.clear()

    def ask(self, fact: NightFact) -> None:
        """Rank by an adjective's numbers; a night without any of them cannot answer."""
        if fact.share:
            during = _of_concepts(fact.during.say[0], [fact.during]) if fact.during else None
            self.ask_share(fact.words, [_of_concepts(fact.words, [fact.share])], fact.sign, during)
            return
        names = [name for name, _ in fact.measures]
        numbers = night_numbers(self.snapshot, self.stages, names)
        self._numbered = True
        self._shown |= {
            name: (name, load_numbers().get(name, load_nights().get(name, {})).get("unit", "")) for name in names
        }
        fresh = [c for c in numbers.columns if c == "recording" or c not in self.frame.columns]
        self.frame = self.frame.join(numbers.select(fresh), on="recording", how="left")
        channels = [s for name in names for s in _sensors(name)]
        scorable = not channels or any(load_numbers().get(name, {}).get("first") for name in names)
        known = pl.any_horizontal(pl.col(f"{n}_known").fill_null(False) for n in names)
        self._leave_out(~known, channels, scorable)
        self.frame = self.frame.filter(pl.any_horizontal(pl.col(n).is_not_null() for n in names))
        if fact.within:
            low, high = fact.within
            inside = pl.col(names[0]).is_between(low, high, closed="left")
            self.frame = self.frame.filter(~inside if fact.denied else inside)
        self._asked.append((fact.words, list(fact.measures)))

    def ask_share(
        self, words: str, conditions: Sequence[_Condition], sign: int = 1, during: _Condition | None = None
    ) -> None:
        """Rank by the share of sleep, or of where `during` holds, that fulfils all `conditions`; none of it: no hit."""
        name = f"share{len(self._asked)}_pct"
        conditions = [*conditions, *([during] if during else [])]
        known, plain = self._rows, [c.sql for c in conditions if c.relation is None]
        awake_too = "'W'" in " ".join(plain)
        asked = {n: self._holds(c) for n, c in enumerate(conditions) if not isinstance(c.relation, Run)}
        chosen = np.zeros(len(known.names), bool)
        chosen[self._numbers()] = True
        rows = np.flatnonzero(chosen[known.of] & (True if awake_too else self.stages.codes != STAGES.index("W")))
        of = known.of[rows]
        holds = {n: found[rows] for n, found in asked.items()}
        count = partial(np.bincount, minlength=len(known.names))
        # What nobody can say of any epoch of a night is what the night lacks.
        lacks = np.full(len(known.names), -1)
        for n in sorted(asked, key=lambda n: conditions[n].relation is not None):
            lacks[(lacks < 0) & (count(of) > 0) & (count(of[holds[n] >= 0]) == 0)] = n
        able = np.ones(len(rows), bool)
        for found in holds.values():
            able &= found >= 0
        if during:
            able &= holds[len(conditions) - 1] == 1
        there = able.copy()
        for found in holds.values():
            there &= found == 1
        if runs := [c.relation for c in conditions if isinstance(c.relation, Run)]:
            frame = pl.DataFrame({"row": rows[there], "recording": of[there], "epoch": known.epoch[rows[there]]})
            there = np.isin(rows, long_enough(frame, runs)["row"].to_numpy())
        whole = count(of[able])
        share = 100.0 * np.divide(count(of[there]), whole, out=np.full(len(whole), np.nan), where=whole > 0)
        frame = pl.DataFrame({"recording": known.names, "lacks": lacks, name: pl.Series(share, nan_to_null=True)})
        frame = frame.with_columns(lacks=pl.when(pl.col("lacks") >= 0).then("lacks"))
        self.frame = self.frame.join(frame, on="recording", how="left")
        for n, condition in enumerate(conditions):
            self._leave_out(pl.col("lacks").eq_missing(n), condition.channels, condition.scorable)
        if during:  # without any REM there is no share of it, and the night has said so
            self.frame = self.frame.filter(pl.col(name).is_not_null())
        self._leave_out(pl.col(name).is_null(), conditions[0].channels, scorable=False)
        self.frame = self.frame.drop("lacks")
        if sign > 0:
            self.frame = self.frame.filter(pl.col(name) > 0)
        self._shown[name] = (f"share of {during.words if during else 'the sleep'}", "%")
        self._asked.append((words, [(name, sign)]))

    def keep_by(self, condition: Filter) -> None:
        """Keep nights for which a condition on the night or the person holds."""
        known = self.snapshot.columns()
        there = known.keys() >= set(condition.columns)
        shown = [c for c in condition.columns if c in known and c not in self.frame.columns]
        rows = by_recording(self.snapshot, [*shown, f"({condition.sql if there else 'NULL'})::BOOLEAN AS holds"])
        rows = rows.group_by("number").agg(pl.all().drop_nulls().first())
        names = pl.Series("recording", self._rows.names, dtype=pl.String)[rows["number"]]
        self.frame = self.frame.join(rows.drop("number").with_columns(names), on="recording", how="left")
        self._leave_out(pl.col("holds").is_null(), condition.channels, not condition.channels)
        self.frame = self.frame.filter(pl.col("holds")).drop("holds")
        self._asked.append((condition.words, [(c, 0) for c in condition.columns if c in self.frame.columns]))

    def ask_words(self, text: str, encoder: Encoder, reader: Encoder | None, *, must: bool) -> list[str]:
        """Rank by how near the nearest tenth of a night lies to the words; a note where words resemble nothing."""
        if not self.frame.height:
            return []
        near, best = self._nearest(encoder, "caption", text)
        if best < WORDS_FLOOR:
            if must:
                self.empty()
            return [f"nothing here resembles {text!r} (best cosine {best:.2f}, floor {WORDS_FLOOR:.2f}); left out"]
        self._near("cosine of captions", near, text)
        if reader:
            self._near("cosine of signals", self._nearest(reader, "signal", text)[0], text)
        return []

    def _near(self, said: str, values: dict[str, float], text: str) -> None:
        name = f"near{len(self._asked)}"
        found = [values.get(r) for r in self.frame["recording"]]
        self.frame = self.frame.with_columns(pl.Series(name, found, dtype=pl.Float64))
        self._shown[name] = (said, "")
        self._asked.append((repr(text), [(name, 1)]))

    def _nearest(self, encoder: Encoder, collection: str, text: str) -> tuple[dict[str, float], float]:
        """The mean cosine of each night's nearest tenth, and the best of all; nights without vectors are no keys."""
        query = np.asarray(encoder.embed_texts([text]), np.float32)
        rows = self._rows.rows_of(np.sort(self._numbers()))
        if collection == "caption":
            captions, place = self.snapshot.captions()
            some, of = np.unique(place[rows], return_inverse=True)
            near = self.snapshot.products(encoder.space, collection, query, captions[some])[of, 0]
        else:
            rows = np.sort(rows)
            near = self.snapshot.products(encoder.space, collection, query, self.snapshot.ids[rows])[:, 0]
        known = np.isfinite(near) & (near != 0)  # a vector of zeros is of an epoch of which nothing is known
        each = pl.DataFrame({"night": self._rows.of[rows[known]], "near": near[known].astype(np.float64)})
        count = pl.max_horizontal(1, (NEAREST * pl.len()).round(mode="half_to_even")).cast(pl.Int64)
        of_night = each.group_by("night").agg(
            tenth=pl.col("near").sort(descending=True).head(count).mean(), best=pl.col("near").max()
        )
        tenths = {self._rows.names[n]: near for n, near in of_night.select("night", "tenth").iter_rows()}
        return tenths, max(of_night["best"].to_list(), default=-1.0)

    def _leave_out(self, unknown: pl.Expr, channels: Sequence[Sequence[str]], scorable: bool) -> None:
        """Drop nights that cannot answer, and count them by the reason that most of all would change it: the sensor is
        there and nobody scored, it was bad, or it is not there."""
        out = self.frame.filter(unknown).select("recording")
        self.frame = self.frame.filter(~unknown)
        if not out.height:
            return
        reason = reason_sql(channels, self.snapshot.columns(), scorable)
        (found,) = self.snapshot.arrays([f"({reason})::TINYINT"])
        numbers = self._rows.numbers(out["recording"].to_list())
        of, rows = self._rows.of, self._rows.rows_of(numbers)
        some = {
            r: np.bincount(of[rows[found[rows] == r]], minlength=len(self._rows.names)) for r in (NOT_SCORED, QUALITY)
        }
        for n in numbers:
            self.refused[REASONS[NOT_SCORED if some[NOT_SCORED][n] else QUALITY if some[QUALITY][n] else 0]] += 1

    def hits(self, k: int) -> list[Hit]:
        """The best nights, each with every number asked, its value and its rank among the nights left."""
        frame = self.frame
        if not frame.height:
            return []
        scores = []
        for _, columns in self._asked:
            z = [sign * _z(frame[name]) for name, sign in columns if sign]
            if z:
                known = ~np.isnan(np.array(z))
                scores.append(np.where(known.any(axis=0), np.nansum(z, axis=0) / np.maximum(known.sum(axis=0), 1), 0.0))
        score = np.mean(scores, axis=0) if scores else np.zeros(frame.height)
        order = sorted(range(frame.height), key=lambda i: (-score[i], frame["recording"][i]))[:k]
        return night_hits(self.snapshot, [(frame["recording"][i], float(score[i]), self._why(frame, i)) for i in order])

    def _why(self, frame: pl.DataFrame, row: int) -> list[str]:
        lines = []
        for words, columns in self._asked:
            said = [self._line(frame, name, sign, row) for name, sign in columns if frame[name][row] is not None]
            lines.append(f"{words}: {', '.join(said)}")
        number = self._rows.numbers([frame["recording"][row]])[0]
        told = self._numbered and self.stages.told[number]
        return [*lines, f"stages: by {self.stages.by} from the signals, not scored"] if told else lines

    def _line(self, frame: pl.DataFrame, name: str, sign: int, row: int) -> str:
        value = frame[name][row]
        if not sign:
            return f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
        shown, unit = self._shown[name]
        origin = frame[f"{name}_from"][row] if f"{name}_from" in frame.columns else name
        said = f"{shown} = {value:.3g} {unit}".rstrip() + (f" ({origin})" if origin != name else "")
        place = int((sign * frame[name] > sign * value).sum()) + 1
        return f"{said}, rank {place} of {frame[name].count()}"


def _z(column: pl.Series) -> NDArray[np.float64]:
    """Standardised over the nights that have the number; NaN for the others."""
    values: NDArray[Any] = column.cast(pl.Float64).to_numpy().astype(np.float64)
    z = np.full(len(values), np.nan)
    known = np.isfinite(values)
    z[known] = standardised(values[known])
    return z


def check_level(level: str) -> None:
    """`BadInput` for a level that there is not."""
    if level not in LEVELS:
        raise BadInput(f"--level {level!r}: possible are {' and '.join(LEVELS)}.")
