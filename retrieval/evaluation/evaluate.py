"""Every task on one encoder and one cohort, what was seen in training kept apart from the headline."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.models import Encoder
from encoders.vocabulary import KINDS
from index.layout import code_version
from retrieval.evaluation.events import measure_events
from retrieval.evaluation.fewshot import measure_fewshot
from retrieval.evaluation.fields import measure_fields
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.leakage import measure_leakage
from retrieval.evaluation.localise import measure_localise
from retrieval.evaluation.paraphrases import measure_paraphrases
from retrieval.evaluation.retrieve import measure_retrieve
from retrieval.evaluation.sample import Sample, draw_sample
from retrieval.evaluation.staging import measure_staging
from retrieval.evaluation.subsets import measure_subsets
from retrieval.spaces import public_name

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

SEEN = "seen in training"
Progress = Callable[[str, int, int], None]  # what is done next, how many are done, of how many
Task = Callable[..., list[Figure]]
TASKS: dict[str, Task] = {
    "staging": measure_staging,
    "events": measure_events,
    "retrieval": measure_retrieve,
    "paraphrases": measure_paraphrases,
    "fields": measure_fields,
    "few-shot": measure_fewshot,
    "localisation": measure_localise,
    "subsets": measure_subsets,
    "leakage": measure_leakage,
}
# Leakage asks about seen and unseen together; the subsets of sensors are not measured once more on the seen.
_ONCE = {False: ("leakage",), True: ("leakage", "subsets")}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of an encoder on a cohort.

    `cohort` holds its facts: nights, subjects, sites, epochs drawn, how many nights are simulated, nights scored by
    kind. Figures whose `value` is None say in `note` why there is none. Those of the subset `seen in training` rest on
    recordings that the encoder knows and belong to no headline.
    """

    encoder: str
    space: str
    runs_on: str
    channels: tuple[str, ...]
    trained_on: tuple[str, ...]
    caveats: tuple[str, ...]
    cohort: dict[str, Any]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    seconds: float
    code: str

    def frame(self) -> pl.DataFrame:
        """One row a figure, without its curves and tables."""
        rows = [figure.to_json() for figure in self.figures]
        numbers = dict.fromkeys(("value", "low", "high", "base_rate"), pl.Float64)
        return pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None).drop("detail", strict=False)

    def to_json(self) -> dict[str, Any]:
        """The evaluation as plain values."""
        return asdict(self)


def evaluate(
    cohort: "Cohort",
    *,
    encoder: Encoder | None = None,
    tasks: Sequence[str] | None = None,
    most: int = 10_000,
    subset_epochs: int = 2_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure `encoder` (default: the cohort's own) on at most `most` of the cohort's epochs.

    `tasks`: some of `TASKS`, in any order (default: all). `subset_epochs`: how many epochs are embedded again with
    fewer sensors. What has no labels here becomes a note, never a zero. `BadInput` for an unknown task, or a cohort
    without a vector of this encoder.
    """
    names = _chosen(tasks)
    began = time.monotonic()
    model = encoder or cohort.reader or cohort.encoder
    doing, done, steps = "drawing epochs", 0, len(names) + 1

    def report(recording: str = "", _read: int = 0, _of: int = 0) -> None:
        if progress:
            progress(f"{doing} {recording}", done, steps)

    report()
    sample = draw_sample(cohort, model, most=most, seed=seed, progress=report)
    seen = sample.frame["seen"].to_numpy()
    notes = _notes(model, seen)
    runs = [(name, "", sample) for name in names if name == "leakage"]
    for subset, rows in (("", ~seen), (SEEN, seen)):
        part = sample.rows(rows)
        runs += [(name, subset, part) for name in names if rows.any() and name not in _ONCE[bool(subset)]]
    runs.sort(key=lambda run: names.index(run[0]))
    figures: list[Figure] = []
    steps = len(runs) + 1
    for name, subset, part in runs:
        doing, done = f"{name} {subset}".strip(), done + 1
        report()
        options = {"seed": seed} | ({"most": subset_epochs} if name == "subsets" else {})
        try:
            found = TASKS[name](part, **options)
        except BadInput as error:
            notes.append(f"{doing}: {error}")
            continue
        if not found:
            notes.append(f"{doing}: nothing here is labelled for it, or the encoder does not offer it.")
        figures += [replace(figure, subset=subset) for figure in found] if subset else found
    return Evaluation(
        public_name(model), model.space, model.runs_on, tuple(model.channels), tuple(model.trained_on),
        tuple(model.caveats),
        _facts(cohort, sample), tuple(figures), tuple(notes), round(time.monotonic() - began, 1), code_version(),
    )  # fmt: skip


def _notes(model: Encoder, seen: NDArray[np.bool_]) -> list[str]:
    notes = []
    if not model.channels:
        notes.append(
            f"{public_name(model)} reads no signals: it compares words with captions, and stages and events are asked "
            "of captions that leave out what was scored."
        )
    if seen.any():
        notes.append(
            f"{int(seen.sum()):,} of {len(seen):,} epochs are {SEEN}: their figures stand apart and in no headline."
        )
    return notes


def _chosen(tasks: Sequence[str] | None) -> list[str]:
    """The tasks asked for, in the order of `TASKS`."""
    if tasks is None:
        return list(TASKS)
    if unknown := [name for name in tasks if name not in TASKS]:
        raise BadInput(f"task {unknown[0]!r} is not known; there are: {', '.join(TASKS)}.")
    return [name for name in TASKS if name in tasks]


def _facts(cohort: "Cohort", sample: Sample) -> dict[str, Any]:
    """Of the recordings drawn: counts, sites, how many are simulated, how many nights each kind was scored in."""
    names = sample.frame["recording"].unique()
    drawn = [row for row in cohort.recordings() if row["recording"] in set(names)]
    kinds = {kind: sum(kind in row["scored"] for row in drawn) for kind in KINDS}
    sites = sample.frame["site"].drop_nulls().unique().sort().to_list()
    return {
        "name": cohort.snapshot.name, "snapshot": cohort.snapshot.number, "nights": len(drawn),
        "subjects": len(sample.subjects()), "sites": sites, "epochs": sample.frame.height,
        "epochs_of_cohort": cohort.snapshot.manifest.counts["epochs"],
        "simulated": sum(row["simulated"] for row in drawn), "scored": kinds, "seen": int(sample.frame["seen"].sum()),
    }  # fmt: skip
