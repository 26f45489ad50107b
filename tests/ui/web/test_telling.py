"""Signal to text: an epoch in words, a file beside the cohort, nights side by side; by mouse and by keyboard."""

import base64
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.encoders.models.conftest import tiny_sleeplm
from tests.ui.web.conftest import served
from tests.ui.web.looking import SIZES, fits
from ui.web.desk import Desk
from ui.web.files import LARGEST_GB
from ui.web.inbox import Inbox

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """A night that is not in the cohort, named like a person, and its annotations."""
    from encoders.simulation import simulate

    folder = tmp_path_factory.mktemp("strange")
    (night,) = simulate(folder, nights=1, seed=4711, sites=("shhs-like",), hours=0.25)
    files = (night.edf, *night.annotations)
    stem = night.edf.stem
    return tuple(path.rename(path.with_name(path.name.replace(stem, "Anna_Berg"))) for path in files)


def first_night(page: "Page") -> str:
    """Open the room and pick the first night of its list by typing a part of its name."""
    page.goto("/?room=words")
    page.locator(".wd-status", has_text="Pick a night").wait_for()
    box = page.get_by_label("Night of the cohort")
    box.fill("clinic")
    option = page.locator("#wd-list option").first
    option.wait_for(state="attached")
    name = option.get_attribute("value") or ""
    assert "clinic" in name
    box.fill(name)
    return name


def test_an_epoch_is_told_by_mouse(page: "Page", shots: Path) -> None:
    name = first_night(page)
    page.get_by_role("button", name="Go", exact=True).click()
    page.locator(".wd-part", has_text="Brain").locator("td", has_text="%").first.wait_for()
    assert f"rec={name}" in page.url and "t=0" in page.url
    plot = page.locator(".wd-hypnogram .wd-plot").bounding_box()
    assert plot
    page.mouse.click(plot["x"] + plot["width"] * 0.505, plot["y"] + 30)
    page.locator(".wd-at", has_text="epoch 61 of 120").wait_for()
    page.get_by_role("button", name="epoch ▶").click()
    page.locator(".wd-at", has_text="epoch 62 of 120").wait_for()
    assert "t=1830" in page.url
    page.locator(".wd-captions li").first.wait_for()
    assert "no decoder that writes captions" in page.locator(".wd-generated").inner_text()
    assert "this epoch's own is number" in page.locator(".wd-captions").inner_text()
    page.get_by_label("definitions").check()
    assert page.locator(".wd-part small", has_text="Power at 0.5-4 Hz").first.is_visible()
    page.get_by_label("definitions").uncheck()
    page.locator(".wd-near canvas[aria-label]").nth(5).wait_for()
    assert "have this epoch's stage" in page.locator(".wd-near").inner_text()
    page.locator(".wd-two svg").wait_for()
    fits(page)
    for dark in (False, True):
        page.evaluate("on => document.body.classList.toggle('dark', on)", dark)
        page.evaluate("dispatchEvent(new Event('sleepsearch:theme'))")
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=shots / f"words-epoch-{width}-{'dark' if dark else 'light'}.png", full_page=True)
    card = page.locator(".wd-open").first
    there = card.get_attribute("data-t") or ""
    card.click()
    page.wait_for_url(lambda url: f"t={there}" in url)
    page.wait_for_function("document.activeElement.matches('.wd-slider') && scrollY < 300")
    page.go_back()
    page.locator(".wd-at", has_text="epoch 62 of 120").wait_for()


