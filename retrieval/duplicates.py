"""Leaks between train and test: the same recording under two names, the same person under two ids.

Two copies. Each night is reduced to how it differs from its own mean, epoch by epoch, so that person and sensors are
out and the course of the night is left. Two nights are slid along each other; at the right lag a copy, whole or cut,
agrees epoch by epoch, whatever the file is called.

    agreement   mean cosine at the best lag, of at least half of the shorter night and FEWEST_EPOCHS epochs

Two ids. The likeness of two nights is what `similar` takes for its first stage: pooled vectors by stage and measures,
standardised over all pairs. Different people's sleep is alike too, so a pair is listed only where each night is the
other's nearest and the pair lies in the highest 0.5 % of pairs of nights whose ids differ, leaks among them. A cohort
without any leak lists a few as well: its most alike people.

What is listed is a suspicion with its basis, no probability: twins of the same room are alike as well, and one person
at two sites may not be. The null distribution, all pairs of different ids, is given beside each. It is of the cohort
itself, so that with few nights, or many leaks, little stands out.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.models import Encoder
from encoders.vocabulary import EPOCH_S
from index import Snapshot
from retrieval.night_numbers import stages_of
from retrieval.pooled import Vectors, epochs_of, measure_gaps, night_measures, pool, pooled_cosines, vectors_for

FEWEST_EPOCHS = 40  # that must agree, for two files to be called copies
SAME = 0.98  # agreement of copies; the vectors of one file, read twice, agree to float16's rounding
HIGHEST = 0.005  # of the pairs with different ids, among which a pair must be
CANDIDATES = 5  # nights nearest to each by its pooled vectors, with which it is compared epoch by epoch
Progress = Callable[[str, int, int], None]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Two nights that may be one file or one person, with the number that says so.

    kind: `same recording` or `same subject`. value: the agreement, or the likeness in robust standard deviations from
    the middle of pairs with different ids. lag_s: where the second night begins in the first, of a copy.
    """

    kind: str
    recording: str
    other: str
    subject: str
    other_subject: str
    value: float
    basis: str
    lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class Null:
    """What pairs of nights with different ids show: their number, middle, spread (robust) and highest value, and the
    bound from which a pair is listed."""

    pairs: int
    median: float
    spread: float
    p99: float
    highest: float
    bound: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Suspicions, the strongest first; `same_subject` is the null distribution of the likeness, `same_recording` that
    of the agreement. None where too few nights could be compared."""

    nights: int
    left_out: int
    found: list[Suspicion]
    same_recording: Null | None
    same_subject: Null | None
    notes: list[str]

    def frame(self) -> pl.DataFrame:
        """A row a suspicion."""
        schema = {"kind": pl.String, "recording": pl.String, "other": pl.String, "subject": pl.String,
                  "other_subject": pl.String, "value": pl.Float64, "basis": pl.String, "lag_s": pl.Float64}  # fmt: skip
        return pl.DataFrame([asdict(s) for s in self.found], schema=schema)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_duplicates(
    snapshot: Snapshot, encoder: Encoder, *, reader: Encoder | None = None, progress: Progress | None = None
) -> Duplicates:
    """Pairs of nights that may be one recording, or one person under two ids; from vectors and catalog alone."""
    vectors = vectors_for(encoder, reader)
    people = snapshot.sql("SELECT recording, subject, age, sex FROM recordings ORDER BY recording")
    means = pool(snapshot, vectors, stages_of(snapshot, reader), people["recording"].to_list())
    able = np.isfinite(means[:, -1]).all(axis=1)
    left_out = int((~able).sum())
    people, means = people.filter(pl.Series(able)), means[able]
    names, subjects = people["recording"].to_list(), people["subject"].to_numpy()
    notes = [f"{left_out} nights have no vectors and were not compared"] if left_out else []
    if len(names) < 3:
        notes.append(f"{len(names)} nights: nothing stands out among so few")
        return Duplicates(len(names), left_out, [], None, None, notes)
    table = night_measures(snapshot, names)
    near = np.array([pooled_cosines(means, i) for i in range(len(names))])
    gaps = np.array([measure_gaps(table, i)[0] for i in range(len(names))])
    i, j = np.triu_indices(len(names), 1)
    differ = subjects[i] != subjects[j]
    copies, null_copies = _copies(snapshot, vectors, people, means, progress)
    likeness = (_robust(near[i, j], differ) - _robust(gaps[i, j], differ)) / 2
    null = _null(likeness[differ], HIGHEST)
    square = np.full((len(names), len(names)), -np.inf)
    square[i, j] = square[j, i] = likeness
    nearest = square.argmax(axis=1)
    found = list(copies)
    if null is None:
        notes.append("too few pairs of nights with different subject ids to say what different people show")
    else:
        pairs = {(s.recording, s.other) for s in copies}
        for p in np.flatnonzero(differ & (likeness >= null.bound) & (nearest[i] == j) & (nearest[j] == i)):
            as_high = int((likeness[differ] >= likeness[p]).sum())
            a, b = people.row(int(i[p]), named=True), people.row(int(j[p]), named=True)
            if (a["recording"], b["recording"]) in pairs or {a["sex"], b["sex"]} == {"F", "M"}:
                continue
            value = (float(likeness[p]) - null.median) / null.spread
            basis = (
                f"pooled vectors: cosine {near[i[p], j[p]]:.2f}; measures {gaps[i[p], j[p]]:.2f} standard deviations "
                f"apart; {value:.1f} robust deviations above the middle of {null.pairs} pairs with different ids, "
                f"of which {as_high} lie as high" + _ages(a["age"], b["age"])
            )
            whose = (a["recording"], b["recording"], a["subject"], b["subject"])
            found.append(Suspicion("same subject", *whose, value, basis))
    unknown = int((~_known(snapshot, names)).sum())
    if unknown:
        notes.append(f"the subject of {unknown} nights is unknown; each counts as its own")
    found.sort(key=lambda s: (s.kind, -s.value))
    return Duplicates(len(names), left_out, found, null_copies, null, notes)


def _copies(
    snapshot: Snapshot, vectors: Vectors, people: pl.DataFrame, means: Floats, progress: Progress | None
) -> tuple[list[Suspicion], Null | None]:
    """Nights that agree epoch by epoch at some lag; and the agreement of nights of different ids."""
    names = people["recording"].to_list()
    subjects = people["subject"].to_list()
    pairs = _candidates(means[:, -1])
    nights = _Nights(snapshot, vectors)
    found, others = [], []
    for done, (a, b) in enumerate(pairs, 1):
        agreement, lag, epochs = best_lag(nights.of(names[a]), nights.of(names[b]))
        if agreement >= SAME:
            basis = (
                f"mean cosine {agreement:.4f} over {epochs} epochs, each less its night's mean, "
                f"where the second begins {lag * EPOCH_S:g} s into the first"
            )
            whose = (names[a], names[b], subjects[a], subjects[b])
            found.append(Suspicion("same recording", *whose, agreement, basis, lag * EPOCH_S))
        elif subjects[a] != subjects[b] and epochs:
            others.append(agreement)
        if progress:
            progress(f"{names[a]} {names[b]}", done, len(pairs))
    return found, _null(np.array(others), None)


class _Nights:
    """The vectors of nights less the night's own mean, unit, on the grid of epochs; the last few are kept."""

    def __init__(self, snapshot: Snapshot, vectors: Vectors) -> None:
        self._snapshot, self._vectors = snapshot, vectors
        self._kept: dict[str, Floats] = {}

    def of(self, name: str) -> Floats:
        if name not in self._kept:
            if len(self._kept) > 2 * CANDIDATES:
                self._kept.pop(next(iter(self._kept)))
            rows = epochs_of(self._snapshot, [name])
            values = self._vectors.of(self._snapshot, rows)
            values = np.nan_to_num(values - np.nanmean(values, axis=0))
            values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
            self._kept[name] = values
        return self._kept[name]


