"""One night, from files to tables: what a reading process does, without torch, FAISS or the catalog.

The tables go to the parent as Arrow files in a folder, which it maps. Paths and file names stay out of the tables.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encoders.captions import (
    PARTS,
    Lights,
    by_kind,
    caption_epochs,
    event_table,
    load_nights,
    measure_epochs,
    night_report,
    score_epochs,
)
from encoders.errors import BadInput
from encoders.recordings import (
    Choice,
    Epochs,
    Recording,
    SiteChannels,
    Source,
    build_epochs,
    epoch_grid,
    open_recording,
)
from encoders.recordings.annotations import default_first, read_annotations
from encoders.recordings.timeline import DAY_S, Scoring
from encoders.vocabulary import CHANNELS, EPOCH_S, KINDS
from retrieval.autoscore import score_stages
from retrieval.moment import seconds_of
from retrieval.scorers import stage_table
from retrieval.signals import save_epochs, signals_file

_TEXTS = ("alignment", "montage_problems", "repairs", "notes")
# Of columns that can be null or empty all along, so that every night's table has the same types.
_RECORDING_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(_TEXTS, pl.List(pl.String)),
    **dict.fromkeys(("cohort", "scorer", "stage_scorer", "auto_scorer", "stage_rules", "airflow_sensor"), pl.String),
    "start_clock_s": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Job:
    """What a reading process is given."""

    source: Source
    folder: Path  # where it may write
    subject: Mapping[str, object]
    subject_types: Mapping[str, type[pl.DataType]]
    known_fingerprint: str | None  # of the version that the cohort has
    file_hashes: Mapping[str, str]  # path -> SHA-256, where size and time of change say it is unchanged
    salt: str  # what else decides whether a night is skipped: the site's labels, the version of our words
    site: SiteChannels
    id_key: bytes
    scorer: str | None = None
    strict_montage: bool = False
    lights: tuple[str, str] | None = None  # off and on of every night of this run
    signals: bool = False  # the encoder reads signals, so they are wanted
    embedded: bool = True  # every epoch of the version that the cohort has is embedded already
    score: str | None = None  # the program that stages it too


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
    signals: Path | None = None  # the folder of `retrieval.signals`
    refused: tuple[tuple[str, str], ...] = ()  # annotation files (paths) that were left out, and why


def _sha256(path: Path, known: Mapping[str, str]) -> str:
    if str(path) in known:
        return known[str(path)]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(job: Job) -> tuple[str, dict[str, str]]:
    """One hash over the night's files, its subject's row and all else that decides what would be written."""
    hashes = {str(p): _sha256(p, job.file_hashes) for p in (*job.source.paths, *job.source.annotations)}
    said = [sorted(hashes.values()), sorted(job.subject.items()), job.salt, job.scorer, job.strict_montage, job.lights]
    said += [job.score] if job.score else []
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest(), hashes


def caption_id(parts: Sequence[str]) -> int:
    """The 63-bit id of a wording: the same words have the same id in every cohort."""
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:8], "big") >> 1


def wanted_first(scorings: Sequence[Scoring], wanted: str | None) -> tuple[list[Scoring], list[str]]:
    """The scorings with the wanted scorer's in front; a note where this night has none of theirs."""
    if wanted is None or not scorings:
        return list(scorings), []
    if not any(s.scorer == wanted for s in scorings):
        have = ", ".join(s.scorer for s in scorings)
        return list(scorings), [f"no scorer {wanted!r} (have: {have}); {scorings[0].scorer!r} was taken"]
    return sorted(scorings, key=lambda s: s.scorer != wanted), []


