"""What a whole night's vectors tell of its sleeper: a probe for one outcome, beside everything simpler.

The encoder is frozen; a linear model is fitted on pooled nights (`handmade`). An outcome in words, or with two values,
or cut into classes, is told by logistic regression with balanced classes; a number by ridge regression. How much these
are regularised is chosen inside each training part, so that the figures are those of people who took no part in it:
five folds of subjects, three within each, the whole drawn three times and averaged. No subject is on two sides.

The same is done with demography alone, the site alone, hand-made features alone, and these with the vectors. Each block
of columns counts as much as another, however many it has. Intervals are percentiles over subjects drawn with
replacement; what one way gains over another is drawn in pairs.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from retrieval.handmade import Values, demography, family_of, hand_features, read_nights, sites
from retrieval.neighbours import Space
from retrieval.outcome import Outcome, Rows, check_enough, column_of, outcome_of, words_of

if TYPE_CHECKING:
    from retrieval.cohort import Cohort
    from retrieval.evaluation.evaluate import Progress

FOLDS, INNER_FOLDS, REPEATS = 5, 3, 3
VECTORS, ALL, REST, CHANCE = "vectors", "all of these", "demography + hand-made", "chance"
# From the strongest down: of two that do equally well the stronger is taken. Each block's rows are about of length 1.
_STRENGTHS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
Score = Callable[[Rows], float]  # of rows of nights, drawn with repetition
Split = tuple[Rows, Rows]


@dataclass(frozen=True, slots=True)
class Gain:
    """What `of` has over a way, in that way's measure, with its paired interval."""

    of: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One measure of one way to tell the outcome from so many columns; `low`, `high`: 95 % over subjects."""

    method: str
    columns: int
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    gain: Gain | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What was asked and how it was told. `kind`: classification or regression; `why`: chosen how; `outcome` in words.

    table: per night, recording, subject, outcome, and what each way said (of the first drawing). planted: every night
    is simulated, so the outcome was put in by the simulator.
    """

    target: str
    kind: str
    why: str
    outcome: str
    classes: list[str]
    nights: int
    subjects: int
    left_out: dict[str, int]
    parts: list[str]
    space: str
    planted: bool
    simulated: int
    leaks: list[str]
    rows: list[ProbeRow]
    notes: list[str]
    table: pl.DataFrame = field(repr=False)

    def frame(self) -> pl.DataFrame:
        """One row a night: its outcome, and what each way said of it."""
        return self.table

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the shape that `probe --json` prints."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in ("rows", "table")}
        return {**plain, "figures": [asdict(row) for row in self.rows]}


