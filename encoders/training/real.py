"""Real sleep EEG to train on: the re-packed UCDDB nights of one channel, of which wake and deep sleep are given.

`ucddbNNN_eeg_wake_sws_only.npz` holds the epochs that were scored wake or stage 3 or 4 (`ucddb018_eeg_full.npz` the
whole night), `ucddbNNN_stage.txt` a Rechtschaffen and Kales code for every epoch of the night (PhysioNet, doi
10.13026/C26C7D). Nobody verified the unit: a night is scaled to a usual level, so that the rules of signal quality
apply, and its amplitude is marked as doubtful, so that no microvolt is believed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from encoders.captions import load_measures
from encoders.captions.frames import Array
from encoders.errors import BadInput
from encoders.recordings import Epochs, build_epochs
from encoders.recordings.annotations import RecordingClock, read_annotations
from encoders.recordings.quality import DOUBT
from encoders.recordings.timeline import Run, Scoring
from encoders.training.cache import write_recording
from encoders.training.people import Person
from encoders.vocabulary import EPOCH_S

TRAIN: Final = (2, 3, 5, 6, 7, 8)
CHOOSE: Final = (9, 10, 11, 12, 13)  # what is compared on them is never fitted to them; 018 is the test
TOLD: Final = ("W", "N3")
CHANNEL: Final = "EEG_C3"  # not named in the files; its spectra are those of a central electrode
LEVEL_UV: Final = 15.0  # median rms of a night's epochs, at which an independent stager agrees with the scorer
_SITE = "ucddb"


@dataclass(frozen=True, slots=True)
class UcddbNight:
    """One subject's epochs at their places in the night, as `build_epochs` reads them, with the night's scoring."""

    subject: int
    start_s: NDArray[np.float64] = field(repr=False)  # (n,) of the epochs that the file holds
    scoring: Scoring = field(repr=False)
    stretches: tuple[Run, ...] = field(repr=False)

    @property
    def recording(self) -> str:
        """Its id."""
        return _name(self.subject)

    def runs(self, channel: str) -> Sequence[Run]:
        return self.stretches if channel == CHANNEL else ()

    def flags(self, channel: str) -> Sequence[Run]:
        return ()

    def oximeter_status(self) -> Sequence[Run]:
        return ()

    def epochs(self) -> Epochs:
        """Its epochs with signals, their amplitude marked as doubtful."""
        epochs = build_epochs(self, self.start_s)
        said = f"{DOUBT}: the source gives no unit; scaled to a median of {LEVEL_UV:g} uV rms"
        return replace(epochs, notes={**epochs.notes, CHANNEL: "; ".join([said, *epochs.notes.values()])})


def read_ucddb(folder: Path, subject: int) -> UcddbNight:
    """The night of a subject's number; BadInput where its files are missing or broken."""
    stem = _name(subject)
    path = next((p for kind in ("full", "wake_sws_only") if (p := folder / f"{stem}_eeg_{kind}.npz").exists()), None)
    if path is None:
        raise BadInput(f"{folder}: no {stem}_eeg_full.npz or {stem}_eeg_wake_sws_only.npz in it.")
    try:
        with np.load(path) as file:
            epochs = file["eeg"] * np.float32(file["scale"])
            place, rate_hz = file["epoch_index"].astype(np.int64), float(file["fs"])
    except (OSError, ValueError, KeyError) as wrong:
        raise BadInput(f"{path.name}: not a night of this data set ({wrong}).") from wrong
    level = np.median(epochs.std(axis=1))
    epochs = (epochs * (LEVEL_UV / level)).astype(np.float32)
    starts = np.flatnonzero(np.diff(place, prepend=-2) != 1)
    runs = [
        Run(float(place[first]) * EPOCH_S, rate_hz, stretch.reshape(-1))
        for first, stretch in zip(starts, np.split(epochs, starts[1:]), strict=True)
    ]
    stages = folder / f"{stem}_stage.txt"
    codes = stages.read_text().split() if stages.exists() else []
    if len(codes) <= place.max():
        raise BadInput(f"{stages.name}: {len(codes)} stages; epoch {place.max()} of {path.name} has none.")
    scoring = read_annotations([stages], RecordingClock(len(codes) * EPOCH_S), format="ucddb")[0]
    return UcddbNight(subject, place * EPOCH_S, scoring, tuple(runs))


def ucddb_nights(folder: Path, subjects: Sequence[int] = TRAIN) -> Iterator[UcddbNight]:
    """The nights of subjects that may be trained or chosen on; BadInput for any other, before one is read."""
    allowed = (*TRAIN, *CHOOSE)
    if strange := [subject for subject in subjects if subject not in allowed]:
        raise BadInput(
            f"{_name(strange[0])}: not among the nights to train on ({', '.join(map(str, TRAIN))}) or to choose on "
            f"({', '.join(map(str, CHOOSE))}); what a model is tested on it must never have seen."
        )
    for subject in subjects:
        yield read_ucddb(folder, subject)


def cache_ucddb(folder: Path, out: Path, subjects: Sequence[int] = TRAIN) -> list[Path]:
    """Each night's folder in `out` as `build_cache` makes them; BadInput as `ucddb_nights`.

    The labels are wake and N3 (stages 3 and 4). The other stages were left out of the files, and nothing else was
    scored: unknown. Measures too, since many compare with the whole night, which is not there.
    """
    folders = []
    for night in ucddb_nights(folder, subjects):
        epochs = night.epochs()
        told = tuple(span for span in night.scoring.stages if span.stage in TOLD)
        scoring = replace(night.scoring, stages=told, events=(), coverage={"stages": "wake and deep sleep alone"})
        folders.append(out / night.recording)
        write_recording(
            folders[-1], epochs, _unmeasured(len(epochs)), [scoring], Person(night.recording, _SITE),
            recording=night.recording, fingerprint=night.recording, simulated=False, stages_told=TOLD,
        )  # fmt: skip
    return folders


def _unmeasured(n: int) -> dict[str, Array]:
    return {
        name: np.full(n, None, object) if measure.digits is None else np.full(n, np.nan)
        for name, measure in load_measures().items()
    }


def _name(subject: int) -> str:
    return f"ucddb{subject:03d}"
