"""The plots of an evaluation's page.

Error bars are 95 % intervals over subjects; where nothing shows what chance gives, a dotted mark is the base rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval.evaluation.figures import Figure
from retrieval.evaluation.headline import Row, named, number, said
from retrieval.pages import plot_html

# Okabe and Ito's palette: told apart by colour-blind readers. The encoder's own are strong, the others are not.
_OWN = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_BASELINES = ("#9aa4ae", "#E69F00", "#56B4E9", "#8c6d31", "#b0709a", "#6f7d3c")
_INK, _GRID = "#7b858f", "rgba(128,138,148,.22)"  # readable on a light and on a dark page


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: figures at places on the axis; `own` is the encoder's, the others are drawn dotted."""

    name: str
    at: tuple[float, ...]
    figures: tuple[Figure, ...]
    own: bool = True


def dots(rows: Sequence[Row], axis: str = "") -> str:
    """One line a measure, one dot a method, on a scale from 0 to 1."""
    import plotly.graph_objects as go

    figure = go.Figure()
    own = list(dict.fromkeys(f.method for row in rows for f in row.own))
    others = list(dict.fromkeys(f.method for row in rows for f in row.baselines))
    methods = own + others
    for place, method in enumerate(methods):
        found = [(i, f) for i, row in enumerate(rows) for f in row.figures if f.method == method]
        colour = _colour(methods.index(method) if method in own else others.index(method), method in own)
        shift = (place - (len(methods) - 1) / 2) * 0.7 / len(methods)
        figure.add_trace(
            go.Scatter(
                x=[f.value for _, f in found], y=[i + shift for i, _ in found], mode="markers", name=method,
                marker={"color": colour, "size": 11 if method in own else 8,
                        "symbol": "circle" if method in own else "diamond"},
                error_x=_errors([f for _, f in found], colour), text=[_hover(f) for _, f in found], hoverinfo="text",
            )
        )  # fmt: skip
    for i, row in enumerate(rows):
        if row.base_rate is not None and "chance" not in others:
            line = {"color": _INK, "dash": "dot", "width": 1.5}
            figure.add_shape(type="line", x0=row.base_rate, x1=row.base_rate, y0=i - 0.45, y1=i + 0.45, line=line)
    labels = [
        named(row.measure) + (f"<br><i>base rate {number(row.base_rate)}</i>" if row.base_rate is not None else "")
        for row in rows
    ]
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=labels, range=[len(rows) - 0.4, -0.6], gridcolor=_GRID, zeroline=False
    )
    figure.update_xaxes(title=axis, range=[-0.02, 1.02], gridcolor=_GRID, zeroline=False)
    return _drawn(figure, 110 + len(rows) * max(46, 13 * len(methods)))


def bars(groups: Sequence[Line], places: Sequence[str], axis: str, faint: Sequence[str] = ()) -> str:
    """Bars at named places, one colour a line; `faint` places are drawn pale."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, group in enumerate(groups):
        names = [places[int(at)] for at in group.at]
        opacity = [0.4 if name in faint else 1.0 for name in names]
        figure.add_trace(
            go.Bar(
                x=names, y=[f.value for f in group.figures], name=group.name,
                marker={"color": _colour(place, group.own), "opacity": opacity},
                error_y=_errors(group.figures, _INK), text=[_hover(f) for f in group.figures], hoverinfo="text",
                textposition="none",
            )
        )  # fmt: skip
    figure.update_xaxes(categoryorder="array", categoryarray=list(places), tickangle=-35)
    figure.update_yaxes(title=axis, range=[0, 1], gridcolor=_GRID, zeroline=False)
    return _drawn(figure, 430)


def curves(lines: Sequence[Line], x: str, y: str) -> str:
    """Lines over a logarithmic axis, on a scale from 0 to 1."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, line in enumerate(sorted(lines, key=lambda line: not line.own)):
        colour = _colour(place if line.own else place - sum(other.own for other in lines), line.own)
        figure.add_trace(
            go.Scatter(
                x=list(line.at), y=[f.value for f in line.figures], mode="lines+markers", name=line.name,
                line={"color": colour, "dash": "solid" if line.own else "dot"},
                error_y=_errors(line.figures, colour), text=[_hover(f) for f in line.figures], hoverinfo="text",
            )
        )  # fmt: skip
    ticks = sorted({value for line in lines for value in line.at})
    figure.update_xaxes(title=x, type="log", tickvals=ticks, ticktext=[f"{t:,.0f}" for t in ticks], gridcolor=_GRID)
    figure.update_yaxes(title=y, range=[-0.02, 1.02], gridcolor=_GRID, zeroline=False)
    return _drawn(figure, 380)


def shares(table: Sequence[Sequence[float | None]], across: Sequence[str], down: Sequence[str], text: Any) -> str:
    """A map of shares from 0 to 1 with `text` on its cells; None is left blank."""
    import plotly.graph_objects as go

    heat = go.Heatmap(
        z=table, x=list(across), y=list(down), text=text, texttemplate="%{text}", zmin=0, zmax=1, showscale=False,
        colorscale=[[0, "#eef3f7"], [1, "#0072B2"]], xgap=2, ygap=2, hoverinfo="skip",
    )  # fmt: skip
    figure = go.Figure(heat)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(side="top", showgrid=False)
    return _drawn(figure, 90 + 58 * len(down))


def confusion(table: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Scored class (down) by found class (across): shares of each scored class, and counts."""
    counts = np.asarray(table, dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    text = [
        [f"{100 * s:.0f} %<br>{c:,.0f}" for s, c in zip(*row, strict=True)] for row in zip(share, counts, strict=True)
    ]
    return shares(share.tolist(), [f"found {c}" for c in classes], [f"scored {c}" for c in classes], text)


def _colour(number: int, own: bool) -> str:
    palette = _OWN if own else _BASELINES
    return palette[number % len(palette)]


def _errors(figures: Sequence[Figure], colour: str) -> dict[str, Any]:
    """Interval bars; none where there is no interval."""
    value = np.array([np.nan if f.value is None else f.value for f in figures])
    high = np.array([np.nan if f.high is None else f.high for f in figures])
    low = np.array([np.nan if f.low is None else f.low for f in figures])
    above, below = (np.nan_to_num(np.maximum(side, 0.0)) for side in (high - value, value - low))
    return {"type": "data", "array": above.tolist(), "arrayminus": below.tolist(), "color": colour, "thickness": 1.4,
            "width": 3, "visible": bool((above + below).any())}  # fmt: skip


def _hover(figure: Figure) -> str:
    base = f"<br>base rate {figure.base_rate:.3g}" if figure.base_rate is not None else ""
    return (
        f"<b>{figure.method}</b><br>{named(figure.measure)}, {figure.subset}<br>{said(figure)}{base}"
        f"<br>{figure.n:,} counted, {figure.subjects} subjects"
    )


def _drawn(figure: Any, height: int) -> str:
    figure.update_layout(
        height=height, margin={"l": 10, "r": 10, "t": 40, "b": 40}, plot_bgcolor="rgba(0,0,0,0)", bargap=0.3,
        paper_bgcolor="rgba(0,0,0,0)", font={"color": _INK, "size": 12.5}, hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}, showlegend=True,
    )  # fmt: skip
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return plot_html(figure)
