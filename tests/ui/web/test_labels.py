"""The room Label, by mouse and by keyboard: prompts that are edited, thresholds, examples, authors."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import polars as pl
import pytest
from typer.testing import CliRunner

from retrieval import Cohort
from tests.ui.web.conftest import served
from tests.ui.web.looking import fits

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def written(web_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the cohort that these tests may label."""
    root = tmp_path_factory.mktemp("labelled") / "cohort"
    shutil.copytree(web_cohort, root)
    return root


@pytest.fixture(scope="module")
def room(written: Path) -> Iterator[str]:
    """The address of the room over it."""
    with served(written) as app:
        yield f"{app.local_url}?room=label"


def run(page: "Page") -> None:
    """Run the task that stands there and wait for its result."""
    before = address(page).get("label_job")
    page.get_by_role("button", name="Run", exact=True).click()
    done(page, before)


def done(page: "Page", before: str | None) -> None:
    page.wait_for_url(lambda url: keys(url).get("label_job", before) != before)
    page.locator(".lab-prompts .lab-work").get_by_text("done in").wait_for()
    page.locator(".lab-counts").wait_for()


def keys(url: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlparse(url).query).items()}


def address(page: "Page") -> dict[str, str]:
    return keys(page.url)


def counts(page: "Page") -> dict[str, int]:
    """Epochs a label, as the legend of the result says."""
    said = page.locator(".lab-result .lab-counts").inner_text()
    return {label: int(n.replace(",", "")) for label, n in re.findall(r"([^\s)]+) ([\d,]+) \(", said)}


def test_an_edited_prompt_and_a_new_run_change_the_counts_and_a_link_restores_both(
    page: "Page", room: str, written: Path, shots: Path
) -> None:
    page.goto(room)
    run(page)
    before = counts(page)
    assert sum(before.values()) == Cohort(written).info()["counts"]["epochs"]
    page.locator(".lab-agree").get_by_text("kappa").wait_for()
    assert page.get_by_text("uncalibrated", exact=True).count() == 1
    fits(page)
    page.screenshot(path=shots / "label-staging.png", full_page=True)
    prompts = page.get_by_label("prompts of N3")
    job = address(page)["label_job"]
    prompts.fill("rapid eye movement sleep\nREM sleep")
    page.get_by_text("before your last change").wait_for()
    prompts.press("Control+Enter")
    done(page, job)
    after = counts(page)
    assert after != before
    assert address(page)["label_task"].startswith("~")
    page.goto(page.url)  # as from a link
    page.locator(".lab-result .lab-counts").wait_for()
    assert page.get_by_label("prompts of N3").input_value() == "rapid eye movement sleep\nREM sleep"
    assert counts(page) == after
    page.get_by_role("button", name="undo all edits").click()
    page.wait_for_function("new URLSearchParams(location.search).get('label_task') === 'staging'")


def test_a_dragged_threshold_counts_anew_without_asking_the_server(page: "Page", room: str, written: Path) -> None:
    from retrieval.spread import scores_of, spreads

    page.goto(f"{room}&label_task=staging")
    run(page)
    card = page.locator(".lab-spread[data-label=N2]")
    said, grip = card.locator(".lab-numbers"), card.get_by_role("slider")
    first = said.inner_text()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    card.scroll_into_view_if_needed()
    box = card.locator("svg").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40, steps=4)
    page.mouse.up()
    dragged = said.inner_text()
    assert dragged != first
    for _ in range(3):
        grip.press("ArrowRight")
    assert said.inner_text() != dragged
    assert not [url for url in asked if "/gradio_api/" in url and "heartbeat" not in url]
    found = Cohort(written).classify("staging")
    spread = next(one for one in spreads(found) if one.label == "N2")
    edge = spread.edges[int(address(page)["label_cuts"].split(":")[1])]
    above, here = scores_of(found, "N2")[0] >= edge, (found.epochs["scored"] == "N2").fill_null(False).to_numpy()
    scored = found.epochs["scored"].is_not_null().to_numpy()
    text = said.inner_text()
    assert f"{above.sum():,} of" in text
    assert f"recall {(above & here).sum() / here.sum():.2f}" in text
    assert f"precision {(above & here).sum() / (above & scored).sum():.2f}" in text
    page.get_by_role("button", name=re.compile("^scored N2, labelled")).first.click()
    page.locator(".lab-moments canvas").first.wait_for()


