"""What was ingested, what failed, what is there; and adding a folder or dropped files."""

from pathlib import Path
from typing import Any

from ui.web.desk import Desk, answering
from ui.web.files import LARGEST_GB, uploaded
from ui.web.jobs import Progress

_INGEST = "ingest"


def build(desk: Desk) -> None:
    """The room inside its tab."""
    import gradio as gr

    from ui.web.frame import text

    room = Room(desk)
    functions = [
        room.cohort_overview, room.cohort_recordings, room.cohort_nights, room.cohort_snapshot, room.cohort_take,
        room.cohort_discard, room.cohort_check, room.cohort_add, room.cohort_job, room.cohort_cancel,
    ]  # fmt: skip
    script = "".join(map(text, ("cohort_tables.js", "cohort_add.js", "cohort.js")))
    gr.HTML(html_template=text("cohort.html"), js_on_load=script, elem_id="cohort", apply_default_css=False,
            gb=LARGEST_GB, server_functions=answering(functions))  # fmt: skip


class Room:
    """What the room asks for. Sources are `{path}`, a folder or file of this machine, or `{drop}`, files dropped into
    the page; `{subjects}` is the CSV among them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def cohort_overview(self, _: dict[str, Any]) -> dict[str, Any]:
        """What there is, why nothing can be added where nothing can, and the token of an ingest under way."""
        from retrieval.overview import overview

        return overview(self._desk.cohort) | {
            "shut": self._shut(),
            "ingest": self._desk.jobs.running(_INGEST),
        }

    def cohort_recordings(self, _: dict[str, Any]) -> dict[str, Any]:
        """The recordings with their montage, quality and scoring."""
        from retrieval.overview import recordings_table

        return recordings_table(self._desk.cohort)

    def cohort_nights(self, given: dict[str, Any]) -> dict[str, Any]:
        """The cohort table: {where}."""
        from retrieval.overview import nights_table

        return nights_table(self._desk.cohort, given.get("where"))

    def cohort_snapshot(self, _: dict[str, Any]) -> dict[str, Any]:
        """The number of the snapshot that is published now, and the token of an ingest under way."""
        return {"snapshot": self._desk.cohort.snapshot.number, "ingest": self._desk.jobs.running(_INGEST)}

    # ---- adding

    def cohort_take(self, given: dict[str, Any]) -> dict[str, Any]:
        """Keep uploaded files: {files: [{path, name}]}; the name of the drop."""
        from retrieval.growing import take_files

        self._open()
        files = [(uploaded(file["path"]), str(file["name"])) for file in given["files"]]
        return {"drop": take_files(self._desk.root, files)}

    def cohort_discard(self, given: dict[str, Any]) -> dict[str, Any]:
        """Delete the files of a drop: {drop}."""
        from retrieval.growing import discard

        self._open()
        discard(self._desk.root, given["drop"])
        return {}

    def cohort_check(self, given: dict[str, Any]) -> dict[str, Any]:
        """Begin a look over the sources, nothing written; a token."""
        from retrieval.growing import look_over

        sources, subjects = self._sources(given)

        def work(progress: Progress) -> dict[str, Any]:
            return look_over(self._desk.root, sources, subjects=subjects, progress=progress)

        return {"token": self._desk.jobs.start(work)}

    def cohort_add(self, given: dict[str, Any]) -> dict[str, Any]:
        """Begin to ingest the sources; the token, of one that is under way already where there is one (`joined`)."""
        from retrieval.growing import grow

        if token := self._desk.jobs.running(_INGEST):
            return {"token": token, "joined": True}
        sources, subjects = self._sources(given)

        def work(progress: Progress) -> dict[str, Any]:
            return grow(sources, self._desk.root, subjects=subjects, progress=progress).to_json()

        return {"token": self._desk.jobs.start(work, name=_INGEST), "joined": False}

    def cohort_job(self, given: dict[str, Any]) -> dict[str, Any]:
        """How far a check or an ingest is: {token}."""
        return self._desk.jobs.look(given["token"])

    def cohort_cancel(self, given: dict[str, Any]) -> dict[str, Any]:
        """End it after the file at hand: {token}."""
        self._open()
        return self._desk.jobs.cancel(given["token"])

    # ---- who may

    def _shut(self) -> str | None:
        from retrieval.growing import why_not

        if not self._desk.known_visitors:
            return (
                f"this page is served to other machines ({self._desk.host}) without a login, so nobody may read "
                "folders of the server through it; serve it with --auth USER:PASS, or on 127.0.0.1."
            )
        return why_not(self._desk.root)

    def _open(self) -> None:
        from retrieval import BadInput

        if said := self._shut():
            raise BadInput(said)

    def _sources(self, given: dict[str, Any]) -> tuple[list[Path], Path | None]:
        from retrieval import BadInput
        from retrieval.growing import dropped

        self._open()
        csv = str(given.get("subjects") or "").strip()
        if given.get("drop"):
            folder = dropped(self._desk.root, given["drop"])
            return [folder], folder / Path(csv).name if csv else None
        path = str(given.get("path") or "").strip()
        if not path:
            raise BadInput("name a folder of the server's machine, or drop files here.")
        return [Path(path).expanduser()], Path(csv).expanduser() if csv else None
