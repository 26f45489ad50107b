"""The page around the rooms: links, tabs, header, colours, nothing from another machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ui.web.looking import fits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_a_link_opens_its_room_and_back_returns_to_it(page: "Page") -> None:
    page.goto("/?room=map")
    tab = page.get_by_role("tab", selected=True)
    tab.filter(has_text="Map").wait_for()
    page.get_by_role("tab", name="Label").click()
    tab.filter(has_text="Label").wait_for()
    assert "room=label" in page.url
    page.go_back()
    tab.filter(has_text="Map").wait_for()


def test_the_header_says_whose_nights_these_are_and_the_page_fits(page: "Page", web_cohort: Path) -> None:
    page.goto("/")
    page.locator(".ss-counts", has_text="4 nights").wait_for()
    head = page.locator(".ss-head").inner_text()
    assert web_cohort.name in head and "snapshot 1" in head and "simulated" in head
    assert page.locator("footer").count() == 0 or page.locator("footer").is_hidden()
    fits(page)


def test_plotly_comes_once_as_a_file_that_the_browser_keeps(page: "Page", server: str) -> None:
    from ui.web.frame import PLOTLY

    assert len(page.request.get(server).body()) < 1_000_000

    script = page.request.get(f"{server}{PLOTLY}")
    assert script.ok and "immutable" in script.headers["cache-control"] and len(script.body()) > 1_000_000


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_follow_the_system_until_somebody_chooses(browser: "Browser", server: str, system: str) -> None:
    context = browser.new_context(color_scheme="dark" if system == "dark" else "light", base_url=server)
    page = context.new_page()
    dark = "document.body.classList.contains('dark')"
    page.goto("/")
    page.locator(".ss-theme").wait_for()
    page.wait_for_function(f"{dark} === {str(system == 'dark').lower()}")
    page.evaluate("addEventListener('sleepsearch:theme', () => { window.told = true; })")
    page.locator(".ss-theme").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"{dark} === {str(system == 'light').lower()} && window.told === true")
    page.reload()
    page.locator(".ss-theme").wait_for()
    page.wait_for_function(f"{dark} === {str(system == 'light').lower()}")
    context.close()
