"""Answers held against the truth of simulated nights."""

from pathlib import Path

import polars as pl
import pytest

from retrieval import Asked, Truth
from retrieval.hit import Hit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four epochs: W, REM with a desaturation that reaches 2 s into the next REM epoch, N3."""
    epochs = {"start_s": [0.0, 30.0, 60.0, 90.0], "stage": ["W", "REM", "REM", "N3"]}
    events = {"name": ["desaturation", "spindle"], "start_s": [40.0, 95.0], "stop_s": [62.0, 96.0],
              "spo2_min_pct": [84.0, None]}  # fmt: skip
    pl.DataFrame(epochs).write_parquet(tmp_path / "sim-a.truth.parquet")
    pl.DataFrame(events).write_parquet(tmp_path / "sim-a.truth-events.parquet")
    return tmp_path


def hit(start_s: float, stop_s: float) -> Hit:
    return Hit("sim-a", "s", start_s, stop_s, None, 1.0, None, None, [], {}, [], [], True)


def test_a_hit_is_right_when_one_of_its_epochs_holds_stage_and_event_together(folder: Path) -> None:
    asked = Asked(stage="REM", event="desaturation")
    judged = Truth(folder).judge([hit(30, 60), hit(60, 90), hit(0, 90), hit(90, 120)], asked)
    assert judged.right == (True, False, True, False)  # two seconds of an event are not enough
    assert judged.base_rate == 0.25


def test_length_of_the_event_counts_and_words_say_what_happened(folder: Path) -> None:
    judged = Truth(folder).judge([hit(30, 90)], Asked(event="desaturation", longer_than_s=30))
    assert judged.right == (False,) and judged.base_rate == 0
    assert judged.words == ("REM; desaturation 22 s to 84 %",)
    assert Truth(folder).judge([hit(90, 120)], Asked(stage="N3")).words == ("N3",)  # graphoelements are left out
