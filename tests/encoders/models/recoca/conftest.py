"""A model of width 8 whose weights come from a formula, so that no checkpoint file is needed."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.models.recoca import ReCoCa, ReCoCaConfig
from encoders.models.recoca.checkpoint import empty_model, load_checkpoint
from encoders.models.recoca.model import PARTS
from tests.encoders.models.conftest import CONFIG


def weight(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Uniform numbers from a generator keyed by the parameter's name, sized so that every layer matters."""
    if "channel_attention.rotary_emb" in key:
        key = "biosignals.shared_channel_rope.freqs"
    drawn = np.random.RandomState(zlib.crc32(key.encode())).random_sample(shape) * 2 - 1
    if key.endswith("weight") and len(shape) == 1:
        drawn = 1 + 0.4 * drawn
    elif len(shape) > 1 and "embedding" not in key:
        drawn *= (3 / shape[0 if "text_projection" in key else -1]) ** 0.5 * 1.5
    return torch.from_numpy(np.asarray(drawn, np.float32))


@pytest.fixture(scope="session")
def config() -> ReCoCaConfig:
    return ReCoCaConfig.from_dict(CONFIG)


@pytest.fixture(scope="session")
def state(config: ReCoCaConfig) -> dict[str, torch.Tensor]:
    from encoders.models.recoca.signal_tower import Rotary

    model = empty_model(config, PARTS)
    made = {key: weight(key, tuple(value.shape)) for key, value in model.state_dict().items()}
    made |= {key: Rotary(2 * len(value), learned=False).freqs for key, value in made.items()
             if ".temporal_attention_layers." in key and key.endswith("freqs")}  # fmt: skip
    return made


@pytest.fixture(scope="session")
def checkpoint(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.pt"
    torch.save({"epoch": 1, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    return path


@pytest.fixture(scope="session")
def model(checkpoint: Path, config: ReCoCaConfig) -> ReCoCa:
    return load_checkpoint(checkpoint, config, PARTS)


@pytest.fixture(scope="session")
def signals() -> torch.Tensor:
    """Three epochs: noise, noise with two channels missing, slow waves; positions supine, unknown, right."""
    made = np.random.RandomState(5).standard_normal((3, 10, 1920)).astype(np.float32)
    made[1, [1, 5]] = 0
    made[2, :9] = np.sin(np.arange(1920) / 7, dtype=np.float32)
    made[:, 9] = np.array([[2], [-1], [0]])
    return torch.from_numpy(made)
