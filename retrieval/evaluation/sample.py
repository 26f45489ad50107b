"""The epochs that an evaluation rests on: their labels, their vectors, and the same epochs seen by fewer sensors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import PARTS
from encoders.errors import BadInput
from encoders.models import Encoder
from encoders.recordings import Epochs, build_epochs
from encoders.vocabulary import CHANNELS

if TYPE_CHECKING:
    from retrieval.cohort import Cohort

SHORTEST_STRETCH = 120  # epochs; an hour of somebody's night says something, less says little
Progress = Callable[[str, int, int], None]  # the recording read last, how many are read, of how many
Vectors = NDArray[np.float32]
_ABOUT_PEOPLE = {"site": pl.String, "age": pl.Float64, "sex": pl.String}  # null where the cohort has no such column


@dataclass(frozen=True, slots=True)
class Sample:
    """Epochs of a cohort as one encoder sees them.

    frame: one row an epoch, by recording and time: the columns of the view `epochs`, `text` and `text_numbers` (the
    whole caption without and with numbers) and `seen` (the encoder was trained on this subject or cohort).
    vectors: float32 `(n, dim)`, of the signals; of the captions where the encoder reads sentences alone.
    cohort: where the signals can be read again; None where there are no files behind the frame.
    """

    encoder: Encoder
    frame: pl.DataFrame = field(repr=False)
    vectors: Vectors = field(repr=False)
    cohort: "Cohort | None" = field(default=None, repr=False)
    progress: Progress | None = field(default=None, repr=False)
    _words: dict[str, Vectors] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return self.frame.height

    def subjects(self) -> list[str]:
        """Everybody in the sample, once, by name."""
        return sorted(self.frame["subject"].unique().to_list())

    def rows(self, mask: NDArray[np.bool_] | NDArray[np.integer]) -> "Sample":
        """Some of the epochs, by a mask or by their places; what was embedded of words is kept."""
        index = np.flatnonzero(mask) if mask.dtype == bool else mask
        return replace(self, frame=self.frame[index], vectors=self.vectors[index])

    def texts(self, words: Sequence[str]) -> Vectors:
        """Unit vectors of sentences, float32 `(len(words), dim)`; each is embedded once."""
        if new := [text for text in dict.fromkeys(words) if text not in self._words]:
            self._words.update(zip(new, self.encoder.embed_texts(new), strict=True))
        return np.stack([self._words[text] for text in words]) if words else np.zeros((0, self.encoder.dim), np.float32)

    def epochs(self, rows: NDArray[np.integer] | None = None) -> Iterator[Epochs]:
        """The signals of the rows (ascending; None: all), read from the files a recording at a time, in their order."""
        if self.cohort is None:
            raise BadInput("these epochs have no files behind them: draw them from a cohort to read their signals.")
        chosen = self.frame if rows is None else self.frame[rows]
        names = chosen["recording"].unique(maintain_order=True).to_list()
        for count, name in enumerate(names, 1):
            starts = chosen.filter(pl.col("recording") == name)["start_s"].to_numpy()
            yield build_epochs(self.cohort.recording(name), starts)
            if self.progress:
                self.progress(name, count, len(names))

    def with_sensors(self, channels: Sequence[str]) -> "Sample":
        """The same epochs embedded again as if the recordings had only these channels; `BadInput` as `by_sensors`."""
        return self.by_sensors([channels])[0]

    def by_sensors(self, subsets: Sequence[Sequence[str]]) -> list["Sample"]:
        """`with_sensors` for several subsets, each recording being read once.

        `BadInput` for a channel that is none of `vocabulary.CHANNELS`, or an encoder that reads no signals.
        """
        for channel in (c for subset in subsets for c in subset):
            if channel not in CHANNELS:
                raise BadInput(f"no channel {channel!r}; channels: {', '.join(CHANNELS)}.")
        if not self.encoder.channels:
            raise BadInput(f"{self.encoder.name} reads sentences alone: sensors can't be taken from it.")
        parts: list[list[Vectors]] = [[] for _ in subsets]
        for epochs in self.epochs():
            for vectors, subset in zip(parts, subsets, strict=True):
                vectors.append(self.encoder.embed_epochs(keep_channels(epochs, subset)))
        return [replace(self, vectors=np.concatenate(vectors)) for vectors in parts]


def draw_sample(
    cohort: "Cohort", encoder: Encoder, *, most: int = 10_000, seed: int = 0, progress: Progress | None = None
) -> Sample:
    """At most `most` epochs of a cohort, as many of each subject as can be, with their vectors.

    Whole recordings where they fit; else of each subject an equal share, in stretches without a break, from a random
    start. Where that would leave somebody less than an hour, subjects are drawn. Vectors come from the cohort where it
    has them, else from the recordings' files. `BadInput` for an empty cohort or a file that is gone.
    """
    if most < 1:
        raise BadInput(f"most is {most}; an evaluation needs 1 epoch or more.")
    listed = cohort.snapshot.sql(
        "SELECT epoch_id, recording, coalesce(subject, recording) AS subject FROM epochs ORDER BY recording, start_s"
    )
    if not listed.height:
        raise BadInput("this cohort has no epochs; ingest recordings first: sleepsearch ingest SOURCE --cohort DIR")
    frame = _frame(cohort, listed[_chosen(listed, most, np.random.default_rng(seed))], encoder.trained_on)
    empty = np.full((frame.height, encoder.dim), np.nan, np.float32)
    sample = Sample(encoder, frame, empty, cohort, progress)
    return replace(sample, vectors=_vectors(sample, cohort))


def keep_channels(epochs: Epochs, channels: Sequence[str]) -> Epochs:
    """The epochs as if the recording had these channels alone: the others are absent, and their statistics unknown."""
    assert epochs.signals is not None and epochs.statistics is not None
    gone = [c for c, name in enumerate(CHANNELS) if name not in channels]
    signals, present, quality = epochs.signals.copy(), epochs.present.copy(), epochs.quality.copy()
    signals[:, gone], present[:, gone], quality[:, gone] = 0.0, False, 0
    known = {f.name: getattr(epochs.statistics, f.name).copy() for f in fields(epochs.statistics)}
    for name, values in known.items():
        values[gone] = 0.0 if name == "seconds" else np.nan
    notes = {channel: note for channel, note in epochs.notes.items() if channel in channels}
    statistics = replace(epochs.statistics, **known)
    return replace(epochs, signals=signals, present=present, quality=quality, statistics=statistics, notes=notes)


def named_in(frame: pl.DataFrame, trained_on: Sequence[str]) -> pl.Series:
    """Whether each row's recording, subject, cohort or site is one of the names, whatever their case; never null.

    A model card lists what was trained on by these names, so equality is all there is to compare.
    """
    names = [name.strip().lower() for name in trained_on]
    ours = [c for c in ("recording", "subject", "cohort", "site") if c in frame.columns]
    named = (pl.col(column).str.to_lowercase().is_in(names).fill_null(False) for column in ours)
    return frame.select(pl.any_horizontal(*named).alias("seen"))["seen"]


# ---- which epochs, and what is known of them


def _chosen(listed: pl.DataFrame, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of `listed` in its order; see `draw_sample`."""
    groups = listed.with_row_index("row").group_by("subject", "recording", maintain_order=True).agg("row")
    nights: dict[str, list[NDArray[np.int64]]] = {}
    for subject, _, rows in groups.iter_rows():
        nights.setdefault(subject, []).append(np.array(rows, np.int64))
    people = [nights[name] for name in sorted(nights)]
    if listed.height > most:
        people = [people[i] for i in rng.permutation(len(people))]
        least = np.cumsum([min(SHORTEST_STRETCH, sum(map(len, own))) for own in people])
        people = people[: max(1, int((least <= most).sum()))]
    people.sort(key=lambda own: sum(map(len, own)))  # what a short night leaves unused goes to the longer ones
    kept: list[NDArray[np.int64]] = []
    left = most
    for place, own in enumerate(people):
        share = left // (len(people) - place)
        for night in (own[i] for i in rng.permutation(len(own))):
            count = min(share, len(night))
            first = int(rng.integers(len(night) - count + 1))
            kept.append(night[first : first + count])
            share, left = share - count, left - count
    return np.sort(np.concatenate(kept))


