"""What the commands share: the application, options of the same name, progress, and output for people or programs."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from retrieval import Answer
    from retrieval.ingest import Progress

app = typer.Typer(
    help="Question a cohort of sleep recordings in plain language.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

CohortDir = Annotated[Path, typer.Option("--cohort", help="The cohort's directory.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Where = Annotated[
    str | None,
    typer.Option("--where", help="SQL expression over the view `epochs`, such as \"age > 60 AND stage = 'REM'\"."),
]
Count = Annotated[int, typer.Option("-k", help="How many hits to bring back.", min=1)]
Sources = Annotated[
    list[Path], typer.Argument(help="Folders or files; EDF and BDF in any dialect.", show_default=False)
]
Encoder = Annotated[
    str | None,
    typer.Option("--encoder", help="text:minilm, trained:PATH or sleeplm:PATH; default: that of the cohort."),
]
Subjects = Annotated[
    Path | None, typer.Option("--subjects", help="CSV: recording,subject,age,sex,site and any further columns.")
]
Workers = Annotated[int, typer.Option("--workers", help="Processes that read nights; 0: one a core.", min=0)]


def deliver(found: Any, say: Callable[[Any], None], *, as_json: bool, out: Path | None, wrote: str = "table") -> None:
    """Write a result's table where one was asked for, then print it: one JSON document, or as `say` does for people."""
    if out:
        from ui.tables import write_table

        write_table(found.frame(), out)
    if as_json:
        emit(found.to_json())
        return
    say(found)
    if out:
        typer.echo(f"{wrote}: {out}", err=True)


def show(
    cohort: Any, answer: "Answer", *, as_json: bool, explain: bool, out: Path | None, nights: bool = False
) -> None:
    """Print an answer of epochs or of whole nights, and write its page where one was asked for."""
    if out:
        from ui.page import write_page

        write_page(cohort, answer, out)
    if as_json:
        emit(answer.to_json())
        return
    if nights:
        from ui.nightly import print_nights_found

        print_nights_found(answer, explain=explain)
    else:
        from ui.tables import print_answer

        print_answer(answer, explain=explain)
    if out:
        typer.echo(f"page: {out}", err=True)


def emit(document: Any) -> None:
    """One JSON document on standard output; times and paths become text, NaN becomes null."""
    sys.stdout.write(json.dumps(plain(document), ensure_ascii=False, indent=1, default=str) + "\n")


def plain(value: Any) -> Any:
    """Values that JSON has: NaN is null, keys are text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and value != value else value


@contextmanager
def interruptible(then: str) -> Iterator[None]:
    """Ctrl-C ends with what it means for the work done, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"stopped; {then}", err=True)
        raise typer.Exit(130) from None


@contextmanager
def bar(what: str) -> Iterator["Progress"]:
    """A progress bar on standard error, gone when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, last="")
        yield lambda last, done, of: progress.update(task, completed=done, total=of, last=last)
