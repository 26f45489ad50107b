"""Commands that ask a cohort: search, similar, describe, nights, info."""

from pathlib import Path
from typing import Annotated

import typer

from ui.shell import CohortDir, Count, Encoder, Json, Where, app, bar, emit, show


@app.command(epilog='Example: sleepsearch search "REM sleep with oxygen desaturation" --cohort cohort/ --out hits.html')
def search(
    words: Annotated[str, typer.Argument(help="The question, in plain words.", show_default=False)],
    cohort: CohortDir,
    where: Where = None,
    k: Count = 10,
    exact: Annotated[bool, typer.Option("--exact", help="Scan every vector in float32.")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="WORDS", help="Take away a filter, by its words in --explain; repeatable."),
    ] = None,
    include_bad: Annotated[
        bool, typer.Option("--include-bad", help="Let measures count in epochs with a scored artifact.")
    ] = False,
    level: Annotated[
        str, typer.Option("--level", metavar="epoch|night", help="Bring back stretches of sleep, or whole nights.")
    ] = "epoch",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how the question was read, and which engine answered.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page of the hits with their waveforms.")] = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Find the stretches of sleep that answer a question, or the nights that do."""
    from retrieval import Cohort

    opened = Cohort(cohort, encoder=encoder)
    answer = opened.search(
        words, where=where, k=k, exact=exact, level=level, without=without or (), include_bad=include_bad
    )
    show(opened, answer, as_json=as_json, explain=explain, out=out, nights=level == "night")


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
    unlike: Annotated[bool, typer.Option("--unlike", help="The nights that are least like this one.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page of the hits with their waveforms.")] = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Find epochs like one moment, or nights like one night, and which parts of them agree."""
    from retrieval import Cohort

    opened = Cohort(cohort, encoder=encoder)
    answer = opened.similar(place, where=where, k=k, unlike=unlike)
    show(opened, answer, as_json=as_json, explain=False, out=out, nights="@" not in place)


@app.command(
    epilog="Example: sleepsearch describe night-03@5400 --cohort cohort/ · "
    "sleepsearch describe new/night.edf@02:15 --cohort cohort/"
)
def describe(
    place: Annotated[
        str,
        typer.Argument(
            metavar="RECORDING[@TIME]",
            help="TIME: seconds from the start, or HH:MM:SS. A path to an EDF or BDF file that is not in the cohort is "
            "read beside it, and does not enter it.",
        ),
    ],
    cohort: CohortDir,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Say in words what was measured and scored in an epoch, or in a night; apart from it, what a decoder generates."""
    from retrieval import Cohort

    opened = Cohort(cohort, encoder=encoder)
    name, _, when = (place, "", "") if Path(place).is_file() else place.rpartition("@")
    if Path(name).suffix and Path(name).is_file():
        with bar("reading the file") as progress, opened.foreign(Path(name), progress) as foreign:
            description = foreign.describe(when or None)
    else:
        description = opened.describe(place)
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
