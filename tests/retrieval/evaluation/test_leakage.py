"""Leakage: vectors of the person find the person, vectors of nothing find whom chance does."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from encoders.vocabulary import CHANNELS
from retrieval.evaluation.figures import BLOCK_EPOCHS, Figure
from retrieval.evaluation.leakage import measure_leakage
from retrieval.evaluation.sample import Sample
from tests.retrieval.evaluation.conftest import TinyEncoder, unit

PEOPLE, EACH = 6, 60


def sample_of(vectors: np.ndarray, *, people: int = PEOPLE, sites: tuple[str | None, ...] = ("a", "b")) -> Sample:
    n = len(vectors)
    person = np.arange(n) * people // n
    frame = pl.DataFrame({
        "recording": [f"r{i}" for i in person], "subject": [f"s{i}" for i in person],
        "site": pl.Series([sites[i % len(sites)] for i in person], dtype=pl.String),
        "start_s": 30.0 * (np.arange(n) % (n // people)), "seen": [False] * n,
        "delta_pct": np.random.default_rng(4).normal(size=n),
        **{f"ok_{channel.lower()}": [True] * n for channel in CHANNELS},
    })  # fmt: skip
    return Sample(TinyEncoder(), frame, vectors)


def of(sample: Sample, measure: str, method: str = "tiny") -> Figure:
    (figure,) = [f for f in measure_leakage(sample) if (f.measure, f.method) == (measure, method)]
    return figure


SUBJECT = "nearest neighbour of the same subject"
SITE = "nearest neighbour of the same site, other subject"


def test_vectors_of_the_person_find_the_person() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.eye(8)[:PEOPLE], EACH, axis=0)
    sample = sample_of(unit(person + 0.05 * rng.standard_normal((PEOPLE * EACH, 8))))
    share, gained = of(sample, SUBJECT), of(sample, "cosine gained by the same subject")
    assert share.value == 1.0 and share.base_rate is not None and share.base_rate < 0.2
    assert gained.value is not None and gained.value > 0.5
    measures = of(sample, SUBJECT, "measures")
    assert measures.value is not None and measures.value < 0.4  # noise: what the vectors know is not in them


def test_vectors_of_nothing_find_whom_chance_does() -> None:
    share = of(sample_of(unit(np.random.default_rng(1).standard_normal((PEOPLE * EACH, 8)))), SUBJECT)
    assert share.value is not None and share.base_rate is not None and abs(share.value - share.base_rate) < 0.07


def test_ten_minutes_around_an_epoch_are_no_neighbours() -> None:
    """Vectors that drift with time alone: the nearest one allowed is another's at the same hour."""
    hour = np.tile(np.linspace(0, np.pi / 2, EACH), PEOPLE)
    sample = sample_of(unit(np.stack([np.cos(hour), np.sin(hour)], axis=1)))
    share = of(sample, SUBJECT)
    assert share.value == 0.0
    away = (EACH - 2 * BLOCK_EPOCHS - 1) / (EACH * PEOPLE)
    assert share.base_rate is not None and away < share.base_rate < 1 / PEOPLE


def test_a_site_is_found_in_other_people_alone() -> None:
    rng = np.random.default_rng(2)
    site = np.repeat(np.eye(8)[np.arange(PEOPLE) % 2], EACH, axis=0)
    sample = sample_of(unit(site + 0.05 * rng.standard_normal((PEOPLE * EACH, 8))))
    figure = of(sample, SITE)
    assert figure.value == 1.0 and figure.base_rate == pytest.approx(2 / 5)


@pytest.mark.parametrize("sites", [(None,), ("only",), tuple("abcdef")])
def test_sites_that_tell_nobody_apart_give_a_reason(sites: tuple[str | None, ...]) -> None:
    figure = of(sample_of(unit(np.random.default_rng(3).standard_normal((360, 8))), sites=sites), SITE)
    assert figure.value is None and figure.note


def test_one_subject_gives_a_reason() -> None:
    sample = sample_of(unit(np.random.default_rng(3).standard_normal((90, 8))), people=1)
    assert of(sample, SUBJECT).value is None and "one subject" in of(sample, SUBJECT).note


def test_subjects_seen_in_training_are_named() -> None:
    sample = sample_of(unit(np.random.default_rng(3).standard_normal((360, 8))))
    seen = sample.frame.with_columns(seen=pl.col("subject").is_in(["s1", "s4"]))
    figure = of(replace(sample, frame=seen), "subjects seen in training")
    assert figure.value == 2 and figure.detail == {"subjects": ["s1", "s4"]} and figure.subjects == PEOPLE
