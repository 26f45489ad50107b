"""Commands that learn from people: label, fewshot, probe."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.shell import CohortDir, Encoder, Json, Where, app, bar, deliver, emit, interruptible

if TYPE_CHECKING:
    from retrieval.fewshot import Agreement, FewShot
    from retrieval.labelling import Label
    from retrieval.probe import Probe

Out = Annotated[Path | None, typer.Option("--out", help="Write the table: .csv, .tsv, .parquet or .json.")]
_SHOWN = 20


@app.command(
    epilog="Example: sleepsearch label night-03@5400-5460 spindle --cohort cohort/ --author ann · "
    "sleepsearch label --list --cohort cohort/"
)
def label(
    cohort: CohortDir,
    place: Annotated[
        str | None,
        typer.Argument(metavar="RECORDING@TIME[-TIME]", help="TIME: seconds or HH:MM:SS; one alone: that epoch."),
    ] = None,
    words: Annotated[str | None, typer.Argument(metavar="LABEL", help="What you call it.")] = None,
    author: Annotated[str | None, typer.Option("--author", help="Who says so; needed to write.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the labels that stand.")] = False,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="ID", help="Withdraw a label; the log keeps it.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="CSV: recording,start_s,stop_s,label[,author]; what stands is skipped."),
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Write down what a stretch of a night is, list what people wrote, withdraw it, or read a table of it in.

    The log is beside the scorer's stages and events and never changes them: every entry has an author and a time.
    """
    from retrieval import Cohort

    ways = (place is not None, listed, undo is not None, source is not None)
    if sum(ways) != 1 or (place is not None) != (words is not None):
        raise typer.BadParameter("give RECORDING@TIME and LABEL, or one of --list, --undo ID, --from CSV")
    opened = Cohort(cohort)
    if listed:
        _list(opened.labels(), out, as_json=as_json)
        return
    if source is not None:
        _written(opened.import_labels(source, author), as_json=as_json)
        return
    if not author:
        raise typer.BadParameter("say who labels: --author NAME")
    if undo is not None:
        withdrawn = opened.unlabel(undo, author)
        if as_json:
            emit({"withdrawn": withdrawn.to_json()})
        else:
            typer.echo(
                f"withdrawn: {withdrawn.label!r} of {withdrawn.recording} by {withdrawn.author}; the log keeps it"
            )
        return
    assert place is not None and words is not None
    _written([opened.label(place, words, author)], as_json=as_json)


