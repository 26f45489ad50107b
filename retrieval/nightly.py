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

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from retrieval.concepts import NOT_SCORED, QUALITY, REASONS, event_name, holds, reason_sql
from retrieval.details import details, hit_of
from retrieval.hit import Answer, Hit
from retrieval.night_numbers import load_numbers, night_numbers, stages_of
from retrieval.question import read_question
from retrieval.relations import Relation, Run, holding, long_enough
from retrieval.remembered import remembered
from retrieval.search import WORDS_FLOOR, standardised

LEVELS = ("epoch", "night")
_AT_ONCE = 65_536  # vectors that are held in memory
NEAREST = 0.1  # of the epochs of a night, whose likeness to words counts: a night is about what it has some of


def search_nights(
    snapshot: Snapshot, encoder: Encoder, words: str, *, where: str | None, k: int, reader: Encoder | None = None,
    without: Sequence[int | str] = (),
) -> Answer:  # fmt: skip
    """The `k` best nights for a question in plain words; `where` keeps nights of which any epoch matches, `without`
    takes filters of the grammar away as `Question.without` does."""
    began = time.perf_counter()
    facts, left, notes = read_adjectives(words)
    question = read_question(left).without(without)
    nights = kept(snapshot, where)
    table = _Table(snapshot, nights, reader)
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
    if where is None:
        return snapshot.sql("SELECT DISTINCT recording FROM epoch_rows ORDER BY recording")["recording"].to_list()
    chosen = snapshot.sql(
        "SELECT DISTINCT recording FROM epoch_rows SEMI JOIN wanted USING (epoch_id) ORDER BY recording",
        wanted=pl.DataFrame({"epoch_id": snapshot.rows(where)}),
    )
    return chosen["recording"].to_list()


