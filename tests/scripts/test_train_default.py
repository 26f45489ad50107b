"""The recipe of the default encoder: its nights are made once, and what is counted of them renewed without them."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from encoders.errors import BadInput
from encoders.training.config import TrainConfig, preset
from encoders.training.store import EpochStore

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import train_default


def test_nights_counted_by_another_version_are_renewed_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached() -> EpochStore:
        train_default.simulate_cached(tmp_path, 7, 1, 0.25, 1, ("clinic",))
        return EpochStore(tmp_path)

    bits = cached().bits
    monkeypatch.setattr(train_default, "simulate", None)
    (folder,) = EpochStore(tmp_path).folders
    row = json.loads((folder / "row.json").read_text())
    (folder / "row.json").write_text(json.dumps(row | {"facts": "of another version"}))
    np.save(folder / "bits.npy", np.zeros_like(bits))
    assert np.array_equal(cached().bits, bits)
    (folder / "facts.parquet").write_bytes(b"broken")
    (folder / "row.json").write_text(json.dumps(row | {"facts": "of another version"}))
    with pytest.raises(BadInput, match=rf"{folder.name}.*delete {tmp_path}"):
        cached()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_weights_that_are_there_are_trained_on_gently_and_a_limit_of_time_is_the_only_one(
    name: str, tmp_path: Path
) -> None:
    def configured(**given: object) -> TrainConfig:
        args = {"real": None, "start": "scratch", "seed": 50001, "minutes": None} | given
        config = train_default.configured(preset(name), argparse.Namespace(**args), tmp_path)
        config.check()
        return config

    recipe, started = configured(), configured(start="sleepsearch-small", seed=7, minutes=5.0)
    assert recipe.model.start == "scratch" and recipe.objectives.steps and recipe.sampling.nights
    assert started.model.start == "sleepsearch-small" and not started.model.sizes and started.run.seed == 7
    assert started.optimiser.lr < recipe.optimiser.lr
    assert (started.schedule.minutes, started.schedule.epochs_seen, started.schedule.steps) == (5.0, 0, 0)
