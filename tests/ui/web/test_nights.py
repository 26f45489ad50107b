"""The room of one night: links, keys, the course, the sentence along it, filters, and what was chosen."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import expect

from tests.ui.web.looking import fits

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

VIEWER = ".n-viewer canvas.n-base"
GUTTER, LEFT = 172, 60  # pixels before the time axes of course and viewer


@pytest.fixture(scope="module")
def recordings(web_cohort: Path) -> list[str]:
    from retrieval import Cohort

    return [str(name) for name in Cohort(web_cohort).nights()["recording"].unique().sort()]


@pytest.fixture
def windows(page: "Page") -> list[dict[str, Any]]:
    """What was asked for of waveforms, in order."""
    found: list[dict[str, Any]] = []
    page.on("request", lambda asked: found.append(json.loads(asked.post_data)["data"]) if _of_waves(asked) else None)
    return found


def _of_waves(asked: Any) -> bool:
    return '"fn_name":"window"' in (asked.post_data or "")


def answered(page: "Page", do: Callable[[], object], said: str) -> dict[str, Any]:
    """What the server answers to the first question of waveforms that holds `said`, which `do` brings about."""
    with page.expect_response(lambda r: _of_waves(r.request) and said in (r.request.post_data or "")) as response:
        do()
    found: dict[str, Any] = response.value.json()
    return found


def opened(page: "Page", recording: str, more: str = "") -> "Locator":
    """The room with its traces drawn; its canvas."""
    page.goto(f"/?room=night&rec={recording}{more}")
    settled(page)
    return page.locator(VIEWER)


def settled(page: "Page") -> None:
    """Until what is seen is drawn."""
    page.locator(".n-ch").first.wait_for()
    expect(page.locator(".n-reading")).to_have_text("")


def at(page: "Page", key: str = "t") -> str | None:
    return parse_qs(urlparse(page.evaluate("location.href")).query).get(key, [None])[0]


INKED = """c => {
  const d = c.getContext("2d").getImageData(60, 60, c.width - 80, c.height - 90).data, seen = new Map();
  for (let i = 0; i < d.length; i += 4) {
    const colour = (d[i] << 16) | (d[i + 1] << 8) | d[i + 2];
    seen.set(colour, (seen.get(colour) ?? 0) + 1);
  }
  return d.length / 4 - Math.max(...seen.values());
}"""


def inked(canvas: "Locator") -> int:
    """How many pixels of the traces are not paper."""
    return int(canvas.evaluate(INKED))


def test_a_link_shows_its_epoch_and_every_channel_of_the_file(page: "Page", recordings: list[str], shots: Path) -> None:
    canvas = opened(page, recordings[0], "&t=300")
    expect(canvas).to_have_attribute("aria-label", r := canvas.get_attribute("aria-label") or "")
    assert r.startswith("Epoch 11, ")
    expect(page.locator(".n-status")).to_contain_text("00:05:00 from the start")
    assert inked(canvas) > 5000
    assert page.locator(".n-ch").count() > 8
    expect(page.locator(".n-ch", has_text="EEG_C4")).to_contain_text("neg. up")
    page.locator(".n-facts summary").click()
    expect(page.locator(".n-facts tr[data-slot=EEG_C4] td").first).to_contain_text("Hz")
    page.screenshot(path=shots / "night-epoch.png", full_page=True)
    fits(page)


def test_keys_step_by_epoch_window_event_and_length(page: "Page", recordings: list[str]) -> None:
    opened(page, recordings[0], "&t=300")
    for key, wanted in (("ArrowRight", "330"), ("ArrowLeft", "300"), ("Home", "0"), ("End", "3570")):
        page.keyboard.press(key)
        assert at(page) == wanted, key
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert at(page, "w") == "60"
    page.keyboard.press("Shift+ArrowRight")
    assert at(page) == "60"
    page.keyboard.press("ArrowUp")
    assert at(page, "w") is None
    page.keyboard.press("Home")
    page.keyboard.press("e")
    expect(page.locator(".n-status")).to_contain_text("Epoch")
    assert at(page) != "0"
    assert "no scored event" not in (page.locator(VIEWER).get_attribute("aria-label") or "")
    page.keyboard.press("?")
    expect(page.locator(".n-keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".n-keys")).to_be_hidden()


def test_a_click_and_a_drag_in_the_course_go_there(page: "Page", recordings: list[str]) -> None:
    opened(page, recordings[0])
    box = page.locator(".n-course canvas.n-over").bounding_box()
    assert box
    wide = box["width"] - GUTTER - 8
    page.locator(".n-course canvas.n-over").click(position={"x": GUTTER + wide * 0.5 + 2, "y": 40})
    page.wait_for_url("**t=*")
    assert 1770 <= float(at(page) or 0) <= 1830
    page.mouse.move(box["x"] + GUTTER + wide * 0.5, box["y"] + 40)
    expect(page.locator(".n-tip")).to_contain_text("from the start")
    page.mouse.down()
    page.mouse.move(box["x"] + GUTTER + wide * 0.75, box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url("**t=2*")
    assert 2640 <= float(at(page) or 0) <= 2760


def test_a_sentence_has_its_strip_and_its_peaks_lead_there(page: "Page", recordings: list[str], shots: Path) -> None:
    opened(page, recordings[0])
    page.get_by_label("Similarity along the night of").fill("slow wave sleep")
    page.keyboard.press("Enter")
    peaks = page.locator(".n-peaks button")
    peaks.first.wait_for()
    assert at(page, "say") == "slow wave sleep"
    expect(page.locator(".n-legend")).to_contain_text("not a probability")
    peaks.nth(1).click()
    assert at(page) == f"{float(peaks.nth(1).get_attribute('data-at') or 0):g}"
    settled(page)
    page.screenshot(path=shots / "night-sentence.png")
    page.locator(".n-viewer").focus()
    page.keyboard.press("Home")
    starts = [float(peaks.nth(i).get_attribute("data-at") or 0) for i in range(peaks.count())]
    page.keyboard.press("n")
    assert float(at(page) or 0) == next(s for s in starts if s >= 30)
    page.get_by_role("button", name="clear").click()
    expect(peaks).to_have_count(0)


def test_filters_change_what_is_sent_and_drawn(page: "Page", recordings: list[str]) -> None:
    filtered = answered(page, lambda: opened(page, recordings[0], "&t=600"), '"start":600')
    drawn = page.locator(VIEWER).evaluate("c => c.toDataURL()")
    raw = answered(page, page.get_by_label("filtered").uncheck, '"raw":true')
    settled(page)
    assert at(page, "night_raw") == "1"
    assert page.locator(VIEWER).evaluate("c => c.toDataURL()") != drawn
    for name, changes in (("EEG_C4", True), ("ECG", True), ("HR", False)):
        if name in raw["traces"]:
            assert (raw["traces"][name] != filtered["traces"][name]) is changes, name
    notched = answered(page, lambda: page.get_by_label("Notch").select_option("50"), '"notch":"50"')
    assert notched["traces"]["EEG_C4"] != raw["traces"]["EEG_C4"]
    settled(page)


def test_the_whole_night_is_drawn_with_one_request(
    page: "Page", recordings: list[str], windows: list[dict[str, Any]], shots: Path
) -> None:
    canvas = opened(page, recordings[0], "&w=night")
    assert inked(canvas) > 5000
    assert [(asked["start"], asked["stop"]) for asked in windows] == [(0, 3600)]
    page.screenshot(path=shots / "night-whole.png", full_page=True)


def test_another_night_is_chosen_by_keyboard_and_by_mouse(page: "Page", recordings: list[str], shots: Path) -> None:
    opened(page, recordings[0])
    find = page.get_by_role("combobox", name="choose a recording")
    find.focus()
    page.locator(".n-list [role=option]").nth(len(recordings) - 1).wait_for()
    page.screenshot(path=shots / "night-list.png")
    page.keyboard.type(recordings[2])
    expect(page.locator(".n-list [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".n-who")).to_contain_text("simulated")
    assert at(page, "rec") == recordings[2]
    settled(page)
    page.get_by_role("button", name="previous night").click()
    settled(page)
    assert at(page, "rec") == recordings[1]
    find.fill(recordings[3][:-3])
    page.locator(".n-list [role=option]").first.click()
    page.wait_for_url(f"**rec={recordings[3]}*")
    settled(page)


def test_gain_and_channels_are_kept_in_the_address(page: "Page", recordings: list[str]) -> None:
    canvas = opened(page, recordings[0])
    before = canvas.evaluate("c => c.toDataURL()")
    page.locator(".n-ch[data-ch=ECG]").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert at(page, "night_gain") == "ECG:2"
    assert canvas.evaluate("c => c.toDataURL()") != before
    page.locator(".n-ch[data-ch=ECG]").hover()
    page.get_by_role("button", name="ECG smaller").click()
    assert at(page, "night_gain") == "ECG:1"
    rows = page.locator(".n-ch").count()
    page.get_by_role("button", name="hide ECG").click()
    expect(page.locator(".n-ch")).to_have_count(rows - 1)
    page.reload()
    settled(page)
    expect(page.locator(".n-ch")).to_have_count(rows - 1)
    page.locator(".n-channels summary").click()
    page.locator(".n-choose input[value=ECG]").check()
    expect(page.locator(".n-ch")).to_have_count(rows)


def test_the_mouse_pans_zooms_and_measures(page: "Page", recordings: list[str], shots: Path) -> None:
    opened(page, recordings[0], "&t=900")
    box = page.locator(".n-viewer canvas.n-over").bounding_box()
    assert box
    second = (box["width"] - LEFT) / 30
    x, y = box["x"] + LEFT + 10 * second, box["y"] + 80
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 5 * second, y, steps=3)
    page.mouse.up()
    assert float(at(page) or 0) == pytest.approx(905, abs=0.3)
    page.mouse.wheel(0, 100)
    page.wait_for_url("**w=60*")
    settled(page)
    page.get_by_role("button", name="measure").click()
    page.mouse.click(x, y)
    page.mouse.click(x + 2 * second, y + 10)
    expect(page.locator(".n-status")).to_have_text(re.compile(r"^(3\.9|4\.0)\d s · 0\.2\d+ /s · .* µV"))
    page.screenshot(path=shots / "night-measure.png")


# Seven events that begin within two seconds of each other, and one later.
CROWD = [["obstructive apnea", "respiratory events", 301 + n / 4, 320.0, ""] for n in range(7)]
CROWD.append(["arousal", "arousals", 324.0, 327.0, ""])
WRITTEN = """() => {
  const write = CanvasRenderingContext2D.prototype.fillText;
  window.written = [];
  CanvasRenderingContext2D.prototype.fillText = function (words, x, y) {
    if (words && y > 20 && y < 50 && this.canvas.matches(".n-viewer .n-base"))
      window.written.push({ words, left: x, right: x + this.measureText(words).width, y });
    return write.apply(this, arguments);
  };
}"""


def test_names_of_many_events_at_once_never_overlap_and_the_rest_are_counted(
    page: "Page", recordings: list[str], shots: Path
) -> None:
    def crowded(route: Any, asked: Any) -> None:
        if '"fn_name":"night"' not in (asked.post_data or ""):
            return route.continue_()
        answer = route.fetch()
        found = answer.json()
        assert found["events"] is not None
        return route.fulfill(response=answer, json=found | {"events": CROWD})

    page.route("**/*", crowded)
    page.add_init_script(f"({WRITTEN})()")
    canvas = opened(page, recordings[0], "&t=300")
    expect(canvas).to_have_attribute("aria-label", re.compile("7 × obstructive apnea, one arousal"))
    page.evaluate("() => { window.written = []; dispatchEvent(new Event('sleepsearch:theme')); }")
    written = page.evaluate("window.written")
    assert [row["words"] for row in written] == ["obstructive apnea"] * 3 + ["+4", "arousal"]
    for row in written:
        beside = [other for other in written if other is not row and other["y"] == row["y"]]
        assert all(other["left"] >= row["right"] or other["right"] <= row["left"] for other in beside)
    box = page.locator(".n-viewer canvas.n-over").bounding_box()
    assert box
    before = page.locator(".n-viewer canvas.n-over").evaluate("c => c.toDataURL()")
    page.mouse.move(box["x"] + LEFT + (box["width"] - LEFT) * 5 / 30, box["y"] + 40)
    assert page.locator(".n-viewer canvas.n-over").evaluate("c => c.toDataURL()") != before
    page.screenshot(path=shots / "night-crowd.png")


def test_what_is_read_late_moves_nothing_under_the_mouse(page: "Page", recordings: list[str]) -> None:
    held: list[Any] = []
    page.route(
        "**/*",
        lambda route, asked: (
            held.append(route) if '"fn_name":"spectrum"' in (asked.post_data or "") else route.continue_()
        ),
    )
    canvas = opened(page, recordings[0], "&t=900")
    assert len(held) == 1
    before = canvas.bounding_box()
    with page.expect_response(lambda r: '"fn_name":"spectrum"' in (r.request.post_data or "")) as response:
        held.pop().continue_()
    assert "frequencies" in response.value.text()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert canvas.bounding_box() == before


def test_what_is_shown_is_labelled_from_the_keyboard(page: "Page", recordings: list[str]) -> None:
    opened(page, recordings[0], "&t=1500")
    page.keyboard.press("l")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text(f"{recordings[0]} · 0:25:00 to 0:25:30")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("ArrowRight")  # the keys of the room go on
    page.wait_for_url("**t=1530*")
