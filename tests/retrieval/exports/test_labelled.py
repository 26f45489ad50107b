"""Labels of a method as annotation files: runs of epochs, by night, beside the scorer's classes."""

from pathlib import Path

import polars as pl

from retrieval.exports.labelled import spans_of, write_annots


def epochs() -> pl.DataFrame:
    rows = [("n1", 0.0, "W"), ("n1", 30.0, "W"), ("n1", 60.0, None), ("n1", 90.0, "W"), ("n1", 120.0, "not W"),
            ("n1", 180.0, "not W"), ("n2", 210.0, "not W")]  # fmt: skip
    return pl.DataFrame(rows, schema=["recording", "start_s", "label"], orient="row")


def test_neighbours_of_one_label_are_one_stretch_and_gaps_and_nights_part_them() -> None:
    assert spans_of(epochs()).rows() == [
        ("n1", 0.0, 60.0, "W"), ("n1", 90.0, 120.0, "W"), ("n1", 120.0, 150.0, "not W"),
        ("n1", 180.0, 210.0, "not W"), ("n2", 210.0, 240.0, "not W"),
    ]  # fmt: skip


def test_a_file_a_night_names_its_author_and_no_class_of_a_scorer(tmp_path: Path) -> None:
    files = write_annots(epochs(), tmp_path, author="words:made", said={"calibrated": "False"})
    assert [path.name for path in files] == ["n1.annot", "n2.annot"]
    lines = files[0].read_text().splitlines()
    rows = [line.split("\t") for line in lines if "words:made" in line]
    assert {row[0] for row in rows} == {"sleepsearch_label"}
    assert [(row[1], row[3], row[4]) for row in rows] == [
        ("W", "0", "60"), ("W", "90", "120"), ("not W", "120", "150"), ("not W", "180", "210"),
    ]  # fmt: skip
    assert any("calibrated=False" in line for line in lines)


def test_nothing_labelled_writes_nothing(tmp_path: Path) -> None:
    none = epochs().with_columns(pl.lit(None, pl.String).alias("label"))
    assert write_annots(none, tmp_path, author="words:made", said={}) == []
