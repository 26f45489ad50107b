"""Annotations: who scored what, in many formats, on one timeline of seconds from the recording's start."""

from encoders.recordings.annotations.align import RecordingClock, stage_fraction, stage_on_grid
from encoders.recordings.annotations.detect import detect_format
from encoders.recordings.annotations.find import find_annotations
from encoders.recordings.annotations.read import default_first, read_annotations

__all__ = [
    "RecordingClock", "default_first", "detect_format", "find_annotations", "read_annotations", "stage_fraction",
    "stage_on_grid",
]  # fmt: skip
