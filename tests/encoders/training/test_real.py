from pathlib import Path

import numpy as np
import pytest

from encoders.errors import BadInput
from encoders.models.small.inputs import KNOWN, SPREAD
from encoders.training.facts import INDEX, STAGE_LEVELS
from encoders.training.real import CHANNEL, CHOOSE, TRAIN, cache_ucddb, read_ucddb, ucddb_nights
from encoders.training.store import EpochStore
from encoders.vocabulary import CHANNELS

EEG = CHANNELS.index(CHANNEL)
CODES = [0, 0, 2, 3, 4, 5, 5, 1, 6, 0, 0, 0]  # of each epoch of a night
PLACES = [0, 1, 4, 5, 6, 9, 10, 11]  # of wake and stages 3 and 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two subjects whose EEG is as unlike in level as those of the data set; epoch 10 is flat."""
    for subject, gain in ((2, 100), (18, 700)):
        eeg = np.cumsum(np.random.default_rng(subject).standard_normal((len(PLACES), 3840)), axis=1)
        eeg -= eeg.mean(axis=1, keepdims=True)
        eeg[PLACES.index(10)] = 0
        np.savez(
            tmp_path / f"ucddb{subject:03d}_eeg_wake_sws_only.npz", eeg=np.int16(np.clip(gain * eeg / 10, -32e3, 32e3)),
            epoch_index=np.array(PLACES), stage=np.array(CODES), fs=128, epoch_s=30, scale=8 / 4095,
        )  # fmt: skip
        (tmp_path / f"ucddb{subject:03d}_stage.txt").write_text("\n".join(map(str, CODES)) + "\n")
    return tmp_path


@pytest.mark.parametrize("subject", [1, 4, 14, 18, 25])
def test_no_other_night_than_those_allowed_is_cached(folder: Path, tmp_path: Path, subject: int) -> None:
    with pytest.raises(BadInput, match=f"ucddb{subject:03d}: not among the nights to train on"):
        cache_ucddb(folder, tmp_path / "cache", (2, subject))
    assert not (tmp_path / "cache").exists()
    assert subject not in (*TRAIN, *CHOOSE) and not set(TRAIN) & set(CHOOSE)


def test_epochs_stand_at_their_places_and_their_level_is_usual(folder: Path) -> None:
    (night,) = ucddb_nights(folder, [2])
    epochs = night.epochs()
    assert epochs.start_s.tolist() == [30.0 * place for place in PLACES]
    assert [run.start_s for run in night.runs(CHANNEL)] == [0.0, 120.0, 270.0] and not night.runs("EEG_C4")
    assert epochs.present[:, EEG].tolist() == [place != 10 for place in PLACES]
    assert epochs.signals is not None and 10 < np.median(epochs.signals[:, EEG].std(axis=1)) < 20
    assert epochs.doubted == {CHANNEL}


def test_wake_and_deep_sleep_are_known_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    cached = cache_ucddb(folder, tmp_path / "cache", [2])
    store = EpochStore(cached)
    stages = [1 << STAGE_LEVELS.index("W" if CODES[place] == 0 else "N3") for place in PLACES if place != 10]
    assert store.bits[:, INDEX["stage"]].tolist() == stages
    assert not np.delete(store.bits, INDEX["stage"], axis=1).any()
    (row,) = store.people.to_dicts()
    assert row["recording"] == row["subject"] == "ucddb002" and row["stages_told"] == ["W", "N3"]
    assert row["simulated"] is False and row["age"] is None and row["site"] == "ucddb"
    batch = store.batch(range(len(store)))
    assert batch.present.sum(0).tolist() == [len(store) if c == EEG else 0 for c in range(len(CHANNELS))]
    assert (batch.night[:, EEG, KNOWN] == 1).all() and (batch.night[:, EEG, SPREAD] == 0).all()


def test_missing_and_broken_files_are_named(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"no ucddb003_eeg_full\.npz"):
        read_ucddb(folder, 3)
    (folder / "ucddb002_stage.txt").write_text("0\n0\n")
    with pytest.raises(BadInput, match=r"ucddb002_stage\.txt: 2 stages; epoch 11"):
        read_ucddb(folder, 2)
    (folder / "ucddb002_eeg_wake_sws_only.npz").write_bytes(b"no arrays")
    with pytest.raises(BadInput, match="not a night of this data set"):
        read_ucddb(folder, 2)


def test_the_nights_of_the_data_set_are_read(shared_data: Path, tmp_path: Path) -> None:
    store = EpochStore(cache_ucddb(shared_data / "ucddb_eeg", tmp_path, (6, 8)))
    assert store.people["epochs"].to_list() == [319, 307]  # of 340 and 346; most of the others are flat
    assert set(np.unique(store.bits[:, INDEX["stage"]])) == {1, 8}
