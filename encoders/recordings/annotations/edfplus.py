"""EDF+ and BDF+ annotations: inside the recording, and in separate files such as Sleep-EDF's hypnograms."""

from pathlib import Path

from encoders.errors import BadInput, UnreadableAnnotations
from encoders.recordings.annotations import own
from encoders.recordings.annotations.align import RecordingClock
from encoders.recordings.annotations.sheet import Mark, Sheet
from encoders.recordings.edf import EdfFile


def _mark(onset_s: float, duration_s: float | None, text: str) -> Mark:
    """`text@@channel` (as HMC writes it) names a channel; "Sleep stage ..." is a stage whatever follows."""
    label, _, channel = text.partition("@@")
    label = label.strip()
    return Mark(
        onset_s, duration_s, label, channel.strip() or None, is_stage=label.casefold().startswith("sleep stage")
    )


def embedded_sheet(recording: RecordingClock) -> Sheet | None:
    """The annotations inside the recording's own files, already on its timeline; None when there are none."""
    marks = [_mark(note.onset_s, note.duration_s, note.text) for note in recording.embedded]
    sheet = Sheet("edf+", None, marks, notes=["inside the recording"], free_text=True)
    return sheet if own.claim(sheet, own.stated([mark.text for mark in marks])) and marks else None


def read_edfplus(path: Path) -> list[Sheet]:
    """A separate EDF+ file of annotations; its own start date and time say where it lies.

    A zero or missing stage duration means "until the next". Raises UnreadableAnnotations when it holds no annotation.
    """
    try:
        file = EdfFile(path)
        notes = file.annotations()
    except BadInput as error:
        raise UnreadableAnnotations(str(error)) from None
    marks = [_mark(note.onset_s, note.duration_s, note.text) for note in notes]
    if not marks:
        raise UnreadableAnnotations(
            f"{path.name}: this EDF+ file holds no annotation; give the hypnogram or events file."
        )
    header = file.header
    sheet = Sheet(
        "edf+", path, marks, zero="file", start=header.start, start_clock_s=header.start_clock_s,
        repairs=list(header.repairs), free_text=True,
    )  # fmt: skip
    return [sheet] if own.claim(sheet, own.stated([mark.text for mark in marks])) else []
