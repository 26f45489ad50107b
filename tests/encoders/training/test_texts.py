"""Texts that training draws: true of their epochs, in varied words, and never in those kept apart."""

from pathlib import Path

import numpy as np
import pytest

from encoders.captions import load_lexicon
from encoders.captions.scored import GROUPS, snake
from encoders.captions.wording import load_wording
from encoders.models.small.text import sentences_of
from encoders.training.facts import INDEX, SLOTS, Bits, claim, matches
from encoders.training.texts import SentenceBank, Texts, TextSampler, unseen_captions
from encoders.training.wordings import Sentence, all_sentences, holds, ideas, load_paraphrases


@pytest.fixture(scope="module")
def bank() -> SentenceBank:
    """Every sentence that is trained on, with nothing in place of vectors, which drawing doesn't look at."""
    chosen = tuple(s for s in all_sentences() if s.kind != "unseen")
    return SentenceBank(chosen, np.stack([s.claim for s in chosen]), np.zeros((len(chosen), 384), np.float16))


def epochs(n: int, seed: int) -> Bits:
    """Epochs with a level in each slot, mostly the first of two; a fifth of the slots unknown."""
    rng = np.random.default_rng(seed)
    levels = np.array([len(slot.levels) for slot in SLOTS])
    level = np.where(levels == 2, rng.random((n, len(SLOTS))) < 0.1, rng.integers(0, levels, (n, len(SLOTS))))
    bits = (1 << level.astype(np.int64)).astype(np.uint32)
    bits[rng.random(bits.shape) < 0.2] = 0
    for group, names in GROUPS.items():
        of = bits[:, [INDEX[snake(name)] for name in names]]
        bits[:, INDEX[group]] = np.where((of == 2).any(axis=1), 2, np.where((of == 1).all(axis=1), 1, 0))
    return bits


def said(texts: Texts, bank: SentenceBank) -> list[list[Sentence]]:
    by_text: list[list[Sentence]] = [[] for _ in texts.of]
    for sentence, owner in zip(texts.sentences.tolist(), texts.owner.tolist(), strict=True):
        by_text[owner].append(bank.sentences[sentence])
    return by_text


# ---- sentences


