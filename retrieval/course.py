"""The course of a night: stages by scorer, events by kind, lights, trends, a spectrogram; and the list of nights.

All but the spectrogram and the gaps come from the catalog, and so are there where a night's files are gone.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_nights
from encoders.errors import BadInput
from encoders.vocabulary import CHANNELS, EPOCH_S, EVENTS, KINDS
from index import Snapshot
from retrieval.scorers import has_stages
from retrieval.waves import Waves

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

TRENDS: Final = ("spo2_min_pct", "spo2_mean_pct", "hr_min_bpm", "hr_mean_bpm", "hr_max_bpm")
# What a list of nights shows, of the columns that the cohort has.
LISTED: Final = ("recording", "subject", "site", "cohort", "age", "sex", "duration_s", "tst_min", "ahi_scored_per_h",
                 "rei_per_h", "arousal_index_per_h", "simulated")  # fmt: skip
COLUMN_S: Final = 30.0  # of the spectrogram
_SEGMENT_S, _TO_HZ = 4.0, 32.0
# Columns of `recordings` that tell of the files; the others are the subjects' table.
_OF_FILES: Final = frozenset({
    "recording", "fingerprint", "duration_s", "start_clock_s", "simulated", "csv_simulated", "id_hashed", "alignment",
    "montage", "absent", "montage_problems", "repairs", "notes",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marked:
    """A scored event; `kind` is one of `vocabulary.KINDS` or "other", `channel` what the source named, if it did."""

    name: str
    kind: str
    start_s: float
    stop_s: float
    channel: str | None


@dataclass(frozen=True, slots=True)
class Course:
    """A night at a glance. Times are seconds from the recording's start.

    epochs: `epoch start_s stage stage_source position`, the columns TRENDS and `ok_<channel>` (null: not recorded), by
    time. scorers: who scored stages, the default first, each with `(start_s, stop_s, stage)`. scored: the kinds that
    somebody scored. lights: of each row of the table of nights, off, on, source and segment.
    """

    recording: str
    subject: str
    duration_s: float
    start_clock_s: float | None
    simulated: bool
    epochs: pl.DataFrame
    scorers: list[tuple[str, list[tuple[float, float, str]]]]
    events: list[Marked]
    scored: list[str]
    lights: list[tuple[float, float, str, str | None]]


def course_of(snapshot: Snapshot, recording: str) -> Course:
    """The course of one night, from the catalog alone; `BadInput` for a recording that is not there."""
    row = _row(snapshot, recording)
    oks = [f"ok_{channel.lower()}" for channel in CHANNELS]
    listed = ", ".join(["epoch", "start_s", "stage", "stage_source", "position", *TRENDS, *oks])
    epochs = snapshot.sql(f"SELECT {listed} FROM epoch_rows WHERE recording = ? ORDER BY start_s", [recording])
    lights = snapshot.sql(
        "SELECT lights_off_s, lights_on_s, lights_source, segment FROM nights WHERE recording = ? ORDER BY night_row",
        [recording],
    )
    used = snapshot.sql("SELECT DISTINCT kind FROM coverage WHERE recording = ? AND used", [recording])["kind"]
    return Course(
        recording, row["subject"] or recording, row["duration_s"], row["start_clock_s"], bool(row["simulated"]), epochs,
        _scorers(snapshot, recording, epochs), events_of(snapshot, recording, 0.0, row["duration_s"]),
        [kind for kind in KINDS if kind in set(used)], list(lights.iter_rows()),
    )  # fmt: skip


def events_of(snapshot: Snapshot, recording: str, start_s: float, stop_s: float) -> list[Marked]:
    """Events that touch `[start_s, stop_s)`, each kind's by the scorer whose they are in the catalog, by time."""
    used = dict(snapshot.sql("SELECT kind, scorer FROM coverage WHERE used AND recording = ?", [recording]).iter_rows())
    found = snapshot.sql(
        "SELECT name, start_s, stop_s, channel, scorer FROM events "
        "WHERE recording = ? AND start_s < ? AND stop_s > ? ORDER BY start_s, stop_s", [recording, stop_s, start_s],
    )  # fmt: skip
    return [
        Marked(name, EVENTS.get(name) or "other", from_s, to_s, channel)
        for name, from_s, to_s, channel, scorer in found.iter_rows()
        if (kind := EVENTS.get(name)) is None or used.get(kind) == scorer
    ]