def test_a_task_whose_sensor_no_encoder_reads_is_refused_with_its_reason(page: "Page", room: str) -> None:
    page.goto(f"{room}&label_task=limb_movement")
    page.locator(".lab-refused").get_by_text("needs leg").wait_for()
    assert page.get_by_role("button", name="Run", exact=True).is_disabled()


def test_the_saved_task_gives_the_command_line_the_same_labels(
    page: "Page", room: str, written: Path, tmp_path: Path, shots: Path
) -> None:
    from ui.commands import app

    page.goto(room)
    page.get_by_role("button", name="New: one finding").click()
    page.get_by_label("prompts of present").fill('Slow waves.\nDeep "slow-wave" sleep.')
    page.get_by_label("prompts of absent").fill("No slow waves.")
    page.get_by_label("Needs sensors").fill("EEG_C3 or EEG_C4")
    page.get_by_label("Needs sensors").press("Tab")
    run(page)
    page.screenshot(path=shots / "label-own-task.png")
    with page.expect_download() as kept:
        page.get_by_role("button", name="Save as TOML").click()
    file = tmp_path / "mine.toml"
    kept.value.save_as(file)
    assert len(file.read_text().splitlines()) == 5
    said = CliRunner().invoke(app, ["classify", "--task", str(file), "--cohort", str(written), "--json"])
    labels = [epoch["label"] for epoch in json.loads(said.stdout)["epochs"]]
    assert counts(page) == {label: labels.count(label) for label in ("absent", "present")}
    with page.expect_download() as table:
        page.get_by_role("button", name="export the labels as csv").click()
    table.value.save_as(tmp_path / "labels.csv")
    assert pl.read_csv(tmp_path / "labels.csv")["label"].to_list() == labels


def test_a_long_run_shows_its_progress_and_is_cancelled(
    page: "Page", room: str, monkeypatch: pytest.MonkeyPatch, shots: Path
) -> None:
    whole = Cohort.classify

    def slow(self: Cohort, *given: Any, progress: Any, **more: Any) -> Any:
        for done in range(2000):
            progress("holding words against signals", done, 2000)
            time.sleep(0.02)
        return whole(self, *given, progress=progress, **more)

    monkeypatch.setattr(Cohort, "classify", slow)
    page.goto(room)
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text(re.compile(r"holding words against signals … · \d+ of 2,000")).wait_for()
    page.screenshot(path=shots / "label-progress.png")
    stop = page.get_by_role("button", name="Cancel")
    stop.focus()
    stop.press("Enter")
    page.get_by_text("Cancelled; nothing was kept.").wait_for()
    assert page.locator(".lab-counts").count() == 0


def test_labels_by_key_and_mouse_are_undone_and_two_authors_keep_each_others(
    page: "Page", room: str, written: Path, shots: Path
) -> None:
    page.goto(f"{room}&label_mode=examples&label_names=spindle|no%20spindle")
    stages = Cohort(written).snapshot.sql("SELECT epoch_id, stage FROM epochs ORDER BY epoch_id")
    cards = begin(page)
    page.keyboard.press("1")  # nobody has said yet who labels
    page.get_by_text("Say who you are first").wait_for()
    page.get_by_label("author", exact=True).fill("Ann")
    cards.nth(0).focus()
    page.keyboard.press("1")
    page.keyboard.press("2")  # the next epoch has the focus by then
    page.locator(".lab-list").get_by_text("2 labels stand").wait_for()
    cards.nth(0).locator(".lab-on", has_text=re.compile("^spindle by Ann")).wait_for()
    cards.nth(1).locator(".lab-on", has_text=re.compile("^no spindle by Ann")).wait_for()

    other = page.context.browser.new_context()  # type: ignore[union-attr]
    other.set_default_timeout(60_000)
    beside = other.new_page()
    beside.goto(page.url)
    beside.locator(".lab-table > article").nth(7).wait_for()  # the link shows the same epochs
    beside.get_by_label("author", exact=True).fill("Bob")
    beside.locator(".lab-table > article").nth(0).get_by_role("button", name="no spindle").click()
    beside.locator(".lab-list").get_by_text("3 labels stand").wait_for()
    assert beside.locator(".lab-on").nth(0).get_by_role("button").count() == 1  # one's own alone is withdrawn
    other.close()

    cards.nth(1).focus()
    page.keyboard.press("u")
    page.locator(".lab-list").get_by_text("2 labels stand").wait_for()
    cards.nth(0).get_by_text("no spindle by Bob").wait_for()
    page.screenshot(path=shots / "label-examples.png")
    fits(page)
    left = Cohort(written).labels()
    assert sorted(left.select("author", "label").iter_rows()) == [("Ann", "spindle"), ("Bob", "no spindle")]
    log = (written / "labels" / "labels.jsonl").read_text().splitlines()
    assert len(log) == 4  # the withdrawal is an entry too
    assert Cohort(written).snapshot.sql("SELECT epoch_id, stage FROM epochs ORDER BY epoch_id").equals(stages)


