"""The wheel, as a user installs it: built, put into a clean environment, and run from an empty folder."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-1500:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_four_packages_with_their_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert tops == {"encoders", "index", "retrieval", "ui"}
    data = {
        p.relative_to(ROOT).as_posix()
        for top in tops
        for p in (ROOT / top).rglob("*")
        if p.suffix in {".toml", ".json", ".css", ".safetensors"} or p.name == "py.typed"
    }
    assert data and data <= set(names)
    modules = {p.relative_to(ROOT).as_posix() for top in tops for p in (ROOT / top).rglob("*.py")}
    assert modules <= set(names)


@pytest.mark.slow
def test_installed_wheel_ingests_and_searches_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    pip = (tmp_path / "env/bin/python", "-m", "pip", "install", "-q", "-c", ROOT / "scripts/constraints.txt")
    _run(*pip, f"{wheel}[cpu]", cwd=tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = tmp_path / "env/bin/sleepsearch"
    _run(command, "simulate", "nights", "--nights", 1, "--seed", 3, "--hours", 1, cwd=empty)
    report = json.loads(_run(command, "ingest", "nights", "--cohort", "cohort", "--workers", 1, "--json", cwd=empty))
    assert report["recordings"] == 1 and report["epochs"] >= 110 and report["failed"] == []
    answer = json.loads(_run(command, "search", "wake", "--cohort", "cohort", "--json", cwd=empty))
    assert answer["hits"] and all(hit["simulated"] for hit in answer["hits"])
