"""From ranked epochs to hits: what is shown of each, and why it is there."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from encoders.captions import PARTS
from encoders.recordings.timeline import DAY_S, clock
from encoders.vocabulary import EPOCH_S
from index import Snapshot
from retrieval.asked import Question
from retrieval.hit import Hit

_OF_EPOCH = ("epoch_id", "recording", "stage", "stage_source", "events", "substitutes", *(f"text_{p}" for p in PARTS))
_OF_RECORDING = ("subject", "start_clock_s", "simulated")


def details(snapshot: Snapshot, ids: Sequence[int], columns: Iterable[str] = ()) -> dict[int, dict[str, Any]]:
    """What a hit shows of these epochs, and further columns, by `epoch_id`; few columns, since each costs time."""
    if not ids:
        return {}
    listed = tuple(dict.fromkeys((*_OF_EPOCH, *columns, *_OF_RECORDING)))
    frame = snapshot.sql(f"SELECT {', '.join(listed)} FROM {snapshot.narrowest(listed, ids)}")
    return {row["epoch_id"]: row for row in frame.iter_rows(named=True)}


def hits_of(
    snapshot: Snapshot, ranked: pl.DataFrame, runs: Sequence[Sequence[int]], question: Question | None
) -> list[Hit]:
    """One hit a stretch; what is said of it is said of its best epoch."""
    if not runs:
        return []
    ids = ranked["epoch_id"].to_list()
    best = [ids[rows[0]] for rows in runs]
    rows_by_id = details(snapshot, best, _reasons(question) if question else ())
    starts, scores = ranked["start_s"], ranked["score"].to_list()
    from_s = ranked.get_column("from_s", default=starts).to_list()  # of a pair in time, where the pair's epochs begin
    to_s = ranked.get_column("to_s", default=starts + EPOCH_S).to_list()
    hits = []
    for rows, epoch_id in zip(runs, best, strict=True):
        start_s, stop_s = min(from_s[r] for r in rows), max(to_s[r] for r in rows)
        facts = why(ranked.row(rows[0], named=True), rows_by_id[epoch_id], question) if question else []
        hit = hit_of(rows_by_id[epoch_id], start_s, stop_s, scores[rows[0]], facts)
        hits.append(replace(hit, best_s=starts[rows[0]]))
    return hits


def _reasons(question: Question) -> set[str]:
    evidence = {c.evidence for fact in question.facts for c in fact.concepts if c.evidence}
    return evidence | {column for condition in question.filters for column in condition.columns}


def caption_of(row: dict[str, Any]) -> dict[str, str]:
    """What was measured and scored, in words by part; a part with nothing to say is no key."""
    return {part: row[f"text_{part}"] for part in PARTS if row[f"text_{part}"]}


def hit_of(row: dict[str, Any], start_s: float, stop_s: float, score: float, facts: list[str]) -> Hit:
    """A hit from one row of the view `epochs`."""
    start_clock = row["start_clock_s"]
    return Hit(
        recording=row["recording"],
        subject=row["subject"],
        start_s=start_s,
        stop_s=stop_s,
        clock=clock((start_clock + start_s) % DAY_S) if start_clock is not None else None,
        score=round(score, 4),
        stage=row["stage"],
        stage_source=row["stage_source"],
        events=list(row["events"] or []),
        caption=caption_of(row),
        substitutes=(row["substitutes"] or "").split("; ") if row["substitutes"] else [],
        why=facts,
        simulated=bool(row["simulated"]),
    )


def why(ranked: dict[str, Any], row: dict[str, Any], question: Question) -> list[str]:
    """The facts that put this epoch here, in words."""
    lines = []
    for number, fact in enumerate(question.facts):
        concept = fact.concepts[ranked[f"which{number}"]]
        if ranked.get(f"told{number}"):
            lines.append(f"{fact.words}: told from the signals, not scored")
        elif not ranked[f"truth{number}"]:
            column = str(concept.evidence)
            lines.append(f"{fact.words}: {column} = {_short(row[column])} (measured, not scored)")
        elif concept.kind == "position":
            lines.append(f"{fact.words}: the position channel says so")
        elif concept.kind == "stage":
            lines.append(f"{fact.words}: scored {row['stage']} by {row['stage_source']}")
        else:
            seconds = ranked[f"extent{number}"]
            lines.append(f"{fact.words}: scored" + (f", {seconds:.0f} s of the epoch" if seconds is not None else ""))
    for number, condition in enumerate(question.filters):
        if condition.relation is not None:
            lines.append(f"{condition.words}: {ranked.get(f'filter{number}_said') or condition.says}")
            continue
        shown = [(c, clock(row[c]) if c == "clock_s" else _short(row[c])) for c in condition.columns]
        said = ", ".join(f"{c} = {value}" for c, value in shown)
        lines.append(f"{condition.words}: {said or 'none was scored'}")
    if question.words:
        lines.append(f"caption near the words: cosine {ranked['dense']:.2f}")
        if (z := ranked.get("signal_z", math.nan)) == z:
            lines.append(f"signals near the words: {z:+.1f} standard deviations from the mean of those that match")
    return lines


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
