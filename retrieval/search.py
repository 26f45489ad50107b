"""Ranking: the meaning of the words and the facts of the catalog, fused by one documented rule.

Filters (numbers, negations, people, times) and facts that somebody scored decide which epochs can be hits at all; what
relates epochs or events in time is `retrieval.relations`. A measure says nothing of an epoch in which an artifact was
scored, unless the question includes such epochs: they are counted as `quality`, as are those of a bad signal, of which
nothing is measured. Facts that
nobody scored, but a sensor can grade (deep sleep from the EEG), are there from a stated value on, and rank; where the
cohort has an encoder that reads signals it tells unscored stages, and what no measure grades (told.py). The rank
score of an epoch is

    mean of  z(cosine of question and caption)  ·  z(cosine of question and signals)  ·  z(each fact)
             ·  z(each number of the epoch that was compared), weighted by WEIGHTS

The second where the cohort has an encoder that reads signals; an epoch without a usable one of its sensors has none.

A fact's value is the seconds of the scored event in the epoch, else what the sensor measured of it; z standardises over
the epochs left whose value is of that sort, so that no two scales are ever added raw. It is no probability.
Unknown is not no: an epoch that cannot answer is left out and counted by the reason.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import Concept
from encoders.models import Encoder
from encoders.vocabulary import EPOCH_S, STEP_CHANNELS
from index import SearchResult, Snapshot
from retrieval.asked import Filter, Question
from retrieval.concepts import QUALITY, REASONS, event_name, measured, reason_sql, usable_sql
from retrieval.relations import Pair, Run, Window, evaluate, long_enough
from retrieval.spaces import public_name
from retrieval.told import told

_SIGNALS_MOST = 20_000  # epochs that are ranked by their signals; the rest share the last one's score
_CAPTIONS_MOST = 2048  # distinct captions that are ranked by meaning; the rest share the last one's score
# Words whose best cosine with a caption is lower are taken as not about sleep. It decides where no filter or fact was
# read, and on the words beyond them. Chosen on one half of the sentences in tests/retrieval/floor.toml as the lowest
# that lets 2 of 31 sentences from elsewhere pass. On the other half, 9 simulated nights, scored / not scored: 3 % / 3 %
# of those pass, and 85 % / 77 % of the questions about sleep in words that the lexicon does not know.
WORDS_FLOOR = 0.26


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each sort of evidence counts in the mean; a fact and a number count 1."""

    caption: float
    signals: float


# The best of nine on the tuning questions (scripts/fit_fusion.py, six simulated nights, scored and bare): precision@10
# .562 where equal weights have .552.
WEIGHTS = Weights(caption=0.25, signals=2.0)
_EDGES = ("first", "last", "from_s", "to_s")
_OF_PAIR = ("clear", *_EDGES, "said")


@dataclass(frozen=True, slots=True)
class Ranked:
    """Epochs that answer, best first.

    frame: `epoch_id recording epoch start_s score dense`, with a reader `signal_z` (NaN: no usable sensor), and for
    fact n `which<n>` (of its concepts, the one that holds), `truth<n>` (null: not scored, but measured), `extent<n>`
    (seconds of the scored event in the epoch).
    Where filter n relates epochs in time, `filter<n>_said` and, over all of them, `first last from_s to_s`: the epochs
    and seconds of the stretch that shows it. question: as asked, each filter saying what was found out about it.
    """

    question: Question
    frame: pl.DataFrame
    searched: int
    not_assessable: dict[str, int]
    engine: str
    ms: dict[str, float]
    notes: list[str]


def standardised(values: np.ndarray) -> np.ndarray:
    """Standardised over the rows; constant values say nothing and become zero."""
    spread = float(np.std(values)) if len(values) else 0.0
    return (values - float(np.mean(values))) / spread if spread > 1e-9 else np.zeros_like(values)


