"""From a signal to words: an epoch of the cohort, or of a file that is not in it; and similar nights side by side."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk, answering
from ui.web.files import LARGEST_GB
from ui.web.inbox import Inbox

if TYPE_CHECKING:
    from retrieval import Cohort, Hit
    from retrieval.foreign import Foreign

_LISTED = 50
_NEAREST, _NIGHTS = 6, 5
_UNASKED = 500_000  # epochs of a cohort up to which likeness is looked for before anybody asks


def build(desk: Desk) -> None:
    """The room inside its tab."""
    import gradio as gr

    from ui.web.frame import text

    room = Room(desk)
    scripts = ("strip.js", "words_parts.js", "words_nights.js", "words_file.js", "words.js")
    gr.HTML(
        html_template=text("words.html"), js_on_load="".join(map(text, scripts)), elem_id="words", gb=LARGEST_GB,
        apply_default_css=False,
        server_functions=answering([
            room.words_list, room.words_when, room.words_night, room.words_epoch, room.words_said, room.words_near,
            room.words_strip, room.words_alike, room.words_read, room.words_reading, room.words_forget,
        ]),
    )  # fmt: skip


class Room:
    """What the room asks for. Every call names its night: `{rec}` of the cohort, or `{file}`, a token of the inbox."""

    def __init__(self, desk: Desk, inbox: Inbox | None = None) -> None:
        self._desk, self._inbox = desk, inbox or Inbox(desk)

    # ---- which night, which epoch

    def words_list(self, given: dict[str, Any]) -> dict[str, Any]:
        """The first nights whose names hold `{find}`, and how many do."""
        rows = self._desk.cohort.snapshot.sql(
            "SELECT recording, duration_s / 3600 AS hours, cohort AS site, simulated FROM recordings "
            "WHERE contains(lower(recording), lower(?)) ORDER BY recording", [given.get("find", "")],
        )  # fmt: skip
        return {"nights": rows.head(_LISTED).to_dicts(), "of": rows.height}

    def words_when(self, given: dict[str, Any]) -> dict[str, Any]:
        """The start of the epoch that a visitor typed: number from 1, `90 s`, or HH:MM[:SS] by the clock."""
        from retrieval import BadInput
        from retrieval.moment import seconds_of

        home, name, _ = self._home(given)
        said = str(given["when"]).strip().lstrip("#")
        if said.isdigit():
            starts = home.snapshot.sql("SELECT start_s FROM epoch_rows WHERE recording = ? ORDER BY start_s", [name])
            if not 1 <= int(said) <= starts.height:
                raise BadInput(f"epoch {said}: this night has epochs 1 to {starts.height}.")
            return {"start_s": starts["start_s"][int(said) - 1]}
        clock_s = home.snapshot.sql("SELECT start_clock_s FROM recordings WHERE recording = ?", [name])
        # Where the recorder's clock is not known, 01:30:00 is an hour and a half after the start.
        seconds = seconds_of(said.removesuffix("s").strip(), clock_s["start_clock_s"][0] or 0.0, name)
        return {"start_s": home.locate(f"{name}@{seconds}").start_s}

    def words_night(self, given: dict[str, Any]) -> dict[str, Any]:
        """Its epochs and stages; of a file, what was understood of it."""
        home, name, foreign = self._home(given)
        epochs = self._desk.cohort.snapshot.sql("SELECT count(*) AS n FROM epoch_rows")["n"][0]
        found = self._course(home, name) | {"file": None, "large": epochs if epochs > _UNASKED else 0}
        if foreign:
            left_min = round(self._inbox.left_s(given["file"]) / 60)
            found["file"] = {"montage": foreign.montage, "notes": foreign.notes, "left_min": left_min,
                             "understood": home.recordings(name)[0]}  # fmt: skip
        return found

    def _home(self, given: dict[str, Any]) -> "tuple[Cohort, str, Foreign | None]":
        """The cohort that holds the night, the night's name in it, and the foreign night if it is one."""
        if given.get("file"):
            foreign = self._inbox.night(given["file"])
            return foreign.own, foreign.recording, foreign
        cohort = self._desk.cohort
        return cohort, cohort.locate(str(given.get("rec", ""))).recording, None

    def _course(self, home: "Cohort", name: str) -> dict[str, Any]:
        """The stages of a night, as scored; null where nobody did."""
        of = home.snapshot.sql(
            "SELECT duration_s, start_clock_s, simulated, cohort, report FROM recordings JOIN nights USING (recording) "
            "WHERE recording = ?", [name],
        ).row(0, named=True)  # fmt: skip
        rows = home.snapshot.sql(
            "SELECT start_s, nullif(stage, 'unscored') AS stage, stage_source FROM epoch_rows WHERE recording = ? "
            "ORDER BY start_s", [name],
        )  # fmt: skip
        by = rows["stage_source"].drop_nulls().unique().sort().to_list() if rows["stage"].count() else []
        return {"recording": name, "duration_s": of["duration_s"], "clock_s": of["start_clock_s"],
                "simulated": bool(of["simulated"]), "site": of["cohort"], "report": of["report"],
                "staged_by": ", ".join(by), "start_s": rows["start_s"].to_list(),
                "stage": rows["stage"].to_list()}  # fmt: skip

    # ---- one epoch

    def words_epoch(self, given: dict[str, Any]) -> dict[str, Any]:
        """Facts and the caption of the epoch at `{t}`."""
        from retrieval.details import caption_of, details

        home, name, _ = self._home(given)
        place = f"{name}@{given['t']}"
        row = details(home.snapshot, [home.epoch_at(place)])
        ((_, shown),) = row.items()
        return {"start_s": home.locate(place).start_s, "stage": shown["stage"], "stage_source": shown["stage_source"],
                "substitutes": shown["substitutes"], "captions": caption_of(shown),
                "facts": [fact.to_json() for fact in home.facts(place)]}  # fmt: skip

    def words_said(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the signals say: captions that a decoder generates, and those of the cohort found from the signals."""
        from retrieval import Answer
        from retrieval.facts import contradictions
        from retrieval.spaces import public_name

        home, name, foreign = self._home(given)
        place = f"{name}@{given['t']}"
        nothing = Answer(place, [], 0, {}, [], "none", {})
        described = home.describe(place, around=nothing)
        near = foreign.captions_near(given["t"]) if foreign else home.captions_near(place)
        wrong = contradictions(home.snapshot, home.epoch_at(place), described["generated"])
        return {"encoder": public_name(home.reader) if home.reader else None, "generated": described["generated"],
                "caveats": described.get("caveats", []), "wrong": [asdict(one) for one in wrong],
                "near": asdict(near) if near else None, "own": described["captions"]}  # fmt: skip

    def words_near(self, given: dict[str, Any]) -> dict[str, Any]:
        """The nearest epochs, with `{others}` of other nights alone, and how their stages agree with this one's."""
        home, name, foreign = self._home(given)
        place = f"{name}@{given['t']}"
        quoted = name.replace("'", "''")
        where = f"recording <> '{quoted}'" if given.get("others") else None
        answer = (
            foreign.nearest(given["t"], _NEAREST, where=where) if foreign
            else home.similar(place, k=_NEAREST, where=where)
        )  # fmt: skip
        own = home.snapshot.sql("SELECT stage FROM epoch_rows WHERE epoch_id = ?", [home.epoch_at(place)])["stage"][0]
        stages = Counter(hit.stage or "unscored" for hit in answer.hits)
        return {"hits": [_shown(hit) for hit in answer.hits], "searched": answer.searched, "notes": answer.notes,
                "stages": dict(stages.most_common()), "own": own if own != "unscored" else None}  # fmt: skip

    def words_strip(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is drawn of the epoch at `{t}`."""
        from retrieval import EPOCH_S
        from ui.web.strips import strip_at

        home, name, foreign = self._home(given)
        start_s = float(given["t"])
        stop_s = start_s + EPOCH_S
        return strip_at(home, name, start_s, stop_s) if foreign else self._desk.strip(name, start_s, stop_s)

    # ---- nights side by side

    def words_alike(self, given: dict[str, Any]) -> dict[str, Any]:
        """The nights most like this one, or with `{unlike}` least, each laid over it."""
        from retrieval.similar_nights import course_likeness

        home, name, foreign = self._home(given)
        cohort, unlike = self._desk.cohort, bool(given.get("unlike"))
        if cohort.snapshot.sql("SELECT count(*) AS n FROM recordings")["n"][0] < (1 if foreign else 2):
            return {"nights": [], "own": self._numbers(home, name)}
        answer: Any
        if foreign:
            answer = foreign.similar_nights(_NIGHTS, unlike=unlike)
            courses = foreign.course_likeness([hit.recording for hit in answer.hits])
        else:
            answer = cohort.similar(name, k=_NIGHTS, unlike=unlike)
            courses = course_likeness(
                cohort.snapshot, cohort.encoder, name, [hit.recording for hit in answer.hits], reader=cohort.reader
            )
        nights = [
            self._course(cohort, hit.recording)
            | {"score": hit.score, "why": hit.why, "alignment": found.to_json(), "course": course,
               "numbers": self._numbers(cohort, hit.recording)}
            for hit, found, course in zip(answer.hits, answer.alignments, courses, strict=True)
        ]  # fmt: skip
        return {"nights": nights, "own": self._numbers(home, name), "searched": answer.searched,
                "not_assessable": answer.not_assessable, "by": "signals" if cohort.reader else "captions"}  # fmt: skip

    def _numbers(self, home: "Cohort", name: str) -> list[dict[str, Any]]:
        from retrieval.facts import night_facts

        return [fact.to_json() for fact in night_facts(home.snapshot, name)]

    # ---- a file that is not in the cohort

    def words_read(self, given: dict[str, Any]) -> dict[str, Any]:
        """Begin to read uploaded files; the token of the night."""
        return {"file": self._inbox.take(given["files"])}

    def words_reading(self, given: dict[str, Any]) -> dict[str, Any]:
        """How far its reading is."""
        return self._inbox.look(given["file"])

    def words_forget(self, given: dict[str, Any]) -> dict[str, Any]:
        """Delete it now."""
        self._inbox.forget(given["file"])
        return {}


def _shown(hit: "Hit") -> dict[str, Any]:
    wanted = ("recording", "start_s", "stop_s", "clock", "score", "stage", "stage_source", "events", "why", "simulated")
    return {name: getattr(hit, name) for name in wanted}
