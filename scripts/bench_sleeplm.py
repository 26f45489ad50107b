"""What SleepLM at its published size costs here: called by benchmark.py, each measurement in a process of its own.

Weights are random numbers of the published shapes: time and memory do not depend on their values.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_measures import peak_mb
from safetensors.torch import save_file

from encoders.models import load_encoder
from encoders.models.recoca import Decoding, ReCoCa, ReCoCaConfig, generate
from encoders.models.recoca.checkpoint import load_checkpoint, random_model
from encoders.models.recoca.config import EOT, SOT
from encoders.models.recoca.signal_tower import SignalTower
from encoders.models.sleeplm import PUBLISHED, tokenizer
from encoders.recordings.epochs import ChannelStatistics, Epochs

Json = dict[str, Any]
TOKENS, CAPTIONS = 128, 16
ANCHORS = (1, 16, 48, 80, 112, 127)  # lengths at which re-computing everything is timed; between them it is linear


def weights(path: str) -> Json:
    """Writes the checkpoint that the other measurements map, 1.5 GB."""
    if not Path(path).is_file():
        model = random_model(ReCoCaConfig.read(PUBLISHED))
        torch.nn.init.normal_(model.text.cls_emb)
        torch.nn.init.normal_(model.text.positional_embedding, std=0.01)
        save_file({key: value.contiguous().clone() for key, value in model.state_dict().items()}, path)
    return {"mb": Path(path).stat().st_size / 1e6}


def embed(path: str, epochs: str, rounds: str) -> Json:
    """Epochs a second the published demo's way, and ours in float32 and bfloat16; how much the vectors differ."""
    model = load_checkpoint(Path(path), ReCoCaConfig.read(PUBLISHED))
    signals = _signals(int(epochs))
    dummy = tokenizer(256)(["."])
    batch = 4
    half = load_checkpoint(Path(path), ReCoCaConfig.read(PUBLISHED), ("biosignals",)).to(torch.bfloat16)

    def demo(x: torch.Tensor) -> torch.Tensor:
        vectors, tokens = _as_published(model.biosignals, x)
        ids, indices = dummy.expand(len(x), -1), torch.tensor([[4, -1]]).expand(len(x), -1)
        _, text = model.text(ids)
        model.text_decoder.logits(tokens, text[:, :-1], model.conditions(indices))
        return torch.nn.functional.normalize(vectors, dim=-1)

    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "demo": demo, "float32": model.embed_signals, "bfloat16": lambda x: half.embed_signals(x.bfloat16()),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    vectors: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for way in ways.values():
            way(signals[:batch])
        for _ in range(int(rounds)):
            for name, way in ways.items():
                began = time.perf_counter()
                vectors[name] = torch.cat([way(chunk) for chunk in signals.split(batch)]).float()
                seconds[name].append(time.perf_counter() - began)
    rate = {name: int(epochs) / statistics.median(taken) for name, taken in seconds.items()}
    cosine = (vectors["float32"] * vectors["bfloat16"]).sum(1)
    return {
        "per_s": rate, "same": float((vectors["demo"] - vectors["float32"]).abs().max()),
        "cosine_median": float(cosine.median()), "cosine_min": float(cosine.min()),
        "top10_overlap": _overlap(vectors["float32"], vectors["bfloat16"]),
    }  # fmt: skip


def _as_published(tower: SignalTower, signals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The tower with torch's own multi-head attention as its poolers, as published; the blocks are ours."""
    x = tower.embed_projection(tower.patching(signals)) + tower.channel_id_embed.weight[:, None]
    for block in tower.transformer_blocks:
        x = block(x)
    tokens = tower.ln_final(x).flatten(1, 2)
    summary, memory = (
        pooler.attn(pooler.query_tokens.expand(len(tokens), -1, -1), tokens, tokens, need_weights=False)[0]
        for pooler in (tower.contrastive_pooler, tower.decoder_pooler)
    )
    pooled = tower.attn_pool(summary, memory, memory, need_weights=False)[0]
    return tower.proj_to_embed(pooled[:, 0]), memory


def _overlap(exact: torch.Tensor, other: torch.Tensor, k: int = 10) -> float:
    """Share of the ten nearest neighbours of each epoch that both know."""
    near = [(v @ v.T).fill_diagonal_(-2).topk(min(k, len(v) - 1)).indices.tolist() for v in (exact, other)]
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(*near, strict=True)]))


