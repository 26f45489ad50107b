"""The stretch of each hit as an EDF+ file of its own: every known channel at its native rate, in physical units.

The header has no patient, the anonymous date and the time of day of the clip's start, and says `simulated` where it is.
Annotations: the hit, and the stages and events of whoever staged that night. Gaps stay gaps (EDF+D); a channel that has
no samples somewhere between them is left out and named, never filled.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import BadInput
from encoders.recordings import Choice, EdfSignal, Recording, write_edf
from encoders.recordings.annotations.own import statement
from encoders.recordings.tal import Annotation
from encoders.vocabulary import POSITIONS
from retrieval.exports.edfplus import annotation, anonymous, note, statement_notes
from retrieval.exports.order import Order, Piece
from retrieval.exports.scored import Row, events_of, stages_of
from retrieval.hit import Hit

_RECORDS_S = (1.0, 2.0, 4.0, 5.0, 10.0, 20.0, 30.0, 60.0)  # the shortest that holds whole samples of all
_LABEL_BYTES = 16
_SLACK = 1e-6


def pieces(order: Order) -> Sequence[Piece]:
    """A file a hit, by rank."""
    return [
        Piece(f"{rank:03d}_{hit.recording}_{hit.start_s:.0f}s.edf", partial(_write, order, rank, hit))
        for rank, hit in enumerate(order.hits, 1)
    ]


def _write(order: Order, rank: int, hit: Hit, path: Path) -> list[str]:
    recording = order.cohort.recording(hit.recording)
    record_s, found, left_out = _samples(recording, hit.start_s, hit.stop_s)
    whole = {channel: np.asarray(np.isfinite(block).all(axis=1)) for channel, block in found.items()}
    kept = max(whole.values(), key=lambda records: int(records.sum()), default=np.zeros(0, bool))
    if not kept.any():
        raise BadInput(f"{hit!r}: no channel has samples there.")
    signals = []
    for channel, block in found.items():
        if not whole[channel][kept].all():
            left_out.append(f"{channel}: no samples in a part of it")
            continue
        choice = recording.montage.choices[channel]
        codes = ", ".join(f"{code} {word}" for code, word in POSITIONS.items()) if channel == "POS" else ""
        rate_hz = block.shape[1] / record_s
        signals.append(EdfSignal(_label(choice), block[kept].ravel(), rate_hz, choice.unit, transducer=codes))
    onsets_s = np.flatnonzero(kept) * record_s
    gaps = len(onsets_s) < onsets_s[-1] / record_s + 1
    clock_s = None if recording.start_clock_s is None else recording.start_clock_s + hit.start_s
    write_edf(
        path, signals, start=anonymous(clock_s), annotations=_notes(order, rank, hit), record_s=record_s,
        kind="EDF+D" if gaps else "EDF+C", record_onsets_s=onsets_s.tolist() if gaps else None,
        recording_note=note(recording.simulated),
    )  # fmt: skip
    return [f"{hit!r}: {why}" for why in left_out]


def _samples(
    recording: Recording, start_s: float, stop_s: float
) -> tuple[float, dict[str, NDArray[np.float32]], list[str]]:
    """A record's length, samples `(records, samples)` by channel, NaN where there are none, and what is left out."""
    runs = {channel: recording.waveform(channel, start_s, stop_s) for channel in recording.montage.choices}
    rates_hz = {channel: found[0].rate_hz for channel, found in runs.items() if found}

    def fits(record_s: float, rate_hz: float) -> bool:
        return abs(record_s * rate_hz - round(record_s * rate_hz)) < _SLACK and record_s * rate_hz >= 1 - _SLACK

    record_s = max(_RECORDS_S, key=lambda length_s: (sum(fits(length_s, r) for r in rates_hz.values()), -length_s))
    records = int(np.ceil((stop_s - start_s) / record_s - _SLACK))
    found: dict[str, NDArray[np.float32]] = {}
    left_out = [f"{channel}: no samples" for channel in runs if channel not in rates_hz]
    for channel, rate_hz in rates_hz.items():
        if not fits(record_s, rate_hz):
            left_out.append(f"{channel}: {rate_hz:g} Hz fits no record beside the others")
            continue
        size = round(record_s * rate_hz)
        values = np.full(records * size, np.nan, np.float32)
        for run in recording.waveform(channel, start_s, start_s + records * record_s):
            samples = np.asarray(run.samples, np.float32)
            at = round((run.start_s - start_s) * rate_hz)
            inside = slice(max(0, -at), max(0, len(values) - at))
            values[max(at, 0) : max(at, 0) + len(samples[inside])] = samples[inside]
        found[channel] = values.reshape(records, size)
    return record_s, found, left_out


def _label(choice: Choice) -> str:
    """The file's own labels, as a derivation where it is one; our own name where they are too long, or for POS."""
    label = choice.label + (f"-{choice.minus_label}" if choice.minus_label else "")
    return choice.channel if choice.channel == "POS" or len(label.encode()) > _LABEL_BYTES else label


def _notes(order: Order, rank: int, hit: Hit) -> list[Annotation]:
    scorer, length_s = hit.stage_source or "human", hit.stop_s - hit.start_s
    scored = [row for find in (stages_of, events_of) for row in find(order.snapshot, hit.recording, scorer)]
    coverage = order.snapshot.sql(
        "SELECT kind FROM coverage WHERE recording = ? AND scorer = ? AND scored", [hit.recording, scorer]
    )
    rows = [Row("hit", str(rank), 0.0, length_s, None, {"score": f"{hit.score:g}", "query": order.words or ""})]
    for row in scored:
        start_s, stop_s = max(row.start_s - hit.start_s, 0.0), min(row.stop_s - hit.start_s, length_s)
        if row.start_s < hit.stop_s and row.stop_s > hit.start_s:
            rows.append(Row(row.kind, row.name, start_s, stop_s, row.channel))
    said = statement(scorer, "unknown", coverage["kind"].to_list()) if coverage.height else {}
    return [*statement_notes(said | order.stamp()), *map(annotation, rows)]
