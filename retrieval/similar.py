"""Epochs like a given one, by their captions and by what was measured.

Captions say in words what kind of epoch it is; many share one wording, so the measures, standardised over the searched
rows and compared only where both epochs have them, decide among these.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from encoders.captions import load_measures
from index import Snapshot
from retrieval.details import hits_of
from retrieval.hit import Answer
from retrieval.search import BEST, best_of, merge_runs, placed, standardised

_NOTHING_REFUSED = {"sensor": 0, "not_scored": 0, "quality": 0}


def _measured(snapshot: Snapshot) -> list[str]:
    """The measures that are numbers, of those that this cohort has."""
    return [c for c, kind in snapshot.columns().items() if c in load_measures() and kind in ("DOUBLE", "FLOAT")]


def _distances(
    snapshot: Snapshot, source: str, target: pl.DataFrame, shared: Sequence[str], tables: dict[str, pl.DataFrame]
) -> pl.DataFrame:
    """`epoch_id caption_id distance` of the searched rows: the mean difference from the target's measures in standard
    deviations over all of them, of those that both have; 3 where they share none."""
    if not shared:
        return snapshot.sql(f"SELECT epoch_id, caption_id, 3.0::DOUBLE AS distance FROM {source}", (), **tables)
    listed = ", ".join(shared)
    spreads = snapshot.sql(
        f"SELECT {', '.join(f'stddev_pop({name}) AS {name}' for name in shared)} FROM "
        f"(SELECT {listed} FROM {source} UNION ALL SELECT {listed} FROM target)",
        (), **tables, target=target.select(shared),
    ).row(0, named=True)  # fmt: skip
    gaps = [f"abs({name} - {target[name][0]!r}::DOUBLE) / {spreads[name] or 1.0!r}::DOUBLE" for name in shared]
    # list_avg leaves out what is null, and is null where all is.
    return snapshot.sql(
        f"SELECT epoch_id, caption_id, coalesce(list_avg([{', '.join(gaps)}]), 3.0) AS distance FROM {source}",
        (), **tables,
    )  # fmt: skip


def similar_epochs(
    snapshot: Snapshot, space: str, epoch_id: int, place: str, *, where: str | None, k: int,
    home: Snapshot | None = None, signals: str | None = None,
) -> Answer:  # fmt: skip
    """Stretches whose caption and measures are nearest to those of one epoch, that epoch and its run left out.

    home: the snapshot that the epoch is of, where that is another one; then nothing is left out. signals: the space of
    signal vectors whose cosine is told of each hit; it takes no part in the order.
    """
    began = time.perf_counter()
    own = home or snapshot
    measures = [name for name in _measured(snapshot) if name in own.columns()]
    columns = ("epoch_id", "recording", "epoch", "start_s", "caption_id", *measures)
    target = own.sql(f"SELECT {', '.join(columns)} FROM {own.narrowest(columns, [epoch_id])}")
    tables: dict[str, pl.DataFrame] = {}
    limits: list[str] = []
    if where:
        tables["wanted"] = pl.DataFrame({"epoch_id": snapshot.rows(where)})
        limits.append("epoch_id IN (FROM wanted)")
    if home is None:
        quoted = str(target["recording"][0]).replace("'", "''")
        limits.append(f"NOT (recording = '{quoted}' AND abs(epoch - {int(target['epoch'][0])}) <= 1)")
    source = f"{snapshot.narrowest(columns)} AS epochs WHERE {' AND '.join(limits) or 'TRUE'}"
    shared = [name for name in measures if target[name][0] is not None]
    frame = _distances(snapshot, source, target, shared, tables)
    if not frame.height:
        return Answer(
            place, [where] if where else [], 0, dict(_NOTHING_REFUSED), [], "none", {}, ["no other epoch to compare"]
        )
    ids = frame["caption_id"].unique().sort().to_numpy()
    (asked,) = own.vectors(space, "caption", target["caption_id"].to_numpy())
    near = pl.DataFrame({"caption_id": ids, "dense": snapshot.vectors(space, "caption", ids) @ asked})
    cosine = frame.select("caption_id").join(near, on="caption_id", maintain_order="left")["dense"].to_numpy()
    score = standardised(cosine) - standardised(frame["distance"].to_numpy())
    searched = frame.height
    for most in (BEST, None):
        rows = best_of(score, frame["epoch_id"].to_numpy(), most)
        ranked = frame[rows].select("epoch_id", pl.Series("score", score[rows]), pl.Series("dense", cosine[rows]))
        ranked = placed(snapshot, ranked)
        runs = merge_runs(ranked, k)
        if len(runs) == k or len(rows) == searched:
            break
    best = ranked[[run[0] for run in runs]]
    whys = [[f"nearest by caption (cosine {near:.2f}) and {len(shared)} measures"] for near in best["dense"]]
    if signals:
        (signal,) = own.vectors(signals, "signal", np.array([epoch_id]))
        cosines = snapshot.vectors(signals, "signal", best["epoch_id"].to_numpy()) @ signal
        for why, near in zip(whys, cosines, strict=True):
            why += [f"signals: cosine {near:.2f}"] if np.isfinite(near) else []
    hits = [replace(h, why=why) for h, why in zip(hits_of(snapshot, ranked, runs, None), whys, strict=True)]
    ms = {"total": round((time.perf_counter() - began) * 1000, 2)}
    return Answer(place, [where] if where else [], searched, dict(_NOTHING_REFUSED), hits, "exact scan of captions", ms)