def test_an_epoch_is_chosen_by_keyboard_and_another_night_laid_under(page: "Page", shots: Path) -> None:
    first_night(page)
    page.keyboard.press("Tab")
    page.keyboard.type("#20")
    page.keyboard.press("Enter")
    page.locator(".wd-at", has_text="epoch 20 of 120").wait_for()
    page.get_by_label("epoch of the night").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".wd-at", has_text="epoch 21 of 120").wait_for()
    assert "epoch 21" in (page.get_by_label("epoch of the night").get_attribute("aria-valuetext") or "")
    nights = page.get_by_role("list", name="similar nights").get_by_role("button")
    nights.first.wait_for()
    assert nights.count() == 3
    best = nights.nth(0).get_attribute("data-other") or ""
    nights.nth(1).focus()
    page.keyboard.press("Enter")
    page.locator(".wd-other-night[aria-pressed=true]", has_text="2.").wait_for()
    assert page.evaluate("document.activeElement.textContent.trim()[0]") == "2"
    assert "words.other=" in page.url and page.get_by_text("the person and the sensors, not the sleep").is_visible()
    page.locator(".wd-nights").screenshot(path=shots / "words-nights.png")
    page.get_by_label("the least alike instead").focus()
    page.keyboard.press("Space")
    last = page.get_by_role("list", name="least alike nights").get_by_role("button").last
    last.wait_for()
    assert last.get_attribute("data-other") == best
    page.get_by_label("Time or epoch").fill("999")
    page.keyboard.press("Enter")
    page.locator(".wd-status.wd-wrong", has_text="epochs 1 to 120").wait_for()


def test_a_file_that_is_not_in_the_cohort_is_told_and_forgotten(
    page: "Page", shots: Path, strange: tuple[Path, ...], web_cohort: Path, tmp_path: Path
) -> None:
    from retrieval import Cohort

    page.goto("/?room=words")
    page.locator(".wd-status", has_text="Pick a night").wait_for()
    page.locator("#wd-file").set_input_files([str(path) for path in strange])
    page.get_by_role("progressbar", name="reading the file").wait_for()
    page.set_default_timeout(120_000)
    banner = page.locator(".wd-foreign")
    banner.get_by_text("is not in the cohort").wait_for()
    assert "id-" in banner.inner_text() and "Anna" not in page.content()
    banner.locator("summary").click()
    assert banner.locator("td", has_text="EEG_C").count() >= 1
    page.locator(".wd-part", has_text="Brain").locator("td").first.wait_for()
    page.locator(".wd-near canvas[aria-label]").nth(5).wait_for()
    page.get_by_role("list", name="similar nights").get_by_role("button").nth(3).wait_for()
    page.screenshot(path=shots / "words-file.png", full_page=True)
    assert Cohort(web_cohort).info()["counts"]["recordings"] == 4
    page.get_by_role("button", name="Delete it now").click()
    page.locator(".wd-status", has_text="deleted").wait_for()
    page.go_back()
    page.locator(".wd-status.wd-wrong", has_text="this file is gone").wait_for()
    broken, large = tmp_path / "broken.edf", tmp_path / "large.edf"
    broken.write_bytes(strange[0].read_bytes()[:900])
    with large.open("wb") as file:
        file.truncate(LARGEST_GB * 10**9 + 1)
    page.locator("#wd-file").set_input_files(str(broken))
    page.locator(".wd-status.wd-wrong", has_text="broken.edf").wait_for()
    page.locator("#wd-file").set_input_files(str(large))
    page.locator(".wd-status.wd-wrong", has_text="at most 2 GB").wait_for()


CARRIED = """([files]) => {
  const carried = new DataTransfer();
  for (const [name, text] of files)
    carried.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
  return carried;
}"""


