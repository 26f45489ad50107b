"""A published checkpoint into our model: every key accounted for, only the wanted towers read, the file mapped."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.errors import BadInput
from encoders.models.recoca.config import ReCoCaConfig
from encoders.models.recoca.model import PARTS, ReCoCa
from encoders.models.recoca.signal_tower import Rotary

WRAPPERS = ("module.", "_orig_mod.")  # what data-parallel training and torch.compile put before every key
_SHARED_ROPE = "biosignals.shared_channel_rope.freqs"
_LISTED = 8  # keys named in an error


class _Safetensors(Mapping[str, Tensor]):
    """The tensors of a .safetensors file, each mapped when it is asked for."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._keys: list[str] = list(self._file.keys())

    def __getitem__(self, key: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(key)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(key).get_shape())


@contextmanager
def open_state(path: Path) -> "Iterator[_Renamed]":
    """The state dict in a `.safetensors` or `.pt` file by plain keys; `.pt` loads with `weights_only=True`."""
    if not path.is_file():
        raise BadInput(f"{path}: no such checkpoint; give a .safetensors or .pt file, or a folder that holds one")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                yield _plain(_Safetensors(file), path)
        except SafetensorError as broken:
            raise BadInput(f"{path.name}: not a safetensors file ({broken})") from broken
        return
    yield _plain(_unpickled(path), path)


def _unpickled(path: Path) -> Mapping[str, Tensor]:
    try:
        try:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before zip files can't be mapped
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as broken:
        reason = str(broken).splitlines()[0] if str(broken) else type(broken).__name__
        raise BadInput(f"{path.name}: not loadable with weights_only=True ({reason[:200]})") from broken
    state = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        kinds = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise BadInput(
            f"{path.name}: holds no state dict; expected tensors by name or under 'state_dict', found {kinds[:99]}"
        )
    return state


class _Renamed(Mapping[str, Tensor]):
    def __init__(self, state: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
        self._state, self._names = state, names

    def __getitem__(self, key: str) -> Tensor:
        return self._state[self._names[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, key: str) -> tuple[int, ...]:
        """Without reading the tensor where the file allows it."""
        name = self._names[key]
        return self._state.shape(name) if isinstance(self._state, _Safetensors) else tuple(self._state[name].shape)


def _plain(state: Mapping[str, Tensor], path: Path) -> _Renamed:
    names: dict[str, str] = {}
    for key in state:
        plain = key
        while wrapper := next((w for w in WRAPPERS if plain.startswith(w)), None):
            plain = plain.removeprefix(wrapper)
        if plain in names:
            raise BadInput(f"{path.name}: {key} and {names[plain]} are both {plain}")
        names[plain] = key
    return _Renamed(state, names)


def load_checkpoint(path: Path, config: ReCoCaConfig, parts: Sequence[str] = PARTS[:3]) -> ReCoCa:
    """The model of `config` with the weights of `path`, float32, in evaluation mode; only `parts` are built and read.

    The numbers of caption channels and decoder tokens are taken from the file, as is the presence of the reconstruction
    head (`signal_decoder`, skipped where the file has none). `BadInput` lists missing, unexpected and misshapen keys,
    and names a rotary table that is not the formula's.
    """
    with open_state(path) as state:
        shapes = {key: state.shape(key) for key in state}
        config = fitted(config, shapes)
        _compare(path, config, shapes)
        parts = [part for part in parts if part != "signal_decoder" or "signal_decoder.to_signal.0.weight" in shapes]
        model = empty_model(config, parts)
        wanted = model.state_dict().keys()
        weights = {key: state[key].float() for key in wanted}
        _settle_rotary(path, weights)
        model.load_state_dict(weights, assign=True)
        model.requires_grad_(False)
        return model.eval()


def fitted(config: ReCoCaConfig, shapes: Mapping[str, tuple[int, ...]]) -> ReCoCaConfig:
    """The configuration with the two numbers that a file tells better than its JSON."""
    if "channel_embeddings" in shapes:
        config = replace(config, num_caption_channels=shapes["channel_embeddings"][0])
    if (query := shapes.get("biosignals.decoder_pooler.query_tokens")) and len(query) == 3:
        config = replace(config, biosignals_cfg=replace(config.biosignals_cfg, decoder_tokens=query[1]))
    return config


def empty_model(config: ReCoCaConfig, parts: Sequence[str]) -> ReCoCa:
    """The model without memory for its weights; masks, which no file holds, are real."""
    with torch.device("meta"):
        model = ReCoCa(config, parts)
    if "text" in parts:
        model.text.attn_mask = model.text.build_causal_mask()
    if "text_decoder" in parts:
        model.text_decoder.attn_mask = model.text_decoder.build_attention_mask()
    return model


def random_model(config: ReCoCaConfig, parts: Sequence[str] = PARTS[:3], seed: int = 0) -> ReCoCa:
    """Random weights: for tests and timing, never a stand-in for a checkpoint."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ReCoCa(config, parts).requires_grad_(False).eval()


def _compare(path: Path, config: ReCoCaConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    optional = any(key.startswith("signal_decoder.") for key in shapes)
    model = empty_model(config, PARTS if optional else PARTS[:3])
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    problems = []
    for word, keys in (
        ("missing", [key for key in expected if key not in shapes]),
        ("unexpected", [key for key in shapes if key not in expected]),
        ("misshapen", [f"{key} {list(shapes[key])}, expected {list(shape)}" for key, shape in expected.items()
                       if key in shapes and shapes[key] != shape]),
    ):  # fmt: skip
        if keys:
            more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
            problems.append(f"{len(keys)} {word}: {'; '.join(keys[:_LISTED])}{more}")
    if problems:
        raise BadInput(
            f"{path.name}: does not fit the configuration of {len(expected)} keys; {' | '.join(problems)}. Put the "
            "config.json that it was trained with beside it."
        )


def _settle_rotary(path: Path, weights: dict[str, Tensor]) -> None:
    """Fixed tables must be the formula's, to half precision, and become it; the shared frequencies must agree."""
    for key, tensor in list(weights.items()):
        if ".temporal_attention_layers." in key and key.endswith("rotary_emb.freqs"):
            formula = Rotary(2 * len(tensor), learned=False).freqs
            if not torch.allclose(tensor, formula, rtol=1e-2, atol=1e-6):
                raise BadInput(f"{path.name}: {key} is not 10000^(-2i/{2 * len(tensor)}); time would be read wrongly")
            weights[key] = formula
        elif key.endswith("channel_attention.rotary_emb.freqs") and not torch.equal(tensor, weights[_SHARED_ROPE]):
            raise BadInput(f"{path.name}: {key} differs from {_SHARED_ROPE}, with which it is shared")


def count_parameters(model: ReCoCa) -> int:
    """Distinct parameter values."""
    return sum(math.prod(parameter.shape) for parameter in model.parameters())
