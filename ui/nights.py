"""Labels and likeness along nights: as tables on a terminal, and as pages with a hypnogram."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape as plain

from retrieval import EPOCH_S, STAGES, clock
from ui.tables import left_out, new_console, new_table

if TYPE_CHECKING:
    import polars as pl

    from retrieval.classify import Classification
    from retrieval.localise import Located, Moment

_MOST = 60  # nights in a table or on a page
_FOUND, _SCORED, _MARK, _INK = "#0072B2", "#7b858f", "rgba(213,94,0,.25)", "#1b1f24"
_DEPTH = ("W", "REM", "N1", "NREM", "light", "N2", "N3")  # from the top of a hypnogram down
_console = new_console(soft_wrap=True)


def print_labels(found: "Classification") -> None:
    """How often each label was given, how far it agrees with the scorer, and what must be known of both."""
    agreement, given = found.agreement, found.epochs["label"]
    mark = "calibrated" if found.calibrated else "uncalibrated"
    _console.print(f"[bold]{plain(found.says)}[/bold]  {given.len()} epochs, [reverse] {mark} [/reverse]")
    if found.smoothing:
        _console.print(f"smoothed: {plain(found.smoothing)}")
    table = new_table("label", "epochs", *(("scored", "F1") if agreement else ()))
    for label in found.labels:
        row = [label, str((given == label).sum())]
        if agreement:
            row += [str(agreement.support[label]), _number(agreement.f1[label])]
        table.add_row(*map(plain, row))
    table.add_row("no label", str(given.null_count()))
    _console.print(table)
    if agreement:
        low, high = agreement.interval["macro_f1"]
        known = {label: f1 for label, f1 in agreement.f1.items() if f1 is not None}
        apart = ""
        if "N1" in known and len(known) > 1:
            rest = [f1 for label, f1 in known.items() if label != "N1"]
            apart = f" ({_number(sum(rest) / len(rest))} without N1)"
        note = f" [bold]{agreement.interval['note']}[/bold]," if agreement.interval["note"] else ""
        _console.print(
            f"against {plain(agreement.scorer)}: macro-F1 {_number(agreement.macro_f1)} \\[{_number(low)}, "
            f"{_number(high)}]{apart}, kappa {_number(agreement.kappa)};{note} "
            f"{agreement.interval['subjects']} subjects, {sum(agreement.support.values())} epochs"
        )
    _print_rest(found.not_assessable, found.notes)


def print_located(found: "Located") -> None:
    """The moments, with the seconds and the sensor that carry the words, and how the check came out."""
    judged = found.curve["z"].drop_nulls()
    _console.print(f"[bold]{plain(found.words)}[/bold]  {plain(found.recording)}, {judged.len()} epochs judged")
    if found.moments:
        table = new_table("epoch", "z", "stage", "seconds", "hidden: these", "others", "sensor", "without it", "scored")
        for moment in found.moments:
            seconds = "–" if moment.from_s is None else f"{moment.from_s:g}–{moment.to_s:g}"
            drop = moment.drop.get(moment.sensor)
            row = (
                clock(moment.start_s), f"{moment.z:.2f}", moment.stage or "–", seconds, _number(moment.hidden),
                _number(moment.hidden_others), moment.sensor, "–" if drop is None else f"{-drop:+.3f}",
                "; ".join(moment.events) or "–",
            )  # fmt: skip
            table.add_row(*map(plain, row))
        _console.print(table)
    _console.print(f"[dim]{plain(_checked(found))}[/dim]")
    _print_rest(found.not_assessable, found.notes)


def write_labels(found: "Classification", out: Path) -> None:
    """One page with the labels of each night below what was scored."""
    import polars as pl

    from retrieval.pages import write_document

    nights = found.epochs.partition_by("recording", maintain_order=True)
    cards = []
    for night in nights[:_MOST]:
        rows = [("scored", night["scored"], _SCORED)] if night["scored"].is_not_null().any() else []
        label = night.select(pl.coalesce("label", pl.lit("no label")))["label"]
        rows.append(("found", label, _FOUND))
        drawn = _steps(night["start_s"], rows, (*found.labels, "no label"))
        cards.append(f"<article><header><b>{escape(night['recording'][0])}</b></header>{drawn}</article>")
    left = f"<p>{len(nights) - _MOST} further nights are in the table.</p>" if len(nights) > _MOST else ""
    mark = "calibrated" if found.calibrated else "uncalibrated"
    smoothed = f"; smoothed by a {found.smoothing}" if found.smoothing else ""
    body = (
        f"<h1>{escape(found.says)}</h1><p>{mark}{escape(smoothed)}</p>"
        + "".join(f'<p class="dim">{escape(note)}</p>' for note in found.notes)
        + "".join(cards)
        + left
    )
    write_document(out, found.says, body, "")


def write_located(found: "Located", out: Path) -> None:
    """One page with the likeness along the night, and each moment to the second and the sensor."""
    from retrieval.pages import write_document

    left = left_out(found.not_assessable) or "none"
    body = (
        f"<h1><q>{escape(found.words)}</q></h1><p>{escape(found.recording)}; epochs that could not be judged: {left}. "
        "Likeness is standardised over this night: it says where the words fit best here, not whether they are true."
        f"</p><article>{_curve(found)}</article>"
        + f'<p class="dim">{escape(_checked(found))}</p>'
        + "".join(f'<p class="dim">{escape(note)}</p>' for note in found.notes)
        + "".join(_moment(moment) for moment in found.moments)
    )
    write_document(out, found.words, body, "")


# ---- what they share


def _checked(found: "Located") -> str:
    (seconds, of_seconds), (sensor, of_sensor) = found.agrees["seconds"], found.agrees["sensor"]
    return (
        f"taken away again: the seconds named cost more than others in {seconds} of {of_seconds} epochs, "
        f"the sensor named more than others in {sensor} of {of_sensor}"
    )


def _print_rest(not_assessable: dict[str, int], notes: Sequence[str]) -> None:
    left = left_out(not_assessable)
    for line in ([f"not assessable: {left}"] if left else []) + list(notes):
        _console.print(f"[dim]{plain(line)}[/dim]")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _steps(start_s: "pl.Series", rows: Sequence[tuple[str, "pl.Series", str]], labels: Sequence[str]) -> str:
    """A step line a row, one below the other, over the hours of the night."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    order = sorted(labels, key=lambda label: _DEPTH.index(label) if label in _DEPTH else len(_DEPTH))
    figure: Any = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.05)
    for number, (name, values, colour) in enumerate(rows, 1):
        line = {"color": colour, "width": 1.5, "shape": "hv"}
        figure.add_trace(go.Scatter(x=start_s / 3600, y=values, mode="lines", line=line, name=name), row=number, col=1)
        figure.update_yaxes(
            type="category", categoryorder="array", categoryarray=order[::-1], range=[-0.5, len(order) - 0.5],
            title={"text": name, "font": {"size": 11}}, row=number, col=1,
        )  # fmt: skip
    return _drawn(figure, 60 + 130 * len(rows))


