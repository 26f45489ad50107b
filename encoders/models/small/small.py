"""`sleepsearch-small` and `trained:PATH`: a folder of our own weights behind the encoder contract."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.errors import BadInput
from encoders.models.devices import Placement, place
from encoders.models.small.inputs import prepare
from encoders.models.weights import remembered_sha256
from encoders.recordings.epochs import Epochs
from encoders.vocabulary import CHANNELS

if TYPE_CHECKING:
    import torch

    from encoders.models.minilm import MiniLM
    from encoders.models.small.model import SmallModel
    from encoders.models.small.tower import Encoded

NAME, SCHEME = "sleepsearch-small", "trained:"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.json"
RELEASED = Path(__file__).with_name("weights")
_EPOCHS_AT_ONCE = {"cpu": 64, "cuda": 512}


class Small:
    """See `encoders.models.encoder.Encoder`; the sentence encoder loads when a text first needs it."""

    channels: tuple[str, ...] = CHANNELS
    caveats: tuple[str, ...] = ()
    merges_stages: Mapping[str, str] = MappingProxyType({})

    def __init__(self, name: str, *, device: str = "auto", dtype: str = "auto") -> None:
        from encoders.models.small.config import SmallConfig

        self.folder = RELEASED if name == NAME else Path(name.removeprefix(SCHEME)).expanduser().resolve()
        missing = [file for file in (WEIGHTS, CONFIG, CARD) if not (self.folder / file).is_file()]
        if missing:
            raise BadInput(f"{name}: no {missing[0]} in that folder; give one that `sleepsearch train` wrote")
        self.name = name if name == NAME else f"{SCHEME}{self.folder}"
        self.config = SmallConfig.read(self.folder / CONFIG)
        self.dim = self.config.dim
        card = json.loads((self.folder / CARD).read_text(encoding="utf-8"))
        self.trained_on: tuple[str, ...] = tuple(card.get("trained_on", ()))
        self._placement: Placement = place(device, dtype)
        self.runs_on = str(self._placement)

    @cached_property
    def space(self) -> str:
        """`<name>-<8 hex>` of the weights' SHA-256."""
        kind = NAME if self.name == NAME else SCHEME.rstrip(":")
        return f"{kind}-{remembered_sha256(self.folder / WEIGHTS)[:8]}"

    @cached_property
    def model(self) -> "SmallModel":
        """The model with its weights, on its device, ready to embed."""
        return load_model(self.folder).to(self._placement.device).eval()

    @cached_property
    def _sentences(self) -> "MiniLM":
        from encoders.models.minilm import MiniLM

        return MiniLM(device=str(self._placement.device), dtype="float32")

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        """Unit vectors of epochs, float32 `(n, dim)`; zeros for an epoch without a usable sensor."""
        out = np.zeros((len(epochs), self.dim), np.float32)
        for rows, encoded in self._encoded(epochs):
            out[rows] = encoded.vector.float().cpu().numpy()
        out[~epochs.present.any(axis=1)] = 0
        return out

    def embed_steps(self, epochs: Epochs) -> np.ndarray:
        """Unit vectors of each two seconds of epochs, float32 `(n, 15, dim)`: where in the epoch something is."""
        from encoders.models.small.patches import STEPS

        out = np.zeros((len(epochs), STEPS, self.dim), np.float32)
        for rows, encoded in self._encoded(epochs):
            out[rows] = encoded.steps.float().cpu().numpy()
        return out

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, float32 `(len(texts), dim)`; each distinct sentence goes through the encoder once."""
        import torch

        from encoders.models.small.text import grouped

        if not texts:
            return np.zeros((0, self.dim), np.float32)
        sentences, owner = grouped(texts)
        distinct = list(dict.fromkeys(sentences))
        place_of = {sentence: i for i, sentence in enumerate(distinct)}
        vectors = torch.from_numpy(self._sentences.embed_texts(distinct))[[place_of[s] for s in sentences]]
        device = self._placement.device
        with torch.inference_mode():
            found = self.model.texts(vectors.to(device), torch.tensor(owner, device=device), len(texts))
        unit: np.ndarray = found.float().cpu().numpy()
        return unit

    def describe(self, epochs: Epochs, parts: Sequence[str] | None = None) -> list[dict[str, str]]:
        """Captions generated from the signals, by part; a part of which no sensor is usable is left out.

        Empty dictionaries where the model has no decoder.
        """
        if self.model.decoder is None:
            return [{} for _ in range(len(epochs))]
        from encoders.captions.measures import part_sensors
        from encoders.captions.wording import PARTS
        from encoders.models.small.decoder import generate

        chosen = list(PARTS if parts is None else parts)
        if unknown := [part for part in chosen if part not in PARTS]:
            raise BadInput(f"caption part {unknown[0]!r}: {self.name} writes {', '.join(PARTS)}")
        found: list[dict[str, str]] = []
        for _, encoded in self._encoded(epochs):
            found += generate(self.model.decoder, self.config.words, encoded.tokens.float(), encoded.there, chosen)
        tell = {part: [CHANNELS.index(channel) for channel in part_sensors(part)] for part in chosen}
        return [
            {part: text for part, text in captions.items() if there[tell[part]].any()}
            for captions, there in zip(found, epochs.present, strict=True)
        ]

    def _encoded(self, epochs: Epochs) -> "Iterator[tuple[slice, Encoded]]":
        import torch

        device, dtype = self._placement.device, self._placement.dtype
        size = _EPOCHS_AT_ONCE.get(device.type, 64)
        for first in range(0, len(epochs), size):
            rows = slice(first, min(first + size, len(epochs)))
            inputs = prepare(epochs[rows])
            x, present = torch.from_numpy(inputs.x).to(device), torch.from_numpy(inputs.present).to(device)
            night = torch.from_numpy(inputs.night).to(device).expand(len(x), -1, -1)
            with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
                yield rows, self.model.signals(x, present, night)


def load_model(folder: Path) -> "SmallModel":
    """The model of a folder; `BadInput` lists keys that are missing, unexpected or of another shape."""
    from safetensors.torch import load_file

    from encoders.models.small.config import SmallConfig
    from encoders.models.small.model import SmallModel

    model = SmallModel(SmallConfig.read(folder / CONFIG))
    state = {key: tensor.float() for key, tensor in load_file(folder / WEIGHTS).items()}
    wanted = model.state_dict()
    wrong = sorted(set(wanted) ^ set(state)) + [
        k for k in set(wanted) & set(state) if wanted[k].shape != state[k].shape
    ]
    if wrong:
        raise BadInput(f"{folder.name}/{WEIGHTS}: does not fit its {CONFIG}: {', '.join(wrong[:5])}; train it again")
    model.load_state_dict(state)
    return model


def save_model(
    model: "SmallModel", folder: Path, card: dict[str, Any], *, state: "dict[str, torch.Tensor] | None" = None
) -> None:
    """Write weights (half precision, `state` in place of the model's own), configuration and card into `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().half().contiguous().cpu() for key, tensor in (state or model.state_dict()).items()}
    save_file(tensors, folder / WEIGHTS)
    model.config.write(folder / CONFIG)
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
