"""Search: a question by mouse and by keyboard, what was read of it, its hits, and where they lead."""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ui.web.looking import fits

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

QUESTION = "SpO2 below 99 % in N2 without arousals"


def ask(page: "Page", words: str) -> None:
    """By keyboard, from anywhere on the page."""
    page.locator("#se-q").wait_for()
    page.keyboard.press("/")
    page.locator("#se-q:focus").wait_for()
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def drawn(page: "Page", card: int = 0) -> "Locator":
    """The strip of a card, once it is there."""
    strip = page.locator(".se-card canvas[aria-label^='waveforms: ']").nth(card)
    strip.wait_for()
    return strip


def searched(page: "Page") -> str:
    page.locator(".se-status", has_text="searched").wait_for()
    return page.locator(".se-status").inner_text()


def test_an_example_by_mouse_brings_cards_with_their_strips(page: "Page", shots: Path) -> None:
    page.goto("/")
    examples = page.locator(".se-examples button")
    examples.first.wait_for()
    assert 4 <= examples.count() <= 6
    page.screenshot(path=shots / "search-first.png")
    words = examples.first.inner_text()
    examples.first.click()
    strip = drawn(page)
    said = strip.get_attribute("aria-label") or ""
    assert "EEG" in said and page.locator("#se-q").input_value() == words
    assert re.search(r"\d+ hits? among [\d,]+ epochs searched.* \d+ ms", searched(page))
    ink = strip.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x, i) => i % 4 == 3 && x)"
    )
    assert ink
    card = page.locator(".se-card").first
    assert card.locator(".se-why li").count() and card.locator("svg[role=img]").count() == 1
    assert "no probability" in (card.locator(".se-score").get_attribute("title") or "")
    page.screenshot(path=shots / "search-hits.png")
    fits(page)
    page.screenshot(path=shots / "search-hits-1920.png")


def test_a_filter_goes_and_comes_back_and_changes_the_answer(page: "Page", shots: Path) -> None:
    page.goto("/")
    ask(page, QUESTION)
    before = searched(page)
    chip = page.locator(".se-chip", has_text="without arousals")
    assert "NOT (n_arousal > 0)" in (chip.get_attribute("title") or "")
    chip.get_by_role("button").click()
    gone = page.locator(".se-gone", has_text="without arousals")
    gone.wait_for()
    assert "without=without+arousals" in page.url
    after = searched(page)
    assert before.split("among")[1].split("·")[:2] != after.split("among")[1].split("·")[:2]
    page.screenshot(path=shots / "search-chips.png")
    gone.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.locator(".se-chip:not(.se-gone)", has_text="without arousals").wait_for()
    assert "without=" not in page.url
    page.go_back()
    gone.wait_for()


def test_a_number_in_a_chip_changes_the_question(page: "Page") -> None:
    page.goto(f"/?q={QUESTION.replace(' ', '+').replace('%', '%25')}")
    number = page.get_by_label("number in SpO2 below 99 %")
    number.fill("97")
    number.press("Enter")
    page.get_by_label("number in SpO2 below 97 %").wait_for()
    assert page.locator("#se-q").input_value() == QUESTION.replace("99", "97")


def test_wrong_sql_is_said_in_its_place_and_right_sql_filters(page: "Page", shots: Path) -> None:
    page.goto("/?q=N2+sleep")
    everywhere = searched(page)
    where = page.get_by_role("combobox", name="SQL")
    where.fill("spo")
    page.locator("#se-columns [data-name=spo2_min_pct]").wait_for()
    page.screenshot(path=shots / "search-columns.png")
    where.press("Escape")
    where.press("Enter")
    wrong = page.locator("#se-sql-wrong")
    wrong.wait_for()
    assert "no column 'spo'" in wrong.inner_text() and where.get_attribute("aria-invalid") == "true"
    where.fill("spo2_mi")
    page.locator("#se-columns li").first.wait_for()
    where.press("ArrowDown")
    where.press("Tab")
    assert where.input_value() == "spo2_min_pct"
    where.press_sequentially(" > 90 AND epoch < 30")
    where.press("Escape")
    where.press("Enter")
    page.locator(".se-card").first.wait_for()
    assert wrong.is_hidden() and searched(page) != everywhere
    assert "where=" in page.url


def test_keys_move_between_cards_and_enter_opens_the_night(page: "Page") -> None:
    page.goto("/")
    ask(page, "N2 sleep")
    page.locator(".se-card").nth(2).wait_for()
    page.keyboard.press("ArrowDown")
    for key, place in (("j", 1), ("ArrowDown", 2), ("k", 1)):
        page.keyboard.press(key)
        page.locator(f".se-card[data-hit='{place}']:focus").wait_for()
    link = page.locator(".se-card:focus .se-rec")
    name, address = link.inner_text(), link.get_attribute("href") or ""
    page.keyboard.press("Enter")
    page.get_by_role("tab", selected=True).filter(has_text="Night").wait_for()
    assert f"rec={name}" in page.url and re.search(r"[?&]t=\d", page.url) and "room=night" in address
    page.go_back()
    page.get_by_role("tab", selected=True).filter(has_text="Search").wait_for()