def matching(snapshot: Snapshot, frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """The rows whose `epoch_id` a user's expression matches."""
    return frame.filter(pl.Series(np.isin(frame["epoch_id"].to_numpy(), snapshot.rows(where))))


def rank(
    snapshot: Snapshot, encoder: Encoder, question: Question, *, where: str | None, exact: bool,
    reader: Encoder | None = None,
) -> Ranked:  # fmt: skip
    """Every epoch that answers `question` among the rows of `where`, best first; `reader` knows signals."""
    ms: dict[str, float] = {}
    notes = list(question.notes)
    began = time.perf_counter()
    frame, able, refused, question = _candidates(snapshot, question, where, reader)
    notes += _about_nights(snapshot, question)
    ms["filter"] = _since(began)
    if not frame.height:
        return Ranked(question, frame, able, refused, "none: no row left to rank", ms, notes)
    scores, weights = [], []
    engine, dense = "none: the question left no words to embed", np.zeros(frame.height)
    signal: NDArray[np.float64] | None = None
    if question.words:
        dense, engine, said = _meaning(snapshot, encoder, question, frame["caption_id"].to_numpy(), exact, ms)
        notes += said
        # `appendicitis in children`: that there are children is no answer to it.
        if said and not (question.facts or [f for f in question.filters if not f.of_people]):
            return Ranked(question, frame.clear(), able, refused, engine, ms, notes)
        scores.append(standardised(dense))
        weights.append(WEIGHTS.caption)
        if reader:
            signal = _signal_scores(snapshot, reader, question.words, frame, exact, ms)
            scores.append(np.nan_to_num(signal))
            weights.append(WEIGHTS.signals)
            engine += f"; signals by {public_name(reader)}, {reader.runs_on}"
    began = time.perf_counter()
    for number, fact in enumerate(question.facts):
        z, unscored = _fact_scores(frame, number)
        scores.append(z)
        heard = int(frame[f"told{number}"].sum())
        if reader and heard:
            notes.append(
                f"{fact.words!r} was not scored in {heard} epochs; {public_name(reader)} tells it from their signals"
            )
        if unscored > heard:
            by = ", ".join(dict.fromkeys(str(c.evidence) for c in fact.concepts if c.evidence))
            notes.append(f"{fact.words!r} was not scored in {unscored - heard} epochs and was measured there by {by}")
    for number, condition in enumerate(question.filters):
        if condition.rank_by or isinstance(condition.relation, Pair):
            scores.append(standardised(frame[f"filter{number}_clear"].to_numpy()))
    weights += [1.0] * (len(scores) - len(weights))
    score = np.average(scores, axis=0, weights=weights) if scores else np.zeros(frame.height)
    frame = frame.with_columns(pl.Series("score", score), pl.Series("dense", dense))
    if signal is not None:
        frame = frame.with_columns(pl.Series("signal_z", signal))
    frame = frame.sort(["score", "epoch_id"], descending=[True, False])
    ms["fuse"] = _since(began)
    return Ranked(question, frame, able, refused, engine, ms, notes)


# ---- which epochs can answer, and which do


def _candidates(
    snapshot: Snapshot, question: Question, where: str | None, reader: Encoder | None
) -> tuple[pl.DataFrame, int, dict[str, int], Question]:
    """Rows that may be hits; how many could answer; how many could not, by reason; the filters with what they found."""
    known = snapshot.columns()
    artifacts = any(c.id == "artifact" for fact in question.facts for c in fact.concepts)
    spoilt = (
        "coalesce(n_artifact, 0) > 0" if "n_artifact" in known and not artifacts and not question.include_bad else ""
    )
    columns = ["epoch_id", "recording", "epoch", "start_s", "caption_id"]
    for number, condition in enumerate(question.filters):
        if condition.relation is None:
            columns += _filter_sql(condition, f"filter{number}", known, spoilt)
    for number, fact in enumerate(question.facts):
        for j, concept in enumerate(fact.concepts):
            columns += _concept_sql(concept, f"fact{number}_{j}", known, spoilt)
    frame = snapshot.sql(f"SELECT {', '.join(columns)} FROM {snapshot.narrowest(columns)}")
    frame, question = _related(snapshot, frame, question)
    if where:
        frame = matching(snapshot, frame, where)
    asked = [f"filter{n}" for n, f in enumerate(question.filters) if not isinstance(f.relation, Run)]
    asked += [f"fact{n}" for n in range(len(question.facts))]
    for number, fact in enumerate(question.facts):
        for j, concept in enumerate(fact.concepts):
            frame = _told_columns(snapshot, reader, concept, f"fact{number}_{j}", frame)
        frame = _fact_columns(frame, number, len(fact.concepts))
    refused = dict.fromkeys(REASONS, 0)
    for name in asked:
        unknown = frame[name].is_null()
        for reason, count in frame.filter(unknown)[f"{name}_reason"].value_counts().iter_rows():
            refused[REASONS[reason]] += count
        frame = frame.filter(~unknown)
    able = frame.height
    frame = frame.filter(pl.all_horizontal(asked)) if asked else frame
    runs = [f.relation for f in question.filters if isinstance(f.relation, Run)]
    return long_enough(frame, runs) if runs else frame, able, refused, question


def _related(snapshot: Snapshot, frame: pl.DataFrame, question: Question) -> tuple[pl.DataFrame, Question]:
    """Adds the columns of the filters that relate epochs in time, and what was found out to what they say."""
    filters, spans = list(question.filters), []
    for number, condition in enumerate(question.filters):
        if condition.relation is None or isinstance(condition.relation, Run):
            continue
        found = evaluate(snapshot, condition.relation)
        name = f"filter{number}"
        renamed = {"holds": name, "reason": f"{name}_reason", **{c: f"{name}_{c}" for c in _OF_PAIR}}
        frame = frame.join(found.frame.rename(renamed), on="epoch_id", how="left", maintain_order="left")
        if isinstance(condition.relation, Pair):
            spans.append(name)
        if found.says:
            filters[number] = replace(condition, says=f"{condition.says}; {found.says}")
    if spans:
        own = pl.col("epoch"), pl.col("epoch"), pl.col("start_s"), pl.col("start_s") + EPOCH_S
        outermost = pl.min_horizontal, pl.max_horizontal, pl.min_horizontal, pl.max_horizontal
        frame = frame.with_columns(
            of(alone, *(f"{name}_{edge}" for name in spans)).alias(edge)
            for edge, alone, of in zip(_EDGES, own, outermost, strict=True)
        )
    return frame, replace(question, filters=tuple(filters))


def _about_nights(snapshot: Snapshot, question: Question) -> list[str]:
    """What a time of the night was taken from, by counts of nights, and how many nights have no clock."""
    notes = [f"{f.words!r} is of {f.says}" for f in question.filters if isinstance(f.relation, Window)]
    if any("clock_s" in f.columns for f in question.filters):
        unknown = snapshot.sql("SELECT count(DISTINCT recording) FROM epoch_rows WHERE clock_s IS NULL").item()
        notes += [f"the time of day is not known in {unknown} nights; their epochs are left out"] if unknown else []
    return notes


def _fact_columns(frame: pl.DataFrame, number: int, concepts: int) -> pl.DataFrame:
    """Adds `fact<n>` (null: nobody can say), `which<n>`, `truth<n>`, `extent<n>`, `grade<n>`, `told<n>`, the reason."""
    names = [f"fact{number}_{j}" for j in range(concepts)]
    holds = [pl.coalesce(f"{name}_truth", f"{name}_measured") for name in names]

    def first(of: str, where: Sequence[pl.Expr]) -> pl.Expr:
        return pl.coalesce(
            pl.when(there).then(pl.col(f"{name}_{of}")) for name, there in zip(names, where, strict=True)
        )

    return frame.with_columns(
        pl.any_horizontal(holds).alias(f"fact{number}"),
        pl.coalesce(pl.when(there).then(j) for j, there in enumerate(holds)).alias(f"which{number}"),
        *(first(of, holds).alias(f"{of}{number}") for of in ("truth", "extent", "grade", "told")),
        first("reason", [there.is_null() for there in holds]).alias(f"fact{number}_reason"),
    )


def _told_columns(
    snapshot: Snapshot, reader: Encoder | None, concept: Concept, name: str, frame: pl.DataFrame
) -> pl.DataFrame:
    """Adds `<name>_told`: whether an encoder's word stands in `<name>_measured`, since nobody scored the epoch.

    Of stages the encoder is asked first, of all else what a sensor measured: a count of seconds without airflow needs
    no likeness to words.
    """
    scored = frame[f"{name}_truth"].is_not_null()
    found = told(snapshot, reader, concept) if reader and not scored.all() else None
    if found is None:
        return frame.with_columns(pl.lit(False).alias(f"{name}_told"))
    frame = frame.join(found, on="epoch_id", how="left", maintain_order="left")
    decides = ~scored & frame["there"].is_not_null()
    if concept.kind != "stage":
        decides &= frame[f"{name}_measured"].is_null()
    columns = {f"{name}_measured": "there", f"{name}_grade": "grade"}
    return frame.with_columns(
        *(pl.when(decides).then(pl.col(of)).otherwise(pl.col(own)).alias(own) for own, of in columns.items()),
        decides.alias(f"{name}_told"),
    ).drop("there", "grade")


def _concept_sql(concept: Concept, name: str, known: dict[str, str], spoilt: str) -> list[str]:
    """Columns of one concept: there as scored, there as measured, seconds of the event, what grades it, why unknown."""
    event = event_name(concept)
    grade = f"{concept.evidence} * {concept.sign}" if concept.evidence else "NULL"
    reason = reason_sql(concept.channels, known, bool(concept.coverage or event))
    there = measured(concept)
    if spoilt and concept.kind == "measure":
        there, reason = (
            f"CASE WHEN NOT ({spoilt}) THEN {there} END",
            f"CASE WHEN {spoilt} THEN {QUALITY} ELSE {reason} END",
        )
    return [
        f"({concept.scored or 'NULL'})::BOOLEAN AS {name}_truth",
        f"({there}) AS {name}_measured",
        f"{f'{event}_s' if event else 'NULL'}::DOUBLE AS {name}_extent",
        f"({grade})::DOUBLE AS {name}_grade",
        f"{reason} AS {name}_reason",
    ]


def _filter_sql(condition: Filter, name: str, known: dict[str, str], spoilt: str) -> list[str]:
    """Columns of one filter: whether it holds, how clearly, and why it could not be judged."""
    there = known.keys() >= set(condition.columns)  # a cohort without a subjects' table has no ages
    holds, clear, reason = (
        condition.sql if there else "NULL",
        "NULL",
        reason_sql(condition.channels, known, not condition.channels),
    )
    if condition.rank_by and there:
        column, sign = condition.rank_by
        clear = f"{column} * {sign}"
    if spoilt and condition.channels and condition.rank_by:
        holds, reason = (
            f"CASE WHEN NOT ({spoilt}) THEN ({holds}) END",
            f"CASE WHEN {spoilt} THEN {QUALITY} ELSE {reason} END",
        )
    return [f"({holds})::BOOLEAN AS {name}", f"({clear})::DOUBLE AS {name}_clear", f"{reason} AS {name}_reason"]


# ---- how well they do


def _meaning(
    snapshot: Snapshot, encoder: Encoder, question: Question, captions: NDArray[Any], exact: bool, ms: dict[str, float]
) -> tuple[NDArray[np.float64], str, list[str]]:
    """The cosine of each row's caption with the words, the engine, and a note where words resemble nothing.

    Words beyond filters and facts that resemble no caption (`purple elephants`) are left out of what is compared.
    """
    facts = ", ".join(fact.words for fact in question.facts)
    asked = [question.words]
    if facts and question.rest:
        asked += [question.rest, facts]
    began = time.perf_counter()
    queries = encoder.embed_texts(asked)
    ms["embed"] = _since(began)
    ids, place = np.unique(captions, return_inverse=True)
    found = snapshot.search(encoder.space, "caption", queries, min(len(ids), _CAPTIONS_MOST), ids=ids, exact=exact)
    for stage, spent in found.ms.items():
        ms[stage] = ms.get(stage, 0.0) + round(spent, 2)
    best = found.scores[:, 0]
    strange, used = (question.rest, 2) if len(asked) > 1 and best[1] < WORDS_FLOOR else (question.words, 0)
    notes = []
    if used or (not facts and question.rest and best[0] < WORDS_FLOOR):
        near = best[1 if used else 0]
        notes.append(f"nothing here resembles {strange!r} (best cosine {near:.2f}, floor {WORDS_FLOOR:.2f}); left out")
    return _by_id(found, used, ids)[place].astype(np.float64), f"{found.engine} on {found.device}: {found.why}", notes


def _by_id(found: SearchResult, query: int, ids: NDArray[Any]) -> NDArray[Any]:
    """Each of the sorted `ids`' score for one query; those beyond what was found share the last score."""
    real = found.ids[query] >= 0
    scores = found.scores[query][real]
    by_id = np.full(len(ids), scores.min(initial=1.0))
    by_id[np.searchsorted(ids, found.ids[query][real])] = scores
    return by_id


def _signal_scores(
    snapshot: Snapshot, reader: Encoder, words: str, frame: pl.DataFrame, exact: bool, ms: dict[str, float]
) -> NDArray[np.float64]:
    """z of the cosine between the words and each row's signals; NaN where no sensor of the encoder was usable."""
    began = time.perf_counter()
    query = reader.embed_texts([words])
    ms["embed"] += _since(began)
    seen = usable_sql([[c] for c in reader.channels if c not in STEP_CHANNELS], snapshot.columns())
    able = snapshot.sql(f"SELECT epoch_id FROM epochs WHERE {seen}")["epoch_id"].to_numpy()
    ids = frame["epoch_id"].to_numpy()
    asked = np.intersect1d(ids, able)
    z = np.full(len(ids), np.nan)
    if not len(asked):
        return z
    most = min(len(asked), _SIGNALS_MOST)
    found = snapshot.search(reader.space, "signal", query, most, ids=asked, exact=exact)
    for stage, spent in found.ms.items():
        ms[stage] = ms.get(stage, 0.0) + round(spent, 2)
    rows = np.isin(ids, asked)
    z[rows] = standardised(_by_id(found, 0, asked)[np.searchsorted(asked, ids[rows])].astype(np.float64))
    return z


def _fact_scores(frame: pl.DataFrame, number: int) -> tuple[NDArray[np.float64], int]:
    """z of one fact over the rows, and how many rows have it measured, not scored; zero where there is no value."""
    scored = frame[f"truth{number}"].is_not_null().to_numpy()
    extent, grade = (frame[f"{c}{number}"].cast(pl.Float64).to_numpy() for c in ("extent", "grade"))
    timed, by_words = scored & ~np.isnan(extent), frame[f"told{number}"].to_numpy()
    z = np.zeros(frame.height)
    for which in frame[f"which{number}"].unique():
        own = (frame[f"which{number}"] == which).to_numpy()
        known = own & ~np.isnan(grade)
        for rows, values in (
            (own & timed, extent), (known & scored & ~timed, grade), (known & ~scored & ~by_words, grade),
            (known & by_words, grade),
        ):  # fmt: skip
            z[rows] = standardised(values[rows])
    return z, int((~scored).sum())


# ---- stretches


def merge_runs(ranked: pl.DataFrame, k: int) -> list[list[int]]:
    """The best `k` stretches as lists of row numbers of `ranked`: selected epochs that touch are one stretch.

    Rows are taken from the best down until `k` stretches stand apart or none is left; the first row of a stretch is
    its best. A row with `first` and `last` stands for all epochs from the one to the other.
    """
    recording, epoch = ranked["recording"].to_list(), ranked["epoch"]
    first, last = (ranked.get_column(name, default=epoch).to_list() for name in ("first", "last"))
    place: dict[tuple[str, int], int] = {}  # (recording, epoch) -> stretch
    runs: dict[int, list[int]] = {}
    for row in range(ranked.height):
        name = recording[row]
        near = range(first[row] - 1, last[row] + 2)
        touching = sorted({place[name, at] for at in near if (name, at) in place})
        if not touching and len(runs) == k:
            break
        home = touching[0] if touching else row
        runs.setdefault(home, []).append(row)
        for other in touching[1:]:
            for member in (joined := runs.pop(other)):
                place |= {(name, at): home for at in range(first[member], last[member] + 1)}
            runs[home] += joined
        place |= {(name, at): home for at in near[1:-1]}
    return [sorted(rows) for _, rows in sorted(runs.items(), key=lambda item: min(item[1]))]


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
