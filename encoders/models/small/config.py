"""The sizes of a `sleepsearch-small` model, as the JSON file beside its weights has them."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from encoders.errors import BadInput
from encoders.models.small.inputs import VERSION


@dataclass(frozen=True, slots=True)
class SmallConfig:
    """Widths and depths; `words` is the decoder's vocabulary, empty without a decoder."""

    dim: int = 256  # of the vectors that are compared
    patch_width: int = 128  # of one sensor's two seconds
    width: int = 256  # of what the sensors say together
    heads: int = 8
    layers: int = 4  # over time, after the sensors are joined
    text_width: int = 256
    sentence_dim: int = 384  # of the frozen sentence encoder
    dropout: float = 0.0  # sensors, patches and facts are dropped anyway
    decoder_layers: int = 0
    words: tuple[str, ...] = ()
    inputs: int = VERSION

    @classmethod
    def read(cls, path: Path) -> "SmallConfig":
        """From JSON; `BadInput` names a key that is not known, or inputs of another version."""
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as wrong:
            raise BadInput(
                f"{path.name}: not a model configuration ({wrong}); a folder that `train` wrote has one"
            ) from wrong
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(table) - known):
            raise BadInput(f"{path.name}: key {unknown[0]!r} is not known; possible are {', '.join(sorted(known))}")
        config = cls(**{**table, "words": tuple(table.get("words", ()))})
        if config.inputs != VERSION:
            raise BadInput(
                f"{path.name}: made for inputs of version {config.inputs}, these are {VERSION}; train it again"
            )
        return config

    def write(self, path: Path) -> None:
        """As JSON that `read` takes."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
