"""Commands about encoders: evaluate and train."""

from pathlib import Path
from typing import Annotated

import typer

from ui.shell import CohortDir, Encoder, Json, app, bar, emit, interruptible


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
