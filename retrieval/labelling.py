"""What people say of stretches of a night: checked against the cohort, and kept in its log of labels.

The log stands beside what a scorer wrote and never changes it: every entry has an author and a time, a withdrawal is an
entry too. The same words of the same stretch by the same author stand once, so that reading one's own table in again
changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.recordings.timeline import clock
from encoders.vocabulary import EPOCH_S
from index import Labels
from retrieval.moment import seconds_of

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

SPANS = {
    "recording": pl.String, "start_s": pl.Float64, "stop_s": pl.Float64, "label": pl.String, "author": pl.String,
}  # fmt: skip
_SHORTEST_ID = 4  # letters of an id that may stand for it
_UNKNOWN = ["", "NA", "null"]
Span = tuple[str, float, float]
_SHOWN = (
    "SELECT e.recording, e.start_s, e.stop_s, coalesce(r.subject, e.recording) AS subject, e.stage, e.stage_source "
    "FROM epoch_rows e JOIN recordings r USING (recording)"
)


@dataclass(frozen=True, slots=True)
class Label:
    """One entry of the log; `new` is False where the same stood already and nothing was written."""

    id: str
    author: str
    recording: str
    start_s: float
    stop_s: float
    label: str
    new: bool = True

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the times of one recording are checked against: its clock, its end, and the starts of its epochs."""

    name: str
    clock_s: float | None
    end_s: float
    starts_s: NDArray[np.float64]

    def span(self, start: str | float, stop: str | float | None) -> Span:
        """[start, stop) in seconds, of times as people write them; the epoch at `start` where there is no stop."""
        start_s = seconds_of(str(start), self.clock_s, self.name)
        if stop is None:
            at = int(np.searchsorted(self.starts_s, start_s, side="right")) - 1
            if not 0 <= start_s < self.end_s or at < 0 or start_s >= self.starts_s[at] + EPOCH_S:
                raise BadInput(f"{self.name}@{start}: no epoch there; it is {clock(self.end_s)} long (h:m:s).")
            return self.name, float(self.starts_s[at]), float(self.starts_s[at]) + EPOCH_S
        stop_s = seconds_of(str(stop), self.clock_s, self.name)
        if not 0 <= start_s < stop_s <= self.end_s:
            raise BadInput(
                f"{self.name}@{start}-{stop}: {start_s:g} to {stop_s:g} s is no stretch of it; give a start, then a "
                f"later stop, within its {self.end_s:g} s ({clock(self.end_s)})."
            )
        return self.name, start_s, stop_s

    def epochs(self, start_s: float, stop_s: float) -> NDArray[np.int64]:
        """The epochs whose middle lies in [start_s, stop_s); of a shorter stretch the one that holds most of it."""
        middles = self.starts_s + EPOCH_S / 2
        inside = np.flatnonzero((middles >= start_s) & (middles < stop_s))
        if len(inside):
            return inside
        overlap = np.minimum(self.starts_s + EPOCH_S, stop_s) - np.maximum(self.starts_s, start_s)
        return np.array([overlap.argmax()]) if overlap.max(initial=0.0) > 0 else inside


def timelines(cohort: "Cohort", only: str | None = None) -> dict[str, Timeline]:
    """Every recording of the cohort by name, or the one of that name."""
    rows = cohort.snapshot.sql(
        "SELECT recording, start_clock_s, duration_s, list(start_s ORDER BY start_s) AS starts "
        "FROM recordings JOIN epoch_rows USING (recording) WHERE $1::VARCHAR IS NULL OR recording = $1 "
        "GROUP BY ALL ORDER BY recording",
        [only],
    )
    found = {}
    for name, clock_s, duration_s, starts in rows.iter_rows():
        end_s = max(float(duration_s), starts[-1] + EPOCH_S)
        found[name] = Timeline(name, clock_s, end_s, np.array(starts, np.float64))
    return found


def add_label(cohort: "Cohort", place: str | Span, label: str, author: str) -> Label:
    """Write that `author` calls `RECORDING@TIME[-TIME]`, or (recording, start_s, stop_s), `label`.

    One time alone means the epoch there. `BadInput` names what is near where the recording or the time is unknown.
    """
    if isinstance(place, str):
        name, _, when = place.partition("@")
        start, _, stop = when.partition("-")
        if not start:
            raise BadInput(f"{place!r}: say when, as RECORDING@5400, RECORDING@23:30 or RECORDING@5400-5460.")
        span = _known(cohort, timelines(cohort, name), name).span(start, stop or None)
    else:
        span = _known(cohort, timelines(cohort, place[0]), place[0]).span(*place[1:])
    return _append(cohort, _standing(cohort), span, _word("label", label), _word("author", author))


def add_labels(cohort: "Cohort", path: Path, author: str | None = None) -> list[Label]:
    """Write every line of a CSV (see `read_spans`) that does not stand yet; nothing where one line is wrong.

    `author` signs the lines that name none.
    """
    spans = read_spans(cohort, path)
    if spans["author"].null_count() and not author:
        raise BadInput(f"{path.name}: lines without an author; add a column author, or give --author NAME.")
    standing = _standing(cohort)
    return [
        _append(cohort, standing, (name, start_s, stop_s), label, by or _word("author", author or ""))
        for name, start_s, stop_s, label, by in spans.iter_rows()
    ]


