"""The page and the card: every task drawn, baselines beside, simulated said, nothing asked of the network."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from retrieval.evaluation.card import model_card
from retrieval.evaluation.evaluate import SEEN, Evaluation
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.headline import headline, load_words, number, past, rows, said
from retrieval.evaluation.report import write_report

STAGES = ["W", "N1", "N2", "N3", "REM"]
CONFUSION = [[50 if i == j else 3 for j in range(5)] for i in range(5)]


def of(task: str, measure: str, method: str = "zero-shot", value: float | None = 0.8, **more: object) -> Figure:
    plain = {"n": 900, "subjects": 7, "low": 0.7, "high": 0.9, "base_rate": 0.2} | more
    return Figure(task, measure, method, value, **plain)  # type: ignore[arg-type]


def pair(first: int, gallery: int, direction: str) -> list[Figure]:
    detail = {"direction": direction, "gallery": gallery, "wording": "captions"}
    measure = f"R@{first} {direction}, {gallery:,} captions"
    return [of("retrieval", measure, "zero-shot", 0.6, detail=detail),
            of("retrieval", measure, "chance", first / gallery, detail=detail, low=None, high=None)]  # fmt: skip


@pytest.fixture
def evaluation() -> Evaluation:
    figures = [
        of("staging", "macro-F1", detail={"confusion": CONFUSION, "classes": STAGES}),
        of("staging", "macro-F1", "chance", 0.2, low=None, high=None), of("staging", "macro-F1", "YASA", 0.7),
        of("staging", "kappa"), of("staging", "N1 F1", value=0.3, low=0.2, high=0.41),
        of("events", "obstructive_apnea AUC"), of("events", "obstructive_apnea AP", value=0.4),
        *pair(10, 200, "signal to caption"), *pair(10, 900, "signal to caption"), *pair(10, 900, "caption to signal"),
        of("retrieval", "precision@10 by facts, prompts"), of("paraphrases", "share of template precision kept"),
        of("fields", "accuracy, delta_pct"), of("localisation", "apnea intersection over union"),
        *(of("few-shot", f"staging macro-F1, {n} examples a class", method, 0.5, detail={
            "of": "staging", "score": "macro-F1", "examples": n}) for n in (1, 5) for method in ("kNN", "chance")),
        of("subsets", "macro-F1", subset="EEG_C3 alone", detail={"enough": False}),
        of("subsets", "arousal AUC", subset="EEG_C3 alone"),
        of("leakage", "nearest neighbour of the same subject", "sleepsearch-small"),
        of("staging", "macro-F1", value=0.99, low=0.98, high=1.0, subset=SEEN),
        of("events", "desaturation AUC", value=None, note="nobody scored <it>"),
    ]  # fmt: skip
    facts = {"name": "c", "snapshot": 1, "nights": 9, "subjects": 8, "sites": ["a & b"], "epochs": 900,
             "epochs_of_cohort": 9000, "simulated": 9, "scored": {"stages": 9, "arousals": 4}, "seen": 100}  # fmt: skip
    return Evaluation("sleepsearch-small", "sleepsearch-small-12345678", "cpu, float32", ("EEG_C3", "SPO2"),
                      ("UCDDB 002",), ("a caveat",), facts, tuple(figures), ("a note",), 12.5, "0.1.0")  # fmt: skip


def page_of(evaluation: Evaluation, tmp_path: Path) -> str:
    """The page without the plotly library, which holds addresses that it never asks."""
    write_report(evaluation, tmp_path / "new" / "page.html")
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    return re.sub(r"<script>.*?</script>", "", html, count=1, flags=re.S)


def test_the_page_asks_nothing_of_the_network_and_draws_every_task(evaluation: Evaluation, tmp_path: Path) -> None:
    page = page_of(evaluation, tmp_path)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']https?://", page)
    assert page.count('class="plotly-graph-div"') == 13
    for words in load_words()["task"].values():
        assert words["title"] in unescape(page)


def test_the_page_says_simulated_base_rates_and_what_is_missing(evaluation: Evaluation, tmp_path: Path) -> None:
    page = page_of(evaluation, tmp_path)
    assert '<span class="simulated">simulated</span>' in page
    assert "events, desaturation AUC (zero-shot): nobody scored &lt;it&gt;" in page and "a &amp; b" in page
    tile = re.search(r'<div class="tile"><span class="name">macro-F1</span>.*?</div>', page)
    assert tile and "<b>0.80</b>" in tile[0] and "(0.70–0.90) · 7 subjects" in tile[0]
    assert "chance 0.20" in tile[0] and "YASA 0.70" in tile[0] and "base rate 0.20" in tile[0]
    partly = replace(evaluation, cohort=evaluation.cohort | {"simulated": 2})
    assert "2 of 9 nights simulated" in page_of(partly, tmp_path)
    real = replace(evaluation, cohort=evaluation.cohort | {"simulated": 0})
    assert 'class="simulated"' not in page_of(real, tmp_path)


def test_what_was_seen_in_training_is_in_its_own_section_alone(evaluation: Evaluation, tmp_path: Path) -> None:
    before, _, after = page_of(evaluation, tmp_path).partition("<h2>Seen in training</h2>")
    assert "0.99" not in before and "0.99" in after
    card = model_card(evaluation)
    before, _, after = card.partition("## Seen in training")
    assert "0.99" not in before and "0.99 (0.98–1.00)" in after


def test_the_headline_has_the_largest_gallery_and_the_encoders_own(evaluation: Evaluation) -> None:
    found = headline(evaluation)
    assert [row.measure for row in found] == [
        "macro-F1", "kappa", "N1 F1", "obstructive_apnea AUC", "R@10 signal to caption, 900 captions",
        "precision@10 by facts, prompts",
    ]  # fmt: skip
    assert all(figure.method == "zero-shot" for row in found for figure in row.own)
    assert [figure.method for figure in found[0].baselines] == ["chance", "YASA"]


def test_text_minilm_owns_the_caption_space(evaluation: Evaluation) -> None:
    caption = of("staging", "macro-F1", "caption space (text:minilm)")
    own = replace(evaluation, encoder="text:minilm", figures=(caption,))
    assert rows(own)[0].own == (caption,) and not rows(replace(evaluation, figures=(caption,)))[0].own


def test_the_card_names_sensors_training_figures_and_limits(evaluation: Evaluation) -> None:
    card = model_card(evaluation)
    for words in ("# sleepsearch-small", "EEG_C3, SPO2", "trained on: UCDDB 002", "0.80 (0.70–0.90)",
                  "**Simulated: no person slept them.**", "- a caveat", "YASA 0.70 (0.70–0.90)", "| EEG_C3 alone |",
                  "events, desaturation AUC (zero-shot): nobody scored <it>"):  # fmt: skip
        assert words in card, words
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} <= {7, 8}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8137, "0.81"), (0.0, "0.00"), (0.0021, "0.002"), (451.5, "452"), (10_000.0, "10,000"), (-0.03, "-0.03")],
)
def test_numbers_are_as_precise_as_they_need_be(value: float, text: str) -> None:
    assert number(value) == text
    assert said(Figure("t", "m", "z", value, 1, 1)) == text


def test_a_past_of_many_subjects_is_said_in_few_words() -> None:
    many = ["SHHS", "UCDDB 002", *(f"sim50001-{n:04d}" for n in range(89))]
    assert past(many) == "SHHS, UCDDB 002, sim50001 (89)"
    assert past(()) == "no recording"
