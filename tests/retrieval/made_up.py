"""A small cohort made of tables and vectors alone: whoever asks it needs no file, no model and no simulator."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from encoders.vocabulary import EPOCH_S
from index import Writer
from retrieval import Cohort

SPACE = "made-00000000"


@dataclass
class Night:
    """One night: a vector an epoch, unit or zero; `columns` of epochs, `facts` of the recording, `row` of nights."""

    recording: str
    subject: str
    vectors: np.ndarray
    stages: Sequence[str | None]
    columns: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)
    subject_known: bool = True


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def make(root: Path, nights: Sequence[Night], *, trained_on: Sequence[str] = ()) -> Cohort:
    """The cohort of these nights, opened as by an encoder that reads both EEGs."""
    with Writer(root, name="made up") as writer:
        for night in nights:
            n = len(night.stages)
            starts = np.arange(n) * EPOCH_S
            epochs = {
                "epoch": np.arange(n), "night_row": np.zeros(n, np.int64), "start_s": starts,
                "stop_s": starts + EPOCH_S, "stage": pl.Series(list(night.stages), dtype=pl.String),
                "stage_source": ["human"] * n,
                "caption_id": np.ones(n, np.int64), "ok_eeg_c3": [True] * n,
                "ok_eeg_c4": pl.Series([None] * n, dtype=pl.Boolean), "delta_pct": np.linspace(5, 95, n),
                "spo2_min_pct": np.linspace(85, 98, n),
            }  # fmt: skip
            recording = {
                "subject": night.subject, "age": 50.0, "sex": "F", "site": "here", "simulated": False,
                "start_clock_s": 79_200.0, "duration_s": n * EPOCH_S, "cohort": "made up", "montage": "{}",
            }  # fmt: skip
            tables = {
                "epochs": pl.DataFrame(epochs | night.columns),
                "recordings": pl.DataFrame([recording | night.facts]),
                "subjects": pl.DataFrame({"subject": [night.subject], "subject_known": [night.subject_known]}),
                "nights": pl.DataFrame([{"night_row": 0, "tst_min": n / 2} | night.row]),
                "captions": pl.DataFrame({"caption_id": [1], "brain": ["sleep"]}),
            }
            ids = writer.put(night.recording, f"print-{night.recording}", tables)
            writer.add_vectors(SPACE, "signal", ids, night.vectors, info={"encoder": "made:up"})
        writer.publish({"made_by": "tests"}, default_space=SPACE)
    cohort = Cohort(root)
    reader = SimpleNamespace(name="made:up", space=SPACE, channels=("EEG_C3", "EEG_C4"), trained_on=tuple(trained_on))
    cohort.__dict__["reader"] = reader  # takes the place of the cached property
    return cohort
