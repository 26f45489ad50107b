"""The epochs of a cohort, or its nights, in two dimensions: what lies near in the vectors lies near on the map.

    sample      at most MOST epochs, each night by its share of the cohort
    zero rows   epochs of which nothing is known have no place; they are left out and counted
    PCA         to COMPONENTS components, then t-SNE (scikit-learn); fewer than FEWEST points: PCA alone

Neighbours on the map are neighbours in the vectors; how far two islands lie apart means nothing. The same snapshot
gives the same map. It is kept beside the engines of its space, as a cache that can be made again at will.
"""

import hashlib
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import PARTS, load_measures, load_nights
from encoders.errors import BadInput
from encoders.recordings.timeline import DAY_S, clock
from encoders.workers import run_jobs
from index.filters import MAX_CHARACTERS
from index.layout import Layout
from retrieval.night_numbers import stages_of
from retrieval.pooled import Vectors, pool, vectors_for
from retrieval.zeroshot import cosines

if TYPE_CHECKING:
    from index import Snapshot
    from retrieval.cohort import Cohort

MOST = 8_000  # epochs: t-SNE of these takes about a minute on one core, and a browser draws them at once
FEWEST = 50  # points, for neighbourhoods to mean something
COMPONENTS = 50
SEED = 0
_NEIGHBOURS = 30.0  # t-SNE's perplexity
_ROUNDS = 500  # the islands stand by then; twice as many take twice as long
_CAPTION_LETTERS = 90
# A fixed shuffle within each night (Knuth's multiplicative hash): the same epochs are drawn each time.
_SHUFFLED = "SELECT epoch_id, caption_id FROM epoch_rows ORDER BY recording, (epoch_id * 2654435761) % 4294967296"
# Texts of few values, by which people group nights and epochs; and numbers that are names.
_GROUPS = (
    "stage", "site", "cohort", "subject", "recording", "sex", "position", "diagnosis", "severity", "stage_source",
    "airflow_sensor", "hr_source", "scorer",
)  # fmt: skip
_NO_COLOUR = {"epoch_id", "caption_id", "start_clock_s", "night_row"}
_NUMBERS = ("DOUBLE", "FLOAT", "BIGINT")
LEVELS = ("epoch", "night")

Ids = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Map:
    """Points `xy` float32 `(n, 2)`, and what they are: epochs by `ids`, or with `level` night by `recordings`.

    `of` epochs or nights the cohort has, `sampled` were drawn, `left_out` of these have no vector that says anything.
    """

    key: str
    level: str
    vectors: Vectors
    method: str
    ids: Ids
    recordings: tuple[str, ...]
    xy: NDArray[np.float32]
    of: int
    sampled: int
    left_out: int
    seconds: float

    def __repr__(self) -> str:
        return f"Map({len(self.xy)} of {self.of} {self.level}s by {self.vectors.collection}, {self.method})"


def vectors_of(cohort: "Cohort", collection: str) -> Vectors:
    """The cohort's vectors of signals or of captions; `BadInput` where it has none of signals."""
    if collection == "caption":
        return Vectors(cohort.encoder.space, "caption")
    if collection != "signal":
        raise BadInput(f"vectors of {collection!r} are not known; there are: signal, caption.")
    found = vectors_for(cohort.encoder, cohort.reader)
    if found.collection != "signal":
        raise BadInput(
            "this cohort has no vectors of signals, only those of captions; add them with: "
            f"sleepsearch ingest SOURCE --cohort {cohort.root} --encoder sleepsearch-small"
        )
    return found


