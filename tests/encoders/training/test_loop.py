"""Training end to end: a kill changes nothing, several processes are one, and what comes out is an encoder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from encoders.errors import BadInput
from encoders.models import load_encoder
from encoders.training.config import Objectives, Optimiser, Schedule, TrainConfig
from encoders.training.journal import read_log
from encoders.training.loop import Trained, done_of, rate_of, train
from encoders.training.state import CHECKPOINT
from encoders.training.texts import SentenceBank

ROOT = Path(__file__).resolve().parents[3]
SIZES = {"width": 16, "patch_width": 8, "heads": 2, "layers": 1, "text_width": 16, "dim": 8}
STEPS = 6
Runs = Callable[..., Trained]


@pytest.fixture
def config(tiny_cache: Path) -> TrainConfig:
    return TrainConfig.of(
        {
            "data": {"cache": [str(tiny_cache)], "validation_share": 0.2},
            "model": {"sizes": SIZES},
            "objectives": {"sigmoid": 0.1, "masked": 0.1, "dash": 0.1},
            "sampling": {"balance": 4},
            "schedule": {"steps": STEPS, "batch": 12},
            "run": {
                "device": "cpu",
                "dtype": "float32",
                "log_steps": 1,
                "checkpoint_seconds": 0.0,
                "tensorboard": False,
            },
        }
    )


@pytest.fixture
def run(tiny_bank: SentenceBank) -> Runs:
    return lambda config, out, **more: train(config, out, bank=tiny_bank, **more)


def same(a: Path, b: Path, atol: float = 0.0) -> None:
    """The moving averages and the weights of two runs."""
    for part in ("model", "average"):
        one, two = (torch.load(folder / CHECKPOINT)[part] for folder in (a, b))
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(one[name], two[name], rtol=0, atol=atol)


def in_a_process(tmp_path: Path, config: TrainConfig, bank: SentenceBank, out: Path, then: str) -> list[str]:
    """The command of a program that trains so; `then` is what it does whenever losses are said."""
    config.write(tmp_path / "run.toml")
    np.savez(tmp_path / "bank.npz", vectors=bank.vectors)
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
import numpy as np
from encoders.training.config import TrainConfig
from encoders.training.loop import train
from encoders.training.texts import SentenceBank
from encoders.training.wordings import all_sentences
chosen = tuple(s for s in all_sentences() if s.kind != "unseen")[::10]
vectors = np.load({str(tmp_path / "bank.npz")!r})["vectors"]
bank = SentenceBank(chosen, np.stack([s.claim for s in chosen]), vectors)
said = []
def progress(losses, done, of):
    said.append(losses)
    {then}
train(TrainConfig.read(Path({str(tmp_path / "run.toml")!r})), Path({str(out)!r}), bank=bank, progress=progress)
"""
    )
    return [sys.executable, str(program)]


