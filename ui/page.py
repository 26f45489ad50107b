"""A page of hits with their waveforms: one HTML file that needs no server and asks nothing of the network."""

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval import Answer, Cohort, Hit, Strip, Trace

_COLOURS = {"EEG": "#1f4e79", "EOG": "#2e7d6b", "EMG": "#6b5b1e", "ECG": "#a3324b", "SPO2": "#7a3fa0", "HR": "#a3324b"}
# Okabe and Ito's palette: told apart by colour-blind readers.
_STAGES = {"W": "#B87700", "N1": "#2C86B8", "N2": "#0072B2", "N3": "#003B5C", "REM": "#D55E00", "NREM": "#0072B2"}
_EVENTS = {"arousal": "#CC79A7", "desaturation": "#7a3fa0"}
_ROW_PX = 56


def write_page(cohort: "Cohort", answer: "Answer", out: Path) -> None:
    """Write `answer` as one HTML file; a hit whose recording is gone is shown without its waveforms, and says so."""
    from retrieval.pages import write_document
    from ui.tables import left_out

    cards = "".join(_card(cohort, number, hit) for number, hit in enumerate(answer.hits, 1))
    chips = "".join(f'<li class="chip">{escape(line)}</li>' for line in answer.understood)
    left = left_out(answer.not_assessable) or "none"
    body = (
        f"<h1><q>{escape(answer.query)}</q></h1>"
        f'<p class="dim">{len(answer.hits)} hits among {answer.searched} that could answer; '
        f"left out because they could not: {left}. Scores rank; they are no probabilities.</p>"
        f'<ul class="chips" aria-label="how the question was read">{chips}</ul>'
        + "".join(f'<p class="dim">{escape(note)}</p>' for note in answer.notes)
        + (cards or "<p>No hits.</p>")
    )
    write_document(out, answer.query, body, (files("ui") / "page.css").read_text("utf-8"))


def _card(cohort: "Cohort", number: int, hit: "Hit") -> str:
    stage = hit.stage or "no stage"
    simulated = '<span class="simulated">simulated</span>' if hit.simulated else ""
    events = escape("; ".join(hit.events)) or "no event noted"
    clock = f" · {hit.clock}" if hit.clock else ""
    substitutes = f'<p class="dim">substitutes: {escape("; ".join(hit.substitutes))}</p>' if hit.substitutes else ""
    return (
        f"<article><header><b>{number}. {escape(hit.recording)}</b>{simulated}"
        f'<span class="stage" style="background:{_STAGES.get(stage, "#777")}">{escape(stage)}</span>'
        f"<span>{hit.start_s:g}–{hit.stop_s:g} s{clock}</span>"
        f'<span class="dim">{events}</span><span class="dim">score {hit.score:.2f}</span></header>'
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in hit.why)}</ul>{_plot(cohort, hit)}"
        f"<details><summary>what was measured</summary>{escape(' '.join(hit.caption.values()))}</details>"
        f"{substitutes}</article>"
    )


def _plot(cohort: "Cohort", hit: "Hit") -> str:
    from retrieval import BadInput

    try:
        strip = cohort.strip(hit)
    except (BadInput, OSError) as error:
        return f'<p class="dim">waveforms are not to be had: {escape(str(error))}</p>'
    plot = f'<div class="plot">{_figure(strip)}</div>' if strip.traces else '<p class="dim">no channel to draw</p>'
    told = [f"not recorded: {escape(', '.join(strip.missing))}"] if strip.missing else []
    if (strip.start_s, strip.stop_s) != strip.of_s:
        told.insert(0, f"drawn: {strip.start_s:g}–{strip.stop_s:g} s, around its best epoch")
    return f'{plot}<p class="dim">{" · ".join(told)}</p>'


def _figure(strip: "Strip") -> str:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from retrieval.pages import plot_html

    rows, long_s = len(strip.traces), strip.stop_s - strip.start_s
    figure: Any = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.004)
    for row, trace in enumerate(strip.traces, 1):
        line = {"color": _COLOURS.get(trace.channel.split("_")[0], "#444c55"), "width": 1}
        hover = f"%{{x:.2f}} s: %{{y:.4g}} {trace.unit}<extra>{escape(trace.label)}</extra>"
        shape = "hv" if trace.steps else "linear"
        drawn = go.Scatter(
            x=trace.time_s - strip.start_s, y=trace.values, mode="lines", line=line | {"shape": shape},
            connectgaps=False, name=trace.channel, hovertemplate=hover,
        )  # fmt: skip
        figure.add_trace(drawn, row=row, col=1)
        figure.update_yaxes(row=row, col=1, **_axis(trace))
        figure.add_annotation(
            x=-0.045, y=0.5, xref="paper", yref=f"y{row if row > 1 else ''} domain", text=_name(trace), showarrow=False,
            xanchor="right", align="right", font={"size": 11},
        )  # fmt: skip
    for name, start_s, stop_s in strip.events:
        x0, x1 = start_s - strip.start_s, stop_s - strip.start_s
        colour = _EVENTS.get(name, "#D55E00")
        figure.add_vrect(x0=x0, x1=x1, fillcolor=colour, opacity=0.13, line_width=0, row="all", col=1)
        figure.add_annotation(
            x=x0, y=1, xref="x", yref="paper", text=escape(name), showarrow=False, xanchor="left", yanchor="bottom",
            font={"size": 10},
        )  # fmt: skip
    figure.update_xaxes(
        range=[0, long_s],
        dtick=5 if long_s <= 60 else 10 if long_s <= 150 else 60,
        gridcolor="#e3e7eb",
        showticklabels=False,
        zeroline=False,
    )
    figure.update_xaxes(title={"text": "seconds", "font": {"size": 11}}, showticklabels=True, row=rows, col=1)
    figure.update_layout(
        height=_ROW_PX * rows + 70, margin={"l": 130, "r": 10, "t": 26, "b": 36}, showlegend=False,
        plot_bgcolor="#fff", paper_bgcolor="#fff", font={"color": "#1b1f24"},
    )  # fmt: skip
    return plot_html(figure)


def _name(trace: "Trace") -> str:
    return f"{trace.channel}<br><span style='font-size:9px'>{escape(trace.unit)}</span>"


def _axis(trace: "Trace") -> dict[str, Any]:
    # Polarity of the field: negative is drawn upwards in EEG and EOG.
    upwards = "reversed" if trace.channel.startswith(("EEG", "EOG")) else True
    return {"autorange": upwards, "tickfont": {"size": 8}, "nticks": 3, "zeroline": False, "gridcolor": "#eef1f4"}
