"""Few-shot labels of the room Label: epochs to look at, people's labels of them, and what is learned from these."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk
from ui.web.prompts import number

if TYPE_CHECKING:
    from retrieval import Cohort
    from retrieval.fewshot import FewShot

SHOWN = 8  # epochs on the table at once
_LISTED = 200  # labels in the list, the newest
_UNSURE = 0.6  # a share of the vote below it is called unsure


def functions(desk: Desk) -> list[Callable[..., Any]]:
    """What the room's JavaScript may ask for."""
    from ui.web.labels import finished, rows_json, written

    def label_gather(of: dict[str, Any]) -> list[dict[str, Any]]:
        return gathered(desk.cohort, of)

    def label_standing(of: dict[str, Any]) -> dict[str, Any]:
        return standing(desk.cohort, of.get("shown") or [])

    def label_write(of: dict[str, Any]) -> dict[str, Any]:
        return written(desk, of)

    def label_undo(of: dict[str, Any]) -> dict[str, Any]:
        return desk.cohort.unlabel(str(of["id"]), str(of["author"])).to_json()

    def label_bring(of: dict[str, Any]) -> dict[str, int]:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "the table"
            path.write_text(str(of["text"]), encoding="utf-8")
            entries = desk.cohort.import_labels(path, str(of.get("author") or "") or None)
        new = sum(entry.new for entry in entries)
        return {"added": new, "stood": len(entries) - new}

    def label_take(_: dict[str, Any]) -> dict[str, str]:
        return {"name": "labels.csv", "text": desk.cohort.labels().write_csv()}

    def label_learn(of: dict[str, Any]) -> dict[str, str]:
        cohort, k = desk.cohort, number(of.get("k"), "k")
        given: dict[str, Any] = {
            "where": of.get("where") or None, "k": 5 if k is None else int(k), "next_n": SHOWN,
            "labels": [str(name) for name in of.get("labels") or ()],
        }  # fmt: skip
        return {"token": desk.jobs.start(lambda progress: cohort.fewshot(None, **given, progress=progress))}

    def label_learned(of: dict[str, Any]) -> dict[str, Any]:
        return learned_json(finished(desk, of["token"]))

    def label_voted(of: dict[str, Any]) -> list[dict[str, Any]]:
        from retrieval.spread import voted

        return rows_json(voted(finished(desk, of["token"]), of["label"], close=bool(of.get("close"))))

    return [label_gather, label_standing, label_write, label_undo, label_bring, label_take, label_learn, label_learned,
            label_voted]  # fmt: skip


def gathered(cohort: "Cohort", of: dict[str, Any]) -> list[dict[str, Any]]:
    """Epochs to look at: at random, found by a question, or around a moment; each with what a scorer said."""
    from retrieval import EPOCH_S, BadInput
    from retrieval.labelling import around, drawn

    where = of.get("where") or None
    match of.get("how"):
        case "question":
            hits = cohort.search(str(of.get("q") or ""), where=where, k=SHOWN).hits
            return [
                {"recording": hit.recording, "start_s": hit.start_s, "stop_s": min(hit.stop_s, hit.start_s + EPOCH_S),
                 "subject": hit.subject, "stage": hit.stage, "stage_source": hit.stage_source}
                for hit in hits
            ]  # fmt: skip
        case "place":
            if not of.get("rec"):
                raise BadInput("no night is open: choose a moment in the room Night, or by a question, first.")
            found = around(cohort, str(of["rec"]), number(of.get("t"), "the time") or 0.0, SHOWN)
        case _:
            found = drawn(cohort, SHOWN, where=where, seed=int(number(of.get("seed"), "the draw") or 0))
    return found.to_dicts()


def standing(cohort: "Cohort", shown: list[list[Any]]) -> dict[str, Any]:
    """The labels that stand: the newest, how many of each label and author, and those on each epoch `shown`."""
    import polars as pl

    labels = cohort.labels()
    newest = labels.reverse()
    on = [
        newest.filter(pl.col("recording") == name, pl.col("start_s") < stop_s, pl.col("stop_s") > start_s)
        .select("id", "label", "author").to_dicts()
        for name, start_s, stop_s in shown
    ]  # fmt: skip
    counts = labels.group_by("label", "author").len("n").sort("label", "author")
    return {"total": labels.height, "labels": newest.head(_LISTED).to_dicts(), "counts": counts.to_dicts(), "on": on}


def learned_json(found: "FewShot") -> dict[str, Any]:
    """A few-shot run as the page draws it: figures and counts, no epoch."""
    counts = [(found.epochs["label"] == name).fill_null(False).to_numpy() for name in found.labels]
    return {
        "labels": found.labels, "k": found.k, "by": found.by, "subjects": found.examples["subject"].n_unique(),
        "examples": [int((found.examples["label"] == name).sum()) for name in found.labels],
        "epochs": found.epochs.height, "nights": found.epochs["recording"].n_unique(),
        "counts": [int(so.sum()) for so in counts], "unlabelled": found.epochs["label"].null_count(),
        "unsure": [int((found.votes[so, i] < _UNSURE).sum()) for i, so in enumerate(counts)],
        "not_assessable": found.not_assessable, "notes": found.notes, "next": found.next,
        "agreement": asdict(found.agreement) if found.agreement else None,
        "scored": asdict(found.scored) if found.scored else None,
    }  # fmt: skip
