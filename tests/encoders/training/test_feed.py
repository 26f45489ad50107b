"""Who is trained on, and that a step's batch is always the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.errors import BadInput
from encoders.training.config import Data, TrainConfig
from encoders.training.feed import Feed, people_of, split_store
from encoders.training.store import EpochStore
from encoders.training.texts import SentenceBank, TextSampler
from encoders.vocabulary import CHANNELS


def subjects(store: EpochStore, rows: np.ndarray) -> set[str]:
    return set(store.people["subject"].to_numpy()[store.recording[rows]])


@pytest.fixture
def store(tiny_cache: Path) -> EpochStore:
    return EpochStore(tiny_cache)


def feed_of(store: EpochStore, bank: SentenceBank, table: dict[str, object], rank: int = 0, world: int = 1) -> Feed:
    config = TrainConfig.of({"schedule": {"batch": 8}, **table})
    texts = TextSampler(bank, store.bits, balance=4)
    return Feed(store, split_store(store, config.data), texts, config, rank, world)


def test_no_subject_is_on_both_sides(store: EpochStore) -> None:
    split = split_store(store, Data(validation_share=0.4))
    kept = subjects(store, split.kept)
    assert len(kept) == 2 and not kept & subjects(store, split.trained)
    assert len(split.kept) + len(split.trained) == len(store)
    assert subjects(store, split.real) <= {"e"}


def test_a_held_out_site_is_kept_apart_whole(store: EpochStore) -> None:
    split = split_store(store, Data(validation_share=0.0, held_out_sites=("y",)))
    assert subjects(store, split.kept) == {"c", "d"}
    with pytest.raises(BadInput, match="sites are x, y"):
        split_store(store, Data(held_out_sites=("z",)))


def test_a_subject_of_a_validation_folder_is_never_trained_on(tiny_cache: Path) -> None:
    folder = tiny_cache / "r0"  # the first of two nights of subject a
    split = split_store(EpochStore(tiny_cache), Data(validation=(str(folder),), validation_share=0.0))
    assert "a" not in subjects(EpochStore(tiny_cache), split.trained)


def test_fewer_subjects_are_among_those_of_more(store: EpochStore) -> None:
    shares = (0.3, 0.6, 1.0)
    found = [subjects(store, split_store(store, Data(subjects_used=share)).trained) for share in shares]
    assert found[0] < found[1] < found[2]
    kept = [split_store(store, Data(subjects_used=share)).kept for share in shares]
    assert all(np.array_equal(kept[0], other) for other in kept)


def test_a_step_has_one_batch_whenever_it_is_asked(store: EpochStore, tiny_bank: SentenceBank) -> None:
    feed = feed_of(store, tiny_bank, {})
    batches = feed.steps(3)
    next(batches)
    (signals, said), (again, said_again) = next(batches), feed_of(store, tiny_bank, {}).at(4)
    batches.close()
    assert torch.equal(signals.x, again.x) and torch.equal(said.sentences, said_again.sentences)
    assert torch.equal(said.matches.nan_to_num(-1), said_again.matches.nan_to_num(-1))
    assert not np.array_equal(feed.rows(3), feed.rows(4))


def test_processes_share_out_one_batch(store: EpochStore, tiny_bank: SentenceBank) -> None:
    whole, said = feed_of(store, tiny_bank, {}).at(0)
    parts = [feed_of(store, tiny_bank, {}, rank, 2).at(0) for rank in (0, 1)]
    assert torch.equal(torch.cat([part.x for part, _ in parts]), whole.x)
    assert torch.cat([part.rows for part, _ in parts]).tolist() == list(range(8))
    assert all(torch.equal(theirs.owner, said.owner) for _, theirs in parts)
    with pytest.raises(BadInput, match="multiple of the 3"):
        feed_of(store, tiny_bank, {}, 0, 3)


def test_texts_are_true_of_the_epoch_they_were_drawn_for(store: EpochStore, tiny_bank: SentenceBank) -> None:
    _, said = feed_of(store, tiny_bank, {"sampling": {"balance": 0}}).at(1)
    assert (said.matches == 1).any(0).all() and (said.matches == 0).any()


def test_a_share_of_each_batch_is_real(store: EpochStore, tiny_bank: SentenceBank) -> None:
    table = {"sampling": {"share_real": 0.25}, "data": {"validation": [], "held_out_sites": ["y"]}}
    feed = feed_of(store, tiny_bank, table)
    for step in range(5):
        simulated = store.people["simulated"].to_numpy()[store.recording[feed.rows(step)]]
        assert (~simulated).sum() == 2


def test_only_the_sensors_named_are_looked_at(store: EpochStore, tiny_bank: SentenceBank) -> None:
    signals, _ = feed_of(store, tiny_bank, {"data": {"channels": ["ECG", "EEG_C3"]}}).at(0)
    seen = signals.present.any(0)
    assert [c for c, there in zip(CHANNELS, seen, strict=True) if there] == ["ECG", "EEG_C3"]
    with pytest.raises(BadInput, match="no sensor 'EEG'"):
        feed_of(store, tiny_bank, {"data": {"channels": ["EEG"]}})


def test_unknown_is_marked_in_people(store: EpochStore) -> None:
    blank = store.people.with_columns(age=None, sex=None, site=None)
    who = people_of(blank, np.array([0, 1]))
    assert torch.isnan(who.age_years.float()).all() and (who.sex == -1).all() and (who.site == -1).all()
    known = people_of(store.people, np.array([0, 3]))
    assert known.site.tolist() == [0, 1] and known.sex.tolist() == [0, 1]
