"""An evaluation as one HTML page: the figures, what chance and simpler ways reach, and what was not measured."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from retrieval.evaluation.evaluate import SEEN, Evaluation
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.headline import Row, headline, load_words, named, number, past, rows, said
from retrieval.evaluation.sections import draw, table_html
from retrieval.pages import write_document

_HOW = (
    "Ranges in brackets, and error bars, are 95 % intervals: how far a figure moves when other people of this kind are "
    "drawn. Where one person alone stands behind a figure, stretches of ten minutes are drawn instead, and it says so. "
    "The base rate is how common the thing is, or what guessing gives: without it a figure means little."
)


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the page, which needs no server and asks nothing of the network."""
    mark = f' <span class="simulated">{escape(simulated(evaluation))}</span>' if simulated(evaluation) else ""
    body = (
        f"<h1>How well {escape(evaluation.encoder)} reads these nights{mark}</h1>"
        f'<p class="lead">{escape(about(evaluation))}</p>{_chips(evaluation)}'
        + "".join(f'<p class="note">{escape(note)}</p>' for note in evaluation.notes)
        + f'{_tiles(evaluation)}<p class="says">{_HOW}</p>'
        + "".join(_section(evaluation, task) for task in load_words()["task"])
        + f"{_seen(evaluation)}{_missing(evaluation)}{_methods(evaluation)}"
    )
    css = (files("retrieval.evaluation") / "report.css").read_text("utf-8")
    write_document(out, f"{evaluation.encoder} evaluated", body, css)


def about(evaluation: Evaluation) -> str:
    """What was evaluated on, in a sentence."""
    facts = evaluation.cohort
    whole = facts["epochs"] == facts["epochs_of_cohort"]
    drawn = "all there are" if whole else f"drawn from {facts['epochs_of_cohort']:,}"
    return (
        f"{facts['epochs']:,} epochs of 30 s ({drawn}), {counted(facts['nights'], 'night')} of "
        f"{counted(facts['subjects'], 'subject')}, {counted(len(facts['sites']), 'known site')}."
    )


def counted(n: int, what: str) -> str:
    """`1 night`, `3 nights`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def simulated(evaluation: Evaluation) -> str:
    """What must be said of nights that no person slept; empty where there are none."""
    made, nights = evaluation.cohort["simulated"], evaluation.cohort["nights"]
    return "" if not made else "simulated" if made == nights else f"{made} of {nights} nights simulated"


def _chips(evaluation: Evaluation) -> str:
    facts = evaluation.cohort
    nights = facts["nights"]
    scored = [f"{kind} scored in {n} of {counted(nights, 'night')}" for kind, n in facts["scored"].items()]
    lines = [
        *scored, f"sites: {', '.join(facts['sites']) or 'not known'}",
        f"trained on: {past(evaluation.trained_on)}", f"runs on {evaluation.runs_on}",
        f"space {evaluation.space}", f"sleepsearch {evaluation.code}", f"measured in {evaluation.seconds:g} s",
    ]  # fmt: skip
    return f'<ul class="chips">{"".join(f"<li class=chip>{escape(line)}</li>" for line in lines)}</ul>'


def _tiles(evaluation: Evaluation) -> str:
    """The headline: a tile a figure, what chance and simpler ways reach beneath it."""
    tiles = []
    for row in headline(evaluation):
        own = row.own[0]
        value, _, interval = said(own).partition(" ")
        beside = [f"{f.method} {number(f.value)}" for f in (*row.own[1:], *row.baselines) if f.value is not None]
        beside += [f"base rate {number(row.base_rate)}"] if row.base_rate is not None else []
        lines = [f"{interval or 'no interval'} · {counted(own.subjects, 'subject')}", *beside]
        spans = "".join(f"<span>{escape(line)}</span>" for line in lines)
        tiles.append(
            f'<div class="tile"><span class="name">{escape(named(row.measure))}</span><b>{value}</b>{spans}</div>'
        )
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


# ---- a section a task


def _section(evaluation: Evaluation, task: str) -> str:
    found = [f for f in evaluation.figures if f.task == task and f.value is not None and f.subset != SEEN]
    if not found:
        return ""
    words = load_words()["task"][task]
    drawn = draw(evaluation, task)
    subsets = dict.fromkeys(f.subset for f in found)
    tables = "".join(
        (f"<h3>{escape(subset)}</h3>" if len(subsets) > 1 else "") + table(rows(evaluation, task=task, subset=subset))
        for subset in subsets
    )
    return (
        f"<article><h2>{escape(words['title'])}</h2><p class=says>{escape(words['says'])}</p>{drawn}"
        f"<details{'' if drawn else ' open'}><summary>every figure, with intervals and notes</summary>{tables}"
        "</details></article>"
    )


# ---- tables


def table(several: Sequence[Row]) -> str:
    """Measures down, methods across; base rate, what was counted and how many people beside them."""
    own = dict.fromkeys(f.method for row in several for f in row.own)
    methods = [*own, *dict.fromkeys(f.method for row in several for f in row.baselines)]
    lines = []
    for row in several:
        by_method = {figure.method: figure for figure in row.figures}
        cells = "".join(f"<td{' class=own' if m in own else ''}>{_cell(by_method.get(m))}</td>" for m in methods)
        base = number(row.base_rate) if row.base_rate is not None else ""
        notes = "; ".join(dict.fromkeys(f.note for f in row.figures if f.note))
        note = f"<br><i>{escape(notes)}</i>" if notes else ""
        first = row.figures[0]
        counts = f"<td>{base}</td><td>{first.n:,}</td><td>{first.subjects}</td>"
        lines.append(f"<td>{escape(named(row.measure))}{note}</td>{cells}{counts}")
    return table_html(("", *methods, "base rate", "n", "subjects"), lines)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    value, _, interval = said(figure).partition(" ")
    return f"{value} <i>{interval}</i>" if interval else value


def _seen(evaluation: Evaluation) -> str:
    known = rows(evaluation, subset=SEEN)
    if not known:
        return ""
    parts = "".join(
        f"<h3>{escape(load_words()['task'][task]['title'])}</h3>{table([row for row in known if row.task == task])}"
        for task in dict.fromkeys(row.task for row in known)
    )
    return (
        "<article><h2>Seen in training</h2><p class=says>The encoder was trained on these recordings: the figures say "
        f"what it remembers, not what it can do. They are in none of those above.</p>{parts}</article>"
    )


def _missing(evaluation: Evaluation) -> str:
    left = dict.fromkeys(
        f"{f.task}, {named(f.measure)} ({f.method}): {f.note}" for f in evaluation.figures if f.value is None
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in left)
    return f"<article><h2>Not measured here</h2><ul>{lines}</ul></article>" if left else ""


def _methods(evaluation: Evaluation) -> str:
    used = {figure.method for figure in evaluation.figures}
    lines = "".join(f"<dt>{escape(m)}</dt><dd>{escape(w)}</dd>" for m, w in load_words()["method"].items() if m in used)
    return f"<article><h2>What the methods are</h2><dl>{lines}</dl></article>" if lines else ""
