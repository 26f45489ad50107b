"""A SleepLM of width 8: its configuration, and a checkpoint of random weights."""

import json
from pathlib import Path

import torch

WIDTH = 8
CONFIG = {
    "embed_dim": 6,
    "biosignals_cfg": {
        "input_channels": 10, "signal_length": 1920, "patch_size": 16, "conv_embed_dim": 5, "num_temporal_layers": 1,
        "transformer_layers": 2, "transformer_width": WIDTH, "transformer_heads": 2, "mlp_ratio": 3.0,
        "decoder_tokens": 4, "dropout": 0.1,
    },
    "text_cfg": {"context_length": 256, "vocab_size": 49408, "layers": 2, "heads": 2, "width": WIDTH},
    "multimodal_cfg": {"context_length": 256, "layers": 2, "heads": 4, "width": WIDTH},
    "prefix_len": 2,
    "num_caption_channels": 5,
}  # fmt: skip


def tiny_sleeplm(folder: Path, seed: int) -> str:
    """The name of an encoder whose checkpoint and configuration are written into `folder`; its captions end soon."""
    from encoders.models.recoca import ReCoCa, ReCoCaConfig
    from encoders.models.recoca.config import EOT

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ReCoCa(ReCoCaConfig.from_dict(CONFIG), ("biosignals", "text", "text_decoder"))
        torch.nn.init.normal_(model.text.cls_emb)
        torch.nn.init.normal_(model.text.positional_embedding, std=0.01)
        model.text_decoder.text_projection.data[:, EOT] += 9
    torch.save(model.state_dict(), folder / "model_checkpoint.pt")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return f"sleeplm:{folder / 'model_checkpoint.pt'}"
