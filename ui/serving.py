"""The command that opens a cohort's page: serve."""

import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from ui.shell import CohortDir, Json, app, emit
from ui.web.desk import LOOPBACK

PORT = 7860
_PORTS = 100  # how many are tried from the first on, where none was named


@app.command(epilog="Example: sleepsearch serve --cohort cohort/ · sleepsearch serve --cohort cohort/ --port 8000")
def serve(
    cohort: CohortDir,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; loopback: this machine alone.")
    ] = LOOPBACK[0],
    port: Annotated[
        int | None,
        typer.Option(
            "--port", help=f"Default: {PORT}, or the next that is free.", min=1, max=65535, show_default=False
        ),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth", metavar="USER:PASS", envvar="SLEEPSEARCH_AUTH", show_envvar=True,
            help="Ask visitors for this name and password. On the command line other users of the machine can read it.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Open the cohort's page: search, nights, labels, map. Ctrl-C ends it; nothing leaves this machine."""
    serve_page(cohort, host=host, port=port, auth=auth, browser=browser, as_json=as_json)


def serve_page(
    cohort: Path, *, host: str = LOOPBACK[0], port: int | None = None, auth: str | None = None, browser: bool = True,
    as_json: bool = False,
) -> None:  # fmt: skip
    """Serve until Ctrl-C. `typer.BadParameter` for a login that is none, `OSError` for a port that is taken."""
    login = _login(auth)
    found = _port(host, port)
    if host not in LOOPBACK and login is None:
        typer.echo(
            f"warning: everyone who reaches {host}:{found} can read this cohort; --auth USER:PASS asks for a password",
            err=True,
        )
    from ui.web.server import launch

    ended, page = threading.Event(), None
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        page = launch(cohort, host=host, port=found, auth=login, browser=browser, block=False)
        url = f"http://{'localhost' if host in ('0.0.0.0', '::') else _in_url(host)}:{found}/"
        emit({"url": url}) if as_json else typer.echo(f"{cohort.name} is open at {url}  (Ctrl-C ends it)")
        sys.stdout.flush()  # who started this reads the address from a pipe
        while not ended.wait(1.0):
            pass
    except KeyboardInterrupt:
        pass
    if page is not None:
        page.desk.close()
        page.close(verbose=False)


def _login(auth: str | None) -> tuple[str, str] | None:
    if auth is None:
        return None
    user, _, password = auth.partition(":")
    if not user.strip() or not password:
        raise typer.BadParameter("give a name and a password as USER:PASS.", param_hint="--auth")
    return user.strip(), password


def _port(host: str, named: int | None) -> int:
    """The port that was named, or the first free one from PORT on."""
    for port in [named] if named else range(PORT, PORT + _PORTS):
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return port
        except OSError as wrong:
            if named or isinstance(wrong, socket.gaierror):
                said = f"can't listen on {host}:{port}: {wrong.strerror}; name another --host or --port."
                raise OSError(said) from None
    raise OSError(f"ports {PORT} to {PORT + _PORTS - 1} of {host} are all taken; name another with --port.")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
