"""What is drawn of each task on an evaluation's page."""

from collections.abc import Callable, Sequence
from html import escape

from retrieval.evaluation.evaluate import Evaluation
from retrieval.evaluation.figures import Figure
from retrieval.evaluation.headline import Row, load_words, named, number, rows, said
from retrieval.evaluation.plots import Line, bars, confusion, curves, dots, shares


def draw(evaluation: Evaluation, task: str) -> str:
    """The plots of a task, as HTML; empty where nothing of it can be drawn."""
    return _DRAWN.get(task, _plain)(evaluation, task)


def table_html(head: Sequence[str], lines: Sequence[str]) -> str:
    """A table whose `lines` are cells already; wide ones scroll by themselves."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'


def _panels(panels: Sequence[tuple[str, str]]) -> str:
    """Plots with their titles, two beside each other; a plot takes its width while the page is still being read."""
    drawn = [f"<div><h3>{escape(title)}</h3>{plot}</div>" for title, plot in panels if plot]
    return f'<div class="columns">{"".join(drawn)}</div>' if len(drawn) > 1 else "".join(drawn)


def _within(found: Sequence[Row]) -> list[Row]:
    """The rows that a scale from 0 to 1 can show."""
    return [row for row in found if all(f.value is not None and 0 <= f.value <= 1 for f in row.figures)]


def _fields(evaluation: Evaluation, task: str) -> str:
    """A line a field: how often it is right, beside how often the commonest answer would be."""
    found = rows(evaluation, task=task, measure="accuracy, .*")
    methods = list(dict.fromkeys(f.method for row in found for f in row.figures))
    lines = []
    for row in found:
        by_method = {f.method: f for f in row.figures}
        cells = "".join(_bar(by_method.get(method)) for method in methods)
        field, base = named(row.measure.removeprefix("accuracy, ")), number(row.base_rate or 0.0)
        lines.append(f"<td>{escape(field)}</td>{cells}<td>{base}</td><td>{row.figures[0].n:,}</td>")
    return table_html(("how often it is right", *methods, "always the commonest", "epochs"), lines) if found else ""


def _bar(figure: Figure | None) -> str:
    """A cell with a bar as long as the share, and a mark at the base rate."""
    if figure is None or figure.value is None:
        return "<td></td>"
    return (
        f'<td class="bar" style="--filled:{100 * figure.value:.1f}%;--mark:{figure.base_rate or 0.0:.3f}">'
        f"{said(figure)}</td>"
    )


def _plain(evaluation: Evaluation, task: str) -> str:
    found = _within(rows(evaluation, task=task))
    return dots(found) if found else ""


def _staging(evaluation: Evaluation, task: str) -> str:
    found = rows(evaluation, task=task)
    panels = [("Every method", dots(_within(found)))]
    tables = [f for row in found for f in row.figures if "confusion" in f.detail]
    panels += [
        (f"What was scored, and what was found: {f.method}", confusion(f.detail["confusion"], f.detail["classes"]))
        for f in tables[:1]
    ]
    return _panels(panels)


def _events(evaluation: Evaluation, task: str) -> str:
    kinds = (("How well epochs with the event rank above those without: AUC", r"\w+ AUC"),
             ("How clean the top of the list is: average precision", r"\w+ AP"))  # fmt: skip
    found = [(title, rows(evaluation, task=task, measure=measure)) for title, measure in kinds]
    return _panels([(title, dots(several)) for title, several in found if several])


def _retrieval(evaluation: Evaluation, task: str) -> str:
    found = rows(evaluation, task=task, measure="R@.*")
    lines: dict[str, dict[tuple[str, bool], list[Figure]]] = {}
    for row in found:
        first, detail = row.measure.split()[0], row.figures[0].detail
        plain = detail["wording"] == "captions"
        if not plain and first != "R@10":
            continue  # the table has them
        panel = lines.setdefault(detail["direction"], {})
        for figure in row.own[:1]:
            panel.setdefault((first if plain else f"{first}, {detail['wording']}", True), []).append(figure)
        if plain and first == "R@10":
            panel.setdefault((f"{first} by chance", False), []).extend(f for f in row.baselines if f.method == "chance")
    panels = [
        (f"The right one among the first: {direction}",
         curves([Line(name, tuple(f.detail["gallery"] for f in of), tuple(of), own)
                 for (name, own), of in panel.items()], "how many to choose from", "share found"))
        for direction, panel in lines.items()
    ]  # fmt: skip
    facts = _within(rows(evaluation, task=task, measure="precision@10.*"))
    return _panels([*panels, ("Same stage and events among the first ten", dots(facts) if facts else "")])


def _few_shot(evaluation: Evaluation, task: str) -> str:
    panels: dict[tuple[str, str], dict[tuple[str, bool], list[Figure]]] = {}
    for row in rows(evaluation, task=task):
        for figure in row.figures:
            lines = panels.setdefault((figure.detail["of"], figure.detail["score"]), {})
            lines.setdefault((figure.method, figure in row.own), []).append(figure)
    return _panels([
        (f"{named(of)}: {score}",
         curves([Line(name, tuple(f.detail["examples"] for f in several), tuple(several), own)
                 for (name, own), several in lines.items()], "labelled examples of each class", score))
        for (of, score), lines in panels.items()
    ])  # fmt: skip


def _subsets(evaluation: Evaluation, task: str) -> str:
    found = [f for f in evaluation.figures if f.task == task and f.value is not None]
    places = list(dict.fromkeys(f.subset for f in found))
    staging = [f for f in found if f.measure == "macro-F1"]
    lines = []
    for method in dict.fromkeys(f.method for f in staging):
        of = [f for f in staging if f.method == method]
        own = method not in load_words()["baselines"]
        lines.append(Line(method, tuple(places.index(f.subset) for f in of), tuple(of), own))
    faint = [f.subset for f in staging if not f.detail.get("enough", True)]
    kinds = list(dict.fromkeys(f.measure for f in found if f.measure.endswith(" AUC")))
    cells = {(f.subset, f.measure): f for f in found}
    values = [[_value(cells.get((subset, kind))) for kind in kinds] for subset in places]
    text = [["" if v is None else f"{v:.2f}" for v in line] for line in values]
    panels = [
        (
            "Macro-F1 of staging; pale: without the sensors that staging needs",
            bars(lines, places, "macro-F1", faint) if lines else "",
        )
    ]
    if kinds:
        panels.append(
            (
                "AUC of events; blank: without the sensors that show the kind",
                shares(values, [named(k) for k in kinds], places, text),
            )
        )
    return _panels(panels)


def _value(figure: Figure | None) -> float | None:
    return figure.value if figure else None


_DRAWN: dict[str, Callable[[Evaluation, str], str]] = {
    "staging": _staging, "events": _events, "retrieval": _retrieval, "few-shot": _few_shot, "subsets": _subsets,
    "fields": _fields,
}  # fmt: skip
