"""Labels that words or examples gave to epochs, as Luna's annotation files, a file a night."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from encoders.vocabulary import EPOCH_S
from index.layout import code_version
from retrieval.exports.annot import document
from retrieval.exports.scored import Row


def spans_of(epochs: pl.DataFrame) -> pl.DataFrame:
    """`recording start_s stop_s label`: neighbouring epochs of one label as one stretch; those without one are left
    out. `epochs` holds `recording start_s label`, by recording and time."""
    table = epochs.select("recording", "start_s", "label").drop_nulls("label")
    begins = (
        (pl.col("recording") != pl.col("recording").shift())
        | (pl.col("label") != pl.col("label").shift())
        | ((pl.col("start_s") - pl.col("start_s").shift() - EPOCH_S).abs() > 1e-3)
    ).fill_null(True)
    runs = table.with_columns(begins.cum_sum().alias("run")).group_by("run", maintain_order=True)
    return runs.agg(
        pl.col("recording").first(), pl.col("start_s").first(), (pl.col("start_s").last() + EPOCH_S).alias("stop_s"),
        pl.col("label").first(),
    ).drop("run")  # fmt: skip


def write_annots(epochs: pl.DataFrame, out: Path, *, author: str, said: Mapping[str, str]) -> list[Path]:
    """A file a night into the folder `out`, its rows labels by `author`, so that no scorer's class is touched.

    `said`: what each file says of itself besides the version that wrote it.
    """
    stamp = {"tool": f"sleepsearch {code_version()}", **said}
    written = []
    for (name,), night in spans_of(epochs).group_by("recording", maintain_order=True):
        rows = [
            Row("label", label, start_s, stop_s, None, {"author": author})
            for start_s, stop_s, label in night.select("start_s", "stop_s", "label").iter_rows()
        ]
        path = out / f"{name}.annot"
        path.write_text(document(rows, stamp), encoding="utf-8")
        written.append(path)
    return written
