"""From a folder of recordings to a cohort: nights are read side by side, one writer embeds, stores and publishes."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from encoders.captions import PARTS
from encoders.errors import BadInput
from encoders.models import DEFAULT_ENCODER, Encoder, load_encoder
from encoders.recordings import discover
from index import Writer
from retrieval.night import Job, NightFiles, read_night
from retrieval.private import Private
from retrieval.subjects import read_subjects
from retrieval.workers import run_jobs

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
    space: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def ingest(
    sources: Sequence[Path],
    root: Path,
    *,
    encoder: str = DEFAULT_ENCODER,
    subjects: Path | None = None,
    workers: int = 1,
    scorer: str | None = None,
    strict_montage: bool = False,
    channels: Path | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Read every recording under `sources` into the cohort at `root`; unchanged nights are skipped.

    A file that can't be read is listed in `failed` and never stops the others. Committed nights outlive an
    interruption: the same call goes on where it stopped. `BadInput` when nothing at all could be found.
    """
    began = time.monotonic()
    people = read_subjects(subjects)
    private = Private(root)
    site = private.site(channels)
    found, refused = discover(sources, id_key=private.key())
    failed = [{"path": str(path), "error": reason} for path, reason in refused]
    if not found:
        first = failed[0]["error"] if failed else f"no EDF or BDF file under {', '.join(map(str, sources))}"
        raise BadInput(f"nothing to ingest: {first}")
    model: list[Encoder] = []  # loaded when the first new wording comes: a run that skips all never needs it
    load = partial(_once, model, encoder)
    notes = list(people.notes)
    counts = {"recordings": 0, "epochs": 0, "skipped": 0}
    with Writer(root) as writer, _scratch(root) as scratch:
        known = writer.fingerprints()
        salt = f"{encoder} {CAPTIONS} {sorted(site.overrides.items())} {site.cohort} {site.position_codes}"
        jobs = (
            Job(s, scratch / f"{n:06d}", people.of(s.id, s.paths), known.get(s.id), private.unchanged(s), salt, site,
                private.key(), scorer, strict_montage)
            for n, s in enumerate(found)
        )  # fmt: skip
        published = time.monotonic()
        number = None
        for done, (job, night, error) in enumerate(run_jobs(read_night, jobs, min(workers, len(found))), 1):
            if error is not None:
                failed.append({"path": str(job.source.paths[0]), "error": error})
            elif night.skipped:
                counts["skipped"] += 1
                private.remember(job.source, night.file_hashes)
            else:
                _store(writer, load(), night)
                private.remember(job.source, night.file_hashes)
                counts["recordings"] += 1
                counts["epochs"] += night.epochs
                notes += [f"{night.recording}: {note}" for note in night.notes]
            shutil.rmtree(job.folder, ignore_errors=True)
            if progress:
                progress(job.source.id, done, len(found))
            if time.monotonic() - published > _PUBLISH_EVERY_S and counts["recordings"]:
                number = writer.publish({"failed": _public(failed)})
                published = time.monotonic()
        private.save()
        if counts["recordings"] or not known:
            if not counts["recordings"]:
                raise BadInput(f"no recording could be read; {len(failed)} failed, the first: {failed[0]['error']}")
            number = writer.publish({"failed": _public(failed)})
    space = model[0].space if model else ""
    return IngestReport(**counts, failed=failed, seconds=round(time.monotonic() - began, 2), notes=notes,
                        snapshot=number, space=space)  # fmt: skip


def _once(model: list[Encoder], name: str) -> Encoder:
    if not model:
        model.append(load_encoder(name))
    return model[0]


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="reading-", dir=root) as folder:
        yield Path(folder)


def _public(failed: Sequence[Mapping[str, str]]) -> list[str]:
    """Reasons without paths: a manifest may be passed on, and a file's name may be a person's."""
    return [f["error"].replace(Path(f["path"]).name, "<file>").replace(Path(f["path"]).stem, "<file>") for f in failed]


def _store(writer: Writer, encoder: Encoder, night: NightFiles) -> None:
    tables = {name: pl.read_ipc(path) for name, path in night.tables.items()}
    _embed_captions(writer, encoder, tables["captions"])
    writer.put(night.recording, night.fingerprint, tables)


def _embed_captions(writer: Writer, encoder: Encoder, captions: pl.DataFrame) -> None:
    """Add the vectors of wordings that the space does not have; each distinct sentence is embedded once a cohort.

    A caption's vector is the unit mean of its parts' sentence vectors: the parts say unrelated things, and a
    sentence encoder keeps one statement apart better than five in one text.
    """
    info = {"encoder": encoder.name, "dim": encoder.dim}
    new = set(writer.missing(encoder.space, "caption", captions["caption_id"].to_numpy()).tolist())
    captions = captions.filter(pl.col("caption_id").is_in(new))
    if not len(captions):
        return
    sentences = sorted({s for part in PARTS for s in captions[part] if s})
    vectors = dict(zip(sentences, encoder.embed_texts(sentences), strict=True))
    rows = np.zeros((len(captions), encoder.dim), np.float32)
    for i, parts in enumerate(captions.select(PARTS).iter_rows()):
        said = [vectors[s] for s in parts if s]
        if said:
            mean = np.mean(said, axis=0)
            rows[i] = mean / np.linalg.norm(mean)
    writer.add_vectors(encoder.space, "caption", captions["caption_id"].to_numpy(), rows, info=info)
