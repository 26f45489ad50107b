"""Labels for a whole cohort from a few examples: the distance-weighted vote of the nearest ones in the index.

An epoch's `k` nearest examples vote with 1/distance, the distance of unit vectors; a share of the votes is no
probability. An epoch with a label of its own is judged by the examples of other people alone, so that the agreement
with the labels says what happens to somebody new; everybody else's epochs hear all examples, their own too.

What to label next is where the vote is close and nobody has looked: one after the other, of the recordings with the
fewest picks so far, the epoch with the highest (1 - margin) x distance to the nearest example or earlier pick; margin
is the winner's share less the runner-up's.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from encoders.errors import BadInput
from encoders.recordings.timeline import DAY_S, clock
from index import Labels, Snapshot
from retrieval.agreement import confusion, f1_of, kappa_of
from retrieval.labelling import read_spans, timelines
from retrieval.neighbours import Floats, Progress, Rows, Space, distances, neighbours, votes_of

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

NEAREST = 5
NOT = "not "  # `not REM` is everything else, where the stages are compared
_STAGES = ("W", "N1", "N2", "N3", "REM")
_POOL = 20_000  # the closest votes, among which the next to label are chosen


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the votes agree with what somebody said; `f1` and `support` by label, `confusion` what was said by the vote.

    `interval`: of macro-F1, 95 %, over subjects; None with one.
    """

    against: str
    labels: list[str]
    macro_f1: float
    kappa: float | None
    f1: dict[str, float]
    support: dict[str, int]
    interval: list[float] | None
    confusion: list[list[int]]
    epochs: int
    subjects: int