def map_key(snapshot: "Snapshot", vectors: Vectors, level: str = "epoch") -> str:
    """Names the map of a snapshot: equal catalogs and vectors have equal maps."""
    said = [snapshot.manifest.catalog["sha256"], vectors.space, vectors.collection, level, MOST, SEED]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def stored_map(snapshot: "Snapshot", vectors: Vectors, level: str = "epoch") -> Map | None:
    """The map as it was kept; None where there is none, or none that can be read."""
    key = map_key(snapshot, vectors, level)
    try:
        with np.load(_file(snapshot, vectors, level, key), allow_pickle=False) as kept:
            of, sampled, left_out = (int(n) for n in kept["counts"])
            return Map(
                key, level, vectors, str(kept["method"]), kept["ids"], tuple(kept["recordings"].tolist()), kept["xy"],
                of, sampled, left_out, float(kept["seconds"]),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def make_map(
    cohort: "Cohort", vectors: Vectors, level: str = "epoch", *, rough: bool = False, progress: Progress | None = None
) -> Map:
    """The map of the published snapshot, kept where the cohort's folder can be written to.

    `rough`: by PCA alone, in a second and not kept, to be looked at while the other is made. t-SNE runs in a process of
    its own, so that whoever else is served here does not wait for it; what `progress` raises ends that process.
    `BadInput` where fewer than three points have a vector.
    """
    began = time.monotonic()
    snapshot, say = cohort.snapshot, progress or (lambda *_: None)
    key = map_key(snapshot, vectors, level)
    say("reading vectors", 0, 3)
    names: tuple[str, ...] = ()
    if level == "night":
        names, rows = _night_vectors(cohort, vectors)
        ids, of = np.arange(len(names), dtype=np.int64), len(names)
    else:
        ids, rows, of = _epoch_vectors(snapshot, vectors)
    sampled, known = len(ids), np.asarray(np.isfinite(rows).all(axis=1))
    ids, rows = ids[known], rows[known]
    names = tuple(name for name, told in zip(names, known, strict=False) if told)
    if len(rows) < 3:
        raise BadInput(f"{len(rows)} {level}s have a vector that says anything; a map needs three.")
    method = "PCA" if rough or len(rows) < FEWEST else "t-SNE"
    doing = f"laying out {len(rows):,} {level}s by {method}"
    say(doing, 1, 3)
    if method == "PCA":
        xy = flatten(rows, method)
    else:
        ((_, xy, error),) = run_jobs(flatten, [rows], 1, waiting_on=lambda: say(doing, 1, 3))
        if error is not None:
            raise RuntimeError(error)
    made = Map(key + ("-rough" if rough and len(rows) >= FEWEST else ""), level, vectors, method, ids, names, xy, of,
               sampled, sampled - len(rows), round(time.monotonic() - began, 1))  # fmt: skip
    if made.key == key:
        say("keeping it", 2, 3)
        _keep(snapshot, made)
    return made


def flatten(rows: Floats, method: str = "t-SNE") -> NDArray[np.float32]:
    """Places `(n, 2)` of vectors `(n, dim)`, centred, the farthest at 1, by t-SNE or PCA."""
    from sklearn.decomposition import PCA  # seconds to import, for maps alone

    if method == "PCA":
        flat = PCA(2, random_state=SEED).fit_transform(rows)
    else:
        from sklearn.manifold import TSNE

        parts = PCA(min(COMPONENTS, *rows.shape), random_state=SEED).fit_transform(rows)
        perplexity = min(_NEIGHBOURS, (len(rows) - 1) / 3)
        tsne = TSNE(2, init="pca", perplexity=perplexity, max_iter=_ROUNDS, random_state=SEED)
        flat = tsne.fit_transform(parts)
    flat = flat - flat.mean(axis=0)
    return np.asarray(flat / max(float(np.abs(flat).max()), 1e-12), np.float32)


def epoch_facts(snapshot: "Snapshot", ids: Ids) -> pl.DataFrame:
    """`recording start_s stop_s clock stage caption` of these epochs, in their order; a caption by its first words."""
    said = ", ".join(f"nullif(text_{part}, '')" for part in PARTS)
    frame = snapshot.sql(
        f"SELECT e.recording, e.start_s, e.stop_s, r.start_clock_s, e.stage, concat_ws(' ', {said}) AS caption "
        "FROM epoch_rows e JOIN wanted USING (epoch_id) JOIN recordings r USING (recording) ORDER BY wanted.place",
        wanted=_places(ids),
    )
    times = [
        None if at is None else clock((at + start_s) % DAY_S)
        for at, start_s in frame.select("start_clock_s", "start_s").iter_rows()
    ]
    short = pl.col("caption").str.slice(0, _CAPTION_LETTERS)
    return frame.drop("start_clock_s").with_columns(short, pl.Series("clock", times, pl.String))


def colours_of(cohort: "Cohort", made: Map) -> list[dict[str, str]]:
    """Columns that the map can be coloured by and that say something of its points: numbers, and texts that people
    group by; `column kind group unit definition`, kind `text` or `number`."""
    known = {row["column"]: row for row in cohort.columns()}
    measures, of_night = load_measures(), load_nights()
    if made.level == "night":
        table = cohort.nights()
        said = {c: table[c].count() for c in table.columns}
        kinds = {c: "number" if t.is_numeric() else "text" for c, t in table.schema.items()}
    else:
        listed = ", ".join(f'count("{c}") AS "{c}"' for c in known)
        counted = f"SELECT {listed} FROM epochs JOIN wanted USING (epoch_id)"
        said = cohort.snapshot.sql(counted, wanted=pl.DataFrame({"epoch_id": made.ids})).row(0, named=True)
        kinds = {c: "number" if row["type"] in _NUMBERS else "text" for c, row in known.items()}
    found = []
    for column, kind in kinds.items():
        if not said[column] or column in _NO_COLOUR or (kind == "text" and column not in _GROUPS):
            continue
        group = "who and where" if column in _GROUPS or column in ("age", "bmi") else (
            "measured in the epoch" if column in measures and made.level == "epoch" else
            "of the night" if column in of_night else
            "scored in the epoch" if column.startswith("n_") or column.endswith("_s") else "further"
        )  # fmt: skip
        facts = known.get(column, {"unit": "", "definition": ""})
        found.append({"column": column, "kind": kind, "group": group, "unit": facts["unit"],
                      "definition": facts["definition"]})  # fmt: skip
    return found


def colour_of(cohort: "Cohort", made: Map, column: str) -> list[Any]:
    """The value of a column for each point; None where it is not known. `BadInput` for a column that is no colour."""
    if column not in {row["column"] for row in colours_of(cohort, made)}:
        raise BadInput(
            f"column {column!r} is no colour of this map, or nothing is known of it here; take a number, or stage, "
            f"site, subject, recording or sex."
        )
    if made.level == "night":
        nights = cohort.nights().unique("recording", keep="first", maintain_order=True)
        values = dict(zip(nights["recording"], nights[column], strict=True))
        return [values.get(name) for name in made.recordings]
    source = cohort.snapshot.narrowest([column])
    frame = cohort.snapshot.sql(
        f'SELECT e."{column}" AS value FROM wanted LEFT JOIN {source} e USING (epoch_id) ORDER BY place',
        wanted=_places(made.ids),
    )
    found: list[Any] = frame["value"].to_list()
    return [None if column == "stage" and value == "unscored" else value for value in found]


def similarity(cohort: "Cohort", made: Map, words: str) -> list[float | None]:
    """The cosine of each epoch of the map with a sentence; None where it has no vector. No probability."""
    if not words.strip():
        raise BadInput("the sentence is empty; say what the epochs are to be compared with.")
    encoder = cohort.reader if made.vectors.collection == "signal" and cohort.reader else cohort.encoder
    (direction,) = encoder.embed_texts([words])
    rows = cohort.snapshot.sql(
        "SELECT epoch_id, caption_id FROM wanted LEFT JOIN epoch_rows USING (epoch_id) ORDER BY place",
        wanted=_places(made.ids),
    )
    found = cosines(np.nan_to_num(made.vectors.of(cohort.snapshot, rows)), np.asarray(direction)[None])[:, 0]
    return [None if np.isnan(value) else round(float(value), 4) for value in found]


def places_of(cohort: "Cohort", made: Map, where: str) -> list[int]:
    """The places in the map of what a filter matches: of epochs, or of nights of which any epoch matches."""
    matched = cohort.snapshot.rows(where)
    if made.level == "epoch":
        return [int(place) for place in np.flatnonzero(np.isin(made.ids, matched))]
    rows = cohort.snapshot.sql("SELECT epoch_id, recording FROM epoch_rows")
    names = set(rows.filter(np.isin(rows["epoch_id"].to_numpy(), matched))["recording"])
    return [place for place, name in enumerate(made.recordings) if name in names]


def nights_where(made: Map, chosen: Sequence[int]) -> str:
    """A filter that the epochs of these nights match; `BadInput` where it would be too long for one."""
    names = ", ".join("'" + made.recordings[place].replace("'", "''") + "'" for place in chosen)
    if not names or len(names) > MAX_CHARACTERS - 20:
        raise BadInput(f"{len(chosen):,} nights can't be named in one filter; choose fewer.")
    return f"recording IN ({names})"


# ---- vectors


def _epoch_vectors(snapshot: "Snapshot", vectors: Vectors) -> tuple[Ids, Floats, int]:
    """Ids and vectors of the sample, by id, NaN where there is none; and how many epochs there are."""
    table = snapshot.sql(_SHUFFLED)
    chosen = table[sample(table.height, MOST)].sort("epoch_id")
    return chosen["epoch_id"].to_numpy(), vectors.of(snapshot, chosen), table.height


def sample(n: int, most: int) -> Ids:
    """Rows, evenly spread over `n` of them: of what stands together each block gives its share, to within one."""
    return np.arange(n) if n <= most else np.arange(most) * n // most


def _night_vectors(cohort: "Cohort", vectors: Vectors) -> tuple[tuple[str, ...], Floats]:
    """Each night's mean, over the stages that it has, of how its stage differs from all nights' mean of that stage."""
    snapshot = cohort.snapshot
    stages = stages_of(snapshot, cohort.reader)
    names = snapshot.sql("SELECT DISTINCT recording FROM epoch_rows ORDER BY recording")["recording"].to_list()
    means = pool(snapshot, vectors, stages, names)
    by_stage = np.where(np.isfinite(means[:, :-1]).any(axis=(1, 2), keepdims=True), means[:, :-1], means[:, -1:])
    known = np.isfinite(by_stage)
    counts = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, by_stage - np.where(known, by_stage, 0).sum(axis=0) / counts, 0)
    share = known.sum(axis=1)
    return tuple(names), np.where(share > 0, centred.sum(axis=1) / np.maximum(share, 1), np.nan)


def _places(ids: Ids) -> pl.DataFrame:
    """Ids as a table that keeps their order."""
    return pl.DataFrame({"epoch_id": ids, "place": np.arange(len(ids))})


# ---- the cache


def _file(snapshot: "Snapshot", vectors: Vectors, level: str, key: str) -> Path:
    return Layout(snapshot.root).engines(vectors.space) / f"map-{level}-{vectors.collection}-{key}.npz"


def _keep(snapshot: "Snapshot", made: Map) -> None:
    """Write the map in place of older ones of its kind; a cohort that can't be written to goes without."""
    path = _file(snapshot, made.vectors, made.level, made.key)
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, ids=made.ids, xy=made.xy, recordings=np.array(made.recordings, np.str_),
                method=np.array(made.method), seconds=np.array(made.seconds),
                counts=np.array([made.of, made.sampled, made.left_out]),
            )  # fmt: skip
        part.replace(path)
        for old in path.parent.glob(f"map-{made.level}-{made.vectors.collection}-*.npz"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError:
        part.unlink(missing_ok=True)
