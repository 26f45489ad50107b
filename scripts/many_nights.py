"""A cohort of as many nights as wanted, made of the rows of a few: for measuring and testing what size does.

    python scripts/many_nights.py SEED_COHORT OUT NIGHTS

Night n is the night n modulo their number of the seed cohort, laid end to end until it has EPOCHS epochs, under a name,
a person and a clock of its own. Its numbers and its signal vectors get noise that keeps them plausible: a share that
the night has in common, and one of each epoch; what was whole stays whole, and no per cent passes 100. Stages, events
and the printed sentences are the seed's. One epoch in FRESH has a wording of its own, put together from the parts of
two of the seed's: in simulated cohorts distinct wordings grow about so (975 in 2,160 epochs, 4,964 in 16,320).

The first nights go through `index.Writer.put`, which makes the tables; the others are appended to these many at a time,
since putting each by itself takes the better part of a second. Vectors and the publication are the Writer's throughout,
so that catalog, segments and engine files are those of an ingest. The cohort says that it was generated, and so does
each recording in its notes.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from encoders.captions import PARTS, load_measures, load_nights
from encoders.models import load_encoder
from encoders.recordings.timeline import DAY_S
from encoders.vocabulary import EPOCH_S
from index import Snapshot, Writer
from retrieval.night import caption_id
from retrieval.spaces import caption_vectors

EPOCHS = 960
FRESH = 12  # an epoch in so many has a wording of its own
OF_NIGHT, OF_EPOCH = 0.03, 0.02  # noise of numbers, as a share of them
OF_VECTORS = 0.5  # length of the noise that is added to a unit vector: cosine .89 with the seed's
AT_ONCE = 100  # nights that are held in memory
WRITER_MEMORY = "2GB"  # else DuckDB takes a share of the machine's
_TABLES = {"epochs": "epoch_rows"} | {name: name for name in ("events", "recordings", "nights", "coverage")}

Frames = dict[str, pl.DataFrame]
Rows = NDArray[np.int64]


def make(
    seed: Path, out: Path, nights: int, *, epochs: int = EPOCHS, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write and publish a cohort of `nights` nights at `out`, from the nights of the cohort `seed`."""
    with Snapshot.open(seed) as source:
        rows = _Seed(source, epochs)
    with Writer(out, name=f"generated, {nights} nights") as writer:
        for first in [0, *range(rows.count, nights, AT_ONCE)]:
            numbers = np.arange(first, min(first + (AT_ONCE if first else rows.count), nights))
            tables = rows.tables(numbers)
            ids = _put(writer, tables) if first == 0 else _append(writer, tables, first * epochs + 1)
            rows.add_captions(writer, tables["captions"])
            if rows.vectors is not None:
                made = rows.vectors_of(numbers)
                writer.add_vectors(rows.space, "signal", ids, made, info=rows.spaces[rows.space])
            if progress:
                progress(int(numbers[-1]) + 1, nights)
        writer.sql("UPDATE meta SET value = ? WHERE key = 'next_epoch_id'", [str(nights * epochs + 1)])
        writer.publish({"generated": f"from {rows.count} simulated nights"}, default_space=rows.space)


def _put(writer: Writer, tables: Frames) -> Rows:
    """The first block, each night as an ingest puts it: this gives the tables their columns and types."""
    writer.sql(f"SET memory_limit = '{WRITER_MEMORY}'")
    names = tables["recordings"]["recording"].to_list()
    parts = {table: dict(frame.group_by(["recording"])) for table, frame in tables.items() if table in _TABLES}
    people = dict(tables["subjects"].group_by(["subject"]))
    ids = [
        writer.put(name, name, {table: of[name,].drop("recording") for table, of in parts.items() if (name,) in of}
                   | {"subjects": people[name,], "captions": tables["captions"]})
        for name in names
    ]  # fmt: skip
    return np.concatenate(ids)


def _append(writer: Writer, tables: Frames, first_id: int) -> Rows:
    """A further block, in one insertion a table."""
    ids: Rows = np.arange(first_id, first_id + tables["epochs"].height)
    frames = tables | {
        "epochs": tables["epochs"].with_columns(pl.Series("epoch_id", ids), night_row=pl.lit(0)),
        "nights": tables["nights"].with_columns(night_row=pl.lit(0)),
        "recordings": tables["recordings"].with_columns(fingerprint="recording"),
    }
    for table, frame in frames.items():
        new = " WHERE caption_id NOT IN (SELECT caption_id FROM captions)" if table == "captions" else ""
        writer.sql(f"INSERT INTO {_TABLES.get(table, table)} BY NAME SELECT * FROM incoming{new}", incoming=frame)
    return ids


