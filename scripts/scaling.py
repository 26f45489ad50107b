"""How the loss falls with width, data and the number of modalities.   python scripts/scaling.py --out runs/scaling

Each axis alone, the others at their largest, every run on the same budget (--epochs-seen) and looked at on the same
subjects of another seed; of a width the best of LEARNING_RATES counts. loss = a + b * x^-c is fitted by scipy; the
interval is that of refits with the residuals drawn again (--seeds N gives more of them). Writes scaling.json and
scaling.html and says what 10 and 100 times more would give, which is a guess beyond what was measured. Finished runs
are read, an interrupted one goes on.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from runs import SMALL, arguments, data_of, figures_of
from scipy.optimize import minimize_scalar, nnls

from encoders.errors import BadInput

WIDTHS = (16, 32, 64, 128)
LEARNING_RATES = (0.0005, 0.001, 0.002)  # no one rate suits all widths: with .002 for all, the loss rose with width
SHARES = (0.125, 0.25, 0.5, 1.0)  # of the training subjects
SENSORS = {  # modalities, each a superset of the one before
    1: ["EEG_C3", "EEG_C4"],
    2: ["EEG_C3", "EEG_C4", "EOG_L", "EOG_R"],
    3: ["EEG_C3", "EEG_C4", "EOG_L", "EOG_R", "EMG_CHIN"],
    5: ["EEG_C3", "EEG_C4", "EOG_L", "EOG_R", "EMG_CHIN", "ABD", "THX", "AF"],
    8: ["EEG_C3", "EEG_C4", "EOG_L", "EOG_R", "EMG_CHIN", "ABD", "THX", "AF", "SPO2", "ECG", "HR", "POS"],
}
LOSS = "loss contrastive"
LOSSES = {"width": LOSS, "subjects": LOSS, "modalities": "1 - macro-F1 of stages"}
REFITS = 200
BEYOND = (10, 100)

Points = NDArray[np.float64]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--axes", nargs="+", choices=("width", "subjects", "modalities"), help="default: all three")
    args = parser.parse_args()
    axes = args.axes or ["width", "subjects", "modalities"]
    try:
        data = data_of(args)
        found = {axis: [run for seed in range(args.seeds) for run in grid(axis, data, args, seed)] for axis in axes}
    except BadInput as wrong:
        sys.exit(f"scaling: {wrong}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same call goes on from there")
    axes_found = {axis: {"loss_is": LOSSES[axis]} | fitted(points) for axis, points in found.items()}
    report = {"epochs_seen": args.epochs_seen, "axes": axes_found}
    (args.out / "scaling.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    plot(report, args.out / "scaling.html")
    print(words(report))


def grid(axis: str, data: dict[str, Any], args: Any, seed: int) -> list[tuple[float, float]]:
    """(x, loss) along one axis; x is the width, the number of subjects, or that of modalities."""
    sizes, points = SMALL["model"]["sizes"], []
    if axis == "width":
        for width in WIDTHS:
            model = {"sizes": sizes | {"width": width, "patch_width": width // 2}}
            runs = [
                figures_of(
                    {"data": data, "model": model, "optimiser": {"lr": lr}}, args, f"width-{width}-lr-{lr:g}", seed
                )
                for lr in LEARNING_RATES
            ]
            points.append((float(width), min(loss_of(run, axis) for run in runs)))
    elif axis == "subjects":
        for share in SHARES:
            run = figures_of({"data": data | {"subjects_used": share}}, args, f"subjects-{share:g}", seed)
            points.append((float(run["subjects"]), loss_of(run, axis)))
    else:
        for count, channels in SENSORS.items():
            run = figures_of({"data": data | {"channels": channels}}, args, f"modalities-{count}", seed)
            points.append((float(count), loss_of(run, axis)))
    return points


def loss_of(run: dict[str, Any], axis: str) -> float:
    """What is to fall. With more sensors more can be said of an epoch, so that the contrastive losses of two montages
    are of different texts; there it is how badly stages are told, the one question that all of them answer."""
    figures = run["figures"]
    return 1 - figures["stage macro-F1"] if axis == "modalities" else figures[LOSS]


def power_law(x: Points, a: float, b: float, c: float) -> Points:
    """Loss at x: `a` is what remains however large x becomes."""
    return a + b * x**-c


def fit(x: Points, y: Points) -> Points:
    """a, b, c of the least squares with a >= 0, b >= 0 and c up to 3: for each c the other two are linear."""

    def rest(c: float) -> tuple[Points, float]:
        found: tuple[Points, float] = nnls(np.column_stack([np.ones_like(x), x**-c]), y)
        return found

    c = minimize_scalar(lambda c: rest(c)[1], bounds=(0.01, 3), method="bounded").x
    return np.array([*rest(c)[0], c])


def fitted(points: list[tuple[float, float]], seed: int = 0) -> dict[str, Any]:
    """The fit, its 95 % interval by refits, and the loss that it gives at 10 and 100 times the largest x."""
    x, y = (np.array(column, np.float64) for column in zip(*points, strict=True))
    best = fit(x, y)
    report: dict[str, Any] = {"x": x.tolist(), "loss": y.tolist()}
    rng = np.random.default_rng(seed)
    free = np.sqrt(len(x) / max(1, len(x) - 3))  # three numbers were fitted: residuals are that much too small
    curve, residuals = power_law(x, *best), free * (y - power_law(x, *best))
    refits = [fit(x, curve + rng.choice(residuals, len(x))) for _ in range(REFITS)]
    at = {f"{times}x": times * float(x.max()) for times in BEYOND}
    beyond = np.array([[power_law(np.array(value), *one) for value in at.values()] for one in refits])
    return report | {
        "a": best[0], "b": best[1], "c": best[2], 
        "c_interval": np.percentile([one[2] for one in refits], [2.5, 97.5]).tolist(),
        "predicted": {
            name: {"x": value, "loss": float(power_law(np.array(value), *best)),
                   "interval": np.percentile(beyond[:, i], [2.5, 97.5]).tolist()}
            for i, (name, value) in enumerate(at.items())
        },
    }  # fmt: skip


def words(report: dict[str, Any]) -> str:
    """The fits in sentences."""
    lines = [f"Budget: {report['epochs_seen']} epochs seen a run."]
    for axis, one in report["axes"].items():
        low, high = one["c_interval"]
        lines.append(
            f"{axis}: {one['loss_is']} = {one['a']:.3f} + {one['b']:.3g} * x^-{one['c']:.2f} "
            f"(exponent {low:.2f} to {high:.2f}) over x = {min(one['x']):g} to {max(one['x']):g}"
        )
        for name, guess in one["predicted"].items():
            a, b = guess["interval"]
            lines.append(f"  {name} ({guess['x']:g}): {guess['loss']:.3f} [{a:.3f}, {b:.3f}]")
        if axis == "modalities":
            lines.append("  more than 8 modalities are not in this montage: of the curve alone, nothing to build on")
    lines.append(
        "10x and 100x lie beyond everything measured, on a fixed budget that larger runs would raise: a guess."
    )
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    """One panel an axis: what was measured, and the curve on to 100 times."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    axes = report["axes"]
    figure = make_subplots(1, len(axes), subplot_titles=[f"{axis}: {one['loss_is']}" for axis, one in axes.items()])
    for column, one in enumerate(axes.values(), 1):
        figure.add_trace(go.Scatter(x=one["x"], y=one["loss"], mode="markers", name="measured"), 1, column)
        x = np.geomspace(min(one["x"]), BEYOND[-1] * max(one["x"]), 200)
        y = power_law(x, one["a"], one["b"], one["c"])
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", name="a + b x^-c", line_dash="dot"), 1, column)
        figure.update_xaxes(type="log", row=1, col=column)
    figure.update_layout(title=f"After {report['epochs_seen']} epochs seen", showlegend=False)
    figure.write_html(path, include_plotlyjs=True)


if __name__ == "__main__":
    main()
