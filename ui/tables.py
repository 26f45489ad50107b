"""Answers as tables on a terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

if TYPE_CHECKING:
    import polars as pl

    from retrieval import Answer
    from retrieval.evaluation import Evaluation
    from retrieval.ingest import IngestReport
    from retrieval.truth import Judged

_ROWS_MOST = 60
_NIGHT_COLUMNS = {
    "recording": "recording", "subject": "subject", "age": "age", "sex": "sex",
    "stage_scorer": "staged\nby", "tst_min": "TST\nmin", "se_pct": "SE\n%", "n3_min": "N3\nmin", "rem_min": "REM\nmin",
    "ahi_scored_per_h": "AHI\nscored/h", "ahi_3a_per_h": "AHI\n3A/h", "rei_per_h": "REI\n/h",
    "ahi_device_per_h": "AHI\ndevice/h", "odi3_per_h": "ODI3\n/h", "t90_pct": "T90\n%",
    "arousal_index_per_h": "arousals\n/h",
}  # fmt: skip


def new_console(**options: Any) -> Console:
    """A terminal as all answers use it. A pipe has no width: long lines serve grep and diff better than folded ones."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200, **options)


_console = new_console()


def new_table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def left_out(not_assessable: dict[str, int]) -> str:
    """`28 quality, 3 not scored`: how many could not answer, by reason; empty where all could."""
    return ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in not_assessable.items() if n)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return escape(f"{value:.1f}" if isinstance(value, float) else str(value))


def print_answer(answer: "Answer", *, explain: bool, truth: "Judged | None" = None) -> None:
    """Hits as a table, then what was left out; with `explain`, how the question was read and answered.

    `truth` of simulated nights is printed under each hit.
    """
    for number, hit in enumerate(answer.hits, 1):
        simulated = " [reverse] simulated [/reverse]" if hit.simulated else ""
        when = f"{hit.start_s:g}–{hit.stop_s:g} s" + (f"  {hit.clock}" if hit.clock else "")
        stage = hit.stage or "no stage"
        _console.print(
            f"[bold]{number:>2}  {escape(hit.recording)}[/bold]{simulated}  {when}  [bold]{stage}[/bold]", end=""
        )
        _console.print(f"  score {hit.score:.2f}")
        if hit.events:
            _console.print(f"    events  {escape('; '.join(hit.events))}", soft_wrap=True)
        for line in hit.why:
            _console.print(f"    [dim]why[/dim]     {escape(line)}", soft_wrap=True)
        if truth:
            mark = "[green]yes[/green]" if truth.right[number - 1] else "[red]no[/red]"
            _console.print(f"    [dim]truth[/dim]   {mark}: {escape(truth.words[number - 1])}", soft_wrap=True)
    if truth and answer.hits:
        share = f"{sum(truth.right)} of {len(truth.right)} hits are truly so"
        _console.print(f"[bold]{share}[/bold]; of all epochs {100 * truth.base_rate:.1f} % are")
    if not answer.hits:
        _console.print("no hits")
    left = left_out(answer.not_assessable)
    _console.print(
        f"[dim]searched {answer.searched} epochs" + (f"; could not answer: {left}" if left else "") + "[/dim]"
    )
    for note in answer.notes:
        _console.print(f"[dim]{escape(note)}[/dim]")
    if explain:
        for line in answer.understood:
            _console.print(escape(line))
        _console.print(escape(f"engine    {answer.engine}"))
        _console.print("ms        " + ", ".join(f"{k} {v:g}" for k, v in answer.ms.items()))


def print_ingest(report: "IngestReport", cohort: Path, understood: list[dict[str, Any]]) -> None:
    """What went in, what was skipped, what failed and why; then what was understood of each recording."""
    counts = f"{report.recordings} recordings, {report.epochs} epochs, {report.skipped} skipped"
    _console.print(f"{counts}, {report.seconds:g} s -> {cohort}")
    if report.failed:
        table = new_table("failed", "why")
        for failure in report.failed:
            table.add_row(escape(Path(failure["path"]).name), escape(failure["error"]))
        _console.print(table)
    for note in report.notes:
        _console.print(f"[dim]{escape(note)}[/dim]")
    for pair in report.agreement:
        _console.print(escape(f"scorers   {pair['words']}"), soft_wrap=True)
    if understood:
        print_recordings(understood[:_ROWS_MOST])
        if len(understood) > _ROWS_MOST:
            _console.print(
                f"[dim]{len(understood) - _ROWS_MOST} more: sleepsearch info --cohort {cohort} --recordings[/dim]"
            )
    _console.print(f'ask: sleepsearch search "deep slow-wave sleep" --cohort {cohort}')


def print_recordings(rows: list[dict[str, Any]]) -> None:
    """One line a recording: what was understood of it; notes are counted, `describe RECORDING` shows them."""
    table = new_table("recording", "hours", "site", "channels", "scored", "scorer", "notes")
    for row in rows:
        scored = ", ".join(row["scored"]) or "nothing"
        others = [f"{a['other']} κ {a['kappa']:.2f}" for a in row["agreement"] if a["kappa"] is not None]
        scorer = f"{row['scorer']} ({', '.join(others)})" if others else row["scorer"]
        cells = (row["recording"], f"{row['hours']:.2f}", row["site"], " ".join(row["channels"]), scored, scorer)
        table.add_row(*(_cell(c) for c in cells), str(len(row["notes"])))
    _console.print(table)


