"""The commands that hold words against signals: what is printed, written and refused."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from retrieval import Cohort
from retrieval.zeroshot import find_task
from tests.conftest import SimCohort
from tests.retrieval.test_classify import knowing, stages
from ui.commands import app


@pytest.fixture(scope="module")
def staged(sim_cohort: SimCohort) -> Cohort:
    return knowing(sim_cohort, find_task("staging"), stages(find_task("staging")), noise=1.0)


@pytest.fixture
def run(staged: Cohort, monkeypatch: pytest.MonkeyPatch):
    """Runs a command on a cohort with an encoder of signals."""
    monkeypatch.setattr("retrieval.Cohort", lambda root, encoder=None: staged)

    def run(*arguments: object) -> str:
        done = CliRunner().invoke(app, [*map(str, arguments), "--cohort", staged.root])
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.stdout

    return run


def test_labels_are_printed_with_their_agreement_and_as_uncalibrated(run) -> None:
    said = run("classify", "--smooth")
    assert "uncalibrated" in said and "smoothed: hidden Markov" in said and "against human: macro-F1" in said
    assert "without N1" in said and "simulated nights" in said


def test_labels_are_written_by_suffix_and_as_one_document(run, tmp_path: Path) -> None:
    tables = {}
    for suffix in ("csv", "tsv", "parquet"):
        document = json.loads(run("classify", "--json", "--out", tmp_path / f"s.{suffix}"))
        path = tmp_path / f"s.{suffix}"
        tables[suffix] = pl.read_parquet(path) if suffix == "parquet" else pl.read_csv(
            path, separator="\t" if suffix == "tsv" else ","
        )  # fmt: skip
    assert all(table["label"].to_list() == [e["label"] for e in document["epochs"]] for table in tables.values())
    page = tmp_path / "nights.html"
    run("classify", "--out", page)
    html = page.read_text(encoding="utf-8")
    assert html.count("<article>") == 5 and html.count('class="plotly-graph-div"') == 5 and "uncalibrated" in html


def test_a_sentence_is_located_with_its_curve_on_a_page(run, staged: Cohort, tmp_path: Path) -> None:
    name, page = staged.snapshot.sql("SELECT recording FROM recordings LIMIT 1").item(), tmp_path / "where.html"
    document = json.loads(run("locate", "deep sleep", name, "--peaks", 2, "--json", "--out", page))
    assert len(document["moments"]) == 2 and document["recording"] == name
    html = page.read_text(encoding="utf-8")
    assert html.count("<article>") == 3 and html.count('class="plotly-graph-div"') == 3  # the night, and two moments


def test_a_task_that_nobody_knows_is_refused_in_one_line(staged: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.Cohort", lambda root, encoder=None: staged)
    done = CliRunner().invoke(app, ["classify", "--cohort", str(staged.root), "--task", "stageing"])
    assert done.exit_code != 0 and "Did you mean 'staging'" in str(done.exception)
