"""Detectors made for real nights against the truth of simulated ones: `python scripts/judge_simulator.py --nights 20`.

Needs the development extras of the dependency group `judges`; nothing here was tuned to the seed that it reports on.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from judges.common import Finding, Judged
from rich.console import Console
from rich.progress import track
from rich.table import Table

from encoders.simulation import simulate

SEED = 20261  # of the reported nights; constants were chosen on seeds below 1000
SITE = "clinic"  # records every sensor that a judge asks for
JUDGES = ("staging", "elements", "spectra", "beats", "breaths", "untuned")


def _measure(judges: Sequence[str], night: Judged) -> dict[str, Any]:
    return {name: import_module(f"judges.{name}").measure(night) for name in judges}


def judge(folder: Path, *, nights: int, seed: int, hours: float, judges: Sequence[str], workers: int) -> list[Finding]:
    """Simulates `nights` ideal nights into `folder` and lets every judge measure each, then sum up."""
    made = simulate(folder, nights=nights, seed=seed, sites=[SITE], hours=hours, ideal=True)
    given = [Judged(night.recording, night.site, night.edf) for night in made]
    # Spawned: polars and numba do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        measured = list(track(pool.map(partial(_measure, judges), given), "judging", total=len(given),
                              console=Console(stderr=True)))  # fmt: skip
    return [
        finding for name in judges
        for finding in import_module(f"judges.{name}").summarise([of[name] for of in measured])
    ]  # fmt: skip


def main() -> None:
    """Prints one table, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--judges", nargs="+", choices=JUDGES, default=list(JUDGES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the nights there; default: a folder that is deleted")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = judge(
            asked.folder or Path(temporary), nights=asked.nights, seed=asked.seed, hours=asked.hours,
            judges=asked.judges, workers=asked.workers,
        )  # fmt: skip
    if asked.json:
        json.dump([asdict(finding) for finding in found], sys.stdout, indent=1)
        return
    table = Table("judge", "what", "figure", "aim", "met", title=f"{asked.nights} simulated nights, seed {asked.seed}")
    for finding in found:
        met = "" if finding.met is None else "yes" if finding.met else "no"
        table.add_row(finding.judge, finding.what, finding.figure, finding.aim, met)
    Console().print(table)


if __name__ == "__main__":
    main()
