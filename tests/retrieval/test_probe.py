"""Probes: nobody on two sides, what is planted is found, noise is not, what would give it away is left out."""

import json
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoders.captions import load_measures, load_nights
from encoders.errors import BadInput
from retrieval import Cohort
from retrieval import probe as probing
from retrieval.handmade import STAGES as STAGE_PARTS
from retrieval.handmade import demography, family_of, hand_features, load_columns, pooled, read_nights, sites
from retrieval.neighbours import Space
from retrieval.outcome import outcome_of, read_cuts
from retrieval.probe import ProbeRow, splits, tell
from tests.retrieval.made_up import Night, make, unit

EPOCHS, DIM = 12, 8
STAGES = ["W", "N1", "N2", "N3", "REM", "N2"] * 2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One drawing and two strengths: what is tested here does not hang on more."""
    monkeypatch.setattr(probing, "REPEATS", 1)
    monkeypatch.setattr(probing, "_STRENGTHS", (10.0, 0.1))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Fourteen nights of as many people; the third has no vector, the fourth no stages, two are of unknown people."""
    rng, nights = np.random.default_rng(0), []
    for i in range(14):
        vectors = unit(rng.standard_normal((EPOCHS, DIM)) + i / 4)
        about = {"score": float(i**2), "age": float(rng.integers(20, 80)), "sex": "MF"[i % 2] if i > 4 else None}
        row = {"ahi_3a_per_h": 3.0 * i, "ahi_4_per_h": float(rng.random()), "odi3_per_h": float(rng.random()),
               "plmi_per_h": float(i**3)}  # fmt: skip
        stages: list[str | None] = [None] * EPOCHS if i == 3 else list(STAGES)
        nights.append(Night(f"n{i:02d}", f"p{i:02d}", vectors * (i != 2), stages, {}, about, row, i > 1))
    return make(tmp_path_factory.mktemp("probe") / "cohort", nights, trained_on=["p05", "P06"])


def seen_as(cohort: Cohort, monkeypatch: pytest.MonkeyPatch, *columns: pl.Expr) -> Cohort:
    """The cohort as if its nights had other facts."""
    table = cohort.nights().with_columns(*columns)
    monkeypatch.setattr(cohort, "nights", lambda where=None: table)
    return cohort


def value(rows: Sequence[ProbeRow], method: str, measure: str) -> ProbeRow:
    (row,) = [r for r in rows if (r.method, r.measure) == (method, measure)]
    return row


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=30, max_size=60), st.integers(0, 9))
def test_no_subject_is_ever_on_two_sides(nights: list[tuple[int, int]], seed: int) -> None:
    subjects = [f"s{i}" for i, _ in nights] + [f"t{i}" for i in range(10)]
    strata = np.array([c for _, c in nights] + [0] * 10)
    tested: list[int] = []
    for train, test in splits(strata, subjects, 5, seed):
        assert not {subjects[i] for i in train} & {subjects[i] for i in test}
        tested += test.tolist()
    assert sorted(tested) == list(range(len(subjects)))


def test_an_outcome_in_the_vectors_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(24), 2)
    score, subjects = rng.uniform(0, 60, 24)[people], [f"p{i}" for i in people]
    outcome = outcome_of(pl.Series(score), "score", ())
    own = rng.standard_normal((24, 30))[people]  # tells who it is, and so the outcome, to whoever saw another night
    there = own + np.outer((score - 30) / 15, rng.standard_normal(30))
    blocks = {"demography": rng.standard_normal((48, 2)), "hand-made": rng.standard_normal((48, 5))}
    rows, said = tell(blocks | {"vectors": there}, outcome, subjects)
    assert said["vectors"].shape == (1, 48, 1) and np.isfinite(said["vectors"]).all()
    found, simple = value(rows, "vectors", "R2"), value(rows, "demography", "R2")
    assert found.columns == 30 and found.value > 0.5 and found.low > 0.2 > simple.value
    assert value(rows, "chance", "R2").value == pytest.approx(0, abs=0.3)
    assert value(rows, "chance", "Spearman").value is None or value(rows, "chance", "Spearman").value < 0.3
    assert simple.gain.of == "vectors" and simple.gain.low > 0
    assert simple.gain.value == pytest.approx(found.value - simple.value)
    assert value(rows, "demography + hand-made", "R2").gain.of == "all of these"
    assert value(rows, "all of these", "R2").columns == 37
    rows, _ = tell({"vectors": own}, outcome, subjects)
    assert value(rows, "vectors", "R2").value < 0.25
    assert {row.method for row in rows} == {"chance", "vectors"}


