"""`sleeplm:<source>`: the published SleepLM checkpoint behind our encoder contract.

Source of the format: the public reference (github.com/yang-ai-lab/SleepLM, MIT) and its description in the paper, arXiv
2602.23605. The scope of its normalisation is not published: we take the z-score of each channel over the recording,
clipped at 6, as the same group's later preprocessing does; positions are codes and are not normalised.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.errors import BadInput
from encoders.models.devices import Placement, batch_size, place
from encoders.models.small.small import CARD, CONFIG
from encoders.models.small.small import SCHEME as TRAINED
from encoders.models.weights import FILES, Weights, find_weights
from encoders.recordings.epochs import Epochs
from encoders.vocabulary import CHANNELS

if TYPE_CHECKING:
    import torch

    from encoders.models.recoca import Decoding, ReCoCa, ReCoCaConfig

SCHEME = "sleeplm:"
READS = CHANNELS[:10]  # its own order, which our vocabulary follows; the oximeter and the heart rate are not among them
PARTS = ("brain", "heart", "respiratory", "position_muscle", "stage_event")  # caption channels 0 to 4
CLIP_SD = 6.0
UNKNOWN_POSITION = -1.0
_TEXTS_AT_ONCE = 16
# Seconds of embedding from which torch.compile pays on a CPU in bfloat16: it took 54 s on two cores and saved 24 % of
# what followed. In float32 it saves nothing (rotations are complex numbers there); on a GPU nobody has measured it.
COMPILING_PAYS_S = 54 / 0.24
# Names that end in a digit: electrodes, stages, SpO2.
_NAME = re.compile(r"\b(spo(?= 2)|[ame](?= [12])|o(?= [12])|[cf](?= [34])|n(?= [123])) (\d)(?! ?\.)")
PUBLISHED = Path(__file__).with_name("sleeplm-base.json")
WEIGHTS = FILES[0]  # of a folder that training wrote


class SleepLM:
    """See `encoders.models.encoder.Encoder`; a tower loads when first needed, the decoder for captions alone.

    A call of `embed_epochs` that would go on for `compile_from_s` seconds is compiled where that pays; None: never.
    """

    dim: int
    channels: tuple[str, ...] = READS
    trained_on: tuple[str, ...] = ("SHHS", "MrOS", "CFS", "CCSHS", "WSC")
    merges_stages: Mapping[str, str] = MappingProxyType({"N1": "light", "N2": "light"})
    # Said beside what it generates.
    caveats: tuple[str, ...] = (
        "SleepLM reads no oximeter: the SpO2 in its heart caption is inferred, not measured",
        "SleepLM knows N1 and N2 as one stage (light sleep)",
    )

    def __init__(
        self, source: str, *, device: str = "auto", dtype: str = "auto", compile_from_s: float | None = COMPILING_PAYS_S
    ) -> None:
        from encoders.models.recoca import ReCoCaConfig

        self._weights: Weights = find_weights(source)
        self.name = SCHEME + self._weights.source
        self._config: ReCoCaConfig = ReCoCaConfig.read(self._weights.config or PUBLISHED)
        self.dim = self._config.embed_dim
        wanted = len(READS), self._config.biosignals_cfg.signal_length
        if wanted != (self._config.biosignals_cfg.input_channels, 1920):
            raise BadInput(
                f"{self.name}: reads {self._config.biosignals_cfg.input_channels} channels; our adapter has ten"
            )
        if card := read_card(self._weights.path):
            self._learnt_here(card)
        self._placement: Placement = place(device, dtype)
        self.runs_on = str(self._placement) + (", random weights" if self._weights.random else "")
        self._towers: dict[str, ReCoCa] = {}
        self._compile_from_s = compile_from_s  # None: never
        self._compiled: tuple[int, Callable[[torch.Tensor], torch.Tensor]] | None = None  # for batches of one size

    def _learnt_here(self, card: Mapping[str, Any]) -> None:
        """What weights that were trained on have seen, and what no longer holds of them or is new."""
        self.trained_on, learnt = tuple(card.get("trained_on", ())), card.get("objectives", {})
        if "contrastive" in learnt or "sigmoid" in learnt:  # texts that know N1 from N2
            self.merges_stages = MappingProxyType({})
        moved = "SleepLM's caption decoder did not learn with the towers, which were trained on"
        self.caveats = (self.caveats[0],) if "caption" in learnt else (*self.caveats, moved)

    @cached_property
    def space(self) -> str:
        """`sleeplm-<8 hex>` of the weights' SHA-256."""
        return f"sleeplm-{self._weights.sha256[:8]}"

    def tower(self, part: str) -> "ReCoCa":
        """The model with this part alone, loaded once."""
        if part not in self._towers:
            parts = ("text", "text_decoder") if part == "text_decoder" else (part,)
            self._towers[part] = self._weights.load(self._config, parts).to(
                self._placement.device, self._placement.dtype
            )
        return self._towers[part]

    def embed_epochs(self, epochs: Epochs) -> np.ndarray:
        """Unit vectors of epochs, float32 `(n, 512)`; no text and no decoder takes part."""
        import torch

        out = np.zeros((len(epochs), self.dim), np.float32)
        model = self.tower("biosignals")
        began = time.perf_counter()
        with torch.inference_mode():
            for rows, signals in self._batches(epochs):
                if rows.start:  # the batches before this one told the pace
                    left_s = (time.perf_counter() - began) / rows.start * (len(epochs) - rows.start)
                    self._compile_if_it_pays(signals, left_s)
                size, embed = self._compiled or (0, model.embed_signals)
                embed = embed if size == len(signals) else model.embed_signals
                out[rows] = embed(signals).cpu().numpy()
        return out

    def _compile_if_it_pays(self, signals: "torch.Tensor", left_s: float) -> None:
        """Compiles the signal tower for batches like this one, once; where there is no compiler, all stays as it is."""
        import torch

        here = self._placement.device.type == "cpu" and self._placement.dtype == torch.bfloat16
        if self._compiled or not here or self._compile_from_s is None or left_s < self._compile_from_s:
            return
        plain = self.tower("biosignals").embed_signals
        try:
            embed = torch.compile(plain, dynamic=False)
            embed(signals)
            said = "compiled"
        except RuntimeError as failed:  # what torch raises without a C++ compiler, among others
            embed, said = plain, f"not compiled ({' '.join(str(failed).split())[:99]})"
        self._compiled = len(signals), embed
        self.runs_on += f", {said}"

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of sentences, float32 `(len(texts), 512)`; what exceeds 256 tokens is cut, as in training."""
        import torch

        out = np.zeros((len(texts), self.dim), np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")  # like lengths together: less padding
        with torch.inference_mode():
            for first in range(0, len(texts), _TEXTS_AT_ONCE):
                rows = order[first : first + _TEXTS_AT_ONCE]
                ids = tokenizer(self._config.text_cfg.context_length)([texts[i] for i in rows])
                out[rows] = self.tower("text").embed_texts(ids.to(self._placement.device)).cpu().numpy()
        return out

    def describe(
        self, epochs: Epochs, parts: Sequence[str] | None = None, *, decoding: "Decoding | None" = None
    ) -> list[dict[str, str]]:
        """Generated captions by part, one dictionary an epoch; greedy as published unless `decoding` says otherwise."""
        import torch

        from encoders.models.recoca import generate

        chosen = list(PARTS if parts is None else parts)
        if unknown := [part for part in chosen if part not in PARTS]:
            raise BadInput(f"caption part {unknown[0]!r}: {self.name} writes {', '.join(PARTS)}")
        found: list[dict[str, str]] = [{} for _ in range(len(epochs))]
        with torch.inference_mode():
            for rows, signals in self._batches(epochs, at_most=16):
                tokens = self.tower("biosignals").biosignals(signals)[1].repeat_interleave(len(chosen), 0)
                indices = torch.tensor([[PARTS.index(part), -1] for part in chosen], device=tokens.device)
                ids = generate(self.tower("text_decoder"), tokens, indices.repeat(len(signals), 1), decoding)
                texts = iter(decode(ids.tolist()))
                for row in range(rows.start, rows.stop):
                    found[row] = {part: next(texts) for part in chosen}
        return found

    def _batches(self, epochs: Epochs, at_most: int = 512) -> "Iterator[tuple[slice, torch.Tensor]]":
        """Normalised epochs on the device; on a GPU from two pinned buffers, so that copies run beside the model."""
        import torch

        size = min(at_most, batch_size(self._placement, _bytes_per_epoch(self._config, self._placement)))
        pinned = self._placement.device.type == "cuda"
        buffers = [torch.empty(size, len(READS), 1920, pin_memory=True) for _ in range(2)] if pinned else []
        copied: list[Any] = [torch.cuda.Event() for _ in buffers]  # type: ignore[no-untyped-call]
        for turn, first in enumerate(range(0, len(epochs), size)):
            rows = slice(first, min(first + size, len(epochs)))
            signals = torch.from_numpy(normalised(epochs[rows]))
            if pinned:
                copied[turn % 2].synchronize()  # the copy before the last one has left this buffer
                buffer = buffers[turn % 2][: len(signals)].copy_(signals)
                signals = buffer.to(self._placement.device, non_blocking=True)
                copied[turn % 2].record()
            yield rows, signals.to(self._placement.dtype)


def normalised(epochs: Epochs) -> np.ndarray:
    """The published input, float32 `(n, 10, 1920)`: z-scores over the recording, zeros where missing, codes."""
    if epochs.signals is None or epochs.statistics is None:
        raise ValueError("epochs without signals can't be embedded: build them with signals=True")
    waves = len(READS) - 1
    mean, sd = epochs.statistics.mean[:waves], epochs.statistics.sd[:waves]
    there = epochs.present[:, :waves] & np.isfinite(sd) & (sd > 0)
    out = np.empty((len(epochs), len(READS), epochs.signals.shape[2]), np.float32)
    scaled = (epochs.signals[:, :waves] - mean[:, None]) / np.where(sd > 0, sd, 1)[:, None]
    out[:, :waves] = np.where(there[:, :, None], np.clip(scaled, -CLIP_SD, CLIP_SD), 0.0)
    out[:, waves] = np.where(epochs.present[:, waves, None], epochs.signals[:, waves], UNKNOWN_POSITION)
    return out


@cache
def tokenizer(context_length: int = 256) -> Any:
    """open_clip's byte-pair tokenizer: texts to ids `(n, context_length)`, padded with 0."""
    from encoders.models.door import open_clip

    return open_clip().tokenizer.SimpleTokenizer(context_length=context_length)