def probe(
    cohort: "Cohort", target: str, *, cuts: Sequence[float] = (), where: str | None = None, seed: int = 0,
    progress: "Progress | None" = None,
) -> Probe:  # fmt: skip
    """How well the nights' vectors tell the column `target` of `Cohort.nights`; a name's beginning will do.

    cuts: make classes of a number. Nights without the outcome or without a vector are left out and counted. `BadInput`
    where the column is none, or there are fewer than 10 subjects, or than 5 of a class: with what there is.
    """
    cohort.snapshot.refresh()
    table = cohort.nights(where=where)
    column = column_of(table, target)
    there = table[column].is_not_null()
    if table[column].dtype.is_float():
        there &= table[column].is_finite().fill_null(False)
    left = {"no outcome": int((~there).sum())}
    table = _with_subjects(cohort, table.filter(there))
    outcome = outcome_of(table[column], column, cuts)
    check_enough(outcome, table, column, left["no outcome"])
    space = Space.of(cohort)
    by_stage = family_of(column) != family_of("n3_min")  # stages must not say how much of them there was
    nights = read_nights(cohort, table, space, by_stage=by_stage)
    left["no vector"] = int((~nights.known).sum())
    if left["no vector"]:
        outcome = outcome_of(table.filter(nights.known)[column], column, cuts)
        table, nights = table.filter(nights.known), nights.of(nights.known)
        check_enough(outcome, table, column, sum(left.values()))
    hand, leaks = hand_features(nights, column, outcome.values)
    blocks = {
        "demography": _matrix(demography(table, column)),
        "site": _matrix(sites(table)) if column not in ("site", "cohort") else None,
        "hand-made": _matrix(hand),
        VECTORS: nights.vectors[:, np.isfinite(nights.vectors).any(axis=0)],
    }
    there_are = {name: block for name, block in blocks.items() if block is not None}
    rows, said = tell(there_are, outcome, table["subject"].to_list(), seed=seed, progress=progress)
    notes, simulated = (
        _notes(cohort, table, column, nights.parts, leaks, space.collection),
        int(table["simulated"].sum()),
    )
    if simulated:
        planted = "the outcome was planted by the simulator, so this is no finding about sleep"
        notes.insert(0, f"{simulated} of {table.height} nights are simulated: there {planted}")
    return Probe(
        column, "classification" if outcome.classes else "regression", outcome.why, words_of(outcome, table),
        list(outcome.classes), table.height, table["subject"].n_unique(), left, list(nights.parts), space.name,
        simulated == table.height, simulated, leaks, rows, notes, _table(table, outcome, column, said),
    )  # fmt: skip


def tell(
    blocks: Mapping[str, Values], outcome: Outcome, subjects: Sequence[str], *, seed: int = 0,
    progress: "Progress | None" = None,
) -> tuple[list[ProbeRow], dict[str, Values]]:  # fmt: skip
    """How well each block of columns `(nights, columns)` tells the outcome, alone and with others, and what it said.

    `vectors` must be among the blocks; NaN in a block is unknown. What was said: `(drawings, nights, classes)` by name.
    """
    ways = _ways(blocks)
    said = dict(_told(ways, outcome, subjects, seed, progress))
    return list(_rows(ways, said, outcome, subjects, seed)), said


def _with_subjects(cohort: "Cohort", table: pl.DataFrame) -> pl.DataFrame:
    """The nights with `subject` never null, and whether anybody said who it is."""
    known = cohort.snapshot.sql("SELECT subject, bool_or(subject_known) AS subject_known FROM subjects GROUP BY ALL")
    table = table.with_columns(
        pl.coalesce("subject", "recording").alias("subject"), pl.col("simulated").fill_null(False)
    )
    return table.join(known, on="subject", how="left", maintain_order="left").with_columns(
        pl.col("subject_known").fill_null(False)
    )


# ---- what it is told from


def _matrix(columns: Mapping[str, Values]) -> Values | None:
    return np.column_stack(list(columns.values())) if columns else None


def _ways(blocks: Mapping[str, Values]) -> dict[str, list[Values]]:
    """Blocks of columns by the name of the way: each alone, those without the vectors together, and all."""
    ways = {name: [block] for name, block in blocks.items()}
    rest = [blocks[name] for name in ("demography", "hand-made") if name in blocks]
    if len(rest) > 1:
        ways[REST] = rest
    if rest:
        ways[ALL] = [blocks[VECTORS], *rest]
    return ways


