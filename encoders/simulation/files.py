"""Simulated nights as the files a site would send, with the truth beside them: the door of this package."""

import difflib
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from encoders.errors import BadInput
from encoders.recordings.write import write_edf
from encoders.simulation.draws import stream
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import Subject, draw_subject
from encoders.simulation.recorder import record
from encoders.simulation.scorebooks import WRITERS, edf_annotations
from encoders.simulation.scoring import score_night
from encoders.simulation.truth import truth_epochs, truth_events
from encoders.vocabulary import EPOCH_S

HOURS = (0.25, 24.0)


@dataclass(frozen=True, slots=True)
class SimulatedNight:
    """The files of one night; `annotations` is empty where the site keeps them inside the EDF+ file."""

    recording: str
    site: str
    subject: Subject
    edf: Path
    annotations: tuple[Path, ...]
    truth_epochs: Path
    truth_events: Path


@cache
def site_facts() -> dict[str, dict[str, Any]]:
    """The sites of `sites.toml` by name."""
    with Path(__file__).with_name("sites.toml").open("rb") as file:
        return tomllib.load(file)


def simulate(
    out: Path, *, nights: int, seed: int, sites: Sequence[str] | None = None, hours: float = 8.0,
    ideal: bool = False, progress: Callable[[int, int], None] | None = None,
) -> list[SimulatedNight]:  # fmt: skip
    """Writes `nights` nights of `hours` hours to the folder `out` and says what was written, in order.

    Subjects come with one or two nights each and are dealt to `sites` (default: all) in turn. Beside each `NAME.edf`
    stand its annotations as the site writes them, `NAME.truth.parquet` and `NAME.truth-events.parquet`; `subjects.csv`
    lists everybody. The same arguments give the same samples on one platform, and the first nights of a longer run are
    those of a shorter one. `ideal` nights have no dirt, and a technician who agrees with the truth. `progress` is called with nights done and nights in all. Raises BadInput for arguments out
    of range, an unknown site, or a folder that already holds other recordings.
    """
    facts = site_facts()
    names = list(facts) if sites is None else list(sites)
    _check(nights, hours, seed, names)
    out.mkdir(parents=True, exist_ok=True)
    planned = _deal(seed, nights, names)
    others = sorted({path.stem for path in out.glob("*.edf")} - {recording for recording, *_ in planned})
    if others:
        raise BadInput(f"{out}: already holds other recordings ({others[0]}.edf ...); name a new or empty folder.")
    written: list[SimulatedNight] = []
    if progress:
        progress(0, nights)
    for done, (recording, site, subject, index, count) in enumerate(planned, 1):
        night = plan_night(seed, subject, index, count, round(hours * 3600 / EPOCH_S))
        written.append(_write_night(out, recording, site, night, ideal))
        if progress:
            progress(done, nights)
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


def _deal(seed: int, nights: int, names: Sequence[str]) -> list[tuple[str, str, Subject, int, int]]:
    """(recording, site, subject, the subject's index, which of the subject's nights) of each night."""
    dealt: list[tuple[str, str, Subject, int, int]] = []
    index = 0
    while len(dealt) < nights:
        subject, site = draw_subject(seed, index), names[index % len(names)]
        dealt += [
            (f"sim-{site}-{index + 1:04d}-n{count + 1}", site, subject, index, count)
            for count in range(min(subject.nights, nights - len(dealt)))
        ]
        index += 1
    return dealt


def _write_night(out: Path, recording: str, site: str, night: Night, ideal: bool) -> SimulatedNight:
    facts = site_facts()[site]
    scored = score_night(night, facts, ideal=ideal)
    minutes = int(stream(*night.key, "clock").integers(0, 150))
    start = datetime(1985, 1, 1, 21, 15) + timedelta(minutes=minutes)  # a date nobody takes for a real one
    embedded = facts["annotations"] == "edf+"
    edf = out / f"{recording}.edf"
    write_edf(
        edf, record(night, facts), start=start, kind=facts["kind"], recording_note="simulated",
        annotations=edf_annotations(scored) if embedded else (),
    )  # fmt: skip
    annotations: tuple[Path, ...] = ()
    if not embedded:
        suffix, write = WRITERS[facts["annotations"]]
        annotations = (write(out / f"{recording}{suffix}", scored, start.hour * 3600 + start.minute * 60),)
    epochs, events = out / f"{recording}.truth.parquet", out / f"{recording}.truth-events.parquet"
    truth_epochs(night).write_parquet(epochs)
    truth_events(night).write_parquet(events)
    return SimulatedNight(recording, site, night.subject, edf, annotations, epochs, events)


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
