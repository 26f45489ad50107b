"""Whole nights as answers on a terminal, and the command that looks for duplicates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.shell import CohortDir, Encoder, Json, app, bar, deliver, interruptible

if TYPE_CHECKING:
    from retrieval import Answer
    from retrieval.duplicates import Duplicates


@app.command(epilog="Example: sleepsearch duplicates --cohort cohort/ --out leaks.csv")
def duplicates(
    cohort: CohortDir,
    out: Annotated[Path | None, typer.Option("--out", help="Write the table: .csv, .tsv, .parquet or .json.")] = None,
    encoder: Encoder = None,
    as_json: Json = False,
) -> None:
    """Look for leaks: one recording under two names, one person under two ids. Suspicions, with their basis."""
    from retrieval import Cohort

    with bar("comparing nights") as progress, interruptible("nothing was written"):
        found = Cohort(cohort, encoder=encoder).duplicates(progress=progress)
    deliver(found, _print_duplicates, as_json=as_json, out=out)


def print_nights_found(answer: "Answer", *, explain: bool) -> None:
    """Nights, best first, each with its reasons; then what was left out; with `explain` how the question was read."""
    from ui.tables import left_out, new_console

    console = new_console(markup=False)  # names and words may hold what rich takes for markup
    for number, hit in enumerate(answer.hits, 1):
        simulated = " (simulated)" if hit.simulated else ""
        who = f"  {hit.subject}" if hit.subject != hit.recording else ""
        console.print(f"{number:>2}  {hit.recording}{simulated}{who}  {hit.stop_s / 3600:.1f} h  score {hit.score:.2f}")
        for line in hit.why:
            console.print(f"    why     {line}", soft_wrap=True)
    if not answer.hits:
        console.print("no nights")
    left = left_out(answer.not_assessable)
    console.print(f"searched {answer.searched} nights" + (f"; could not answer: {left}" if left else ""))
    for line in answer.notes:
        console.print(line, soft_wrap=True)
    if explain:
        for line in (*answer.understood, f"engine    {answer.engine}"):
            console.print(line, soft_wrap=True)
        console.print("ms        " + ", ".join(f"{k} {v:g}" for k, v in answer.ms.items()))


def _print_duplicates(found: "Duplicates") -> None:
    from ui.tables import new_console

    console = new_console(markup=False)
    for s in found.found:
        console.print(f"{s.kind}?  {s.recording} ({s.subject})  {s.other} ({s.other_subject})")
        console.print(f"    basis   {s.basis}", soft_wrap=True)
    if not found.found:
        console.print("nothing stands out")
    for said, null in (
        ("same recording: agreement of other nights", found.same_recording),
        ("same subject: likeness of nights with different ids", found.same_subject),
    ):
        if null:
            numbers = f"median {null.median:.2f}, 99th centile {null.p99:.2f}, highest {null.highest:.2f}"
            console.print(f"{said}, {null.pairs} pairs: {numbers}; listed from {null.bound:.2f}", soft_wrap=True)
    for line in found.notes:
        console.print(line, soft_wrap=True)
    console.print(f"{found.nights} nights compared; these are suspicions, no verdicts: look at both recordings")
