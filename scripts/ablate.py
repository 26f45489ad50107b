"""What each objective brings, alone and together, on one small budget.   python scripts/ablate.py --out runs/ablation

Every run sees the same number of epochs (--epochs-seen) of the same simulated nights and is looked at on subjects of
another seed; --unseen SITE keeps a site apart and looks at it alone. A run that is not there is trained, an interrupted
one goes on. `both` are the contrastive losses, softmax and sigmoid. The table is printed and kept as ablation.json;
with --seeds N the spread over seeds is given. DASH and plain InfoNCE are compared on the same epochs, the difference
with its interval over subjects (first seed).
"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from runs import arguments, data_of, figures_of

from encoders.errors import BadInput
from encoders.models.small.small import load_model
from encoders.training.config import Objectives, TrainConfig
from encoders.training.feed import split_store
from encoders.training.store import EpochStore
from encoders.training.validate import Prompts, measure
from retrieval.evaluation.figures import interval

ALONE: dict[str, dict[str, Any]] = {
    "contrastive": {"contrastive": 1.0},
    "sigmoid": {"sigmoid": 1.0},
    "caption": {"caption": 1.0},
    "masked": {"masked": 1.0},
    "dash": {"dash": 1.0},
    "steps": {"steps": 1.0},
}
TOGETHER: dict[str, dict[str, Any]] = {
    "contrastive + sigmoid": {"contrastive": 1.0, "sigmoid": 1.0},
    "contrastive + caption": {"contrastive": 1.0, "caption": 0.2},
    "contrastive + masked": {"contrastive": 1.0, "masked": 0.2},
    "contrastive + dash": {"contrastive": 1.0, "dash": 0.1},
    "contrastive + plain InfoNCE": {"contrastive": 1.0, "dash": 0.1, "dash_people": False},
    "both + dash": {"contrastive": 1.0, "sigmoid": 1.0, "dash": 0.1},
    "both + plain InfoNCE": {"contrastive": 1.0, "sigmoid": 1.0, "dash": 0.1, "dash_people": False},
    "both + steps": {"contrastive": 1.0, "sigmoid": 1.0, "steps": 0.5},
    "all but caption": {"contrastive": 1.0, "sigmoid": 1.0, "masked": 0.2, "dash": 0.1, "steps": 0.5},
    "all": {"contrastive": 1.0, "sigmoid": 1.0, "caption": 0.2, "masked": 0.2, "dash": 0.1, "steps": 0.5},
}
NONE = dict.fromkeys(Objectives.NAMES, 0.0)
RIVALS = ("both + dash", "both + plain InfoNCE")  # the contrastive loss alone learns no stages on this budget
LOOKED_AT, AT_ONCE = 6000, 256  # epochs of the comparison, and how many are embedded together


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
    print(table(runs))
    report: dict[str, Any] = {"runs": runs}
    if runs.keys() >= set(RIVALS):
        report["difference"] = difference(*(runs[name][0] for name in RIVALS))
        for name, (value, low, high) in report["difference"].items():
            print(f"{' less '.join(RIVALS)}: {name} {value:+.3f} [{low:+.3f}, {high:+.3f}]")
    (args.out / "ablation.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[float, float, float]]:
    """By figure: the first run's less the second's on the epochs kept apart, with its 95 % interval over subjects."""
    config = TrainConfig.of(first["settings"])
    store = EpochStore([Path(folder) for folder in (*config.data.cache, *config.data.validation)])
    rows = split_store(store, config.data).kept
    if len(rows) > LOOKED_AT:
        rows = np.sort(np.random.default_rng(0).choice(rows, LOOKED_AT, replace=False))
    prompts, embedded = Prompts.load("cpu"), []
    for run in (first, second):
        model = load_model(Path(run["folder"])).eval()
        batches = [store.batch(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE)]
        with torch.inference_mode():
            vectors = torch.cat([model.embed_signals(b.x, b.present, b.night) for b in batches]).numpy()
        embedded.append((vectors, prompts.vectors(model, torch.device("cpu"))))
    bits, subjects = store.bits[rows], store.people["subject"].to_numpy()[store.recording[rows]]

    def of(name: str, some: np.ndarray) -> float:
        one, two = (measure(vectors[some], bits[some], prompts, asked).get(name, np.nan) for vectors, asked in embedded)
        return one - two

    found = {name: interval(lambda some, name=name: of(name, some), subjects) for name in second["figures"]
             if not name.startswith("loss ")}  # fmt: skip
    return {name: (i.value, i.low, i.high) for name, i in found.items()}


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
