"""Areas under curves: against scikit-learn on draws with repeats and ties."""

import numpy as np
import pytest

from retrieval.evaluation.curves import Ranking


@pytest.mark.parametrize("levels", [3, 1000])  # few levels: most scores are ties
def test_areas_of_a_draw_are_those_of_scikit_learn_on_its_rows(levels: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(levels)
    there = rng.random(300) < 0.3
    scores = np.round((rng.random(300) + 0.3 * there) * levels) / levels
    ranking = Ranking.of(there, scores)
    for _ in range(5):
        rows = rng.integers(0, 300, 200)
        assert ranking.auc(rows) == pytest.approx(metrics.roc_auc_score(there[rows], scores[rows]))
        precision = metrics.average_precision_score(there[rows], scores[rows])
        assert ranking.average_precision(rows) == pytest.approx(precision)


def test_without_a_positive_or_a_negative_there_is_no_area() -> None:
    ranking = Ranking.of(np.array([True, True, False]), np.array([3.0, 2.0, 1.0]))
    assert np.isnan(ranking.auc(np.array([0, 1])))
    assert np.isnan(ranking.auc(np.array([2]))) and np.isnan(ranking.average_precision(np.array([2])))
    assert ranking.auc(np.arange(3)) == ranking.average_precision(np.arange(3)) == 1


def test_scores_that_are_all_alike_rank_nothing() -> None:
    ranking = Ranking.of(np.array([True, False, False, False]), np.zeros(4))
    assert ranking.auc(np.arange(4)) == 0.5
    assert ranking.average_precision(np.arange(4)) == 0.25


def test_points_run_from_nothing_found_to_everything_found() -> None:
    rng = np.random.default_rng(0)
    points = Ranking.of(rng.random(5000) < 0.2, rng.random(5000)).points()
    assert points["recall"][0] == points["false_alarms"][0] == 0 and points["precision"][0] == 1
    assert points["recall"][-1] == points["false_alarms"][-1] == 1
    assert all(len(values) == len(points["recall"]) <= 100 for values in points.values())
