"""LoRA begins at the weights given, moves only its own, and merges into a plain model that says the same."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from encoders.errors import BadInput
from encoders.training.lora import add_lora, merge_lora

RANK = 4
Made = tuple[nn.Module, Callable[[nn.Module], Tensor]]  # a model, and something that it says


def plain() -> Made:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
    model = nn.Sequential(nn.Linear(24, 32), layer, nn.Linear(32, 8))
    x = torch.randn(5, 7, 24)
    return model, lambda m: m(x)


def small() -> Made:
    from encoders.models.small.config import SmallConfig
    from encoders.models.small.inputs import NIGHT
    from encoders.models.small.model import SmallModel

    model = SmallModel(SmallConfig(dim=16, patch_width=16, width=32, heads=4, layers=1, text_width=32, dropout=0.0))
    x, present, night = torch.randn(3, 12, 1920), torch.rand(3, 12) < 0.7, torch.randn(3, 12, NIGHT)
    return model, lambda m: m.signals(x, present, night).vector


def recoca() -> Made:
    try:
        from encoders.models.recoca import ReCoCa, ReCoCaConfig
    except BadInput as missing:
        pytest.skip(str(missing))
    signal_tower = {
        "input_channels": 10, "signal_length": 1920, "patch_size": 64, "conv_embed_dim": 16, "num_temporal_layers": 1,
        "transformer_layers": 1, "transformer_width": 32, "transformer_heads": 2, "mlp_ratio": 3.0,
        "decoder_tokens": 4, "dropout": 0.0,
    }  # fmt: skip
    text = {"context_length": 16, "vocab_size": 100, "layers": 1, "heads": 2, "width": 32}
    config = {
        "embed_dim": 16, "biosignals_cfg": signal_tower, "text_cfg": text, "prefix_len": 2, "num_caption_channels": 5,
        "multimodal_cfg": {name: size for name, size in text.items() if name != "vocab_size"},
    }  # fmt: skip
    model = ReCoCa(ReCoCaConfig.from_dict(config), ("biosignals", "text"))
    nn.init.normal_(model.text.cls_emb)
    nn.init.normal_(model.text.positional_embedding)
    signals, ids = torch.randn(3, 10, 1920), torch.randint(1, 100, (3, 16))
    return model, lambda m: torch.cat([m.embed_signals(signals), m.embed_texts(ids)])


@pytest.fixture(params=[plain, small, recoca])
def made(request: pytest.FixtureRequest) -> Made:
    torch.manual_seed(0)
    model, say = request.param()
    return model, say


def learn(model: nn.Module, say: Callable[[nn.Module], Tensor]) -> None:
    adam = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 0.02)
    target = torch.randn_like(say(model))
    for _ in range(5):
        adam.zero_grad()
        (say(model) - target).square().mean().backward()
        adam.step()


def test_it_begins_at_the_weights_given(made: Made) -> None:
    model, say = made
    before = say(model.eval()).detach()
    add_lora(model, RANK, 8.0)
    assert torch.allclose(say(model), before, atol=1e-6)


def test_merged_it_says_the_same_as_a_plain_model(made: Made) -> None:
    model, say = made
    fresh, names = copy.deepcopy(model), set(model.state_dict())
    before = say(model.eval()).detach()
    add_lora(model, RANK, 8.0)
    learn(model, say)
    learnt = say(model).detach()
    assert (learnt - before).abs().max() > 1e-2
    merged = copy.deepcopy(model)
    merge_lora(merged)
    assert set(merged.state_dict()) == names
    fresh.load_state_dict(merged.state_dict())
    assert torch.allclose(say(fresh.eval()), learnt, atol=1e-5)
    with torch.inference_mode():  # torch takes another road through attention here
        assert torch.allclose(say(fresh), learnt, atol=1e-5)
        assert torch.allclose(say(model), learnt, atol=1e-5)
    learn(model, say)  # merging a copy left it as it was
    assert not torch.allclose(say(model), learnt, atol=1e-3)


def test_only_its_own_parameters_move_and_they_are_as_many_as_said(made: Made) -> None:
    model, say = made
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    given = {name: weight.clone() for name, weight in model.named_parameters()}
    names = add_lora(model, RANK, 8.0)
    count = sum(RANK * sum(shapes[name]) for name in names)
    assert (
        sum(p.numel() for p in model.parameters() if p.requires_grad) == count < sum(w.numel() for w in given.values())
    )
    learn(model, say)
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            plain_name = name.replace("parametrizations.", "").removesuffix(".original")
            assert torch.equal(weight, given[plain_name])


def test_targets_choose_by_name_and_none_is_an_error() -> None:
    model, _ = plain()
    assert add_lora(copy.deepcopy(model), RANK, 8.0, targets="1.self_attn.*") == [
        "1.self_attn.in_proj_weight", "1.self_attn.out_proj.weight",
    ]  # fmt: skip
    assert "0.weight" in add_lora(copy.deepcopy(model), RANK, 8.0)
    with pytest.raises(BadInput, match=r"'tower\.\*'"):
        add_lora(model, RANK, 8.0, targets="tower.*")


def test_a_rank_above_half_the_shorter_side_is_lowered() -> None:
    model = nn.Sequential(nn.Linear(16, 64))
    add_lora(model, 50, 8.0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 8 * (16 + 64)
