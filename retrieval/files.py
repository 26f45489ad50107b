"""Questions about files before they are a cohort: which would be refused, what each label becomes; and simulations."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from encoders.errors import BadInput
from encoders.recordings import SiteChannels, discover, explain, load_site_channels, open_recording
from encoders.recordings.annotations import read_annotations
from encoders.vocabulary import EPOCH_S
from retrieval.night import too_short


def cores() -> int:
    """How many processes can read side by side on this machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def explain_channels(path: Path, *, site: str | None = None, overrides: Path | None = None) -> dict[str, Any]:
    """What each label of one file became, and why; `error` holds one line when the file can't be read."""
    report: dict[str, Any] = {
        "file": path.name,
        "error": None,
        "cohort": None,
        "cohort_why": "",
        "channels": [],
        "problems": [],
    }
    try:
        own = load_site_channels(overrides) if overrides else SiteChannels()
        options = own.as_options() | ({"cohort": site} if site else {})
        montage = open_recording([path], **options).montage
    except (BadInput, OSError) as error:
        report["error"] = str(error)
        return report
    report |= {"cohort": montage.cohort, "cohort_why": montage.cohort_why, "problems": list(montage.problems)}
    report["channels"] = explain(montage)
    report["absent"] = dict(montage.absent)
    return report


def check(sources: Sequence[Path], *, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Any]:
    """Open every recording under `sources` without writing anything.

    `refused` lists `{"path", "error"}`; `recordings` what would be understood of the others: hours, channels, counts
    of stages and events, and notes (repairs, alignment, ambiguous labels).
    """
    found, failures = discover(sources)
    refused = [{"path": str(path), "error": reason} for path, reason in failures]
    good = []
    for done, source in enumerate(found, 1):
        unread: list[tuple[Path | None, str]] = []
        try:
            recording = open_recording(source.paths, recording_id=source.id)
            if recording.duration_s < EPOCH_S:
                raise BadInput(too_short(source.id, recording.duration_s))
            scorings = read_annotations(source.annotations, recording.clock(), cohort=recording.cohort, refused=unread)
        except (BadInput, OSError) as error:
            refused.append({"path": str(source.paths[0]), "error": str(error)})
        else:
            refused += [{"path": str(path or source.paths[0]), "error": reason} for path, reason in unread]
            notes = [*map(str, recording.repairs), *recording.header_notes, *recording.montage.problems]
            for scoring in scorings:
                notes += [f"{scoring.source}: {cut}" for cut in scoring.alignment.cut]
            good.append({
                "recording": source.id, "hours": recording.duration_s / 3600, "channels": list(recording.montage.slots),
                "stages": sum(s.alignment.stage_count for s in scorings[:1]),
                "events": sum(s.alignment.event_count for s in scorings[:1]), "notes": notes,
            })  # fmt: skip
        if progress:
            progress(source.id, done, len(found))
    return {"refused": refused, "recordings": good}


def simulate(
    out: Path,
    *,
    nights: int,
    seed: int,
    sites: Sequence[str] | None = None,
    hours: float = 8.0,
    ideal: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Write simulated nights into `out`; one row of `{"recording", "subject", "files"}` a night.

    `ideal` ones have no artifacts and a scorer who agrees with the truth.
    """
    from encoders.simulation import simulate as write_nights  # loads scipy: a second that no question waits for

    made = write_nights(out, nights=nights, seed=seed, sites=sites, hours=hours, ideal=ideal, progress=progress)
    return [
        {"recording": n.recording, "subject": n.subject.id, "simulated": True,
         "files": [p.name for p in (n.edf, *n.annotations, n.truth_epochs, n.truth_events)]}
        for n in made
    ]  # fmt: skip
