"""People's labels outlive crashes and ingests, and nothing is ever taken out of the log."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from index import DamagedLabels, Labels


def test_a_label_undone_no_longer_stands_but_stays_in_the_log(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    assert labels.frame().height == 0
    kept = labels.add("night0", 30, 60, "arousal", author="ann")
    wrong = labels.add("night0", 60, 90, "apnoea – ü", author="ben")
    undo = labels.undo(wrong, author="ben")
    assert labels.frame()["id"].to_list() == [kept]
    labels.undo(undo, author="ann")
    assert labels.frame()["label"].to_list() == ["arousal", "apnoea – ü"]
    assert len(labels.entries()) == 4
    assert labels.frame().row(0, named=True).keys() == {
        "id", "author", "time", "recording", "start_s", "stop_s", "label",
    }  # fmt: skip


def test_a_torn_last_line_costs_that_line_alone(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    labels.add("night0", 0, 30, "first", author="ann")
    labels.add("night0", 30, 60, "torn", author="ann")
    labels.path.write_bytes(labels.path.read_bytes()[:-9])
    assert labels.frame()["label"].to_list() == ["first"]
    labels.add("night0", 60, 90, "after", author="ann")
    assert labels.frame()["label"].to_list() == ["first", "after"]


def test_people_may_label_at_the_same_time(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: labels.add("night0", i, i + 1, f"label {i}", author="ann"), range(40)))
    assert sorted(labels.frame()["start_s"].to_list()) == list(range(40))


def test_wrong_entries_are_refused(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    with pytest.raises(ValueError, match="expected start < stop"):
        labels.add("night0", 60, 60, "nothing", author="ann")
    with pytest.raises(KeyError, match="no label with id"):
        labels.undo("nope", author="ann")
    labels.add("night0", 0, 30, "first", author="ann")
    with labels.path.open("a") as file:
        file.write(json.dumps({"v": 2, "id": "x"}) + "\n")
    with pytest.raises(DamagedLabels, match="pip install -U sleepsearch"):
        labels.frame()