def _curve(found: "Located") -> str:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    hours = found.curve["start_s"] / 3600
    staged = found.curve["stage"].is_not_null().any()
    names = list(dict.fromkeys(name for name, _, _ in found.events))
    rows = 1 + staged + bool(names)
    heights = [1.0] + [0.6] * staged + [0.14 * len(names) + 0.1] * bool(names)
    figure: Any = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=heights)
    line = {"color": _FOUND, "width": 1.3}
    figure.add_trace(go.Scatter(x=hours, y=found.curve["z"], mode="lines", line=line, name="likeness"), row=1, col=1)
    figure.update_yaxes(title={"text": "likeness, z", "font": {"size": 11}}, row=1, col=1)
    for moment in found.moments:
        figure.add_vrect(
            x0=moment.start_s / 3600, x1=(moment.start_s + EPOCH_S) / 3600, fillcolor=_MARK, line_width=0, row=1, col=1
        )
    if staged:
        order = [stage for stage in (*_DEPTH, *STAGES) if stage in set(found.curve["stage"])]
        line = {"color": _SCORED, "width": 1.5, "shape": "hv"}
        figure.add_trace(go.Scatter(x=hours, y=found.curve["stage"], mode="lines", line=line), row=2, col=1)
        figure.update_yaxes(type="category", categoryorder="array", categoryarray=order[::-1], row=2, col=1)
    for name in names:
        spans = [(a, b) for of, a, b in found.events if of == name]
        figure.add_trace(
            go.Bar(
                y=[name] * len(spans), x=[(b - a) / 3600 for a, b in spans], base=[a / 3600 for a, _ in spans],
                orientation="h", marker={"color": _INK, "line": {"width": 0}},
            ), row=rows, col=1,
        )  # fmt: skip
    return _drawn(figure, 260 + 120 * staged + 24 * len(names))


def _moment(moment: "Moment") -> str:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure: Any = make_subplots(rows=1, cols=3, horizontal_spacing=0.1, column_widths=[0.5, 0.25, 0.25])
    if moment.steps is not None and moment.from_s is not None and moment.to_s is not None:
        step_s = EPOCH_S / len(moment.steps)
        at = [(i + 0.5) * step_s for i in range(len(moment.steps))]
        figure.add_trace(go.Bar(x=at, y=moment.steps, width=step_s * 0.9, marker={"color": _FOUND}), row=1, col=1)
        figure.add_vrect(
            x0=moment.from_s - moment.start_s,
            x1=moment.to_s - moment.start_s,
            fillcolor=_MARK,
            line_width=0,
            row=1,
            col=1,
        )
    for column, values in ((2, moment.alone), (3, moment.drop)):
        colours = [_MARK.replace(".25", "1") if name == moment.sensor else _SCORED for name in values]
        drawn = go.Bar(x=list(values.values()), y=list(values), orientation="h", marker={"color": colours})
        figure.add_trace(drawn, row=1, col=column)
    titles = ("likeness of each two seconds", "likeness of a sensor alone", "what its loss costs")
    for column, title in enumerate(titles, 1):
        figure.update_xaxes(title={"text": title, "font": {"size": 11}}, row=1, col=column)
    scored = escape("; ".join(moment.events) or "no event scored")
    return (
        f"<article><header><b>{clock(moment.start_s)}</b><span>z {moment.z:.2f}</span>"
        f"<span>{escape(moment.stage or '')}</span>"
        f'<span class="dim">{scored}</span></header>{_drawn(figure, 240, hours=False)}</article>'
    )


def _drawn(figure: Any, height: int, *, hours: bool = True) -> str:
    from retrieval.pages import plot_html

    figure.update_layout(
        height=height, margin={"l": 10, "r": 10, "t": 12, "b": 36}, showlegend=False, plot_bgcolor="#fff",
        paper_bgcolor="#fff", font={"color": _INK, "size": 11}, bargap=0.25,
    )  # fmt: skip
    figure.update_yaxes(automargin=True, gridcolor="#eef1f4", zeroline=False)
    figure.update_xaxes(gridcolor="#eef1f4", zeroline=False)
    if hours:  # below the last of several axes
        axis = max(figure.select_xaxes(), key=lambda x: int(x.plotly_name.removeprefix("xaxis") or 1))
        axis.title = {"text": "hours from the start", "font": {"size": 11}}
    return f'<div class="plot">{plot_html(figure)}</div>'
