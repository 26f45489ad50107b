"""The weights inside the package: small, honest about what they have seen, and of use on nights that they have not."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from encoders.models import DEFAULT_ENCODER, Encoder, load_encoder
from encoders.models.small.small import RELEASED
from encoders.recordings import build_epochs, open_recording
from encoders.recordings.epochs import Epochs
from encoders.training.real import CHOOSE, TRAIN, read_ucddb
from encoders.vocabulary import STAGES
from retrieval.evaluation.sample import keep_channels
from retrieval.zeroshot import find_task, label_scores
from tests.conftest import SimCohort

BYTES = 32_000_000


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(DEFAULT_ENCODER, device="cpu")


@pytest.fixture(scope="module")
def night(sim_cohort: SimCohort) -> tuple[Epochs, np.ndarray]:
    """A simulated night that has all of EEG, EOG and chin EMG, and its true stages."""
    path = next(sim_cohort.folder.glob("*mros-like*.edf"))
    truth = sim_cohort.truth.filter(recording=path.stem)
    return build_epochs(open_recording([path]), truth["start_s"].to_numpy()), truth["stage"].to_numpy()


def _stages(encoder: Encoder, epochs: Epochs) -> np.ndarray:
    task = find_task("staging")
    scores = label_scores(encoder.embed_epochs(epochs), task, encoder.embed_texts)
    return np.array(list(task.labels))[scores.argmax(axis=1)]


def test_they_are_small_and_carry_no_path() -> None:
    files = [path for path in RELEASED.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= BYTES
    card = (RELEASED / "card.json").read_text(encoding="utf-8")
    assert not any(key in card for key in ('"cache"', '"bank"', "/tmp/", "/home/"))
    assert "one subject" in (RELEASED / "README.md").read_text(encoding="utf-8")


def test_what_they_were_chosen_and_tested_on_they_have_not_seen(encoder: Encoder) -> None:
    seen = set(encoder.trained_on)
    assert {f"ucddb{n:03d}" for n in TRAIN} == {name for name in seen if name.startswith("ucddb")}
    assert not seen & {f"ucddb{n:03d}" for n in (*CHOOSE, 18)}
    kept = set(json.loads((RELEASED / "card.json").read_text())["data"]["kept_apart_subjects"])
    assert kept and not seen & kept


def test_words_alone_stage_a_simulated_night(encoder: Encoder, night: tuple[Epochs, np.ndarray]) -> None:
    epochs, stages = night
    there = [stage for stage in STAGES if (stages == stage).sum() >= 5]
    found = f1_score(stages, _stages(encoder, epochs), labels=there, average="macro")
    assert len(there) >= 4 and found >= 0.8


def test_one_eeg_is_enough_for_most_of_it(encoder: Encoder, night: tuple[Epochs, np.ndarray]) -> None:
    epochs, stages = night
    alone = keep_channels(epochs, ["EEG_C3"])
    assert alone.present.any()
    there = [stage for stage in STAGES if (stages == stage).sum() >= 5]
    assert f1_score(stages, _stages(encoder, alone), labels=there, average="macro") >= 0.6


@pytest.mark.slow
def test_wake_and_deep_sleep_of_real_people_who_were_not_trained_on(encoder: Encoder, shared_data: Path) -> None:
    deep, score = [], []
    for subject in CHOOSE:
        night = read_ucddb(shared_data / "ucddb_eeg", subject)
        epochs = night.epochs()
        scored = {span.start_s: span.stage for span in night.scoring.stages}
        said = np.array([scored.get(start) for start in epochs.start_s])
        task = find_task("staging")
        scores = label_scores(encoder.embed_epochs(epochs), task, encoder.embed_texts)
        labels = list(task.labels)
        rows = np.isin(said, ["W", "N3"]) & np.isfinite(scores).all(axis=1)  # not where no signal is usable
        deep.append(said[rows] == "N3")
        score.append((scores[:, labels.index("N3")] - scores[:, labels.index("W")])[rows])
    assert roc_auc_score(np.concatenate(deep), np.concatenate(score)) >= 0.97
