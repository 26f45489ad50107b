"""The command line: each command is one call of `retrieval`, printed for people or, with --json, for programs."""

import json
import sys
from collections.abc import Iterator
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


@app.command(epilog="Example: sleepsearch demo · sleepsearch demo recordings/ --no-browser")
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Your own recordings; without it nights are simulated.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the demo writes.")] = Path("sleepsearch-demo"),
    nights: Annotated[int, typer.Option("--nights", help="Simulated nights.", min=1)] = 6,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulated nights.")] = 1,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page of hits.")] = True,
) -> None:
    """Show the main job: simulate nights (or take FOLDER), ingest them, ask three questions, open the page of hits."""
    from ui.demo import run_demo

    run_demo(folder, out, nights=nights, seed=seed, browser=browser)


@app.command(epilog="Example: sleepsearch ingest recordings/ --cohort cohort/ --subjects subjects.csv --workers 2")
def ingest(
    sources: Sources,
    cohort: CohortDir,
    encoder: Encoder = None,
    subjects: Subjects = None,
    workers: Workers = 0,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="Whose scoring rows rest on, where there are several.")
    ] = None,
    channels: Annotated[
        Path | None, typer.Option("--channels", help='TOML with your labels: "LABEL" = "channel".')
    ] = None,
    lights: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--lights", metavar="OFF ON", help="Lights off and on of all these nights, as 22:45 06:30 or seconds."
        ),
    ] = None,
    strict_montage: Annotated[
        bool, typer.Option("--strict-montage", help="Refuse substitutes and ambiguous labels.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a folder of recordings searchable; what is unchanged is skipped, what was interrupted goes on."""
    import retrieval

    with (
        bar("reading nights") as progress,
        interruptible(f"what is done is kept, the same command goes on from there ({cohort})"),
    ):
        report = retrieval.ingest(
            sources, cohort, encoder=encoder, subjects=subjects, workers=workers or retrieval.cores(), scorer=scorer,
            channels=channels, lights=lights, strict_montage=strict_montage, progress=progress,
        )  # fmt: skip
    if as_json:
        emit(report.to_json())
    else:
        from ui.tables import print_ingest

        understood = retrieval.Cohort(cohort).recordings() if report.snapshot else []
        print_ingest(report, cohort, understood)
    if not report.recordings + report.skipped:
        raise typer.Exit(1)


@app.command(epilog='Example: sleepsearch search "REM sleep with oxygen desaturation" --cohort cohort/ --out hits.html')
def search(
    words: Annotated[str, typer.Argument(help="The question, in plain words.", show_default=False)],
    cohort: CohortDir,
    where: Where = None,
    k: Count = 10,
    exact: Annotated[bool, typer.Option("--exact", help="Scan every vector in float32.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how the question was read, and which engine answered.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page of the hits with their waveforms.")] = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Find the stretches of sleep that answer a question."""
    from retrieval import Cohort

    opened = Cohort(cohort, encoder=encoder)
    show(opened, opened.search(words, where=where, k=k, exact=exact), as_json=as_json, explain=explain, out=out)


@app.command(
    epilog="Example: sleepsearch similar night-03@02:15 --cohort cohort/ · sleepsearch similar night-03 --cohort c/"
)
def similar(
    place: Annotated[
        str, typer.Argument(metavar="RECORDING[@TIME]", help="TIME: seconds from the start, or HH:MM:SS.")
    ],
    cohort: CohortDir,
    where: Where = None,
    k: Count = 10,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page of the hits with their waveforms.")] = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Find epochs like one moment, or nights like one night, by their captions."""
    from retrieval import Cohort

    opened = Cohort(cohort, encoder=encoder)
    show(opened, opened.similar(place, where=where, k=k), as_json=as_json, explain=False, out=out)


@app.command(epilog="Example: sleepsearch describe night-03@5400 --cohort cohort/")
def describe(
    place: Annotated[
        str, typer.Argument(metavar="RECORDING[@TIME]", help="TIME: seconds from the start, or HH:MM:SS.")
    ],
    cohort: CohortDir,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Say in words what was measured and scored in an epoch, or in a night; apart from it, what a decoder generates."""
    from retrieval import Cohort

    description = Cohort(cohort, encoder=encoder).describe(place)
    if as_json:
        emit(description)
        return
    from ui.tables import print_description

    print_description(description)


@app.command(epilog='Example: sleepsearch nights --cohort cohort/ --where "ahi_scored_per_h > 15" --out nights.csv')
def nights(
    cohort: CohortDir,
    where: Where = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the table: .csv, .tsv, .parquet or .json.")] = None,
    as_json: Json = False,
) -> None:
    """Show the cohort table: one row a night, every number with its definition in its name."""
    from retrieval import Cohort
    from ui.tables import print_nights, write_table

    table = Cohort(cohort).nights(where=where)
    if out:
        write_table(table, out)
    if as_json:
        emit(table.to_dicts())
    elif not out:
        print_nights(table)


@app.command(epilog="Example: sleepsearch info --cohort cohort/ · sleepsearch info --cohort cohort/ --columns")
def info(
    cohort: CohortDir,
    columns: Annotated[bool, typer.Option("--columns", help="List the columns that --where may name.")] = False,
    recordings: Annotated[
        bool, typer.Option("--recordings", help="List what was understood of each recording.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a cohort holds: counts, spaces, sizes, engines, what failed; or the columns that a filter may name."""
    from retrieval import Cohort
    from ui.tables import print_columns, print_recordings, print_tree

    opened = Cohort(cohort)
    if columns:
        emit(opened.columns()) if as_json else print_columns(opened.columns())
    elif recordings:
        emit(opened.recordings()) if as_json else print_recordings(opened.recordings())
    else:
        emit(opened.info()) if as_json else print_tree(opened.info())


@app.command(epilog="Example: sleepsearch evaluate --cohort cohort/ --out evaluation.html --card model-card.md")
def evaluate(
    cohort: CohortDir,
    encoder: Encoder = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="Some of staging, events, retrieval, paraphrases, fields, few-shot, localisation, subsets, leakage, "
            "separated by commas; default: all.",
        ),
    ] = None,
    most: Annotated[int, typer.Option("--most", help="Epochs at most, spread over the subjects.", min=1)] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same figures.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page with tables and plots.")] = None,
    card: Annotated[Path | None, typer.Option("--card", help="Write the model card, Markdown.")] = None,
    as_json: Json = False,
) -> None:
    """Say how well an encoder does on this cohort's labels, beside chance and simpler ways; subjects it has seen apart.

    Intervals are 95 %, drawn over subjects. A figure that the cohort has no labels for is left out with the reason.
    """
    from retrieval import Cohort

    wanted = [name.strip() for name in tasks.split(",")] if tasks else None
    with bar("drawing epochs") as progress, interruptible("nothing was written"):
        measured = Cohort(cohort, encoder=encoder).evaluate(tasks=wanted, most=most, seed=seed, progress=progress)
    if out:
        from retrieval.evaluation import write_report

        write_report(measured, out)
    if card:
        from retrieval.evaluation import model_card

        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_text(model_card(measured), encoding="utf-8")
    if as_json:
        emit(measured.to_json())
        return
    from ui.tables import print_evaluation

    print_evaluation(measured)
    for name, path in (("page", out), ("card", card)):
        if path:
            typer.echo(f"{name}: {path}", err=True)


@app.command(epilog="Example: sleepsearch channels night.edf --site mros")
def channels(
    files: Annotated[list[Path], typer.Argument(help="EDF or BDF files.", show_default=False)],
    site: Annotated[
        str | None, typer.Option("--site", help="The cohort whose labels these are (shhs, mros, mesa ...).")
    ] = None,
    overrides: Annotated[
        Path | None, typer.Option("--channels", help='TOML with your labels: "LABEL" = "channel".')
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what each label became, and why; ambiguous labels end with exit code 1."""
    import retrieval

    reports = [retrieval.explain_channels(f, site=site, overrides=overrides) for f in files]
    if as_json:
        emit(reports)
    else:
        from ui.tables import print_channels

        for report in reports:
            print_channels(report)
    raise typer.Exit(1 if any(r["problems"] or r["error"] for r in reports) else 0)


@app.command(epilog="Example: sleepsearch check recordings/")
def check(sources: Sources, as_json: Json = False) -> None:
    """List which files would be refused, with the field at fault, and what would be understood of the others."""
    import retrieval

    with bar("checking files") as progress:
        report = retrieval.check(sources, progress=progress)
    if as_json:
        emit(report)
    else:
        from ui.tables import print_check

        print_check(report)
    raise typer.Exit(1 if report["refused"] else 0)


@app.command(epilog="Example: sleepsearch simulate nights/ --nights 4 --seed 7")
def simulate(
    out: Annotated[Path, typer.Argument(help="The folder to write into.", show_default=False)],
    nights: Annotated[int, typer.Option("--nights", help="How many nights.", min=1)],
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same samples.")],
    sites: Annotated[str | None, typer.Option("--sites", help="Site dialects, separated by commas.")] = None,
    hours: Annotated[float, typer.Option("--hours", help="Length of a night.", min=0.1, max=24)] = 8.0,
    ideal: Annotated[
        bool, typer.Option("--ideal", help="No artifacts, and a scorer who agrees with the truth.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write simulated nights with known truth as EDF files; every header says `simulated`.

    Beside NAME.edf stand its scoring, as the site's technician would write it, and the truth as NAME.truth.parquet
    (an epoch a row) and NAME.truth-events.parquet.
    """
    import retrieval

    with bar("simulating nights") as progress:
        made = retrieval.simulate(out, nights=nights, seed=seed, sites=sites.split(",") if sites else None, hours=hours,
                                  ideal=ideal, progress=lambda done, of: progress("", done, of))  # fmt: skip
    if as_json:
        emit(made)
    else:
        typer.echo(f"{len(made)} simulated nights in {out}")


@app.command(epilog="Example: sleepsearch train --example > run.toml · sleepsearch train run.toml --out runs/mine")
def train(
    config: Annotated[Path | None, typer.Argument(help="What to train on, and how: a TOML file.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the weights, the log and the state.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on where a run in that folder was interrupted.")
    ] = True,
    example: Annotated[bool, typer.Option("--example", help="Print a file with every key, explained.")] = False,
    as_json: Json = False,
) -> None:
    """Train an encoder on recordings of your own, from scratch or from weights that are there already.

    Each key of CONFIG has a default; `--example` explains them. The weights are then an encoder: `trained:FOLDER`.
    Several GPUs: torchrun --nproc-per-node 4 -m ui.main train CONFIG --out FOLDER
    """
    from retrieval.train import example_config
    from retrieval.train import train as run

    if example:
        typer.echo(example_config())
        return
    if config is None or out is None:
        raise typer.BadParameter("give CONFIG and --out FOLDER; --example prints a configuration to begin with")
    with (
        bar("training") as progress,
        interruptible(f"what is done is kept, the same command goes on from there ({out})"),
    ):
        report = run(config, out, resume=resume, progress=progress)
    if as_json:
        emit(report)
        return
    typer.echo(f"weights: {report['folder']} after {report['steps']} steps; as an encoder: {report['encoder']}")
    for name, figure in report["figures"].items():
        typer.echo(f"  {name} {figure:.3f}")


def show(cohort: Any, answer: "Answer", *, as_json: bool, explain: bool, out: Path | None) -> None:
    """Print an answer, and write its page where one was asked for."""
    if out:
        from ui.page import write_page

        write_page(cohort, answer, out)
    if as_json:
        emit(answer.to_json())
        return
    from ui.tables import print_answer

    print_answer(answer, explain=explain)
    if out:
        typer.echo(f"page: {out}", err=True)


def emit(document: Any) -> None:
    """One JSON document on standard output; times and paths become text, NaN becomes null."""
    sys.stdout.write(json.dumps(_plain(document), ensure_ascii=False, indent=1, default=str) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
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
