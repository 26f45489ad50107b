"""What each objective brings, alone and together, on one small budget.   python scripts/ablate.py --out runs/ablation

Every run sees the same number of epochs (--epochs-seen) of the same simulated nights and is looked at on subjects of
another seed; --unseen SITE keeps a site apart and looks at it alone. A run that is not there is trained, an interrupted
one goes on. The table is printed and kept as ablation.json; with --seeds N the spread over seeds is given.
"""

import json
import sys
from statistics import mean, stdev
from typing import Any

from runs import arguments, data_of, figures_of

from encoders.errors import BadInput

ALONE: dict[str, dict[str, Any]] = {
    "contrastive": {"contrastive": 1.0},
    "sigmoid": {"sigmoid": 1.0},
    "caption": {"caption": 1.0},
    "masked": {"masked": 1.0},
    "dash": {"dash": 1.0},
}
TOGETHER: dict[str, dict[str, Any]] = {
    "contrastive + sigmoid": {"contrastive": 1.0, "sigmoid": 1.0},
    "contrastive + caption": {"contrastive": 1.0, "caption": 0.2},
    "contrastive + masked": {"contrastive": 1.0, "masked": 0.2},
    "contrastive + dash": {"contrastive": 1.0, "dash": 0.1},
    "contrastive + plain InfoNCE": {"contrastive": 1.0, "dash": 0.1, "dash_people": False},
    "all but caption": {"contrastive": 1.0, "masked": 0.2, "dash": 0.1},
    "all": {"contrastive": 1.0, "sigmoid": 0.2, "caption": 0.2, "masked": 0.2, "dash": 0.1},
}
NONE = dict.fromkeys(ALONE, 0.0)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of: {', '.join([*ALONE, *TOGETHER])}")
    parser.add_argument("--unseen", metavar="SITE", help="a site of the nights that is never trained on")
    args = parser.parse_args()
    rows = ALONE | TOGETHER
    if unknown := [name for name in args.only or () if name not in rows]:
        parser.error(f"no objective {unknown[0]!r}; possible are {', '.join(rows)}")
    try:
        data = data_of(args)
        if args.unseen:
            data |= {"validation": [], "held_out_sites": [args.unseen]}
        runs = {name: measured(name, rows[name], data, args) for name in args.only or rows}
    except BadInput as wrong:
        sys.exit(f"ablate: {wrong}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same call goes on from there")
    (args.out / "ablation.json").write_text(json.dumps(runs, indent=1), encoding="utf-8")
    print(table(runs))


def measured(name: str, weights: dict[str, Any], data: dict[str, Any], args: Any) -> list[dict[str, Any]]:
    """One run a seed; a decoder is there where captions are learnt."""
    change: dict[str, Any] = {"data": data, "objectives": NONE | weights}
    if weights.get("caption"):
        from runs import SMALL

        change["model"] = {"sizes": SMALL["model"]["sizes"] | {"decoder_layers": 2}}
    folder = name.replace(" + ", "-").replace(" ", "-") + (f"-without-{args.unseen}" if args.unseen else "")
    return [figures_of(change, args, folder, seed) for seed in range(args.seeds)]


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Objectives by figures: the mean over seeds, and their standard deviation where there are several."""
    names = [name for name in next(iter(runs.values()))[0]["figures"] if not name.startswith("loss ")]
    lines = [f"{'objectives':<30}" + "".join(f"{name:>20}" for name in names) + f"{'minutes':>10}"]
    for name, found in runs.items():
        cells = []
        for figure in names:
            values = [run["figures"][figure] for run in found if figure in run["figures"]]
            spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.3f}{spread}" if values else "-")
        minutes = mean(run["seconds"] for run in found) / 60
        lines.append(f"{name:<30}" + "".join(f"{cell:>20}" for cell in cells) + f"{minutes:>10.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
