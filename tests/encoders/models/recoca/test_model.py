"""The model computes what the published one does: our recorded outputs, and the reference's where they are there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders.errors import BadInput
from encoders.models.recoca import Decoding, ReCoCa, ReCoCaConfig, generate
from encoders.models.recoca.checkpoint import load_checkpoint
from encoders.models.recoca.model import PARTS
from encoders.models.recoca.signal_tower import RMS_EPS, Rotary
from encoders.models.sleeplm import tokenizer

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
CONDITIONS = {"brain": [0, -1], "stage_event": [4, -1], "pair_1_3": [1, 3], "single_2": [2], "none": []}
CHANNELS = {"brain": 0, "heart": 1, "respiratory": 2, "position_muscle": 3, "stage_event": 4}
SETTINGS = {
    "demo": Decoding(longest=48, shortest=16), "demo12": Decoding(longest=12, shortest=11),
    "greedy8": Decoding(longest=8, shortest=5, force_end=True),
    "greedy40": Decoding(longest=40, shortest=5, force_end=True),
    "beam6g3": Decoding(beams=6, groups=3, longest=40, shortest=5),
}  # fmt: skip


@pytest.fixture(scope="module")
def compat(shared_data: Path) -> Path:
    return shared_data.parent / "sleeplm_compat"


@pytest.fixture(scope="module", params=["tiny_checkpoint.safetensors", "tiny_checkpoint.pt"])
def reference(compat: Path, request: pytest.FixtureRequest) -> tuple[ReCoCa, Any]:
    """The tiny published-format checkpoint and the reference's outputs."""
    model = load_checkpoint(compat / request.param, ReCoCaConfig.read(compat / "tiny_config.json"), PARTS)
    return model, np.load(compat / "tiny_golden.npz")


def off(found: torch.Tensor, golden: np.ndarray) -> float:
    assert tuple(found.shape) == golden.shape
    return float((found - torch.from_numpy(golden)).abs().max())


def test_recorded_outputs_of_the_small_model_stay(model: ReCoCa, signals: torch.Tensor) -> None:
    ids = tokenizer(256)(["REM sleep with arousal from 3.2 to 9.9 s!?", "", "deep sleep " * 200])
    with torch.inference_mode():
        tokens = model.biosignals(signals)[1]
        made = model(signals, ids, torch.tensor([[0, -1], [1, 3], [4, -1]]))
        found = {
            "signal_embedding": model.embed_signals(signals),
            "text_embedding": model.embed_texts(ids),
            "logits": made.logits[:, [0, 3, 100], :][:, :, [0, 5, 320, 49407]].flatten(0, 1),
            "reconstruction": model.signal_decoder(tokens)[:, [0, 9], :][:, :, [0, 777]].flatten(1),
        }
    assert torch.equal(made.labels, ids[:, 1:])
    for name, tensor in found.items():
        assert np.abs(np.array(RECORDED[name]) - tensor.numpy()).max() < 2e-4, name
    for name, channel, decoding in (
        ("greedy_brain", 0, Decoding(1, 1, 24, 6)), ("greedy_stage_event", 4, Decoding(1, 1, 24, 6)),
        ("beams_respiratory", 2, Decoding(6, 3, 24, 6)),
    ):  # fmt: skip
        assert generate(model, tokens, torch.tensor([[channel, -1]] * 3), decoding).tolist() == RECORDED[name]


def test_reference_embeddings_are_met(reference: tuple[ReCoCa, Any]) -> None:
    model, golden = reference
    signals, ids = torch.from_numpy(golden["signals"]), torch.from_numpy(golden["tokens"]).long()
    assert off(model.embed_signals(signals), golden["signal_embedding"]) < 2e-5
    assert off(model.biosignals(signals)[1], golden["signal_tokens"]) < 2e-5
    assert off(model.embed_texts(ids), golden["text_embedding"]) < 2e-5
    assert off(model.embed_texts(ids[:, :20]), golden["text_embedding_first20"]) < 2e-5
    for row in range(len(ids)):  # alone, where the padding is left out
        assert off(model.embed_texts(ids[row : row + 1]), golden["text_embedding"][row : row + 1]) < 2e-5
    assert abs(float(model.logit_scale.exp()) - float(golden["logit_scale"])) < 1e-5


def test_reference_tokens_are_met(compat: Path) -> None:
    cases = json.loads((compat / "tokens_golden.json").read_text(encoding="utf-8"))
    assert len(cases["cases"]) == 12
    for case in cases["cases"]:
        ids = tokenizer(256)([case["text"]])[0].tolist()
        assert ids[: len(case["ids"])] == case["ids"]