def decode(rows: Sequence[Sequence[int]]) -> list[str]:
    """Ids to plain text: what the tokenizer spaced out (`3 9 . 0 5 %`) is closed up again."""
    from encoders.models.recoca.config import EOT, PAD, SOT

    texts = []
    for row in rows:
        text = tokenizer().decode([i for i in row if i not in (SOT, EOT, PAD)])
        text = _NAME.sub("\\1\\2\0", text)  # the mark keeps `spo2 98` from becoming `spo298`
        text = re.sub(r"(?<=\d) ?([.]) ?(?=\d)", r"\1", text)
        text = re.sub(r"(?<=[\d.]) (?=\d)", "", text)
        texts.append(re.sub(r" ([.,;:%!?)])", r"\1", text).replace("\0", "").strip())
    return texts


def source_of(name: str) -> str | None:
    """The source that an encoder's name gives, of a folder `trained:PATH` with SleepLM's weights too; None: another."""
    if name.startswith(SCHEME):
        return name.removeprefix(SCHEME)
    folder = Path(name.removeprefix(TRAINED)).expanduser()
    return str(folder) if name.startswith(TRAINED) and (folder / WEIGHTS).is_file() else None


def read_card(path: Path | None) -> dict[str, Any]:
    """The card that training left beside weights; {} where there is none."""
    if path is None or not path.with_name(CARD).is_file():
        return {}
    card: dict[str, Any] = json.loads(path.with_name(CARD).read_text(encoding="utf-8"))
    return card


def save_sleeplm(model: "ReCoCa", start: Path, folder: Path, card: Mapping[str, Any]) -> None:
    """Write weights in the published layout, configuration and card; parts that `model` lacks are those of `start`."""
    from safetensors.torch import save_file

    from encoders.models.recoca.checkpoint import open_state

    with open_state(start) as state:
        tensors = {key: state[key].float() for key in state}
    tensors |= model.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(model.config.to_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _bytes_per_epoch(config: "ReCoCaConfig", placement: Placement) -> int:
    """Activations that live at once while an epoch passes through a feed-forward layer, the widest place."""
    signal = config.biosignals_cfg
    tokens = signal.input_channels * signal.signal_length // signal.patch_size
    width = signal.transformer_width * (4 + 3 * signal.mlp_ratio)
    return int(tokens * width * placement.dtype.itemsize)
