"""Search: one box, what was read of it, cards of hits."""

import base64
import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk, answering

if TYPE_CHECKING:
    import numpy as np

    from retrieval import Answer, Cohort, Strip, Trace

MOST = 200  # hits on a page
_PARTS = 30_000  # into which a strip's seconds and a trace's range are divided: more than a screen shows
_KEPT = 128  # strips in memory, of some 100 KB
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

    @lru_cache(_KEPT)
    def strip(snapshot: int, recording: str, start_s: float, stop_s: float) -> dict[str, Any]:
        from retrieval.strips import strip_of

        return strip_json(strip_of(desk.cohort, recording, start_s, stop_s), stop_s - start_s)

    @lru_cache(2)
    def first_questions(snapshot: int) -> list[dict[str, str]]:
        from retrieval.examples import examples

        return [asdict(example) for example in examples(desk.cohort)]

    def search_ask(asked: dict[str, Any]) -> dict[str, Any]:
        return answer_json(desk.cohort, asked)

    def search_strip(of: dict[str, Any]) -> dict[str, Any]:
        return strip(desk.cohort.snapshot.number, of["rec"], float(of["start_s"]), float(of["stop_s"]))

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


def found(cohort: "Cohort", asked: dict[str, Any], *, without: Sequence[str] | None = None) -> "Answer":
    """The answer to what stands in the address: a question, or `like` a moment or a night."""
    from retrieval import BadInput
    from retrieval.understood import understand

    said = str(asked.get("k") or 10)
    if not said.isdigit() or not 1 <= int(said) <= MOST:
        raise BadInput(f"hits: {said!r} is no number from 1 to {MOST}.")
    where, level, words = asked.get("where") or None, asked.get("level") or "epoch", str(asked.get("q") or "")
    if asked.get("like"):
        return cohort.similar(asked["like"], where=where, k=int(said))
    taken = understand(words, level=level, without=asked.get("without") or () if without is None else without).taken
    return cohort.search(words, where=where, k=int(said), exact=bool(asked.get("exact")), level=level, without=taken)


def answer_json(cohort: "Cohort", asked: dict[str, Any]) -> dict[str, Any]:
    """An answer with how the question was read and the course of each night in it; `wrong_sql` where that was it."""
    from retrieval import InvalidFilter
    from retrieval.outlines import outlines
    from retrieval.understood import understand

    try:
        answer = found(cohort, asked)
    except InvalidFilter as wrong:
        return {"wrong_sql": str(wrong)}
    like, level = asked.get("like"), asked.get("level") or "epoch"
    read = None if like else understand(answer.query, level=level, without=asked.get("without") or ()).to_json()
    nights = outlines(cohort.snapshot, [hit.recording for hit in answer.hits])
    said = {key: value for key, value in answer.to_json().items() if key != "alignments"}
    return said | {
        "read": read, "nights": "@" not in like if like else level == "night", "snapshot": cohort.snapshot.number,
        "outlines": {name: asdict(night) for name, night in nights.items()},
    }  # fmt: skip


def instead(cohort: "Cohort", asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What an empty answer would have found without one of its filters, or without the SQL."""
    from retrieval import UserError
    from retrieval.understood import understand

    gone = list(asked.get("without") or ())
    read = understand(str(asked.get("q") or ""), level=asked.get("level") or "epoch", without=gone)
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"without": piece.words}, asked | {"k": 1, "without": [*gone, piece.words]})
        for piece in read.filters
        if not piece.taken
    ]
    if asked.get("where"):
        ways.insert(0, ({"where": True}, asked | {"k": 1, "where": None}))
    helpful = []
    for said, other in ways[:_INSTEAD]:
        try:
            if found(cohort, other).hits:
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
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(Path(folder).iterdir()):
                    archive.write(path, path.name)
        return {"name": "hits-annot.zip", "content": base64.b64encode(packed.getvalue()).decode()}
    from retrieval import BadInput

    answer = found(cohort, asked)
    if not answer.hits:
        raise BadInput("there are no hits to write.")
    rows = [_flat(plain(asdict(hit))) for hit in answer.hits]
    text = io.StringIO()
    import csv

    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return {"name": "hits.csv", "content": base64.b64encode(text.getvalue().encode()).decode()}


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


def strip_json(strip: "Strip", whole_s: float) -> dict[str, Any]:
    """A strip as the page draws it; `whole_s` is how long the hit is, of which a strip shows the first minute."""
    return {
        "start_s": strip.start_s, "stop_s": strip.stop_s, "whole_s": whole_s, "missing": strip.missing,
        "events": [list(event) for event in strip.events],
        "traces": [_trace_json(trace, strip.start_s, strip.stop_s) for trace in strip.traces],
    }  # fmt: skip


def _trace_json(trace: "Trace", start_s: float, stop_s: float) -> dict[str, Any]:
    """Times as parts of the strip and values as parts of their range, both 0 to `of`; -1 is a gap; base64."""
    import numpy as np

    finite = trace.values[np.isfinite(trace.values)].astype(np.float64)
    low, high = float(finite.min()), float(finite.max())
    at = (trace.time_s.astype(np.float64) - start_s) / (stop_s - start_s)
    up = (trace.values.astype(np.float64) - low) / (high - low or 1.0)
    return {
        "channel": trace.channel, "label": trace.label, "unit": trace.unit, "steps": trace.steps, "low": low,
        "high": high, "of": _PARTS, "t": _packed(at), "v": _packed(up),
    }  # fmt: skip


def _packed(parts: "np.ndarray") -> str:
    """Numbers from 0 to 1 as little-endian int16, 0 to `_PARTS`, NaN as -1; base64."""
    import numpy as np

    whole = np.where(np.isfinite(parts), np.round(np.nan_to_num(parts) * _PARTS), -1).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode()
