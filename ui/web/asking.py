"""Search: one box, what was read of it, cards of hits."""

import io
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk, answering
from ui.web.files import sent, zipped

if TYPE_CHECKING:
    from retrieval import Answer, Cohort
    from retrieval.understood import Understood

MOST = 200  # hits on a page
_INSTEAD = 5  # ways out of an empty answer that are tried


def build(desk: Desk) -> None:
    """The room inside its tab."""
    import gradio as gr

    from ui.web.frame import text

    gr.HTML(
        html_template=text("search.html"), apply_default_css=False, elem_id="search",
        js_on_load="".join(map(text, ("strip.js", "where.js", "cards.js", "search.js"))),
        server_functions=answering(_functions(desk)),
    )  # fmt: skip


def _functions(desk: Desk) -> list[Any]:
    """What the room's JavaScript may ask for."""

    @lru_cache(2)
    def first_questions(snapshot: int) -> list[dict[str, str]]:
        from retrieval.examples import examples

        return [asdict(example) for example in examples(desk.cohort)]

    def search_ask(asked: dict[str, Any]) -> dict[str, Any]:
        return answer_json(desk.cohort, asked)

    def search_strip(of: dict[str, Any]) -> dict[str, Any]:
        return desk.strip(of["rec"], float(of["start_s"]), float(of["stop_s"]), of.get("best_s"))

    def search_where_in(of: dict[str, Any]) -> dict[str, Any]:
        return carried_by(desk.cohort, of["q"], of["rec"], float(of["start_s"]), float(of["stop_s"]))

    def search_instead(asked: dict[str, Any]) -> list[dict[str, Any]]:
        return instead(desk.cohort, asked)

    def search_examples(_: dict[str, Any]) -> list[dict[str, str]]:
        return first_questions(desk.cohort.snapshot.number)

    def search_columns(_: dict[str, Any]) -> list[dict[str, str]]:
        return desk.cohort.columns()

    def search_matching(of: dict[str, Any]) -> dict[str, Any]:
        return matching(desk.cohort, of["where"])

    def search_export(asked: dict[str, Any]) -> dict[str, str]:
        return exported(desk.cohort, asked)

    return [
        search_ask, search_strip, search_where_in, search_instead, search_examples, search_columns, search_matching,
        search_export,
    ]  # fmt: skip


# ---- answers


def reading(asked: dict[str, Any]) -> "Understood | None":
    """How the question of the address is read; None where it is `like` a moment or a night."""
    from retrieval.understood import understand

    if asked.get("like"):
        return None
    words, level = str(asked.get("q") or ""), asked.get("level") or "epoch"
    return understand(words, level=level, without=asked.get("without") or ())


def found(cohort: "Cohort", asked: dict[str, Any], read: "Understood | None") -> "Answer":
    """The answer to what stands in the address, so `read`."""
    from retrieval import BadInput

    said = str(asked.get("k") or 10)
    if not said.isdigit() or not 1 <= int(said) <= MOST:
        raise BadInput(f"hits: {said!r} is no number from 1 to {MOST}.")
    where, k = asked.get("where") or None, int(said)
    if read is None:
        return cohort.similar(asked["like"], where=where, k=k)
    return cohort.search(str(asked.get("q") or ""), where=where, k=k, exact=bool(asked.get("exact")),
                         level=asked.get("level") or "epoch", without=read.taken)  # fmt: skip


def answer_json(cohort: "Cohort", asked: dict[str, Any]) -> dict[str, Any]:
    """An answer with how the question was read and the course of each night in it; `wrong_sql` where that was it."""
    from retrieval import InvalidFilter
    from retrieval.outlines import outlines

    try:
        read = reading(asked)
        answer = found(cohort, asked, read)
    except InvalidFilter as wrong:
        return {"wrong_sql": str(wrong)}
    like, level = asked.get("like"), asked.get("level") or "epoch"
    nights = outlines(cohort.snapshot, [hit.recording for hit in answer.hits])
    said = {key: value for key, value in answer.to_json().items() if key != "alignments"}
    of_nights = "@" not in like if like else level == "night"
    return said | {
        "read": read.to_json() if read else None, "nights": of_nights, "snapshot": cohort.snapshot.number,
        "outlines": {name: asdict(night) for name, night in nights.items()},
    }  # fmt: skip


def instead(cohort: "Cohort", asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What an empty answer would have found without one of its filters, or without the SQL."""
    from retrieval import UserError

    gone, read = list(asked.get("without") or ()), reading(asked)
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"without": piece.words}, asked | {"k": 1, "without": [*gone, piece.words]})
        for piece in (read.filters if read else ())
        if not piece.taken
    ]
    if asked.get("where"):
        ways.insert(0, ({"where": True}, asked | {"k": 1, "where": None}))
    helpful = []
    for said, other in ways[:_INSTEAD]:
        try:
            if found(cohort, other, reading(other)).hits:
                helpful.append(said)
        except UserError:
            continue
    return helpful


def matching(cohort: "Cohort", where: str) -> dict[str, Any]:
    """How many epochs a filter alone leaves."""
    from retrieval import InvalidFilter

    try:
        return {"epochs": len(cohort.snapshot.rows(where))}
    except InvalidFilter as wrong:
        return {"wrong_sql": str(wrong)}


def exported(cohort: "Cohort", asked: dict[str, Any]) -> dict[str, str]:
    """The hits as one CSV, or as Luna's annotation files in a zip: name and content, base64."""
    from ui.shell import plain

    if asked.get("format") == "annot":
        with TemporaryDirectory() as folder:
            cohort.export(folder, "annot", what=["hits"], where=asked.get("where") or None, search=asked["q"],
                          k=int(asked.get("k") or 10))  # fmt: skip
            return sent("hits-annot.zip", zipped(sorted(Path(folder).iterdir())))
    from retrieval import BadInput

    answer = found(cohort, asked, reading(asked))
    if not answer.hits:
        raise BadInput("there are no hits to write.")
    rows = [_flat(plain(asdict(hit))) for hit in answer.hits]
    text = io.StringIO()
    import csv

    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return sent("hits.csv", text.getvalue().encode())


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A hit as one line: lists joined, each part of its caption a column."""
    caption = {f"caption_{part}": text for part, text in row.pop("caption").items()}
    return {key: "; ".join(v) if isinstance(v, list) else v for key, v in row.items()} | caption


# ---- a hit looked at closely


def carried_by(cohort: "Cohort", words: str, recording: str, start_s: float, stop_s: float) -> dict[str, Any]:
    """The sensor and the seconds that carry the words, in the likeliest epoch of a hit."""
    from retrieval import BadInput

    curve = cohort.locate_words(words, recording, peaks=0).curve
    inside = [row for row in curve.iter_rows(named=True) if start_s <= row["start_s"] < stop_s]
    known = [row for row in inside if row["z"] is not None]
    if not known:
        why = next((row["not_assessable"] for row in inside if row["not_assessable"]), "sensor")
        raise BadInput(f"no epoch of this hit can be judged by its signals: {why}.")
    best = max(known, key=lambda row: row["z"])
    located = cohort.locate_words(words, f"{recording}@{best['start_s']:g}")
    if not located.moments:
        raise BadInput("; ".join(located.notes) or "this epoch can't be judged.")
    return asdict(located.moments[0]) | {"notes": located.notes}