@app.command(epilog="Example: sleepsearch fewshot --cohort cohort/ --examples spindles.csv --next 5 --out labelled.csv")
def fewshot(
    cohort: CohortDir,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", help="CSV: recording,start_s[,stop_s],label; default: the cohort's own labels."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many of the nearest examples vote.", min=1)] = 5,
    labels: Annotated[str | None, typer.Option("--labels", help="Tell these apart, of those there are: A,B.")] = None,
    where: Where = None,
    next_n: Annotated[int, typer.Option("--next", help="Name so many epochs that are worth a label next.", min=0)] = 0,
    out: Out = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Label every epoch by the examples nearest to it: two labels, or one and `not` it.

    The share of a label is that of the votes, weighted by 1/distance, no probability. Agreement is measured with the
    examples of other subjects alone, and with scored stages where the labels are stages.
    """
    from retrieval import Cohort

    chosen = [name.strip() for name in labels.split(",")] if labels else []
    with interruptible("nothing was written"):
        found = Cohort(cohort, encoder=encoder).fewshot(examples, labels=chosen, where=where, k=k, next_n=next_n)
    deliver(found, print_fewshot, as_json=as_json, out=out)


@app.command(epilog="Example: sleepsearch probe --cohort cohort/ --target ahi_3a --cuts 5,15,30")
def probe(
    cohort: CohortDir,
    target: Annotated[
        str, typer.Option("--target", help="A column of `nights`: age, sex, ahi_3a, or any of the subjects' CSV.")
    ],
    cuts: Annotated[str | None, typer.Option("--cuts", help="Make classes of a number: 5,15,30.")] = None,
    where: Where = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same folds.")] = 0,
    out: Out = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Say how well a night's vectors tell an outcome, beside demography, hand-made features and chance.

    Nested cross-validation, no subject on two sides; intervals are 95 %, drawn over subjects.
    """
    from retrieval import Cohort
    from retrieval.outcome import read_cuts

    wanted = read_cuts(cuts) if cuts else ()
    with bar("fitting") as progress, interruptible("nothing was written"):
        found = Cohort(cohort, encoder=encoder).probe(target, cuts=wanted, where=where, seed=seed, progress=progress)
    wrote = "table of each night's outcome and what was said of it"
    deliver(found, print_probe, as_json=as_json, out=out, wrote=wrote)


# ---- for people


def _list(frame: Any, out: Path | None, *, as_json: bool) -> None:
    from rich.markup import escape

    from ui.tables import new_console, new_table, write_table

    if out:
        write_table(frame, out)
    if as_json:
        emit(frame.to_dicts())
        return
    table = new_table("id", "recording", "from s", "to s", "label", "author", "time (UTC)")
    for row in frame.iter_rows(named=True):
        cells = (row["id"][:8], row["recording"], f"{row['start_s']:g}", f"{row['stop_s']:g}", row["label"],
                 row["author"], row["time"])  # fmt: skip
        table.add_row(*map(escape, cells))
    console = new_console()
    console.print(table)
    console.print(f"[dim]{frame.height} labels stand[/dim]")


def _written(labels: "list[Label]", *, as_json: bool) -> None:
    new = [entry for entry in labels if entry.new]
    if as_json:
        emit({"added": len(new), "stood": len(labels) - len(new), "labels": [entry.to_json() for entry in labels]})
        return
    for entry in new[:_SHOWN]:
        span = f"{entry.recording} {entry.start_s:g}–{entry.stop_s:g} s"
        typer.echo(f"{entry.id[:8]}  {span}  {entry.label}  by {entry.author}")
    typer.echo(f"{len(new)} labels written, {len(labels) - len(new)} stood already")


def print_fewshot(found: "FewShot") -> None:
    """What was learned from, how far it agrees, how the cohort divides, and what to look at next."""
    from rich.markup import escape

    from ui.tables import left_out, new_console, new_table

    console = new_console()
    counts = ", ".join(f"{n} {name}" for name in found.labels if (n := (found.examples["label"] == name).sum()))
    people = found.examples["subject"].n_unique()
    console.print(f"[bold]{escape(counts)}[/bold] of {people} subjects, k = {found.k}, by {found.by} ({found.space})")
    for agreement in (found.agreement, found.scored):
        if agreement:
            console.print(f"[bold]{_said(agreement)}[/bold] with {escape(agreement.against)}: "
                          f"{agreement.epochs} epochs, {agreement.subjects} subjects", soft_wrap=True)  # fmt: skip
            console.print(f"  F1  {escape(', '.join(f'{name} {x:.2f}' for name, x in agreement.f1.items()))}")
    table = new_table("label", "epochs", "of these with a share under 0.6")
    for i, name in enumerate(found.labels):
        so = (found.epochs["label"] == name).fill_null(False).to_numpy()
        table.add_row(escape(name), str(int(so.sum())), str(int((found.votes[so, i] < 0.6).sum())))
    console.print(table)
    left = left_out(found.not_assessable)
    console.print(f"[dim]{found.epochs.height} epochs" + (f"; not assessable: {left}" if left else "") + "[/dim]")
    for pick in found.next:
        place = f"{pick['recording']}@{pick['start_s']:g}"
        when = f"  {pick['clock']}" if pick["clock"] else ""
        console.print(
            f"next  [bold]{escape(place)}[/bold]{when}  perhaps {escape(pick['label'])}, margin {pick['margin']:.2f}"
        )
    for note in found.notes:
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def _said(agreement: "Agreement") -> str:
    span = f" [{agreement.interval[0]:.2f} {agreement.interval[1]:.2f}]" if agreement.interval else ""
    return f"macro-F1 {agreement.macro_f1:.2f}{span}"


def print_probe(found: "Probe") -> None:
    """Each way of telling the outcome as a row: its measures, and what the vectors have over it."""
    from rich.markup import escape

    from ui.tables import new_console, new_table

    console = new_console()
    mark = " [reverse] outcome planted by the simulator [/reverse]" if found.planted else ""
    console.print(f"[bold]{escape(found.target)}[/bold]{mark}  {escape(found.why)}", soft_wrap=True)
    console.print(f"{found.nights} nights of {found.subjects} subjects  {escape(found.outcome)}", soft_wrap=True)
    measures = list(dict.fromkeys(row.measure for row in found.rows))
    table = new_table("from", "columns", *measures, f"vectors' gain in {measures[0]}")
    for method in dict.fromkeys(row.method for row in found.rows):
        of = {row.measure: row for row in found.rows if row.method == method}
        gain = of[measures[0]].gain
        table.add_row(
            escape(method), str(of[measures[0]].columns),
            *(_figure(of[m].value, of[m].low, of[m].high) for m in measures),
            _figure(gain.value, gain.low, gain.high, sign=True) if gain else "",
        )  # fmt: skip
    console.print(table)
    for note in found.notes:
        console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)


def _figure(value: float | None, low: float | None, high: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    span = f" [{low:.2f} {high:.2f}]" if low is not None and high is not None else ""
    return f"{value:{'+' if sign else ''}.2f}{span}"
