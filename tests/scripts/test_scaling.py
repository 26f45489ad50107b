"""The fit of scripts/scaling.py on curves that are known, and the table of scripts/ablate.py."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from ablate import table  # noqa: E402
from scaling import LOSS, SENSORS, fitted, loss_of, plot, power_law, words  # noqa: E402

X = np.array([16.0, 32.0, 64.0, 128.0, 256.0])


def test_a_known_curve_is_found_and_lies_in_its_interval() -> None:
    noise = 0.003 * np.random.default_rng(0).standard_normal((3, len(X)))
    points = [(x, y) for row in noise for x, y in zip(X, power_law(X, 1.0, 4.0, 0.5) + row, strict=True)]
    found = fitted(points)
    assert found["a"] == pytest.approx(1.0, abs=0.1) and found["c"] == pytest.approx(0.5, abs=0.1)
    low, high = found["c_interval"]
    assert low <= 0.5 <= high
    truth = power_law(np.array(2560.0), 1.0, 4.0, 0.5)
    low, high = found["predicted"]["10x"]["interval"]
    assert low <= truth <= high and found["predicted"]["10x"]["x"] == 2560


def test_the_report_says_that_it_guesses(tmp_path: Path) -> None:
    report = {
        "epochs_seen": 1000,
        "axes": {"width": {"loss_is": LOSS} | fitted(list(zip(X, power_law(X, 1.0, 4.0, 0.5), strict=True)))},
    }
    assert "beyond everything measured" in words(report) and "10x (2560): 1.0" in words(report)
    plot(report, tmp_path / "scaling.html")
    assert "a + b x^-c" in (tmp_path / "scaling.html").read_text(encoding="utf-8")


def test_modalities_grow_by_adding() -> None:
    sets = [set(channels) for channels in SENSORS.values()]
    assert all(a < b for a, b in pairwise(sets)) and len(sets[-1]) == 12


def test_the_table_has_means_and_what_is_missing() -> None:
    runs = {
        "contrastive": [{"figures": {"loss contrastive": 2.0, "AUC arousal": v}, "seconds": 60} for v in (0.7, 0.8)],
        "dash": [{"figures": {"loss dash": 1.0}, "seconds": 30}],
    }
    lines = table(runs).splitlines()
    assert "0.750 ± 0.071" in lines[1] and lines[1].rstrip().endswith("1.0")
    assert " - " in lines[2] and "loss" not in lines[0]


def test_montages_are_compared_by_the_question_that_all_of_them_answer() -> None:
    run = {"figures": {LOSS: 2.5, "stage macro-F1": 0.75}}
    assert loss_of(run, "width") == loss_of(run, "subjects") == 2.5
    assert loss_of(run, "modalities") == 0.25
