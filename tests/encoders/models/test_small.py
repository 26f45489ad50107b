"""Our own encoder: what it reads, that absent sensors say nothing, and what its folders must hold."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.errors import BadInput
from encoders.models import load_encoder
from encoders.models.small.config import SmallConfig
from encoders.models.small.decoder import caption_words
from encoders.models.small.inputs import KNOWN, NIGHT, POWERS, SPREAD, prepare
from encoders.models.small.model import SmallModel
from encoders.models.small.patches import (
    EPOCH_EDGES_HZ,
    EPOCH_FEATURES,
    LAGS,
    PATCH_EDGES_HZ,
    PATCH_FEATURES,
    epoch_features,
    patch_features,
)
from encoders.models.small.small import CARD, CONFIG, WEIGHTS, Small, save_model
from encoders.models.small.text import grouped, sentences_of
from encoders.recordings import Epochs, build_epochs
from encoders.recordings.quality import DOUBT
from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES, RATE_HZ

C3, SPO2, HR, ECG, POS = (CHANNELS.index(c) for c in ("EEG_C3", "SPO2", "HR", "ECG", "POS"))
TINY = SmallConfig(dim=16, patch_width=8, width=16, heads=2, layers=1, text_width=16)


class Sleeper:
    """A recording of noise in two channels, six minutes of it, with an oximeter that falls from 97 to 85 %."""

    def __init__(self, gain: float = 1.0) -> None:
        rng = np.random.default_rng(4)
        wave = gain * 20 * rng.standard_normal(360 * 128).astype(np.float32)
        self._runs = {
            "EEG_C3": [Run(0.0, 128.0, wave)],
            "SPO2": [Run(0.0, 1.0, np.where(np.arange(360) < 180, 97, 85).astype(np.float32))],
        }

    def runs(self, channel: str) -> Sequence[Run]:
        return self._runs.get(channel, [])

    def flags(self, channel: str) -> Sequence[Run]:
        return []

    def oximeter_status(self) -> Sequence[Run]:
        return []


def night(gain: float = 1.0) -> Epochs:
    return build_epochs(Sleeper(gain), np.arange(12) * 30.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of random weights with its configuration and card."""
    found = tmp_path_factory.mktemp("small")
    torch.manual_seed(1)
    save_model(SmallModel(TINY), found, {"trained_on": ["nobody"]})
    return found


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Small:
    found = load_encoder(f"trained:{folder}", device="cpu", dtype="float32")
    assert isinstance(found, Small)
    return found


def test_a_waveform_counts_in_units_of_its_night_whose_microvolts_stand_beside_it() -> None:
    one, twice = prepare(night()), prepare(night(gain=2.0))
    np.testing.assert_allclose(one.x[:, C3], twice.x[:, C3], atol=1e-4)
    assert one.x[:, C3].std() == pytest.approx(1, abs=0.05)
    assert twice.night[C3, SPREAD] - one.night[C3, SPREAD] == pytest.approx(np.log10(2), abs=1e-3)
    np.testing.assert_allclose(one.night[C3, POWERS:], twice.night[C3, POWERS:], atol=1e-3)


def test_a_doubtful_unit_has_no_microvolts() -> None:
    epochs = night()
    doubted = replace(epochs, notes={"EEG_C3": f"{DOUBT}: microvolts from nowhere"})
    assert doubted.doubted == {"EEG_C3"}
    assert prepare(epochs).night[C3, SPREAD] != 0
    assert prepare(doubted).night[C3, SPREAD] == 0


def test_saturation_is_never_scaled_by_the_night() -> None:
    x = prepare(night()).x[:, SPO2]
    np.testing.assert_allclose([x[0].mean(), x[-1].mean()], [(97 - 95) / 5, (85 - 95) / 5], atol=1e-5)


def test_what_is_absent_is_zero_and_its_night_unknown() -> None:
    inputs = prepare(night())
    absent = [c for c in range(12) if c not in (C3, SPO2)]
    assert not inputs.x[:, absent].any()
    assert not inputs.night[absent].any()
    assert inputs.night[[C3, SPO2], KNOWN].tolist() == [1, 1]
    assert np.isfinite(inputs.night).all()


def test_white_noise_has_log_power_zero_in_every_band() -> None:
    x = torch.randn(64, 12, EPOCH_SAMPLES, generator=torch.Generator().manual_seed(0))
    patches, whole = patch_features(x), epoch_features(x)
    assert patches.shape == (64, 12, 15, PATCH_FEATURES)
    assert whole.shape == (64, 12, EPOCH_FEATURES)
    # The mean of the logarithm of a chi-squared lies below that of its mean by Euler's constant, the most for one bin.
    assert -0.3 < float(patches[..., : len(PATCH_EDGES_HZ) - 1].mean()) < 0
    assert -0.3 < float(whole[..., : len(EPOCH_EDGES_HZ) - 1].mean()) < 0


def test_a_rhythm_stands_out_in_its_own_band() -> None:
    time_s = torch.arange(EPOCH_SAMPLES) / RATE_HZ
    x = torch.zeros(1, 12, EPOCH_SAMPLES)
    x[0, C3] = torch.sin(2 * math.pi * 13.25 * time_s)
    found = patch_features(x)[0, C3, 7, : len(PATCH_EDGES_HZ) - 1]
    band = int(found.argmax())
    assert PATCH_EDGES_HZ[band] <= 13.25 < PATCH_EDGES_HZ[band + 1]


def test_the_beat_of_an_ecg_shows_at_its_interval() -> None:
    x = torch.zeros(1, 12, EPOCH_SAMPLES)
    x[0, ECG, :: int(RATE_HZ)] = 10.0  # sixty a minute
    levels = EPOCH_FEATURES - 8
    beat = epoch_features(x)[0, ECG, len(EPOCH_EDGES_HZ) - 1 : levels]
    lag = int(beat[8:].argmax()) + 8 + LAGS[0]  # past the tail of lag zero
    assert lag in (32, 64)  # one second, or two