def night_hits(snapshot: Snapshot, nights: Sequence[tuple[str, float, list[str]]]) -> list[Hit]:
    """Whole nights as hits, from their names, scores and reasons; the caption is the night's report."""
    rows = snapshot.sql(
        "SELECT recording, min(epoch_id) AS epoch_id, any_value(duration_s) AS duration_s, any_value(report) AS report "
        "FROM epoch_rows JOIN recordings USING (recording) JOIN nights USING (recording) "
        "WHERE recording IN (SELECT recording FROM wanted) GROUP BY recording",
        wanted=pl.DataFrame({"recording": [name for name, _, _ in nights]}, schema={"recording": pl.String}),
    )
    by_name = {row["recording"]: row for row in rows.iter_rows(named=True)}
    shown = details(snapshot, rows["epoch_id"].to_list())
    return [
        replace(
            hit_of(shown[by_name[name]["epoch_id"]], 0.0, float(by_name[name]["duration_s"]), score, reasons),
            stage=None, stage_source=None, events=[], caption={"night": by_name[name]["report"]},
        )
        for name, score, reasons in nights
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
    own = set(snapshot.sql("SELECT column_name FROM (DESCRIBE epoch_rows)")["column_name"])
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

    def __init__(self, snapshot: Snapshot, nights: list[str], reader: Encoder | None) -> None:
        self.snapshot, self._reader = snapshot, reader
        self.frame = pl.DataFrame({"recording": nights}, schema={"recording": pl.String})
        self.refused = dict.fromkeys(REASONS, 0)
        self._nights = len(nights)
        self._asked: list[tuple[str, list[tuple[str, int]]]] = []  # words, and columns of `frame` with their signs
        self._shown: dict[str, tuple[str, str]] = {}  # column -> what it is called, and its unit

    @cached_property
    def stages(self) -> pl.DataFrame:
        """The stages of every epoch, as `stages_of` gives them."""
        return stages_of(self.snapshot, self._reader)

    @property
    def searched(self) -> int:
        """How many nights could answer, whether they say yes or no."""
        return self._nights - sum(self.refused.values())

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
        by = self._reader.space if self._reader else ""
        numbers = remembered(
            self.snapshot, ("numbers", by, *names), lambda: night_numbers(self.snapshot, self.stages, names)
        )
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
        plain = {f"c{n}": c.sql for n, c in enumerate(conditions) if c.relation is None}
        selected = "".join(f", ({sql})::BOOLEAN AS {c}" for c, sql in plain.items())
        epochs = self.snapshot.sql(
            f"""SELECT epoch_id, recording, epoch, start_s, stage{selected}
            FROM (SELECT epochs.* REPLACE (coalesce(s.stage, 'unscored') AS stage)
                  FROM epochs JOIN stages s USING (epoch_id))""",
            stages=self.stages.join(self.frame, on="recording", how="semi").select("epoch_id", "stage"),
        )
        asked = list(plain)
        for n, condition in enumerate(conditions):
            if condition.relation is not None and not isinstance(condition.relation, Run):
                found = holding(self.snapshot, condition.relation).rename({"holds": f"c{n}"})
                epochs = epochs.join(found, on="epoch_id", how="left", maintain_order="left")
                asked.append(f"c{n}")
        if "'W'" not in " ".join(plain.values()):
            epochs = epochs.filter(pl.col("stage") != "W")
        # What nobody can say of any epoch of a night is what the night lacks.
        lacks = pl.coalesce(*(pl.when(pl.col(c).count() == 0).then(int(c[1:])) for c in asked), pl.lit(None))
        frame = epochs.group_by("recording").agg(lacks.alias("lacks"))
        epochs = epochs.filter(~pl.any_horizontal(pl.col(c).is_null() for c in asked)) if asked else epochs
        epochs = epochs.filter(pl.col(f"c{len(conditions) - 1}")) if during else epochs
        there = epochs.filter(pl.all_horizontal(asked)) if asked else epochs
        if runs := [c.relation for c in conditions if isinstance(c.relation, Run)]:
            there = long_enough(there, runs)
        share = 100.0 * pl.col("epoch_id").is_in(there["epoch_id"].to_list()).mean()
        frame = frame.join(epochs.group_by("recording").agg(share.alias(name)), on="recording", how="left")
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
        rows = self.snapshot.sql(
            f"SELECT recording, {''.join(f'any_value({c}) AS {c}, ' for c in shown)}"
            f"any_value({condition.sql if there else 'NULL'})::BOOLEAN AS holds FROM epochs GROUP BY recording"
        )
        self.frame = self.frame.join(rows, on="recording", how="left")
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
        query = np.asarray(encoder.embed_texts([text]), np.float32)[0]
        key = "caption_id" if collection == "caption" else "epoch_id"
        rows = self.snapshot.sql(
            f"SELECT night, {key} AS id FROM epoch_rows JOIN names USING (recording)",
            names=self.frame.select("recording").with_row_index("night"),
        )
        ids = rows["id"].unique().sort()
        cosines = [
            self._cosines(encoder, collection, ids[at : at + _AT_ONCE], query) for at in range(0, len(ids), _AT_ONCE)
        ]
        near = pl.DataFrame({"id": ids, "near": np.concatenate(cosines) if cosines else np.zeros(0)})
        rows = rows.join(near, on="id").drop_nans("near").select("night", "near")
        count = pl.max_horizontal(1, (NEAREST * pl.len()).round(mode="half_to_even")).cast(pl.Int64)
        of_night = rows.group_by("night").agg(
            tenth=pl.col("near").sort(descending=True).head(count).mean(), best=pl.col("near").max()
        )
        names = self.frame["recording"][of_night["night"].to_list()].to_list()
        nights = dict(zip(names, of_night["tenth"].to_list(), strict=True))
        return nights, float(of_night["best"].max() or -1.0) if of_night.height else -1.0  # type: ignore[arg-type]

    def _cosines(self, encoder: Encoder, collection: str, ids: pl.Series, query: NDArray[np.float32]) -> NDArray[Any]:
        vectors = self.snapshot.vectors(encoder.space, collection, ids.to_numpy())
        return np.where(np.any(vectors, axis=1), vectors @ query, np.nan)

    def _leave_out(self, unknown: pl.Expr, channels: Sequence[Sequence[str]], scorable: bool) -> None:
        """Drop nights that cannot answer, and count them by the reason that most of all would change it: the sensor is
        there and nobody scored, it was bad, or it is not there."""
        out = self.frame.filter(unknown).select("recording")
        self.frame = self.frame.filter(~unknown)
        if not out.height:
            return
        reason = reason_sql(channels, self.snapshot.columns(), scorable)
        by_night = self.snapshot.sql(
            f"SELECT CASE WHEN bool_or(r = {NOT_SCORED}) THEN {NOT_SCORED} "
            f"WHEN bool_or(r = {QUALITY}) THEN {QUALITY} ELSE 0 END AS r "
            f"FROM (SELECT recording, {reason} AS r FROM epochs JOIN names USING (recording)) GROUP BY recording",
            names=out,
        )
        for place in by_night["r"]:
            self.refused[REASONS[place]] += 1

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
        by = frame["staged_by"][row] if "staged_by" in frame.columns else None
        scored = self.snapshot.sql(
            "SELECT any_value(stage_source) AS by FROM epoch_rows WHERE recording = ?", [frame["recording"][row]]
        )["by"][0]
        return [*lines, f"stages: by {by} from the signals, not scored"] if by and by != scored else lines

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