def test_classes_are_judged_by_balanced_accuracy_and_auc() -> None:
    rng = np.random.default_rng(2)
    score = np.repeat([2.0, 10.0, 40.0], [20, 7, 7])
    outcome = outcome_of(pl.Series(score), "ahi", (5.0, 15.0, 30.0))
    assert outcome.classes == ("under 5", "5 to 15", "30 and over") and "cut at 5, 15, 30" in outcome.why
    vectors = np.eye(3)[outcome.values] @ rng.standard_normal((3, 12)) + 0.3 * rng.standard_normal((34, 12))
    rows, said = tell(
        {"vectors": vectors, "hand-made": rng.standard_normal((34, 3))}, outcome, [str(i) for i in range(34)]
    )
    assert said["vectors"].sum(axis=2) == pytest.approx(np.ones((1, 34)))
    assert value(rows, "chance", "balanced accuracy").value == pytest.approx(1 / 3)
    assert value(rows, "chance", "AUC, one against the rest").value == pytest.approx(0.5)
    said_by_hand = said["vectors"][0].argmax(axis=1) == outcome.values
    shares = [said_by_hand[outcome.values == c].mean() for c in range(3)]
    assert value(rows, "vectors", "balanced accuracy").value == pytest.approx(np.mean(shares))
    assert np.mean(shares) > 0.8 and value(rows, "vectors", "AUC, one against the rest").value > 0.9


def test_what_a_column_holds_says_how_it_is_told() -> None:
    assert outcome_of(pl.Series([1.0, 2.0, 3.0]), "x", ()).why == "regression: a number with 3 values"
    words = outcome_of(pl.Series(["M", "F", "F"]), "sex", ())
    assert words.classes == ("F", "M") and words.values.tolist() == [1, 0, 0] and "words" in words.why
    two = outcome_of(pl.Series([0, 1, 1]), "flag", ())
    assert two.classes == ("0", "1") and "two numbers" in two.why
    assert outcome_of(pl.Series([5.0, 4.9]), "x", (5.0,)).values.tolist() == [1, 0]  # a class holds its lower edge
    with pytest.raises(BadInput, match="holds words"):
        outcome_of(pl.Series(["a", "b"]), "site", (1.0,))
    for text in ("5,5", "a", "", "5,nan"):
        with pytest.raises(BadInput, match="give rising numbers"):
            read_cuts(text)
    assert read_cuts("5,15.5") == (5.0, 15.5)


def test_too_few_are_refused_with_what_there_is(made: Cohort) -> None:
    for target, cuts, said in (
        ("sex", (), r"needs 10 subjects.*9 subjects with 9 nights.*and 5 nights without it"),
        ("ahi_3a", (36,), r"needs 5 subjects.*under 36: 12 subjects, 36 and over: 2 subjects"),
        ("ahi_3a", (300,), "nothing to tell apart"),
        ("ahi", (), "may mean ahi_3a_per_h, ahi_4_per_h"),
        ("scoer", (), "no outcome of a night here; near: score"),
        ("recording", (), "no outcome of a night"),
    ):
        with pytest.raises(BadInput, match=said):
            made.probe(target, cuts=cuts)


def test_a_probe_says_what_it_rests_on_and_what_it_left_out(made: Cohort) -> None:
    found = made.probe("score")
    assert (found.kind, found.nights, found.subjects) == ("regression", 13, 13)
    assert found.left_out == {"no outcome": 0, "no vector": 1}
    assert found.parts == ["quarter 1", "quarter 2", "quarter 3", "quarter 4"]  # one night has no stages
    assert any("2 subjects are unknown, and each of their nights counts as its own subject" in n for n in found.notes)
    assert any("trained on 2 of these nights" in n for n in found.notes)
    assert sorted(found.leaks) == ["ahi_3a_per_h", "plmi_per_h"]  # the same ranks, whatever their names
    assert any("plmi_per_h" in note for note in found.notes)
    assert not found.planted and not any("planted" in note for note in found.notes)
    assert value(found.rows, "vectors", "R2").columns == 4 * 2 * DIM
    assert value(found.rows, "demography", "MAE").columns == 2
    frame = found.frame()
    assert frame.height == 13 and {"outcome", "by vectors", "by hand-made"} <= set(frame.columns)
    document = json.loads(json.dumps(found.to_json()))
    assert document["planted"] is False and document["figures"][0]["method"] == "chance"


