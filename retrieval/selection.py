"""Some epochs among others: what they have that the others have not, and a filter that names just them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_measures
from encoders.errors import BadInput
from encoders.vocabulary import STAGES
from index.filters import MAX_CHARACTERS
from retrieval.labelling import add_spans

if TYPE_CHECKING:
    from index import Snapshot
    from retrieval.cohort import Cohort
    from retrieval.labelling import Label

_LISTED = 300  # ids that a reader may still want to see one by one
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"  # six epochs each
_FEWEST = 10  # values on either side, for a difference of means
_MEASURES = 8  # those that differ most
_ONE_SIDED = ("c3_", "c4_", "eog_l_", "eog_r_", "thx_", "abd_")  # what both sides say together says enough
_EVENTS = {
    "respiratory": "n_respiratory", "arousal": "n_arousal", "desaturation": "n_desaturation",
    "limb movement": "n_limb_movement_any", "artifact": "n_artifact",
}  # fmt: skip
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Share:
    """How frequent something is among the chosen epochs and the rest, of those that could tell (`n`, `n_rest`)."""

    what: str
    share: float | None
    rest: float | None
    n: int
    n_rest: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Means of a measure among the chosen and the rest, and how far they lie apart in standard deviations."""

    measure: str
    unit: str
    definition: str
    mean: float
    rest: float
    apart: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen epochs: how many, of which nights and subjects; what is more or less frequent in them than elsewhere."""

    epochs: int
    among: int
    nights: dict[str, int]
    subjects: int
    stages: list[Share]
    events: list[Share]
    measures: list[Difference]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def summarise(snapshot: "Snapshot", ids: Ids, among: Ids) -> Selection:
    """The epochs `ids` held against the others of `among`; `BadInput` where there are none."""
    if not len(ids):
        raise BadInput("no epoch is chosen.")
    known = snapshot.columns()
    events = {name: column for name, column in _EVENTS.items() if column in known}
    measures = [m for m in load_measures() if known.get(m) in ("DOUBLE", "FLOAT") and not m.startswith(_ONE_SIDED)]
    columns = ", ".join(f"e.{c}" for c in (*events.values(), *measures))
    frame = snapshot.sql(
        f"SELECT e.epoch_id, e.recording, r.subject, e.stage, {columns} FROM epoch_rows e "
        "JOIN wanted USING (epoch_id) JOIN recordings r USING (recording)",
        wanted=pl.DataFrame({"epoch_id": np.union1d(ids, among)}),
    )
    inside = np.isin(frame["epoch_id"].to_numpy(), ids)
    chosen, rest = frame.filter(inside), frame.filter(~inside)
    staged = pl.col("stage").is_not_null() & (pl.col("stage") != "unscored")
    stages = [_share(stage, chosen, rest, staged, pl.col("stage") == stage) for stage in STAGES if stage != "unscored"]
    happened = [
        _share(name, chosen, rest, pl.col(column).is_not_null(), pl.col(column) > 0) for name, column in events.items()
    ]
    nights = dict(chosen["recording"].value_counts(sort=True).iter_rows())
    apart = [found for m in measures if (found := _difference(m, chosen[m], rest[m]))]
    apart.sort(key=lambda d: -abs(d.apart))
    return Selection(
        chosen.height, frame.height, nights, chosen["subject"].n_unique(), [s for s in stages if s.share or s.rest],
        [s for s in happened if s.n or s.n_rest], apart[:_MEASURES],
    )  # fmt: skip


def _share(what: str, chosen: pl.DataFrame, rest: pl.DataFrame, told: pl.Expr, so: pl.Expr) -> Share:
    """How many are `so`, of those of which it is `told`."""
    sides = [side.filter(told) for side in (chosen, rest)]
    shares = [side.filter(so).height / side.height if side.height else None for side in sides]
    return Share(what, shares[0], shares[1], sides[0].height, sides[1].height)


def _difference(measure: str, chosen: pl.Series, rest: pl.Series) -> Difference | None:
    here, there = (side.drop_nulls().to_numpy() for side in (chosen, rest))
    here, there = here[np.isfinite(here)], there[np.isfinite(there)]
    if min(len(here), len(there)) < _FEWEST:
        return None
    spread = float(np.sqrt((here.var() + there.var()) / 2))
    if spread <= 1e-9:
        return None
    facts = load_measures()[measure]
    means = float(here.mean()), float(there.mean())
    return Difference(measure, facts.unit, facts.definition, *means, (means[0] - means[1]) / spread)


def label_epochs(cohort: "Cohort", ids: Ids, label: str, author: str) -> "list[Label]":
    """Write `label` of these epochs, adjacent ones of a night as one stretch; see `retrieval.labelling`."""
    rows = cohort.snapshot.sql(
        "SELECT recording, start_s, stop_s FROM epoch_rows JOIN wanted USING (epoch_id) ORDER BY recording, start_s",
        wanted=pl.DataFrame({"epoch_id": ids}),
    )
    spans: list[tuple[str, float, float]] = []
    for name, start_s, stop_s in rows.iter_rows():
        if spans and spans[-1][0] == name and abs(spans[-1][2] - start_s) < 1e-3:
            spans[-1] = (name, spans[-1][1], stop_s)
        else:
            spans.append((name, start_s, stop_s))
    return add_spans(cohort, spans, label, author)


# ---- a filter


def where_of(ids: Sequence[int] | Ids) -> str:
    """A filter over the view `epochs` that these epochs match and no others, in the shortest of three forms.

    A list of ids; a text of one letter for six ids in a row, for many of a small cohort; ranges and single ids.
    `BadInput` where none is short enough for a filter.
    """
    chosen = np.unique(np.asarray(ids, np.int64))
    if not len(chosen):
        raise BadInput("no epoch is chosen, so there is nothing to filter by.")
    if len(chosen) <= _LISTED:
        return _listed(chosen)
    forms: list[Callable[[Ids], str]] = [_ranges]
    if (chosen[-1] - chosen[0]) // 6 < MAX_CHARACTERS:
        forms.append(_lettered)
    found = min((form(chosen) for form in forms), key=len)
    if len(found) > MAX_CHARACTERS:
        raise BadInput(
            f"{len(chosen):,} chosen epochs, scattered over the cohort, make a longer filter than can be taken; choose "
            f"fewer, or take their table."
        )
    return found


def _listed(chosen: Ids) -> str:
    return f"epoch_id IN ({', '.join(map(str, chosen.tolist()))})"


def _ranges(chosen: Ids) -> str:
    breaks = np.flatnonzero(np.diff(chosen) != 1)
    starts, stops = chosen[np.r_[0, breaks + 1]], chosen[np.r_[breaks, len(chosen) - 1]]
    single = starts == stops
    parts = [f"epoch_id BETWEEN {a} AND {b}" for a, b in zip(starts[~single], stops[~single], strict=True)]
    return " OR ".join([*parts, *([_listed(starts[single])] if single.any() else [])])


def _lettered(chosen: Ids) -> str:
    """One letter for six ids in a row, each bit of its place in the alphabet an id: `_DIGITS` is read back in SQL."""
    first, last = int(chosen[0]), int(chosen[-1])
    bits = np.zeros(-(-(last - first + 1) // 6) * 6, np.int64)
    bits[chosen - first] = 1
    letters = "".join(_DIGITS[n] for n in bits.reshape(-1, 6) @ (2 ** np.arange(6)))
    place = f"(epoch_id - {first})"
    value = f"instr('{_DIGITS}', substr('{letters}', {place} // 6 + 1, 1)) - 1"
    return f"epoch_id BETWEEN {first} AND {last} AND floor(({value}) / pow(2, {place} % 6)) % 2 = 1"
