"""The command line: help for all, one JSON document, exit codes, one-line errors, a page without a network."""

import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ui.commands import app
from ui.main import main

ROOT = Path(__file__).resolve().parents[2]


def sleepsearch(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ui.main", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def ended(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same from the script's `main` on, in this process: what a user reads and the exit code, without the start."""
    out, err, code = StringIO(), StringIO(), 0
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
        patched.setattr(sys, "argv", ["sleepsearch", *map(str, arguments)])
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def printed(*arguments: object) -> str:
    """The output of a command that must succeed, run in this process: torch is imported once."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return str(done.output)


def commands() -> dict[str, typer.models.CommandInfo]:
    return {str(c.name or c.callback.__name__): c for c in app.registered_commands if c.callback}


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_an_example_and_a_docs_line(name: str) -> None:
    command = commands()[name]
    assert command.callback is not None and command.callback.__doc__
    assert str(command.epilog).startswith(f"Example: sleepsearch {name}")
    assert f"sleepsearch {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['sleepsearch', '--help']\nfrom ui.main import main\ntry: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'faiss', 'numpy', 'polars', 'duckdb', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_search_prints_one_json_document_and_writes_a_page(sim_cohort, tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    done = sleepsearch("search", "REM sleep", "--cohort", sim_cohort.root, "-k", 2, "--json", "--out", page)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["hits"]) == 2
    html = page.read_text(encoding="utf-8")
    assert html.count("<article>") == 2 and html.count('class="plotly-graph-div"') == 2
    assert 'class="simulated"' in html
    own = re.sub(r"<script>.*?</script>", "", html, count=1, flags=re.S)  # plotly.js holds addresses that it never asks
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']https?://", own)


def test_tables_are_printed_for_people(sim_cohort) -> None:
    name = sim_cohort.truth["recording"][0]
    for arguments, said in (
        (("search", "deep sleep without arousals", "--explain"), "filter: without arousals"),
        (("similar", f"{name}@600", "-k", 2), "searched"),
        (("describe", f"{name}@600"), "brain"),
        (("nights",), "TST"),
        (("info",), "text-minilm-"),
    ):
        assert said in printed(*arguments, "--cohort", sim_cohort.root)


def test_nights_are_written_by_suffix(sim_cohort, tmp_path: Path) -> None:
    for suffix in ("csv", "tsv", "parquet", "json"):
        out = tmp_path / f"nights.{suffix}"
        printed("nights", "--cohort", sim_cohort.root, "--out", out)
        assert out.stat().st_size
    done = ended("nights", "--cohort", sim_cohort.root, "--out", tmp_path / "nights.xls")
    assert done.returncode == 1 and "suffix '.xls'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("search", "REM", "--cohort", "/nowhere"), 1, "nowhere"),
        (("search", "REM"), 2, "--cohort"),
        (("search", "REM", "--cohort", ".", "-k", 0), 2, "-k"),
        (("ingest", "/nowhere", "--cohort", "{tmp}/c"), 1, "no such file or folder"),
        (("channels", "{tmp}/no.edf"), 1, "no.edf"),
        (("check", "{tmp}"), 1, "no EDF or BDF recording"),
        (("serch", "x"), 2, "serch"),
        (("simulate", "{tmp}/s", "--nights", 1, "--seed", 1, "--sites", "mars"), 1, "mars"),
    ],
)
def test_mistakes_end_with_a_line_and_the_right_exit_code(tmp_path: Path, arguments, code: int, said: str) -> None:
    done = ended(*(str(a).format(tmp=tmp_path) for a in arguments))
    assert done.returncode == code, done.stderr
    assert said in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_a_filter_that_is_none_says_so(sim_cohort) -> None:
    done = ended("search", "REM", "--cohort", sim_cohort.root, "--where", "agge > 3")
    assert done.returncode == 1 and "age" in done.stderr and "Traceback" not in done.stderr


def test_channels_explains_each_label(sim_cohort) -> None:
    edf = sorted(sim_cohort.folder.glob("*mros*.edf"))[0]
    (report,) = json.loads(printed("channels", edf, "--json"))
    became = {row["label"]: row["became"] for row in report["channels"]}
    assert report["cohort"] == "mros" and "EEG_C3" in became["C3"]


def test_check_lists_what_would_go_in(sim_cohort) -> None:
    report = json.loads(printed("check", sim_cohort.folder, "--json"))
    assert report["refused"] == [] and len(report["recordings"]) == 5


def test_evaluate_prints_a_table_and_writes_page_and_card(sim_cohort, tmp_path: Path) -> None:
    page, card = tmp_path / "p" / "page.html", tmp_path / "c" / "card.md"
    asked = ("evaluate", "--cohort", sim_cohort.root, "--tasks", "events, leakage", "--most", 300)
    done = printed(*asked, "--out", page, "--card", card)
    assert "text:minilm" in done and "simulated" in done and "AUC" in done and "base rate" in done
    assert "Does it know the person?" in page.read_text(encoding="utf-8")
    assert card.read_text(encoding="utf-8").startswith("# text:minilm")
    document = json.loads(printed(*asked, "--json"))
    assert {figure["task"] for figure in document["figures"]} == {"events", "leakage"}
    assert document["cohort"]["epochs"] == 300


def test_evaluate_names_the_tasks_that_there_are(sim_cohort) -> None:
    done = ended("evaluate", "--cohort", sim_cohort.root, "--tasks", "stages")
    assert done.returncode == 1 and "there are: staging, events, retrieval" in done.stderr