def test_a_file_that_is_dragged_onto_the_page_is_read(page: "Page", shots: Path, strange: tuple[Path, ...]) -> None:
    page.goto("/?room=words")
    page.locator(".wd-status", has_text="Pick a night").wait_for()
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in strange]
    carried = page.evaluate_handle(CARRIED, [files])
    onto = page.locator(".wd-status")  # anywhere in the room
    for event in ("dragenter", "dragover"):
        onto.dispatch_event(event, {"dataTransfer": carried})
    page.locator(".wd-drop.wd-over").wait_for()
    page.screenshot(path=shots / "words-dragged.png")
    onto.dispatch_event("drop", {"dataTransfer": carried})
    page.get_by_role("progressbar", name="reading the file").wait_for()
    assert page.locator(".wd-over").count() == 0
    page.set_default_timeout(120_000)
    page.locator(".wd-foreign").get_by_text("is not in the cohort").wait_for()
    page.locator(".wd-part", has_text="Brain").locator("td").first.wait_for()
    taken = page.evaluate(
        """([carried]) => !document.querySelector("#rooms").dispatchEvent(
          new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }))""",
        [carried],
    )
    assert taken, "a file that is let go elsewhere would replace the page"
    page.get_by_role("button", name="Delete it now").click()
    page.locator(".wd-status", has_text="deleted").wait_for()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page over a short night and an encoder of random weights that writes captions."""
    from encoders.simulation import simulate
    from retrieval import ingest

    folder, root = tmp_path_factory.mktemp("told"), tmp_path_factory.mktemp("page") / "cohort"
    simulate(folder, nights=1, seed=12, sites=("clinic",), hours=0.25)
    report = ingest([folder], root, encoder=tiny_sleeplm(tmp_path_factory.mktemp("weights"), seed=4))
    assert not report.failed
    with served(root) as app:
        yield app.local_url


def test_what_a_decoder_wrote_is_marked_as_generated_and_checked(told: str, page: "Page", shots: Path) -> None:
    page.goto(f"{told}?room=words")
    page.locator(".wd-status", has_text="Pick a night").wait_for()
    name = page.locator("#wd-list option").first
    page.get_by_label("Night of the cohort").focus()
    name.wait_for(state="attached")
    page.goto(f"{told}?room=words&rec={name.get_attribute('value')}&t=300")
    block = page.locator(".wd-generated")
    mark = block.locator(".wd-mark")
    mark.wait_for()
    assert re.fullmatch(r"generated by sleeplm.*, not measured", mark.inner_text())
    assert block.locator("dt").count() >= 1 and block.locator("dd").first.inner_text().strip()
    assert re.search("Contradicts what was measured|Nothing that could be checked contradicts", block.inner_text())
    assert "SpO2" in block.inner_text()  # what this encoder can't tell is said
    block.scroll_into_view_if_needed()
    fits(page)
    for dark in (False, True):
        page.evaluate("on => document.body.classList.toggle('dark', on)", dark)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=shots / f"words-generated-{width}-{'dark' if dark else 'light'}.png")
    page.goto("about:blank")


def test_uploads_make_room_and_only_uploads_are_read(
    web_cohort: Path, strange: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from retrieval import BadInput

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    inbox = Inbox(Desk(web_cohort), most=1, kept_s=600.0)
    huge = tmp_path / "huge.edf"
    with huge.open("wb") as file:
        file.truncate(LARGEST_GB * 10**9 + 10**8)
    with pytest.raises(BadInput, match=r"2\.1 GB; at most 2 GB"):
        inbox.take([{"path": str(huge), "name": "huge.edf"}])
    assert not huge.exists()  # what is refused does not stay either
    with pytest.raises(BadInput, match="was not uploaded here"):
        inbox.take([{"path": str(strange[0]), "name": "n.edf"}])
    tokens = []
    for number in (1, 2):
        sent = Path(shutil.copyfile(strange[0], tmp_path / f"upload{number}.edf"))
        tokens.append(inbox.take([{"path": str(sent), "name": "../n.edf"}]))
        assert not sent.exists()  # no second copy stays
        if number == 1:
            with pytest.raises(BadInput, match="being read"):
                inbox.night(tokens[0])
        while inbox.look(tokens[-1])["state"] == "running":
            time.sleep(0.1)
    with pytest.raises(BadInput, match="this file is gone"):
        inbox.night(tokens[0])
    night = inbox.night(tokens[1])
    assert night.recording == "n" and 0 < inbox.left_s(tokens[1]) <= 600
    folder = night.own.root.parent
    inbox.forget(tokens[1])
    assert not folder.exists() and inbox.left_s(tokens[1]) == 0
