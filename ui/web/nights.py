"""A night: its course at a glance, and the waveforms at a moment."""

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ui.web.desk import Desk, answering

if TYPE_CHECKING:
    import numpy as np

    from retrieval.waves import Look, Piece

_SCRIPTS = [f"night{part}.js" for part in ("-parts", "-course", "-tiles", "-backdrop", "-wave", "", "-about")]
_MOST_COLUMNS = 4000
_NO_VALUE, _FULL = -32768, 32767.0  # of 16 bits


def build(desk: Desk) -> None:
    """The room inside its tab."""
    import gradio as gr

    from ui.web import frame

    gr.HTML(
        html_template=frame.text("night.html"), elem_id="night", js_on_load="\n".join(map(frame.text, _SCRIPTS)),
        colours=_colours(), server_functions=answering(_functions(desk)),
    )  # fmt: skip


def _colours() -> list[list[int]]:
    """256 steps of Viridis, which colour-blind readers see as a sequence too."""
    from plotly.colors import sample_colorscale, unlabel_rgb

    steps = sample_colorscale("Viridis", [i / 255 for i in range(256)])
    return [[round(part) for part in unlabel_rgb(step)] for step in steps]


def _functions(desk: Desk) -> list[Any]:
    """What the room's script asks; each takes one dictionary and gives plain values."""
    from retrieval import course
    from retrieval.waves import LONG_S, waves_of

    def nights(asked: dict[str, Any]) -> dict[str, Any]:
        rows, total = course.list_nights(desk.cohort.snapshot, str(asked.get("words") or ""))
        return {"rows": rows.to_dicts(), "total": total}

    def night(asked: dict[str, Any]) -> dict[str, Any]:
        snapshot, recording = desk.cohort.snapshot, str(asked["rec"])
        found = course.course_of(snapshot, recording)
        before, after = course.neighbours(snapshot, recording)
        epochs = found.epochs
        oks = {c[3:].upper(): epochs[c].to_list() for c in epochs.columns if c.startswith("ok_")}
        return {
            **{f: getattr(found, f) for f in ("recording", "subject", "duration_s", "start_clock_s", "simulated",
                                              "scorers", "scored", "lights")},
            "events": [[e.name, e.kind, e.start_s, e.stop_s, e.channel] for e in found.events],
            "epochs": {c: epochs[c].to_list() for c in ("epoch", "start_s", "stage", "position", *course.TRENDS)},
            "bad": {c: [i for i, ok in enumerate(values) if ok is False] for c, values in oks.items()},
            "facts": course.night_facts(snapshot, recording), "before": before, "after": after,
        }  # fmt: skip

    def channels(asked: dict[str, Any]) -> dict[str, Any]:
        waves = waves_of(desk.cohort, str(asked["rec"]))
        sizes = waves.sizes(_look(asked))
        return {
            "channels": [asdict(c) | {"size": sizes.get(c.name)} for c in waves.channels],
            "segments": waves.recording.segments, "long_s": LONG_S,
        }  # fmt: skip

    def window(asked: dict[str, Any]) -> dict[str, Any]:
        waves, columns = waves_of(desk.cohort, str(asked["rec"])), min(int(asked["columns"]), _MOST_COLUMNS)
        found = waves.window(float(asked["start"]), float(asked["stop"]), columns, _look(asked))
        traces = {name: [_packed(piece) for piece in pieces] for name, pieces in found.traces.items()}
        return {"start_s": found.start_s, "stop_s": found.stop_s, "traces": traces, "done": found.done}

    def made(asked: dict[str, Any]) -> dict[str, Any]:
        return {"done": waves_of(desk.cohort, str(asked["rec"])).done(_look(asked))}

    def along(asked: dict[str, Any]) -> dict[str, Any]:
        return asdict(course.along(desk.cohort, str(asked["rec"]), str(asked["words"])))

    def spectrum(asked: dict[str, Any]) -> dict[str, Any]:
        found = course.spectrogram(waves_of(desk.cohort, str(asked["rec"])), str(asked["channel"]))
        return {
            "channel": found.channel, "label": found.label, "unit": found.unit, "column_s": course.COLUMN_S,
            "frequencies": len(found.frequency_hz), "to_hz": float(found.frequency_hz[-1]),
            "columns": found.power_db.shape[1], "low_db": found.low_db, "high_db": found.high_db,
            "image": _bytes(found.power_db, found.low_db, found.high_db),
        }  # fmt: skip

    return [nights, night, channels, window, made, along, spectrum]


def _look(asked: dict[str, Any]) -> "Look":
    from retrieval import BadInput
    from retrieval.waves import Look

    notch = str(asked.get("notch") or "")
    if notch not in ("", "50", "60"):
        raise BadInput(f"notch {notch!r}: 50 or 60 Hz, or none.")
    return Look(raw=bool(asked.get("raw")), notch_hz=float(notch) if notch else None)


def _packed(piece: "Piece") -> list[Any]:
    """`[start_s, step_s, samples a column, offset, scale, base64 of int16]`: value = offset + scale * number, and the
    least number is no value."""
    import numpy as np

    values = piece.low if piece.high is None else np.stack([piece.low, piece.high], 1).ravel()
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    offset, scale = (low + high) / 2, max((high - low) / 2 / _FULL, 1e-12)
    numbers = np.where(known, np.round((np.where(known, values, offset) - offset) / scale), _NO_VALUE)
    text = base64.b64encode(numbers.astype("<i2").tobytes()).decode()
    return [piece.start_s, piece.step_s, 1 if piece.high is None else 2, offset, scale, text]


def _bytes(power_db: "np.ndarray", low_db: float, high_db: float) -> str:
    """Base64 of one byte a cell, row by row: 1 to 255 from low to high, 0 where nothing is known."""
    import numpy as np

    share = np.clip((power_db - low_db) / (high_db - low_db), 0, 1)
    cells = np.where(np.isfinite(power_db), 1 + np.round(254 * np.nan_to_num(share)), 0).astype(np.uint8)
    return base64.b64encode(cells.tobytes()).decode()
