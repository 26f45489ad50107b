"""What the simulation itself knows of the epochs: how far the truth agrees with technicians who err.

An encoder that heard the truth would score no more than this against such labels: a ceiling, no rival.
"""

from contextlib import suppress
from pathlib import Path

import polars as pl

from encoders.captions import score_epochs
from encoders.errors import BadInput
from encoders.training.labels import read_truth, truth_files
from retrieval.evaluation.sample import Sample
from retrieval.private import Private

TRUTH = "the simulation's own truth"
CEILING = "a ceiling: what is scored here differs from it where the simulated technicians erred"


def true_frame(sample: Sample) -> pl.DataFrame | None:
    """The columns of `score_epochs` by the truth that lies beside the recordings, a row an epoch of the sample.

    Null throughout where a recording has none; None where no recording has. Files that are gone have none.
    """
    if sample.cohort is None:
        return None
    private, parts, found = Private(sample.cohort.root), [], False
    for (name,), rows in sample.frame.group_by("recording", maintain_order=True):
        tables: tuple[Path, ...] = ()
        with suppress(BadInput):  # vectors outlive their files
            tables = truth_files(private.paths(str(name))[0])
        parts.append(score_epochs(rows["start_s"].to_numpy(), [read_truth(*tables)] if tables else None))
        found |= bool(tables)
    return pl.concat(parts, how="vertical_relaxed") if found else None
