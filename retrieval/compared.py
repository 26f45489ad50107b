"""What was scored of a task, by whom, and how far labels agree with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions.scored import GROUPS, snake
from encoders.errors import BadInput
from encoders.vocabulary import EVENTS, SLEEP_STAGES
from index import Snapshot
from retrieval.agreement import confusion, f1_of, kappa_of
from retrieval.evaluation.baselines import left_out
from retrieval.evaluation.curves import Ranking
from retrieval.evaluation.events import event_codes
from retrieval.evaluation.figures import Interval, interval
from retrieval.scorers import AUTO
from retrieval.zeroshot import PromptTask

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """codes `(n,)`: the number of the scored label, -1: none; sources `(n,)`: by whom; why: if nothing is compared."""

    codes: Codes
    sources: NDArray[Any]
    why: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the labels agree with `scorer`, over epochs that both labelled.

    `f1`, `support` by label; None for the F1 of a label that the scorer never gave. `interval`: 95 % of macro_f1 and
    kappa, over `subjects`; of one subject by blocks of ten minutes, as its `note` says. `confusion`: scored by said.
    """

    scorer: str
    macro_f1: float
    kappa: float | None
    f1: dict[str, float | None]
    support: dict[str, int]
    interval: dict[str, Any]
    confusion: list[list[int]]

    def macro_f1_without(self, label: str) -> float | None:
        """The mean F1 of the other labels: a hard one, such as N1, is seen apart. None where none has any."""
        rest = [x for name, x in self.f1.items() if name != label and x is not None]
        return sum(rest) / len(rest) if rest else None

    def to_json(self) -> dict[str, Any]:
        """The agreement as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def truth_of(
    snapshot: Snapshot, frame: pl.DataFrame, task: PromptTask, labels: tuple[str, ...], scorer: str | None
) -> Truth:
    """What people, or the `scorer` of that name, said of each epoch of `frame`.

    Of a column that nobody scores (position), what was measured. `BadInput` for a scorer who said nothing.
    """
    unknown = np.full(frame.height, -1)
    if task.event and f"n_{task.event}" in frame.columns:
        codes = event_codes(frame, task.event)
        codes[~frame["stage"].is_in(SLEEP_STAGES).fill_null(False).to_numpy()] = -1  # events are scored in sleep alone
        names = GROUPS.get(task.event) or [name for name in EVENTS if snake(name) == task.event]
        used = snapshot.sql("SELECT recording, scorer FROM coverage WHERE used AND kind = ?", [EVENTS[names[0]]])
        sources = frame.select("recording").join(used, on="recording", how="left", maintain_order="left")["scorer"]
    elif task.column:
        number = {value: labels.index(label) for value, label in task.means().items()}
        values = frame[task.column].cast(pl.String)
        codes = values.replace_strict(number, default=-1, return_dtype=pl.Int64).to_numpy().copy()
        if task.column != "stage":
            by = np.full(frame.height, f"measured: {task.column}", object)
            return Truth(codes, by, f"no {task.column} is known here, or always the same")
        sources = frame["stage_source"]
    else:
        return Truth(unknown, np.full(frame.height, None, object), f"nobody scored {task.says or task.name}")
    have = sorted(sources.filter(pl.Series(codes >= 0)).drop_nulls().unique())
    if scorer is not None and scorer not in have:
        raise BadInput(
            f"--scorer {scorer!r}: epochs here are labelled by {', '.join(have) or 'nobody'}; "
            "another's labels come with: sleepsearch ingest SOURCE --cohort DIR --scorer NAME"
        )
    named = sources.fill_null("")
    codes[~(named == scorer if scorer else ~named.str.starts_with(AUTO)).to_numpy()] = -1
    auto = [name for name in have if name.startswith(AUTO)]
    other = f"; labels of {auto[0]} are no person's, --scorer {auto[0]} compares with them" if auto else ""
    return Truth(codes, sources.to_numpy(), f"no person scored {task.says or task.name} both there and not here{other}")


def agreement_of(
    codes: Codes, said: Codes, labels: tuple[str, ...], subjects: NDArray[Any], sources: NDArray[Any],
    counts: NDArray[np.bool_], seed: int,
) -> tuple[Agreement | None, str]:  # fmt: skip
    """Over the epochs that count and have both labels, all `(n,)`; what was left out, in words.

    None where the truth of these epochs is of fewer than two labels.
    """
    rows = np.flatnonzero(counts & (codes >= 0) & (said >= 0))
    if len(np.unique(codes[rows])) < 2:
        return None, ""
    true, given, k = codes[rows], said[rows], len(labels)
    people, owner = np.unique(subjects[rows].astype(str), return_inverse=True)
    if len(people) > 1:  # a table a person, so that a draw of people adds tables
        each = confusion(owner * k + true, given, len(people) * k, k).reshape(len(people), k, k)
        units = people.tolist()
    else:
        each = np.zeros((len(rows), k, k), np.int64)
        each[np.arange(len(rows)), true, given] = 1
        units = people.tolist() * len(rows)

    def macro(table: NDArray[np.int64]) -> float:
        return float(np.nanmean(f1_of(table)))

    def over_people(figure: Callable[[NDArray[np.int64]], float]) -> Interval:
        return interval(lambda draw: figure(each[draw].sum(axis=0)), units, seed=seed)

    ends = {"macro_f1": over_people(macro), "kappa": over_people(kappa_of)}
    whole = each.sum(axis=0)
    agreement = Agreement(
        ", ".join(sorted(set(sources[rows]))), macro(whole), ends["kappa"].value,
        {label: None if np.isnan(x) else float(x) for label, x in zip(labels, f1_of(whole), strict=True)},
        {label: int(n) for label, n in zip(labels, whole.sum(axis=1), strict=True)},
        {name: [end.low, end.high] for name, end in ends.items()}
        | {"subjects": len(people), "note": ends["macro_f1"].note},
        whole.tolist(),
    )  # fmt: skip
    mute = left_out(**{"epochs without a label to compare": int((counts & (codes < 0)).sum()),
                       "on which the method abstained": int((counts & (codes >= 0) & (said < 0)).sum())})  # fmt: skip
    return agreement, f"agreement {mute}" if mute else ""


def auc_of(codes: Codes, difference: NDArray[np.float64], counts: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of label 1 over the epochs that count, by how much they differ."""
    rows = np.flatnonzero(counts & (codes >= 0))
    return Ranking.of(codes[rows] == 1, difference[rows]).auc(np.arange(len(rows)))
