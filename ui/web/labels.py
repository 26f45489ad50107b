"""Labelling: by prompts, by examples, what to label next."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ui.web.desk import Desk, answering
from ui.web.files import plain_name, sent, zipped

_SCRIPTS = ("strip.js", "label.js", "label-task.js", "label-plot.js", "label-result.js", "label-examples.js",
            "label-learn.js", "label-room.js")  # fmt: skip
_MOST_BYTES = 64 * 2**20  # of a file that goes through a page
_FORMATS = ("csv", "parquet", "annot")


def build(desk: Desk) -> None:
    """The room inside its tab."""
    import gradio as gr

    from ui.web import examples, prompts
    from ui.web.frame import text

    gr.HTML(
        html_template=text("label.html"), js_on_load="".join(map(text, _SCRIPTS)), elem_id="label",
        apply_default_css=False,
        server_functions=answering([*_functions(desk), *prompts.functions(desk), *examples.functions(desk)]),
    )  # fmt: skip


def dialog(desk: Desk) -> None:
    """The dialog that labels one epoch, for any room: outside the tabs, which are drawn once they are opened."""
    import gradio as gr

    from ui.web.frame import text

    def dialog_known(_: dict[str, Any]) -> list[str]:
        return desk.cohort.labels()["label"].unique(maintain_order=True).to_list()

    def dialog_write(of: dict[str, Any]) -> dict[str, Any]:
        return written(desk, of)

    gr.HTML(
        html_template=text("label-dialog.html"), js_on_load=text("label-dialog.js"), elem_id="label-dialog",
        apply_default_css=False, padding=False, server_functions=answering([dialog_known, dialog_write]),
    )  # fmt: skip


def _functions(desk: Desk) -> list[Callable[..., Any]]:
    """What both ways of labelling ask for."""

    def label_strip(of: dict[str, Any]) -> dict[str, Any]:
        return desk.strip(of["rec"], float(of["start_s"]), float(of["stop_s"]))

    def label_state(of: dict[str, Any]) -> dict[str, Any]:
        found = desk.jobs.look(str(of["token"]))
        return {key: value for key, value in found.items() if key != "result"}

    def label_cancel(of: dict[str, Any]) -> dict[str, Any]:
        desk.jobs.cancel(str(of["token"]))
        return label_state(of)

    def label_save(of: dict[str, Any]) -> dict[str, str]:
        return saved(finished(desk, of["token"]), of["format"])

    return [label_strip, label_state, label_cancel, label_save]


def written(desk: Desk, of: dict[str, Any]) -> dict[str, Any]:
    """A label of a stretch `rec start_s stop_s`, as its author gives it, and the entry of the log."""
    place = (str(of["rec"]), float(of["start_s"]), float(of["stop_s"]))
    return desk.cohort.label(place, str(of["label"]), str(of["author"])).to_json()


def finished(desk: Desk, token: str) -> Any:
    """The result of a job; `BadInput` where it is no longer there."""
    from retrieval import BadInput

    found = desk.jobs.look(str(token))
    if found["state"] != "done":
        raise BadInput("this result is no longer kept (an hour, and the last few); run it again.")
    return found["result"]


def saved(found: Any, format: str) -> dict[str, str]:
    """A classification or a few-shot result as a file: name and content, base64.

    `BadInput` for a format that is not known, or a file too large for a page.
    """
    from retrieval import BadInput
    from retrieval.classify import Classification
    from retrieval.exports.labelled import write_annots
    from ui.tables import write_table

    if format not in _FORMATS:
        raise BadInput(f"format {format!r}: possible are {', '.join(_FORMATS)}.")
    by_words = isinstance(found, Classification)
    name = plain_name(found.task) if by_words else "fewshot"
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.{'zip' if format == 'annot' else format}"
        if format == "annot":
            said = {"calibrated": str(found.calibrated)} if by_words else {"k": str(found.k)}
            author = f"{'words' if by_words else 'examples'}:{name}"
            path.write_bytes(zipped(write_annots(found.frame(), Path(folder), author=author, said=said)))
        else:
            write_table(found.frame(), path)
        if path.stat().st_size > _MOST_BYTES:
            command = f"classify --task {name}.toml" if by_words else "fewshot"
            raise BadInput(
                f"the table of {found.epochs.height} epochs is too large for a page; on the command line: "
                f"sleepsearch {command} --cohort DIR --out {name}.{format if format != 'annot' else 'parquet'}"
            )
        return sent(path.name, path.read_bytes())


def rows_json(table: Any) -> list[dict[str, Any]]:
    """Epochs of a table with `recording start_s …` as a page lists them, each with its end."""
    from retrieval import EPOCH_S

    return [row | {"stop_s": row["start_s"] + EPOCH_S} for row in table.iter_rows(named=True)]
