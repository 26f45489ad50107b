"""What the tests of the page look at in every room."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZES = ((1280, 800), (1920, 1080))


def fits(page: "Page") -> None:
    """No sideways scrolling and nothing wider than the window, at both sizes."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
