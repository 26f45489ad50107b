import json

from typer.testing import CliRunner

from ui.commands import app

run = CliRunner()


def test_search_brings_back_nights(sim_cohort) -> None:
    asked = ["search", "little deep sleep", "--cohort", str(sim_cohort.root), "--level", "night", "-k", "2"]
    document = json.loads(run.invoke(app, [*asked, "--json"]).stdout)
    assert len(document["hits"]) == 2 and document["searched"] == 5
    said = run.invoke(app, [*asked, "--explain"]).stdout
    assert "searched 5 nights" in said and "n3_pct" in said and "night: little deep sleep" in said


def test_similar_says_which_parts_agree_and_unlike_is_another_order(sim_cohort) -> None:
    name = sim_cohort.cohort.nights()["recording"][0]
    asked = ["similar", name, "--cohort", str(sim_cohort.root), "-k", "1"]
    alike, unlike = run.invoke(app, asked).stdout, run.invoke(app, [*asked, "--unlike"]).stdout
    assert "most alike" in alike and alike.splitlines()[0] != unlike.splitlines()[0]


def test_duplicates_are_printed_with_their_null(sim_cohort) -> None:
    asked = ["duplicates", "--cohort", str(sim_cohort.root)]
    document = json.loads(run.invoke(app, [*asked, "--json"]).stdout)
    assert document["nights"] == 5 and document["same_subject"]["pairs"] == 10
    assert "suspicions, no verdicts" in run.invoke(app, asked).stdout


def test_nights_with_a_page_are_printed_once(sim_cohort, tmp_path) -> None:
    out = tmp_path / "nights.html"
    asked = ["search", "little deep sleep", "--cohort", str(sim_cohort.root), "--level", "night", "-k", "2"]
    said = run.invoke(app, [*asked, "--out", str(out)]).stdout
    assert said.count("searched 5 ") == 1 and "epochs" not in said.splitlines()[-1] and out.is_file()
