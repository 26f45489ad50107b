"""What nobody scored, told from the signals: nights without annotations, and the encoder inside the package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.captions import load_lexicon
from encoders.models import Encoder, load_encoder
from encoders.vocabulary import CHANNELS
from retrieval import Cohort, ingest
from retrieval.told import told
from tests.conftest import SimCohort


@pytest.fixture(scope="module")
def bare(sim_cohort: SimCohort, tmp_path_factory: pytest.TempPathFactory) -> SimCohort:
    """Two of the nights as their EDF files alone, with vectors of the encoder inside the package."""
    folder, root = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("bare-cohort")
    for site in ("mros-like", "shhs-like"):  # their scoring lies beside the EDF files, not in them
        path = next(sim_cohort.folder.glob(f"*{site}*.edf"))
        (folder / path.name).symlink_to(path)
    assert ingest([folder], root).recordings == 2
    names = [path.stem for path in folder.iterdir()]
    truth, events = (t.filter(pl.col("recording").is_in(names)) for t in (sim_cohort.truth, sim_cohort.events))
    return SimCohort(folder, root, truth, events)


def _precision(cohort: SimCohort, words: str, right: pl.Expr, k: int = 10) -> tuple[float, float]:
    """Share of the first hits with an epoch that is right, and that of all epochs."""
    hits = cohort.cohort.search(words, k=k).hits
    of = {(r, s): ok for r, s, ok in cohort.truth.select("recording", "start_s", right).iter_rows()}
    starts = [[hit.start_s + 30 * i for i in range(round((hit.stop_s - hit.start_s) / 30))] for hit in hits]
    found = [any(of.get((h.recording, s), False) for s in each) for h, each in zip(hits, starts, strict=True)]
    return float(np.mean(found)) if found else 0.0, float(np.mean(list(of.values())))


def test_stages_that_nobody_scored_are_found_by_their_signals(bare: SimCohort) -> None:
    for words, stage in (("REM sleep", "REM"), ("stage N2 sleep", "N2")):
        precision, base = _precision(bare, words, pl.col("stage") == stage)
        assert precision >= 0.8 > base


def test_events_that_nobody_scored_are_found_by_their_signals(bare: SimCohort) -> None:
    precision, base = _precision(bare, "arousal", pl.col("reach arousal") > 0)
    assert precision >= 0.6 and precision > 1.5 * base


def test_each_such_hit_and_the_answer_say_so(bare: SimCohort) -> None:
    answer = bare.cohort.search("N2 sleep with arousal", k=3)
    assert answer.hits and any("sleepsearch-small tells it from their signals" in note for note in answer.notes)
    for hit in answer.hits:
        assert "arousal: told from the signals, not scored" in hit.why and hit.stage in (None, "unscored")


def test_without_a_reader_nobody_can_say(bare: SimCohort) -> None:
    answer = Cohort(bare.root, encoder="text:minilm").search("arousal", k=3)
    assert not answer.hits and answer.not_assessable["not_scored"] == bare.truth.height


def test_what_is_denied_is_not_told(bare: SimCohort) -> None:
    assert not bare.cohort.search("N2 sleep without arousals", k=3).hits


def test_a_scored_epoch_is_never_told_otherwise(sim_cohort: SimCohort, tmp_path: Path) -> None:
    reader = load_encoder("sleepsearch-small", device="cpu")
    concept = load_lexicon().concepts["arousal"]
    snapshot = sim_cohort.cohort.snapshot
    scored = set(snapshot.sql("SELECT epoch_id FROM epochs WHERE n_arousal IS NOT NULL")["epoch_id"])

    class _Everywhere:
        """The cohort as if each epoch had a vector: only which epochs are asked about matters here."""

        root, number = snapshot.root, -1

        def __getattr__(self, name: str) -> Any:
            return getattr(snapshot, name)

        def vectors(self, space: str, kind: str, ids: Sequence[int]) -> np.ndarray:
            return np.random.default_rng(0).standard_normal((len(ids), reader.dim)).astype(np.float32)

    found = told(_Everywhere(), reader, concept)  # type: ignore[arg-type]
    assert scored and (found is None or not scored & set(snapshot.ids[found.there >= 0].tolist()))


def test_an_encoder_that_cannot_see_it_says_nothing(bare: SimCohort) -> None:
    reader: Encoder = load_encoder("sleepsearch-small", device="cpu")
    assert "leg" not in CHANNELS
    assert told(bare.cohort.snapshot, reader, load_lexicon().concepts["limb_movement"]) is None
