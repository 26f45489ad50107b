"""Checkpoints: every key is accounted for, only the wanted parts are read, and what doesn't fit is listed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from encoders.errors import BadInput
from encoders.models.recoca import ReCoCa, ReCoCaConfig
from encoders.models.recoca.checkpoint import count_parameters, empty_model, load_checkpoint
from encoders.models.weights import file_sha256

State = dict[str, torch.Tensor]


def saved(state: State, path: Path) -> Path:
    save_file({key: value.clone() for key, value in state.items()}, path) if path.suffix != ".pt" else torch.save(
        state, path
    )
    return path


def test_bare_wrapped_and_half_precision_files_give_the_same_model(
    state: State, config: ReCoCaConfig, model: ReCoCa, tmp_path: Path
) -> None:
    files = [
        saved(state, tmp_path / "bare.pt"),
        saved(state, tmp_path / "bare.safetensors"),
        saved({f"_orig_mod.module.{key}": value for key, value in state.items()}, tmp_path / "compiled.safetensors"),
        saved({"state_dict": state}, tmp_path / "nested.pt"),  # type: ignore[dict-item]
    ]
    for path in files:
        loaded = load_checkpoint(path, config).state_dict()
        assert all(torch.equal(value, state[key]) for key, value in loaded.items())
    half = saved({key: value.half() for key, value in state.items()}, tmp_path / "half.safetensors")
    assert {value.dtype for value in load_checkpoint(half, config).state_dict().values()} == {torch.float32}


def test_a_search_reads_two_towers_and_no_decoder(checkpoint: Path, config: ReCoCaConfig) -> None:
    towers = load_checkpoint(checkpoint, config, ("biosignals", "text"))
    assert {key.split(".")[0] for key in towers.state_dict()} == {"biosignals", "text", "logit_scale"}
    assert not hasattr(towers, "text_decoder")


def test_numbers_that_the_file_knows_better_come_from_the_file(
    state: State, config: ReCoCaConfig, tmp_path: Path
) -> None:
    from dataclasses import replace

    wrong = replace(config, num_caption_channels=12, biosignals_cfg=replace(config.biosignals_cfg, decoder_tokens=32))
    loaded = load_checkpoint(saved(state, tmp_path / "a.safetensors"), wrong)
    assert loaded.config.num_caption_channels == 5 and loaded.config.biosignals_cfg.decoder_tokens == 4


def test_missing_unexpected_and_misshapen_keys_are_all_listed(
    state: State, config: ReCoCaConfig, tmp_path: Path
) -> None:
    broken = dict(state)
    del broken["text.ln_final.bias"]
    broken["text.extra"] = torch.zeros(1)
    broken["biosignals.proj_to_embed.bias"] = torch.zeros(7)
    with pytest.raises(BadInput) as raised:
        load_checkpoint(saved(broken, tmp_path / "broken.safetensors"), config)
    for said in ("broken.safetensors", "1 missing: text.ln_final.bias", "1 unexpected: text.extra",
                 "1 misshapen: biosignals.proj_to_embed.bias [7], expected [6]"):  # fmt: skip
        assert said in str(raised.value)


def test_a_wrongly_nested_file_is_no_model_of_random_weights(
    state: State, config: ReCoCaConfig, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"no state dict; .* found epoch, model"):
        load_checkpoint(saved({"epoch": 3, "model": state}, tmp_path / "nested.pt"), config)  # type: ignore[dict-item]


def test_a_file_that_runs_code_is_refused(config: ReCoCaConfig, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    torch.save({"state_dict": Runs()}, tmp_path / "evil.pt")
    with pytest.raises(BadInput, match="weights_only"):
        load_checkpoint(tmp_path / "evil.pt", config)
    (tmp_path / "text.pt").write_text("not a checkpoint")
    (tmp_path / "text.safetensors").write_text("nor this")
    for name in ("text.pt", "text.safetensors", "absent.pt"):
        with pytest.raises(BadInput, match=name):
            load_checkpoint(tmp_path / name, config)


def test_rotary_tables_that_differ_from_their_formula_are_refused(
    state: State, config: ReCoCaConfig, tmp_path: Path
) -> None:
    for key in ("biosignals.transformer_blocks.0.temporal_attention_layers.0.rotary_emb.freqs",
                "biosignals.transformer_blocks.1.channel_attention.rotary_emb.freqs"):  # fmt: skip
        with pytest.raises(BadInput, match=key):
            load_checkpoint(saved(state | {key: state[key] * 1.1}, tmp_path / "off.safetensors"), config)


def test_the_published_size_is_385_million(config: ReCoCaConfig) -> None:
    from encoders.models import sleeplm

    base = ReCoCaConfig.read(sleeplm.PUBLISHED)
    model = empty_model(base, ("biosignals", "text", "text_decoder"))
    assert count_parameters(model) == 385_408_033 and len(model.state_dict()) == 557
    searching = count_parameters(empty_model(base, ("biosignals", "text")))
    assert searching == 53_736_480 + 123_592_704 + 1


def test_a_hub_download_is_known_by_its_name(tmp_path: Path) -> None:
    digest = "ab" * 32
    blob = tmp_path / "blobs" / digest
    blob.parent.mkdir()
    blob.write_bytes(b"weights")
    link = tmp_path / "model.pt"
    link.symlink_to(blob)
    assert file_sha256(link) == digest
    plain = tmp_path / "plain.pt"
    plain.write_bytes(b"weights")
    assert file_sha256(plain).startswith("9a1290")
