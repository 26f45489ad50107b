"""The map: colours, what is chosen by mouse or by filter, and where that leads."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

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
    places = (
        "() => document.querySelector('.map-plot').data.flatMap((t) => t.selectedpoints.map((i) => t.customdata[i]))"
    )
    inside = set(page.evaluate(places))
    assert len(inside) == count
    page.get_by_role("button", name="search within").click()
    page.get_by_role("tab", selected=True).filter(has_text="Search").wait_for()
    cohort = Cohort(web_cohort)
    named = cohort.snapshot.rows(_where(page))
    assert len(named) == count
    ids = cohort.snapshot.sql("SELECT epoch_id FROM epoch_rows ORDER BY epoch_id")["epoch_id"].to_list()
    assert {ids[place] for place in inside} == set(named.tolist())


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
    import shutil

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
