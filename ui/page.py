"""A page of hits with their waveforms: one HTML file that needs no server and asks nothing of the network."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from retrieval import Answer, Cohort, Hit, Strip

_COLOURS = {"EEG": "#1f4e79", "EOG": "#2e7d6b", "EMG": "#6b5b1e", "ECG": "#a3324b", "SPO2": "#7a3fa0", "HR": "#a3324b"}
# Okabe and Ito's palette: told apart by colour-blind readers.
_STAGES = {"W": "#E69F00", "N1": "#56B4E9", "N2": "#0072B2", "N3": "#003B5C", "REM": "#D55E00", "NREM": "#0072B2"}
_EVENTS = {"arousal": "#CC79A7", "desaturation": "#7a3fa0"}
_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#5d6670;--line:#d8dde3;--card:#fff;--page:#f4f6f8}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebee;--dim:#9aa4ae;--line:#333a42;--card:#1c2126;--page:#12161a}}
*{box-sizing:border-box}body{margin:0;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page)}
main{max-width:1240px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;margin:0 0 4px}h1 q{quotes:"“" "”"}
.dim{color:var(--dim);font-size:13.5px}.chips{margin:10px 0 0;padding:0}.chip{display:inline-block;margin:0 6px 6px 0;padding:2px 10px;
border:1px solid var(--line);border-radius:14px;font-size:13px;background:var(--card)}
article{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:18px 0;padding:14px 18px 8px}
header{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:baseline}header b{font-size:16px}.stage{color:#fff;border-radius:5px;padding:1px 9px;font-weight:600;font-size:13.5px}
ul{margin:6px 0;padding-left:18px;font-size:13.5px}details{font-size:13.5px;margin:4px 0 8px}summary{cursor:pointer;color:var(--dim)}
.sim{background:#fff3cd;color:#664d03;border-radius:5px;padding:0 7px;font-size:12.5px;font-weight:600}.plot{background:#fff;border-radius:6px;overflow:hidden}
"""


def write_page(cohort: "Cohort", answer: "Answer", out: Path) -> None:
    """Write `answer` as one HTML file; a hit whose recording is gone is shown without its waveforms, and says so."""
    from plotly.offline import get_plotlyjs

    cards = [_card(cohort, number, hit) for number, hit in enumerate(answer.hits, 1)]
    chips = "".join(f'<li class="chip">{escape(line)}</li>' for line in answer.understood)
    left = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in answer.not_assessable.items() if n) or "none"
    notes = "".join(f'<p class="dim">{escape(n)}</p>' for n in answer.notes)
    body = (
        f"<h1><q>{escape(answer.query)}</q></h1>"
        f'<p class="dim">{len(answer.hits)} hits among {answer.searched} epochs that could answer; epochs left out because they '
        f"could not: {left}. Scores rank; they are no probabilities.</p>"
        f'<ul class="chips" aria-label="how the question was read">{chips}</ul>{notes}{"".join(cards) or "<p>No hits.</p>"}'
    )
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(answer.query)} · sleepsearch</title><style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><main>{body}</main></body></html>"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")


def _card(cohort: "Cohort", number: int, hit: "Hit") -> str:
    from retrieval import BadInput

    try:
        strip = cohort.strip(hit)
        plot = f'<div class="plot">{_figure(strip)}</div>' if strip.traces else '<p class="dim">no channel to draw</p>'
        if strip.missing:
            plot += f'<p class="dim">not recorded: {escape(", ".join(strip.missing))}</p>'
    except (BadInput, OSError) as error:
        plot = f'<p class="dim">waveforms are not to be had: {escape(str(error))}</p>'
    stage = hit.stage or "no stage"
    colour = _STAGES.get(stage, "#777")
    simulated = '<span class="sim">simulated</span>' if hit.simulated else ""
    why = "".join(f"<li>{escape(w)}</li>" for w in hit.why)
    caption = " ".join(hit.caption.values())
    substitutes = f'<p class="dim">substitutes: {escape("; ".join(hit.substitutes))}</p>' if hit.substitutes else ""
    return (
        f"<article><header><b>{number}. {escape(hit.recording)}</b>{simulated}"
        f'<span class="stage" style="background:{colour}">{escape(stage)}</span>'
        f"<span>{hit.start_s:g}–{hit.stop_s:g} s{' · ' + hit.clock if hit.clock else ''}</span>"
        f'<span class="dim">{escape("; ".join(hit.events)) or "no scored event"}</span>'
        f'<span class="dim">score {hit.score:.2f}</span></header><ul>{why}</ul>{plot}'
        f"<details><summary>what was measured</summary>{escape(caption)}</details>{substitutes}</article>"
    )


def _figure(strip: "Strip") -> str:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = len(strip.traces)
    figure: Any = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.004)
    for row, trace in enumerate(strip.traces, 1):
        colour = _COLOURS.get(trace.channel.split("_")[0], "#444c55")
        shape = "hv" if trace.steps else "linear"
        figure.add_trace(
            go.Scatter(x=trace.time_s - strip.start_s, y=trace.values, mode="lines", name=trace.channel, connectgaps=False,
                       line={"color": colour, "width": 1, "shape": shape},
                       hovertemplate=f"%{{x:.2f}} s: %{{y:.4g}} {trace.unit}<extra>{trace.label}</extra>"),
            row=row, col=1,
        )  # fmt: skip
        title = f"{trace.channel}<br><span style='font-size:9px'>{escape(trace.unit)}</span>" if trace.channel != "POS" else "POS"
        # Polarity of the field: negative is drawn upwards in EEG and EOG.
        upside = "reversed" if trace.channel.startswith(("EEG", "EOG")) else True
        figure.update_yaxes(title={"text": title, "font": {"size": 11}, "standoff": 2}, tickfont={"size": 8}, nticks=3, zeroline=False,
                            autorange=upside, gridcolor="#eef1f4", row=row, col=1)  # fmt: skip
    for name, start_s, stop_s in strip.events:
        figure.add_vrect(x0=start_s - strip.start_s, x1=stop_s - strip.start_s, fillcolor=_EVENTS.get(name, "#D55E00"), opacity=0.13,
                         line_width=0, row="all", col=1)  # fmt: skip
        figure.add_annotation(x=start_s - strip.start_s, y=1, xref="x", yref="paper", text=escape(name), showarrow=False, xanchor="left",
                              yanchor="bottom", font={"size": 10})  # fmt: skip
    figure.update_xaxes(range=[0, strip.stop_s - strip.start_s], dtick=5, gridcolor="#e3e7eb", showticklabels=False)
    figure.update_xaxes(title={"text": "seconds", "font": {"size": 11}}, showticklabels=True, row=rows, col=1)
    figure.update_layout(height=56 * rows + 70, margin={"l": 92, "r": 10, "t": 26, "b": 36}, showlegend=False, plot_bgcolor="#fff",
                         paper_bgcolor="#fff", font={"color": "#1b1f24"})  # fmt: skip
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})
    return html


