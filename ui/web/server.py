"""The page on a port of this machine: the application, and plotly's script as one file that a browser keeps."""

import logging
import threading
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ui.web.desk import Desk
from ui.web.files import LARGEST_GB


def launch(root: Path, *, host: str, port: int, auth: tuple[str, str] | None, browser: bool, block: bool = True) -> Any:
    """Serve the cohort's page; returns the launched application, at once where `block` is False.

    `OSError` where nobody may listen on that port.
    """
    # Before any thread is: two that import torch at the same time may find it half there.
    import scipy.signal  # noqa: F401
    import torch  # noqa: F401

    from ui.web import frame

    desk = Desk(root, host=host, auth=auth is not None)
    page: Any = frame.build(desk)
    page.desk = desk  # who closes the page ends its work too
    logging.getLogger("httpx").setLevel(logging.WARNING)
    page.queue(default_concurrency_limit=8)
    page.launch(
        server_name=host, server_port=port, auth=auth, inbrowser=False, prevent_thread_lock=True, quiet=True,
        max_file_size=f"{LARGEST_GB}gb",
        share=False, footer_links=[], ssr_mode=False, auth_message=f"sleepsearch · {desk.root.name}", **frame.look(),
    )  # fmt: skip
    _serve_script(page.app, f"/{frame.PLOTLY}", files("plotly") / "package_data" / "plotly.min.js")
    threading.Thread(target=desk.warm, name="warm").start()  # Python waits for it: what it loads must not be cut short
    if browser:
        import webbrowser

        webbrowser.open(str(page.local_url))
    if block:
        page.block_thread()
    return page


def _serve_script(app: Any, address: str, script: Traversable) -> None:
    """A file under an address that names its version, so that browsers keep it; behind the login where there is one."""
    from fastapi.responses import Response

    behind_login = next(route.dependencies for route in app.routes if route.path == "/config")
    body = script.read_bytes()

    def answer() -> Response:
        kept = {"Cache-Control": "private, max-age=31536000, immutable"}
        return Response(body, media_type="text/javascript", headers=kept)

    app.get(address, dependencies=behind_login, include_in_schema=False)(answer)