def alone(**more: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"} | more


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, config, run: Runs, tiny_bank) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order are other sums
    try:
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        run(config, whole)
        command = in_a_process(tmp_path, config, tiny_bank, killed, "if len(said) == 4: os.kill(os.getpid(), 9)")
        done = subprocess.run(command, env=alone(), capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (killed / "model.safetensors").exists()
        assert torch.load(killed / CHECKPOINT)["step"] == 3  # it was killed after the fourth, before that was kept
        said: list[str] = []
        trained = run(config, killed, progress=lambda losses, done, of: said.append(losses))
        assert trained.steps == STEPS and len(said) == 3
        same(whole, killed)
        lines = [[line["step"] for line in read_log(folder, "train")] for folder in (whole, killed)]
        assert lines[0] == lines[1] == [1, 2, 3, 4, 5, 6]
    finally:
        torch.set_num_threads(threads)


def test_ctrl_c_saves_between_two_steps(tmp_path: Path, config, run: Runs) -> None:
    slow = config.but({"run": {"checkpoint_seconds": 1e6}})
    said: list[str] = []

    def stop(losses: str, done: int, of: int) -> None:
        said.append(losses)
        if len(said) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(slow, tmp_path / "stopped", progress=stop)
    assert torch.load(tmp_path / "stopped" / CHECKPOINT)["step"] == 3  # asked in the second, answered after the next
    run(slow, tmp_path / "stopped")
    run(config, tmp_path / "whole")
    same(tmp_path / "whole", tmp_path / "stopped", atol=1e-6)


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path: Path, config, run: Runs, tiny_bank) -> None:
    plain = config.but(
        {
            "model": {"sizes": SIZES | {"dropout": 0.0}},
            "objectives": {"sigmoid": 0.0, "masked": 0.0, "dash": 0.0},
            "augmentation": dict.fromkeys(config.to_table()["augmentation"], 0.0),
        }
    )
    one = run(plain, tmp_path / "one")
    command = in_a_process(tmp_path, plain, tiny_bank, tmp_path / "two", "pass")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, *command[1:]], env=alone(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    single, shared = (read_log(tmp_path / name, "train") for name in ("one", "two"))
    assert shared[0]["gradient"] == pytest.approx(single[0]["gradient"], rel=1e-3)  # of the whole batch, once
    for mine, theirs in zip(single, shared, strict=True):
        assert theirs["contrastive"] == pytest.approx(mine["contrastive"], abs=5e-3)
    assert json.loads((tmp_path / "two" / "card.json").read_text())["runs_on"].endswith("2 processes")
    found = read_log(tmp_path / "two", "validation")[-1]["loss contrastive"]
    assert found == pytest.approx(one.figures["loss contrastive"], abs=5e-3)


def test_what_comes_out_is_an_encoder_that_learnt(tmp_path: Path, config, run: Runs) -> None:
    longer = config.but({"schedule": {"steps": 60}, "optimiser": {"lr": 0.01, "ema": 0.9}, "run": {"log_steps": 5}})
    trained = run(longer, tmp_path / "out")
    log = read_log(tmp_path / "out", "train")
    assert log[-1]["contrastive"] < 0.8 * log[0]["contrastive"]
    assert {"contrastive", "sigmoid", "masked", "dash", "loss", "lr", "epochs_per_s"} <= log[0].keys()
    assert {"loss contrastive", "loss dash", "stage macro-F1"} <= trained.figures.keys()
    encoder = load_encoder(f"trained:{tmp_path / 'out'}", device="cpu")
    assert encoder.embed_texts(["Deep sleep.", "Awake."]).shape == (2, SIZES["dim"])
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert encoder.trained_on == tuple(card["trained_on"]) and len(card["trained_on"]) == 4
    assert not set(card["trained_on"]) & set(card["data"]["kept_apart_subjects"])
    assert card["objectives"].keys() == {"contrastive", "sigmoid", "masked", "dash"} and card["steps"] == 60
    assert str(tmp_path) not in json.dumps(card)  # no folder of this machine
    assert TrainConfig.read(tmp_path / "out" / "train.toml") == longer.but({"sampling": {"bank": ""}})


def test_lora_moves_no_bias_and_leaves_a_plain_model(tmp_path: Path, config, run: Runs) -> None:
    run(config, tmp_path / "base")
    table = {"start": f"trained:{tmp_path / 'base'}", "adapt": "lora", "lora_rank": 2, "sizes": {}}
    run(config.but({"model": table}), tmp_path / "lora")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("base", "lora"))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.endswith("weight") and before[name].dim() == 2 for name in moved)
    card = json.loads((tmp_path / "lora" / "card.json").read_text())
    assert card["started_from"].startswith("trained:") and card["adapted"] == "lora"


def test_each_objective_can_be_trained_alone(tmp_path: Path, config, run: Runs) -> None:
    for name in Objectives.NAMES:
        weights = dict.fromkeys(Objectives.NAMES, 0.0) | {name: 1.0}
        sizes = SIZES | ({"decoder_layers": 1} if name == "caption" else {})
        alone = config.but({"objectives": weights, "model": {"sizes": sizes}, "schedule": {"steps": 2}})
        found = run(alone, tmp_path / name).figures
        assert [key for key in found if key.startswith("loss")] == [f"loss {name}"]
        assert np.isfinite(found[f"loss {name}"]) and found[f"loss {name}"] > 0


def test_a_folder_belongs_to_one_run(tmp_path: Path, config, run: Runs) -> None:
    short = config.but({"schedule": {"steps": 2}})
    run(short, tmp_path / "out")
    with pytest.raises(BadInput, match=r"optimiser\.lr = 0\.001, now 0\.01.*--no-resume"):
        run(short.but({"optimiser": {"lr": 0.01}}), tmp_path / "out")
    again = run(short.but({"optimiser": {"lr": 0.01}}), tmp_path / "out", resume=False)
    assert again.steps == 2 and len(read_log(tmp_path / "out", "train")) == 2


@pytest.mark.parametrize(
    ("start", "said"), [("hypnos", "possible are scratch"), ("trained:/nowhere", "no weights there")]
)
def test_a_start_that_is_none_says_what_is(tmp_path: Path, config, run: Runs, start: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run(config.but({"model": {"start": start, "sizes": {}}}), tmp_path / "out")


def test_a_log_is_written_without_tensorboard(tmp_path: Path, config, run: Runs, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run(config.but({"run": {"tensorboard": True}, "schedule": {"steps": 1}}), tmp_path / "out")
    assert len(read_log(tmp_path / "out", "train")) == 1 and not (tmp_path / "out" / "tensorboard").exists()


def test_the_first_limit_reached_ends_a_run() -> None:
    assert done_of(Schedule(steps=10), 5, 1e9) == 0.5
    assert done_of(Schedule(minutes=2.0), 5, 60.0) == 0.5
    assert done_of(Schedule(epochs_seen=100, batch=10), 5, 0.0) == 0.5
    assert done_of(Schedule(steps=10, minutes=1.0), 5, 60.0) == 1.0


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    chosen = Optimiser(lr=1.0, warm_up=0.1)
    rates = [rate_of(chosen, done) for done in np.linspace(0, 1, 101)]
    assert 0 < rates[0] < 0.02 and rates[10] == max(rates) == pytest.approx(1.0) and rates[-1] == pytest.approx(0.0)
    assert np.all(np.diff(rates[:11]) > 0) and np.all(np.diff(rates[10:]) < 0)
