"""Ranking: the meaning of the words and the facts of the catalog, fused by one documented rule.

Filters (numbers, negations, people, times) and facts that somebody scored decide which epochs can be hits at all
(`retrieval.candidates`); what relates epochs or events in time is `retrieval.relations`. A measure says nothing of an
epoch in which an artifact was scored, unless the question includes such epochs: they are counted as `quality`, as are
those of a bad signal, of which nothing is measured. Facts that nobody scored, but a sensor can grade (deep sleep from
the EEG), are there from a stated value on, and rank; where the cohort has an encoder that reads signals it tells
unscored stages, and what no measure grades (told.py). The rank score of an epoch is

    mean of  z(cosine of question and caption)  ·  z(cosine of question and signals)  ·  z(each fact)
             ·  z(each number of the epoch that was compared), weighted by WEIGHTS

The second where the cohort has an encoder that reads signals; an epoch without a usable one of its sensors has none.

A fact's value is the seconds of the scored event in the epoch, else what the sensor measured of it; z standardises over
the epochs left whose value is of that sort, so that no two scales are ever added raw. It is no probability.
Unknown is not no: an epoch that cannot answer is left out and counted by the reason.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.models import Encoder
from index import SearchResult, Snapshot
from retrieval.asked import Question
from retrieval.candidates import PLACE, candidates
from retrieval.relations import Pair, Window
from retrieval.spaces import public_name

_SIGNALS_MOST = 20_000  # epochs that are ranked by their signals; the rest share the last one's score
_CAPTIONS_MOST = 2048  # distinct captions that are ranked by meaning; the rest share the last one's score
BEST = 20_000  # rows of a ranking that are sorted and looked up; more only where whoever asks needs more
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


@dataclass(frozen=True, slots=True)
class Ranked:
    """Epochs that answer, best first; the best of them where they are many, `more` says that there are others.

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
    more: bool = False


def standardised(values: np.ndarray) -> np.ndarray:
    """Standardised over the rows; constant values say nothing and become zero."""
    spread = float(np.std(values)) if len(values) else 0.0
    return (values - float(np.mean(values))) / spread if spread > 1e-9 else np.zeros_like(values)


def matching(snapshot: Snapshot, frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """The rows whose `epoch_id` a user's expression matches."""
    return frame.filter(pl.Series(np.isin(frame["epoch_id"].to_numpy(), snapshot.rows(where))))


def rank(
    snapshot: Snapshot, encoder: Encoder, question: Question, *, where: str | None, exact: bool,
    reader: Encoder | None = None, most: int | None = BEST,
) -> Ranked:  # fmt: skip
    """Every epoch that answers `question` among the rows of `where`, best first; `reader` knows signals.

    most: so many of them, None for all.
    """
    ms: dict[str, float] = {}
    notes = list(question.notes)
    began = time.perf_counter()
    frame, able, refused, question = candidates(snapshot, question, where, reader)
    notes += _about_nights(snapshot, question)
    ms["filter"] = _since(began)
    if not frame.height:
        return Ranked(question, frame, able, refused, "none: no row left to rank", ms, notes)
    scores, weights = [], []
    engine, dense = "none: the question left no words to embed", np.zeros(frame.height)
    signal: NDArray[np.float64] | None = None
    if question.words:
        dense, engine, said = _meaning(snapshot, encoder, question, frame["caption_id"], exact, ms)
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
    best = best_of(score, frame["epoch_id"].to_numpy(), most)
    more = len(best) < frame.height
    frame = frame[best].with_columns(pl.Series("score", score[best]), pl.Series("dense", dense[best]))
    if signal is not None:
        frame = frame.with_columns(pl.Series("signal_z", signal[best]))
    frame = frame if {*PLACE} <= {*frame.columns} else placed(snapshot, frame)
    ms["fuse"] = _since(began)
    return Ranked(question, frame, able, refused, engine, ms, notes, more)


def placed(snapshot: Snapshot, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, in their order, with the `recording epoch start_s` of their `epoch_id`."""
    places = snapshot.sql(
        f"SELECT epoch_id, {', '.join(PLACE)} FROM epoch_rows SEMI JOIN best USING (epoch_id)",
        best=rows.select("epoch_id"),
    )
    return rows.join(places, on="epoch_id", maintain_order="left")


def best_of(score: NDArray[np.float64], ids: NDArray[np.int64], most: int | None) -> NDArray[np.int64]:
    """Places of the best `most` scores, best first; of equal ones the lower id is the better."""
    places = np.arange(len(score))
    if most is not None and len(score) > most:
        least = np.partition(score, len(score) - most)[len(score) - most]
        above = np.flatnonzero(score > least)
        equal = np.flatnonzero(score == least)
        fill = most - len(above)
        if fill < len(equal):
            equal = equal[np.argpartition(ids[equal], fill)[:fill]]
        places = np.concatenate([above, equal])
    return places[np.lexsort((ids[places], -score[places]))]


def _about_nights(snapshot: Snapshot, question: Question) -> list[str]:
    """What a time of the night was taken from, by counts of nights, and how many nights have no clock."""
    notes = [f"{f.words!r} is of {f.says}" for f in question.filters if isinstance(f.relation, Window)]
    if any("clock_s" in f.columns for f in question.filters):
        unknown = snapshot.sql("SELECT count(DISTINCT recording) FROM epoch_rows WHERE clock_s IS NULL").item()
        notes += [f"the time of day is not known in {unknown} nights; their epochs are left out"] if unknown else []
    return notes


# ---- how well they do


def _meaning(
    snapshot: Snapshot, encoder: Encoder, question: Question, captions: pl.Series, exact: bool, ms: dict[str, float]
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
    ids = captions.unique().sort().to_numpy()
    found = snapshot.search(encoder.space, "caption", queries, min(len(ids), _CAPTIONS_MOST), ids=ids, exact=exact)
    for stage, spent in found.ms.items():
        ms[stage] = ms.get(stage, 0.0) + round(spent, 2)
    best = found.scores[:, 0]
    strange, used = (question.rest, 2) if len(asked) > 1 and best[1] < WORDS_FLOOR else (question.words, 0)
    notes = []
    if used or (not facts and question.rest and best[0] < WORDS_FLOOR):
        near = best[1 if used else 0]
        notes.append(f"nothing here resembles {strange!r} (best cosine {near:.2f}, floor {WORDS_FLOOR:.2f}); left out")
    real = found.ids[used] >= 0
    scores = found.scores[used][real].astype(np.float64)
    dense = captions.replace_strict(
        pl.Series(found.ids[used][real]), pl.Series(scores), default=float(scores.min(initial=1.0)),
        return_dtype=pl.Float64,
    )  # fmt: skip
    return dense.to_numpy(), f"{found.engine} on {found.device}: {found.why}", notes


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
    seen = frame["seen"].to_numpy()
    asked = frame["epoch_id"].to_numpy()[seen]
    z = np.full(frame.height, np.nan)
    if not len(asked):
        return z
    most = min(len(asked), _SIGNALS_MOST)
    found = snapshot.search(reader.space, "signal", query, most, ids=asked, exact=exact)
    for stage, spent in found.ms.items():
        ms[stage] = ms.get(stage, 0.0) + round(spent, 2)
    z[seen] = standardised(_by_id(found, 0, asked).astype(np.float64))
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
