"""`sleepsearch serve`: who may come in, a server that dies, a snapshot that comes, how the command begins and ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from index import Writer
from tests.ui.test_commands import ROOT, ended
from tests.ui.web.conftest import free_port, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOGIN = ("somnus", "a long password")


@contextmanager
def visitor(browser: "Browser", url: str) -> "Iterator[Page]":
    """A page that may log errors, since its server is lost or refuses it; the server's first answer takes long."""
    context = browser.new_context(base_url=url)
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def copied(web_cohort: Path, tmp_path: Path) -> Path:
    """The same cohort, to be changed."""
    return Path(shutil.copytree(web_cohort, tmp_path / "copy"))


def test_a_wrong_password_is_refused_and_the_right_one_opens_the_view(
    browser: "Browser", web_cohort: Path, shots: Path
) -> None:
    from ui.web.frame import PLOTLY

    with served(web_cohort, auth=LOGIN) as app, visitor(browser, app.local_url) as page:
        assert page.request.get(f"/{PLOTLY}").status == 401
        page.goto("/?q=N2+sleep")
        name, password = page.get_by_label("username"), page.get_by_label("password")
        name.fill(LOGIN[0])
        password.fill("guessed")
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Incorrect Credentials", exact=False).wait_for()
        page.screenshot(path=shots / "frame-login.png")
        assert page.request.get(f"/{PLOTLY}").status == 401
        name.fill(LOGIN[0])  # a refusal empties both
        password.fill(LOGIN[1])
        page.get_by_role("button", name="Login").click()
        page.locator(".se-card").first.wait_for()
        assert page.request.get(f"/{PLOTLY}").ok and "q=N2+sleep" in page.url


def test_a_server_that_dies_is_said_and_its_return_restores_the_view(
    browser: "Browser", web_cohort: Path, shots: Path
) -> None:
    port = free_port()
    with visitor(browser, f"http://127.0.0.1:{port}") as page:
        with served(web_cohort, port):
            page.goto("/?q=N2+sleep&k=2")
            page.locator(".se-card").first.wait_for()
        page.get_by_role("button", name="Search").click()
        page.locator("#lost").wait_for()
        page.screenshot(path=shots / "frame-lost.png")
        with served(web_cohort, port):
            page.locator("#lost").wait_for(state="hidden")
            page.locator(".se-card").first.wait_for()
            assert page.locator("#se-q").input_value() == "N2 sleep" and page.locator(".se-card").count() == 2


def test_a_new_snapshot_shows_and_a_file_that_is_gone_is_said(browser: "Browser", copied: Path, shots: Path) -> None:
    sources = copied / "private" / "sources.json"
    known = json.loads(sources.read_text(encoding="utf-8"))
    gone, lost = sorted(known)[:2]
    known[lost]["paths"] = [str(Path(path).with_name("moved.edf")) for path in known[lost]["paths"]]
    sources.write_text(json.dumps(known), encoding="utf-8")
    with served(copied) as app, visitor(browser, app.local_url) as page:
        page.goto(f"/?q=sleep&k=1&where=recording+%3D+'{lost}'")
        page.locator("figcaption", has_text="not to be had").wait_for()
        page.screenshot(path=shots / "search-no-file.png")
        page.goto(f"/?q=sleep&k=2&where=recording+%3D+'{gone}'")
        page.locator(".se-card").first.wait_for()
        with Writer(copied) as writer:
            writer.remove(gone)
            writer.publish()
        page.locator(".ss-counts", has_text="3 nights").wait_for()
        assert "snapshot 2" in page.locator(".ss-counts").inner_text()
        page.get_by_role("button", name="Search").click()
        page.locator(".se-nothing").wait_for()


def test_serve_says_where_it_is_and_ctrl_c_ends_it_quietly(web_cohort: Path) -> None:
    command = [sys.executable, "-m", "ui.main", "serve", "--cohort", str(web_cohort), "--no-browser", "--json"]
    command += ["--host", "0.0.0.0", "--port", str(free_port())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout and serving.stderr
        lines = iter(serving.stdout.readline, "")
        document = ""
        for line in lines:
            document += line
            if line.startswith("}"):
                break
        url = json.loads(document)["url"]
        with socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2])), timeout=10):
            serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=60) == 0
        said = serving.stderr.read()
    assert said.count("\n") == 1 and "everyone who reaches" in said and "--auth" in said


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_with_the_processes_that_work_for_it(
    browser: "Browser", copied: Path, ended_by: signal.Signals
) -> None:
    shutil.rmtree(copied / "engines", ignore_errors=True)
    port = free_port()
    command = [sys.executable, "-m", "ui.main", "serve", "--cohort", str(copied), "--no-browser", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as serving:
        assert serving.stdout and serving.stderr and "is open at" in serving.stdout.readline()
        with visitor(browser, f"http://127.0.0.1:{port}") as page:
            page.goto("/?room=map")
            page.locator(".map-cancel:visible").wait_for()
        own = Path(f"/proc/{serving.pid}/task")
        children = [pid for task in own.iterdir() for pid in (task / "children").read_text().split()]
        assert children
        if ended_by == signal.SIGINT:
            os.killpg(serving.pid, ended_by)  # as a terminal does
        else:
            serving.send_signal(ended_by)
        assert serving.wait(timeout=60) == 0 and serving.stderr.read() == ""
        # Python's own helpers end by themselves once their pipe is closed, on a busy machine a moment later.
        ends = time.monotonic() + 20
        while any(_lives(pid) for pid in children) and time.monotonic() < ends:
            time.sleep(0.1)
        assert not any(_lives(pid) for pid in children)


def _lives(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--auth", "nobody"), 2, "USER:PASS"),
        (("--auth", ":secret"), 2, "USER:PASS"),
        (("--port", "0"), 2, "--port"),
        (("--host", "no.such.host.invalid"), 1, "can't listen"),
    ],
)
def test_what_serve_can_not_take_is_one_line(
    web_cohort: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = ended("serve", "--cohort", web_cohort, "--no-browser", *arguments)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr


def test_a_cohort_that_is_none_and_a_port_that_is_taken_are_one_line(web_cohort: Path, tmp_path: Path) -> None:
    done = ended("serve", "--cohort", tmp_path, "--no-browser")
    assert done.returncode == 1 and tmp_path.name in done.stderr and done.stderr.count("\n") == 1
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = ended("serve", "--cohort", web_cohort, "--no-browser", "--port", taken.getsockname()[1])
    assert done.returncode == 1 and "can't listen" in done.stderr and done.stderr.count("\n") == 1


def test_without_a_port_the_next_free_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from ui import serving

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(serving, "PORT", taken.getsockname()[1])
        assert serving._port("127.0.0.1", None) > taken.getsockname()[1]
