"""A cohort that answers: one method a verb, over one published snapshot at a time."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from encoders.captions import load_measures, load_nights
from encoders.errors import BadInput
from encoders.models import TEXT_ENCODER, Encoder, load_encoder
from encoders.recordings import Recording, build_epochs, open_recording
from encoders.recordings.timeline import Run, clock
from encoders.vocabulary import CHANNELS
from index import Labels, Snapshot
from retrieval.details import caption_of, details, hits_of
from retrieval.hit import Answer, Hit
from retrieval.moment import seconds_of
from retrieval.nightly import check_level, search_nights
from retrieval.private import Private
from retrieval.question import read_question
from retrieval.scorers import agreement_of
from retrieval.search import BEST, matching, merge_runs, rank
from retrieval.similar import similar_epochs
from retrieval.similar_nights import similar_nights
from retrieval.spaces import encoder_of
from retrieval.strips import Strip, strip_of

if TYPE_CHECKING:
    from retrieval.alike import Alignment
    from retrieval.captioned import NearCaptions
    from retrieval.classify import Classification
    from retrieval.duplicates import Duplicates
    from retrieval.evaluation.evaluate import Evaluation, Progress
    from retrieval.exports import ExportReport
    from retrieval.facts import Fact
    from retrieval.fewshot import FewShot
    from retrieval.foreign import Foreign
    from retrieval.labelling import Label
    from retrieval.localise import Located
    from retrieval.probe import Probe
    from retrieval.zeroshot import PromptTask


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

    @classmethod
    def open(cls, root: Path | str, *, encoder: str | None = None, device: str = "auto") -> Self:
        """The cohort in the directory `root`, by its own encoder or a named one that it has vectors of."""
        return cls(root, encoder=encoder, device=device)

    def __repr__(self) -> str:
        return f"Cohort({self.root.name}, snapshot {self.snapshot.number}, {self._encoder_name})"

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of this cohort's captions, loaded when a question first needs it."""
        return self._known(load_encoder(TEXT_ENCODER, device=self._device))

    @cached_property
    def reader(self) -> Encoder | None:
        """The encoder that compares words with signals, where the cohort has one."""
        if self._encoder_name == TEXT_ENCODER:
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

    def search(
        self, words: str, *, where: str | None = None, k: int = 10, exact: bool = False, level: str = "epoch",
        without: Sequence[int | str] = (), include_bad: bool = False,
    ) -> Answer:  # fmt: skip
        """The `k` best stretches of the cohort for a question in plain words; with `level` night, whole nights.

        `where` is an SQL expression over the view `epochs`; `exact` has the engine scan in float32; `without` takes
        filters away that were read from the words, by their words or numbers from 1; `include_bad` lets measures count
        where an artifact was scored. Fewer than `k` come back only when fewer match. `BadInput` or
        `index.InvalidFilter` for what can't be taken.
        """
        if k < 1:
            raise BadInput(f"k is {k}; at least 1 hit must be asked for.")
        if not any(letter.isalnum() for letter in words):
            raise BadInput(
                f"the question {words!r} has no word; ask in words, for example: "
                'sleepsearch search "REM sleep with desaturation".'
            )
        began = time.perf_counter()
        check_level(level)
        self.snapshot.refresh()
        if level == "night":
            return search_nights(
                self.snapshot, self.encoder, words, where=where, k=k, reader=self.reader, without=without
            )
        question = read_question(words).without(without)
        question = replace(question, include_bad=include_bad or question.include_bad)
        snapshot = self.snapshot.pinned()
        for most in (BEST, None):
            ranked = rank(snapshot, self.encoder, question, where=where, exact=exact, reader=self.reader, most=most)
            runs = merge_runs(ranked.frame, k)
            if len(runs) == k or not ranked.more:
                break
        hits = hits_of(snapshot, ranked.frame, runs, ranked.question)
        conditions = [f.sql for f in question.filters] + ([where] if where else [])
        ms = {**ranked.ms, "total": round((time.perf_counter() - began) * 1000, 2)}
        return Answer(words, conditions, ranked.searched, ranked.not_assessable, hits, ranked.engine, ms, ranked.notes,
                      ranked.question.explain())  # fmt: skip

    def read_ahead(self) -> Iterator[str]:
        """Read what questions will need, piece by piece, so that none waits for it: see `retrieval.ahead`."""
        from retrieval.ahead import read_ahead

        self.snapshot.refresh()
        return read_ahead(self)

    def similar(self, place: str, *, where: str | None = None, k: int = 10, unlike: bool = False) -> Answer:
        """Epochs like the one at `RECORDING@TIME`, by caption and measures; or nights like `RECORDING`, or most unlike
        it: then a `similar_nights.AlikeNights`, which says of each night which parts agree."""
        at = self.locate(place)
        self.snapshot.refresh()
        if at.epoch_id is None:
            return similar_nights(
                self.snapshot, self.encoder, at.recording, where=where, k=k, reader=self.reader, unlike=unlike
            )
        if unlike:
            raise BadInput(f"{place}: --unlike is of whole nights; name the recording alone: {at.recording}.")
        return similar_epochs(
            self.snapshot, self.encoder.space, at.epoch_id, place, where=where, k=k, signals=self.signal_space
        )

    def align(self, recording: str, other: str) -> "Alignment":
        """Two nights laid over each other: which parts agree, block by block; see `retrieval.alike`."""
        from retrieval.similar_nights import align_nights

        names = [self.locate(name).recording for name in (recording, other)]
        return align_nights(self.snapshot, self.encoder, *names, reader=self.reader)

    def duplicates(self, *, progress: "Progress | None" = None) -> "Duplicates":
        """Nights that may be one recording, or one person under two ids; see `retrieval.duplicates`."""
        from retrieval.duplicates import find_duplicates

        self.snapshot.refresh()
        return find_duplicates(self.snapshot, self.encoder, reader=self.reader, progress=progress)

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

    def describe(self, place: str, *, nearest: int = 5, around: Answer | None = None) -> dict[str, Any]:
        """What was measured and scored at `RECORDING@TIME`, or in the night `RECORDING`, in words.

        `captions` holds measured facts by part; `generated` what the encoder's decoder wrote of the signals, with
        `caveats` where there are any; `nearest` other epochs with the nearest captions, or nights: those of `around`
        where they were found elsewhere.
        """
        at = self.locate(place)
        around = around or self.similar(place, k=nearest)
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
        """What was understood of each recording, or of one: hours, site, channels, kinds, agreement, notes."""
        frame = self.snapshot.sql(
            "SELECT r.*, (SELECT list(kind ORDER BY kind) FROM coverage c WHERE c.recording = r.recording AND c.used) "
            "AS kinds FROM recordings r WHERE ?::VARCHAR IS NULL OR recording = ? ORDER BY recording",
            [name, name],
        )
        agreed = agreement_of(self.snapshot)
        return [
            {
                "recording": row["recording"], "hours": row["duration_s"] / 3600, "site": row["cohort"],
                "channels": [c for c in CHANNELS if c in json.loads(row["montage"])], "scored": row["kinds"] or [],
                "scorer": row["scorer"], "simulated": row["simulated"],
                "agreement": [pair.to_json() for pair in agreed if pair.recording == row["recording"]],
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

    def label(self, place: str | tuple[str, float, float], label: str, author: str) -> "Label":
        """Write down what `author` calls a stretch; see `retrieval.labelling.add_label`."""
        from retrieval.labelling import add_label

        return add_label(self, place, label, author)

    def labels(self) -> pl.DataFrame:
        """The labels that stand, oldest first: id, author, time (UTC), recording, start_s, stop_s, label."""
        return Labels(self.root).frame()

    def import_labels(self, path: Path | str, author: str | None = None) -> "list[Label]":
        """Write down the labels of a CSV; those that stand already are no new ones. See `labelling.add_labels`."""
        from retrieval.labelling import add_labels

        return add_labels(self, Path(path), author)

    def unlabel(self, entry: str, author: str) -> "Label":
        """Withdraw the label with that id; the log keeps both."""
        from retrieval.labelling import withdraw

        return withdraw(self, entry, author)

    def fewshot(
        self, examples: Path | str | None = None, *, labels: Sequence[str] = (), where: str | None = None, k: int = 5,
        next_n: int = 0, progress: "Progress | None" = None,
    ) -> "FewShot":  # fmt: skip
        """Label every epoch by its nearest examples (None: the cohort's labels); see `retrieval.fewshot`."""
        from retrieval.fewshot import fewshot

        return fewshot(self, examples, labels=labels, where=where, k=k, next_n=next_n, progress=progress)

    def probe(
        self, target: str, *, cuts: Sequence[float] = (), where: str | None = None, seed: int = 0,
        progress: "Progress | None" = None,
    ) -> "Probe":  # fmt: skip
        """How well frozen vectors tell a night's outcome, beside simpler ways; see `retrieval.probe`."""
        from retrieval.probe import probe

        return probe(self, target, cuts=cuts, where=where, seed=seed, progress=progress)

    def classify(
        self, task: "str | PromptTask" = "staging", *, where: str | None = None, smooth: bool = False,
        calibrated: bool = False, abstain: float | None = None, scorer: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Classification":  # fmt: skip
        """Label every epoch by the words of a task (its name, a TOML file, itself); see `retrieval.classify`."""
        from retrieval.classify import classify

        return classify(self, task, where=where, smooth=smooth, calibrated=calibrated, abstain=abstain, scorer=scorer,
                        progress=progress)  # fmt: skip

    def locate_words(self, words: str, place: str, *, peaks: int = 5, progress: "Progress | None" = None) -> "Located":
        """Where in a night, and in its best epochs to the second, a sentence is nearest; see `retrieval.localise`."""
        from retrieval.localise import locate_words

        return locate_words(self, words, place, peaks=peaks, progress=progress)

    def export(
        self, out: Path | str, format: str, *, what: Sequence[str] | None = None, where: str | None = None,
        search: str | None = None, k: int = 10, overwrite: bool = False, progress: "Progress | None" = None,
    ) -> "ExportReport":  # fmt: skip
        """Write stages, events, labels, hits, nights, clips or vectors as files; see `retrieval.exports`."""
        from retrieval.exports import export

        return export(self, Path(out), format, what=what, where=where, search=search, k=k, overwrite=overwrite,
                      progress=progress)  # fmt: skip

    @property
    def encoder_name(self) -> str:
        """The name by which this cohort's encoder is loaded."""
        return self._encoder_name

    @property
    def signal_space(self) -> str | None:
        """The space of this cohort's signal vectors, where its encoder reads signals; loads nothing."""
        spaces = self.snapshot.spaces() if self._encoder_name != TEXT_ENCODER else {}
        return next((space for space, of in spaces.items() if of.get("encoder") == self._encoder_name), None)

    def facts(self, place: str) -> "list[Fact]":
        """Each measure and scored event of the epoch at `RECORDING@TIME`, with unit and definition."""
        from retrieval.facts import facts_of

        return facts_of(self.snapshot, self.epoch_at(place))

    def captions_near(self, place: str, k: int = 5) -> "NearCaptions | None":
        """The cohort's captions nearest to the signals at `RECORDING@TIME`; None without an encoder of signals."""
        from retrieval.foreign import captions_near

        return captions_near(self, self.epoch_at(place), self.snapshot, k)

    def foreign(
        self, path: "Path | Sequence[Path]", progress: "Progress | None" = None, *, scorer: str | None = None
    ) -> "Foreign":
        """A recording that is not in the cohort, described and compared with it; see `retrieval.foreign`."""
        from retrieval.foreign import read_foreign

        return read_foreign(self, path, progress, scorer=scorer)

    def epoch_at(self, place: str) -> int:
        """The id of the epoch at `RECORDING@TIME`; `BadInput` where no time is named."""
        at = self.locate(place)
        if at.epoch_id is None:
            raise BadInput(f"{place}: name a time as well, such as {place}@0.")
        return at.epoch_id

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
        return strip_of(self, hit.recording, hit.start_s, hit.stop_s, hit.best_s)

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
