"""The commands that learn from people: one JSON document each, tables for people, mistakes in one line."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from encoders.errors import BadInput
from ui.commands import app


def ran(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, (arguments, done.output)
    return str(done.stdout)


@pytest.fixture(scope="module")
def root(sim_cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the simulated cohort, since labels are written beside it."""
    return Path(shutil.copytree(sim_cohort.root, tmp_path_factory.mktemp("labelled") / "cohort"))


def test_labels_are_written_listed_withdrawn_and_read_back(sim_cohort, root: Path, tmp_path: Path) -> None:
    first, second = sorted(set(sim_cohort.truth["recording"]))[:2]
    made = json.loads(ran("label", f"{first}@60-120", "slow wave", "--cohort", root, "--author", "ann", "--json"))
    assert made["added"] == 1 and made["labels"][0]["stop_s"] == 120
    assert "1 labels written" in ran("label", f"{second}@60", "spindle", "--cohort", root, "--author", "ann")
    assert "1 stood already" in ran("label", f"{second}@60", "spindle", "--cohort", root, "--author", "ann")
    out = tmp_path / "labels.csv"
    listed = json.loads(ran("label", "--list", "--cohort", root, "--out", out, "--json"))
    assert [row["label"] for row in listed] == ["slow wave", "spindle"]
    assert json.loads(ran("label", "--from", out, "--cohort", root, "--json"))["added"] == 0
    assert "slow wave" in ran("label", "--list", "--cohort", root)
    gone = json.loads(ran("label", "--undo", listed[1]["id"][:6], "--cohort", root, "--author", "ben", "--json"))
    assert gone["withdrawn"]["label"] == "spindle"
    assert len(json.loads(ran("label", "--list", "--cohort", root, "--json"))) == 1
    with pytest.raises(BadInput, match="near:"):
        ran("label", "nobody@60", "x", "--cohort", root, "--author", "ann")


@pytest.mark.parametrize(
    "wrong", [(), ("--list", "--undo", "abcd"), ("night@60",), ("night@60", "REM"), ("--undo", "abcd")]
)
def test_a_label_command_that_says_two_things_or_nothing_is_refused(root: Path, wrong: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["label", *wrong, "--cohort", str(root)])
    assert done.exit_code == 2 and ("give RECORDING@TIME" in done.output or "say who labels" in done.output)


def test_few_examples_label_the_cohort(sim_cohort, root: Path, tmp_path: Path) -> None:
    truth = sim_cohort.truth.with_row_index().filter((pl.col("index") % 9 == 0) & pl.col("stage").is_in(["W", "N2"]))
    shots, out = tmp_path / "shots.csv", tmp_path / "out.csv"
    truth.select("recording", "start_s", pl.col("stage").alias("label")).write_csv(shots)
    asked = ("fewshot", "--cohort", root, "--examples", shots)
    document = json.loads(ran(*asked, "--json", "--out", out, "--where", "stage = 'N2'"))
    assert document["labels"] == ["N2", "W"] and document["agreement"]["subjects"] > 1
    table = pl.read_csv(out)
    assert table.height == len(document["epochs"]) and {"label", "share W", "nearest"} <= set(table.columns)
    said = ran(*asked, "--next", 3)
    assert said.count("next  ") == 3 and "with the examples, by those of other subjects" in said
    assert "captions, which say what was scored" in said


def test_a_probe_of_five_subjects_is_refused_with_what_there_is(root: Path) -> None:
    with pytest.raises(BadInput, match="a probe needs 10 subjects or more who have it; there are 5 subjects"):
        ran("probe", "--cohort", root, "--target", "age")
    with pytest.raises(BadInput, match="rising numbers"):
        ran("probe", "--cohort", root, "--target", "age", "--cuts", "60,40")


def test_a_probe_is_printed_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import numpy as np

    from tests.retrieval.made_up import Night, make, unit
    from ui.labelling import print_probe

    rng = np.random.default_rng(0)
    nights = [
        Night(f"n{i}", f"s{i}", unit(rng.standard_normal((6, 4)) + i / 4), ["W", "N2", "REM"] * 2, {},
              {"age": 30.0 + 3 * i, "simulated": True})
        for i in range(12)
    ]  # fmt: skip
    print_probe(make(tmp_path / "cohort", nights).probe("age"))
    said = capsys.readouterr().out
    assert "outcome planted by the simulator" in said and "12 of 12 nights are simulated" in said
    for line in ("chance", "hand-made", "vectors", "R2", "MAE", "Spearman"):
        assert line in said
