"""Commands that read files: demo, ingest, channels, check, simulate."""

from pathlib import Path
from typing import Annotated

import typer

from ui.shell import CohortDir, Encoder, Json, Sources, Subjects, Workers, app, bar, emit, interruptible


@app.command(epilog="Example: sleepsearch demo · sleepsearch demo recordings/ --no-browser")
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Your own recordings; without it nights are simulated.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the demo writes.")] = Path("sleepsearch-demo"),
    nights: Annotated[int, typer.Option("--nights", help="Simulated nights.", min=1)] = 6,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulated nights.")] = 1,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Serve the cohort and open its page.")] = True,
) -> None:
    """Show the main job: simulate nights (or take FOLDER), ingest them, ask three questions, open its page."""
    from ui.demo import run_demo

    run_demo(folder, out, nights=nights, seed=seed, browser=browser)


@app.command(
    epilog="Example: sleepsearch ingest recordings/ --cohort cohort/ --subjects subjects.csv --score yasa --workers 2"
)
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
    score: Annotated[
        str | None,
        typer.Option(
            "--score",
            help="A program that stages every night: yasa (pip install 'sleepsearch[yasa]'). Kept as auto:yasa, the "
            "default only where no person staged; later runs keep it, `none` drops it.",
        ),
    ] = None,
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
            channels=channels, lights=lights, strict_montage=strict_montage, score=score, progress=progress,
        )  # fmt: skip
    if as_json:
        emit(report.to_json())
    else:
        from ui.tables import print_ingest

        understood = retrieval.Cohort(cohort).recordings() if report.snapshot else []
        print_ingest(report, cohort, understood)
    if not report.recordings + report.skipped:
        raise typer.Exit(1)


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