def test_reference_caption_scores_and_reconstruction_are_met(reference: tuple[ReCoCa, Any]) -> None:
    model, golden = reference
    signals = torch.from_numpy(golden["signals"])
    ids = torch.from_numpy(golden["tokens"]).long()[[0, 1, 2, 4]]
    places, words = torch.from_numpy(golden["logit_positions"]), torch.from_numpy(golden["logit_vocab_ids"])
    for name, slots in CONDITIONS.items():
        tokens = model.biosignals(signals)[1]
        if slots:
            logits = model(signals, ids, torch.tensor([slots] * 4)).logits
        else:
            logits = model.text_decoder.logits(tokens, model.text(ids)[1][:, :-1], tokens.new_zeros(4, 0, 16))
        assert off(logits[:, places][:, :, words], golden[f"caption_{name}_logits_sub"]) < 2e-4, name
    rebuilt = model.signal_decoder(model.biosignals(signals)[1])
    assert off(rebuilt[torch.from_numpy(golden["reconstruction_epochs"])], golden["reconstruction"]) < 2e-4
    assert abs(float(((rebuilt - signals) ** 2).mean()) - float(golden["reconstruction_mse_all4"])) < 1e-3


def test_reference_captions_are_met_token_for_token(reference: tuple[ReCoCa, Any]) -> None:
    model, golden = reference
    tokens = model.biosignals(torch.from_numpy(golden["signals"]))[1]
    compared = 0
    for key in golden.files:
        kind, *rest = key.split("_")
        if kind != "generate" or rest[0] not in SETTINGS or rest[1] == "min":
            continue
        setting, *rest = rest
        epoch, channel = int(rest[0][1:]), CHANNELS["_".join(rest[1:])]
        found = generate(model, tokens[epoch : epoch + 1], torch.tensor([[channel, -1]]), SETTINGS[setting])[0]
        assert found.tolist() == golden[key].tolist(), key
        compared += 1
    assert compared == 35
    brains = torch.tensor([[0, -1]] * 4)
    batch = generate(model, tokens, brains, Decoding(longest=40, shortest=16))
    assert batch.tolist() == golden["generate_batch4_demo40_brain"].tolist()
    forced = generate(model, tokens, brains, Decoding(longest=40, shortest=5, force_end=True))
    assert forced.tolist() == golden["generate_batch4_greedy40_brain"].tolist()


def test_cached_scores_equal_those_of_the_whole_text(model: ReCoCa, signals: torch.Tensor) -> None:
    from encoders.models.recoca.generate import _Captioner

    ids = tokenizer(256)(["wake !? then ! sleep", "n2", "rem !"])[:, :12]  # "!?" holds a real id 0
    indices = torch.tensor([[1, 3], [0, -1], [-1, -1]])
    with torch.inference_mode():
        tokens = model.biosignals(signals)[1]
        whole = model.text_decoder.logits(tokens, model.text(ids)[1], model.conditions(indices))
        captioner = _Captioner(model, tokens, model.conditions(indices), 12)
        for at in range(12):
            assert (captioner.step(ids[:, at]) - whole[:, at]).abs().max() < 1e-4


def test_rms_norm_has_the_published_epsilon() -> None:
    assert abs(float(torch.nn.RMSNorm(4, RMS_EPS)(torch.full((1, 4), 1e-3))[0, 0].detach()) - 0.70711) < 1e-5


def test_rotary_pairs_are_adjacent() -> None:
    from encoders.models.recoca.signal_tower import rotate

    cos, sin = Rotary(4, learned=False).table(2)
    turned = rotate(torch.tensor([[1.0, 0.0, 1.0, 0.0]]), cos[1:], sin[1:])
    assert torch.allclose(turned, torch.tensor([[np.cos(1), np.sin(1), np.cos(0.01), np.sin(0.01)]]).float())


@pytest.mark.parametrize("shape", [(1, 10, 1921), (1, 9, 1920), (1, 10, 3840)])
def test_other_shapes_are_refused_rather_than_floored(model: ReCoCa, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        model.biosignals(torch.zeros(shape))


def test_a_caption_channel_out_of_range_is_refused(model: ReCoCa) -> None:
    for wrong in ([[-2]], [[5]], [[0, 1, 2]]):
        with pytest.raises(ValueError, match="caption channels"):
            model.conditions(torch.tensor(wrong))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"depth": 3}, "depth: unknown field"), ({"text_cfg": {"context_length": 256}}, "text_cfg: missing"),
     ({"decoder_type": "concat"}, "decoder_type: 'concat'")],
)  # fmt: skip
def test_a_configuration_says_which_field_is_wrong(config: ReCoCaConfig, change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        ReCoCaConfig.from_dict(config.to_dict() | change)


def test_all_parameters_take_part_in_a_training_step(config: ReCoCaConfig, signals: torch.Tensor) -> None:
    model = ReCoCa(config)
    model.text.cls_emb.data.normal_()
    made = model(signals, tokenizer(256)(["a", "b", "c"]), torch.tensor([[0, -1]] * 3))
    assert made.reconstruction is not None
    contrast = made.logit_scale * made.signal_features @ made.text_features.T
    loss = contrast.square().mean() + made.logits.square().mean() + made.reconstruction.square().mean()
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []
