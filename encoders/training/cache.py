"""Epochs ready to train on: recordings read once, each into a folder of arrays, and batches drawn from many of them.

A recording's folder holds `x.npy` float16 `(n, 12, 1920)`, `present.npy` bool `(n, 12)` and `night.npy` float32
`(12, NIGHT)` as `encoders.models.small.inputs` prepares them; `facts.parquet`, a row an epoch of all that was measured
and scored; `bits.npy` uint32 `(n, slots)` and `moments.npy` uint32 `(n, STEPS)`, what `encoders.training.facts` and
`moments` make of it; and, written last, `row.json`.
An epoch takes 46 kB, a night of eight hours 44 MB.

Where SleepLM is to be trained, `sleeplm.npy` float16 `(n, 10, 1920)` stands beside: its own normalised input, another
38 kB an epoch. It can't be had from `x`, which is clipped elsewhere and does not hold the recording's means.
"""

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import measure_epochs, score_epochs
from encoders.captions.frames import Array
from encoders.errors import BadInput
from encoders.models.sleeplm import normalised
from encoders.models.small.inputs import VERSION, prepare
from encoders.recordings import Epochs, Source, build_epochs, discover, epoch_grid, open_recording
from encoders.recordings.timeline import Scoring
from encoders.training.facts import FACTS_VERSION, fact_bits
from encoders.training.labels import read_labels, truth_files
from encoders.training.moments import step_bits
from encoders.training.people import Person, person_of, read_people
from encoders.training.store import ROW, SLEEPLM, Batch, EpochStore, recordings_in
from encoders.vocabulary import EPOCH_S
from encoders.workers import reason, run_here, run_jobs

__all__ = ["Batch", "CacheReport", "EpochStore", "build_cache", "renew_facts", "write_recording"]

CACHE_VERSION: Final = 1  # raise when measures or labels change: recordings are then read again
_NOT_RENEWABLE: Final = (OSError, ValueError, KeyError, pl.exceptions.PolarsError)  # lost, broken, or lacking a measure
_KEY = ".id-key"  # of the ids of recordings whose names show a person: the same in every run

