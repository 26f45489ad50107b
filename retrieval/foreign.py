"""A recording that is not in the cohort, described and compared with it; nothing of it enters the cohort.

It is ingested as any other, into a cohort of its own in a temporary folder: the same reading, the same captions, the
cohort's encoder and its word on labels. That folder goes when the night is closed; the file itself stays where it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from encoders.errors import BadInput
from encoders.recordings import discover
from index import Snapshot
from retrieval.captioned import NearCaptions, nearest_captions
from retrieval.files import explain_channels
from retrieval.hit import Answer
from retrieval.ingest import ingest
from retrieval.private import Private
from retrieval.similar import similar_epochs
from retrieval.similar_nights import AlikeNights, course_likeness, similar_nights

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

Progress = Callable[[str, int, int], None]  # what is done now, how many steps are behind, of how many
STEPS = ("looking at the labels", "reading, measuring and embedding its epochs", "done")


@dataclass(frozen=True, slots=True)
class Foreign:
    """One night beside a cohort.

    own: a cohort of this night alone, which describes it by the methods of any cohort. montage: what each label became,
    as `files.explain_channels` says it. notes: what ingesting it wanted said.
    """

    cohort: "Cohort"
    own: "Cohort"
    recording: str
    montage: dict[str, Any]
    notes: list[str] = field(repr=False)
    _folder: TemporaryDirectory[str] = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what was kept of it."""
        self.own.snapshot.close()
        self._folder.cleanup()

    def place(self, start_s: float | str) -> str:
        """`RECORDING@TIME` of a moment of it, for the methods of `own`."""
        return f"{self.recording}@{start_s}"

    def describe(self, start_s: float | str | None = None, *, nearest: int = 5) -> dict[str, Any]:
        """As `Cohort.describe`; `nearest` are epochs, or without a time nights, of the cohort."""
        if start_s is None:
            return self.own.describe(self.recording, around=self.similar_nights(nearest))
        return self.own.describe(self.place(start_s), around=self.nearest(start_s, nearest))

    def nearest(self, start_s: float | str, k: int = 5, *, where: str | None = None) -> Answer:
        """The stretches of the cohort nearest to the epoch at that time, by caption and measures, as `similar`."""
        snapshot, place = self._newest(), self.place(start_s)
        return similar_epochs(
            snapshot, self.cohort.encoder.space, self.own.epoch_at(place), place, where=where, k=k,
            home=self.own.snapshot, signals=self.cohort.signal_space,
        )  # fmt: skip

    def captions_near(self, start_s: float | str, k: int = 5) -> NearCaptions | None:
        """The captions of the cohort nearest to the signals of that epoch; None without an encoder of signals."""
        return captions_near(self.own, self.own.epoch_at(self.place(start_s)), self._newest(), k)

    def similar_nights(self, k: int = 5, *, where: str | None = None, unlike: bool = False) -> AlikeNights:
        """The nights of the cohort most like this one, or least like it, each laid over it."""
        return similar_nights(
            self._newest(), self.cohort.encoder, self.recording, where=where, k=k, reader=self.cohort.reader,
            unlike=unlike, home=self.own.snapshot,
        )  # fmt: skip

    def course_likeness(self, others: Sequence[str]) -> list[float]:
        """As `similar_nights.course_likeness`."""
        return course_likeness(
            self._newest(), self.cohort.encoder, self.recording, others, reader=self.cohort.reader,
            home=self.own.snapshot,
        )  # fmt: skip

    def _newest(self) -> Snapshot:
        self.cohort.snapshot.refresh()
        return self.cohort.snapshot


def captions_near(home: "Cohort", epoch_id: int, among: Snapshot, k: int) -> NearCaptions | None:
    """The captions of the snapshot `among` nearest to an epoch of `home`; None where no vector of its signals is."""
    if home.reader is None:
        return None
    (signal,) = home.snapshot.vectors(home.reader.space, "signal", np.array([epoch_id]))
    if not np.isfinite(signal).all() or not signal.any():
        return None
    own = home.snapshot.sql("SELECT caption_id FROM epoch_rows WHERE epoch_id = ?", [epoch_id])["caption_id"][0]
    return nearest_captions(among, home.reader, signal, k=k, own=own)


def read_foreign(
    cohort: "Cohort", path: Path | Sequence[Path], progress: Progress | None = None, *, scorer: str | None = None
) -> Foreign:
    """Read one recording: an EDF or BDF file, or several files, annotations among them. What lies beside a file under
    its name is taken as well, as an ingest does. `BadInput` in one line for what can't be read, or for two nights.
    """
    from retrieval.cohort import Cohort

    say = partial(_say, progress)
    encoder, reader = cohort.encoder, cohort.reader  # what they refuse is refused before anything is read
    sources = [path] if isinstance(path, Path) else list(path)
    say(0)
    found, refused = discover(sources)
    if len(found) != 1:
        raise BadInput(
            f"{len(found)} recordings; give one night at a time: {', '.join(s.id for s in found[:5])}." if found
            else "; ".join(reason for _, reason in refused) or "no recording among the files"
        )  # fmt: skip
    site = Private(cohort.root).folder / "channels.toml"
    montage = explain_channels(found[0].paths[0], overrides=site if site.is_file() else None)
    folder = TemporaryDirectory(prefix="sleepsearch-file-")
    try:
        say(1)
        root = Path(folder.name) / "cohort"
        report = ingest(
            [*found[0].paths, *found[0].annotations], root, encoder=cohort.encoder_name, scorer=scorer,
            channels=site if site.is_file() else None,
        )  # fmt: skip
        if not report.recordings:
            raise BadInput(report.failed[0]["error"])
        own = Cohort(root, encoder=cohort.encoder_name)
        own.encoder, own.reader = encoder, reader  # one set of weights for all
        (recording,) = own.snapshot.sql("SELECT recording FROM recordings")["recording"]
    except BaseException:
        folder.cleanup()
        raise
    notes = [*report.notes, *(f["error"] for f in report.failed)]
    say(2)
    return Foreign(cohort, own, str(recording), montage | {"file": str(recording)}, notes, folder)


def _say(progress: Progress | None, step: int) -> None:
    if progress:
        progress(STEPS[step], step, len(STEPS) - 1)
