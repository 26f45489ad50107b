"""The architecture as a JSON file describes it, in the field names of the published SleepLM configuration."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from encoders.errors import BadInput

SOT, EOT, PAD = 49406, 49407, 0  # of the byte-pair vocabulary that the family reads and writes

# What the published configuration says of parts that this family has in one form only.
_FIXED: dict[str, dict[str, Any]] = {
    "biosignals_cfg": {
        "architecture": "pure_transformer", "activation": "swiglu", "norm_type": "rmsnorm", "mlp_bias": False,
        "share_channel_rope": True, "pool_type": "attn", "sampling_rate": 64,
    },
    "text_cfg": {"embed_cls": True, "output_tokens": True},
    "": {"decoder_type": "cross_attention", "custom_text": True},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignalConfig:
    """The signal tower; `transformer_layers` blocks of one channel layer and `num_temporal_layers` temporal ones."""

    input_channels: int
    signal_length: int
    patch_size: int
    conv_embed_dim: int
    num_temporal_layers: int
    transformer_layers: int
    transformer_width: int
    transformer_heads: int
    mlp_ratio: float
    decoder_tokens: int
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The text tower, open_clip's own names."""

    context_length: int
    vocab_size: int
    width: int
    heads: int
    layers: int
    mlp_ratio: float = 4.0


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """The caption decoder: pairs of self-attention and cross-attention blocks."""

    context_length: int
    width: int
    heads: int
    layers: int
    mlp_ratio: float = 4.0


@dataclass(frozen=True, slots=True)
class ReCoCaConfig:
    """All of the model; `prefix_len` bounds the condition tokens, `num_caption_channels` counts their kinds."""

    embed_dim: int
    biosignals_cfg: SignalConfig
    text_cfg: TextConfig
    multimodal_cfg: DecoderConfig
    prefix_len: int
    num_caption_channels: int

    @classmethod
    def read(cls, path: Path) -> "ReCoCaConfig":
        """The configuration in a JSON file; `BadInput` names the file and the field at fault."""
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as broken:
            raise BadInput(f"{path.name}: not a readable JSON configuration ({broken})") from broken
        except BadInput as wrong:
            raise BadInput(f"{path.name}: {wrong}") from wrong

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> "ReCoCaConfig":
        """The configuration as nested dictionaries; `BadInput` for unknown, missing or impossible fields."""
        parts = {"biosignals_cfg": SignalConfig, "text_cfg": TextConfig, "multimodal_cfg": DecoderConfig}
        fields: dict[str, Any] = {}
        for name, value in _without_fixed("", given).items():
            if name not in cls.__dataclass_fields__:
                raise BadInput(f"{name}: unknown field; known: {', '.join(cls.__dataclass_fields__)}")
            fields[name] = _part(parts[name], name, value) if name in parts else value
        config: ReCoCaConfig = _part(cls, "", fields)
        widths = {config.biosignals_cfg.transformer_width, config.text_cfg.width, config.multimodal_cfg.width}
        if len(widths) > 1:
            raise BadInput(
                f"width: the towers have {sorted(widths)}; they must be of one width, tokens are not projected"
            )
        if config.biosignals_cfg.signal_length % config.biosignals_cfg.patch_size:
            raise BadInput("signal_length: must be a multiple of patch_size")
        return config

    def to_dict(self) -> dict[str, Any]:
        """As nested dictionaries, which `from_dict` reads."""
        return asdict(self)


def _without_fixed(part: str, given: dict[str, Any]) -> dict[str, Any]:
    fixed = _FIXED.get(part, {})
    for name, value in fixed.items():
        if name in given and given[name] != value:
            raise BadInput(
                f"{part + '.' if part else ''}{name}: {given[name]!r}; this model family has {value!r} alone"
            )
    return {name: value for name, value in given.items() if name not in fixed}


def _part(kind: Any, name: str, given: dict[str, Any]) -> Any:
    fields = _without_fixed(name, given) if name else given
    unknown = [field for field in fields if field not in kind.__dataclass_fields__]
    if unknown:
        raise BadInput(f"{name}.{unknown[0]}: unknown field; known: {', '.join(kind.__dataclass_fields__)}")
    try:
        return kind(**fields)
    except TypeError as missing:
        raise BadInput(f"{name or 'configuration'}: {str(missing).split('__init__() ')[-1]}") from missing
