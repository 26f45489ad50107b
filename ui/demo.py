"""The main job in one command: recordings, a cohort, three questions, a page that answers more of them."""

from pathlib import Path
from typing import Any

from rich.console import Console

# Each question with what it asks for, in the words of `retrieval.Asked`.
QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("REM sleep with oxygen desaturation", {"stage": "REM", "event": "desaturation"}),
    ("deep slow-wave sleep", {"stage": "N3"}),
    ("obstructive apnea longer than 20 s", {"event": "obstructive apnea", "longer_than_s": 20.0}),
)
_console = Console(highlight=False)


def run_demo(folder: Path | None, out: Path, *, nights: int, seed: int, browser: bool) -> None:
    """Simulate nights into `out` unless a folder is given, ingest them, ask `QUESTIONS` and write the pages of hits;
    then serve the cohort's page until Ctrl-C, or without `browser` say how."""
    import retrieval
    from ui.shell import bar
    from ui.tables import print_answer, print_ingest

    cohort_dir = out / "cohort"
    subjects = truth = None
    if folder is None:
        folder = out / "recordings"
        if not folder.is_dir():
            with bar("simulating nights") as progress:
                retrieval.simulate(folder, nights=nights, seed=seed, progress=lambda done, of: progress("", done, of))
        subjects = folder / "subjects.csv"
        _console.print(
            f"[bold]simulated[/bold] nights in {folder}: no person slept them; their scorers err as people do"
        )
        truth = retrieval.Truth(folder)
    with bar("reading nights") as progress:
        report = retrieval.ingest([folder], cohort_dir, subjects=subjects, workers=retrieval.cores(), progress=progress)
    cohort = retrieval.Cohort(cohort_dir)
    print_ingest(report, cohort_dir, cohort.recordings())
    pages = []
    for number, (question, asked) in enumerate(QUESTIONS, 1):
        from ui.page import write_page

        answer = cohort.search(question, k=5)
        _console.print(f"\n[bold]{question}[/bold]")
        judged = truth.judge(answer.hits, retrieval.Asked(**asked)) if truth else None
        print_answer(answer, explain=False, truth=judged)
        pages.append(out / f"hits-{number}.html")
        write_page(cohort, answer, pages[-1])
    _console.print("\npages of hits with their waveforms: " + ", ".join(str(p) for p in pages))
    _console.print(f'ask your own: sleepsearch search "WORDS" --cohort {cohort_dir} --out hits.html')
    if not browser:
        _console.print(f"open it in a browser: sleepsearch serve --cohort {cohort_dir}")
        return
    from ui.serving import serve_page

    serve_page(cohort_dir)
