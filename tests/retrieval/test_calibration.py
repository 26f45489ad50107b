"""Calibration: nobody's own labels are used on them, thresholds and bins against slow twins, refusals in words."""

import numpy as np
import pytest

from retrieval.calibration import FEWEST_OTHERS, Calibrated, best_threshold, calibrate, calibration_error, two_groups

LABELS = ("absent", "present")


def people(n: int = 6, each: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A score that lies 2 too high for everybody, labels by a logistic law, and whose they are."""
    rng = np.random.default_rng(1)
    true = rng.normal(size=n * each)
    codes = (rng.random(len(true)) < 1 / (1 + np.exp(3 - 2 * true))).astype(np.int64)
    return true[:, None] + 2, codes, np.repeat([f"s{i}" for i in range(n)], each)


def fitted(scores: np.ndarray, codes: np.ndarray, subjects: np.ndarray) -> Calibrated:
    found = calibrate(scores, codes, subjects, LABELS, presence=True)
    assert isinstance(found, Calibrated)
    return found


def test_probabilities_come_true_and_the_threshold_beats_the_sign() -> None:
    scores, codes, subjects = people()
    found = fitted(scores, codes, subjects)
    assert found.off < 0.03 and found.subjects == 6 and found.threshold is not None
    said = found.chances[:, 1] >= found.threshold

    def f1(guess: np.ndarray) -> float:
        return 2 * (guess & (codes == 1)).sum() / (guess.sum() + codes.sum())

    assert f1(said) > f1(scores[:, 0] > 0) + 0.15
    assert "6 labelled subjects" in found.words() and "logistic regression" in found.words()


def test_nobodys_own_labels_calibrate_them() -> None:
    scores, codes, subjects = people()
    own = subjects == "s2"
    turned = np.where(own, 1 - codes, codes)
    before, after = fitted(scores, codes, subjects), fitted(scores, turned, subjects)
    assert after.chances[own] == pytest.approx(before.chances[own])
    assert np.abs(after.chances[~own] - before.chances[~own]).max() > 0.01


def test_whoever_has_no_labels_is_calibrated_by_all_and_unknown_scores_stay_unknown() -> None:
    scores, codes, subjects = people()
    codes[subjects == "s5"] = -1
    scores[3] = np.nan
    found = fitted(scores, codes, subjects)
    assert found.subjects == 5 and np.isfinite(found.chances[subjects == "s5"]).all()
    assert np.isnan(found.chances[3]).all() and found.chances[4].sum() == pytest.approx(1.0)


def test_too_few_people_and_a_label_that_nobody_else_has_are_said() -> None:
    scores, codes, subjects = people(n=FEWEST_OTHERS)
    few = calibrate(scores, codes, subjects, LABELS, presence=True)
    assert isinstance(few, str) and few.startswith("uncalibrated") and str(FEWEST_OTHERS) in few
    scores, codes, subjects = people()
    codes = np.where(subjects == "s0", codes, 0)
    alone = calibrate(scores, codes, subjects, LABELS, presence=True)
    assert alone == "uncalibrated: nobody else is labelled present"


def test_many_people_are_dealt_into_groups_of_which_none_sees_itself() -> None:
    scores, codes, subjects = people(n=23, each=40)
    before = fitted(scores, codes, subjects)
    own = subjects == "s0"
    after = fitted(scores, np.where(own, 1 - codes, codes), subjects)
    assert after.chances[own] == pytest.approx(before.chances[own])


def test_several_labels_share_one_whole() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(3, size=900)
    scores = np.eye(3)[codes] + rng.normal(scale=0.7, size=(900, 3)) + [0.0, 0.0, 1.5]  # the third is said too often
    found = calibrate(scores, codes, np.repeat(list("abcdef"), 150), ("x", "y", "z"), presence=False)
    assert isinstance(found, Calibrated) and found.threshold is None
    assert found.chances.sum(axis=1) == pytest.approx(1.0)
    assert (found.chances.argmax(axis=1) == codes).mean() > (scores.argmax(axis=1) == codes).mean() + 0.1


def test_the_threshold_is_that_of_trying_every_one() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        chances, there = np.round(rng.random(30), 1), rng.random(30) < 0.3
        if not there.any():
            continue
        f1 = {t: 2 * (there & (chances >= t)).sum() / ((chances >= t).sum() + there.sum()) for t in set(chances)}
        assert f1[best_threshold(chances, there)] == pytest.approx(max(f1.values()))


def test_two_groups_part_where_the_variance_within_is_least() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(size=60), rng.normal(4, 0.5, size=9)])
    cut = two_groups(values)
    ordered = np.sort(values)
    within = [i * ordered[:i].var() + (69 - i) * ordered[i:].var() for i in range(1, 69)]
    at = int(np.argmin(within)) + 1
    assert ordered[at - 1] < cut < ordered[at] and 1.5 < cut < 4
    assert two_groups(np.array([0.3])) == pytest.approx(0.3) and two_groups(np.zeros(0)) == 0.0


def test_calibration_error_is_the_gap_between_promised_and_true() -> None:
    right = np.arange(1000) % 5 == 0
    assert calibration_error(np.full(1000, 0.2), right) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(np.full(1000, 0.9), right) == pytest.approx(0.7)
