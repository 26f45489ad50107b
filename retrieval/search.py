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
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.models import Encoder
from index import Snapshot
from retrieval.asked import Question
from retrieval.by_night import nights
from retrieval.candidates import Judged, candidates
from retrieval.relations import Window
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
    snapshot = snapshot.pinned()
    judged = candidates(snapshot, question, where, reader)
    question, rows = judged.question, judged.rows
    notes += _about_nights(snapshot, question)
    ms["filter"] = _since(began)

    def ranked(best: NDArray[np.int64], engine: str, **values: NDArray[np.float64]) -> Ranked:
        frame = judged.shown(snapshot, best).with_columns(pl.Series(name, of[best]) for name, of in values.items())
        ms["fuse"] = _since(began)
        return Ranked(question, frame, judged.able, judged.refused, engine, ms, notes, len(best) < len(rows))

    nothing = np.zeros(0, np.int64)
    if not len(rows):
        return ranked(nothing, "none: no row left to rank")
    scores, weights = [], []
    engine, values = "none: the question left no words to embed", {"dense": np.zeros(len(rows))}
    if question.words:
        values["dense"], engine, said = _meaning(snapshot, encoder, question, rows, exact, ms)
        notes += said
        # `appendicitis in children`: that there are children is no answer to it.
        if said and not (question.facts or [f for f in question.filters if not f.of_people]):
            return replace(ranked(nothing, engine), more=False)
        scores.append(standardised(values["dense"]))
        weights.append(WEIGHTS.caption)
        if reader:
            values["signal_z"] = _signal_scores(snapshot, reader, question.words, judged, exact, ms)
            scores.append(np.nan_to_num(values["signal_z"]))
            weights.append(WEIGHTS.signals)
            engine += f"; signals by {public_name(reader)}, {reader.runs_on}"
    began = time.perf_counter()
    for number, fact in enumerate(question.facts):
        z, unscored = _fact_scores(judged, number)
        scores.append(z)
        heard = int(judged.columns[f"told{number}"].sum())
        if reader and heard:
            notes.append(
                f"{fact.words!r} was not scored in {heard} epochs; {public_name(reader)} tells it from their signals"
            )
        if unscored > heard:
            by = ", ".join(dict.fromkeys(str(c.evidence) for c in fact.concepts if c.evidence))
            notes.append(f"{fact.words!r} was not scored in {unscored - heard} epochs and was measured there by {by}")
    scores += [standardised(judged.columns[f"clear{n}"]) for n in range(len(question.filters))
               if f"clear{n}" in judged.columns]  # fmt: skip
    weights += [1.0] * (len(scores) - len(weights))
    score = np.zeros(len(rows))
    for z, weight in zip(scores, weights, strict=True):
        score += z * weight
    score /= sum(weights) or 1.0
    return ranked(best_of(score, rows, most), engine, score=score, **values)


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
        (clock_s,) = snapshot.arrays(["clock_s"])
        unknown = len(np.unique(nights(snapshot).of[np.isnan(clock_s)]))
        notes += [f"the time of day is not known in {unknown} nights; their epochs are left out"] if unknown else []
    return notes


# ---- how well they do


def _meaning(
    snapshot: Snapshot, encoder: Encoder, question: Question, rows: NDArray[np.int64], exact: bool,
    ms: dict[str, float],
) -> tuple[NDArray[np.float64], str, list[str]]:  # fmt: skip
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
    captions, place = snapshot.captions()
    place = place[rows]
    there = np.zeros(len(captions) + 1, bool)  # the last is of epochs without a caption, whose place is -1
    there[place] = True
    ids = captions[there[:-1]]
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
    dense = np.full(len(there), scores.min(initial=1.0))
    dense[np.searchsorted(captions, found.ids[used][real])] = scores
    return dense[place], f"{found.engine} on {found.device}: {found.why}", notes


def _signal_scores(
    snapshot: Snapshot, reader: Encoder, words: str, judged: Judged, exact: bool, ms: dict[str, float]
) -> NDArray[np.float64]:
    """z of the cosine between the words and each row's signals; NaN where no sensor of the encoder was usable.

    Those beyond what was found share the last score.
    """
    began = time.perf_counter()
    query = reader.embed_texts([words])
    ms["embed"] += _since(began)
    asked = snapshot.ids[judged.rows[judged.seen]] if not judged.seen.all() else snapshot.ids[judged.rows]
    z = np.full(len(judged.rows), np.nan)
    if not len(asked):
        return z
    most = min(len(asked), _SIGNALS_MOST)
    among = asked if len(asked) < len(snapshot.ids) else None
    found = snapshot.search(reader.space, "signal", query, most, ids=among, exact=exact)
    for stage, spent in found.ms.items():
        ms[stage] = ms.get(stage, 0.0) + round(spent, 2)
    real = found.ids[0] >= 0
    scores = found.scores[0][real].astype(np.float64)
    cosine = np.full(len(asked), scores.min(initial=1.0))
    cosine[np.searchsorted(asked, found.ids[0][real])] = scores
    z[judged.seen] = standardised(cosine)
    return z


def _fact_scores(judged: Judged, number: int) -> tuple[NDArray[np.float64], int]:
    """z of one fact over the rows, and how many rows have it measured, not scored; zero where there is no value."""
    which, truth, extent, grade, by_words = (
        judged.columns[f"{name}{number}"] for name in ("which", "truth", "extent", "grade", "told")
    )
    scored = truth >= 0
    timed = scored & ~np.isnan(extent)
    z = np.zeros(len(which))
    for own in [which == w for w in np.unique(which)]:
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
