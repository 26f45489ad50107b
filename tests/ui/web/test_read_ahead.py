"""What is read ahead: that answers are the same with it, and that it ends when it is told to."""

from pathlib import Path

import pytest

from index import arrays
from retrieval import Cohort
from ui.web import desk as desks
from ui.web.asking import answer_json
from ui.web.desk import Desk

QUESTIONS = [
    {"q": "REM sleep with oxygen desaturation"}, {"q": "arousal within 30 s after a hypopnea"},
    {"q": "N2 for 2 minutes"}, {"q": "SpO2 below 90", "where": "epoch > 4"},
    {"q": "little deep sleep", "level": "night"}, {"like": "{recording}@600"}, {"like": "{recording}"},
]  # fmt: skip


def answers(cohort: Cohort) -> list[dict[str, object]]:
    name = cohort.snapshot.sql("SELECT min(recording) AS name FROM recordings")["name"][0]
    asked = [{key: value.replace("{recording}", name) for key, value in one.items()} for one in QUESTIONS]
    return [{k: v for k, v in answer_json(cohort, one).items() if k != "ms"} for one in asked]


def test_answers_are_the_same_from_files_of_the_cache(sim_cohort, tmp_path: Path, monkeypatch) -> None:
    import shutil

    plain = answers(sim_cohort.cohort)
    root = tmp_path / "cohort"
    shutil.copytree(sim_cohort.cohort.root, root)
    monkeypatch.setattr(arrays, "CACHE_ROWS", 1)
    monkeypatch.setattr("index.engine_flat.COARSE_ROWS", 1)
    monkeypatch.setattr(desks, "LARGE", 1)
    Desk(root).warm()
    kept = len([*root.glob("engines/rows-*/*.npy")])
    assert kept > 50
    asked = answers(Cohort(root))
    for one, other in zip(plain, asked, strict=True):
        engines = one.pop("engine"), other.pop("engine")
        assert one == other and all(engines)
    assert not [*root.glob("engines/**/*.part")]


def test_reading_ahead_ends_with_the_page(sim_cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "LARGE", 1)
    read: list[str] = []
    desk = Desk(sim_cohort.cohort.root)

    def pieces(_: Cohort):
        for piece in ("first", "second"):
            read.append(piece)
            desk.close()
            yield piece

    monkeypatch.setattr(Cohort, "read_ahead", pieces)
    desk.warm()
    assert read == ["first"]
