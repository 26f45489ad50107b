"""Epochs like a given one, by their captions and by what was measured.

Captions say in words what kind of epoch it is; many share one wording, so the measures, standardised over the searched
rows and compared only where both epochs have them, decide among these.
"""

import time
from dataclasses import replace

import numpy as np
import polars as pl

from encoders.captions import load_measures
from index import Snapshot
from retrieval.details import hits_of
from retrieval.hit import Answer
from retrieval.search import matching, merge_runs, standardised

_NOTHING_REFUSED = {"sensor": 0, "not_scored": 0, "quality": 0}


def _measured(snapshot: Snapshot) -> list[str]:
    """The measures that are numbers, of those that this cohort has."""
    return [c for c, kind in snapshot.columns().items() if c in load_measures() and kind in ("DOUBLE", "FLOAT")]


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
    frame = snapshot.sql(f"SELECT {', '.join(columns)} FROM {snapshot.narrowest(columns)}")
    target = own.sql(f"SELECT {', '.join(columns)} FROM {own.narrowest(columns)} WHERE epoch_id = ?", [epoch_id])
    if where:
        frame = matching(snapshot, frame, where)
    if home is None:
        near = (pl.col("recording") == target["recording"][0]) & ((pl.col("epoch") - target["epoch"][0]).abs() <= 1)
        frame = frame.filter(~near)
    if not frame.height:
        return Answer(
            place, [where] if where else [], 0, dict(_NOTHING_REFUSED), [], "none", {}, ["no other epoch to compare"]
        )
    ids, spot = np.unique(frame["caption_id"].to_numpy(), return_inverse=True)
    (wanted,) = own.vectors(space, "caption", target["caption_id"].to_numpy())
    cosine = (snapshot.vectors(space, "caption", ids) @ wanted)[spot]
    both = pl.concat([target.select(frame.columns), frame])
    values = both.select(measures).to_numpy()
    shared = ~np.isnan(values[0])
    values = values[:, shared]
    spread = np.nanstd(values, axis=0)
    z = values / np.where(spread > 0, spread, 1.0)
    gaps = np.abs(z[1:] - z[0])
    known = np.maximum((~np.isnan(gaps)).sum(axis=1), 1)
    distance = np.where(np.isnan(gaps).all(axis=1), 3.0, np.nansum(gaps, axis=1) / known)
    score = standardised(cosine) - standardised(distance)
    frame = frame.with_columns(pl.Series("score", score), pl.Series("dense", cosine)).sort(
        ["score", "epoch_id"], descending=[True, False]
    )
    runs = merge_runs(frame, k)
    best = frame[[run[0] for run in runs]]
    whys = [[f"nearest by caption (cosine {near:.2f}) and {int(shared.sum())} measures"] for near in best["dense"]]
    if signals:
        (signal,) = own.vectors(signals, "signal", np.array([epoch_id]))
        cosines = snapshot.vectors(signals, "signal", best["epoch_id"].to_numpy()) @ signal
        for why, near in zip(whys, cosines, strict=True):
            why += [f"signals: cosine {near:.2f}"] if np.isfinite(near) else []
    hits = [replace(h, why=why) for h, why in zip(hits_of(snapshot, frame, runs, None), whys, strict=True)]
    ms = {"total": round((time.perf_counter() - began) * 1000, 2)}
    return Answer(
        place, [where] if where else [], frame.height, dict(_NOTHING_REFUSED), hits, "exact scan of captions", ms
    )
