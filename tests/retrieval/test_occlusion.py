"""What carries a likeness: stretches, what hiding does to a real tower, and checks against encoders that are known."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from encoders.models.small.config import SmallConfig
from encoders.models.small.inputs import prepare
from encoders.models.small.model import SmallModel
from encoders.recordings import Epochs, build_epochs
from encoders.recordings.timeline import Run
from encoders.vocabulary import CHANNELS, RATE_HZ
from retrieval import occlusion
from retrieval.occlusion import check_seconds, check_sensors, embed_hidden, tells_steps

STEPS = 15
C3, SPO2 = CHANNELS.index("EEG_C3"), CHANNELS.index("SPO2")
ALONG = np.array([1.0, 0.0], np.float32)


class Sleeper:
    """Two minutes of noise in the EEG, and an oximeter."""

    def runs(self, channel: str) -> list[Run]:
        wave = 20 * np.random.default_rng(4).standard_normal(120 * 128).astype(np.float32)
        known = {"EEG_C3": [Run(0.0, 128.0, wave)], "SPO2": [Run(0.0, 1.0, np.full(120, 96, np.float32))]}
        return known.get(channel, [])

    def flags(self, channel: str) -> list[Run]:
        return []

    def oximeter_status(self) -> list[Run]:
        return []


@pytest.fixture(scope="module")
def night() -> Epochs:
    return build_epochs(Sleeper(), np.arange(4) * 30.0)


@pytest.fixture(scope="module")
def tower() -> Any:
    """A tower of random weights."""
    torch.manual_seed(1)
    config = SmallConfig(dim=16, patch_width=8, width=16, heads=2, layers=1, text_width=16)
    return SimpleNamespace(model=SmallModel(config).eval(), channels=CHANNELS, embed_steps=None)


def louder(night: Epochs, from_s: float, to_s: float) -> Epochs:
    """The night with its EEG ten times as large in these seconds of each epoch."""
    assert night.signals is not None
    signals = night.signals.copy()
    signals[:, C3, int(from_s * RATE_HZ) : int(to_s * RATE_HZ)] *= 10
    return replace(night, signals=signals)


def test_what_is_hidden_does_not_reach_the_vector(night: Epochs, tower: Any) -> None:
    hide = np.zeros((4, STEPS), bool)
    hide[:, 4:7] = True  # 8 to 14 s; spectra look a second to each side, so 9 to 13 s is out of sight
    plain, changed = (embed_hidden(tower, epochs, hide) for epochs in (night, louder(night, 9.5, 12.5)))
    np.testing.assert_allclose(plain, changed, atol=1e-5)
    assert np.abs(plain - embed_hidden(tower, louder(night, 20, 23), hide)).max() > 1e-3


def test_nothing_hidden_is_the_vector_itself(night: Epochs, tower: Any) -> None:
    inputs = prepare(night)
    with torch.inference_mode():
        whole = tower.model.embed_signals(
            torch.from_numpy(inputs.x),
            torch.from_numpy(inputs.present),
            torch.from_numpy(inputs.night).expand(4, -1, -1),
        )
    np.testing.assert_allclose(embed_hidden(tower, night, np.zeros((4, STEPS), bool)), whole.numpy(), atol=1e-5)
    assert tells_steps(tower) and not tells_steps(SimpleNamespace(channels=CHANNELS))  # type: ignore[arg-type]


def test_seconds_that_carry_the_score_cost_more_than_others(night: Epochs, monkeypatch: pytest.MonkeyPatch) -> None:
    worth = np.zeros(STEPS)
    worth[5:7] = 1.0  # 10 to 14 s
    asked: list[np.ndarray] = []

    def seen(_: Any, epochs: Epochs, hide: np.ndarray) -> np.ndarray:
        asked.append(hide)
        return np.stack([(~hide * worth).sum(axis=1), np.zeros(len(epochs))], axis=1).astype(np.float32)

    monkeypatch.setattr(occlusion, "embed_hidden", seen)
    spans = np.array([[10.0, 14.0], [0.0, 4.0], [0.0, 30.0], [8.0, 16.0]])
    found = check_seconds(SimpleNamespace(), night, spans, ALONG, STEPS)  # type: ignore[arg-type]
    assert found.checked.tolist() == [True, True, False, True]  # a whole epoch leaves no room
    assert found.lowers.tolist() == [True, False, True]
    assert found.named.tolist() == [0.0, 2.0, 0.0, 0.0]
    for hide in asked[1:]:  # as many seconds, and none of those named
        assert hide[[0, 1, 3]].sum(axis=1).tolist() == [2, 2, 4] and not (hide & asked[0])[[0, 1, 3]].any()


class OfOneSensor:
    """Its score is the mean oxygen saturation where there is an oximeter, and a little for any other sensor."""

    channels = CHANNELS

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        other = epochs.present.sum(axis=1) - epochs.present[:, SPO2]
        return np.stack([epochs.present[:, SPO2] + 0.1 * (other > 0), other * 0], axis=1).astype(np.float32)


def test_the_sensor_that_carries_the_score_is_named_and_its_loss_costs_most(night: Epochs) -> None:
    found = check_sensors(OfOneSensor(), night, ALONG)  # type: ignore[arg-type]
    oximeter, brain = found.modalities.index("SpO2"), found.modalities.index("EEG")
    assert found.named.tolist() == [oximeter] * 4 and found.lowers.all() and found.checked.all()
    assert found.alone[0, oximeter] == pytest.approx(1.0) and found.alone[0, brain] == pytest.approx(0.1)
    assert found.drop[0, oximeter] == pytest.approx(1.0) and found.drop[0, brain] == pytest.approx(0.1)
    assert np.isnan(found.alone[:, found.modalities.index("belts")]).all()  # what is not there carries nothing


def test_with_one_sensor_alone_there_is_nothing_to_compare(night: Epochs) -> None:
    signals, present = night.signals.copy(), night.present.copy()  # type: ignore[union-attr]
    signals[:, C3], present[:, C3] = 0.0, False
    found = check_sensors(OfOneSensor(), replace(night, signals=signals, present=present), ALONG)  # type: ignore[arg-type]
    assert not found.checked.any() and len(found.lowers) == 0 and found.modalities[int(found.named[0])] == "SpO2"
