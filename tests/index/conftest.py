"""Small seeded cohorts for the tests of `index`."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from index import Writer

SPACE = "tiny-0a1b2c3d"
DIM = 16


def unit(rng: np.random.Generator, n: int, dim: int = DIM) -> np.ndarray:
    x = rng.standard_normal((n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def night_tables(recording: str, *, seed: int = 0, n: int = 20) -> Mapping[str, pl.DataFrame]:
    """One made-up night: alternating stages, ages by seed, six distinct captions shared between recordings."""
    start = np.arange(n) * 30.0
    captions = [int(c) for c in (np.arange(n) + seed) % 6 + 1]
    return {
        "recordings": pl.DataFrame({"recording": [recording], "subject": [f"s-{recording}"], "cohort": ["made up"]}),
        "subjects": pl.DataFrame({"subject": [f"s-{recording}"], "age": [40 + seed], "sex": ["female"]}),
        "nights": pl.DataFrame({"ahi_scored_per_h": [float(seed)], "start_s": [0.0], "stop_s": [n * 30.0]}),
        "epochs": pl.DataFrame(
            {
                "epoch": np.arange(n),
                "start_s": start,
                "stop_s": start + 30,
                "stage": ["N2" if i % 2 else "REM" for i in range(n)],
                "spo2_min_pct": np.linspace(85, 98, n).astype(np.float32),
                "caption_id": captions,
                "events": [["hypopnea"] if i % 5 == 0 else [] for i in range(n)],
            }
        ),
        "events": pl.DataFrame({"name": ["hypopnea"], "start_s": [3.0], "stop_s": [15.0]}),
        "coverage": pl.DataFrame({"kind": ["stages"], "scored": [True]}),
        "captions": pl.DataFrame({"caption_id": captions, "text": [f"sentence {c}" for c in captions]}),
    }


def caption_vectors(ids: np.ndarray) -> np.ndarray:
    """The same caption has the same vector whenever it is asked for."""
    return np.concatenate([unit(np.random.default_rng(int(i)), 1) for i in ids]) if len(ids) else np.empty((0, DIM))


def put_night(writer: Writer, recording: str, *, seed: int = 0, n: int = 20) -> np.ndarray:
    ids = writer.put(recording, f"print-{recording}-{seed}-{n}", night_tables(recording, seed=seed, n=n))
    new = writer.missing(SPACE, "caption")
    writer.add_vectors(SPACE, "caption", new, caption_vectors(new), info={"encoder": "tiny"})
    writer.add_vectors(SPACE, "signal", ids, unit(np.random.default_rng(seed + 100), n))
    return ids


def three_nights(writer: Writer) -> None:
    """Put and publish what is missing of night0, night1, night2, as an ingest that may have been cut short does."""
    prints = writer.fingerprints()
    for i in range(3):
        if f"night{i}" not in prints or len(writer.missing(SPACE, "signal")):
            put_night(writer, f"night{i}", seed=i)
    writer.publish({"made_by": "tests"})


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Path]:
    def make(n_recordings: int = 3, name: str = "cohort", n: int = 20) -> Path:
        root = tmp_path / name
        with Writer(root, name="made up") as writer:
            for i in range(n_recordings):
                put_night(writer, f"night{i}", seed=i, n=n)
            writer.publish({"made_by": "tests"})
        return root

    return make