def memory(path: str, dtype: str) -> Json:
    """Peak memory of a process that embeds one question and two epochs, from the import on."""
    began = time.perf_counter()
    encoder = load_encoder(f"sleeplm:{path}", device="cpu", dtype=dtype)
    encoder.embed_texts(["REM sleep with arousal"])
    encoder.embed_epochs(_epochs(2))
    return {"runs_on": encoder.runs_on, "seconds": time.perf_counter() - began, "peak_mb": peak_mb()}


def captions(path: str, batch: str) -> Json:
    """Tokens a second of `TOKENS` forced tokens, cached, against computing the whole text again for each token."""
    rows = int(batch)
    model = load_checkpoint(Path(path), ReCoCaConfig.read(PUBLISHED))
    indices = torch.tensor([[4, -1]]).expand(rows, -1)
    with torch.inference_mode():
        tokens = model.biosignals(_signals(1))[1].repeat(rows, 1, 1)
        began = time.perf_counter()
        cached = generate(model, tokens, indices, Decoding(longest=TOKENS + 1, shortest=TOKENS + 1 - 1))
        ours = rows * (cached.shape[1] - 1) / (time.perf_counter() - began)
        text = torch.full((rows, TOKENS), 320)
        text[:, 0] = SOT
        costs = []
        for length in ANCHORS:
            began = time.perf_counter()
            _whole(model, tokens, text[:, :length], indices)
            costs.append(time.perf_counter() - began)
        each = np.interp(np.arange(1, TOKENS + 1), ANCHORS, costs)
        same = _same_tokens(model, tokens[:2], indices[:2], cached[:2])
    return {"cached_per_s": ours, "whole_per_s": rows * TOKENS / each.sum(), "same_tokens": same}


def _whole(model: ReCoCa, tokens: torch.Tensor, ids: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    return model.text_decoder.logits(tokens, model.text(ids)[1], model.conditions(indices))[:, -1]


def _same_tokens(model: ReCoCa, tokens: torch.Tensor, indices: torch.Tensor, cached: torch.Tensor, n: int = 12) -> bool:
    """Whether the first tokens are those of full re-computation."""
    ids = cached[:, :1]
    for _ in range(n):
        scores = _whole(model, tokens, ids, indices)
        scores[:, EOT] = float("-inf")
        ids = torch.cat([ids, scores.argmax(1, keepdim=True)], dim=1)
    return bool(torch.equal(ids, cached[:, : n + 1]))


def _signals(n: int) -> torch.Tensor:
    """Normalised epochs of slow waves and noise that differ from one another."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.arange(1920) / 64 * 2 * np.pi * rng.uniform(0.3, 14, (n, 10, 1))) * rng.uniform(0, 2, (n, 10, 1))
    signals = waves + rng.standard_normal((n, 10, 1920))
    signals[:, 9] = rng.integers(0, 4, (n, 1))
    return torch.from_numpy(signals.astype(np.float32))


def _epochs(n: int) -> Epochs:
    signals = np.zeros((n, 12, 1920), np.float32)
    signals[:, :10] = _signals(n).numpy()
    numbers = {name: np.ones(12, np.float32) for name in ChannelStatistics.__dataclass_fields__}
    return Epochs(np.arange(n) * 30.0, signals, np.ones((n, 12), bool), np.zeros((n, 12), np.uint8),
                  ChannelStatistics(**numbers))  # fmt: skip


if __name__ == "__main__":
    work = {"weights": weights, "embed": embed, "memory": memory, "captions": captions}
    print(json.dumps(work[sys.argv[1]](*sys.argv[2:])))
