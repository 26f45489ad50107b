"""Real nights as the files that a user would have: what ../shared/data holds in parts, laid out as EDFs with scorings.

Real samples are written as they are. Where only a scoring is public, an EDF of the right length, labels and start lies
beside it whose samples are generated: seeded noise, breaths of 4 s, SpO2 of 96 %. Nothing here touches the network.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from encoders.recordings.annotations.align import RecordingClock
from encoders.recordings.edf import EdfFile
from encoders.recordings.write import EdfSignal, write_edf

MEDIAN_RMS_UV = 15.0  # at which an independent stager agrees with ucddb018's scorer (its PROVENANCE.txt)
UCDDB_CODES = {0: "W", 1: "REM", 2: "N1", 3: "N2", 4: "N3", 5: "N3"}
# Label -> rate of the generated nights: enough of each site's labels for it to be recognised by them. Slower than the
# sites record, since the scoring beside them is what is real.
SHHS = {"EEG": 16, "EOG(L)": 16, "EOG(R)": 16, "SaO2": 1, "THOR RES": 10, "ABDO RES": 10, "AIRFLOW": 10}
SLEEP_EDF = {"EEG Fpz-Cz": 16, "EEG Pz-Oz": 16, "EOG horizontal": 16, "Resp oro-nasal": 1}
BOAS = dict.fromkeys(("PSG_F3", "PSG_F4", "PSG_C3", "PSG_C4", "PSG_EOG", "PSG_EMG", "PSG_THOR", "PSG_ABD"), 16)
NOX = {"C3-M2": 16, "Chest": 10, "Abdomen": 10, "Nasal Pressure": 10, "RIP Flow": 10, "RIP Sum": 10, "Saturation": 1}
_BREATHING = ("RES", "AIR", "Resp", "RIP", "Chest", "Abdomen", "Nasal", "THOR", "ABD")


@dataclass(frozen=True, slots=True)
class Run:
    """What a command printed and how it ended; `json` is its standard output, parsed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def sleepsearch(*arguments: object) -> Run:
    """The command line in this process, ended by its exit code; a traceback would come out as an exception."""
    from ui.main import main

    out, err, code = StringIO(), StringIO(), 0
    with patch.object(sys, "argv", ["sleepsearch", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    return Run(code, out.getvalue(), err.getvalue())


def ucddb018(folder: Path, shared: Path, *, scale: float = 1.0, unit: str = "uV", staged: bool = False) -> Path:
    """The whole night of UCDDB subject 18 as an EDF of one EEG, and its `_stage.txt` beside it when `staged`.

    `scale` multiplies microvolts (median rms of an epoch 15) before they are written under `unit`.
    """
    with np.load(shared / "ucddb_eeg/ucddb018_eeg_full.npz") as held:
        eeg, fs = held["eeg"].astype(np.float64), float(held["fs"])
    eeg *= MEDIAN_RMS_UV / np.median(eeg.std(axis=1)) * scale
    path = folder / "ucddb018.edf"
    write_edf(path, [EdfSignal("C3A2", eeg.reshape(-1), fs, unit)], start=datetime(2002, 9, 2, 23, 58, 30), kind="EDF")
    if staged:
        shutil.copy(shared / "ucddb_eeg/ucddb018_stage.txt", folder / "ucddb018_stage.txt")
    return path


def ucddb018_stages(shared: Path) -> list[str]:
    """The scorer's stage of each epoch of that night."""
    codes = (shared / "ucddb_eeg/ucddb018_stage.txt").read_text().split()
    return [UCDDB_CODES.get(int(code), "unscored") for code in codes]


def clock_of(duration_s: float, start_clock_s: float | None, start: datetime | None) -> RecordingClock:
    """The clock of a recording of which only start and length are known."""
    return RecordingClock(duration_s, start_clock_s, start, ((0.0, duration_s),))


def psg(
    path: Path, seconds: float, *, rates: Mapping[str, float], start: datetime | None = None, seed: int = 7
) -> Path:
    """A generated night of the labels and rates given, as many whole records of 30 s as `seconds` holds."""
    rng = np.random.default_rng(seed)
    signals = []
    for label, rate_hz in rates.items():
        time_s = np.arange(30 * rate_hz) / rate_hz
        if label in ("SaO2", "Saturation"):
            block, unit, low = np.full(len(time_s), 96.0), "%", 0.0
        elif any(word in label for word in _BREATHING):
            block, unit, low = 30 * np.sin(2 * np.pi * time_s / 4), "", -100.0
        else:
            block, unit, low = 12 * rng.standard_normal(len(time_s)), "uV", -100.0
        signals.append(EdfSignal(label, np.tile(block, int(seconds // 30)), rate_hz, unit, low, 100.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, signals, start=start, kind="EDF", record_s=30.0)
    return path


def learn_nights(folder: Path, shared: Path) -> list[Path]:
    """The three NSRR tutorial nights: their Profusion XML beside generated EDFs of SHHS's labels and its length."""
    made = []
    for xml in sorted((shared / "nsrr_learn_annotations").glob("*.xml")):
        epochs = xml.read_text(encoding="utf-8").count("<SleepStage>")
        made.append(psg(folder / f"{xml.stem}.edf", epochs * 30, rates=SHHS, start=datetime(2001, 1, 1, 21, 59)))
        shutil.copy(xml, folder / xml.name)
    return made


def sleep_edf_nights(folder: Path, shared: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Sleep-EDF hypnograms beside generated PSGs named and started like the originals; all, or those of `names`.

    A PSG ends where the last stage before a closing `?` ends, as the real ones do.
    """
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    for hypnogram in sorted((shared / "sleep_edf/hypnograms").glob("*-Hypnogram.edf")):
        if names and hypnogram.name[:6] not in names:
            continue
        file = EdfFile(hypnogram)
        notes = file.annotations()
        known = [note for note in notes if "?" not in note.text] or notes
        end_s = max(note.onset_s + (note.duration_s or 0) for note in known)
        name = f"{hypnogram.name[:7]}0-PSG.edf"
        made.append(psg(folder / name, end_s, rates=SLEEP_EDF, start=file.header.start))
        shutil.copy(hypnogram, folder / hypnogram.name)
    return made


def boas_nights(folder: Path, shared: Path, subjects: Sequence[int]) -> list[Path]:
    """BOAS nights in BIDS layout: the real TSV beside a generated EDF as long as the table."""
    made = []
    for number in subjects:
        stem = f"sub-{number}_task-Sleep_acq-psg"
        real, here = (root / f"sub-{number}/eeg" for root in (shared / "boas_ds005555_hypnograms", folder))
        table = (real / f"{stem}_events.tsv").read_text().splitlines()
        onset_s, duration_s = map(float, table[-1].split("\t")[:2])
        made.append(psg(here / f"{stem}_eeg.edf", onset_s + duration_s, rates=BOAS))
        for beside in real.glob(f"{stem}_*.*"):
            shutil.copy(beside, here / beside.name)
    return made


def noxturnal_nights(folder: Path, shared: Path) -> list[Path]:
    """The three Noxturnal exports beside generated EDFs that start and end with them."""
    made = []
    for number, export in enumerate(sorted((shared / "nox_psg_excerpt").glob("noxturnal*.csv")), 1):
        rows = export.read_text(encoding="utf-16").splitlines()[2:]
        times = [datetime.strptime(cell, "%d/%m/%Y %H:%M:%S") for row in rows if row for cell in row.split(",")[:2]]
        start, stop = min(times).replace(second=0), max(times) + timedelta(seconds=60)
        made.append(psg(folder / f"nox{number}.edf", (stop - start).total_seconds(), rates=NOX, start=start))
        shutil.copy(export, folder / f"nox{number}.csv")
    return made
