"""Simulated nights as the files a site would send, with the truth beside them: the door of this package."""

import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import polars as pl

from encoders.errors import BadInput
from encoders.recordings.write import DUMMY_START, write_edf
from encoders.simulation.dirt import plan_dirt, unseen
from encoders.simulation.draws import stream
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import Subject, draw_subject
from encoders.simulation.recorder import record
from encoders.simulation.scorebooks import WRITERS, edf_annotations
from encoders.simulation.scoring import score_night
from encoders.simulation.sites import sensors, site_facts
from encoders.simulation.truth import truth_epochs, truth_events
from encoders.vocabulary import EPOCH_S

HOURS = (0.25, 24.0)
FIRST_START = timedelta(hours=21, minutes=15)


@dataclass(frozen=True, slots=True)
class SimulatedNight:
    """The files of one night; `annotations` is empty where the site keeps them inside the EDF+ file.

    The first scorer's annotations come first; those of scorer 2 have `.scorer2` in their names.
    """

    recording: str
    site: str
    subject: Subject
    edf: Path
    annotations: tuple[Path, ...]
    truth_epochs: Path
    truth_events: Path


@dataclass(frozen=True, slots=True)
class _Planned:
    """A night to be written: whose it is, the subject's index, and which of the subject's nights."""

    recording: str
    site: str
    subject: Subject
    index: int
    count: int

    def files(self, out: Path) -> SimulatedNight:
        facts = site_facts()[self.site]
        name = self.recording
        annotations = tuple(
            out / f"{name}{f'.scorer{scorer + 1}' if scorer else ''}{suffix}"
            for scorer in range(facts.get("scorers", 1))
            for suffix, _ in WRITERS[facts["annotations"]]
        )
        return SimulatedNight(
            name, self.site, self.subject, out / f"{name}{facts.get('suffix', '.edf')}", annotations,
            out / f"{name}.truth.parquet", out / f"{name}.truth-events.parquet",
        )  # fmt: skip


def simulate(
    out: Path, *, nights: int, seed: int, sites: Sequence[str] | None = None, hours: float = 8.0,
    ideal: bool = False, progress: Callable[[int, int], None] | None = None,
) -> list[SimulatedNight]:  # fmt: skip
    """Writes `nights` nights of `hours` hours to the folder `out` and says what was written, in order.

    Subjects come with one or two nights each and are dealt to `sites` (default: all) in turn. Beside each `NAME.edf`
    (`.rec` at some sites) stand its annotations as the site writes them, `NAME.truth.parquet` and
    `NAME.truth-events.parquet`; `subjects.csv` lists everybody. The same arguments give the same samples on one
    platform, and the first nights of a longer run are those of a shorter one. `ideal` nights have no dirt, and a
    technician who agrees with the truth. A night that stands complete from an earlier run of the same arguments and the
    same simulator is left as it is. `progress` is called with nights done and nights in all. Raises BadInput for
    arguments out of range, an unknown site, or a folder that already holds other recordings.
    """
    names = list(site_facts()) if sites is None else list(sites)
    _check(nights, hours, seed, names)
    out.mkdir(parents=True, exist_ok=True)
    planned = _deal(seed, nights, names)
    made = [plan.files(out) for plan in planned]
    own = {path for night in made for path in (night.edf, *night.annotations)}
    others = sorted(path for suffix in ("edf", "rec") for path in out.glob(f"*.{suffix}") if path not in own)
    if others:
        raise BadInput(f"{out}: already holds other recordings ({others[0].name} ...); name a new or empty folder.")
    if progress:
        progress(0, nights)
    for done, (plan, night) in enumerate(zip(planned, made, strict=True), 1):
        note = f"simulated {_mark(seed, plan, hours, ideal)}"
        if not _is_complete(night, note):
            drawn = plan_night(seed, plan.subject, plan.index, plan.count, round(hours * 3600 / EPOCH_S))
            _write_night(night, drawn, ideal, note)
        if progress:
            progress(done, nights)
    # UCDDB has no file of events for a night without any.
    written = [_only_existing(night) for night in made]
    _write_subjects(out / "subjects.csv", written)
    return written


