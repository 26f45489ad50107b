"""A real server over a small simulated cohort, and a real browser that looks at it."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ui.web.looking import SIZES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NIGHTS, SITES, HOURS = 4, ("shhs-like", "mros-like", "mesa-like", "clinic"), 1.0
# Nothing of the browser's own business: it would ask its maker's hosts at every start.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip


@pytest.fixture(scope="session")
def web_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated nights of an hour with signal vectors; tests that write to it take a copy."""
    from encoders.simulation import simulate
    from retrieval import ingest

    folder, root = tmp_path_factory.mktemp("nights"), tmp_path_factory.mktemp("page") / "cohort"
    simulate(folder, nights=NIGHTS, seed=6772, sites=SITES, hours=HOURS)
    report = ingest([folder], root, subjects=folder / "subjects.csv")
    assert not report.failed
    return root


@contextmanager
def served(root: Path, port: int | None = None, auth: tuple[str, str] | None = None) -> Iterator[Any]:
    """The launched application of a page over a cohort; its address is `local_url`."""
    from ui.web.server import launch

    page = launch(root, host="127.0.0.1", port=port or free_port(), auth=auth, browser=False, block=False)
    try:
        yield page
    finally:
        page.close(verbose=False)


@pytest.fixture(scope="session")
def server(web_cohort: Path) -> Iterator[str]:
    """The address of a page over `web_cohort`."""
    with served(web_cohort) as app:
        yield app.local_url


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> "Iterator[Browser]":
    """Debian's Chromium; without one the tests fail, unless --no-browser was said."""
    if request.config.getoption("--no-browser"):
        pytest.skip("--no-browser was said")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.fail("no Chromium: apt install chromium, or name one in CHROMIUM, or say --no-browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "Browser", server: str) -> "Iterator[Page]":
    """A visitor's page; at the end it must have logged no error and asked no other machine."""
    context = browser.new_context(viewport={"width": SIZES[0][0], "height": SIZES[0][1]}, base_url=server)
    context.set_default_timeout(60_000)
    visited = context.new_page()
    wrong: list[str] = []
    visited.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    visited.on("pageerror", lambda fault: wrong.append(str(fault)))
    visited.on("request", lambda asked: _inside(asked.url, wrong))
    yield visited
    context.close()
    assert not wrong, wrong


@pytest.fixture(scope="session")
def shots(pytestconfig: pytest.Config) -> Path:
    """Where screenshots of the flows are kept: `test-output/screenshots` in the checkout, which git ignores."""
    folder = pytestconfig.rootpath / "test-output" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _inside(url: str, wrong: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:", "about:")):
        wrong.append(f"asked another machine: {url}")
