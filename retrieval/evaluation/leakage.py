"""Leakage by subject: how far vectors tell who lies there, and which subjects the encoder has seen in training.

A vector that knows the person, or the site's amplifier, finds that person again rather than the same kind of sleep. So
each epoch's nearest neighbour is asked whose it is. The ten minutes around an epoch are left out, since they resemble
it whoever sleeps. What the measures alone give shows how much of this lies in the sleep itself.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.vocabulary import EPOCH_S
from retrieval.evaluation.features import measures_of, standardised, unit
from retrieval.evaluation.figures import BLOCK_EPOCHS, ONE_SUBJECT, Figure, interval
from retrieval.evaluation.sample import Sample

TASK = "leakage"
_MOST = 4000  # epochs compared, evenly spaced: the work grows with their square
Mask = NDArray[np.bool_]


def measure_leakage(sample: Sample, *, seed: int = 0) -> list[Figure]:
    """Whose the nearest neighbours are, by the encoder and by the measures, and the subjects seen in training.

    The base rate is what neighbours drawn at random from the same epochs would give. With one subject, or where no two
    subjects share a site, the share says nothing and is a note. `detail` of the subjects seen names them.
    """
    subjects = sample.frame.group_by("subject").agg(pl.col("seen").any())
    known = sorted(subjects.filter("seen")["subject"].to_list())
    note = "" if sample.encoder.trained_on else "the encoder was trained on no recording that it names"
    seen = Figure(TASK, "subjects seen in training", sample.encoder.name, float(len(known)), sample.frame.height,
                  subjects.height, note=note, detail={"subjects": known})  # fmt: skip
    return [seen, *_neighbours(sample, seed)]


def _neighbours(sample: Sample, seed: int) -> Iterator[Figure]:
    rows = np.unique(np.linspace(0, sample.frame.height - 1, min(_MOST, sample.frame.height)).astype(np.int64))
    frame = sample.frame[rows]
    subject = _codes(frame["subject"])
    recording, start_s = _codes(frame["recording"]), frame["start_s"].to_numpy()
    near = (np.abs(start_s[:, None] - start_s) <= BLOCK_EPOCHS * EPOCH_S) & (recording[:, None] == recording)
    measures = measures_of(sample)[rows]
    spaces = {
        sample.encoder.name: unit(sample.vectors[rows].astype(np.float64)),
        "measures": unit(standardised(measures, np.ones(len(rows), bool))),
    }
    same = subject[:, None] == subject
    of_site = frame["site"].is_not_null().to_numpy()
    site = _codes(frame["site"])
    same_site = (site[:, None] == site) & of_site & of_site[:, None] & ~same
    elsewhere = of_site[:, None] & of_site & ~same
    for method, vectors in spaces.items():
        cosine = (vectors @ vectors.T).astype(np.float32)
        yield from _of_kind("subject", frame, method, cosine, same & ~near, ~near, seed)
        yield from _of_kind("site", frame, method, cosine, same_site, elsewhere, seed)


def _of_kind(
    kind: str, frame: pl.DataFrame, method: str, cosine: NDArray[np.float32], same: Mask, among: Mask, seed: int
) -> Iterator[Figure]:
    """How often the nearest `among` neighbours is one of the `same` kind, and how much nearer these are than others."""
    share = f"nearest neighbour of the same {kind}" + (", other subject" if kind == "site" else "")
    usable = same.any(axis=1) & (among & ~same).any(axis=1)
    rows = np.flatnonzero(usable)
    subjects = frame["subject"][rows].to_list()
    people = len(set(subjects))
    if people < 2:
        why = (
            f"{ONE_SUBJECT}: every neighbour is theirs"
            if kind == "subject"
            else "no two subjects share one of two sites"
        )
        yield Figure(TASK, share, method, None, len(rows), people, note=why)
        return
    nearest_same = np.where(same[rows], cosine[rows], -np.inf).max(axis=1)
    nearest_other = np.where((among & ~same)[rows], cosine[rows], -np.inf).max(axis=1)
    chance = float((same[rows].sum(axis=1) / among[rows].sum(axis=1)).mean())
    for measure, values, base in (
        (share, (nearest_same > nearest_other).astype(np.float64), chance),
        (f"cosine gained by the same {kind}", (nearest_same - nearest_other).astype(np.float64), 0.0),
    ):
        found = interval(lambda drawn, values=values: float(values[drawn].mean()), subjects, seed=seed)  # type: ignore[misc]
        yield Figure(
            TASK, measure, method, found.value, len(rows), people, found.low, found.high, base, note=found.note
        )


def _codes(column: pl.Series) -> NDArray[np.int64]:
    return np.unique(column.fill_null("").to_numpy().astype(str), return_inverse=True)[1]
