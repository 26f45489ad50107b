"""The caption decoder: its vocabulary holds every caption, it learns ten of them, and its cache changes nothing."""

import itertools
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from encoders.captions.measures import load_measures
from encoders.captions.wording import KIND_COUNTS, PARTS, caption_epochs, load_wording
from encoders.models.small.decoder import END, MAX_WORDS, PAD, CaptionDecoder, Vocabulary, caption_words, generate
from encoders.training import caption_cross_entropy
from encoders.vocabulary import EVENTS, SLEEP_STAGES

WIDTH, TOKENS = 32, 5
CAPTIONS = [
    {
        "brain": brain, "heart": heart, "respiratory": "Breathing is regular.", "position_muscle": "",
        "stage_event": f"{stage}. {event}",
    }
    for brain, (stage, event), heart in itertools.islice(
        itertools.product(
            ("Mixed-frequency EEG.", "Delta activity dominates the EEG. Slow waves are prominent."),
            (("REM sleep", "Central apnea."), ("Wakefulness", ""), ("Deep sleep (N3)", "Arousal from 3 to 12.4 s.")),
            ("Heart rate is normal.", "Heart rate is fast (tachycardia)."),
        ), 10,
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(caption_words())


def decoder_for(words: int, seed: int = 0) -> CaptionDecoder:
    torch.manual_seed(seed)
    return CaptionDecoder(WIDTH, 2, 4, words, max_words=32, dropout=0.0)


def inputs(rows: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    there = torch.rand(rows, TOKENS) < 0.6
    there[:, 0] = True
    return torch.randn(rows, TOKENS, WIDTH), there


def test_the_vocabulary_is_the_same_each_time_and_starts_with_the_special_ids() -> None:
    words = caption_words()
    assert words == caption_words()
    assert words[: 2 + len(PARTS)] == ("<pad>", "<end>", *(f"<{part}>" for part in PARTS))
    assert len(set(words)) == len(words)
    assert len(words) < 1500


def random_captions(seed: int | None, *, numbers: bool) -> list[dict[str, str]]:
    """Captions of epochs with any level of any scale, any position, stage and events."""
    n, rng = 400, np.random.default_rng(0)
    measures: dict[str, np.ndarray] = {
        name: np.full(n, None, object) if measure.digits is None else np.full(n, np.nan)
        for name, measure in load_measures().items()
    }
    for scale in load_wording()["scale"]:
        low, high = scale["cuts"][0], scale["cuts"][-1]
        measures[scale["column"]] = rng.uniform(low - 1 - abs(low) / 2, high + 1 + abs(high) / 2, n)
    measures["position"] = rng.choice(np.array(["left", "right", "supine", "prone", "upright", None], object), n)
    measures["position_change"] = rng.choice(np.array(["left to right", None], object), n)
    seconds = [f"{a}-{b}" for a, b in np.sort(rng.integers(0, 31, (n, 2)))]
    events = [[f"{name} {s}" for name in rng.choice(list(EVENTS), 2)] if s != "3" else [] for s in seconds]
    counts = {column: rng.integers(0, 2, n) for column in KIND_COUNTS.values()}
    stages = rng.choice([*SLEEP_STAGES, "W"], n)
    scored = pl.DataFrame({"stage": stages, "events": [e if i % 3 else [] for i, e in enumerate(events)], **counts})
    epochs = SimpleNamespace(start_s=30.0 * np.arange(n), present=np.ones((n, 12), bool))
    return caption_epochs(measures, scored, epochs, seed=seed, numbers=numbers)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_every_caption_survives_encoding_and_of_the_numbered_ones_the_events(
    vocabulary: Vocabulary, seed: int | None
) -> None:
    longest = 0
    for numbers in (False, True):
        for caption in random_captions(seed, numbers=numbers):
            ids = vocabulary.encode_caption(caption, max_words=200).tolist()
            for row, part in zip(ids, PARTS, strict=True):
                if part == "stage_event" or not numbers:
                    assert vocabulary.decode(row[1:]) == caption[part]
                    longest = max(longest, row.index(END) + 1)
    assert longest <= MAX_WORDS


@pytest.mark.parametrize("caption", CAPTIONS, ids=range(10))
def test_a_caption_is_its_words_joined(vocabulary: Vocabulary, caption: dict[str, str]) -> None:
    ids = vocabulary.encode_caption(caption)
    for row, part in zip(ids.tolist(), PARTS, strict=True):
        assert row[0] == vocabulary.start(part)
        assert vocabulary.decode(row[1:]) == caption[part].strip()


def test_a_part_without_words_ends_at_once_and_an_unknown_one_is_no_target(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode_caption({"heart": "", "stage_event": None})
    assert ids[PARTS.index("heart"), :3].tolist() == [vocabulary.start("heart"), END, PAD]
    assert (ids[PARTS.index("stage_event")] == PAD).all()
    assert (ids[PARTS.index("brain")] == PAD).all()


def test_a_sentence_with_a_foreign_word_or_without_room_is_left_out(vocabulary: Vocabulary) -> None:
    said = "REM sleep. Gamma bursts prevail. Central apnea."
    assert vocabulary.decode(vocabulary.encode_caption({"brain": said})[0].tolist()[1:]) == "REM sleep. Central apnea."
    for room, fits in ((4, ""), (5, "REM sleep."), (7, "REM sleep."), (8, "REM sleep. Central apnea.")):
        short = vocabulary.encode_caption({"brain": said}, max_words=room)[0].tolist()
        assert vocabulary.decode(short[1:]) == fits
        assert END in short


def test_ten_captions_are_learnt_by_heart(vocabulary: Vocabulary) -> None:
    decoder = decoder_for(len(vocabulary.words))
    tokens, there = inputs(len(CAPTIONS))
    ids = torch.stack([vocabulary.encode_caption(caption, max_words=20) for caption in CAPTIONS])
    adam = torch.optim.Adam(decoder.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        scores = decoder(ids[..., :-1], tokens, there)
        loss = caption_cross_entropy(scores.flatten(0, 1), ids[..., 1:].flatten(0, 1), pad=PAD)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 < 4 < losses[0]
    said = ids[..., 1:] != PAD
    with torch.no_grad():
        assert torch.equal(decoder.eval()(ids[..., :-1], tokens, there).argmax(-1)[said], ids[..., 1:][said])
    written = generate(decoder, vocabulary.words, tokens, there)
    assert written == [{part: text.strip() for part, text in caption.items()} for caption in CAPTIONS]


def test_writing_with_the_cache_is_the_argmax_of_the_whole(vocabulary: Vocabulary) -> None:
    decoder = decoder_for(100, seed=7).eval()
    with torch.no_grad():
        for weight in decoder.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.5)  # as it starts, a word is followed by itself
        decoder.word.weight[END] *= 3  # some captions end before others
    tokens, there = inputs(3)
    parts = ("stage_event", "brain")
    starts = torch.tensor([vocabulary.start(part) for part in parts])
    written = decoder.write(starts, tokens, there)
    slow = starts.expand(3, 2)[..., None]
    for _ in range(decoder.max_words - 1):
        best = decoder(slow, tokens, there)[:, :, -1, 1:].argmax(-1) + 1
        ended = (slow[..., 1:] == END).any(-1)
        slow = torch.cat([slow, best.masked_fill(ended, PAD)[..., None]], -1)
    assert written.shape[2] > 4
    assert torch.equal(written, slow[..., : written.shape[2]])
    assert len(written.flatten().unique()) > 10
    assert 0 < (written == END).any(-1).sum() < 6
    alone = torch.cat([decoder.write(starts[1:], tokens[2:], there[2:])[0, 0], torch.zeros(40, dtype=torch.long)])
    assert torch.equal(alone[: written.shape[2]], written[2, 1])


def test_a_token_that_is_not_there_has_no_influence(vocabulary: Vocabulary) -> None:
    decoder = decoder_for(len(vocabulary.words)).eval()
    tokens, there = inputs(4)
    there[3] = False
    ids = torch.stack([vocabulary.encode_caption(caption, max_words=20) for caption in CAPTIONS[:4]])
    before = decoder(ids, tokens, there)
    assert before.isfinite().all()
    after = decoder(ids, torch.where(there[..., None], tokens, 1e3), there)
    assert torch.equal(before, after)
    assert not torch.equal(before[:3], decoder(ids, torch.where(there[..., None], -tokens, tokens), there)[:3])


def test_a_word_does_not_see_those_after_it(vocabulary: Vocabulary) -> None:
    decoder = decoder_for(len(vocabulary.words)).eval()
    tokens, there = inputs(1)
    ids = vocabulary.encode_caption(CAPTIONS[0], max_words=12)[None]
    changed = ids.clone()
    changed[..., 3:] = vocabulary.start("heart")
    first, second = decoder(ids, tokens, there), decoder(changed, tokens, there)
    assert torch.allclose(first[:, :, :3], second[:, :, :3], atol=1e-6)
    assert not torch.allclose(first[:, :, 3:], second[:, :, 3:], atol=1e-3)


@pytest.mark.parametrize(("rows", "length"), [(0, 5), (2, 0)])
def test_nothing_to_learn_is_a_loss_of_zero(vocabulary: Vocabulary, rows: int, length: int) -> None:
    decoder = decoder_for(len(vocabulary.words))
    tokens, there = inputs(rows)
    scores = decoder(torch.full((rows, len(PARTS), length), PAD), tokens.requires_grad_(), there)
    loss = caption_cross_entropy(scores.flatten(0, 1), torch.full((rows * len(PARTS), length), PAD), pad=PAD)
    loss.backward()
    assert loss == 0
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in decoder.parameters())
