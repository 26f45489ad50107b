import shutil
from pathlib import Path

import numpy as np
import pytest

from retrieval import Cohort, ingest
from retrieval.duplicates import FEWEST_EPOCHS, best_lag


def test_the_best_lag_is_the_best_of_all_lags() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(size=(90, 8))
    other = np.concatenate([one[25:], rng.normal(size=(10, 8))])
    for vectors in (one, other):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    other[5] = 0.0

    def at(lag: int) -> tuple[float, int]:
        met = [(i, i - lag) for i in range(90) if 0 <= i - lag < len(other) and other[i - lag].any()]
        return (float(np.mean([one[i] @ other[j] for i, j in met])), len(met)) if met else (-1.0, 0)

    lags = [lag for lag in range(-74, 90) if at(lag)[1] >= max(FEWEST_EPOCHS, 37)]
    agreement, lag, epochs = best_lag(one, other)
    assert lag == max(lags, key=lambda n: at(n)[0]) == 25
    assert agreement == pytest.approx(at(25)[0]) and epochs == at(25)[1] == 64


def test_nights_that_hardly_meet_do_not_agree() -> None:
    assert best_lag(np.eye(10), np.eye(10)) == (-1.0, 0, 0)


def test_a_file_under_another_name_is_found_and_other_nights_are_not(sim_cohort, tmp_path: Path) -> None:
    found = sim_cohort.cohort.duplicates()
    assert not [s for s in found.found if s.kind == "same recording"]
    assert found.nights == 5 and found.same_recording and found.same_recording.highest < 0.98
    folder = tmp_path / "nights"
    shutil.copytree(sim_cohort.folder, folder)
    original = sorted(folder.glob("*hmc*.edf"))[0]
    for path in sorted(folder.glob(f"{original.stem}*")):
        if "truth" not in path.name:
            shutil.copy(path, path.with_name(path.name.replace(original.stem, "another-night")))
    assert not ingest([folder], tmp_path / "cohort").failed
    again = Cohort(tmp_path / "cohort").duplicates()
    (copy,) = [s for s in again.found if s.kind == "same recording"]
    assert {copy.recording, copy.other} == {original.stem, "another-night"} and copy.lag_s == 0.0
    assert copy.value == pytest.approx(1.0, abs=1e-3) and "cosine" in copy.basis
    assert again.frame().height == len(again.found) and again.to_json()["nights"] == 6
    assert any("is unknown" in note for note in again.notes)