def print_description(description: dict[str, Any]) -> None:
    """Measured captions by part, what a decoder generated apart from them, then the nearest ones."""
    for part, text in description["captions"].items():
        _console.print(f"[bold]{part}[/bold]  {escape(text)}")
    for part, text in description["generated"].items():
        _console.print(f"[bold]{part}[/bold]  [reverse] generated, not measured [/reverse] {escape(text)}")
    for caveat in description.get("caveats", []):
        _console.print(f"[dim]caveat  {escape(caveat)}[/dim]")
    for note in description.get("notes", []):
        _console.print(f"[dim]note[/dim]  {escape(note)}")
    for near in description["nearest"]:
        _console.print(f"[dim]near  {escape(near['recording'])} at {near['start_s']:g} s ({near['score']:.2f})[/dim]")


def print_nights(table: "pl.DataFrame") -> None:
    """The columns people look at first; --out and --json have them all."""
    columns = [c for c in _NIGHT_COLUMNS if c in table.columns and table[c].null_count() < table.height]
    shown = new_table(*(_NIGHT_COLUMNS[c] for c in columns))
    for row in table.select(columns).iter_rows():
        shown.add_row(*(_cell(v) for v in row))
    _console.print(shown)
    _console.print(f"[dim]{table.height} nights; {len(table.columns)} columns with --out FILE or --json[/dim]")


def write_table(table: "pl.DataFrame", out: Path) -> None:
    """Write a table by its suffix; lists become text where the format has none."""
    import polars as pl

    from retrieval import BadInput

    flat = table.with_columns(pl.col(c).list.join("; ") for c, t in table.schema.items() if t == pl.List(pl.String))
    match out.suffix.lower():
        case ".csv":
            flat.write_csv(out)
        case ".tsv":
            flat.write_csv(out, separator="\t")
        case ".parquet":
            table.write_parquet(out)
        case ".json":
            table.write_json(out)
        case other:
            raise BadInput(f"{out.name}: suffix {other!r} is not known; use .csv, .tsv, .parquet or .json.")


def print_tree(facts: dict[str, Any]) -> None:
    """Nested facts as a tree."""
    tree = Tree("cohort")
    _grow(tree, facts)
    _console.print(tree)


def _grow(tree: Tree, value: Any) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, (dict, list)) and inner:
            _grow(tree.add(escape(str(key))), inner)
        else:
            tree.add(escape(f"{key}: {inner}"))


def print_columns(rows: list[dict[str, str]]) -> None:
    """What a filter may name, with unit and definition."""
    table = new_table("column", "type", "unit", "definition")
    for row in rows:
        table.add_row(*(escape(value) for value in row.values()))
    _console.print(table)


def print_evaluation(evaluation: "Evaluation") -> None:
    """The figures that matter first: the encoder's own, what it is held against, and the base rate; then the notes."""
    from retrieval.evaluation.headline import headline, named, number, said
    from retrieval.evaluation.report import about, simulated

    mark = f" [reverse] {escape(simulated(evaluation))} [/reverse]" if simulated(evaluation) else ""
    _console.print(f"[bold]{escape(evaluation.encoder)}[/bold]{mark}  {escape(about(evaluation))}", soft_wrap=True)
    table = new_table("measure", "encoder", "held against", "base rate", "n", "subjects")
    for row in headline(evaluation):
        others = ", ".join(
            f"{f.method} {number(f.value)}" for f in (*row.own[1:], *row.baselines) if f.value is not None
        )
        base = number(row.base_rate) if row.base_rate is not None else None
        own = row.own[0]
        table.add_row(*(_cell(c) for c in (named(row.measure), said(own), others, base, own.n, own.subjects)))
    _console.print(table)
    for note in evaluation.notes:
        _console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)
    left = [f for f in evaluation.figures if f.value is None]
    rest = f"{len(evaluation.figures) - len(left)} figures with --out, --card or --json; {len(left)} not measured here"
    _console.print(f"[dim]{rest}; brackets: 95 % intervals over subjects; {evaluation.seconds:g} s[/dim]")


def print_channels(report: dict[str, Any]) -> None:
    """Each label of a file, what it became, and why."""
    if report["error"]:
        _console.print(escape(report["error"]))
        return
    table = new_table(
        "label",
        "Hz",
        "unit",
        "became",
        "why",
        title=f"{report['file']}  (site: {report['cohort'] or 'not known'}; {report['cohort_why']})",
    )
    for row in report["channels"]:
        table.add_row(*(_cell(row[c]) for c in ("label", "rate_hz", "unit", "became", "why")))
    _console.print(table)
    for problem in report["problems"]:
        _console.print(f"[bold]ambiguous:[/bold] {escape(problem)}")


def print_check(report: dict[str, Any]) -> None:
    """Files refused with the reason, then one line for each recording that would go in."""
    if report["refused"]:
        table = new_table("refused", "why")
        for row in report["refused"]:
            table.add_row(escape(Path(row["path"]).name), escape(row["error"]))
        _console.print(table)
    table = new_table("recording", "hours", "channels", "stages", "events", "notes")
    for row in report["recordings"]:
        counts = (f"{row['hours']:.2f}", " ".join(row["channels"]), str(row["stages"]), str(row["events"]))
        table.add_row(escape(row["recording"]), *counts, escape("; ".join(row["notes"])))
    _console.print(table)
