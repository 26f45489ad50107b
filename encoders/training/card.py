"""The card beside a run's weights: what they were made from, how, and what they have seen."""

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encoders.training.config import TrainConfig
from encoders.training.feed import Split
from encoders.training.start import Start
from encoders.training.state import State
from encoders.training.store import EpochStore


def make_card(
    start: Start, store: EpochStore, split: Split, state: State, figures: dict[str, float], runs_on: str
) -> dict[str, Any]:
    """`trained_on` names the subjects, those of the weights that training began with among them."""
    config = start.config
    people, objectives = store.people, config.objectives
    seen = people[sorted(set(store.recording[split.trained]))]
    before = start.card
    weights = {name: getattr(objectives, name) for name in objectives.NAMES}
    return {
        "trained_on": sorted({*seen["subject"], *before.get("trained_on", ())}),
        "sites": sorted({*seen["site"].drop_nulls(), *before.get("sites", ())}),
        "data": {
            "recordings": len(seen), "simulated_recordings": int(seen["simulated"].fill_null(False).sum()),
            "simulated_epochs": len(split.simulated), "real_epochs": len(split.real),
            "kept_apart_subjects": sorted(set(people[sorted(set(store.recording[split.kept]))]["subject"])),
        },
        "objectives": {name: weight for name, weight in weights.items() if weight},
        "started_from": _named(config.model.start), "adapted": config.model.adapt,
        "steps": state.step, "epochs_seen": state.step * config.schedule.batch, "seconds": round(state.seconds, 1),
        "runs_on": runs_on, "code": code_version(), "validation": {k: round(v, 4) for k, v in figures.items()},
        "settings": _without_folders(config),
    }  # fmt: skip


def _without_folders(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """The run's settings less folders and files: a path may hold a person's name, and means nothing elsewhere."""
    table = config.to_table()
    for section, keys in (("data", TrainConfig.PATHS), ("sampling", ("bank",))):
        table[section] = {key: value for key, value in table[section].items() if key not in keys}
    return table | {"model": table["model"] | {"start": _named(config.model.start)}}


def _named(start: str) -> str:
    """Where training began; of a folder or file its last name."""
    scheme, _, path = start.partition(":")
    return f"{scheme}:{Path(path).name}" if Path(path).is_absolute() else start


@cache
def code_version() -> str:
    """The package's version and a hash of the code that trains: two runs of one version may differ in a module."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    try:
        number = version("sleepsearch")
    except PackageNotFoundError:
        number = "0"  # run from a checkout that is not installed
    return f"{number}+{digest.hexdigest()[:8]}"