def begin(page: "Page") -> Any:
    """Show epochs and put the focus on the first."""
    page.get_by_role("button", name="Show epochs").click()
    cards = page.locator(".lab-table > article")
    cards.nth(7).wait_for()
    cards.nth(0).focus()
    return cards


def test_a_table_of_examples_labels_every_epoch_and_says_what_to_label_next(
    page: "Page", room: str, written: Path, tmp_path: Path, shots: Path
) -> None:
    epochs = Cohort(written).snapshot.sql(
        "SELECT recording, start_s, stage = 'W' AS awake FROM epochs WHERE stage IN ('W', 'N2', 'N3') "
        "ORDER BY recording, start_s"
    )
    examples = epochs.gather_every(6).with_columns(
        pl.when("awake").then(pl.lit("W")).otherwise(pl.lit("not W")).alias("label")
    )
    examples.drop("awake").write_csv(tmp_path / "examples.csv")
    page.goto(f"{room}&label_mode=examples")
    page.get_by_label("author", exact=True).fill("Cleo")
    page.get_by_label("author", exact=True).press("Tab")
    page.get_by_label("CSV of labels").set_input_files(tmp_path / "examples.csv")
    page.get_by_text(f"{examples.height} labels written, 0 stood already").wait_for()
    learn = page.get_by_role("button", name="Label all epochs")
    learn.focus()
    learn.press("Enter")
    page.locator(".lab-learned .lab-confusion").first.wait_for()
    page.get_by_role("button", name="What to label next").click()
    page.locator(".lab-table").get_by_text("margin").first.wait_for()
    page.screenshot(path=shots / "label-learned.png", full_page=True)
    fits(page)
    page.get_by_role("button", name="surest W", exact=True).click()
    page.locator(".lab-moments a").first.wait_for()
    with page.expect_download() as kept:
        page.get_by_role("button", name="Export CSV").click()
    kept.value.save_as(tmp_path / "labels.csv")
    assert pl.read_csv(tmp_path / "labels.csv").filter(pl.col("author") == "Cleo").height == examples.height
    page.locator(".lab-moments a").first.click()
    page.wait_for_url(lambda url: keys(url).get("room") == "night" and "rec" in keys(url))


def test_any_room_can_ask_for_a_label_of_an_epoch(page: "Page", room: str, written: Path) -> None:
    name = Cohort(written).snapshot.sql("SELECT recording FROM recordings ORDER BY recording")["recording"][0]
    page.goto(room.replace("room=label", "room=map"))
    page.wait_for_function("Boolean(window.sleepsearch && sleepsearch.labelling)")
    page.evaluate(
        "(recording) => { sleepsearch.labelling({ recording, start_s: 60 }).then((one) => { window.entry = one; }); }",
        name,
    )
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("label", exact=True).fill("artefact")
    dialog.get_by_label("your name").fill("Dan")
    page.keyboard.press("Enter")
    dialog.wait_for(state="detached")
    entry = page.wait_for_function("window.entry").json_value()
    assert (entry["recording"], entry["start_s"], entry["stop_s"], entry["author"]) == (name, 60, 90, "Dan")
    assert "artefact" in Cohort(written).labels()["label"].to_list()
