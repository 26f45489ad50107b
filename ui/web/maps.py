"""The epochs of the cohort in two dimensions."""

import time
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk, answering
from ui.web.jobs import Cancelled, Progress

if TYPE_CHECKING:
    from retrieval.maps import Map

_HELD = 8  # maps in memory
_LABELLED_MOST = 2_000  # stretches that one click may label
LEFT_S = 15.0  # a map that no page has asked after for so long is no longer made


def build(desk: Desk) -> None:
    """The room inside its tab."""
    import gradio as gr

    from ui.web.frame import text

    maps = Maps(desk)
    functions = [
        maps.map_of, maps.map_job, maps.map_cancel, maps.map_colour, maps.map_match, maps.map_choose, maps.map_label,
        maps.map_strip,
    ]  # fmt: skip
    script = "".join(map(text, ("strip.js", "map_plot.js", "map_card.js", "map.js")))
    gr.HTML(html_template=text("map.html"), js_on_load=script, elem_id="map", apply_default_css=False,
            server_functions=answering(functions))  # fmt: skip


class Maps:
    """What the room asks for. A map is named by its key, which a page hands back: so every visitor may look at another
    one, and a page goes on with the one it has drawn when a newer snapshot is published."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._maps: dict[str, Map] = {}
        self._drawn: dict[str, dict[str, Any]] = {}  # the same as the page draws them
        self._asked: dict[str, float] = {}  # when a page last asked after the job of that name

    def map_of(self, given: dict[str, Any]) -> dict[str, Any]:
        """The map of the newest snapshot: {collection, level}. Where it is yet to be made, the token of the job that
        makes it, and a rough one meanwhile."""
        from retrieval import BadInput
        from retrieval.maps import LEVELS, make_map, map_key, stored_map, vectors_of

        cohort, level = self._desk.cohort, given.get("level", "epoch")
        if level not in LEVELS:
            raise BadInput(f"a map of {level!r} is not known; there are: {', '.join(LEVELS)}.")
        vectors = vectors_of(cohort, given.get("collection") or ("signal" if cohort.reader else "caption"))
        key = map_key(cohort.snapshot, vectors, level)
        made = self._maps.get(key) or stored_map(cohort.snapshot, vectors, level)
        if made is None:
            made = self._maps.get(f"{key}-rough") or make_map(cohort, vectors, level, rough=True)
        self._hold(made)

        def work(progress: Progress) -> str:
            def watched(said: str, done: int, of: int) -> None:
                progress(said, done, of)
                if time.monotonic() - self._asked[key] > LEFT_S:
                    raise Cancelled

            found = make_map(cohort, vectors, level, progress=watched)
            self._hold(found)
            return found.key

        self._asked[key] = time.monotonic()
        token = None if made.key == key else self._desk.jobs.start(work, name=f"map {key}")
        drawn = self._drawn.get(made.key) or self._drawn.setdefault(made.key, self._shown(made))
        return {"map": drawn, "token": token, "key": key}

    def map_job(self, given: dict[str, Any]) -> dict[str, Any]:
        """How far the job is that makes the map: {token, key}; once done, ask for the map again."""
        self._asked[given["key"]] = time.monotonic()
        return self._desk.jobs.look(given["token"])

    def map_cancel(self, given: dict[str, Any]) -> dict[str, Any]:
        """End the job, for all who wait for it: {token}."""
        return self._desk.jobs.cancel(given["token"])

    def map_colour(self, given: dict[str, Any]) -> dict[str, Any]:
        """A value for each point: of {key, column}, or the likeness to {key, words}."""
        from retrieval.maps import colour_of, similarity

        made, cohort = self._held(given["key"]), self._desk.cohort
        if "words" in given:
            return {"kind": "number", "unit": "cosine", "values": similarity(cohort, made, given["words"])}
        values = colour_of(cohort, made, given["column"])
        number = any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return {"kind": "number" if number else "text",
                "values": [_short(value) if number else value for value in values]}  # fmt: skip

    def map_match(self, given: dict[str, Any]) -> dict[str, Any]:
        """Which points a filter matches: {key, where}."""
        from retrieval.maps import places_of

        return {"chosen": places_of(self._desk.cohort, self._held(given["key"]), given["where"])}

    def map_choose(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is chosen, against the rest of the map, and the filter that says it: {key, chosen: [place]}."""
        from retrieval import BadInput
        from retrieval.maps import nights_where
        from retrieval.selection import summarise, where_of

        made, chosen, where, unsaid = self._held(given["key"]), given["chosen"], None, None
        try:
            where = nights_where(made, chosen) if made.level == "night" else where_of(made.ids[chosen])
        except BadInput as wrong:
            unsaid = str(wrong)
        found = {"where": where, "unsaid": unsaid}
        if made.level == "night":
            return found
        return found | summarise(self._desk.cohort.snapshot, made.ids[chosen], made.ids).to_json()

    def map_label(self, given: dict[str, Any]) -> dict[str, Any]:
        """Write one label for all these epochs, of adjacent ones as one stretch: {key, chosen, label, author}."""
        from retrieval import BadInput
        from retrieval.selection import label_epochs

        made, chosen = self._held(given["key"]), given["chosen"]
        if made.level == "night":
            raise BadInput("nights are not labelled; choose epochs.")
        if len(chosen) > _LABELLED_MOST:
            raise BadInput(
                f"{len(chosen):,} epochs are too many to label by one click; choose up to {_LABELLED_MOST:,}."
            )
        written = label_epochs(self._desk.cohort, made.ids[chosen], given["label"], given["author"])
        new = [entry.id for entry in written if entry.new]
        return {"written": len(new), "stood": len(written) - len(new), "epochs": len(chosen)}

    def map_strip(self, given: dict[str, Any]) -> dict[str, Any]:
        """The signals of one epoch: {rec, t}."""
        from retrieval import EPOCH_S

        start_s = float(given["t"])
        return self._desk.strip(str(given["rec"]), start_s, start_s + EPOCH_S)

    # ---- maps in memory

    def _hold(self, made: "Map") -> None:
        self._maps[made.key] = made
        for old in list(self._maps)[:-_HELD]:
            self._maps.pop(old, None)
            self._drawn.pop(old, None)

    def _held(self, key: str) -> "Map":
        from retrieval import BadInput

        if key not in self._maps:
            raise BadInput("the server no longer holds the map that is drawn here; load the page again.")
        return self._maps[key]

    def _shown(self, made: "Map") -> dict[str, Any]:
        """The map as the page draws it; names and captions once, each point by their numbers."""
        from retrieval.maps import colours_of, epoch_facts

        cohort = self._desk.cohort
        info = {
            "key": made.key, "level": made.level, "collection": made.vectors.collection, "method": made.method,
            "of": made.of, "sampled": made.sampled, "left_out": made.left_out, "seconds": made.seconds,
            "encoder": made.vectors.space.rpartition("-")[0] or made.vectors.space,
            "x": made.xy[:, 0].round(4).tolist(), "y": made.xy[:, 1].round(4).tolist(),
            "signals": cohort.reader is not None, "colours": colours_of(cohort, made),
        }  # fmt: skip
        if made.level == "night":
            return info | {"names": list(made.recordings), "recording": list(range(len(made.recordings)))}
        facts = epoch_facts(cohort.snapshot, made.ids)
        names, captions = facts["recording"].unique(maintain_order=True), facts["caption"].unique(maintain_order=True)
        return info | {
            "names": names.to_list(), "captions": captions.to_list(),
            "recording": _numbers(facts["recording"], names), "caption": _numbers(facts["caption"], captions),
            **{c: facts[c].to_list() for c in ("start_s", "stop_s", "clock", "stage")},
        }  # fmt: skip


def _numbers(values: Any, of: Any) -> list[int]:
    place = {value: i for i, value in enumerate(of.to_list())}
    return [place[value] for value in values.to_list()]


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
