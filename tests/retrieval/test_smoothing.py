"""Smoothing over the night: against the sum over every possible night, over gaps, and what the fitted chances are."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from retrieval.smoothing import Transitions, load_transitions, smooth, smooth_nights, usual_temperature

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CHAIN = Transitions(("a", "b", "c"), np.array([[0.8, 0.15, 0.05], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6]]))


def every_night(scores: np.ndarray, chain: Transitions, temperature: float) -> np.ndarray:
    """The same by enumeration of all sequences of labels, weighed by chance and scores; NaN rows say nothing."""
    n, k = scores.shape
    likely = np.exp(np.nan_to_num(scores / temperature))
    total = np.zeros((n, k))
    for night in product(range(k), repeat=n):
        weight = chain.usual[night[0]] * np.prod([chain.chances[i, j] for i, j in pairwise(night)])
        weight *= np.prod([likely[epoch, label] for epoch, label in enumerate(night)])
        for epoch, label in enumerate(night):
            total[epoch, label] += weight
    return total / total.sum(axis=1, keepdims=True)


def test_it_is_the_sum_over_every_possible_night() -> None:
    scores = np.random.default_rng(1).normal(size=(6, 3))
    found = smooth(scores, 30.0 * np.arange(6), CHAIN, temperature=0.7)
    assert found == pytest.approx(every_night(scores, CHAIN, 0.7), abs=1e-12)


def test_unknown_epochs_and_missing_ones_are_bridged_alike() -> None:
    scores = np.random.default_rng(2).normal(size=(7, 3))
    scores[[2, 3]] = np.nan
    start_s = 12.5 + 30.0 * np.arange(7)
    truth = every_night(scores, CHAIN, 0.5)
    found = smooth(scores, start_s, CHAIN, temperature=0.5)
    there = [0, 1, 4, 5, 6]
    assert np.isnan(found[[2, 3]]).all()
    assert found[there] == pytest.approx(truth[there], abs=1e-12)
    assert smooth(scores[there], start_s[there], CHAIN, temperature=0.5) == pytest.approx(truth[there], abs=1e-12)


def test_nights_do_not_speak_to_each_other() -> None:
    scores = np.random.default_rng(3).normal(size=(8, 3))
    start_s = np.tile(30.0 * np.arange(4), 2)
    both = smooth_nights(scores, ["x"] * 4 + ["y"] * 4, start_s, CHAIN, temperature=1.0)
    assert both[4:] == pytest.approx(smooth(scores[4:], start_s[4:], CHAIN, temperature=1.0))


def test_a_whole_night_at_any_temperature_gives_probabilities() -> None:
    scores = np.random.default_rng(4).normal(size=(1000, 5))
    for temperature in (1e-4, 0.1, 1e4):
        found = smooth(scores, 30.0 * np.arange(1000), load_transitions(), temperature=temperature)
        assert found.sum(axis=1) == pytest.approx(1.0)
    assert found.mean(axis=0) == pytest.approx(load_transitions().usual, abs=0.01)  # scores that say nothing
    cold = smooth(scores, 30.0 * np.arange(1000), load_transitions(), temperature=1e-4)
    assert (cold.argmax(axis=1) == scores.argmax(axis=1)).mean() > 0.99


def test_epochs_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order of time"):
        smooth(np.zeros((2, 3)), np.array([30.0, 0.0]), CHAIN, temperature=1.0)


def test_smoothing_mends_lone_mistakes_of_a_real_looking_night() -> None:
    rng, chain = np.random.default_rng(5), load_transitions()
    night = [0]
    for _ in range(900):
        night.append(int(rng.choice(5, p=chain.chances[night[-1]])))
    scores = np.eye(5)[night] + rng.normal(scale=0.8, size=(901, 5))
    found = smooth(scores, 30.0 * np.arange(901), chain, temperature=usual_temperature(scores))
    plain, smoothed = ((s.argmax(axis=1) == night).mean() for s in (scores, found))
    assert plain < 0.7 and smoothed > plain + 0.12


def test_temperature_follows_the_spread_of_the_scores_alone() -> None:
    scores = np.random.default_rng(6).normal(size=(50, 5))
    scores[3] = np.nan
    assert usual_temperature(7 * scores + 2) == pytest.approx(7 * usual_temperature(scores))


def test_merging_two_stages_keeps_how_often_each_passage_is() -> None:
    chain = load_transitions()
    means = {"W": "W", "N1": "light", "N2": "light", "N3": "N3", "REM": "REM"}
    merged = chain.merged(means).ordered(["W", "light", "N3", "REM"])
    usual = dict(zip(chain.labels, chain.usual, strict=True))
    assert merged.usual[1] == pytest.approx(usual["N1"] + usual["N2"])
    leaves = (usual["N1"] * chain.chances[1, 0] + usual["N2"] * chain.chances[2, 0]) / (usual["N1"] + usual["N2"])
    assert merged.chances[1, 0] == pytest.approx(leaves)
    assert merged.chances.sum(axis=1) == pytest.approx(1.0)


def test_the_fitted_chances_are_those_of_sleep() -> None:
    chain = load_transitions()
    assert chain.labels == ("W", "N1", "N2", "N3", "REM")
    assert (chain.chances > 0).all() and chain.chances.sum(axis=1) == pytest.approx(1.0)
    stay = dict(zip(chain.labels, np.diag(chain.chances), strict=True))
    assert stay["N1"] < 0.6 < 0.8 < min(stay["W"], stay["N2"], stay["N3"], stay["REM"])
    n1, n3, rem = (chain.labels.index(stage) for stage in ("N1", "N3", "REM"))
    assert chain.chances[n3, rem] < 0.005 and chain.chances[rem, n3] < 0.005 and chain.chances[n1, n3] < 0.005


@pytest.mark.slow
def test_the_script_writes_the_file_again(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import fit_transitions

    nights = [n for n in fit_transitions.read_nights(shared_data) if n.database in fit_transitions.DATABASES]
    assert fit_transitions.write(nights) == fit_transitions.OUT.read_text("utf-8")
    assert {night.database for night in nights} == {"BOAS", "Sleep-EDF"}
