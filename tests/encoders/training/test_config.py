"""A training configuration: what is written is read again, and a slip is named with what was meant."""

import tomllib
from pathlib import Path

import pytest

from encoders.errors import BadInput
from encoders.training.config import TrainConfig, example, preset

ENOUGH = {"data": {"cache": ["a"]}, "schedule": {"steps": 5}}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    sizes = {"width": 32, "heads": 4, "patch_width": 16}
    config = TrainConfig.of({**ENOUGH, "model": {"sizes": sizes}, "run": {"device": "cpu"}})
    config.write(tmp_path / "run.toml")
    read = TrainConfig.read(tmp_path / "run.toml")
    assert read.data.cache == (str(tmp_path / "a"),)
    assert read.but({"data": {"cache": ["a"]}}) == config
    assert read.small.width == 32 and read.small.layers == TrainConfig().small.layers


def test_paths_are_those_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        '[data]\ncache = ["near", "/far"]\nsubjects = "people.csv"\n[model]\nstart = "trained:old"\n'
    )
    config = TrainConfig.read(tmp_path / "run.toml")
    assert config.data.cache == (str(tmp_path / "near"), "/far")
    assert config.data.subjects == str(tmp_path / "people.csv") and config.data.validation == ()
    assert config.model.start == f"trained:{tmp_path / 'old'}"


def test_the_example_names_every_key_and_can_be_run() -> None:
    table = tomllib.loads(example())
    config = TrainConfig.of(table)
    config.check()
    assert {k: set(v) for k, v in table.items()} == {k: set(v) for k, v in TrainConfig().to_table().items()}
    changed = [k for k in table if table[k] != TrainConfig().to_table()[k]]
    assert changed == ["data", "schedule"]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_preset_lacks_its_data_alone(name: str) -> None:
    preset(name).but({"data": {"cache": ["a"]}}).check()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"optimizer": {}}, "'optimiser'"),
        ({"optimiser": {"lrr": 1.0}}, "'lr'"),
        ({"optimiser": {"lr": "fast"}}, "optimiser.lr = 'fast': expected a number"),
        ({"schedule": {"steps": 2.5}}, "schedule.steps = 2.5: expected a whole number"),
        ({"run": {"tensorboard": 1}}, "expected true or false"),
        ({"data": {"cache": "a"}}, "expected a list of texts"),
        ({"data": {"validation_share": 2}}, "possible is 0 to 0.9"),
        ({"model": {"adapt": "lroa"}}, "possible are full, lora"),
        ({"run": 3}, "a section is written [run]"),
        ({"model": {"sizes": {"widht": 3}}}, "'width'"),
        ({"model": {"sizes": {"width": 30}}}, "must divide"),
        ({"model": {"sizes": {"layers": 0}}}, "at least 1"),
        ({"model": {"adapt": "lora"}}, "trained weights"),
        ({"model": {"start": "trained:x", "sizes": {"width": 8}}}, "leave them out"),
        ({"objectives": {"caption": 1.0}}, "decoder_layers"),
        ({"objectives": {"contrastive": 0, "masked": 0, "dash": 0}}, "all weights are 0"),
        ({"schedule": {"steps": 0}}, "no end"),
        ({"data": {"cache": []}}, "nothing to train on"),
    ],
)
def test_a_slip_is_named(table: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as wrong:
        TrainConfig.of(ENOUGH).but(table).check()
    assert said in str(wrong.value)


def test_a_file_that_is_no_toml_says_so(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[data\n")
    with pytest.raises(BadInput, match="--example"):
        TrainConfig.read(tmp_path / "run.toml")


def test_a_preset_that_is_none_names_those_that_are() -> None:
    with pytest.raises(BadInput, match="cpu, gpu"):
        preset("tpu")
