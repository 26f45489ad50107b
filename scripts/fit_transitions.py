"""Fit the stage transitions of `retrieval/transitions.toml` on real hypnograms: `python scripts/fit_transitions.py`.

The same recordings give the same file, byte for byte. What is written are fitted constants, nobody's hypnogram.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fit_hypnogram import RealNight, read_nights
from numpy.typing import NDArray

from encoders.simulation.draws import CODES
from encoders.vocabulary import EPOCH_S

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "retrieval" / "transitions.toml"
DATABASES = ("BOAS", "Sleep-EDF")  # UCDDB is what encoders are tried on: its stages stay out
AWAKE_MIN = 30  # of wake kept before the first and after the last sleep: Sleep-EDF's cassettes run through the day
PRIOR = 0.5  # of a passage added to each pair, so that none is impossible (Jeffreys)


def count(nights: Sequence[RealNight]) -> NDArray[np.int64]:
    """Passages `(5, 5)` from one scored epoch to the next, scored one, over the main sleep of each night."""
    counts = np.zeros((len(CODES), len(CODES)), np.int64)
    margin = round(AWAKE_MIN * 60 / EPOCH_S)
    for night in nights:
        stages = night.stages[max(night.asleep.start - margin, 0) : night.asleep.stop + margin].astype(np.int64)
        known = (stages[:-1] >= 0) & (stages[1:] >= 0)
        np.add.at(counts, (stages[:-1][known], stages[1:][known]), 1)
    return counts


def fit(nights: Sequence[RealNight]) -> NDArray[np.float64]:
    """The chance of each stage after each stage, rows sum to one; the mean of the databases', since they score
    differently and nothing says which is right."""
    each = []
    for name in DATABASES:
        counts = count([night for night in nights if night.database == name]) + PRIOR
        each.append(counts / counts.sum(axis=1, keepdims=True))
    chances: NDArray[np.float64] = np.mean(each, axis=0)
    return chances


def write(nights: Sequence[RealNight]) -> str:
    """The text of the TOML."""
    lines = ["# Written by scripts/fit_transitions.py; do not edit. Only fitted constants, nobody's night."]
    for name in DATABASES:
        its = [night for night in nights if night.database == name]
        people, passages = len({night.person for night in its}), int(count(its).sum())
        lines.append(f"# {name}: {len(its)} nights of {people} people, {passages} passages.")
    lines += [
        "# BOAS: OpenNeuro ds005555 v1.1.0, doi:10.18112/openneuro.ds005555.v1.1.0, CC0; majority of three, AASM.",
        "# Sleep-EDF Expanded v1.0.0, doi:10.13026/C2X676, PhysioNet, ODC-By 1.0, R&K, stages 3 and 4 are N3.",
        f"# From {AWAKE_MIN} minutes before the first to {AWAKE_MIN} after the last sleep; the mean of both databases.",
        "# A cohort that holds these nights is no test of what was smoothed with them.",
        "",
        f"epoch_s = {EPOCH_S:g}",
        "",
        "# Chance of the stage (column, in the order of the rows) in the next epoch.",
        "[next]",
    ]
    for code, row in zip(CODES, fit(nights), strict=True):
        lines.append(f"{code} = [{', '.join(f'{chance:.6f}' for chance in row)}]")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the databases")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    args = parser.parse_args()
    if not (args.data / "boas_ds005555_hypnograms").is_dir():
        parser.error(f"--data {args.data}: no hypnograms of BOAS or Sleep-EDF there; name the folder of shared/data.")
    nights = [night for night in read_nights(args.data) if night.database in DATABASES]
    args.out.write_text(write(nights), encoding="utf-8")
    print(f"{args.out.name}: {len(nights)} nights")


if __name__ == "__main__":
    main()
