"""Commands that hand data on: export."""

from pathlib import Path
from typing import Annotated

import typer

from ui.shell import CohortDir, Json, Where, app, bar, emit, interruptible


@app.command(
    epilog="Example: sleepsearch export --cohort cohort/ --format annot --out luna/ · sleepsearch export "
    '--cohort cohort/ --format clips --search "long apneas in REM" -k 20 --out clips/'
)
def export(
    cohort: CohortDir,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="tsv (BIDS), annot (Luna), edf+ (annotations), csv, parquet, clips (an EDF a hit), vectors or arrow.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.", show_default=False)],
    what: Annotated[
        str | None,
        typer.Option("--what", help="Of stages,events,labels,hits,nights; default: all that the format holds."),
    ] = None,
    where: Where = None,
    search: Annotated[str | None, typer.Option("--search", help="A question whose hits go out too.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many hits.", min=1)] = 10,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over files of the same names.")] = False,
    as_json: Json = False,
) -> None:
    """Write stages, events, labels, hits, nights, clips or vectors as files that Luna, MNE, YASA and others read.

    Every file says which version and snapshot it is of, where its format can; no name, date or path goes out.
    """
    from retrieval import Cohort

    kinds = [word.strip() for word in what.split(",") if word.strip()] if what is not None else None
    with (
        bar("writing") as progress,
        interruptible(f"files in {out} are whole; the same command with --overwrite writes them anew"),
    ):
        report = Cohort(cohort).export(
            out, format, what=kinds, where=where, search=search, k=k, overwrite=overwrite, progress=progress
        )
    if as_json:
        emit(report.to_json())
    else:
        nights = f"{report.recordings} nights" + (f", {report.hits} hits" if report.hits else "")
        typer.echo(f"{len(report.files)} files of {nights} -> {report.out}")
        for line in [*report.left_out, *(f"{f['file']}: {f['error']}" for f in report.failed)]:
            typer.echo(f"  left out: {line}")
    if not report.files:
        raise typer.Exit(1)
