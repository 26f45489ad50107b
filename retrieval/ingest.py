"""From a folder of recordings to a cohort: nights are read side by side, one writer embeds, stores and publishes."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from encoders.captions import PARTS
from encoders.models import DEFAULT_ENCODER, TEXT_ENCODER, Encoder, load_encoder
from encoders.recordings import discover
from encoders.workers import run_jobs
from index import CohortProblem, Snapshot, Writer
from retrieval.autoscore import NONE, find_scorer
from retrieval.night import Job, NightFiles, nameless, read_night
from retrieval.private import Private
from retrieval.scorers import agreement_of
from retrieval.signals import load_epochs, no_epochs
from retrieval.spaces import caption_vectors, encoder_of
from retrieval.subjects import read_subjects

CAPTIONS = 1  # raise when measures or wording change: nights are then read again
_PUBLISH_EVERY_S = 600.0
Progress = Callable[[str, int, int], None]  # what was done last, how many are done, of how many


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did, in the shape that `ingest --json` prints."""

    recordings: int
    epochs: int
    skipped: int
    failed: list[dict[str, str]]
    seconds: float
    notes: list[str] = field(default_factory=list)
    snapshot: int | None = None
    agreement: list[dict[str, Any]] = field(default_factory=list)  # of `retrieval.scorers`, all nights together

    def frame(self) -> pl.DataFrame:
        """One row a file that could not be read: path, error."""
        return pl.DataFrame(self.failed, schema={"path": pl.String, "error": pl.String})

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def ingest(
    sources: Sequence[Path],
    root: Path,
    *,
    encoder: str | None = None,
    subjects: Path | None = None,
    workers: int = 1,
    scorer: str | None = None,
    strict_montage: bool = False,
    channels: Path | None = None,
    lights: tuple[str, str] | None = None,
    score: str | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Read every recording under `sources` into the cohort at `root`; unchanged nights are skipped.

    Captions are embedded by `text:minilm`; an `encoder` that reads signals embeds every epoch too (default: that of the
    cohort). Adding one reads the nights again for their signals and leaves all else as it is.
    `lights`: off and on (seconds or time of day) of these nights; a CSV row that has them comes before it.
    `score`: a program that stages every night (`retrieval.autoscore`), kept as `auto:<name>` beside people's stages and
    the default only where there are none; None: as each night had it, `none`: drops it.
    A file that can't be read is listed in `failed` and never stops the others. What is committed outlives an
    interruption, and the same call goes on from there. Nothing is published when nothing could be read. `BadInput`
    for an option that can't be taken.
    """
    began = time.monotonic()
    name = encoder or _encoder_of(root)
    reader = None if name == TEXT_ENCODER else load_encoder(name)  # refused, if at all, before anything is read
    if score not in (None, NONE):
        find_scorer(score)
    people = read_subjects(subjects)
    private = Private(root)
    site = private.site(channels)
    found, refused = discover(sources, id_key=private.key())
    failed = [{"path": str(path), "error": reason} for path, reason in refused]
    model = cache(partial(load_encoder, TEXT_ENCODER))  # loaded once, and never by a run that skips all
    notes = list(people.notes)
    done = {"recordings": 0, "epochs": 0, "skipped": 0}
    number: int | None = None

    def report(number: int | None) -> IngestReport:
        seconds = round(time.monotonic() - began, 2)
        return IngestReport(
            done["recordings"], done["epochs"], done["skipped"], failed, seconds, notes, number,
            _agreements(root) if number else [],
        )  # fmt: skip

    if not found:
        return report(None)
    with Writer(root) as writer, TemporaryDirectory(prefix="reading-", dir=root) as scratch, private:
        known = writer.fingerprints()
        notes += writer.notes
        salt = f"{CAPTIONS} {sorted(site.overrides.items())} {site.cohort} {site.position_codes}"
        bare = _unembedded(writer, reader) if reader else set()
        scored_by = _scored_by(writer)
        jobs = (
            Job(s, Path(scratch, f"{n:06d}"), people.of(s.id, s.paths), people.types, known.get(s.id),
                private.unchanged(s), salt, site, private.key(), scorer, strict_montage, lights,
                reader is not None, s.id not in bare, _score_of(score, scored_by.get(s.id)))
            for n, s in enumerate(found)
        )  # fmt: skip
        default = reader.space if reader else model().space if encoder else None

        def publish() -> int:
            return writer.publish({"failed": _reasons(failed)}, default_space=default)

        published = time.monotonic()

        def load() -> None:
            """What the first nights are sure to need, while they are read: of a night never seen, captions too."""
            if new := any(s.id not in known for s in found):
                model()
            if reader and (new or any(s.id in bare for s in found)):
                reader.embed_epochs(no_epochs())

        results = run_jobs(read_night, jobs, min(workers, len(found)), meanwhile=load)
        for count, (job, night, error) in enumerate(results, 1):
            if error is not None:
                failed.append({"path": str(job.source.paths[0]), "error": error})
            else:
                _take(writer, model, reader, night, done)
                private.remember(job.source, night.file_hashes)
                notes += [f"{night.recording}: {note}" for note in night.notes]
                failed += [{"path": path, "error": why} for path, why in night.refused]
            shutil.rmtree(job.folder, ignore_errors=True)
            if progress:
                progress(job.source.id, count, len(found))
            if time.monotonic() - published > _PUBLISH_EVERY_S and done["recordings"]:
                number, published = publish(), time.monotonic()
        if known or done["recordings"]:
            number = publish()
    return report(number)


def _encoder_of(root: Path) -> str:
    try:
        with Snapshot.open(root) as snapshot:
            return encoder_of(snapshot)
    except CohortProblem:
        return DEFAULT_ENCODER  # there is no cohort yet


def _score_of(asked: str | None, kept: str | None) -> str | None:
    """The program that stages a night: the one asked for, else the one that it had."""
    return kept if asked is None else None if asked == NONE else asked


def _scored_by(writer: Writer) -> dict[str, str]:
    """The program that staged each recording of the cohort, where one did."""
    if not writer.sql("SELECT 1 FROM (DESCRIBE recordings) WHERE column_name = 'auto_scorer'").height:
        return {}
    rows = writer.sql("SELECT recording, auto_scorer FROM recordings WHERE auto_scorer IS NOT NULL")
    return dict(rows.iter_rows())


def _agreements(root: Path) -> list[dict[str, Any]]:
    """Of scorers that speak of the same nights, all these nights together."""
    with Snapshot.open(root) as snapshot:
        return [pair.to_json() | {"words": str(pair)} for pair in agreement_of(snapshot) if pair.recording is None]


def _unembedded(writer: Writer, reader: Encoder) -> set[str]:
    """Recordings of the cohort with an epoch that has no vector in the reader's space."""
    rows = writer.sql("SELECT recording, epoch_id FROM epoch_rows")
    missing = writer.missing(reader.space, "signal", rows["epoch_id"].to_numpy())
    return set(rows.filter(pl.col("epoch_id").is_in(missing.tolist()))["recording"])


def _take(
    writer: Writer, model: Callable[[], Encoder], reader: Encoder | None, night: NightFiles, done: dict[str, int]
) -> None:
    if night.skipped:
        done["skipped"] += 1
        return
    ids = None
    if night.tables:
        tables = {name: pl.read_ipc(path) for name, path in night.tables.items()}
        _embed_captions(writer, model(), tables["captions"])
        ids = writer.put(night.recording, night.fingerprint, tables)
    if reader and night.signals:
        if ids is None:
            of_night = "SELECT epoch_id FROM epoch_rows WHERE recording = ? ORDER BY epoch"
            ids = writer.sql(of_night, [night.recording])["epoch_id"].to_numpy()
        vectors = reader.embed_epochs(load_epochs(night.signals))
        info = {"encoder": reader.name, "dim": reader.dim, "trained_on": list(reader.trained_on)}
        writer.add_vectors(reader.space, "signal", ids, vectors, info=info)
    done["recordings"] += 1
    done["epochs"] += night.epochs


def _reasons(failed: Sequence[Mapping[str, str]]) -> list[str]:
    return [nameless(Path(f["path"]), f["error"]) for f in failed]


def _embed_captions(writer: Writer, encoder: Encoder, captions: pl.DataFrame) -> None:
    """Add the vectors of wordings that the space does not have."""
    new = writer.missing(encoder.space, "caption", captions["caption_id"].to_numpy()).tolist()
    captions = captions.filter(pl.col("caption_id").is_in(new))
    if not len(captions):
        return
    rows = caption_vectors(captions, PARTS, encoder.embed_texts, encoder.dim)
    info = {"encoder": encoder.name, "dim": encoder.dim}
    writer.add_vectors(encoder.space, "caption", captions["caption_id"].to_numpy(), rows, info=info)