@dataclass(frozen=True, slots=True, eq=False)
class FewShot:
    """The vote on every epoch, by row of `epochs`: recording, subject, start_s, stop_s, clock, `given` (the example's
    own label, else null), `label` (null where nothing can be said).

    votes: share of each of `labels`, `(n, labels)`; nearest: rows of `examples`, `(n, k)`, -1 where there is none;
    cosines: their likeness. agreement: with the examples; scored: with the scorer's stages, of people without one.
    """

    space: str
    by: str
    k: int
    labels: list[str]
    examples: pl.DataFrame = field(repr=False)
    epochs: pl.DataFrame = field(repr=False)
    votes: Floats = field(repr=False)
    nearest: Rows = field(repr=False)
    cosines: Floats = field(repr=False)
    not_assessable: dict[str, int]
    agreement: Agreement | None
    scored: Agreement | None
    next: list[dict[str, Any]]
    notes: list[str]

    def why(self, row: int) -> list[dict[str, Any]]:
        """The examples that voted on an epoch, nearest first."""
        return [
            {**self.examples.row(int(place), named=True), "cosine": round(float(cosine), 4)}
            for place, cosine in zip(self.nearest[row], self.cosines[row], strict=True)
            if place >= 0
        ]

    def frame(self) -> pl.DataFrame:
        """One row an epoch: `epochs`, a column `share <label>` a label, and `nearest` in words."""
        words = [
            "; ".join(f"{w['label']} {w['recording']}@{w['start_s']:g} {w['cosine']:.2f}" for w in self.why(row))
            for row in range(self.epochs.height)
        ]
        known = self.epochs["label"].is_not_null()
        shares = [pl.Series(f"share {label}", self.votes[:, i].round(4)) for i, label in enumerate(self.labels)]
        flat = self.epochs.with_columns(*shares, pl.Series("nearest", words, pl.String))
        return flat.with_columns(pl.when(known).then(pl.col(c)) for c in flat.columns[self.epochs.width :])

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the shape that `fewshot --json` prints."""
        epochs = []
        for row, epoch in enumerate(self.epochs.iter_rows(named=True)):
            shares = dict(zip(self.labels, self.votes[row].round(4).tolist(), strict=True))
            epochs.append({**epoch, "votes": shares if epoch["label"] else None, "nearest": self.why(row)})
        counts = {label: int((self.examples["label"] == label).sum()) for label in self.labels}
        return {
            "space": self.space, "by": self.by, "k": self.k, "labels": self.labels, "examples": counts,
            "not_assessable": self.not_assessable, "agreement": asdict(self.agreement) if self.agreement else None,
            "scored": asdict(self.scored) if self.scored else None, "next": self.next, "notes": self.notes,
            "epochs": epochs,
        }  # fmt: skip


def fewshot(
    cohort: "Cohort", examples: Path | str | None = None, *, labels: Sequence[str] = (), where: str | None = None,
    k: int = NEAREST, next_n: int = 0, progress: Progress | None = None,
) -> FewShot:  # fmt: skip
    """Label the epochs of `where` (None: all) by their `k` nearest examples, and name the `next_n` to label next.

    examples: a CSV as `labelling.read_spans` takes it; None: the cohort's own labels. `labels`: those to tell apart;
    default all. The signals' space, or the captions' in a cohort without one. Epochs without a usable sensor are
    counted and get no label. `BadInput` for fewer than two labels, or for a `k` or `next_n` that can't be.
    """
    if k < 1 or next_n < 0:
        raise BadInput(f"k is {k} and next is {next_n}; at least 1 neighbour, and 0 epochs or more.")
    cohort.snapshot.refresh()
    notes: list[str] = []
    given = _given(cohort, examples, labels, notes)
    space = Space.of(cohort)
    if space.collection == "caption":
        notes.append(
            "not by signals: epochs are compared by their captions, which say what was scored, so that agreement with "
            "the scorer would mean nothing; for signals: sleepsearch ingest SOURCE --cohort DIR --encoder NAME"
        )
    frame, unknown = _epochs(cohort, space, where, given)
    counts = {reason: int((unknown.filter(frame["asked"]) == reason).sum()) for reason in ("sensor", "quality")}
    able = unknown.is_null().to_numpy()
    blind = int((frame["given"].is_not_null().to_numpy() & ~able).sum())
    if blind:
        notes.append(f"{blind} examples lie where no sensor of {space.name} is usable; left out")
    names = sorted(set(frame.filter(able)["given"].drop_nulls()))
    _two(names, examples)
    shots = frame.with_row_index("row").filter(unknown.is_null() & pl.col("given").is_not_null())
    nearest, cosines = neighbours(cohort.snapshot, space, frame, shots, able, k, progress)
    codes = shots["given"].replace_strict({n: i for i, n in enumerate(names)}, return_dtype=pl.Int64).to_numpy()
    votes = votes_of(nearest, cosines, codes, len(names))
    voted = nearest[:, 0] >= 0
    said = np.where(voted, (votes + 1e-6 * votes_of(nearest[:, :1], cosines[:, :1], codes, len(names))).argmax(1), -1)
    frame = frame.with_columns(pl.Series("label", [names[i] if i >= 0 else None for i in said], pl.String))
    agreement = _agreement("the examples, by those of other subjects", frame, "given", names)
    if agreement is None:
        notes.append("all examples come from one subject: nothing says how well they do for somebody else")
    notes += _thin(shots, names, k)
    scored = _with_scorer(frame, names, notes) if space.collection == "signal" else None
    picks = _next(cohort.snapshot, space, frame, votes, cosines, next_n) if next_n else []
    asked = frame["asked"].to_numpy()
    columns = ("recording", "subject", "start_s", "stop_s", "clock", "given", "label")
    return FewShot(
        space.name, "captions" if space.collection == "caption" else "signals", k, names,
        shots.select("recording", "subject", "start_s", pl.col("given").alias("label")),
        frame.select(columns).filter(asked), votes[asked], nearest[asked], cosines[asked],
        {"sensor": counts["sensor"], "not_scored": 0, "quality": counts["quality"]}, agreement, scored, picks, notes,
    )  # fmt: skip


# ---- the examples


def _given(cohort: "Cohort", examples: Path | str | None, labels: Sequence[str], notes: list[str]) -> pl.DataFrame:
    """One row an epoch that has a label: recording, start_s, given."""
    spans = Labels(cohort.root).frame() if examples is None else read_spans(cohort, Path(examples))
    if labels:
        if strange := [label for label in labels if label not in spans["label"]]:
            have = ", ".join(sorted(set(spans["label"]))) or "none"
            raise BadInput(f"no example is labelled {strange[0]!r}; labels: {have}.")
        spans = spans.filter(pl.col("label").is_in(list(labels)))
    known, rows, gone = timelines(cohort), [], 0
    for name, start_s, stop_s, label in spans.select("recording", "start_s", "stop_s", "label").iter_rows():
        if name not in known:  # a recording that has left the cohort; its labels stay in the log
            gone += 1
            continue
        rows += [(name, float(known[name].starts_s[i]), label) for i in known[name].epochs(start_s, stop_s)]
    if gone:
        notes.append(f"{gone} labels are of recordings that this cohort does not hold; left out")
    schema = {"recording": pl.String, "start_s": pl.Float64, "given": pl.String}
    each = pl.DataFrame(rows, schema=schema, orient="row").unique().group_by("recording", "start_s").agg("given")
    several = each.filter(pl.col("given").list.len() > 1)
    if several.height:
        pair = " and ".join(sorted(several["given"][0])[:2])
        notes.append(
            f"{several.height} epochs have more than one label (such as {pair}); left out. --labels chooses some"
        )
    return each.filter(pl.col("given").list.len() == 1).with_columns(pl.col("given").list.first())


def _two(names: Sequence[str], examples: Path | str | None) -> None:
    if len(names) > 1:
        return
    source = Path(examples).name if examples is not None else "the cohort's log of labels"
    if names:
        raise BadInput(
            f"{source}: all examples are {names[0]!r}; give examples of another label, or of {NOT + names[0]!r}: "
            f"what nobody labelled is unknown, not {NOT.strip()}."
        )
    raise BadInput(
        f"{source}: no example to learn from; label some epochs of two kinds: "
        f"sleepsearch label RECORDING@TIME LABEL --cohort DIR --author NAME"
    )


def _thin(shots: pl.DataFrame, names: Sequence[str], k: int) -> list[str]:
    people = shots.group_by("given").agg(pl.len(), pl.col("subject").n_unique())
    by = {name: (count, subjects) for name, count, subjects in people.iter_rows()}
    alone = [name for name in names if by[name][1] == 1]
    few = [f"{name} ({by[name][0]})" for name in names if by[name][0] <= k // 2]
    notes = []
    if alone and shots["subject"].n_unique() > 1:
        notes.append(f"examples of one subject alone: {', '.join(alone)}; nobody else's could find these")
    if few:
        notes.append(f"fewer examples than half of k = {k}: {', '.join(few)}; they are outvoted unless very near")
    return notes


# ---- the epochs and their neighbours


def _epochs(cohort: "Cohort", space: Space, where: str | None, given: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The epochs asked for and those of the examples, by recording and time; and why one can't be judged, else null."""
    from retrieval.evaluation.sensors import usable

    snapshot = cohort.snapshot
    flags = [c for c in (f"ok_{channel.lower()}" for channel in space.channels) if c in snapshot.columns()]
    listed = ", ".join(("e.epoch_id", "e.caption_id", "e.recording", "e.start_s", "e.stop_s", "e.stage",
                        "e.stage_source", *(f"e.{c}" for c in flags)))  # fmt: skip
    frame = snapshot.sql(
        f"SELECT {listed}, coalesce(r.subject, e.recording) AS subject, r.start_clock_s, g.given FROM epoch_rows e "
        "JOIN recordings r USING (recording) LEFT JOIN examples g USING (recording, start_s) "
        "ORDER BY e.recording, e.start_s",
        examples=given,
    )
    asked = np.isin(frame["epoch_id"].to_numpy(), snapshot.rows(where))
    frame = frame.with_columns(pl.Series("asked", asked)).filter(pl.col("asked") | pl.col("given").is_not_null())
    clocks = [
        clock((of + start) % DAY_S) if of is not None else None
        for of, start in frame.select("start_clock_s", "start_s").iter_rows()
    ]
    frame = frame.with_columns(pl.Series("clock", clocks, pl.String))
    keys, place = np.unique(frame[space.key].to_numpy(), return_inverse=True)
    vectors = snapshot.vectors(space.name, space.collection, keys)
    known = np.logical_and(np.isfinite(vectors).all(axis=1), vectors.any(axis=1))
    seen = pl.Series(known[place])
    if flags:
        seen &= pl.Series(usable(frame, [[channel] for channel in space.channels]))
    off = [~pl.col(c) for c in flags]
    reason = frame.select(
        pl.when(seen).then(None).when(pl.any_horizontal(pl.lit(False), *off)).then(pl.lit("quality"))
        .otherwise(pl.lit("sensor")).alias("reason")
    )  # fmt: skip
    return frame, reason["reason"]


