"""The map: colours, what is chosen by mouse or by filter, and where that leads."""

import math
import multiprocessing
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.ui.web.conftest import served
from tests.ui.web.looking import fits

if TYPE_CHECKING:
    from playwright.sync_api import Page

SLOW_MS = 240_000  # t-SNE, where other work has the cores


def _drawn(page: "Page", address: str = "/?room=map") -> None:
    page.goto(address)
    page.locator(".map-legend h4").wait_for(timeout=SLOW_MS)


def _chosen(page: "Page") -> int:
    heading = page.locator(".map-chosen h4")
    heading.wait_for()
    return int(heading.inner_text().split(" of ")[0].replace(",", ""))


def _where(page: "Page") -> str:
    return parse_qs(urlsplit(page.url).query)["where"][0]


def test_a_box_drawn_by_mouse_becomes_a_search_of_just_its_epochs(
    page: "Page", web_cohort: Path, shots: Path
) -> None:  # fmt: skip
    from retrieval import Cohort

    _drawn(page)
    page.locator(".map-plot[data-method='t-SNE']").wait_for(timeout=SLOW_MS)
    assert "480 of 480 epochs" in page.locator(".map-note").inner_text()
    page.screenshot(path=shots / "map-stage.png")
    page.locator(".map-colour").select_option("delta_pct")
    page.locator(".map-legend h4").filter(has_text="delta_pct").wait_for()
    plot = page.locator(".map-plot").bounding_box()
    assert plot
    left, top = plot["x"], plot["y"]
    page.mouse.move(left + 30, top + 30)
    page.mouse.down()
    page.mouse.move(left + plot["width"] * 0.5, top + plot["height"] * 0.5, steps=6)
    page.mouse.up()
    count = _chosen(page)
    assert 0 < count < 480
    page.screenshot(path=shots / "map-box.png")
    inside = set(page.evaluate(SELECTED))
    assert len(inside) == count
    page.get_by_role("button", name="search within").click()
    page.get_by_role("tab", selected=True).filter(has_text="Search").wait_for()
    cohort = Cohort(web_cohort)
    named = cohort.snapshot.rows(_where(page))
    assert len(named) == count
    ids = cohort.snapshot.sql("SELECT epoch_id FROM epoch_rows ORDER BY epoch_id")["epoch_id"].to_list()
    assert {ids[place] for place in inside} == set(named.tolist())


SELECTED = """() =>
  document.querySelector(".map-plot").data.flatMap((t) => t.selectedpoints.map((i) => t.customdata[i]))"""
PIXELS = """() => {
  const plot = document.querySelector(".map-plot"), box = plot.getBoundingClientRect(), at = [];
  const { xaxis, yaxis } = plot._fullLayout;
  for (const trace of plot.data) trace.x.forEach((x, i) => {
    const [left, top] = [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(trace.y[i])];
    at[trace.customdata[i]] = [box.left + left, box.top + top];
  });
  return at;
}"""


def _pixels(page: "Page") -> list[tuple[float, float]]:
    """Where each point of the map lies in the window."""
    page.locator(".map-plot[data-method='t-SNE']").wait_for(timeout=SLOW_MS)
    page.locator(".map-legend h4").wait_for()
    return [(x, y) for x, y in page.evaluate(PIXELS)]


def test_a_lasso_takes_the_points_inside_it(page: "Page", shots: Path) -> None:
    _drawn(page)
    points = _pixels(page)
    page.get_by_role("button", name="lasso").click()
    plot = page.locator(".map-plot").bounding_box()
    assert plot
    middle_x, middle_y = plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] / 2
    radius = plot["height"] * 0.3
    rim = [
        (middle_x + radius * math.cos(a / 12 * math.pi), middle_y + radius * math.sin(a / 12 * math.pi))
        for a in range(24)
    ]
    page.mouse.move(*rim[0])
    page.mouse.down()
    for x, y in rim[1:]:
        page.mouse.move(x, y, steps=2)
    page.mouse.up()
    count = _chosen(page)
    chosen = set(page.evaluate(SELECTED))
    away = [math.hypot(x - middle_x, y - middle_y) for x, y in points]
    surely, perhaps = ({n for n, far in enumerate(away) if far < edge} for edge in (radius * 0.97, radius * 1.01))
    assert len(chosen) == count and surely and surely <= chosen <= perhaps
    page.screenshot(path=shots / "map-lasso.png")


def test_a_click_on_a_point_tells_its_epoch(page: "Page", shots: Path) -> None:
    _drawn(page)
    points = _pixels(page)
    alone = max(
        range(len(points)), key=lambda n: min(math.dist(points[n], other) for m, other in enumerate(points) if m != n)
    )
    page.mouse.move(*points[alone])
    page.mouse.click(*points[alone])
    card = page.locator(".map-card canvas[aria-label]")
    card.wait_for()
    page.screenshot(path=shots / "map-click.png")
    page.locator(".map-card [data-act=night]").click()
    page.get_by_role("tab", selected=True).filter(has_text="Night").wait_for()
    asked = parse_qs(urlsplit(page.url).query)
    names = sorted(set(page.evaluate("[...document.querySelectorAll('.n-find')].map((e) => e.value)")))
    assert asked["rec"] == names and float(asked["t"][0]) % 30 == 0