def add_spans(cohort: "Cohort", spans: Iterable[Span], label: str, author: str) -> list[Label]:
    """Write one label of stretches that are of the cohort's own epochs; those that stand already are not new."""
    standing, label, author = _standing(cohort), _word("label", label), _word("author", author)
    return [_append(cohort, standing, span, label, author) for span in spans]


def withdraw(cohort: "Cohort", entry: str, author: str) -> Label:
    """Withdraw the label with that id (or its first letters); it stays in the log, and no longer stands."""
    log, author = Labels(cohort.root), _word("author", author)
    standing = log.frame()
    chosen = standing.filter(pl.col("id").str.starts_with(entry)) if len(entry) >= _SHORTEST_ID else standing.clear()
    if chosen.height != 1:
        why = f"{chosen.height} labels begin so" if chosen.height else f"none of {standing.height} labels has that id"
        raise BadInput(f"id {entry!r}: {why}; sleepsearch label --list shows the ids of those that stand.")
    row = chosen.row(0, named=True)
    log.undo(row["id"], author=author)
    return Label(row["id"], row["author"], row["recording"], row["start_s"], row["stop_s"], row["label"])


def read_spans(cohort: "Cohort", path: Path) -> pl.DataFrame:
    """The table `recording,start_s[,stop_s],label[,author]` in `path`, checked, with the columns of `SPANS`.

    Times are seconds from the start or times of day; without a stop the epoch there is meant. Further columns are let
    be. `BadInput` names the line.
    """
    try:
        table = pl.read_csv(path, infer_schema=False, null_values=_UNKNOWN)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{path.name}: not a CSV that can be read ({str(error).splitlines()[0]}).") from error
    if missing := [c for c in ("recording", "start_s", "label") if c not in table.columns]:
        raise BadInput(
            f"{path.name}: no column {missing[0]!r}; it needs recording,start_s,label and may have stop_s,author. "
            f"Columns found: {', '.join(table.columns)}."
        )
    known, rows = timelines(cohort), []
    for number, row in enumerate(table.iter_rows(named=True), 2):
        try:
            if row["start_s"] is None:
                raise BadInput("no start_s.")
            timeline = _known(cohort, known, row["recording"] or "")
            span = timeline.span(row["start_s"], row.get("stop_s"))
            rows.append((*span, _word("label", row["label"] or ""), row.get("author")))
        except BadInput as error:
            raise BadInput(f"{path.name} line {number}: {error}") from None
    return pl.DataFrame(rows, schema=SPANS, orient="row")


def drawn(cohort: "Cohort", n: int, *, where: str | None = None, seed: int = 0) -> pl.DataFrame:
    """`n` epochs at random of `where` (SQL over the view `epochs`), none drawn twice: `recording start_s stop_s subject
    stage stage_source`, in the order of the draw; the same seed draws the same of one snapshot."""
    rows = np.sort(cohort.snapshot.rows(where))
    chosen = np.random.default_rng(seed).permutation(rows)[:n]
    order = pl.DataFrame({"epoch_id": chosen, "place": np.arange(len(chosen))})
    return cohort.snapshot.sql(f"{_SHOWN} JOIN chosen USING (epoch_id) ORDER BY place", chosen=order)


def around(cohort: "Cohort", recording: str, start_s: float, n: int) -> pl.DataFrame:
    """The `n` epochs of a recording nearest to a time, in order of time; columns as `drawn` gives them."""
    cohort.locate(recording)
    found = cohort.snapshot.sql(
        f"{_SHOWN} WHERE e.recording = ? ORDER BY abs(e.start_s - ?) LIMIT ?", [recording, start_s, n]
    )
    return found.sort("start_s")


def _known(cohort: "Cohort", known: Mapping[str, Timeline], name: str) -> Timeline:
    if name not in known:
        cohort.locate(name)  # names the nearest of the recordings
        raise BadInput(f"{name}: it has no epoch, so there is nothing to label.")
    return known[name]


def _word(what: str, said: str) -> str:
    """A label or a name, on one line; `BadInput` where it is empty."""
    if not (plain := " ".join(said.split())):
        raise BadInput(f"the {what} is empty; " + ("give --author NAME." if what == "author" else "say what it is."))
    return plain


def _standing(cohort: "Cohort") -> dict[tuple[object, ...], str]:
    """The id of each label that stands, by what it says."""
    return {
        _key(row["author"], (row["recording"], row["start_s"], row["stop_s"]), row["label"]): row["id"]
        for row in Labels(cohort.root).frame().iter_rows(named=True)
    }


def _key(author: str, span: Span, label: str) -> tuple[object, ...]:
    return author, span[0], round(span[1], 3), round(span[2], 3), label


def _append(cohort: "Cohort", standing: dict[tuple[object, ...], str], span: Span, label: str, author: str) -> Label:
    key = _key(author, span, label)
    if new := key not in standing:
        standing[key] = Labels(cohort.root).add(*span, label, author=author)
    return Label(standing[key], author, *span, label, new)
