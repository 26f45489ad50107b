"""Training an encoder for a user's own cohort, as one call."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any


def train(
    config: Path, out: Path, *, resume: bool = True, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Train as the TOML file `config` says; `folder`, `encoder` (its name for the registry), steps, seconds, figures.

    The same call goes on where an interrupted one ended, unless `resume` is False. `BadInput` for a configuration that
    can't be run.
    """
    from encoders.training.config import TrainConfig
    from encoders.training.loop import train as run

    return asdict(run(TrainConfig.read(config), out, progress=progress, resume=resume))


def example_config() -> str:
    """A configuration with every key at its default and a comment to each, as TOML."""
    from encoders.training.config import example

    return example()