Progress = Callable[[str, int, int], None]  # what was done last, how many are done, of how many


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What a run did; `folders` are all that stand, `failed` says `path` and `error` of what could not be read."""

    folders: list[Path]
    epochs: int
    skipped: int
    failed: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Job:
    source: Source
    folder: Path
    person: Person
    keep_unusable: bool
    sleeplm: bool


@dataclass(frozen=True, slots=True)
class _Done:
    epochs: int
    skipped: bool
    notes: tuple[str, ...] = ()


def build_cache(
    sources: Sequence[Path],
    out: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    subjects: Path | None = None,
    keep_unusable: bool = False,
    sleeplm: bool = False,
) -> CacheReport:
    """Cache every recording under `sources` in `out`, one folder each; those that stand unchanged are left as they are.

    Labels are the truth of a simulation where its tables lie beside the recording, else its annotations. `subjects`:
    a CSV of `recording,subject,age,sex,site`; without it each recording is a subject of its own. Epochs without any
    usable sensor are dropped unless `keep_unusable`. `sleeplm`: with SleepLM's inputs beside. A
    recording that can't be read is listed and stops no other; an interrupted run is taken up by the same call, with
    all finished recordings. Raises BadInput for bad arguments.
    """
    began = time.monotonic()
    if workers < 1:
        raise BadInput(f"workers: {workers}; at least 1 process is needed.")
    people = read_people(subjects)
    out.mkdir(parents=True, exist_ok=True)
    found, refused = discover(sources, id_key=_id_key(out))
    failed = [{"path": str(path), "error": reason} for path, reason in refused]
    jobs = [_Job(s, out / s.id, person_of(people, s.id, s.paths), keep_unusable, sleeplm) for s in found]
    folders, notes = [], []
    epochs = skipped = 0
    workers = min(workers, len(jobs))
    done = run_here(_cache_recording, jobs) if workers < 2 else run_jobs(_cache_recording, jobs, workers)
    for count, (job, made, error) in enumerate(done, 1):
        if error is not None:
            failed.append({"path": str(job.source.paths[0]), "error": error})
        else:
            folders.append(job.folder)
            epochs, skipped = epochs + made.epochs, skipped + made.skipped
            notes += [f"{job.source.id}: {note}" for note in made.notes]
        if progress:
            progress(job.source.id, count, len(jobs))
    return CacheReport(sorted(folders), epochs, skipped, failed, notes, round(time.monotonic() - began, 2))


def renew_facts(folder: Path) -> list[dict[str, str]]:
    """Make the bits of a finished cache again where another version of the facts counted them; reads no recording.

    `folder`: a cache, or one recording of it. Returns `path` and `error` of what could not be renewed, as where the
    measures that stand lack one that the facts now need: it is left as it was, and `build_cache` must read its
    recording again. What is of this version is left alone. BadInput for a folder without cached recordings.
    """
    failed = []
    for each in sorted(recordings_in(folder)):
        try:
            if not (row := _row(each)):
                raise BadInput("its inputs are of another version; build the cache again from the recordings.")
            _renewed(each, row)
        except _NOT_RENEWABLE as wrong:
            failed.append({"path": str(each), "error": reason(wrong)})
    return failed


def _cache_recording(job: _Job) -> _Done:
    mark = _fingerprint(job)
    row = _row(job.folder)
    if row and row["fingerprint"] == mark and (not job.sleeplm or (job.folder / SLEEPLM).is_file()):
        with suppress(*_NOT_RENEWABLE):  # then the recording is read again
            if _renewed(job.folder, row, **asdict(job.person)):
                return _Done(row["epochs"], False, ("only its facts or its subject changed",))
            return _Done(row["epochs"], True)
    recording = open_recording(job.source.paths, recording_id=job.source.id)
    labels = read_labels(job.source, recording)
    staged = next((s for s in labels.scorings if "stages" in s.coverage), None)
    starts = epoch_grid(recording.duration_s, staged)
    if not len(starts):
        raise BadInput(f"{job.source.id}: {recording.duration_s:g} s of signal; one epoch of {EPOCH_S:g} s is needed.")
    epochs = build_epochs(recording, starts)
    measures = measure_epochs(recording, epochs)
    write_recording(
        job.folder, epochs, measures, labels.scorings, job.person, recording=job.source.id, fingerprint=mark,
        simulated=recording.simulated, noted=labels.noted, keep_unusable=job.keep_unusable,
        sleeplm=job.sleeplm,
    )  # fmt: skip
    return _Done(_row(job.folder)["epochs"], False, labels.notes)


def write_recording(
    folder: Path,
    epochs: Epochs,
    measures: Mapping[str, Array],
    scorings: Sequence[Scoring],
    person: Person,
    *,
    recording: str,
    fingerprint: str,
    simulated: bool,
    noted: Sequence[str] = (),
    stages_told: Sequence[str] | None = None,
    keep_unusable: bool = False,
    sleeplm: bool = False,
) -> None:
    """One recording's folder, whole or not at all; what stood there is replaced.

    `measures` and `scorings` are of all `epochs`. `stages_told`: the only stages that the labels can tell, where the
    others were left out of the recording. `sleeplm`: with SleepLM's inputs. BadInput
    when no epoch has a usable sensor.
    """
    kept = np.flatnonzero(epochs.present.any(axis=1) | keep_unusable)
    if not len(kept):
        raise BadInput(f"{recording}: no usable sensor in any epoch; `sleepsearch channels` says why.")
    columns = [pl.Series("start_s", epochs.start_s), *(_column(name, values) for name, values in measures.items())]
    facts = pl.concat([pl.DataFrame(columns), score_epochs(epochs.start_s, scorings)], how="horizontal")[kept]
    inputs = prepare(epochs[kept])
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        np.save(part / "x.npy", inputs.x.astype(np.float16))
        np.save(part / "present.npy", inputs.present)
        np.save(part / "night.npy", inputs.night)
        if sleeplm:
            np.save(part / SLEEPLM, normalised(epochs[kept]).astype(np.float16))
        facts.write_parquet(part / "facts.parquet")
        row = {
            "recording": recording, **asdict(person), "simulated": simulated, "epochs": len(facts),
            "stages_told": None if stages_told is None else list(stages_told), "noted": list(noted),
            "scorer": scorings[0].scorer if scorings else None, "inputs": VERSION, "fingerprint": fingerprint,
        }  # fmt: skip
        _write_bits(part, row)
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _renewed(folder: Path, row: dict[str, Any], **person: Any) -> bool:
    """Whether a folder whose signals stand needed new bits, as facts are now counted otherwise, or another subject."""
    now = row | person
    if row["facts"] == FACTS_VERSION and now == row:
        return False
    _write_bits(folder, now)
    return True


def _write_bits(folder: Path, row: Mapping[str, Any]) -> None:
    """`bits.npy` and `moments.npy` from the facts that stand in `folder`, and then its row."""
    facts = pl.read_parquet(folder / "facts.parquet")
    grid = _Grid(facts["start_s"].to_numpy(), np.load(folder / "present.npy"))
    values = {
        c.name: np.array(c.to_list(), object) if c.dtype == pl.String else c.to_numpy()
        for c in facts.iter_columns()
        if not c.dtype.is_nested()
    }
    bits = fact_bits(values, facts, grid, noted=row["noted"])
    for name, made in (("bits", bits), ("moments", step_bits(facts["events"]))):
        with (folder / f".{name}.part").open("wb") as file:
            np.save(file, made)
        (folder / f".{name}.part").replace(folder / f"{name}.npy")
    text = json.dumps({**row, "facts": FACTS_VERSION}, ensure_ascii=False, indent=1)
    (folder / ".row.part").write_text(text + "\n", encoding="utf-8")
    (folder / ".row.part").replace(folder / ROW)


@dataclass(frozen=True, slots=True)
class _Grid:
    start_s: NDArray[np.float64]
    present: NDArray[np.bool_]


def _column(name: str, values: Array) -> pl.Series:
    if values.dtype == object:
        return pl.Series(name, values.tolist(), pl.String)
    return pl.Series(name, values)


def _row(folder: Path) -> dict[str, Any]:
    """What stands in a folder, {} when nothing whole does."""
    try:
        row: dict[str, Any] = json.loads((folder / ROW).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return row if row.get("inputs") == VERSION else {}


def _fingerprint(job: _Job) -> str:
    """Of the files' sizes and times of change, and of all else that decides what is read from them."""
    files = sorted({*job.source.paths, *job.source.annotations, *truth_files(job.source.paths[0])})
    said = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((said, CACHE_VERSION, VERSION, job.keep_unusable)).encode()).hexdigest()[:16]


def _id_key(out: Path) -> bytes:
    path = out / _KEY
    if not path.exists():
        path.write_bytes(secrets.token_bytes(16))
    return path.read_bytes()