def _candidates(means: Floats) -> list[tuple[int, int]]:
    """Pairs of which one is among the CANDIDATES nearest of the other, by the mean of all epochs."""
    centred = means - means.mean(axis=0)
    near = np.array([-np.linalg.norm(centred - row, axis=1) for row in centred])
    np.fill_diagonal(near, -np.inf)
    most = min(CANDIDATES, len(means) - 1)
    best = np.argpartition(-near, most - 1, axis=1)[:, :most]
    return sorted({(min(a, int(b)), max(a, int(b))) for a, row in enumerate(best) for b in row})


def best_lag(one: Floats, other: Floats) -> tuple[float, int, int]:
    """The mean cosine of two courses `(n, dim)` at the lag where it is highest, that lag in epochs, and how many met.

    Rows of zero are unknown and count for neither. -1 and 0 epochs where no lag has enough.
    """
    cosine = one @ other.T
    both = np.any(one, axis=1)[:, None] & np.any(other, axis=1)[None, :]
    lag = np.arange(len(one))[:, None] - np.arange(len(other))[None, :] + len(other) - 1
    lags = len(one) + len(other) - 1
    counts = np.bincount(lag[both], minlength=lags)
    sums = np.bincount(lag[both], cosine[both], minlength=lags)
    enough = counts >= max(FEWEST_EPOCHS, min(len(one), len(other)) // 2)
    if not enough.any():
        return -1.0, 0, 0
    mean = np.where(enough, sums / np.maximum(counts, 1), -1.0)
    best = int(np.argmax(mean))
    return float(mean[best]), best - len(other) + 1, int(counts[best])


def _robust(values: Floats, of: NDArray[np.bool_]) -> Floats:
    """In robust standard deviations from the median of those `of`; unknown values count as the median."""
    known = values[of & np.isfinite(values)]
    middle = float(np.median(known)) if len(known) else 0.0
    spread = _spread(known)
    return np.where(np.isfinite(values), (values - middle) / spread, 0.0)


def _spread(values: Floats) -> float:
    """1.4826 times the median deviation, which for a normal distribution is its standard deviation."""
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
    return spread if spread > 1e-9 else 1.0


def _null(values: Floats, highest: float | None) -> Null | None:
    """The distribution of pairs that differ; the bound is where the `highest` share of them begins, else SAME."""
    if len(values) < 3:
        return None
    middle, spread = float(np.median(values)), _spread(values)
    bound = float(np.quantile(values, 1 - highest)) if highest else SAME
    return Null(len(values), middle, spread, float(np.quantile(values, 0.99)), float(values.max()), bound)


def _ages(one: float | None, other: float | None) -> str:
    return f"; ages {one:g} and {other:g}" if one is not None and other is not None else ""


def _known(snapshot: Snapshot, names: list[str]) -> NDArray[np.bool_]:
    known = dict(
        snapshot.sql("SELECT recording, subject_known FROM recordings JOIN subjects USING (subject)").iter_rows()
    )
    return np.array([bool(known.get(name)) for name in names])
