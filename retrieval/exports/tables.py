"""Tables of a whole cohort, one file each: nights, stages, events, labels, hits, as Parquet or CSV.

Parquet carries the provenance in its metadata under `sleepsearch`; a CSV has no place for it, so it stands in the
export's JSON alone.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from encoders.recordings.annotations.own import MARK
from index import Labels, Snapshot
from retrieval.exports.order import Order, Piece
from retrieval.scorers import has_stages

_INNER = ("fingerprint", "night_row")  # of use to the catalog alone


def parquet_pieces(order: Order) -> Sequence[Piece]:
    """A Parquet file a table."""
    return [Piece(f"{name}.parquet", partial(_parquet, order, name)) for name in _names(order)]


def csv_pieces(order: Order) -> Sequence[Piece]:
    """A CSV a table; lists become text."""
    return [Piece(f"{name}.csv", partial(_csv, order, name)) for name in _names(order)]


def _names(order: Order) -> list[str]:
    names = [name for name in ("nights", "stages", "events", "labels", "hits") if name in order.what]
    return [name for name in names if name != "labels" or frame(order, name).height]


def frame(order: Order, name: str) -> pl.DataFrame:
    """One of the tables, of the nights asked for."""
    if name == "hits":
        return _hits(order)
    if name == "labels":
        table = Labels(order.cohort.root).frame()
    elif name == "nights":
        table = order.cohort.nights().drop(_INNER, strict=False)
    elif name == "events":
        table = order.snapshot.sql("SELECT * FROM events ORDER BY recording, start_s, stop_s")
    else:
        table = _stages(order.snapshot)
    return table.filter(pl.col("recording").is_in(order.recordings))


def _stages(snapshot: Snapshot) -> pl.DataFrame:
    """Every scorer's stages; of nights read before the catalog kept them, those of their epochs."""
    kept = has_stages(snapshot)
    others = "WHERE recording NOT IN (SELECT recording FROM stages)" if kept else ""
    epochs = snapshot.sql(
        f"SELECT recording, stage_source AS scorer, start_s, stop_s, stage, stage_raw AS raw FROM epoch_rows {others}"
    ).drop_nulls("stage")
    table = pl.concat([snapshot.sql("SELECT * FROM stages"), epochs], how="diagonal") if kept else epochs
    return table.sort("recording", "scorer", "start_s")


def _hits(order: Order) -> pl.DataFrame:
    rows = [
        {
            "rank": rank, "recording": hit.recording, "subject": hit.subject, "start_s": hit.start_s,
            "stop_s": hit.stop_s, "clock": hit.clock, "score": hit.score, "stage": hit.stage,
            "stage_source": hit.stage_source, "events": list(hit.events), "why": list(hit.why),
            "caption": " ".join(hit.caption.values()), "substitutes": list(hit.substitutes), "simulated": hit.simulated,
            "query": order.words,
        }
        for rank, hit in enumerate(order.hits, 1)
    ]  # fmt: skip
    texts = ("recording", "subject", "clock", "stage", "stage_source", "caption", "query")
    types: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(texts, pl.String)
    types |= dict.fromkeys(("events", "why", "substitutes"), pl.List(pl.String))
    return pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None)


def _parquet(order: Order, name: str, path: Path) -> list[str]:
    write_parquet(frame(order, name), order, path)
    return []


def write_parquet(table: pl.DataFrame, order: Order, path: Path) -> None:
    """A table with the provenance in its metadata."""
    import pyarrow.parquet as pq

    plain = table.to_arrow()
    pq.write_table(plain.replace_schema_metadata({**(plain.schema.metadata or {}), **metadata(order)}), path)


def metadata(order: Order) -> dict[bytes, bytes]:
    """The provenance as Arrow and Parquet keep it."""
    return {MARK.encode(): json.dumps(order.stamp()).encode()}


def _csv(order: Order, name: str, path: Path) -> list[str]:
    table = frame(order, name)
    lists = [column for column, kind in table.schema.items() if kind == pl.List(pl.String)]
    table.with_columns(pl.col(lists).list.join("; ")).write_csv(path)
    return []
