"""Epochs and nights like a given one, by their captions and by what was measured.

Captions say in words what kind of epoch it is; many share one wording, so the measures, standardised over the searched
rows and compared only where both epochs have them, decide among these.
"""

import time
from dataclasses import replace

import numpy as np
import polars as pl

from encoders.captions import load_measures
from index import Snapshot
from retrieval.details import details, hit_of, hits_of
from retrieval.hit import Answer
from retrieval.search import matching, merge_runs, standardised

_NOTHING_REFUSED = {"sensor": 0, "not_scored": 0, "quality": 0}


def _measured(snapshot: Snapshot) -> list[str]:
    """The measures that are numbers, of those that this cohort has."""
    return [c for c, kind in snapshot.columns().items() if c in load_measures() and kind in ("DOUBLE", "FLOAT")]


def similar_epochs(snapshot: Snapshot, space: str, epoch_id: int, place: str, *, where: str | None, k: int) -> Answer:
    """Stretches whose caption and measures are nearest to those of one epoch, that epoch and its run left out."""
    began = time.perf_counter()
    measures = _measured(snapshot)
    columns = ("epoch_id", "recording", "epoch", "start_s", "caption_id", *measures)
    frame = snapshot.sql(f"SELECT {', '.join(columns)} FROM {snapshot.narrowest(columns)}")
    target = frame.filter(pl.col("epoch_id") == epoch_id)
    if where:
        frame = matching(snapshot, frame, where)
    near = (pl.col("recording") == target["recording"][0]) & ((pl.col("epoch") - target["epoch"][0]).abs() <= 1)
    frame = frame.filter(~near)
    if not frame.height:
        return Answer(
            place, [where] if where else [], 0, dict(_NOTHING_REFUSED), [], "none", {}, ["no other epoch to compare"]
        )
    ids, spot = np.unique(frame["caption_id"].to_numpy(), return_inverse=True)
    vectors = snapshot.vectors(space, "caption", np.append(ids, target["caption_id"][0]))
    cosine = (vectors[:-1] @ vectors[-1])[spot]
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
    hits = hits_of(snapshot, frame, merge_runs(frame, k), None)
    hits = [replace(h, why=[f"nearest by caption and {int(shared.sum())} measures"]) for h in hits]
    ms = {"total": round((time.perf_counter() - began) * 1000, 2)}
    return Answer(
        place, [where] if where else [], frame.height, dict(_NOTHING_REFUSED), hits, "exact scan of captions", ms
    )


def similar_nights(snapshot: Snapshot, space: str, recording: str, *, where: str | None, k: int) -> Answer:
    """Nights whose mean caption vector is nearest; a first, coarse likeness that ignores the order of the night."""
    began = time.perf_counter()
    counts = snapshot.sql(
        "SELECT recording, caption_id, count(*) AS n FROM epochs GROUP BY ALL ORDER BY recording, caption_id"
    )
    if where:
        keep = matching(snapshot, snapshot.sql("SELECT epoch_id, recording FROM epochs"), where)["recording"].unique()
        counts = counts.filter(pl.col("recording").is_in([*keep, recording]))
    ids = np.unique(counts["caption_id"].to_numpy())
    vectors = snapshot.vectors(space, "caption", ids)
    means = {}
    for (name,), group in counts.group_by(["recording"], maintain_order=True):
        rows = vectors[np.searchsorted(ids, group["caption_id"].to_numpy())]
        mean = (rows * group["n"].to_numpy()[:, None]).sum(axis=0)
        means[str(name)] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    target = means.pop(recording)
    best = sorted(((float(m @ target), name) for name, m in means.items()), key=lambda pair: (-pair[0], pair[1]))[:k]
    hits = []
    for cosine, name in best:
        first = snapshot.sql("SELECT epoch_id FROM epochs WHERE recording = ? ORDER BY start_s LIMIT 1", [name])
        epoch_id = int(first["epoch_id"][0])
        night = snapshot.sql(
            "SELECT duration_s, report FROM recordings JOIN nights USING (recording) WHERE recording = ?", [name]
        )
        hit = hit_of(details(snapshot, [epoch_id])[epoch_id], 0.0, float(night["duration_s"][0]), cosine, [])
        hits.append(replace(hit, stage=None, stage_source=None, events=[], caption={"night": night["report"][0]},
                            why=[f"mean caption vector: cosine {cosine:.3f}"]))  # fmt: skip
    ms = {"total": round((time.perf_counter() - began) * 1000, 2)}
    return Answer(
        recording, [where] if where else [], len(means), dict(_NOTHING_REFUSED), hits, "exact scan of nights", ms
    )
