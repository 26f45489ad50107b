"""The cohort's room: what is there, and adding recordings while others search."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ui.web.conftest import served
from tests.ui.web.looking import fits
from ui.web.files import LARGEST_GB

if TYPE_CHECKING:
    from playwright.sync_api import Page

SLOW_MS = 300_000  # a night is read and embedded, where other work has the cores


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four more short nights, and a file that is no EDF, in a folder of their own."""
    from encoders.simulation import simulate

    folder = tmp_path_factory.mktemp("more")
    simulate(folder, nights=4, seed=91, sites=("clinic",), hours=0.25)
    (folder / "broken.edf").write_bytes(b"0       " + b"x" * 600)
    return folder


@pytest.fixture
def grown(tmp_path: Path, web_cohort: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the cohort and the address of a page over it. Ask for it before `page`: that is closed first, then."""
    root = tmp_path / "cohort"
    shutil.copytree(web_cohort, root)
    with served(root) as app:
        yield root, app.local_url


def _open(page: "Page", address: str = "/?room=cohort") -> None:
    page.goto(address)
    page.locator(".co-nights tbody tr").first.wait_for(timeout=SLOW_MS)


def _recordings(page: "Page", count: int) -> None:
    page.locator(".co-tiles b").first.filter(has_text=str(count)).wait_for(timeout=SLOW_MS)


def test_what_is_there_is_told_sorted_and_saved(page: "Page", shots: Path) -> None:
    _open(page)
    assert page.locator(".co-tiles div").first.inner_text().startswith("4")
    page.locator(".co-recordings summary").first.click()
    inside = page.locator(".co-recordings details[open]")
    inside.get_by_text("usable", exact=True).wait_for()
    page.screenshot(path=shots / "cohort.png")
    ages = page.get_by_role("button", name="age")
    ages.click()
    ages.click()
    page.locator("th[aria-sort=descending]").filter(has_text="age").wait_for()
    place = page.locator(".co-nights thead th").all_inner_texts().index("age ↓")
    shown = [row.locator("td").nth(place).inner_text() for row in page.locator(".co-nights tbody tr").all()]
    known = [float(age) for age in shown if age != "–"]
    assert known == sorted(known, reverse=True)
    assert page.get_by_role("button", name="tst").locator("xpath=..").get_attribute("title")
    with page.expect_download() as begun:
        page.locator("#cohort").get_by_role("button", name="table (CSV)").click()
    lines = Path(begun.value.path()).read_text().splitlines()
    assert len(lines) == 5 and lines[0].startswith("recording,subject,age")
    page.locator(".co-plots .main-svg").first.wait_for()
    page.locator(".co-plots").scroll_into_view_if_needed()
    page.screenshot(path=shots / "cohort-distributions.png")
    fits(page)


def test_nights_are_filtered_found_and_opened_by_keyboard(page: "Page", web_cohort: Path) -> None:
    from retrieval import Cohort

    _open(page)
    page.locator(".co-where").focus()
    page.keyboard.type("sex = 'F'")
    page.keyboard.press("Enter")
    women = Cohort(web_cohort).nights(where="sex = 'F'").height
    page.locator(".co-count").filter(has_text=f"{women} shown of {women}").wait_for()
    assert "cohort_where" in page.url
    page.go_back()
    page.locator(".co-count").filter(has_text="4 shown of 4").wait_for()
    page.locator(".co-find").focus()
    page.keyboard.type("mesa")
    page.locator(".co-count").filter(has_text="1 shown of 4").wait_for()
    page.locator(".co-nights [data-night]").focus()
    page.keyboard.press("Enter")
    page.get_by_role("tab", selected=True).filter(has_text="Night").wait_for()
    assert "mesa" in page.url


def test_a_folder_is_checked_and_added_while_others_search(
    grown: tuple[Path, str], page: "Page", nights: Path, tmp_path: Path, shots: Path
) -> None:
    from retrieval import Cohort

    root, address = grown
    folder = tmp_path / "one"
    folder.mkdir()
    name = sorted(p.stem for p in nights.glob("sim*.edf"))[0]
    for path in (*nights.glob(f"{name}*"), nights / "broken.edf"):
        shutil.copy(path, folder)
    _open(page, f"{address}?room=cohort")
    page.get_by_text("Add recordings").click()
    page.locator(".co-path").fill(str(folder))
    page.get_by_role("button", name="check first").click()
    page.locator(".co-refused").filter(has_text="broken.edf").wait_for(timeout=SLOW_MS)
    page.get_by_text("1 would go in, 1 would be refused.").wait_for()
    assert Cohort(root).info()["counts"]["recordings"] == 4
    page.locator(".co-add").get_by_role("button", name="add", exact=True).click()
    page.locator(".co-job").wait_for()
    assert Cohort(root).search("REM sleep").searched == 480
    page.locator(".co-failed").filter(has_text="broken.edf").wait_for(timeout=SLOW_MS)
    page.get_by_text("1 recording, 30 epochs added").wait_for()
    _recordings(page, 5)
    page.locator(f".co-recordings details[data-recording='{name}']").wait_for()
    page.screenshot(path=shots / "cohort-added.png")
    assert Cohort(root).info()["counts"]["recordings"] == 5


def test_a_cancelled_ingest_keeps_what_was_read_and_goes_on_later(
    grown: tuple[Path, str], page: "Page", nights: Path
) -> None:  # fmt: skip
    from retrieval import Cohort

    root, address = grown
    _open(page, f"{address}?room=cohort")
    page.locator(".co-adding summary").press("Enter")
    page.locator(".co-path").fill(str(nights))
    page.locator(".co-path").press("Enter")
    page.locator(".co-cancel:enabled").press("Enter")
    said = page.locator(".co-report").get_by_text("Cancelled:")
    said.wait_for(timeout=SLOW_MS)
    read = Cohort(root).info()["counts"]["recordings"]
    assert 4 < read < 8
    assert f"Cancelled: {read - 4} of 4" in said.inner_text()
    _recordings(page, read)
    page.locator(".co-path").press("Enter")
    page.locator(".co-report").get_by_text(f"{8 - read} recording").wait_for(timeout=SLOW_MS)
    _recordings(page, 8)


def test_dropped_files_are_added_and_can_be_looked_at(
    grown: tuple[Path, str], page: "Page", nights: Path, tmp_path: Path
) -> None:
    from retrieval import Cohort

    root, address = grown
    _open(page, f"{address}?room=cohort")
    page.locator(".co-adding summary").click()
    name = sorted(p.stem for p in nights.glob("sim*.edf"))[1]
    files = [p for p in nights.glob(f"{name}*") if p.suffix != ".parquet"] + [nights / "subjects.csv"]
    huge = tmp_path / "huge.edf"
    with huge.open("wb") as file:
        file.truncate(LARGEST_GB * 1024**3 + 1)  # holes: it takes no room on the disk
    page.locator(".co-files").set_input_files(str(huge))
    page.locator(".co-report").get_by_text("huge.edf has 2.0 GB; a page takes files of up to 2 GB").wait_for()
    page.locator(".co-files").set_input_files(files)
    page.locator(".co-report").get_by_text(f"{len(files)} files are here").wait_for(timeout=SLOW_MS)
    page.locator(".co-add").get_by_role("button", name="add", exact=True).click()
    page.locator(".co-report").get_by_text("1 recording,").wait_for(timeout=SLOW_MS)
    _recordings(page, 5)
    cohort = Cohort(root)
    assert cohort.nights(where=f"recording = '{name}'")["age"][0] is not None
    assert cohort.waveform(name, 0, 30)


def test_nothing_is_added_for_visitors_of_other_machines_without_a_login(web_cohort: Path, tmp_path: Path) -> None:
    from retrieval import BadInput
    from ui.web.cohorts import Room
    from ui.web.desk import Desk

    room = Room(Desk(web_cohort, host="0.0.0.0"))
    assert "--auth" in room.cohort_overview({})["shut"]
    for ask in (room.cohort_add, room.cohort_check, room.cohort_take, room.cohort_discard, room.cohort_cancel):
        with pytest.raises(BadInput, match="--auth"):
            ask({"path": str(tmp_path), "files": [], "drop": "x", "token": "x"})
    known = Room(Desk(web_cohort, host="0.0.0.0", auth=True))
    assert known.cohort_overview({})["shut"] is None
    with pytest.raises(BadInput, match="not uploaded here"):
        known.cohort_take({"files": [{"path": str(web_cohort / "CURRENT"), "name": "x.edf"}]})


def test_another_writer_and_a_missing_folder_are_said_in_one_line(grown: tuple[Path, str], nights: Path) -> None:
    from index import Writer
    from ui.web.cohorts import Room
    from ui.web.desk import Desk

    root, _ = grown
    room = Room(Desk(root))
    with Writer(root):
        assert "is writing this cohort" in _ended(room, room.cohort_add({"path": str(nights)})["token"])["why"]
    gone = _ended(room, room.cohort_check({"path": str(nights / "nowhere")})["token"])
    assert gone["state"] == "failed" and "no such file or folder" in gone["why"]


def _ended(room: Any, token: str) -> dict[str, Any]:
    for _ in range(600):
        job: dict[str, Any] = room.cohort_job({"token": token})
        if job["state"] != "running":
            return job
        time.sleep(0.2)
    raise AssertionError("it did not end")
