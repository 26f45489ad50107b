"""Who is trained on, and that a step's batch is always the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.errors import BadInput
from encoders.training.config import Data, TrainConfig
from encoders.training.facts import STAGE_LEVELS, claim
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
    assert (said.claims == said_again.claims).all() and (said.bits == said_again.bits).all()
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
    signals, said = feed_of(store, tiny_bank, {"sampling": {"balance": 0}}).at(1)
    found = said.matches(signals.rows, torch.ones(len(signals.rows), len(CHANNELS), dtype=torch.bool))
    assert (found == 1).any(0).all() and (found == 0).any()


def test_texts_about_a_sensor_that_was_taken_away_are_not_judged(store: EpochStore, tiny_bank: SentenceBank) -> None:
    signals, said = feed_of(store, tiny_bank, {}).at(0)
    oxygen, stage = claim({"spo2_min_pct": ["under 80"]}), claim({"stage": ["N3"]})
    said = replace(said, claims=np.stack([oxygen, stage]), bits=np.full_like(said.bits, 1))
    there = torch.ones(len(signals.rows), len(CHANNELS), dtype=torch.bool)
    assert said.matches(signals.rows, there).tolist() == [[1, 0]] * len(there)
    there[:, CHANNELS.index("SPO2")] = False
    without = said.matches(signals.rows, there)
    assert without[:, 0].isnan().all() and (without[:, 1] == 0).all()


def test_texts_of_stages_that_a_recording_does_not_hold_are_not_judged(
    store: EpochStore, tiny_bank: SentenceBank
) -> None:
    signals, said = feed_of(store, tiny_bank, {}).at(0)
    claims = np.stack([claim({"stage": [level]}) for level in ("W", "N2")])
    told = np.where(
        np.arange(len(said.bits)) == 0, claim({"stage": ["W", "N3"]}).max(), claim({"stage": STAGE_LEVELS}).max()
    )
    said = replace(said, claims=claims, bits=np.full_like(said.bits, 1), told=told.astype(np.uint32))  # all are awake
    found = said.matches(signals.rows, torch.ones(len(told), len(CHANNELS), dtype=torch.bool))
    assert found[:, 0].tolist() == [1] * len(told)
    assert found[0, 1].isnan() and (found[1:, 1] == 0).all()


def test_a_share_of_each_batch_is_real(store: EpochStore, tiny_bank: SentenceBank) -> None:
    table = {"sampling": {"share_real": 0.25}, "data": {"validation": [], "held_out_sites": ["y"]}}
    feed = feed_of(store, tiny_bank, table)
    for step in range(5):
        simulated = store.people["simulated"].to_numpy()[store.recording[feed.rows(step)]]
        assert (~simulated).sum() == 2


def test_a_batch_can_be_of_few_nights(store: EpochStore, tiny_bank: SentenceBank) -> None:
    feed = feed_of(store, tiny_bank, {"sampling": {"nights": 2}})
    nights = [np.unique(store.recording[feed.rows(step)], return_counts=True) for step in range(20)]
    assert all(len(which) <= 2 for which, _ in nights) and all(sum(count) == 8 for _, count in nights)
    assert {count for which, each in nights if len(which) == 2 for count in each} == {4}  # as many of each
    trained = set(store.recording[split_store(store, Data()).trained])
    assert {which for pair, _ in nights for which in pair} == trained
    assert np.array_equal(feed.rows(3), feed_of(store, tiny_bank, {"sampling": {"nights": 2}}).rows(3))


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
