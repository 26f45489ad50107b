"""Agreement by confusion: against scikit-learn, and where a label never occurs."""

import numpy as np
import pytest

from retrieval.agreement import confusion, f1_of, kappa_of


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_kappa_are_those_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 200)
    said = np.where(rng.random(200) < 0.6, truth, rng.integers(0, 4, 200))
    table = confusion(truth, said, 4)
    assert (table == metrics.confusion_matrix(truth, said)).all()
    assert f1_of(table) == pytest.approx(metrics.f1_score(truth, said, average=None))
    assert kappa_of(table) == pytest.approx(metrics.cohen_kappa_score(truth, said))


def test_a_label_that_never_occurs_has_no_f1_and_one_that_is_never_said_has_zero() -> None:
    table = confusion(np.array([0, 0, 1]), np.array([0, 2, 0]), 3)
    assert f1_of(table)[0] == pytest.approx(0.5)
    assert f1_of(table)[1] == 0
    assert np.isnan(f1_of(table)[2])


def test_kappa_needs_two_labels() -> None:
    assert np.isnan(kappa_of(confusion(np.zeros(5, int), np.zeros(5, int), 2)))
    assert np.isnan(kappa_of(np.zeros((2, 2), int)))
