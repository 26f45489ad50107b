"""Pages that need no server and ask nothing of the network: one HTML file with its plots and plotly inside."""

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any


def write_document(out: Path, title: str, body: str, css: str) -> None:
    """Write a page around `body`; `css` comes after the style that all pages share."""
    from plotly.offline import get_plotlyjs

    style = (files("retrieval") / "page.css").read_text("utf-8") + css
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)} · sleepsearch</title><style>{style}</style><script>{get_plotlyjs()}</script>"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    page = f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>'
    out.write_text(page, encoding="utf-8")


def plot_html(figure: Any) -> str:
    """A plotly figure as a piece of such a page; a double click resets the zoom."""
    config = {"displayModeBar": False, "responsive": True}
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    return html