@pytest.mark.parametrize("simulated", [4, 13])
def test_a_planted_outcome_is_called_so(made: Cohort, monkeypatch: pytest.MonkeyPatch, simulated: int) -> None:
    marked = pl.col("recording").rank() <= simulated + (simulated > 2)  # the third is left out: it has no vector
    monkeypatch.setattr(probing, "tell", lambda *_, **__: ([], {}))  # what is fitted does not matter here
    found = seen_as(made, monkeypatch, marked.alias("simulated")).probe("ahi_4")
    assert (found.planted, found.simulated) == (simulated == 13, simulated)
    assert found.notes[0].startswith(f"{simulated} of 13 nights are simulated: there the outcome was planted")
    assert found.leaks == ["ahi_3a_per_h"]  # the other AHI, unlike as it is


def test_pooling_is_that_of_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    values, parts = rng.standard_normal((40, 3)), rng.integers(-1, 3, 40)
    parts[parts == 2] = 0
    values[rng.random((40, 3)) < 0.2] = np.nan
    values[:, 2] = np.nan
    got = pooled(values, parts, 3).reshape(3, 2, 3)
    for part in range(3):
        for column in range(3):
            own = [v for v, p in zip(values[:, column], parts, strict=True) if p == part and v == v]
            if not own:
                assert np.isnan(got[part, :, column]).all()
                continue
            assert got[part, :, column] == pytest.approx([np.mean(own), np.std(own)])


def test_families_hold_the_variants_of_a_measure() -> None:
    assert family_of("ahi_3a_per_h") == family_of("rei_per_h") != family_of("odi3_per_h") == family_of("spo2_mean_pct")
    assert family_of("plmi_per_h") == ("plmi_per_h",)
    known = {*load_nights(), *load_measures()}
    for patterns in load_columns()["families"].values():
        for pattern in patterns:
            assert any(name == pattern or name.startswith(pattern.rstrip("*")) for name in known), pattern


def test_demography_and_sites_leave_the_outcome_and_the_unknown_out() -> None:
    table = pl.DataFrame({"age": [30.0, None], "sex": ["F", "M"], "bmi": [None, None], "site": ["a", "b"]},
                         schema_overrides={"bmi": pl.Float64})  # fmt: skip
    assert {k: v.tolist() for k, v in demography(table, "age").items()} == {"sex": [0.0, 1.0]}
    assert np.isnan(demography(table, "sex")["age"][1])
    assert {k: v.tolist() for k, v in sites(table).items()} == {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    assert sites(table[:1]) == {}


def test_hand_made_features_are_numbers_of_sleep(made: Cohort) -> None:
    table = made.nights().filter(pl.col("recording") != "n03")
    nights = read_nights(made, table, Space.of(made), by_stage=True)
    noise = np.random.default_rng(0).random(13)
    columns, leaks = hand_features(nights, "age", noise)
    assert {"tst_min", "odi3_per_h", "delta_pct mean REM", "spo2_min_pct sd W"} <= set(columns) and not leaks
    assert not {"night_row", "age", "score", "duration_s"} & set(columns)
    delta = np.linspace(5, 95, EPOCHS)[[4, 10]]
    assert columns["delta_pct mean REM"][0] == pytest.approx(delta.mean())
    assert np.isfinite(np.column_stack(list(columns.values()))).any(axis=0).all()
    columns, leaks = hand_features(nights, "spo2_mean_pct", noise)
    assert set(leaks) == {"odi3_per_h", "spo2_min_pct"} and not any(c.startswith("spo2") for c in columns)
    assert nights.parts == STAGE_PARTS and nights.known.tolist() == [True, True, False] + [True] * 10
    # how much there was of a stage must not show in what is missing of it
    assert read_nights(made, table, Space.of(made), by_stage=False).parts[0] == "quarter 1"
    assert family_of("n3_min") == family_of("se_pct") != family_of("age")
