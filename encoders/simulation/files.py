"""Simulated nights as the files a site would send, with the truth beside them: the door of this package."""

import difflib
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.recordings.write import EdfSignal, write_edf
from encoders.simulation.draws import stream
from encoders.simulation.night import STEPS, Night, plan_night, render, truth_epochs, truth_events
from encoders.simulation.people import Subject, draw_subject
from encoders.simulation.scorebooks import WRITERS, edf_annotations
from encoders.simulation.scoring import score_night
from encoders.vocabulary import EPOCH_S, POSITIONS

HOURS = (0.25, 24.0)
TO_UNIT = {("ecg", "uV"): 1000.0, ("emg", "mV"): 0.001}  # what we make is ECG in mV, all else electrical in uV
STEP_LIMITS = {"spo2": (0, 100), "heart_rate": (0, 250), "body_position": (0, 9)}


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
    progress: Callable[[int, int], None] | None = None,
) -> list[SimulatedNight]:  # fmt: skip
    """Writes `nights` nights of `hours` hours to the folder `out` and says what was written, in order.

    Subjects come with one or two nights each and are dealt to `sites` (default: all) in turn. Beside each `NAME.edf`
    stand its annotations as the site writes them, `NAME.truth.parquet` and `NAME.truth-events.parquet`; `subjects.csv`
    lists everybody. The same arguments give the same samples on one platform, and the first nights of a longer run are
    those of a shorter one. `progress` is called with nights done and nights in all. Raises BadInput for arguments out
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
        written.append(_write_night(out, recording, site, night))
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


def _write_night(out: Path, recording: str, site: str, night: Night) -> SimulatedNight:
    facts = site_facts()[site]
    scored = score_night(night, facts["scores"])
    minutes = int(stream(*night.key, "clock").integers(0, 150))
    start = datetime(1985, 1, 1, 21, 15) + timedelta(minutes=minutes)  # a date nobody takes for a real one
    embedded = facts["annotations"] == "edf+"
    edf = out / f"{recording}.edf"
    write_edf(
        edf, _signals(night, facts), start=start, kind=facts["kind"], recording_note="simulated",
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


def _signals(night: Night, facts: dict[str, Any]) -> list[EdfSignal]:
    """The site's signals as stored integers; what lies outside the recorder's range is clipped, as it would be."""
    made = render(night, {channel: rate for _, channel, rate, *_ in facts["signals"]})
    signals: list[EdfSignal] = []
    for label, channel, rate, unit, limit in facts["signals"]:
        samples: NDArray[Any] = made.pop(channel)
        if channel in STEPS:
            low, high = STEP_LIMITS[channel]
            if channel == "body_position":
                codes = np.array([facts["position"][POSITIONS[code]] for code in range(len(POSITIONS))], np.int16)
                samples = codes[samples]
            signals.append(EdfSignal(label, samples, rate, unit, low, high, low, high))
            continue
        family = "ecg" if "ecg" in channel else "emg" if channel.startswith("emg_") else ""
        gain = TO_UNIT.get((family, unit), 1.0) * 65535 / (2 * limit)
        stored = np.clip(np.rint(samples * np.float32(gain) - 0.5), -32768, 32767).astype(np.int16)
        signals.append(EdfSignal(label, stored, rate, unit, -limit, limit, -32768, 32767))
    return signals


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
