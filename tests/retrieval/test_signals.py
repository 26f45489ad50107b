"""An encoder that reads signals, from ingest to answers; a small SleepLM with random weights."""

from pathlib import Path

import numpy as np
import pytest

from encoders.models import load_encoder
from encoders.simulation import simulate
from retrieval import Cohort, ingest
from retrieval.question import read_question
from retrieval.search import WEIGHTS, rank
from retrieval.signals import load_epochs, no_epochs, save_epochs, signals_file
from tests.encoders.models.conftest import tiny_sleeplm


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an encoder whose checkpoint lies in a folder."""
    return tiny_sleeplm(tmp_path_factory.mktemp("weights"), seed=4)


@pytest.fixture(scope="module")
def grown(weights: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cohort of two short nights, one of them without breathing, that SleepLM was added to; its nights' folder."""
    nights, root = tmp_path_factory.mktemp("nights"), tmp_path_factory.mktemp("cohort") / "c"
    for number, site in enumerate(("clinic", "hmc-like")):
        simulate(nights / site, nights=1, seed=number, sites=[site], hours=0.25, ideal=True)
    first = ingest([nights], root)
    assert first.recordings == 2 and not first.failed
    before = Cohort(root).snapshot.sql("SELECT epoch_id, recording, stage FROM epochs ORDER BY epoch_id")
    second = ingest([nights], root, encoder=weights)
    assert second.recordings == 2 and second.skipped == 0 and not second.failed
    after = Cohort(root).snapshot.sql("SELECT epoch_id, recording, stage FROM epochs ORDER BY epoch_id")
    assert after.equals(before)  # nothing but the vectors was added
    return root, nights


def test_every_epoch_has_a_vector_and_a_third_run_reads_nothing(grown: tuple[Path, Path], weights: str) -> None:
    root, nights = grown
    cohort = Cohort(root)
    space = cohort.snapshot.default_space
    assert space is not None and space.startswith("sleeplm-")
    ids = cohort.snapshot.sql("SELECT epoch_id FROM epochs ORDER BY epoch_id")["epoch_id"].to_numpy()
    vectors = cohort.snapshot.vectors(space, "signal", ids)
    assert vectors.shape == (60, 6) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)
    for encoder in (None, weights):  # the cohort knows its encoder
        again = ingest([nights], root, encoder=encoder)
        assert again.skipped == 2 and again.recordings == 0


def test_questions_use_the_words_likeness_to_signals(grown: tuple[Path, Path]) -> None:
    cohort = Cohort(grown[0], device="cpu")
    assert cohort.reader is not None
    question = read_question("quiet sleep")
    plain = rank(cohort.snapshot, cohort.encoder, question, where=None, exact=True)
    both = rank(cohort.snapshot, cohort.encoder, question, where=None, exact=True, reader=cohort.reader)
    assert "signals by sleeplm:" in both.engine and both.frame.height == plain.frame.height
    query = cohort.reader.embed_texts([question.words])[0]
    ids = both.frame["epoch_id"].to_numpy()
    cosine = cohort.snapshot.vectors(cohort.reader.space, "signal", ids) @ query
    captions = dict(zip(plain.frame["epoch_id"], plain.frame["score"], strict=True))
    alone = np.array([captions[i] for i in ids])
    rest = WEIGHTS.caption + len(question.facts)
    standard = (cosine - cosine.mean()) / cosine.std()
    expected = (rest * alone + WEIGHTS.signals * standard) / (rest + WEIGHTS.signals)
    assert np.allclose(both.frame["score"].to_numpy(), expected, atol=0.02)
    hits = cohort.search("quiet sleep", k=3).hits
    assert hits and all(any(line.startswith("signals near the words: ") for line in hit.why) for hit in hits)


def test_generated_captions_stand_apart_from_measured_ones_with_their_caveats(grown: tuple[Path, Path]) -> None:
    cohort = Cohort(grown[0], device="cpu")
    name = cohort.recordings()[0]["recording"]
    described = cohort.describe(f"{name}@120")
    assert set(described["generated"]) == {"brain", "heart", "respiratory", "position_muscle", "stage_event"}
    assert any("SpO2" in caveat for caveat in described["caveats"])
    assert described["captions"] != described["generated"]
    assert Cohort(grown[0], encoder="text:minilm").describe(f"{name}@120")["generated"] == {}


def test_embedding_no_epochs_loads_what_embedding_needs(weights: str) -> None:
    encoder = load_encoder(weights, device="cpu")
    assert encoder.embed_epochs(no_epochs()).shape == (0, 6)
    assert set(encoder._towers) == {"biosignals"}  # type: ignore[attr-defined]


def test_epochs_come_through_their_files_as_they_were(tmp_path: Path) -> None:
    from encoders.recordings.epochs import ChannelStatistics, Epochs

    rng = np.random.default_rng(2)
    statistics = ChannelStatistics(*(rng.normal(size=12).astype(np.float32) for _ in ChannelStatistics.__slots__))
    out = signals_file(tmp_path / "night", 3)
    out[:] = rng.normal(size=out.shape)
    epochs = Epochs(np.arange(3) * 30.0, out, rng.random((3, 12)) < 0.5, np.zeros((3, 12), np.uint8), statistics,
                    {"EEG_C3": "µV in doubt"})  # fmt: skip
    save_epochs(tmp_path / "night", epochs)
    read = load_epochs(tmp_path / "night")
    assert read.signals is not None and np.array_equal(read.signals, out)
    assert np.array_equal(read.present, epochs.present) and np.array_equal(read.start_s, epochs.start_s)
    assert read.notes == epochs.notes
    assert read.statistics is not None and np.array_equal(read.statistics.p99, statistics.p99)