class _Seed:
    """The nights that are repeated: their tables one after the other, their vectors and their sentences."""

    def __init__(self, source: Snapshot, epochs: int) -> None:
        names = source.sql("SELECT recording FROM recordings ORDER BY recording")["recording"].to_list()
        self.count, self.epochs = len(names), epochs
        self.spaces, self.space = source.spaces(), str(source.default_space)
        laid = [_laid(source, name, epochs) for name in names]
        self._stacked = {table: pl.concat([night[table] for night in laid], how="diagonal") for table in _TABLES}
        self._heights = {table: np.array([night[table].height for night in laid]) for table in _TABLES}
        ids = self._stacked["epochs"]["epoch_id"].to_numpy()
        held = {
            s.collection: s.space
            for s in source.manifest.segments
            if s.space == self.space or s.collection == "caption"
        }
        self._caption_space = held["caption"]
        self.vectors = np.nan_to_num(source.vectors(self.space, "signal", ids)) if "signal" in held else None
        self._stacked["epochs"] = self._stacked["epochs"].drop("epoch_id")
        self._captions = source.sql("SELECT * FROM captions ORDER BY caption_id").select("caption_id", *PARTS)
        self._sentences: dict[str, NDArray[np.float32]] = {}

    def _rows(self, table: str, numbers: Rows) -> tuple[Rows, Rows]:
        """Rows of the stacked table that these nights repeat, and of each row which of `numbers` it is."""
        heights = self._heights[table]
        starts, of = np.cumsum(heights) - heights, numbers % self.count
        places = [np.arange(starts[s], starts[s] + heights[s]) for s in of]
        return np.concatenate(places), np.repeat(np.arange(len(numbers)), heights[of])

    def tables(self, numbers: Rows) -> Frames:
        """The tables of these nights; the same numbers give the same ones."""
        rng = np.random.default_rng([int(numbers[0]), 1])
        names = pl.Series([f"generated-{n:06d}" for n in numbers])
        later_s = np.round(rng.uniform(-5400, 5400, len(numbers)))
        tables: Frames = {}
        for table, stacked in self._stacked.items():
            rows, night = self._rows(table, numbers)
            frame = stacked[rows].with_columns(recording=names[night])
            if table in ("epochs", "nights"):
                frame = _noisy(frame, night, rng)
            for column in {"clock_s", "start_clock_s"} & {*frame.columns}:
                frame = frame.with_columns(((pl.col(column) + pl.Series(later_s[night])) % DAY_S).alias(column))
            tables[table] = frame
        own = tables["recordings"]
        older = 1 + 0.1 * rng.standard_normal((2, len(numbers)))
        tables["recordings"] = own.with_columns(
            subject="recording", simulated=pl.lit(True),
            notes=pl.Series([["generated: rows of a simulated night, with noise"]] * own.height),
            **{c: (pl.col(c) * pl.Series(older[i])).round() for i, c in enumerate(("age", "bmi")) if c in own.columns},
        )  # fmt: skip
        tables["subjects"] = pl.DataFrame({"subject": names, "subject_known": True})
        tables["epochs"], tables["captions"] = self._worded(tables["epochs"], rng)
        return tables

    def _worded(self, epochs: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The epochs with some of their wordings new, and all wordings that they name."""
        chosen = np.flatnonzero(rng.random(epochs.height) < 1 / FRESH)
        ids = epochs["caption_id"].to_numpy().copy()
        own = self._captions[np.searchsorted(self._captions["caption_id"].to_numpy(), ids[chosen])]
        other = self._captions[rng.integers(self._captions.height, size=len(chosen))]
        mixed = own.with_columns(
            pl.when(pl.Series(rng.random(len(chosen)) < 0.5)).then(other[part]).otherwise(own[part]).alias(part)
            for part in PARTS
        )
        ids[chosen] = [caption_id(said) for said in mixed.select(PARTS).iter_rows()]
        kept = self._captions.filter(pl.col("caption_id").is_in(np.unique(np.delete(ids, chosen)).tolist()))
        mixed = mixed.with_columns(caption_id=pl.Series(ids[chosen]))
        wordings = pl.concat([kept, mixed]).unique("caption_id", maintain_order=True)
        return epochs.with_columns(caption_id=pl.Series(ids)), wordings

    def vectors_of(self, numbers: Rows) -> NDArray[np.float32]:
        """Unit vectors near the seed's; a zero one, of an epoch that could not be read, stays zero."""
        assert self.vectors is not None
        rng = np.random.default_rng([int(numbers[0]), 2])
        made = self.vectors[self._rows("epochs", numbers)[0]]
        blank = ~made.any(axis=1)
        made += rng.standard_normal(made.shape, dtype=np.float32) * np.float32(OF_VECTORS / made.shape[1] ** 0.5)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        made[blank] = 0
        return made

    def add_captions(self, writer: Writer, captions: pl.DataFrame) -> None:
        """Vectors of the wordings that have none; each sentence is embedded once."""
        encoder = load_encoder(str(self.spaces[self._caption_space]["encoder"]))

        def embed(sentences: Any) -> NDArray[np.float32]:
            if unseen := [said for said in sentences if said not in self._sentences]:
                self._sentences |= dict(zip(unseen, encoder.embed_texts(unseen), strict=True))
            return np.stack([self._sentences[said] for said in sentences])

        ids = writer.missing(self._caption_space, "caption", captions["caption_id"].to_numpy())
        new = captions.filter(pl.col("caption_id").is_in(ids.tolist()))
        if new.height:
            rows = caption_vectors(new, PARTS, embed, encoder.dim)
            info = self.spaces[self._caption_space]
            writer.add_vectors(self._caption_space, "caption", new["caption_id"].to_numpy(), rows, info=info)


def _laid(source: Snapshot, name: str, epochs: int) -> Frames:
    """The tables of one night, laid end to end to the wanted length."""
    of = {table: source.sql(f"SELECT * FROM {stored} WHERE recording = ?", [name]) for table, stored in _TABLES.items()}
    rows, events = of["epochs"].sort("epoch"), of["events"]
    place, length_s = np.arange(epochs), rows.height * EPOCH_S
    again_s = pl.Series(place // rows.height * length_s)
    laid = rows[place % rows.height].with_columns(
        epoch=pl.Series(place), start_s=pl.col("start_s") + again_s, stop_s=pl.col("stop_s") + again_s,
        clock_s=(pl.col("clock_s") + again_s) % DAY_S,
    )  # fmt: skip
    later = [
        events.with_columns(
            pl.col("start_s", "stop_s") + n * length_s, linked_to=pl.col("linked_to") + n * events.height
        )
        for n in range(-(-epochs // rows.height))
    ]
    whole_s = float(laid["stop_s"][-1])
    return of | {
        "epochs": laid.drop("night_row"),
        "events": pl.concat(later).filter(pl.col("start_s") < whole_s),
        "recordings": of["recordings"].drop("fingerprint").with_columns(duration_s=pl.lit(whole_s)),
        "nights": of["nights"].drop("night_row"),
    }


def _noisy(frame: pl.DataFrame, night: Rows, rng: np.random.Generator) -> pl.DataFrame:
    """The measures of epochs or nights with noise; three decimals are kept, which keeps the catalog small."""
    known = {*load_measures(), *load_nights()} - {"lights_off_s", "lights_on_s"}
    columns = [c for c, kind in frame.schema.items() if kind == pl.Float64 and c in known]
    values = frame.select(columns).to_numpy()
    share = 1 + OF_NIGHT * rng.standard_normal((int(night.max()) + 1, len(columns)))[night]
    made = values * (share + OF_EPOCH * rng.standard_normal(values.shape))
    noisy = {}
    for i, column in enumerate(columns):
        own = values[:, i][np.isfinite(values[:, i])]
        digits, most = 0 if np.array_equal(own, np.round(own)) else 3, 100.0 if column.endswith("_pct") else np.inf
        noisy[column] = pl.Series(np.minimum(np.round(made[:, i], digits), most)).fill_nan(None)
    return frame.with_columns(**noisy)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]),
         progress=lambda done, of: print(f"{done} of {of} nights", file=sys.stderr, flush=True))  # fmt: skip
