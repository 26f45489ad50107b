"""Where a night has several scorers of stages: what each said, and how far the others agree with the default."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from encoders.recordings.timeline import Scoring
from encoders.vocabulary import EPOCH_S, STAGES
from index import Snapshot
from retrieval.agreement import confusion, f1_of, kappa_of

AUTO = "auto:"  # a stager's marks, never called a person's
_LABELS = tuple(stage for stage in STAGES if stage not in ("NREM", "unscored"))
_COLUMNS = {
    "scorer": pl.String, "source": pl.String, "rules": pl.String, "start_s": pl.Float64, "stop_s": pl.Float64,
    "stage": pl.String, "raw": pl.String,
}  # fmt: skip
# The other scorer's stage at the middle of each epoch: their grids may differ.
_PAIRS = """
    WITH others AS (SELECT DISTINCT recording, scorer FROM stages),
         epochs_of AS (SELECT e.recording, e.start_s + {half} AS middle_s, e.stage, e.stage_source, o.scorer
                       FROM epoch_rows e JOIN others o ON o.recording = e.recording AND o.scorer <> e.stage_source)
    SELECT e.recording, e.stage_source AS "default", e.scorer AS other, e.stage AS truth, s.stage AS said, count(*) AS n
    FROM epochs_of e ASOF JOIN stages s
      ON s.recording = e.recording AND s.scorer = e.scorer AND e.middle_s >= s.start_s
    WHERE s.stop_s > e.middle_s GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far `other` says the same as `default`, over the epochs that both call W, N1, N2, N3 or REM.

    `recording` None: all `nights` together. F1 counts the default as the truth; kappa None: chance would always agree.
    """

    recording: str | None
    default: str
    other: str
    nights: int
    epochs: int
    macro_f1: float
    kappa: float | None
    f1: dict[str, float]

    def __str__(self) -> str:
        kappa = "–" if self.kappa is None else f"{self.kappa:.2f}"
        each = ", ".join(f"{stage} {value:.2f}" for stage, value in self.f1.items())
        nights = f"{self.nights} nights, " if self.nights > 1 else ""
        return f"{self.other} against {self.default}: kappa {kappa}, macro-F1 {self.macro_f1:.2f} ({each}; " \
               f"{nights}{self.epochs} epochs)"  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def stage_table(scorings: Sequence[Scoring]) -> pl.DataFrame:
    """Every stage of every scorer, as scored: the catalog's table `stages`, without the recording."""
    rows = [
        (s.scorer, s.source, s.rules, span.start_s, span.stop_s, span.stage, span.raw)
        for s in scorings
        for span in s.stages
    ]
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def has_stages(snapshot: Snapshot) -> bool:
    """Whether the catalog keeps each scorer's stages; one written before did not."""
    return bool(snapshot.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'stages'").height)


def agreement_of(snapshot: Snapshot) -> list[Agreement]:
    """Each pair of a default scorer and another: all nights together first, then night by night."""
    if not has_stages(snapshot):
        return []
    counts = snapshot.sql(_PAIRS.format(half=EPOCH_S / 2))
    counts = counts.filter(pl.col("truth").is_in(_LABELS) & pl.col("said").is_in(_LABELS))
    pooled = [_agreement(None, pair, rows) for pair, rows in counts.group_by("default", "other", maintain_order=True)]
    single = [
        _agreement(str(name), pair, rows)
        for (name, *pair), rows in counts.group_by("recording", "default", "other", maintain_order=True)
    ]
    return [*pooled, *single]


def _agreement(recording: str | None, pair: Sequence[object], rows: pl.DataFrame) -> Agreement:
    repeated = rows.select(pl.col("truth", "said").repeat_by("n").explode())
    truth, said = (np.array([_LABELS.index(s) for s in repeated[c]], np.int64) for c in ("truth", "said"))
    table = confusion(truth, said, len(_LABELS))
    each, kappa = f1_of(table), kappa_of(table)
    f1 = {stage: round(float(v), 4) for stage, v in zip(_LABELS, each, strict=True) if np.isfinite(v)}
    return Agreement(
        recording, str(pair[0]), str(pair[1]), rows["recording"].n_unique(), int(table.sum()),
        round(float(np.nanmean(each)), 4), None if np.isnan(kappa) else round(kappa, 4), f1,
    )  # fmt: skip
