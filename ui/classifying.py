"""Commands that hold words against signals: classify and locate."""

from pathlib import Path
from typing import Annotated

import typer

from ui.shell import CohortDir, Encoder, Json, Where, app, bar, emit, interruptible

# A backslash keeps rich from reading a table's name as a style.
_OWN_TASK = r"""A task of your own is five lines of TOML:

    \[alpha]
    sensors = [["EEG_C3"], ["EEG_C4"]]
    \[alpha.labels]
    present = ["Alpha rhythm.", "The EEG shows alpha activity."]
    absent = ["No alpha rhythm.", "The EEG shows no alpha activity."]

`sensors` are alternative sets of channels; `column = "stage"` compares the labels with that column."""


@app.command(
    epilog="Example: sleepsearch classify --cohort cohort/ --task staging --smooth --out stages.csv · "
    "sleepsearch classify --cohort cohort/ --task arousal --calibrate --abstain 0.6 --json",
    help="Label every epoch by words alone, and say how far the labels agree with what people scored.\n\n"
    "Scores are similarities and printed as uncalibrated, unless --calibrate fits probabilities and thresholds on the "
    f"labelled nights of other subjects. Epochs without the task's sensors are counted, never labelled.\n\n{_OWN_TASK}",
)
def classify(
    cohort: CohortDir,
    task: Annotated[
        str, typer.Option("--task", help="A task of the package (an unknown name lists them), or a TOML file of yours.")
    ] = "staging",
    where: Where = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Stages over the night, by how stages follow each other (a Markov model).")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit probabilities and thresholds on other subjects' labelled nights.")
    ] = False,
    abstain: Annotated[
        float | None,
        typer.Option("--abstain", help="No label where its margin, or with --calibrate its probability, is less."),
    ] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="Whose labels to compare with and learn from; default: people's.")
    ] = None,
    encoder: Encoder = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write one row an epoch: .csv, .tsv, .parquet, .json; .html: a page of the nights."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Label every epoch by words alone, and say how far the labels agree with what people scored."""
    from retrieval import Cohort

    with bar("labelling epochs") as progress, interruptible("nothing was written"):
        found = Cohort(cohort, encoder=encoder).classify(
            task, where=where, smooth=smooth, calibrated=calibrate, abstain=abstain, scorer=scorer, progress=progress
        )
    if out:
        if out.suffix.lower() == ".html":
            from ui.nights import write_labels

            write_labels(found, out)
        else:
            from ui.tables import write_table

            write_table(found.frame(), out)
    if as_json:
        emit(found.to_json())
    else:
        from ui.nights import print_labels

        print_labels(found)
    if out:
        typer.echo(f"{'page' if out.suffix.lower() == '.html' else 'table'}: {out}", err=True)


@app.command(
    epilog='Example: sleepsearch locate "oxygen desaturation" night-03 --cohort cohort/ --out where.html · '
    'sleepsearch locate "arousal" night-03@02:15 --cohort cohort/'
)
def locate(
    words: Annotated[str, typer.Argument(help="A sentence, in plain words.", show_default=False)],
    place: Annotated[
        str, typer.Argument(metavar="RECORDING[@TIME]", help="TIME: seconds from the start, or HH:MM:SS.")
    ],
    cohort: CohortDir,
    peaks: Annotated[
        int, typer.Option("--peaks", help="Epochs that are looked at to the second, where no TIME is given.", min=0)
    ] = 5,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page: the night's curve and the epochs.")] = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Show where in a night a sentence is nearest, and in its best epochs the seconds and the sensor that carry it.

    Each such answer is checked by taking the named seconds, and each sensor, away again.
    """
    from retrieval import Cohort
    from ui.nights import print_located, write_located

    with bar("reading signals") as progress, interruptible("nothing was written"):
        found = Cohort(cohort, encoder=encoder).locate_words(words, place, peaks=peaks, progress=progress)
    if out:
        write_located(found, out)
    if as_json:
        emit(found.to_json())
    else:
        print_located(found)
    if out:
        typer.echo(f"page: {out}", err=True)
