"""Ranking: the meaning of the words and the facts of the catalog, fused by one documented rule.

Filters (numbers, negations, people) and facts that somebody scored decide which epochs can be hits at all. Facts that
nobody scored, but a sensor can grade (deep sleep from the EEG), rank. The rank score of an epoch is

    mean of  z(cosine of question and caption)  and  z(each graded fact)

where z standardises over the searched epochs that remain, so that no two scales are ever added raw. It is no
probability. Unknown is not no: an epoch that cannot answer is left out and counted by the reason.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from encoders.captions import Concept, load_measures
from encoders.models import Encoder
from encoders.vocabulary import EPOCH_S
from index import Snapshot
from retrieval.question import Filter, Question

_CAPTIONS_MOST = 2048  # distinct captions that are ranked by meaning; the rest share the last one's score
# Below this cosine to every caption, words without a filter or a fact are taken as not about sleep: questions of the
# test list stay above it, sentences from elsewhere below (scripts/calibrate_floor.py prints both).
WORDS_FLOOR = 0.30


@dataclass(frozen=True, slots=True)
class Ranked:
    """Epochs that answer, best first: the frame has `epoch_id recording epoch start_s score dense` and fact columns."""

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


def _reason_sql(channels: Sequence[Sequence[str]], scored_kind: str | None) -> str:
    """SQL for why a row cannot answer: 'quality' where a sensor is there but bad, else 'sensor', else 'not_scored'."""
    if not channels:
        return "'not_scored'"
    sets = [[f"ok_{c.lower()}" for c in chosen] for chosen in channels]
    there = " OR ".join("(" + " AND ".join(f"{c} IS NOT NULL" for c in chosen) + ")" for chosen in sets)
    usable = " OR ".join("(" + " AND ".join(f"coalesce({c}, FALSE)" for c in chosen) + ")" for chosen in sets)
    missing = "'not_scored'" if scored_kind else "'sensor'"
    return f"CASE WHEN {usable} THEN 'not_scored' WHEN {there} THEN 'quality' ELSE {missing} END"


def _fact_sql(concept: Concept, number: int) -> list[str]:
    """Columns of one fact: `truth` (scored), `extent` (seconds of a scored event in the epoch), `grade` (by sensor)."""
    truth = f"({concept.scored})" if concept.scored else "NULL::BOOLEAN"
    counted = re.fullmatch(r"n_(\w+) > 0", concept.scored or "")
    extent = f"{counted[1]}_s::DOUBLE" if counted else "NULL::DOUBLE"
    grade = f"({concept.evidence} * {concept.sign})::DOUBLE" if concept.evidence else "NULL::DOUBLE"
    reason = _reason_sql(concept.channels, concept.coverage)
    return [
        f"{truth} AS truth{number}",
        f"{extent} AS extent{number}",
        f"{grade} AS grade{number}",
        f"{reason} AS reason{number}",
    ]


def _filter_sql(condition: Filter, number: int) -> list[str]:
    """Columns of one filter: `holds`, how clearly (`clear`), and why it could not be judged."""
    measure = load_measures().get(condition.columns[0]) if condition.columns else None
    reason = _reason_sql(measure.channels, None) if measure else "'not_scored'"
    clear = "NULL::DOUBLE"
    if condition.rank_by:
        column, sign = condition.rank_by
        clear = f"({column} * {sign})::DOUBLE"
    return [f"({condition.sql}) AS holds{number}", f"{clear} AS clear{number}", f"{reason} AS unclear{number}"]


def rank(snapshot: Snapshot, encoder: Encoder, question: Question, *, where: str | None, exact: bool) -> Ranked:
    """Every epoch that answers `question` among the rows of `where`, best first."""
    ms: dict[str, float] = {}
    began = time.perf_counter()
    frame, able, refused = _candidates(snapshot, question, where)
    ms["filter"] = _since(began)
    rows_left = frame.height
    if not rows_left:
        return Ranked(frame, able, refused, "none: no row left to rank", ms, [])
    began = time.perf_counter()
    scores: list[np.ndarray] = []
    notes: list[str] = []
    engine = "none: the question left no words to embed"
    dense = np.zeros(rows_left, np.float64)
    if question.words:
        query = encoder.embed_texts([question.words])
        ms["embed"] = _since(began)
        ids, place = np.unique(frame["caption_id"].to_numpy(), return_inverse=True)
        found = snapshot.search(encoder.space, "caption", query, min(len(ids), _CAPTIONS_MOST), ids=ids, exact=exact)
        engine = f"{found.engine} on {found.device}: {found.why}"
        ms |= found.ms
        by_id = np.full(len(ids), found.scores[0][found.ids[0] >= 0].min(initial=1.0))
        real = found.ids[0] >= 0
        by_id[np.searchsorted(ids, found.ids[0][real])] = found.scores[0][real]
        dense = by_id[place].astype(np.float64)
        if not (question.facts or question.filters) and dense.max() < WORDS_FLOOR:
            note = f"nothing here resembles these words (best cosine {dense.max():.2f}, floor {WORDS_FLOOR:.2f})"
            return Ranked(frame.clear(), able, refused, engine, ms, [note])
        scores.append(standardised(dense))
    began = time.perf_counter()
    frame = frame.with_columns(pl.Series("dense", dense))
    for number, fact in enumerate(question.facts):
        scored = frame[f"truth{number}"].is_not_null().to_numpy()
        extent, grade = (frame[f"{c}{number}"].to_numpy().astype(np.float64) for c in ("extent", "grade"))
        z = np.zeros(rows_left)
        for rows, values in ((scored & ~np.isnan(extent), extent), (~scored & ~np.isnan(grade), grade)):
            z[rows] = standardised(values[rows])
        scores.append(z)
        if graded := int((~scored).sum()):
            notes.append(
                f"{fact.words!r} was not scored in {graded} epochs and was graded there by {fact.concept.evidence}"
            )
    for number, condition in enumerate(question.filters):
        if condition.rank_by:
            scores.append(standardised(frame[f"clear{number}"].to_numpy()))
    score = np.mean(scores, axis=0) if scores else np.zeros(rows_left)
    frame = frame.with_columns(pl.Series("score", score)).sort(["score", "epoch_id"], descending=[True, False])
    ms["fuse"] = _since(began)
    return Ranked(frame, able, refused, engine, ms, notes)


def _candidates(snapshot: Snapshot, question: Question, where: str | None) -> tuple[pl.DataFrame, int, dict[str, int]]:
    """Rows that may be hits; how many could answer; how many could not, by reason."""
    columns = ["epoch_id", "recording", "epoch", "start_s", "caption_id"]
    for number, fact in enumerate(question.facts):
        columns += _fact_sql(fact.concept, number)
    for number, condition in enumerate(question.filters):
        columns += _filter_sql(condition, number)
    frame = snapshot.sql(f"SELECT {', '.join(columns)} FROM epochs")
    if where:
        frame = frame.filter(pl.Series(np.isin(frame["epoch_id"].to_numpy(), snapshot.rows(where))))
    refused = {"sensor": 0, "not_scored": 0, "quality": 0}
    open_rows = pl.repeat(True, frame.height, dtype=pl.Boolean, eager=True)
    unknown = [(frame[f"holds{n}"].is_null(), f"unclear{n}") for n in range(len(question.filters))]
    unknown += [
        (frame[f"truth{n}"].is_null() & frame[f"grade{n}"].is_null(), f"reason{n}") for n in range(len(question.facts))
    ]
    for rows, reason in unknown:
        for why, count in frame.filter(rows & open_rows)[reason].value_counts().iter_rows():
            refused[why] += count
        open_rows = open_rows & ~rows
    able = int(open_rows.sum())
    for number in range(len(question.filters)):
        open_rows = open_rows & frame[f"holds{number}"].fill_null(False)
    for number, fact in enumerate(question.facts):
        refuted = ~frame[f"truth{number}"].fill_null(True)
        open_rows = open_rows & ~refuted
        floor = fact.concept.present_from
        if floor is not None:
            low = frame[f"grade{number}"] < floor * fact.concept.sign
            open_rows = open_rows & ~(frame[f"truth{number}"].is_null() & low.fill_null(False))
    return frame.filter(open_rows), able, refused


def merge_runs(ranked: pl.DataFrame, k: int) -> list[list[int]]:
    """The best `k` stretches as lists of row numbers of `ranked`: selected epochs that touch are one stretch.

    Rows are taken from the best down until `k` stretches stand apart or none is left; the first row of a stretch is
    its best.
    """
    recording = ranked["recording"].to_list()
    epoch = ranked["epoch"].to_list()
    place: dict[tuple[str, int], int] = {}  # (recording, epoch) -> stretch
    runs: dict[int, list[int]] = {}
    for row in range(ranked.height):
        name, at = recording[row], epoch[row]
        touching = sorted({place[key] for key in ((name, at - 1), (name, at + 1)) if key in place})
        if not touching and len(runs) == k:
            break
        home = touching[0] if touching else row
        runs.setdefault(home, []).append(row)
        place[name, at] = home
        for other in touching[1:]:
            for member in (joined := runs.pop(other)):
                place[recording[member], epoch[member]] = home
            runs[home] += joined
    return [sorted(rows) for _, rows in sorted(runs.items(), key=lambda item: min(item[1]))]


def span(ranked: pl.DataFrame, rows: Sequence[int]) -> tuple[float, float]:
    """Start and stop in seconds of a stretch."""
    starts = ranked["start_s"].gather(list(rows))
    return float(starts.min()), float(starts.max()) + EPOCH_S  # type: ignore[arg-type]


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 2)
