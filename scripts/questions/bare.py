"""The same recordings without what anybody scored: each EDF file alone, its own annotations blanked."""

import shutil
from pathlib import Path

from encoders.recordings.header import read_header

_ONSET_ENDS = b"\x14\x14\x00"  # closes the time stamp that opens a record of EDF+


def strip(recording: Path, folder: Path) -> Path:
    """Copies an EDF file into `folder` without its annotations; records keep their onsets. One that is there stays."""
    to = folder / recording.name
    if to.exists():
        return to
    part = to.with_name(f"{to.name}.part")
    shutil.copyfile(recording, part)
    header = read_header(recording)
    offset = 0
    for signal in header.signals:
        size = header.sample_bytes * signal.samples_per_record
        if signal.is_annotation:
            _blank(
                part, [header.header_bytes + n * header.record_bytes + offset for n in range(header.n_records)], size
            )
        offset += size
    part.replace(to)
    return to


def _blank(path: Path, places: list[int], size: int) -> None:
    """Keeps of each annotation block the record's onset alone."""
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            block = file.read(size)
            onset, ends, _ = block.partition(_ONSET_ENDS)
            file.seek(place)
            file.write((onset + ends if ends else b"").ljust(size, b"\0"))