def test_what_is_kept_apart_is_a_third_of_every_list_and_never_trained_on() -> None:
    lists = [say for scale in load_wording()["scale"] for say in scale["say"] if say]
    assert all(len(say) >= 3 for say in lists)
    kinds = {s.text: s.kind for s in all_sentences()}
    for say in lists:
        assert kinds[say[0]] == "caption"
        assert [text for text in say if kinds.get(text) == "unseen"] == list(say[-(len(say) // 3) :])


def test_every_fact_that_captions_state_has_words_to_train_on_and_words_kept_apart() -> None:
    facts: dict[str, set[object]] = {"caption": set(), "unseen": set()}
    for sentence in all_sentences():
        if sentence.kind in facts:
            facts[sentence.kind].add(sentence.says)
    assert facts["caption"] == facts["unseen"] and len(facts["caption"]) > 60


def test_no_sentence_would_be_split_nor_said_twice() -> None:
    texts = [s.text for s in all_sentences()]
    assert len({t.lower().rstrip(" .?!") for t in texts}) == len(texts)
    assert [t for t in texts if sentences_of(t) != [t]] == []
    assert not [t for t in texts if "{" in t or "  " in t or t != t.strip()]


@pytest.mark.parametrize(
    ("concept", "said"),
    [
        ("light_sleep", {"stage": ["N1", "N2"]}), ("nrem", {"stage": ["N1", "N2", "N3"]}),
        ("sleep", {"stage": ["N1", "N2", "N3", "REM"]}), ("rem", {"stage": ["REM"]}),
        ("apnea", {"apnea_any": ["present"]}), ("central_apnea", {"central_apnea": ["present"]}),
        ("lateral", {"position": ["left", "right"]}), ("low_oxygen", {"spo2_min_pct": ["under 80", "80 to 90"]}),
        ("normal_oxygen", {"spo2_min_pct": ["94 or more"]}), ("low_chin_tone", {"emg_relative": ["under 0.6"]}),
        ("slow_heart_rate", {"hr_mean_bpm": ["under 50"]}), ("position_change", {"position_change": ["present"]}),
        ("respiratory_paradox", {"belt_correlation": ["under -0.4"]}), ("theta", {"theta_pct": ["20 or more"]}),
    ],
)  # fmt: skip
def test_a_concept_claims_what_answers_it(concept: str, said: dict[str, list[str]]) -> None:
    assert np.array_equal(holds(load_lexicon().concepts[concept]), claim(said))


def test_every_idea_claims_something_and_what_has_no_slot_is_refused() -> None:
    assert all(idea.holds.any() for idea in ideas().values())
    with pytest.raises(ValueError, match="poor_signal"):
        holds(load_lexicon().concepts["poor_signal"])


def test_paraphrases_are_many_and_no_wording_of_the_lexicon() -> None:
    entries = load_paraphrases()["concept"]
    free = [text.lower() for entry in entries for text in (*entry["say"], *entry.get("noun", ()))]
    known = {phrase.lower() for concept in load_lexicon().concepts.values() for phrase in concept.phrases}
    assert len(set(free)) == len(free) > 800
    assert set(free) & known == set()
    assert sum(len(entry.get("of", ())) + len(entry.get("without", ())) > 1 for entry in entries) >= 60


# ---- the bank


def test_a_bank_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    some = [s for s in all_sentences() if s.kind != "several"][:24]
    whole = SentenceBank.open(tmp_path / "whole", device="cpu", sentences=some)
    [kept] = (tmp_path / "whole").iterdir()
    half = tmp_path / "half"
    half.mkdir()
    (half / kept.with_suffix(".part").name).write_bytes(kept.read_bytes()[: 768 * 10 + 100])  # killed within a row
    seen: list[tuple[int, int]] = []
    again = SentenceBank.open(half, device="cpu", sentences=some, progress=lambda *at: seen.append(at))
    count = len(whole.sentences)
    assert seen == [(count, count)]
    assert again.vectors.dtype == np.float16 and again.vectors.shape == (count, 384) == (len(whole.claims), 384)
    similar = (again.vectors.astype(float) * whole.vectors.astype(float)).sum(axis=1)
    assert similar.min() > 0.999
    assert [path.name for path in half.iterdir()] == [kept.name]
    assert all(sentence.kind != "unseen" for sentence in whole.sentences) and count < 24


def test_another_sentence_makes_another_bank(tmp_path: Path) -> None:
    some = [s for s in all_sentences() if s.kind == "caption"][:4]
    for count in (3, 4):
        SentenceBank.open(tmp_path, device="cpu", sentences=some[:count])
    assert len(list(tmp_path.iterdir())) == 2


# ---- drawing


def test_a_text_drawn_for_an_epoch_is_true_of_it_and_claims_what_its_sentences_say(bank: SentenceBank) -> None:
    bits = epochs(64, 1)
    texts = TextSampler(bank, epochs(500, 2), texts_per_epoch=4).draw(bits, np.random.default_rng(3))
    truth = matches(bits, texts.claims)
    own = np.flatnonzero(texts.of >= 0)
    assert np.bincount(texts.of[own], minlength=64).tolist() == [4] * 64
    assert (truth[texts.of[own], own] == 1).all()
    assert (truth[:, texts.of < 0] == 1).any(axis=0).all() and (texts.of < 0).sum() == 32
    assert np.array_equal(np.unique(texts.owner), np.arange(len(texts.of))) and (np.diff(texts.owner) >= 0).all()
    for sentences, claims in zip(said(texts, bank), texts.claims, strict=True):
        for sentence in sentences:
            inside = sentence.claim != 0
            assert ((claims[inside] & ~sentence.claim[inside]) == 0).all()
        assert np.array_equal(claims != 0, np.any([s.claim for s in sentences], axis=0))


def test_the_same_seed_draws_the_same_and_another_seed_other_texts(bank: SentenceBank) -> None:
    bits, sampler = epochs(32, 1), TextSampler(bank, epochs(200, 2))
    first, again, other = (sampler.draw(bits, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.sentences, again.sentences) and np.array_equal(first.claims, again.claims)
    assert not np.array_equal(first.sentences[:20], other.sentences[:20])


def test_captions_drop_reorder_and_reword_their_facts(bank: SentenceBank) -> None:
    bits = np.repeat(epochs(1, 4), 200, axis=0)
    sampler = TextSampler(bank, bits, texts_per_epoch=1, full_share=1, balance=0)
    drawn = said(sampler.draw(bits, np.random.default_rng(0)), bank)
    lengths = [len(sentences) for sentences in drawn]
    stated = [{s.text for s in sentences} for sentences in drawn]
    assert min(lengths) < max(lengths) / 2
    assert len({sentences[0].text for sentences in drawn}) > 30
    assert len(set().union(*stated)) > 3 * max(lengths)
    kinds = [s.kind for sentences in drawn for s in sentences]
    assert set(kinds) == {"caption", "one"} and 0.1 < kinds.count("one") / len(kinds) < 0.5


def test_shares_of_captions_may_be_fractions(bank: SentenceBank) -> None:
    bits = epochs(400, 1)
    texts = TextSampler(bank, bits, texts_per_epoch=2, full_share=0.25, balance=0).draw(bits, np.random.default_rng(0))
    several = np.bincount(texts.owner) > 1
    assert len(texts.of) == 800 and 0.2 < several.mean() < 0.3  # a caption may have one sentence


def test_rare_things_are_asked_for_more_often_than_they_are_true(bank: SentenceBank) -> None:
    bits = epochs(1000, 5)
    stage, event = INDEX["stage"], INDEX["central_apnea"]
    bits[:, stage] = 1 << np.random.default_rng(0).choice([0, 1, 2, 3, 4], 1000, p=[0.2, 0.03, 0.47, 0.15, 0.15])
    bits[:, event] = np.where(np.arange(1000) % 50 == 0, 2, 1)
    texts = TextSampler(bank, bits, texts_per_epoch=1, full_share=0, balance=100).draw(bits, np.random.default_rng(0))
    claims = texts.claims[texts.of < 0]
    assert (claims[:, event] == 2).mean() > 0.02
    n1, n2 = ((claims[:, stage] == 1 << level).mean() for level in (1, 2))
    assert n1 > n2 / 3  # it is sixteen times rarer


def test_nothing_is_said_of_an_epoch_of_which_nothing_is_known(bank: SentenceBank) -> None:
    bits = epochs(8, 1)
    bits[3] = 0
    texts = TextSampler(bank, bits).draw(bits, np.random.default_rng(0))
    assert set(texts.of.tolist()) == {-1, 0, 1, 2, 4, 5, 6, 7}
    silent = TextSampler(bank, bits).draw(np.zeros((2, len(SLOTS)), np.uint32), np.random.default_rng(0))
    assert len(silent.of) == len(silent.sentences) == 0 and silent.claims.shape == (0, len(SLOTS))


# ---- wording never heard


def test_unseen_captions_say_every_fact_in_words_kept_apart() -> None:
    bits = epochs(50, 6)
    apart = {s.text: s for s in all_sentences() if s.kind == "unseen"}
    sayable = {s.says for s in apart.values()}
    for row, caption in zip(bits.tolist(), unseen_captions(bits, 0), strict=True):
        spoken = [apart[text] for text in sentences_of(caption)]
        facts = {(slot, value) for slot, value in enumerate(row)} & sayable
        assert {s.says for s in spoken} - {None} == facts
        assert all(matches(np.array([row], np.uint32), s.claim[None])[0, 0] == 1 for s in spoken if s.says is None)
    assert unseen_captions(bits, 0) == unseen_captions(bits, 0) != unseen_captions(bits, 1)
    assert unseen_captions(np.zeros((1, len(SLOTS)), np.uint32), 0) == [""]
