"""A cohort that answers: one method a verb, over one published snapshot at a time."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from encoders.captions import load_measures, load_nights
from encoders.errors import BadInput
from encoders.models import DEFAULT_ENCODER, Encoder, load_encoder
from encoders.recordings import Recording, build_epochs, open_recording
from encoders.recordings.timeline import Run, clock
from encoders.vocabulary import CHANNELS
from index import Snapshot
from retrieval.details import caption_of, details, hits_of
from retrieval.hit import Answer, Hit
from retrieval.moment import seconds_of
from retrieval.private import Private
from retrieval.question import read_question
from retrieval.search import matching, merge_runs, rank
from retrieval.similar import similar_epochs, similar_nights
from retrieval.spaces import encoder_of
from retrieval.strips import Strip, strip_of

if TYPE_CHECKING:
    from retrieval.evaluation.evaluate import Evaluation, Progress


@dataclass(frozen=True, slots=True)
class Place:
    """A moment of a cohort: a recording, and where one was named the epoch and its start."""

    recording: str
    epoch_id: int | None = None
    start_s: float | None = None


class Cohort:
    """A directory of recordings made searchable. Readers never block the writer, nor wait for it."""

    def __init__(self, root: Path | str, *, encoder: str | None = None, device: str = "auto") -> None:
        self.root = Path(root)
        self.snapshot = Snapshot.open(self.root)
        self._encoder_name, self._device = encoder or encoder_of(self.snapshot), device

    def __repr__(self) -> str:
        return f"Cohort({self.root.name}, snapshot {self.snapshot.number}, {self._encoder_name})"

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of this cohort's captions, loaded when a question first needs it."""
        return self._known(load_encoder(DEFAULT_ENCODER, device=self._device))

    @cached_property
    def reader(self) -> Encoder | None:
        """The encoder that compares words with signals, where the cohort has one."""
        if self._encoder_name == DEFAULT_ENCODER:
            return None
        return self._known(load_encoder(self._encoder_name, device=self._device))

    def _known(self, encoder: Encoder) -> Encoder:
        spaces = self.snapshot.spaces()
        if encoder.space not in spaces:
            have = ", ".join(spaces) or "none"
            raise BadInput(
                f"this cohort has no vectors of {encoder.space} (spaces: {have}); "
                f"re-embed with: sleepsearch ingest SOURCE --cohort {self.root} --encoder {encoder.name}"
            )
        return encoder

    def search(self, words: str, *, where: str | None = None, k: int = 10, exact: bool = False) -> Answer:
        """The `k` best stretches of the cohort for a question in plain words.

        `where` is an SQL expression over the view `epochs`; `exact` has the engine scan in float32. Fewer than `k`
        come back only when fewer match. `BadInput` or `index.InvalidFilter` for what can't be taken.
        """
        if k < 1:
            raise BadInput(f"k is {k}; at least 1 hit must be asked for.")
        if not words.strip():
            raise BadInput(
                'the question is empty; ask in words, for example: sleepsearch search "REM sleep with desaturation".'
            )
        began = time.perf_counter()
        self.snapshot.refresh()
        question = read_question(words)
        ranked = rank(self.snapshot, self.encoder, question, where=where, exact=exact, reader=self.reader)
        runs = merge_runs(ranked.frame, k)
        hits = hits_of(self.snapshot, ranked.frame, runs, question)
        conditions = [f.sql for f in question.filters] + ([where] if where else [])
        ms = {**ranked.ms, "total": round((time.perf_counter() - began) * 1000, 2)}
        return Answer(words, conditions, ranked.searched, ranked.not_assessable, hits, ranked.engine, ms, ranked.notes,
                      question.explain())  # fmt: skip

    def similar(self, place: str, *, where: str | None = None, k: int = 10) -> Answer:
        """Epochs like the one at `RECORDING@TIME`, or nights like `RECORDING`, by caption and measures."""
        at = self.locate(place)
        self.snapshot.refresh()
        if at.epoch_id is None:
            return similar_nights(self.snapshot, self.encoder.space, at.recording, where=where, k=k)
        return similar_epochs(self.snapshot, self.encoder.space, at.epoch_id, place, where=where, k=k)

    def locate(self, place: str) -> Place:
        """The recording and epoch of `RECORDING[@TIME]`; TIME: seconds from the start, or HH:MM[:SS] by the clock."""
        name, _, when = place.partition("@")
        rows = self.snapshot.sql(
            "SELECT recording, start_clock_s, duration_s FROM recordings WHERE recording = ?", [name]
        )
        if not rows.height:
            raise BadInput(_unknown_recording(self.snapshot, name))
        if not when:
            return Place(name)
        start_s = seconds_of(when, rows["start_clock_s"][0], name)
        epochs = self.snapshot.sql(
            "SELECT epoch_id, start_s FROM epochs WHERE recording = ? AND start_s <= ? AND stop_s > ?",
            [name, start_s, start_s],
        )
        if not epochs.height:
            raise BadInput(f"{place}: no epoch there; {name} is {clock(rows['duration_s'][0])} long (h:m:s).")
        return Place(name, int(epochs["epoch_id"][0]), float(epochs["start_s"][0]))

    def describe(self, place: str, *, nearest: int = 5) -> dict[str, Any]:
        """What was measured and scored at `RECORDING@TIME`, or in the night `RECORDING`, in words.

        `captions` holds measured facts by part; `generated` what the encoder's decoder wrote of the signals, with
        `caveats` where there are any; `nearest` other epochs with the nearest captions, or nights.
        """
        at = self.locate(place)
        around = self.similar(place, k=nearest)
        near = [
            {"recording": h.recording, "start_s": h.start_s, "score": h.score, "caption": h.caption}
            for h in around.hits
        ]
        if at.epoch_id is None:
            row = self.snapshot.sql("SELECT * FROM nights WHERE recording = ?", [at.recording]).row(0, named=True)
            (understood,) = self.recordings(at.recording)
            return {"recording": at.recording, "start_s": None, "captions": {"night": row["report"]}, "generated": {},
                    "nearest": near, "night": {k: v for k, v in row.items() if k != "report"},
                    "notes": understood["notes"]}  # fmt: skip
        row = details(self.snapshot, [at.epoch_id])[at.epoch_id]
        generated, caveats = self._generated(at)
        return {"recording": at.recording, "start_s": at.start_s, "captions": caption_of(row), "generated": generated,
                "nearest": near} | ({"caveats": caveats} if caveats else {})  # fmt: skip

    def _generated(self, at: Place) -> tuple[dict[str, str], list[str]]:
        """What the decoder says of one epoch, read from its file, and what must be known of such captions."""
        if self.reader is None or at.start_s is None:
            return {}, []
        epochs = build_epochs(self.recording(at.recording), np.array([at.start_s]))
        (generated,) = self.reader.describe(epochs)
        return generated, list(self.reader.caveats) if generated else []

    def nights(self, *, where: str | None = None) -> pl.DataFrame:
        """The cohort table, one row a night; `where` is an SQL expression over the view `epochs` (a night counts when
        any of its epochs does)."""
        table = self.snapshot.sql("SELECT * FROM nights JOIN recordings USING (recording) ORDER BY recording")
        if where is None:
            return table
        keep = matching(self.snapshot, self.snapshot.sql("SELECT epoch_id, recording FROM epochs"), where)
        return table.filter(pl.col("recording").is_in(keep["recording"].unique().to_list()))

    def recordings(self, name: str | None = None) -> list[dict[str, Any]]:
        """What was understood of each recording, or of one: hours, site, channels, kinds scored, all notes."""
        frame = self.snapshot.sql(
            "SELECT r.*, (SELECT list(kind ORDER BY kind) FROM coverage c WHERE c.recording = r.recording AND c.used) "
            "AS kinds FROM recordings r WHERE ?::VARCHAR IS NULL OR recording = ? ORDER BY recording",
            [name, name],
        )
        return [
            {
                "recording": row["recording"], "hours": row["duration_s"] / 3600, "site": row["cohort"],
                "channels": [c for c in CHANNELS if c in json.loads(row["montage"])], "scored": row["kinds"] or [],
                "scorer": row["scorer"], "simulated": row["simulated"],
                "notes": [*row["montage_problems"], *row["repairs"], *row["notes"], *row["alignment"]],
            }
            for row in frame.iter_rows(named=True)
        ]  # fmt: skip

    def columns(self) -> list[dict[str, str]]:
        """Columns of the view `epochs`, which filters may name: name, type, unit and definition where it has one."""
        measures, nights = load_measures(), load_nights()
        rows = []
        for name, kind in self.snapshot.columns().items():
            unit, definition = "", ""
            if name in measures:
                unit, definition = measures[name].unit, measures[name].definition
            elif name in nights:
                unit, definition = nights[name].get("unit", ""), nights[name].get("definition", "")
            rows.append({"column": name, "type": kind, "unit": unit, "definition": definition})
        return rows

    def info(self) -> dict[str, Any]:
        """Counts, spaces, sizes and engines of the published snapshot."""
        return self.snapshot.info()

    def evaluate(
        self, *, tasks: Sequence[str] | None = None, most: int = 10_000, seed: int = 0,
        progress: "Progress | None" = None,
    ) -> "Evaluation":  # fmt: skip
        """How well the cohort's encoder does on its labels; see `retrieval.evaluation.evaluate`."""
        from retrieval.evaluation import evaluate

        encoder = load_encoder(self._encoder_name, device=self._device)
        return evaluate(self, encoder=encoder, tasks=tasks, most=most, seed=seed, progress=progress)

    def waveform(
        self, recording: str, start_s: float, stop_s: float, channels: Sequence[str] = CHANNELS
    ) -> dict[str, list[Run]]:
        """Native-rate samples by channel, in physical units, read from the recording's files; absent: no key."""
        found = self.recording(recording)
        runs = {channel: found.waveform(channel, start_s, stop_s) for channel in channels}
        return {channel: r for channel, r in runs.items() if r}

    def labels_of(self, recording: str) -> dict[str, str]:
        """What the file calls each channel, and why it was taken, by channel."""
        row = self.snapshot.sql("SELECT montage FROM recordings WHERE recording = ?", [recording])
        return dict(json.loads(row["montage"][0])) if row.height else {}

    def strip(self, hit: Hit) -> Strip:
        """What is drawn of a hit."""
        return strip_of(self, hit.recording, hit.start_s, hit.stop_s)

    def recording(self, name: str) -> Recording:
        """The recording of that id, opened from its files."""
        private = Private(self.root)
        return open_recording(private.paths(name), recording_id=name, **private.site().as_options())


def _unknown_recording(snapshot: Snapshot, name: str) -> str:
    from difflib import get_close_matches

    names = snapshot.sql("SELECT recording FROM recordings ORDER BY recording")["recording"].to_list()
    near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    near_names = ", ".join(near) or "none"
    return f"no recording {name!r} in this cohort of {len(names)}; near: {near_names}. `sleepsearch nights` lists all."