def test_more_like_a_hit_and_where_its_words_are(page: "Page", shots: Path) -> None:
    page.goto("/?q=REM+sleep&k=3")
    drawn(page)
    card = page.locator(".se-card").first
    card.get_by_role("button", name="Where in it?").click()
    card.locator("figcaption", has_text="carried by").wait_for()
    page.screenshot(path=shots / "search-where.png")
    name = card.locator(".se-rec").inner_text()
    card.get_by_role("button", name="More like this").click()
    like = page.locator(".se-like", has_text=f"like {name}@")
    like.wait_for()
    assert f"like={name}" in page.url
    like.get_by_role("button").click()
    page.locator(".se-fact", has_text="REM sleep").wait_for()


def test_long_hits_are_drawn_whole_and_very_long_ones_around_their_best_epoch(page: "Page", shots: Path) -> None:
    page.goto("/?q=N2+sleep&k=200")
    page.locator(".se-card").first.wait_for()
    lasting = page.evaluate("[...document.querySelectorAll('.se-card')].map((c) => c.hit.stop_s - c.hit.start_s)")
    long = next(n for n, seconds in enumerate(lasting) if 60 < seconds <= 600)
    longer = next(n for n, seconds in enumerate(lasting) if seconds > 600)
    whole, part = (page.locator(".se-card").nth(n) for n in (long, longer))
    whole.scroll_into_view_if_needed()
    whole.locator("figcaption", has_text=re.compile(r"^all [\d.]+ min")).wait_for()
    page.screenshot(path=shots / "search-long.png")
    part.scroll_into_view_if_needed()
    said = part.locator("figcaption", has_text="the 10 min around its best epoch, of ")
    said.wait_for()
    best, start, stop = part.evaluate("c => [c.hit.best_s, c.hit.start_s, c.hit.stop_s]")
    from_s, to_s = (
        sum(int(n) * unit for n, unit in zip(time.split(":"), (3600, 60, 1), strict=True))
        for time in re.findall(r"\d+:\d\d:\d\d", said.inner_text())
    )
    assert start <= from_s <= best and best + 30 <= to_s <= stop and to_s - from_s == 600
    page.screenshot(path=shots / "search-longer.png")


def test_nights_are_cards_with_their_course(page: "Page", shots: Path) -> None:
    page.goto("/?q=fragmented+sleep")
    page.locator(".se-status").wait_for()
    page.locator(".ss-switch", has_text="Nights").get_by_text("Nights").click()
    card = page.locator(".se-night").first
    card.wait_for()
    assert "level=night" in page.url and "min of sleep" in card.inner_text()
    assert "nights searched" in searched(page)
    page.screenshot(path=shots / "search-nights.png")
    card.get_by_role("button", name="Similar nights").click()
    page.locator(".se-like").wait_for()
    page.locator(".se-night", has_text="laid over each other").first.wait_for()


def test_a_link_restores_the_whole_view(page: "Page", server: str) -> None:
    query = "q=N2+sleep+without+arousals&where=age+%3E+1&k=2&exact=1&without=without+arousals"
    page.goto(f"{server}?{query}")
    page.locator(".se-gone", has_text="without arousals").wait_for()
    assert page.locator("#se-q").input_value() == "N2 sleep without arousals"
    assert page.get_by_role("combobox", name="SQL").input_value() == "age > 1"
    assert page.locator("#se-k").input_value() == "2" and page.locator("#se-exact").is_checked()
    assert page.locator(".se-card").count() <= 2


def test_an_empty_answer_says_why_and_what_would_have_hits(page: "Page", shots: Path) -> None:
    page.goto("/?q=N2+sleep+in+people+over+150")
    way = page.locator(".se-nothing").get_by_role("button", name=re.compile("over 150"))
    way.wait_for()
    assert "could answer, and none is so" in page.locator(".se-nothing").inner_text()
    page.screenshot(path=shots / "search-nothing.png")
    way.click()
    page.locator(".se-card").first.wait_for()


def test_hits_are_saved_as_a_table(page: "Page", tmp_path: Path) -> None:
    page.goto("/?q=N2+sleep&k=3")
    hits = page.locator(".se-card")
    hits.first.wait_for()
    with page.expect_download() as saving:
        page.get_by_role("button", name="CSV").click()
    out = tmp_path / "hits.csv"
    saving.value.save_as(out)
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [row["recording"] for row in rows] == hits.locator(".se-rec").all_inner_texts()
    with page.expect_download() as saving:
        page.get_by_role("button", name="annot").click()
    assert saving.value.suggested_filename == "hits-annot.zip"


@pytest.mark.parametrize("question", ["no REM without atonia", "CO2 above 50"])
def test_what_could_not_be_read_is_said(page: "Page", question: str) -> None:
    page.goto("/")
    ask(page, question)
    page.locator(".se-notes li, .se-nothing").first.wait_for()
    assert page.locator(".se-notes").inner_text().strip()
