"""Agreement by confusion: against scikit-learn, and where a label never occurs."""

import numpy as np
import pytest

from retrieval.agreement import confusion, f1_of, kappa_of
from retrieval.compared import agreement_of
from retrieval.evaluation.figures import interval


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


@pytest.mark.parametrize("subjects", [1, 2, 7])
def test_an_interval_drawn_over_tables_of_people_is_that_drawn_over_their_epochs(subjects: int) -> None:
    rng = np.random.default_rng(subjects)
    n, labels = 300, ("W", "N1", "REM")
    people = np.sort(rng.integers(0, subjects, n)).astype(str)
    truth = rng.integers(-1, 3, n)
    said = np.where(rng.random(n) < 0.7, truth, rng.integers(-1, 3, n))
    asked = rng.random(n) < 0.9
    found, _ = agreement_of(truth, said, labels, people, np.full(n, "ann"), asked, 5)
    rows = np.flatnonzero(asked & (truth >= 0) & (said >= 0))

    def table(draw: np.ndarray) -> np.ndarray:
        return confusion(truth[rows][draw], said[rows][draw], 3)

    assert found is not None and found.confusion == table(np.arange(len(rows))).tolist()
    for name, figure in (("macro_f1", lambda draw: float(np.nanmean(f1_of(table(draw))))),
                         ("kappa", lambda draw: kappa_of(table(draw)))):  # fmt: skip
        dumb = interval(figure, people[rows].tolist(), seed=5)
        assert found.interval[name] == pytest.approx([dumb.low, dumb.high])
        assert getattr(found, name) == pytest.approx(dumb.value)
    assert found.interval["subjects"] == subjects


def test_a_hard_label_is_left_out_of_the_mean_of_the_others() -> None:
    found, _ = agreement_of(
        np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 2, 2, 2]), ("W", "N1", "REM"), np.array(["a"] * 3 + ["b"] * 3),
        np.full(6, "ann"), np.ones(6, bool), 0,
    )  # fmt: skip
    assert found is not None and found.f1["N1"] == 0
    assert found.macro_f1_without("N1") == pytest.approx((0.8 + 0.8) / 2)