def _scorers(
    snapshot: Snapshot, recording: str, epochs: pl.DataFrame
) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """The default scorer by the catalog's epochs, then each other one as scored."""
    scored = epochs.filter(pl.col("stage").is_not_null())
    default = str(scored["stage_source"].drop_nulls().mode()[0]) if scored["stage_source"].drop_nulls().len() else ""
    found = [(default, _runs([(s, s + EPOCH_S, stage) for s, stage in scored.select("start_s", "stage").iter_rows()]))]
    if not has_stages(snapshot):
        return found
    rows = snapshot.sql(
        "SELECT scorer, start_s, stop_s, stage FROM stages WHERE recording = ? ORDER BY scorer, start_s", [recording]
    )
    for (scorer,), spans in rows.group_by("scorer", maintain_order=True):
        if scorer != default:
            found.append((str(scorer), _runs(list(spans.select("start_s", "stop_s", "stage").iter_rows()))))
    return found


def _runs(spans: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Spans of one stage that touch each other joined; what is unscored is left out, and so stays a gap."""
    joined: list[tuple[float, float, str]] = []
    for start_s, stop_s, stage in spans:
        if stage == "unscored":
            continue
        if joined and joined[-1][2] == stage and abs(joined[-1][1] - start_s) < 1e-3:
            joined[-1] = joined[-1][0], stop_s, stage
        else:
            joined.append((start_s, stop_s, stage))
    return joined


# ---- the list of nights, and one night's numbers


def list_nights(snapshot: Snapshot, words: str = "", *, limit: int = 200) -> tuple[pl.DataFrame, int]:
    """Nights of which every word stands in recording, subject, site, sex or diagnosis, one row a recording, the first
    `limit`, with the recordings `before` and `after` it; and how many there are."""
    own = set(snapshot.sql("SELECT column_name FROM (DESCRIBE recordings)")["column_name"])
    of_night = set(snapshot.sql("SELECT column_name FROM (DESCRIBE nights)")["column_name"])
    columns = [f"r.{c}" if c in own else f"n.{c}" for c in LISTED if c in own | of_night]
    texts = [c for c in ("recording", "subject", "site", "cohort", "sex", "diagnosis") if c in own]
    asked = [word.lower() for word in words.split()]
    said = f"lower(concat_ws(' ', {', '.join(f'r.{c}' for c in texts)}))"
    where = " AND ".join([f"contains({said}, ?)"] * len(asked)) or "true"
    found = snapshot.sql(
        f"SELECT {', '.join(columns)}, lag(r.recording) OVER w AS before, lead(r.recording) OVER w AS after "
        "FROM recordings r LEFT JOIN (SELECT * FROM nights QUALIFY row_number() OVER "
        "(PARTITION BY recording ORDER BY night_row) = 1) n USING (recording) "
        f"WHERE {where} WINDOW w AS (ORDER BY r.recording) ORDER BY r.recording", asked,
    )  # fmt: skip
    return found.head(limit), found.height


def neighbours(snapshot: Snapshot, recording: str) -> tuple[str | None, str | None]:
    """The recordings before and after one in the cohort's order."""
    found = snapshot.sql(
        "SELECT (SELECT max(recording) FROM recordings WHERE recording < ?), "
        "(SELECT min(recording) FROM recordings WHERE recording > ?)", [recording, recording],
    ).row(0)  # fmt: skip
    return found[0], found[1]


def night_facts(snapshot: Snapshot, recording: str) -> dict[str, Any]:
    """The night's row with unit, definition and denominator of each number, its report, and what the files' channels
    became: `numbers`, `report`, `person`, `montage`, `absent`, `notes`."""
    row, facts = _row(snapshot, recording), load_nights()
    nights = snapshot.sql("SELECT * FROM nights WHERE recording = ? ORDER BY night_row", [recording]).to_dicts()
    numbers = [
        [
            {"name": name, "value": night[name], "unit": known.get("unit", ""), "definition": known["definition"],
             "denominator": known.get("denominator", "")}
            for name, known in facts.items() if name in night and name != "report"
        ]
        for night in nights
    ]  # fmt: skip
    return {
        "numbers": numbers,
        "report": [night.get("report") for night in nights],
        "person": {c: value for c, value in row.items() if c not in _OF_FILES and value is not None},
        "montage": json.loads(row["montage"]),
        "absent": json.loads(row["absent"]),
        "notes": [*row["montage_problems"], *row["repairs"], *row["notes"], *row["alignment"]],
    }


def _row(snapshot: Snapshot, recording: str) -> dict[str, Any]:
    rows = snapshot.sql("SELECT * FROM recordings WHERE recording = ?", [recording])
    if not rows.height:
        raise BadInput(f"no recording {recording!r} in this cohort; choose one of the list.")
    return rows.row(0, named=True)


# ---- what is computed along the night


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """Power by time and frequency: `power_db`, float32 `(frequencies, columns)`, NaN where a column has no whole
    segment; column `i` covers `[i * COLUMN_S, …)`. low_db, high_db: between which nearly all of it lies."""

    channel: str
    label: str
    unit: str
    frequency_hz: NDArray[np.float32]
    power_db: NDArray[np.float32]
    low_db: float
    high_db: float


def spectrogram(waves: Waves, channel: str) -> Spectrogram:
    """Welch's power density of each 30 s of an EEG channel (Hann, 4 s, half overlapping), unfiltered, up to 32 Hz;
    kept for the next visitor. `BadInput` for a channel that is no EEG of this recording."""
    known = {c.name: c for c in waves.channels if c.kind == "eeg"}
    if channel not in known:
        raise BadInput(f"{channel!r} is no EEG channel of {waves.recording.id}; it has: {', '.join(known) or 'none'}.")
    if channel not in waves.found:
        waves.found[channel] = _spectrogram(waves, known[channel].label, known[channel].unit, channel)
    found: Spectrogram = waves.found[channel]
    return found


def _spectrogram(waves: Waves, label: str, unit: str, channel: str) -> Spectrogram:
    from scipy.signal import welch  # a second to import, for pages alone

    columns = int(np.ceil(waves.recording.duration_s / COLUMN_S))
    bins = int(_TO_HZ * _SEGMENT_S) + 1
    frequency_hz = np.arange(bins, dtype=np.float32) / _SEGMENT_S
    power = np.full((bins, columns), np.nan, np.float32)
    for run in waves.recording.runs(channel):
        samples, size = np.asarray(run.samples, np.float32), round(_SEGMENT_S * run.rate_hz)
        edges = np.round((COLUMN_S * np.arange(columns + 1) - run.start_s) * run.rate_hz).astype(int)
        edges = edges.clip(0, len(samples))
        lengths = np.diff(edges)
        for length in np.unique(lengths[lengths >= size]):  # columns of one length are one matrix
            at = np.flatnonzero(lengths == length)
            density = welch(samples[edges[at, None] + np.arange(length)], run.rate_hz, nperseg=size)[1][:, :bins]
            power[: density.shape[1], at] = 10 * np.log10(np.maximum(density.T, 1e-6))
    known = power[1:][np.isfinite(power[1:])]
    low_db, high_db = np.quantile(known, [0.02, 0.98]).tolist() if len(known) else (0.0, 1.0)
    return Spectrogram(channel, label, unit, frequency_hz, power, low_db, max(high_db, low_db + 1))


@dataclass(frozen=True, slots=True)
class Along:
    """How like a sentence each epoch's signals are, within this night: z is null where it can't be judged. `peaks`:
    start and z of the best epochs that do not touch each other, by time."""

    words: str
    start_s: list[float]
    z: list[float | None]
    peaks: list[tuple[float, float]]
    not_assessable: dict[str, int]
    notes: list[str]


def along(cohort: "Cohort", recording: str, words: str, *, peaks: int = 8) -> Along:
    """The similarity of a sentence along the night, as `Cohort.locate_words` has it, without looking into epochs."""
    from retrieval.localise import best_apart

    found = cohort.locate_words(words, recording, peaks=0)
    z = found.curve["z"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    starts = found.curve["start_s"].to_list()
    best = sorted(best_apart(z, peaks).tolist())
    return Along(
        words, starts, [round(v, 3) if np.isfinite(v) else None for v in z.tolist()],
        [(starts[i], round(float(z[i]), 3)) for i in best], found.not_assessable, found.notes,
    )  # fmt: skip
