"""Zero-shot labels of the room Label: tasks as the page edits them, runs, and what stands behind their figures."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk
from ui.web.files import plain_name

if TYPE_CHECKING:
    from retrieval import Cohort
    from retrieval.classify import Classification
    from retrieval.zeroshot import PromptTask

_HARD = "N1"  # the stage on which people themselves agree least: seen apart


def functions(desk: Desk) -> list[Callable[..., Any]]:
    """What the room's JavaScript may ask for."""
    from ui.web.labels import finished, rows_json

    def label_tasks(_: dict[str, Any]) -> dict[str, Any]:
        return tasks_json(desk.cohort)

    def label_check(of: dict[str, Any]) -> dict[str, Any]:
        from retrieval.classify import readable, reader_of

        readable(task_of(of["task"]), reader_of(desk.cohort))
        return {"readable": True}

    def label_run(of: dict[str, Any]) -> dict[str, str]:
        task, cohort = task_of(of["task"]), desk.cohort
        given: dict[str, Any] = {
            "where": of.get("where") or None, "scorer": of.get("scorer") or None, "smooth": bool(of.get("smooth")),
            "calibrated": bool(of.get("calibrated")), "abstain": number(of.get("abstain"), "abstain below"),
        }  # fmt: skip
        return {"token": desk.jobs.start(lambda progress: cohort.classify(task, **given, progress=progress))}

    def label_result(of: dict[str, Any]) -> dict[str, Any]:
        return result_json(finished(desk, of["token"]))

    def label_near(of: dict[str, Any]) -> list[dict[str, Any]]:
        from retrieval.spread import near

        return rows_json(near(finished(desk, of["token"]), of["label"], float(of["threshold"])))

    def label_cell(of: dict[str, Any]) -> list[dict[str, Any]]:
        from retrieval.spread import cell

        return rows_json(cell(finished(desk, of["token"]), of.get("scored"), of.get("label")))

    def label_toml(of: dict[str, Any]) -> dict[str, str]:
        task = task_of(of["task"])
        return {"name": f"{plain_name(task.name)}.toml", "text": task.to_toml()}

    return [label_tasks, label_check, label_run, label_result, label_near, label_cell, label_toml]


def task_of(given: dict[str, Any]) -> "PromptTask":
    """A task as the page sends it: `name`, `labels` and `holds` as pairs in their order, the rest as in prompts.toml.

    `BadInput` for what can't be; texts lose what can't be seen.
    """
    from retrieval import BadInput
    from retrieval.zeroshot import read_task

    name = _seen(str(given.get("name") or ""))
    if not name:
        raise BadInput("the task has no name; give it one, such as `alpha`.")
    table: dict[str, Any] = {key: _seen(given[key]) for key in ("says", "column", "event", "concept") if given.get(key)}
    for key in ("labels", "holds"):
        pairs = [(_seen(label), [text for text in map(_seen, texts) if text]) for label, texts in given.get(key) or ()]
        names = [label for label, _ in pairs]
        if "" in names or len(set(names)) < len(names):
            raise BadInput(f"labels: {', '.join(names)}; each needs a name of its own.")
        if empty := [label for label, texts in pairs if not texts and key == "labels"]:
            raise BadInput(f"the label {empty[0]!r} has no prompt; say in a sentence what its epochs look like.")
        table |= {key: dict(pairs)} if pairs else {}
    if templates := [text for text in map(_seen, given.get("templates") or ()) if text]:
        table["templates"] = templates
    if given.get("sensors"):
        table["sensors"] = [[_seen(channel) for channel in members] for members in given["sensors"]]
    return read_task("the task", name, table)


def task_json(task: "PromptTask") -> dict[str, Any]:
    """The same the other way round."""
    return {
        "name": task.name, "says": task.says, "labels": [[label, list(texts)] for label, texts in task.labels.items()],
        "templates": [] if task.templates == ("{}",) else list(task.templates), "column": task.column,
        "holds": [[label, list(values)] for label, values in task.holds.items()], "event": task.event,
        "concept": task.concept, "sensors": [list(members) for members in task.sensors],
    }  # fmt: skip


def tasks_json(cohort: "Cohort") -> dict[str, Any]:
    """The tasks of the package, each with why it can't be asked here, if so; what a task may be compared with."""
    from retrieval import BadInput
    from retrieval.classify import readable, reader_of
    from retrieval.zeroshot import load_tasks

    try:
        reader, refused = reader_of(cohort), None
    except BadInput as wrong:
        return {"tasks": [], "refused": str(wrong)}
    listed = []
    for task in load_tasks().values():
        try:
            readable(task, reader)
            why = None
        except BadInput as wrong:
            why = str(wrong)
        listed.append(task_json(task) | {"refused": why})
    columns = cohort.snapshot.columns()
    events = sorted(name[2:] for name in columns if name.startswith("n_") and f"{name[2:]}_s" in columns)
    scorers = cohort.snapshot.sql("SELECT DISTINCT scorer FROM coverage WHERE used ORDER BY scorer")
    return {
        "tasks": listed, "refused": refused, "events": events, "channels": list(reader.channels),
        "columns": [name for name in ("stage", "position") if name in columns],
        "scorers": scorers["scorer"].drop_nulls().to_list(), "encoder": reader.space,
    }  # fmt: skip


def result_json(found: "Classification") -> dict[str, Any]:
    """A run as the page draws it: figures and counts, no epoch."""
    from retrieval.spread import spreads

    counts = dict(found.epochs["label"].value_counts().iter_rows())
    agreement = None
    if found.agreement:
        apart = _HARD if _HARD in found.labels else None
        agreement = found.agreement.to_json() | {
            "apart": apart, "macro_f1_rest": found.agreement.macro_f1_without(apart) if apart else None,
        }  # fmt: skip
    return {
        "task": found.task, "says": found.says, "labels": list(found.labels), "calibrated": found.calibrated,
        "smoothing": found.smoothing, "not_assessable": found.not_assessable, "notes": found.notes,
        "epochs": found.epochs.height, "nights": found.epochs["recording"].n_unique(),
        "counts": [counts.get(label, 0) for label in found.labels], "unlabelled": counts.get(None, 0),
        "agreement": agreement, "spreads": [spread.to_json() for spread in spreads(found)],
    }  # fmt: skip


def number(given: Any, what: str) -> float | None:
    """A number that somebody typed; None where nothing was."""
    from retrieval import BadInput

    if given in (None, ""):
        return None
    try:
        return float(given)
    except ValueError:
        raise BadInput(f"{what}: {given!r} is no number.") from None


def _seen(text: Any) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