def _frame(cohort: "Cohort", chosen: pl.DataFrame, trained_on: Sequence[str]) -> pl.DataFrame:
    """All that the catalog has of the chosen epochs, in their order."""
    wanted = chosen.select("epoch_id")
    rows = cohort.snapshot.sql("SELECT epochs.* FROM wanted JOIN epochs USING (epoch_id)", wanted=wanted)
    parts = cohort.snapshot.sql(
        f"SELECT caption_id, {', '.join(PARTS)} FROM captions WHERE caption_id IN (SELECT caption_id FROM asked)",
        asked=rows.select("caption_id").unique(),
    )
    texts = parts.select("caption_id", _joined(PARTS).alias("text"))
    frame = wanted.join(rows, on="epoch_id", how="left").join(texts, on="caption_id", how="left")
    missing = [pl.lit(None, kind).alias(name) for name, kind in _ABOUT_PEOPLE.items() if name not in frame.columns]
    frame = frame.with_columns(
        *missing, pl.coalesce("subject", "recording").alias("subject"),
        _joined([f"text_{part}" for part in PARTS]).alias("text_numbers"),
    )  # fmt: skip
    frame = frame.with_columns(pl.coalesce("site", "cohort").alias("site"))
    return frame.with_columns(named_in(frame, trained_on))


def _joined(columns: Sequence[str]) -> pl.Expr:
    return pl.concat_str(
        [pl.when(pl.col(c) != "").then(pl.col(c)) for c in columns], separator=" ", ignore_nulls=True
    )  # fmt: skip


def _vectors(sample: Sample, cohort: "Cohort") -> Vectors:
    snapshot, encoder, frame = cohort.snapshot, sample.encoder, sample.frame
    collection, key = ("signal", "epoch_id") if encoder.channels else ("caption", "caption_id")
    vectors = sample.vectors
    if encoder.space in snapshot.spaces():
        vectors = snapshot.vectors(encoder.space, collection, frame[key].to_numpy())
    missing: NDArray[np.bool_] = np.isnan(vectors[:, 0])
    if not missing.any():
        return vectors
    if not encoder.channels:
        raise BadInput(f"this cohort's captions are not embedded by {encoder.name}; ingest its recordings again.")
    again = frame.filter(missing)["recording"].unique().implode()
    rows = np.flatnonzero(frame["recording"].is_in(again).to_numpy())
    vectors[rows] = np.concatenate([encoder.embed_epochs(epochs) for epochs in sample.epochs(rows)])
    return vectors