def test_an_absent_sensor_says_nothing_whatever_its_samples_are() -> None:
    torch.manual_seed(0)
    tower = SmallModel(TINY).signals.eval()
    x, known = torch.randn(3, 12, EPOCH_SAMPLES), torch.randn(3, 12, NIGHT)
    present = torch.ones(3, 12, dtype=torch.bool)
    present[:, [C3, HR]] = False
    other = x.clone()
    other[:, [C3, HR]] = torch.randn(3, 2, EPOCH_SAMPLES) * 100
    with torch.no_grad():
        one, two = tower(x, present, known), tower(other, present, known)
        all_there = tower(x, torch.ones_like(present), known)
    torch.testing.assert_close(one.vector, two.vector)
    torch.testing.assert_close(one.steps, two.steps)
    assert not torch.allclose(one.vector, all_there.vector, atol=1e-3)
    assert not one.there[:, [15 + C3, 15 + HR]].any()


def test_an_epoch_without_any_sensor_is_a_number_and_embeds_as_zero(encoder: Small) -> None:
    epochs = night()
    epochs.present[2] = False
    found = encoder.embed_epochs(epochs)
    assert np.isfinite(found).all()
    assert not found[2].any()
    np.testing.assert_allclose(np.linalg.norm(found[[0, 1, 3]], axis=1), 1, rtol=1e-5)


def test_hidden_patches_are_told_from_the_rest_alone() -> None:
    torch.manual_seed(0)
    tower = SmallModel(TINY).signals.eval()
    x, known, present = (
        torch.randn(2, 12, EPOCH_SAMPLES),
        torch.randn(2, 12, NIGHT),
        torch.ones(2, 12, dtype=torch.bool),
    )
    hide = torch.zeros(2, 12, 15, dtype=torch.bool)
    hide[:, C3, 6:9] = True
    other = x.clone()
    other[:, C3, 7 * 128 : 8 * 128] = 5 * torch.randn(2, 128)  # inside the middle one of the hidden
    with torch.no_grad():
        one, two = tower(x, present, known, hide), tower(other, present, known, hide)
    assert one.predicted is not None
    assert two.predicted is not None
    torch.testing.assert_close(one.predicted[:, C3, 7], two.predicted[:, C3, 7])
    assert not torch.allclose(one.features[:, C3, 7], two.features[:, C3, 7])


def test_an_epoch_embeds_the_same_alone_in_a_slice_and_in_its_night(encoder: Small) -> None:
    epochs = night()
    whole = encoder.embed_epochs(epochs)
    alone = build_epochs(Sleeper(), np.array([150.0]))
    np.testing.assert_allclose(encoder.embed_epochs(epochs[3:7]), whole[3:7], atol=1e-5)
    np.testing.assert_allclose(encoder.embed_epochs(alone)[0], whole[5], atol=1e-5)
    assert encoder.embed_steps(epochs).shape == (12, 15, TINY.dim)


def test_texts_are_split_at_sentences_not_at_numbers() -> None:
    assert sentences_of("SpO2 fell to 88.5 %. REM sleep; snoring") == ["SpO2 fell to 88.5 %.", "REM sleep;", "snoring"]
    assert sentences_of("") == [""]
    assert grouped(["One. Two.", "Three"]) == (["One.", "Two.", "Three"], [0, 0, 1])


def test_sentences_of_a_text_come_in_any_order_and_others_beside_it_do_not_matter(encoder: Small) -> None:
    a, b, c = encoder.embed_texts(["Deep sleep. Snoring.", "Snoring. Deep sleep.", "Wakefulness."])
    np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(encoder.embed_texts(["Wakefulness."])[0], c, atol=1e-5)
    assert np.linalg.norm(c) == pytest.approx(1)
    assert encoder.embed_texts([]).shape == (0, TINY.dim)


def test_a_folder_is_an_encoder_with_a_space_and_a_past(encoder: Small, folder: Path) -> None:
    assert encoder.trained_on == ("nobody",)
    assert encoder.space.startswith("trained-")
    assert encoder.channels == CHANNELS
    assert load_encoder(encoder.name).space == encoder.space
    assert encoder.describe(night()[:2]) == [{}, {}]


def test_a_folder_that_lacks_a_file_or_fits_not_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=WEIGHTS):
        load_encoder(f"trained:{tmp_path}")
    for file in (WEIGHTS, CARD, CONFIG):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    table = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(table | {"layers": 2}))
    with pytest.raises(BadInput, match=r"signals\.layers\.1"):
        _ = Small(f"trained:{tmp_path}").model
    (tmp_path / CONFIG).write_text(json.dumps(table | {"depth": 2}))
    with pytest.raises(BadInput, match="depth"):
        load_encoder(f"trained:{tmp_path}")
    (tmp_path / CONFIG).write_text(json.dumps(table | {"inputs": 0}))
    with pytest.raises(BadInput, match="version 0"):
        load_encoder(f"trained:{tmp_path}")


def test_nothing_is_generated_about_sensors_that_are_not_there(tmp_path: Path) -> None:
    torch.manual_seed(2)
    save_model(SmallModel(replace(TINY, decoder_layers=1, words=caption_words())), tmp_path, {})
    found = Small(f"trained:{tmp_path}", device="cpu", dtype="float32").describe(night()[:2])
    assert [set(captions) for captions in found] == [{"brain", "heart", "stage_event"}] * 2
    with pytest.raises(BadInput, match="weather"):
        Small(f"trained:{tmp_path}").describe(night()[:1], ["weather"])
