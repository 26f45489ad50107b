"""What a page shows of a question before and beside its answer: its pieces, first questions, the nights of its hits."""

import polars as pl

from retrieval import Cohort
from retrieval.examples import examples
from retrieval.outlines import outlines
from retrieval.understood import understand


def test_pieces_are_those_of_the_search_and_taken_ones_are_left_out_of_it(sim_cohort) -> None:
    cohort = Cohort(sim_cohort.root)
    words = "SpO2 below 97 % in N2 without arousals"
    read = understand(words, without=["Without  Arousals", "something never said"])
    assert [(piece.words, piece.taken) for piece in read.filters] == [
        ("SpO2 below 97 %", False),
        ("without arousals", True),
    ]
    assert read.taken == ["without arousals"] and read.filters[0].sql == "spo2_min_pct < 97"
    assert cohort.search(words, without=read.taken).filter == ["spo2_min_pct < 97"]
    assert [fact.words for fact in read.facts] == ["N2"]


def test_adjectives_of_nights_are_facts_and_people_stay_filters() -> None:
    read = understand("fragmented sleep in men over 50", level="night")
    assert [piece.words for piece in read.facts] == ["fragmented sleep"]
    assert [piece.words for piece in read.filters] == ["over 50", "men"]
    assert not understand("fragmented sleep in men over 50").facts[0].says.startswith("more awakenings")


def test_first_questions_differ_and_all_have_hits(sim_cohort) -> None:
    cohort = Cohort(sim_cohort.root)
    found = examples(cohort, 6)
    assert len(found) >= 4 and len({example.words for example in found}) == len(found)
    for example in found:
        assert cohort.search(example.words, level=example.level, k=1).hits


def test_outlines_hold_the_stages_of_every_epoch_and_no_more(sim_cohort) -> None:
    snapshot = Cohort(sim_cohort.root).snapshot
    epochs = snapshot.sql("SELECT recording, start_s, stop_s, coalesce(stage, 'unscored') AS stage FROM epoch_rows")
    names = sorted(epochs["recording"].unique())
    found = outlines(snapshot, [*names, names[0], "no such night"])
    assert sorted(found) == names
    for name, outline in found.items():
        own = epochs.filter(pl.col("recording") == name).sort("start_s")
        told = [(a, b, s) for a, b, s in outline.stages for _ in range(round((b - a) / 30))]
        assert [s for _, _, s in told] == own["stage"].to_list()
        assert outline.stages[0][0] == own["start_s"][0] and outline.stages[-1][1] == own["stop_s"][-1]
        assert all(a[2] != b[2] or a[1] != b[0] for a, b in zip(outline.stages, outline.stages[1:], strict=False))