# ---- how far it agrees, and what to look at next


def _agreement(against: str, frame: pl.DataFrame, column: str, names: Sequence[str]) -> Agreement | None:
    """Of the rows that have both; None where there are none. F1 counts for the labels among `names`."""
    from retrieval.evaluation.figures import interval

    both = frame.filter(pl.col(column).is_not_null() & pl.col("label").is_not_null())
    if not both.height:
        return None
    labels = [*names, *sorted(set(both[column]) - set(names))]
    number = {label: i for i, label in enumerate(labels)}
    truth, said = (both[c].replace_strict(number, return_dtype=pl.Int64).to_numpy() for c in (column, "label"))

    there = np.unique(truth[truth < len(names)])
    if not len(there):
        return None

    def macro(rows: Rows) -> float:
        return float(f1_of(confusion(truth[rows], said[rows], len(labels)))[there].mean())

    found = interval(macro, both["subject"].to_list())
    assert found.value is not None
    table = confusion(truth, said, len(labels))
    kappa, f1 = kappa_of(table), f1_of(table)
    return Agreement(
        against, labels, found.value, kappa if np.isfinite(kappa) else None,
        {name: float(f1[i]) for i, name in enumerate(names) if np.isfinite(f1[i])},
        dict(zip(labels, table.sum(axis=1).tolist(), strict=True)),
        [found.low, found.high] if found.low is not None and found.high is not None else None,
        table.tolist(), both.height, both["subject"].n_unique(),
    )  # fmt: skip


