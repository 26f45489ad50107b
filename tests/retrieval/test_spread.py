"""What a threshold would give, from counts in bins: the same as from every epoch."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from retrieval.classify import Classification
from retrieval.spread import cell, near, scores_of, spreads

N = 400


def made(labels: tuple[str, ...], *, calibrated: bool = False, smoothing: str | None = None) -> Classification:
    """A classification of made-up scores; some epochs nobody scored, some can't be assessed."""
    rng = np.random.default_rng(5)
    scores = rng.standard_normal((N, len(labels)))
    scores[::17] = np.nan
    known = np.isfinite(scores).all(axis=1)
    names = np.array([*labels, None], object)
    best = np.where(known, np.nan_to_num(scores).argmax(axis=1), -1)
    scored = np.where(rng.random(N) < 0.7, np.where(rng.random(N) < 0.6, best, rng.integers(len(labels), size=N)), -1)
    columns: dict[str, Any] = {
        "recording": ["n1"] * N, "subject": ["s1"] * N, "start_s": np.arange(N) * 30.0,
        "label": pl.Series(names[best].tolist(), dtype=pl.String),
        "scored": pl.Series(names[scored].tolist(), dtype=pl.String),
    }  # fmt: skip
    columns |= {f"score_{label}": pl.Series(scores[:, i]).fill_nan(None) for i, label in enumerate(labels)}
    left = {"sensor": 0, "not_scored": 0, "quality": int((~known).sum())}
    table = pl.DataFrame(columns)
    return Classification("made", "made up", labels, calibrated, smoothing, left, table, None, [])


@pytest.mark.parametrize("labels", [("W", "N1", "N2"), ("absent", "present")])
@pytest.mark.parametrize("calibrated", [False, True])
def test_counts_from_an_edge_on_are_those_of_the_epochs(labels: tuple[str, ...], calibrated: bool) -> None:
    found = made(labels, calibrated=calibrated)
    scored = found.epochs["scored"].to_list()
    for spread in spreads(found, bins=40):
        score, _ = scores_of(found, spread.label)
        for edge in (0, 7, spread.start, 33, 39):
            above = [i for i in range(N) if score[i] >= spread.edges[edge]]  # one epoch after the other
            assert sum(spread.here[edge:]) == sum(scored[i] == spread.label for i in above)
            assert sum(spread.unscored[edge:]) == sum(scored[i] is None for i in above)
            said = sum(spread.here[edge:]) + sum(spread.elsewhere[edge:]) + sum(spread.unscored[edge:])
            assert said == len(above)


def test_the_threshold_of_present_begins_where_the_labels_part() -> None:
    found = made(("absent", "present"))
    (spread,) = spreads(found)
    counts = [a + b + c for a, b, c in zip(spread.here, spread.elsewhere, spread.unscored, strict=True)]
    assert sum(counts[spread.start :]) == (found.epochs["label"] == "present").sum()


def test_what_was_not_assessed_is_in_no_bin() -> None:
    found = made(("W", "N1"))
    spread = spreads(found)[0]
    assert sum(spread.here) + sum(spread.elsewhere) + sum(spread.unscored) == N - found.not_assessable["quality"]


def test_a_score_says_what_it_is_and_is_no_probability_unless_calibrated() -> None:
    assert "uncalibrated" in spreads(made(("W", "N1")))[0].of
    assert "uncalibrated" in spreads(made(("absent", "present")))[0].of
    assert "no calibrated probability" in spreads(made(("W", "N1"), smoothing="a model"))[0].of
    assert spreads(made(("W", "N1"), calibrated=True))[0].of == "probability"


def test_scores_that_are_all_alike_or_missing_still_have_bins() -> None:
    found = made(("W", "N1"))
    for value in (0.25, None):
        flat = found.epochs.with_columns(pl.lit(value, pl.Float64).alias("score_W"))
        spread = spreads(
            Classification(*[getattr(found, name) if name != "epochs" else flat for name in found.__slots__])
        )[0]
        assert np.isfinite(spread.edges).all() and np.diff(spread.edges).min() > 0
        assert sum(spread.here) + sum(spread.elsewhere) + sum(spread.unscored) == (N if value else 0)


def test_epochs_about_a_threshold_are_the_nearest_and_those_of_a_cell_the_surest() -> None:
    found = made(("W", "N1"))
    score, _ = scores_of(found, "W")
    about = near(found, "W", 0.1, n=6)["score"].to_numpy()
    nearest = sorted(np.abs(score[np.isfinite(score)] - 0.1))[:6]
    assert np.allclose(sorted(np.abs(about - 0.1)), nearest, atol=1e-3) and (np.diff(about) <= 0).all()
    rows = cell(found, "N1", "W", n=5)
    assert set(rows["scored"]) == {"N1"} and set(rows["label"]) == {"W"}
    assert (np.diff(rows["score"].to_numpy()) <= 0).all()
    assert cell(found, None, "W", n=3)["scored"].null_count() == 3