def test_laying_out_is_cancelled_by_a_button_and_begun_again(
    web_cohort: Path, tmp_path: Path, page: "Page", shots: Path
) -> None:
    root = tmp_path / "cohort"
    shutil.copytree(web_cohort, root)
    shutil.rmtree(root / "engines", ignore_errors=True)
    with served(root) as app:
        page.goto(f"{app.local_url}?room=map")
        cancel = page.locator(".map-job").get_by_role("button", name="cancel")
        cancel.wait_for()
        page.screenshot(path=shots / "map-cancel.png")
        cancel.click()
        page.locator(".map-job", has_text="was cancelled").wait_for()
        _none_at_work()
        assert page.locator(".map-plot").get_attribute("data-method") == "PCA" and not list(root.rglob("map-*.npz"))
        page.screenshot(path=shots / "map-cancelled.png")
        page.get_by_role("button", name="lay it out").click()
        page.locator(".map-plot[data-method='t-SNE']").wait_for(timeout=SLOW_MS)
        page.locator(".map-legend [data-group=N2]").wait_for()
        page.goto("about:blank")


def test_a_map_that_no_page_waits_for_is_no_longer_made(
    web_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ui.web import maps
    from ui.web.desk import Desk

    monkeypatch.setattr(maps, "LEFT_S", 0.5)
    root = tmp_path / "cohort"
    shutil.copytree(web_cohort, root)
    shutil.rmtree(root / "engines", ignore_errors=True)
    room = maps.Maps(desk := Desk(root))
    token = room.map_of({"collection": "caption"})["token"]
    assert token
    while desk.jobs.look(token)["state"] == "running":
        time.sleep(0.1)
    assert desk.jobs.look(token)["state"] == "cancelled"
    _none_at_work()


def _none_at_work() -> None:
    """Until no process of ours is left."""
    for _ in range(100):
        if not multiprocessing.active_children():
            return
        time.sleep(0.1)
    raise AssertionError(multiprocessing.active_children())


def test_a_filter_typed_by_keyboard_highlights_and_leads_to_a_night(
    page: "Page", web_cohort: Path, shots: Path
) -> None:  # fmt: skip
    from retrieval import Cohort

    _drawn(page)
    page.locator(".map-where").focus()
    page.keyboard.type("stage = 'N2'")
    page.keyboard.press("Enter")
    assert _chosen(page) == len(Cohort(web_cohort).snapshot.rows("stage = 'N2'"))
    row = page.locator(".map-chosen tr").filter(has_text="N2").first
    assert "100 %" in row.inner_text()
    first = page.locator(".map-chosen [data-place]").first
    first.focus()
    page.keyboard.press("Enter")
    page.locator(".map-card canvas[aria-label]").wait_for()
    page.screenshot(path=shots / "map-card.png")
    fits(page)
    page.locator(".map-card [data-act=night]").focus()
    page.keyboard.press("Enter")
    page.get_by_role("tab", selected=True).filter(has_text="Night").wait_for()
    assert "rec=" in page.url and "t=" in page.url
    page.go_back()
    page.get_by_role("tab", selected=True).filter(has_text="Map").wait_for()
    page.get_by_role("button", name="clear").press("Enter")
    page.locator(".map-chosen h4").wait_for(state="detached")
    page.locator(".map-where").fill("stge = 'N2'")
    page.keyboard.press("Enter")
    page.locator(".map-said.wrong").filter(has_text="near: stage").wait_for()


def test_a_link_restores_colour_and_choice_and_a_legend_entry_hides_its_points(page: "Page", shots: Path) -> None:
    _drawn(page, "/?room=map&map_say=slow+waves&map_where=stage+%3D+%27N3%27")
    page.locator(".map-legend h4").filter(has_text="slow waves").wait_for()
    chosen = _chosen(page)
    page.locator("body").evaluate("() => document.querySelector('.ss-theme').click()")
    page.screenshot(path=shots / "map-likeness-dark.png")
    page.locator(".map-colour").select_option("stage")
    deep = page.locator(".map-legend [data-group=N3]")
    deep.filter(has_text=f"{chosen} of {chosen}").wait_for()
    deep.focus()
    page.keyboard.press("Space")
    page.locator(".map-legend [data-group=N3][aria-pressed=false]").wait_for()
    shown = page.evaluate("() => document.querySelector('.map-plot').data.filter((t) => t.visible).map((t) => t.name)")
    assert "N3" not in shown and "N2" in shown


def test_nights_have_a_map_and_chosen_ones_a_table(page: "Page") -> None:
    _drawn(page, "/?room=map&map_level=night&map_colour=recording")
    assert page.locator(".map-legend [data-group]").count() == 4
    page.locator(".map-where").fill("sex = 'F' OR sex = 'M'")
    page.locator(".map-where").press("Enter")
    assert _chosen(page) == 4
    with page.expect_download() as begun:
        page.get_by_role("button", name="table (CSV)").click()
    lines = Path(begun.value.path()).read_text().splitlines()
    assert lines[0].startswith("recording,x,y") and len(lines) == 5


def test_one_label_for_all_that_is_chosen(tmp_path: Path, web_cohort: Path) -> None:
    from retrieval import BadInput, Cohort
    from ui.web.desk import Desk
    from ui.web.maps import Maps

    shutil.copytree(web_cohort, tmp_path / "copy")
    room = Maps(Desk(tmp_path / "copy"))
    drawn = room.map_of({"collection": "caption"})["map"]
    deep = [place for place, stage in enumerate(drawn["stage"]) if stage == "N3"]
    said = room.map_label({"key": drawn["key"], "chosen": deep, "label": "deep", "author": "ann"})
    labels = Cohort(tmp_path / "copy").labels()
    assert said["written"] == labels.height and (labels["stop_s"] - labels["start_s"]).sum() == 30 * len(deep)
    with pytest.raises(BadInput, match="load the page again"):
        room.map_colour({"key": "of another day", "column": "stage"})
