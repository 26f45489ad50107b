"""The page itself: header, one tab a room, style, and the script that keeps the view in the address."""

import os
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk, answering

if TYPE_CHECKING:
    import gradio

# Before gradio is imported: it would phone home.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

STATIC = files("ui.web") / "static"
PLOTLY = f"plotly-{version('plotly')}.js"  # its address on the server
_KEPT_S = 86_400  # how long a file that a visitor dropped stays on the server's disk


def rooms() -> "dict[str, tuple[str, Callable[[Desk], None]]]":
    """The tabs in their order: key in the address, title, and what builds it inside its tab."""
    from ui.web import asking, cohorts, labels, maps, nights, telling

    return {
        "search": ("Search", asking.build),
        "night": ("Night", nights.build),
        "words": ("Signal to text", telling.build),
        "label": ("Label", labels.build),
        "map": ("Map", maps.build),
        "cohort": ("Cohort", cohorts.build),
    }


def build(desk: Desk) -> "gradio.Blocks":
    """The page over a cohort; `look()` is to be given to its launch."""
    import gradio as gr

    from ui.web import labels

    title = f"{desk.cohort.snapshot.name} · sleepsearch"
    page: gradio.Blocks
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True, delete_cache=(3600, _KEPT_S)) as page:

        def header_state(_: dict[str, Any]) -> dict[str, Any]:
            return desk.state()

        gr.HTML(
            html_template=text("header.html"), js_on_load=text("header.js"), elem_id="head", apply_default_css=False,
            server_functions=answering([header_state]),
        )  # fmt: skip
        with gr.Tabs(elem_id="rooms"):
            for key, (name, room) in rooms().items():
                # Gradio draws a room when its tab is first opened: what rooms share lies outside the tabs.
                with gr.Tab(name, id=key, elem_id=f"room-{key}"):
                    room(desk)
        labels.dialog(desk)  # any room may ask for a label
        for part in page.blocks.values():
            # Gradio loads it once, before the script of any part that draws with it; other parts don't wait for it.
            if isinstance(part, gr.HTML) and "Plotly" in (part.js_on_load or ""):
                part.head = f'<script src="./{PLOTLY}"></script>'
    return page


def look() -> dict[str, Any]:
    """What `launch` or `mount_gradio_app` takes: theme, style, scripts; no font or script of another machine."""
    import gradio as gr

    fonts = ["system-ui", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "monospace"]
    theme = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=mono, radius_size="sm", spacing_size="sm",
        text_size="sm",
    )  # fmt: skip
    styles = ["page.css", *sorted(p.name for p in STATIC.iterdir() if p.name.endswith(".css") and p.name != "page.css")]
    return {"theme": theme, "css": "".join(map(text, styles)), "head": f"<script>{text('view.js')}</script>"}


def text(name: str) -> str:
    """A file of `static/`."""
    return (STATIC / name).read_text("utf-8")