def _with_scorer(frame: pl.DataFrame, names: Sequence[str], notes: list[str]) -> Agreement | None:
    """With the stages that a scorer gave, where the labels are stages (or one, and not that one)."""
    plain = [name for name in names if not name.startswith(NOT)]
    means = {stage: stage for stage in _STAGES}
    if len(names) == 2 and len(plain) == 1 and NOT + plain[0] in names:
        means = {stage: stage if stage == plain[0] else NOT + plain[0] for stage in _STAGES}
    if not set(names) <= set(means.values()):
        return None
    people = set(frame.filter(pl.col("given").is_not_null())["subject"])
    rest = frame.filter(pl.col("asked") & ~pl.col("subject").is_in(people)).with_columns(
        pl.col("stage").replace_strict(means, default=None, return_dtype=pl.String).alias("stage")
    )
    rest = rest.filter(pl.col("stage").is_not_null())
    if not rest.height:
        notes.append("nobody without an example has scored stages here: the votes are compared with no scorer")
        return None
    who = ", ".join(sorted(set(rest["stage_source"].drop_nulls()))) or "unknown"
    found = _agreement(f"stages by {who}, of subjects without an example", rest, "stage", names)
    if found and (none := [label for label in found.labels if label not in names]):
        notes.append(f"scored stages without an example: {', '.join(none)}; an epoch of these is never right")
    return found


def _next(
    snapshot: Snapshot, space: Space, frame: pl.DataFrame, votes: Floats, cosines: Floats, count: int
) -> list[dict[str, Any]]:
    """The epochs to label next, see the module."""
    top = np.sort(votes, axis=1)
    margin = top[:, -1] - top[:, -2]
    free = np.flatnonzero((frame["asked"] & frame["given"].is_null() & frame["label"].is_not_null()).to_numpy())
    pool = free[np.argsort(margin[free], kind="stable")[:_POOL]]
    vectors = snapshot.vectors(space.name, space.collection, frame[space.key].to_numpy()[pool])
    far = distances(cosines[pool, 0])
    nights = np.unique(frame["recording"].to_numpy()[pool], return_inverse=True)[1]
    taken, left, picks = np.zeros(nights.max(initial=0) + 1, np.int64), np.ones(len(pool), bool), []
    for _ in range(min(count, len(pool))):
        gain = np.where(left, (1 - margin[pool]) * far, -1.0)
        fewest = taken[nights[left]].min()
        best = int(np.where(left & (taken[nights] == fewest), gain, -2.0).argmax())
        left[best], taken[nights[best]] = False, taken[nights[best]] + 1
        far = np.minimum(far, distances(vectors @ vectors[best]))
        row = frame.row(int(pool[best]), named=True)
        picks.append({key: row[key] for key in ("recording", "start_s", "stop_s", "clock", "label")}
                     | {"margin": round(float(margin[pool[best]]), 4)})  # fmt: skip
    return picks