def splits(strata: Rows, subjects: Sequence[str], folds: int, seed: int) -> list[Split]:
    """Training and test rows of each fold: no subject on both sides, the strata spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    if np.bincount(strata).max() < folds:  # bins too small to be spread over the folds
        strata = np.zeros_like(strata)
    found = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer nights than folds
        return list(found.split(np.zeros(len(strata)), strata, np.asarray(subjects)))


def _told(
    ways: Mapping[str, list[Values]], outcome: Outcome, subjects: Sequence[str], seed: int,
    progress: "Progress | None",
) -> Iterator[tuple[str, Values]]:  # fmt: skip
    """What each way says of the nights it was not fitted on: `(repeats, nights, classes)`; a number is one class."""
    drawn = [splits(outcome.strata, subjects, FOLDS, seed + i) for i in range(REPEATS)]
    width = max(1, len(outcome.classes))
    yield CHANCE, _by_chance(outcome, drawn)
    for number, (name, blocks) in enumerate(ways.items()):
        said = np.full((REPEATS, len(subjects), width), np.nan)
        for repeat, folds in enumerate(drawn):
            for train, test in folds:
                said[repeat, test] = _fit(blocks, outcome, subjects, train, test, seed)
            if progress:
                progress(name, number * REPEATS + repeat + 1, len(ways) * REPEATS)
        yield name, said


def _by_chance(outcome: Outcome, drawn: Sequence[list[Split]]) -> Values:
    """The mean of the training part; of classes, each as likely as the other."""
    if outcome.classes:
        return np.full((len(drawn), len(outcome.values), len(outcome.classes)), 1 / len(outcome.classes))
    said = np.empty((len(drawn), len(outcome.values), 1))
    for repeat, folds in enumerate(drawn):
        for train, test in folds:
            said[repeat, test] = outcome.values[train].mean()
    return said


def _fit(
    blocks: Sequence[Values], outcome: Outcome, subjects: Sequence[str], train: Rows, test: Rows, seed: int
) -> Values:
    from sklearn.compose import ColumnTransformer
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    edges = np.cumsum([0, *(block.shape[1] for block in blocks)])
    parts = [(str(i), make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()),
              slice(int(edges[i]), int(edges[i + 1]))) for i in range(len(blocks))]  # fmt: skip
    weights = {str(i): block.shape[1] ** -0.5 for i, block in enumerate(blocks)}
    # A rotation alone, it loses nothing of the training rows: thousands of columns become as many as there are nights.
    rotated = make_pipeline(ColumnTransformer(parts, transformer_weights=weights), PCA(svd_solver="full"))
    x = np.column_stack(blocks)
    fitted = rotated.fit_transform(x[train])
    inner = splits(outcome.strata[train], [subjects[i] for i in train], INNER_FOLDS, seed)
    grid: dict[str, list[float]]
    if outcome.classes:
        model, grid = LogisticRegression(class_weight="balanced", max_iter=2000), {"C": [1 / s for s in _STRENGTHS]}
        scoring = "balanced_accuracy"
    else:
        model, grid, scoring = Ridge(), {"alpha": list(_STRENGTHS)}, "neg_mean_squared_error"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rare class that an inner fold does not hold
        chosen = GridSearchCV(model, grid, scoring=scoring, cv=inner).fit(fitted, outcome.values[train])
    judged = rotated.transform(x[test])
    if not outcome.classes:
        return np.asarray(chosen.predict(judged), np.float64)[:, None]
    said = np.zeros((len(test), len(outcome.classes)))
    said[:, chosen.classes_] = chosen.predict_proba(judged)
    return said


# ---- how well it is told


def _rows(
    ways: Mapping[str, list[Values]], said: Mapping[str, Values], outcome: Outcome, subjects: Sequence[str], seed: int
) -> Iterator[ProbeRow]:
    from retrieval.evaluation.figures import interval

    scores = {name: dict(_scores(outcome, values)) for name, values in said.items()}
    for name in scores:
        over = ALL if name == REST else VECTORS
        for measure, score in scores[name].items():
            found = interval(score, subjects, seed=seed)
            gain = None
            if name not in (VECTORS, ALL) and found.value is not None:
                more = interval(partial(_less, scores[over][measure], score), subjects, seed=seed)
                gain = Gain(over, more.value, more.low, more.high)
            columns = sum(block.shape[1] for block in ways.get(name, []))
            yield ProbeRow(name, columns, measure, found.value, found.low, found.high, gain)


def _less(one: Score, other: Score, rows: Rows) -> float:
    return one(rows) - other(rows)


def _scores(outcome: Outcome, said: Values) -> Iterator[tuple[str, Score]]:
    """Each measure as a statistic of nights, the mean over the drawings; NaN where a draw lacks a class."""
    if not outcome.classes:
        for name, of in (("R2", _r2), ("MAE", _mae), ("Spearman", _spearman)):
            yield name, partial(_mean_over, [partial(of, outcome.values, one[:, 0]) for one in said])
        return
    from retrieval.evaluation.curves import Ranking

    count = len(outcome.classes)
    yield "balanced accuracy", partial(_mean_over, [partial(_balanced, outcome.values, one) for one in said])
    wanted = range(count) if count > 2 else (1,)
    rankings = [Ranking.of(outcome.values == c, one[:, c]).auc for one in said for c in wanted]
    yield "AUC" + (", one against the rest" if count > 2 else ""), partial(_mean_over, rankings)


def _mean_over(scores: Sequence[Score], rows: Rows) -> float:
    return float(np.mean([score(rows) for score in scores]))


def _balanced(truth: Rows, said: Values, rows: Rows) -> float:
    """Mean share of each class that is found; equal chances count as a guess."""
    best = said == said.max(axis=1, keepdims=True)
    right = best[np.arange(len(truth)), truth] / best.sum(axis=1)
    counts = np.bincount(truth[rows], minlength=said.shape[1])
    found = np.bincount(truth[rows], weights=right[rows], minlength=said.shape[1])
    return float(np.mean(found / counts)) if counts.all() else float("nan")


def _r2(truth: Values, said: Values, rows: Rows) -> float:
    spread = ((truth[rows] - truth[rows].mean()) ** 2).sum()
    return float(1 - ((truth[rows] - said[rows]) ** 2).sum() / spread) if spread > 0 else float("nan")


def _mae(truth: Values, said: Values, rows: Rows) -> float:
    return float(np.abs(truth[rows] - said[rows]).mean())


def _spearman(truth: Values, said: Values, rows: Rows) -> float:
    from scipy.stats import rankdata

    if not (np.ptp(truth[rows]) > 0 and np.ptp(said[rows]) > 0):
        return float("nan")
    return float(np.corrcoef(rankdata(truth[rows]), rankdata(said[rows]))[0, 1])


# ---- what must be known of it


def _notes(
    cohort: "Cohort", table: pl.DataFrame, column: str, parts: Sequence[str], leaks: Sequence[str], collection: str
) -> list[str]:
    from retrieval.evaluation.sample import named_in

    notes: list[str] = []
    unknown = table["subject"].filter(~table["subject_known"]).n_unique()
    if unknown:
        notes.append(
            f"{unknown} subjects are unknown, and each of their nights counts as its own subject: two nights of one "
            "person may stand on both sides; name them: sleepsearch ingest SOURCE --cohort DIR --subjects CSV"
        )
    notes.append(f"a night is the mean and SD of its epochs in: {', '.join(parts)}")
    if leaks:
        notes.append(f"no hand-made features, since they hold {column} again: {', '.join(leaks)}")
    if collection == "caption":
        notes.append(
            "not by signals: the vectors are those of captions, which say what was scored and may say the outcome"
        )
    if cohort.reader and (seen := named_in(table, cohort.reader.trained_on).sum()):
        notes.append(f"the encoder was trained on {seen} of these nights or their subjects")
    return notes


def _table(table: pl.DataFrame, outcome: Outcome, column: str, said: Mapping[str, Values]) -> pl.DataFrame:
    found = table.select("recording", "subject", pl.col(column).alias("outcome"))
    names = np.array(outcome.classes)
    if outcome.classes:
        found = found.with_columns(pl.Series("class", names[outcome.values]))
    for name, values in said.items():
        if name != CHANCE:
            one = names[values[0].argmax(axis=1)] if outcome.classes else values[0, :, 0]
            found = found.with_columns(pl.Series(f"by {name}", one))
    return found