def read_night(job: Job) -> NightFiles:
    """Read one recording and write its tables into `job.folder`; a known fingerprint is skipped unread.

    Of a night that is known but not yet embedded, the signals alone are written.
    """
    mark, hashes = fingerprint(job)
    known = mark == job.known_fingerprint
    if known and (job.embedded or not job.signals):
        return NightFiles(job.source.id, mark, True, {}, hashes)
    recording = open_recording(
        job.source.paths, recording_id=job.source.id, strict=job.strict_montage, id_key=job.id_key,
        **job.site.as_options(),
    )  # fmt: skip
    # A scoring that can't be read costs the scoring, not the night: unscored is null, and the reason is said.
    refused: list[tuple[Path | None, str]] = []
    found = read_annotations(job.source.annotations, recording.clock(), cohort=recording.cohort, refused=refused)
    scorings, notes = wanted_first(found, job.scorer)  # people's grid, where they have one, is the program's too
    staged = next((s for s in scorings if "stages" in s.coverage), None)
    starts = epoch_grid(recording.duration_s, staged)
    if not len(starts):
        raise BadInput(too_short(job.source.id, recording.duration_s))
    out = signals_file(job.folder, len(starts)) if job.signals else None
    epochs = build_epochs(recording, starts, signals=job.signals, out=out)
    if job.signals:
        save_epochs(job.folder, epochs)
        if known:
            return NightFiles(job.source.id, mark, False, {}, hashes, len(epochs), tuple(notes), signals=job.folder)
    if job.score:
        try:
            by_program = score_stages(job.score, recording, epochs, job.subject)
            found = [*(s for s in found if s.scorer != by_program.scorer), by_program]
        except BadInput as error:
            refused.append((None, str(error)))
        scorings, notes = wanted_first(default_first(found), job.scorer)
    notes += [job.source.note] if job.source.note else []
    measures = measure_epochs(recording, epochs)
    scored = score_epochs(epochs.start_s, scorings)
    wording = caption_epochs(measures, scored, epochs, numbers=False)
    shown = caption_epochs(measures, scored, epochs, numbers=True)
    ids = [caption_id([parts[p] for p in PARTS]) for parts in wording]
    age = job.subject.get("age")
    lights, doubts = _lights(job, recording.start_clock_s)
    notes += doubts
    night = night_report(
        recording, epochs, measures, scored, scorings, lights, age_years=age if isinstance(age, float) else None
    )
    left_out = [f"scoring left out: {nameless(path, why)}" for path, why in refused]
    named = pl.lit(job.source.id).alias("recording")
    rows = _epoch_rows(recording, epochs, ids)
    numbers = pl.DataFrame({k: _column(v) for k, v in measures.items()})
    texts = pl.DataFrame([{f"text_{p}": w[p] for p in PARTS} for w in shown])
    tables = {
        "recordings": _recording_row(recording, epochs, job, scorings, left_out),
        "subjects": pl.DataFrame(
            {"subject": [job.subject["subject"]], "subject_known": [job.subject["subject_known"]]}
        ),
        "nights": pl.DataFrame([night], schema=_night_types()).with_columns(named),
        "epochs": pl.concat([rows, numbers, scored, texts], how="horizontal"),
        "events": event_table(scorings).with_columns(named),
        "coverage": _coverage(job.source.id, scorings),
        "stages": stage_table(scorings).with_columns(named),
        "captions": pl.DataFrame([{"caption_id": i, **w} for i, w in zip(ids, wording, strict=True)]).unique(
            "caption_id"
        ),
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, table in tables.items():
        paths[name] = job.folder / f"{name}.arrow"
        table.write_ipc(paths[name])
    by_path = tuple((str(path or job.source.paths[0]), why) for path, why in refused)
    return NightFiles(
        job.source.id,
        mark,
        False,
        paths,
        hashes,
        len(epochs),
        tuple(notes),
        job.folder if job.signals else None,
        by_path,
    )


def nameless(path: Path | None, why: str) -> str:
    """A reason as catalog and manifest may keep it: they may be passed on, and a file's name may be a person's."""
    return why.replace(path.name, "<file>").replace(path.stem, "<file>") if path else why


def too_short(name: str, duration_s: float) -> str:
    """Why a recording without one whole epoch is refused."""
    return f"{name}: {duration_s:g} s of signal; at least one epoch of {EPOCH_S:g} s is needed."


def _night_types() -> dict[str, type[pl.DataType]]:
    return {name: pl.String if facts["unit"] == "text" else pl.Float64 for name, facts in load_nights().items()}


def _lights(job: Job, start_clock_s: float | None) -> tuple[Lights | None, list[str]]:
    """Lights off and on from the subjects' CSV, else as given for the run; None: the scorer's, or assumed."""
    off, on = job.subject.get("lights_off"), job.subject.get("lights_on")
    source, said = ("csv", (off, on)) if off and on else ("flag", job.lights)
    if said is None:
        return None, []
    try:
        off_s, on_s = (seconds_of(str(when), start_clock_s, job.source.id) for when in said)
    except BadInput as error:
        return None, [f"lights not taken: {error}"]
    if not off_s < on_s:
        return None, [f"lights not taken: off {said[0]!r} is not before on {said[1]!r} on this night's clock"]
    return Lights(off_s, on_s, source), []


def _recording_row(
    recording: Recording, epochs: Epochs, job: Job, scorings: Sequence[Scoring], refused: Sequence[str]
) -> pl.DataFrame:
    montage = recording.montage
    report: dict[str, Any] = {
        "recording": job.source.id,
        "subject": job.subject["subject"],
        **{c: job.subject[c] for c in job.subject_types},
        "cohort": recording.cohort,
        "duration_s": recording.duration_s,
        "start_clock_s": recording.start_clock_s,
        "simulated": recording.simulated,
        "id_hashed": job.source.id_hashed,
        "scorer": scorings[0].scorer if scorings else None,
        "stage_scorer": next((s.scorer for s in scorings if "stages" in s.coverage), None),
        "auto_scorer": job.score,
        "stage_rules": next((s.rules for s in scorings if "stages" in s.coverage), None),
        "alignment": [_alignment_text(s) for s in scorings],
        "airflow_sensor": montage.choices["AF"].sensor if "AF" in montage.choices else None,
        "montage": json.dumps({c.channel: _choice_text(c) for c in montage.choices.values()}),
        "absent": json.dumps(montage.absent),
        "montage_problems": list(montage.problems),
        "repairs": [f"{r.field}: found {r.found}, used {r.used}" for r in recording.repairs],
        "notes": [*recording.header_notes, *(f"{channel}: {note}" for channel, note in epochs.notes.items()), *refused],
    }
    return pl.DataFrame([report], schema_overrides={**_RECORDING_TYPES, **job.subject_types})


def _choice_text(choice: Choice) -> str:
    return f"{choice.label}{' - ' + choice.minus_label if choice.minus_label else ''}: {choice.why}"


def _alignment_text(scoring: Scoring) -> str:
    a = scoring.alignment
    text = (
        f"{scoring.source} ({scoring.scorer}): {a.stage_count} stages, {a.event_count} events, offset {a.offset_s:+g} s"
    )
    return "; ".join([text, a.reason, *a.cut, *(f"unknown name {u}" for u in a.unknown)])


def _epoch_rows(recording: Recording, epochs: Epochs, ids: Sequence[int]) -> pl.DataFrame:
    start_s = epochs.start_s
    unknown = pl.repeat(None, len(start_s), dtype=pl.Float64, eager=True)
    clock_s = unknown if recording.start_clock_s is None else (start_s + recording.start_clock_s) % DAY_S
    base: dict[str, Any] = {
        "epoch": np.arange(len(start_s), dtype=np.int32),
        "start_s": start_s,
        "stop_s": start_s + EPOCH_S,
        "clock_s": clock_s,
        "caption_id": np.array(ids, np.int64),
    }
    for i, channel in enumerate(CHANNELS):  # null: the recording has no such channel; false: bad in this epoch
        there = channel in recording.montage.choices
        base[f"ok_{channel.lower()}"] = epochs.present[:, i] if there else unknown.cast(pl.Boolean)
    return pl.DataFrame(base)


def _column(values: np.ndarray) -> pl.Series:
    if values.dtype == object:
        return pl.Series(values.tolist(), dtype=pl.String)
    return pl.Series(values).fill_nan(None) if values.dtype.kind == "f" else pl.Series(values)


def _coverage(name: str, scorings: Sequence[Scoring]) -> pl.DataFrame:
    used = by_kind(scorings)
    rows = [
        (name, s.scorer, kind, kind in s.coverage, s.coverage.get(kind), used.get(kind) is s)
        for s in scorings
        for kind in KINDS
    ]
    schema = {"recording": pl.String, "scorer": pl.String, "kind": pl.String, "scored": pl.Boolean, "why": pl.String}
    return pl.DataFrame(rows, schema=schema | {"used": pl.Boolean}, orient="row")
