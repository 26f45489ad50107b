"""Hits as rows, and the names that the package gives out."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest

import retrieval
from retrieval import Answer, Hit
from retrieval.evaluation.figures import Figure

ROOT = Path(__file__).resolve().parents[2]
HIT = Hit(
    "n1", "s1", 30.0, 90.0, "23:10:00", 1.5, "REM", "human", ["arousal 3.0-9.0"], {"brain": "Quiet."}, [], ["why"]
)
TABLES = ("AlikeNights", "Alignment", "Answer", "Classification", "Duplicates", "Evaluation", "ExportReport", "FewShot",
          "IngestReport", "Located", "Probe")  # fmt: skip


def answer(*hits: Hit) -> Answer:
    return Answer("words", [], 10, {"sensor": 0, "not_scored": 0, "quality": 0}, list(hits), "none", {})


def test_a_frame_has_a_row_a_hit_and_a_column_a_field() -> None:
    night = replace(HIT, stage=None, clock=None, caption={"night": "Slept."}, events=[])
    frame = answer(HIT, night).frame()
    assert frame.columns == [field.name for field in fields(Hit)]
    for row, hit in zip(frame.iter_rows(named=True), (HIT, night), strict=True):
        caption = {part: text for part, text in row["caption"].items() if text is not None}
        assert replace(hit, **(row | {"caption": caption})) == hit
    assert frame.select(pl.col("caption").struct.field("night")).to_series().to_list() == [None, "Slept."]


def test_no_hits_make_an_empty_frame_of_the_same_columns() -> None:
    assert answer().frame().schema == answer(HIT).frame().schema
    assert answer().frame().height == 0


def test_a_figure_without_a_value_is_null_in_the_frame() -> None:
    figures = (Figure("staging", "kappa", "zero-shot", None, 0, 0, note="no labels"),
               Figure("staging", "kappa", "zero-shot", 0.7, 9, 1, detail={"curve": [1, 2]}))  # fmt: skip
    found = retrieval.Evaluation("e", "e-0", "cpu", (), (), (), {}, figures, (), 1.0, "c")
    assert found.frame()["value"].to_list() == [None, 0.7]
    assert "detail" not in found.frame().columns
    assert replace(found, figures=()).frame().height == 0


def test_an_ingest_lists_what_could_not_be_read_a_row_a_file() -> None:
    report = retrieval.IngestReport(1, 2, 0, [{"path": "a.edf", "error": "cut short"}], 1.0)
    assert report.frame().rows() == [("a.edf", "cut short")]
    assert replace(report, failed=[]).frame().schema == report.frame().schema


@pytest.mark.parametrize("name", TABLES)
def test_a_result_with_rows_has_a_frame_and_plain_values(name: str) -> None:
    kind = getattr(retrieval, name)
    assert callable(kind.frame) and callable(kind.to_json)


def test_every_public_name_is_there_and_another_is_refused() -> None:
    assert all(hasattr(retrieval, name) for name in retrieval.__all__)
    assert not hasattr(retrieval, "Clasification")


def test_results_of_rare_verbs_cost_the_import_nothing() -> None:
    heavy = "torch sklearn plotly faiss retrieval.classify retrieval.evaluation retrieval.probe retrieval.exports"
    code = f"import sys, retrieval; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
