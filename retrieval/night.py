"""One night, from files to tables: what a reading process does, without torch, FAISS or the catalog.

The tables go to the parent as Arrow files in a folder, which it maps; signals, where an encoder reads them, as one
`.npy` file beside them. Paths and file names stay out of the tables.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encoders.captions import CAPTION_VERSION, PARTS, caption_epochs, events_table, measure_epochs, night_report, score_epochs
from encoders.recordings import Recording, Source, build_epochs, epoch_grid, open_recording
from encoders.recordings.annotations import RecordingClock, read_annotations
from encoders.recordings.timeline import Scoring
from encoders.vocabulary import CHANNELS, EPOCH_S, KINDS


@dataclass(frozen=True, slots=True)
class Job:
    """What a reading process is given."""

    source: Source
    folder: Path  # where it may write
    subject: Mapping[str, object]
    known_fingerprint: str | None  # of the version that the cohort has
    file_hashes: Mapping[str, str]  # path -> SHA-256, where size and time of change say it is unchanged
    salt: str  # caption version and space: what else decides whether a night is skipped
    channel_overrides: Mapping[str, str] | None = None
    scorer: str | None = None
    strict_montage: bool = False


@dataclass(frozen=True, slots=True)
class NightFiles:
    """What a reading process hands back."""

    recording: str
    fingerprint: str
    skipped: bool
    tables: dict[str, Path]
    file_hashes: dict[str, str]
    epochs: int = 0
    notes: tuple[str, ...] = ()


def _sha256(path: Path, known: Mapping[str, str]) -> str:
    if str(path) in known:
        return known[str(path)]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(job: Job) -> tuple[str, dict[str, str]]:
    """One hash over the night's files, its subject's row and all else that decides what would be written."""
    hashes = {str(p): _sha256(p, job.file_hashes) for p in (*job.source.paths, *job.source.annotations)}
    said = [sorted(hashes.values()), sorted(job.subject.items()), job.salt, sorted((job.channel_overrides or {}).items()),
            job.scorer, job.strict_montage, CAPTION_VERSION]  # fmt: skip
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest(), hashes


def caption_id(parts: Sequence[str]) -> int:
    """The 63-bit id of a wording: the same words have the same id in every cohort."""
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:8], "big") >> 1


def default_scoring(scorings: Sequence[Scoring], wanted: str | None) -> tuple[Scoring | None, list[str]]:
    """The scoring that rows rest on: the one asked for, else the first (human before automatic before device)."""
    if wanted is None or not scorings:
        return (scorings[0] if scorings else None), []
    for scoring in scorings:
        if scoring.scorer == wanted:
            return scoring, []
    have = ", ".join(s.scorer for s in scorings)
    return scorings[0], [f"no scorer {wanted!r} here (have: {have}); took {scorings[0].scorer!r}"]


def read_night(job: Job) -> NightFiles:
    """Read one recording and write its tables into `job.folder`; a known fingerprint is skipped unread."""
    mark, hashes = fingerprint(job)
    if mark == job.known_fingerprint:
        return NightFiles(job.source.id, mark, True, {}, hashes)
    recording = open_recording(
        job.source.paths, recording_id=job.source.id, overrides=job.channel_overrides, strict=job.strict_montage
    )
    scorings = read_annotations(job.source.annotations, RecordingClock.of(recording), cohort=recording.cohort)
    scoring, notes = default_scoring(scorings, job.scorer)
    epochs = build_epochs(recording, epoch_grid(recording.duration_s, scoring), signals=False)
    if not len(epochs):
        raise ValueError(f"{job.source.id}: {recording.duration_s:g} s long; at least one epoch of {EPOCH_S:g} s is needed.")
    measures = measure_epochs(recording, epochs)
    scored = score_epochs(epochs.start_s, scoring)
    wording = caption_epochs(measures, scored, epochs, numbers=False)
    shown = pl.DataFrame([{f"text_{p}": w[p] for p in PARTS} for w in caption_epochs(measures, scored, epochs, numbers=True)])
    ids = [caption_id([parts[p] for p in PARTS]) for parts in wording]
    tables = {
        "recordings": _recording_row(recording, job, scoring, scorings),
        "subjects": pl.DataFrame([{k: v for k, v in job.subject.items() if k != "recording"}]),
        "nights": pl.DataFrame([{"recording": job.source.id, **night_report(recording, epochs, measures, scored, scoring)}]),
        "epochs": pl.concat([_epoch_rows(job.source.id, recording, epochs, measures, scored, ids), shown], how="horizontal"),
        "events": events_table(scoring).with_columns(recording=pl.lit(job.source.id)),
        "coverage": _coverage(job.source.id, scorings, scoring),
        "captions": pl.DataFrame([{"caption_id": i, **w} for i, w in zip(ids, wording, strict=True)]).unique("caption_id"),
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, table in tables.items():
        paths[name] = job.folder / f"{name}.arrow"
        table.write_ipc(paths[name])
    return NightFiles(job.source.id, mark, False, paths, hashes, len(epochs), tuple(notes))


def _recording_row(recording: Recording, job: Job, scoring: Scoring | None, scorings: Sequence[Scoring]) -> pl.DataFrame:
    montage = recording.montage
    alignment = scoring.alignment if scoring else None
    report: dict[str, Any] = {
        "recording": job.source.id,
        "subject": job.subject["subject"],
        "subject_known": job.subject["subject_known"],
        "cohort": recording.cohort,
        "duration_s": recording.duration_s,
        "start_clock_s": recording.start_clock_s,
        "simulated": recording.simulated,
        "id_hashed": recording.id_hashed,
        "scorer": scoring.scorer if scoring else None,
        "stage_rules": scoring.rules if scoring else None,
        "annotation_format": scoring.source if scoring else None,
        "alignment": _alignment_text(scoring) if alignment else None,
        "other_scorers": [s.scorer for s in scorings if s is not scoring],
        "substitutes": [f"{c.channel}: {c.canonical} ({c.label})" for c in montage.choices.values() if c.substitute],
        "airflow_sensor": montage.choices["AF"].sensor if "AF" in montage.choices else None,
        "montage": json.dumps({c.channel: _choice_text(c) for c in montage.choices.values()}),
        "montage_problems": list(montage.problems),
        "repairs": [f"{r.field}: found {r.found}, used {r.used}" for r in recording.repairs],
    }
    return pl.DataFrame([report], infer_schema_length=None)


def _choice_text(choice: Any) -> str:
    return f"{choice.label}{' - ' + choice.minus_label if choice.minus_label else ''}: {choice.why}"


def _alignment_text(scoring: Scoring) -> str:
    a = scoring.alignment
    text = f"{scoring.source}: {a.stage_count} stages, {a.event_count} events, offset {a.offset_s:+g} s ({a.reason})"
    return "; ".join([text, *a.cut, *(f"unknown name {u}" for u in a.unknown)])


def _epoch_rows(
    name: str, recording: Recording, epochs: Any, measures: Mapping[str, np.ndarray], scored: pl.DataFrame, ids: list[int]
) -> pl.DataFrame:
    start = epochs.start_s
    base: dict[str, Any] = {
        "recording": [name] * len(start),
        "epoch": np.arange(len(start), dtype=np.int32),
        "start_s": start,
        "stop_s": start + EPOCH_S,
        "clock_s": (start + recording.start_clock_s) % 86_400 if recording.start_clock_s is not None else [None] * len(start),
        "caption_id": np.array(ids, np.int64),
    }
    for i, channel in enumerate(CHANNELS):
        has = channel in recording.montage.choices
        base[f"ok_{channel.lower()}"] = epochs.present[:, i] if has else pl.Series([None] * len(start), dtype=pl.Boolean)
    frame = pl.DataFrame(base, schema_overrides={"clock_s": pl.Float64})
    numbers = {k: _column(v) for k, v in measures.items()}
    return pl.concat([frame, pl.DataFrame(numbers), scored], how="horizontal")


def _column(values: np.ndarray) -> pl.Series:
    if values.dtype == object:
        return pl.Series(values.tolist(), dtype=pl.String)
    return pl.Series(values).fill_nan(None) if values.dtype.kind == "f" else pl.Series(values)


def _coverage(name: str, scorings: Sequence[Scoring], used: Scoring | None) -> pl.DataFrame:
    rows = [
        {"recording": name, "scorer": s.scorer, "kind": kind, "scored": kind in s.coverage, "why": s.coverage.get(kind),
         "used": s is used}  # fmt: skip
        for s in scorings
        for kind in KINDS
    ]
    schema = {"recording": pl.String, "scorer": pl.String, "kind": pl.String, "scored": pl.Boolean, "why": pl.String,
              "used": pl.Boolean}  # fmt: skip
    return pl.DataFrame(rows, schema=schema)