def _check(nights: int, hours: float, seed: int, names: Sequence[str]) -> None:
    if nights < 1:
        raise BadInput(f"nights: {nights}; at least 1 is possible.")
    if seed < 0:
        raise BadInput(f"seed: {seed}; any whole number from 0 is possible.")
    if not HOURS[0] <= hours <= HOURS[1]:
        raise BadInput(f"hours: {hours:g}; {HOURS[0]:g} to {HOURS[1]:g} are possible.")
    known = list(site_facts())
    if not names:
        raise BadInput(f"sites: none named; possible are {', '.join(known)}.")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise BadInput(f"sites: no site {name!r}; possible are {', '.join(known)}.{hint}")


def _deal(seed: int, nights: int, names: Sequence[str]) -> list[_Planned]:
    """The nights in order: subjects are drawn one by one and dealt to the sites in turn."""
    dealt: list[_Planned] = []
    index = 0
    while len(dealt) < nights:
        subject, site = draw_subject(seed, index), names[index % len(names)]
        dealt += [
            _Planned(f"sim{seed}-{site}-{index + 1:04d}-n{count + 1}", site, subject, index, count)
            for count in range(min(subject.nights, nights - len(dealt)))
        ]
        index += 1
    return dealt


@cache
def _simulator() -> str:
    """A hash of this package: another simulator makes other nights."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".toml"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _mark(seed: int, plan: _Planned, hours: float, ideal: bool) -> str:
    """What a night's header carries to say from which arguments it was made: 12 hexadecimal letters."""
    facts = site_facts()[plan.site]
    said = json.dumps([_simulator(), seed, plan.index, plan.count, hours, ideal, facts], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _is_complete(night: SimulatedNight, note: str) -> bool:
    """Whether all files of a night are there, the EDF file, which is finished last, with this note in its header."""
    texts = [path for path in night.annotations if not path.name.endswith("_respevt.txt")]
    if not all(path.exists() for path in (night.edf, *texts, night.truth_epochs, night.truth_events)):
        return False
    with night.edf.open("rb") as file:
        return "_".join(note.split()).encode() in file.read(256)


def _write_night(files: SimulatedNight, night: Night, ideal: bool, note: str) -> None:
    site = site_facts()[files.site]
    faults = () if ideal else plan_dirt(night, site)
    here = sensors(site)
    minutes = int(stream(*night.key, "clock").integers(0, 150))
    start = DUMMY_START + FIRST_START + timedelta(minutes=minutes)  # a date nobody takes for a real one
    clock_s = (start - DUMMY_START).total_seconds()
    books = [
        unseen(score_night(night, site, scorer=scorer, ideal=ideal), here, faults)
        for scorer in range(site.get("scorers", 1))
    ]
    writers = [(book, write) for book in books for _, write in WRITERS[site["annotations"]]]
    for path, (book, write) in zip(files.annotations, writers, strict=True):
        write(path, book, clock_s)
    truth_epochs(night).write_parquet(files.truth_epochs)
    truth_events(night, faults).write_parquet(files.truth_events)
    signals, seconds = record(night, site, faults)
    gaps = len(seconds) < night.duration_s
    embedded = edf_annotations(books[0]) if site["annotations"] == "edf+" else ()
    part = files.edf.with_name(f"{files.edf.name}.part")
    write_edf(
        part, signals, start=start, kind="EDF+D" if gaps else site["kind"], recording_note=note, annotations=embedded,
        record_onsets_s=seconds if gaps else None,
    )  # fmt: skip
    part.replace(files.edf)


def _only_existing(night: SimulatedNight) -> SimulatedNight:
    kept = tuple(path for path in night.annotations if path.exists())
    return replace(night, annotations=kept)


def _write_subjects(path: Path, written: Sequence[SimulatedNight]) -> None:
    """One row per recording; severity and diagnosis are what the subject came with, not counted from the night."""
    pl.DataFrame(
        [
            {
                "recording": night.recording, "subject": night.subject.id, "age": night.subject.age_years,
                "sex": night.subject.sex, "bmi": night.subject.bmi_kg_m2, "site": night.site,
                "diagnosis": night.subject.diagnosis, "severity": night.subject.severity, "simulated": True,
            }
            for night in written
        ]
    ).write_csv(path)  # fmt: skip
