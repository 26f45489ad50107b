"""SleepLM trained on: it hears and reads what its encoder does, learns, and comes out as an encoder."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from encoders.errors import BadInput
from encoders.models import load_encoder
from encoders.models.recoca import ReCoCa, ReCoCaConfig
from encoders.models.recoca.checkpoint import load_checkpoint, open_state
from encoders.models.recoca.config import SOT
from encoders.models.recoca.model import PARTS
from encoders.models.sleeplm import READS, WEIGHTS, SleepLM, normalised
from encoders.models.small.inputs import FLOOR, POWERS, TAILS, WAVES
from encoders.recordings import build_epochs, epoch_grid, open_recording
from encoders.simulation import simulate
from encoders.training.cache import build_cache
from encoders.training.config import TrainConfig
from encoders.training.facts import INDEX, SLOTS
from encoders.training.journal import read_log
from encoders.training.loop import Trained, train
from encoders.training.sleeplm import START, SleepLMModel, SpokenTokens, joined, token_ids
from encoders.training.start import start_of
from encoders.training.state import CHECKPOINT, make_optimiser
from encoders.training.store import EpochStore
from encoders.training.texts import SentenceBank
from tests.encoders.models.conftest import CONFIG
from tests.encoders.training.test_loop import alone, in_a_process, same

WIDTH = 16  # the least that LoRA takes
Runs = Callable[..., Trained]


def weights(folder: Path, *, rebuilds: bool = True) -> Path:
    """A checkpoint of chance with its configuration beside it."""
    table = json.loads(json.dumps(CONFIG)) | {"embed_dim": 12}
    for part, width in (("biosignals_cfg", "transformer_width"), ("text_cfg", "width"), ("multimodal_cfg", "width")):
        table[part][width] = WIDTH
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = ReCoCa(ReCoCaConfig.from_dict(table), PARTS if rebuilds else PARTS[:3])
        torch.nn.init.normal_(model.text.cls_emb, std=0.1)
        torch.nn.init.normal_(model.text.positional_embedding, std=0.01)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}}, folder / "a.pt")
    (folder / "a_config.json").write_text(json.dumps(table))
    return folder / "a.pt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weights(tmp_path_factory.mktemp("sleeplm"))


@pytest.fixture
def config(tiny_cache: Path, checkpoint: Path) -> TrainConfig:
    return TrainConfig.of(
        {
            "data": {"cache": [str(tiny_cache)], "validation_share": 0.2},
            "model": {"start": f"sleeplm:{checkpoint}"},
            "objectives": {"contrastive": 1.0, "sigmoid": 0.1, "caption": 0.1, "masked": 0.1, "dash": 0.0},
            "sampling": {"balance": 4, "texts_per_epoch": 1},
            "schedule": {"steps": 3, "batch": 6},
            "run": {"device": "cpu", "dtype": "float32", "log_steps": 1, "checkpoint_seconds": 0.0,
                    "tensorboard": False},
        }
    )  # fmt: skip


@pytest.fixture
def run(tiny_bank: SentenceBank) -> Runs:
    return lambda config, out, **more: train(config, out, bank=tiny_bank, **more)


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> SleepLM:
    found = load_encoder(f"sleeplm:{checkpoint}", device="cpu", dtype="float32")
    assert isinstance(found, SleepLM)
    return found


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> SleepLMModel:
    return SleepLMModel(load_checkpoint(checkpoint, ReCoCaConfig.read(checkpoint.with_name("a_config.json")), PARTS))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    simulate(folder, nights=1, seed=612, sites=("clinic",), hours=0.25)
    return folder


def spread(x: torch.Tensor) -> torch.Tensor:
    """Between the quartiles of each channel; clipping leaves it alone."""
    low, high = x.transpose(0, 1).flatten(1).quantile(torch.tensor([0.25, 0.75]), dim=1)
    return high - low


def test_a_cached_epoch_is_heard_as_its_encoder_hears_it(
    night: Path, tmp_path: Path, encoder: SleepLM, model: SleepLMModel
) -> None:
    build_cache([night], tmp_path)
    with pytest.raises(BadInput, match=r"without SleepLM's inputs; name the recordings in data\.sources"):
        EpochStore(tmp_path, sleeplm=True)
    assert build_cache([night], tmp_path, sleeplm=True).skipped == 0  # what it lacked is made
    assert build_cache([night], tmp_path, sleeplm=True).skipped == build_cache([night], tmp_path).skipped == 1
    plain, store = EpochStore(tmp_path), EpochStore(tmp_path, sleeplm=True)
    recording = open_recording([next(night.glob("*.edf"))])
    epochs = build_epochs(recording, epoch_grid(recording.duration_s))
    batch, robust = store.batch(range(len(store))), plain.batch(range(len(store)))
    assert not batch.present[:, len(READS) :].any() and (batch.present <= robust.present).all()
    expected = normalised(epochs)
    heard = torch.where(batch.present[:, : len(READS), None], batch.x[:, : len(READS)], 0)
    there = epochs.present[:, : len(READS)]
    assert np.abs(heard.numpy() - np.where(there[..., None], expected, 0)).max() < 0.005  # half precision of up to 6
    vectors = model.eval().embed_signals(batch.x, batch.present, batch.night).detach().numpy()
    assert (vectors * encoder.embed_epochs(epochs)).sum(1).min() > 0.9999
    # What augmentation reads of the night is in the same units as the waveform.
    waves = [c for c in WAVES if robust.present[:, c].all()]
    ratio = spread(robust.x[:, waves]) / spread(batch.x[:, waves])
    tails = robust.night[0, waves, TAILS]
    assert torch.allclose(ratio.log10(), tails, atol=0.005) and (tails > 0.02).any()
    before, after = (each.night[0, waves, POWERS:] for each in (robust, batch))
    off = before - after - 2 * tails[:, None]
    assert (
        off[after > FLOOR].abs().max() < 1e-4
        and (after > FLOOR).any(1).all()
        and not batch.night[:, waves, TAILS].any()
    )


def test_what_its_sensors_do_not_tell_is_not_known(night: Path, tmp_path: Path) -> None:
    build_cache([night], tmp_path, sleeplm=True)
    plain, store = EpochStore(tmp_path), EpochStore(tmp_path, sleeplm=True)
    names = [slot.name for slot in SLOTS]
    lost = {names[slot] for slot in np.flatnonzero((plain.bits != store.bits).any(0))}
    assert "spo2_min_pct" in lost and all(name.startswith(("spo2", "snor")) for name in lost), lost
    assert (store.bits[:, INDEX["stage"]] == plain.bits[:, INDEX["stage"]]).all()


def test_texts_and_captions_are_read_as_its_encoder_reads_them(encoder: SleepLM, model: SleepLMModel) -> None:
    texts = ["Deep sleep.", joined(["REM sleep", "No arousal."])]
    assert texts[1] == "REM sleep. No arousal." and joined(["deep sleep"]) == "deep sleep"
    found = model.eval().texts(token_ids(texts), torch.arange(2), 2).detach().numpy()
    assert np.allclose(found, encoder.embed_texts(texts), atol=1e-5)
    ids = SpokenTokens().encoded({"brain": "Slow waves.", "heart": "", "stage_event": "Stage N3. An arousal."})[None]
    start = [START, START + 1, 0, 0, START + 4]
    assert ids[0, :, 0].tolist() == start  # "" is silence, a part that is not there is unknown
    x = torch.randn(1, 12, 1920)
    heard = model.signals(x, torch.ones(1, 12, dtype=torch.bool), x)
    short = ids[..., : int((ids > 0).sum(-1).max())]
    scores = model.decoder(short[..., :-1], heard.tokens, heard.there)
    assert not scores[0, 2:4].any()
    for part in (0, 1, 4):  # the model's own forward takes one caption of full length
        said = torch.cat([torch.tensor([[SOT]]), ids[:, part, 1:]], 1)
        expected = model.recoca(x[:, :10].clamp(-6, 6), said, torch.tensor([[part, -1]])).logits
        assert torch.allclose(scores[0, part], expected[0, : scores.shape[2]], atol=1e-4)
    nothing = model.decoder(torch.zeros(1, 5, 3, dtype=torch.long), heard.tokens, heard.there)
    assert nothing.shape[:3] == (1, 5, 3) and not nothing.any()


def test_every_part_that_is_known_has_its_turn() -> None:
    bits = np.zeros((12, len(SLOTS)), np.uint32)
    bits[:6, INDEX["stage"]] = bits[:6, INDEX["spo2_min_pct"]] = bits[6:11, INDEX["stage"]] = 1
    ids = SpokenTokens().ids(bits)
    assert ids.shape == (12, 1, 256) and not ids[11].any()  # nothing is known of the last
    begins = [int(line[0, 0]) - START for line in ids[:11]]
    assert begins[:6] == begins[:2] * 3 and len(set(begins[:2])) == 2 and begins[6:] == [4] * 5


def test_what_is_hidden_is_not_heard_and_what_is_absent_is_flat(model: SleepLMModel) -> None:
    x, present = torch.randn(2, 12, 1920), torch.ones(2, 12, dtype=torch.bool)
    present[1, 3] = False
    hide = torch.zeros(2, 12, 15, dtype=torch.bool)
    hide[0, 6, 4:7] = True
    before = model.eval().signals(x, present, x, hide)
    x[0, 6, 4 * 128 : 7 * 128] = 5.0
    x[1, 3] = -5.0
    x[:, 10:] = 9.0
    after = model.signals(x, present, x, hide)
    assert torch.equal(before.tokens, after.tokens)
    assert (after.features[0, 6, 4:7] == 5).all() and not after.features[1, 3].any()
    x[0, 6, 0] += 1
    assert not torch.equal(model.signals(x, present, x, hide).tokens[0], after.tokens[0])


def compat(shared_data: Path) -> Path:
    folder = shared_data.parent / "sleeplm_compat"
    if not folder.is_dir():
        pytest.skip("no ../shared/sleeplm_compat beside this checkout")
    return folder / "tiny_checkpoint.safetensors"


@pytest.mark.parametrize("published", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_comes_out_is_a_sleeplm_that_learnt(
    tmp_path: Path, config: TrainConfig, run: Runs, published: bool, request: pytest.FixtureRequest
) -> None:
    if published:  # the tiny checkpoint in the published layout
        start = compat(request.getfixturevalue("shared_data"))
        config = config.but({"model": {"start": f"sleeplm:{start}"}})
    longer = config.but(
        {
            "schedule": {"steps": 20, "batch": 8}, "optimiser": {"lr": 0.01, "ema": 0.8}, "run": {"log_steps": 4},
            "augmentation": dict.fromkeys(config.to_table()["augmentation"], 0.0),
        }
    )  # fmt: skip
    trained = run(longer, tmp_path / "out")
    log = read_log(tmp_path / "out", "train")
    for name in ("contrastive", "sigmoid", "caption", "masked"):
        assert log[-1][name] < 0.97 * log[0][name], name
    assert {"loss contrastive", "loss caption", "loss masked", "stage macro-F1"} <= trained.figures.keys()
    assert trained.encoder == f"sleeplm:{tmp_path / 'out'}"
    found = load_encoder(trained.encoder, device="cpu", dtype="float32")
    assert isinstance(found, SleepLM) and type(load_encoder(f"trained:{trained.folder}", device="cpu")) is SleepLM
    state = torch.load(tmp_path / "out" / CHECKPOINT)["average"]
    prefix = "recoca."
    with open_state(tmp_path / "out" / WEIGHTS) as kept:
        for key, value in state.items():
            if key.startswith(prefix):
                assert torch.equal(kept[key.removeprefix(prefix)], value)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert found.trained_on == tuple(card["trained_on"]) and set(SleepLM.trained_on) < set(found.trained_on)
    assert (
        set(found.trained_on) - set(SleepLM.trained_on)
        and card["started_from"] == f"sleeplm:{Path(longer.model.start.partition(':')[2]).name}"
    )
    assert not found.merges_stages and len(found.caveats) == 1  # stages and captions were learnt here
    texts = found.embed_texts(["Deep sleep.", "Awake."])
    assert texts.shape == (2, found.dim) and np.isfinite(texts).all()


def test_lora_leaves_all_but_its_matrices_as_they_were(
    tmp_path: Path, config: TrainConfig, run: Runs, checkpoint: Path
) -> None:
    only = {"contrastive": 1.0, "sigmoid": 0.0, "caption": 0.0, "masked": 0.0}
    lora = config.but({"model": {"adapt": "lora", "lora_rank": 2}, "objectives": only, "optimiser": {"lr": 0.01}})
    trained = run(lora, tmp_path / "lora")
    after = load_file(tmp_path / "lora" / WEIGHTS)
    with open_state(checkpoint) as before:
        assert set(before) == after.keys()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert all(name.endswith("weight") and before[name].dim() == 2 for name in moved)
    for part in ("biosignals.transformer_blocks.0.channel_attention.q_proj", "biosignals.attn_pool.in_proj", "text."):
        assert any(name.startswith(part) for name in moved), part
    assert not any(name.startswith(("text_decoder", "signal_decoder")) for name in moved)  # not trained: not loaded
    found = load_encoder(trained.encoder, device="cpu")
    assert any("did not learn" in caveat for caveat in found.caveats)
    # A folder that it wrote is a start again, and who was seen adds up.
    again = run(config.but({"model": {"start": f"trained:{tmp_path / 'lora'}"}}), tmp_path / "again")
    card = json.loads((again.folder / "card.json").read_text())
    assert set(SleepLM.trained_on) < set(card["trained_on"]) == set(found.trained_on)


def test_a_killed_run_ends_as_if_it_had_not_been(
    tmp_path: Path, config: TrainConfig, run: Runs, tiny_bank: SentenceBank
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run(config, tmp_path / "whole")
        command = in_a_process(
            tmp_path, config, tiny_bank, tmp_path / "killed", "if len(said) == 2: os.kill(os.getpid(), 9)"
        )
        done = subprocess.run(command, env=alone(), capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert torch.load(tmp_path / "killed" / CHECKPOINT)["step"] == 1
        run(config, tmp_path / "killed")
        same(tmp_path / "whole", tmp_path / "killed")
    finally:
        torch.set_num_threads(threads)


def test_half_precision_trains_too(tmp_path: Path, config: TrainConfig, run: Runs) -> None:
    found = run(config.but({"run": {"dtype": "bfloat16"}, "schedule": {"steps": 2}}), tmp_path / "out").figures
    assert all(np.isfinite(found[f"loss {name}"]) for name in ("contrastive", "sigmoid", "caption", "masked"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"objectives": {"steps": 0.5}}, r"objectives\.steps = 0\.5: .* no vectors of steps; say steps = 0"),
        ({"objectives": {"dash": 0.1}}, r"objectives\.dash = 0\.1: .* no mask for absent sensors.*dash = 0"),
        ({"model": {"start": "sleeplm:random"}}, "random weights have learnt nothing"),
        ({"model": {"start": "sleeplm:/nowhere.pt"}}, r"model\.start: /nowhere\.pt: no such checkpoint"),
        ({"model": {"start": "text:minilm"}}, r"text:minilm.*no signals to train on"),
        ({"model": {"start": "hypnos"}}, r"possible are scratch, sleepsearch-small, trained:PATH and sleeplm:PATH"),
    ],
)
def test_what_it_cannot_learn_is_refused_by_name(
    tmp_path: Path, config: TrainConfig, run: Runs, table: dict[str, dict[str, object]], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        run(config.but(table), tmp_path / "out")


def test_without_a_signal_decoder_nothing_is_hidden(tmp_path: Path, config: TrainConfig) -> None:
    plain = config.but({"model": {"start": f"sleeplm:{weights(tmp_path, rebuilds=False)}"}})
    with pytest.raises(BadInput, match=r"objectives\.masked = 0\.1: .* no signal decoder"):
        start_of(plain)
    start_of(plain.but({"objectives": {"masked": 0.0}}))


def test_a_path_is_that_beside_the_file_and_a_hub_name_stays(tmp_path: Path, config: TrainConfig) -> None:
    for start, read in (
        ("sleeplm:weights/a.pt", f"sleeplm:{tmp_path / 'weights/a.pt'}"),
        ("sleeplm:hf-hub:some/name", "sleeplm:hf-hub:some/name"),
    ):
        (tmp_path / "run.toml").write_text(f'[model]\nstart = "{start}"\n')
        assert TrainConfig.read(tmp_path / "run.toml").model.start == read


def test_embeddings_of_words_do_not_fade(model: SleepLMModel, config: TrainConfig) -> None:
    decaying, still = make_optimiser(model.requires_grad_(True), config.optimiser).param_groups
    table = model.recoca.text.token_embedding.weight
    assert any(p is table for p in still["params"]) and not any(p is table for p in decaying["params"])
    assert any(p is model.recoca.biosignals.embed_projection.weight for p in decaying["params"])
