"""What scripts/scaling.py and scripts/ablate.py share: one run on the small stated budget, and its figures.

The budget is epochs seen, so that a busy machine changes nothing; every run is on the same nights, looks at the same
subjects of another seed, and goes on where it was killed. Its figures are kept in its folder and read the next time.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train_default import SEEDS, SITES, say, simulate_cached

from encoders.training.config import TrainConfig
from encoders.training.journal import read_log
from encoders.training.loop import train

NIGHTS, KEPT_NIGHTS, HOURS = 36, 9, 8.0
EPOCHS_SEEN = 24_000  # stages are learnt after some 300 steps; with fewer, all runs look alike
SMALL = {
    "model": {"sizes": {"width": 64, "patch_width": 32, "layers": 2, "dim": 128, "text_width": 256, "heads": 4}},
    "objectives": {"contrastive": 1.0, "sigmoid": 1.0, "caption": 0.0, "masked": 0.0, "dash": 0.0},
    "schedule": {"epochs_seen": EPOCHS_SEEN, "batch": 64},
    "optimiser": {"lr": 0.001, "ema": 0.99},
    "run": {"validate_minutes": 0.0, "checkpoint_seconds": 60.0, "tensorboard": False},
}


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options of both scripts."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the result")
    parser.add_argument("--cache", type=Path, help="folder with train/ and choose/ of scripts/train_default.py")
    parser.add_argument("--nights", type=int, default=NIGHTS, help="simulated to train on, without --cache")
    parser.add_argument("--hours", type=float, default=HOURS, help="length of a night, without --cache")
    parser.add_argument("--epochs-seen", type=int, default=EPOCHS_SEEN, help="the budget of each run")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each kind")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that simulate")
    return parser


def data_of(args: argparse.Namespace) -> dict[str, Any]:
    """The nights of all runs, simulated first where no cache is given."""
    cache = args.cache
    if cache is None:
        cache = args.out / "nights"
        simulate_cached(cache / "train", SEEDS["train"], args.nights, args.hours, args.workers, SITES)
        simulate_cached(cache / "choose", SEEDS["choose"], max(1, args.nights // 4), args.hours, args.workers, SITES)
    folders = {"cache": cache / "train", "validation": cache / "choose"}
    return {"validation_share": 0.0, **{key: [str(path.resolve())] for key, path in folders.items()}}


def figures_of(
    table: Mapping[str, Mapping[str, Any]], args: argparse.Namespace, name: str, seed: int
) -> dict[str, Any]:
    """Run the small recipe with these changes, or read what it gave before: validation figures, parameters, data."""
    out = args.out / f"{name}-seed{seed}"
    kept = out / "figures.json"
    config = TrainConfig.of(SMALL).but({"schedule": {"epochs_seen": args.epochs_seen}}).but(table)
    config = config.but({"run": {"seed": SEEDS["train"] + seed}})
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if found["settings"] == config.to_table():
            return found
    trained = train(config, out, progress=lambda losses, done, of: say(f"{name}: {done / of:6.1%}  {losses}"))
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    found = {
        "name": name, "seed": seed, "folder": str(out), "figures": trained.figures, "seconds": trained.seconds,
        "train": read_log(out, "train")[-1], "epochs": card["data"]["simulated_epochs"] + card["data"]["real_epochs"],
        "subjects": len(card["trained_on"]), "settings": config.to_table(),
    }  # fmt: skip
    kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found
