"""The wheel, as a user installs it: built, put into a clean environment, and run from an empty folder."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


def _required(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, package.requires or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def _link_dependencies(site: Path, extra: str) -> None:
    """All that the wheel requires, and what that requires in turn, as installed here: nothing else can be imported."""
    (own,) = site.glob("sleepsearch-*.dist-info")
    waiting, linked = [*_required(PathDistribution(own), {extra})], set()
    while waiting:
        requirement = waiting.pop()
        package = distribution(requirement.name)
        assert requirement.specifier.contains(package.version, prereleases=True), f"{requirement}: {package.version}"
        if (package.name, *requirement.extras) in linked:
            continue
        linked.add((package.name, *requirement.extras))
        waiting += _required(package, requirement.extras)
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(package.locate_file(top))


def _faiss() -> str:
    try:
        return distribution("faiss-cpu") and "cpu"
    except PackageNotFoundError:
        return "gpu"


@pytest.mark.slow
def test_installed_wheel_ingests_and_searches_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=tmp_path)
    python = tmp_path / "env/bin/python"
    _run(
        sys.executable, "-m", "pip", "-q", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path
    )
    _link_dependencies(Path(sysconfig.get_path("purelib", "venv", {"base": str(tmp_path / "env")})), _faiss())
    empty = tmp_path / "empty"
    empty.mkdir()
    command = tmp_path / "env/bin/sleepsearch"
    _run(command, "simulate", "nights", "--nights", 1, "--seed", 3, "--hours", 0.5, cwd=empty)
    report = json.loads(_run(command, "ingest", "nights", "--cohort", "cohort", "--workers", 1, "--json", cwd=empty))
    assert report["recordings"] == 1 and report["epochs"] >= 50 and report["failed"] == []
    answer = json.loads(_run(command, "search", "wake", "--cohort", "cohort", "--json", cwd=empty))
    assert answer["hits"] and all(hit["simulated"] for hit in answer["hits"])
