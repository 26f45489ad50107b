"""Two nights laid over each other: which stretch of the one is like which of the other.

A night is a path: blocks of two minutes, each the unit mean of its epochs' vectors. Each block of one night goes to the
block of the other that is most like it, which costs one minus their cosine, and LATE_PER_H for each hour that the two
lie apart (counted from lights off); the likeness is the mean of both directions. That is optimal transport with one
side's weights left free, as in the relaxed word mover's distance (Kusner 2015, ICML): how much of a stage a night has
does not count, what it looks like does. Exact transport (scipy's assignment) and dynamic time warping were measured on
15 simulated sleepers with two nights each at two sites: the other night is among the first 5 of 30 for 0.60 and 0.57 of
the nights, this way (hours not counted) for 0.90; that choice was made on these sleepers.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

BLOCK_S = 120.0
LATE_PER_H = 0.1
WINDOW = 10  # blocks: the stretches that are named as most and least alike, 20 min

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Path:
    """A night's blocks in order of time.

    `start_s` `(n,)` from the recording's start, `since_h` `(n,)` hours from lights off, `vectors` `(n, dim)` of unit
    length. A block without any known epoch is not there.
    """

    start_s: Floats
    since_h: Floats
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Stretch:
    """`[start_s, stop_s)` of one night, where its counterpart lies in the other, and their mean cosine."""

    start_s: float
    stop_s: float
    other_start_s: float
    other_stop_s: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two nights agree: the whole, the stretches that agree most and least, and where each block went.

    `start_s`, `other_start_s` and `cosine` have one entry a block of the first night. Stretches are None where fewer
    blocks are known than a stretch has.
    """

    recording: str
    other: str
    likeness: float
    most: Stretch | None
    least: Stretch | None
    start_s: tuple[float, ...]
    other_start_s: tuple[float, ...]
    cosine: tuple[float, ...]

    def frame(self) -> pl.DataFrame:
        """A row a block of the first night: `start_s other_start_s cosine`."""
        return pl.DataFrame({c: getattr(self, c) for c in ("start_s", "other_start_s", "cosine")})

    def to_json(self) -> dict[str, Any]:
        """The alignment as plain values."""
        return asdict(self)


def path_of(start_s: Floats, vectors: Floats, lights_off_s: float) -> Path:
    """The path of one night from its epochs' `start_s` `(n,)` and `vectors` `(n, dim)`, rows of zero or NaN unknown."""
    known = np.isfinite(vectors).all(axis=1) & np.any(vectors, axis=1)
    of = start_s[known] // BLOCK_S  # epochs are in order of time
    first = np.flatnonzero(np.diff(of, prepend=-np.inf))
    block = of[first]
    sums = np.add.reduceat(vectors[known], first, axis=0) if len(first) else np.zeros((0, vectors.shape[1]), np.float32)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    starts = block * BLOCK_S
    return Path(starts, (starts - lights_off_s) / 3600, sums)


def matched(one: Path, other: Path) -> tuple[NDArray[np.int64], Floats, float]:
    """For each block of `one` its counterpart in `other`, `(n,)`, their cosines, and the likeness of the nights.

    The likeness is the mean, over the blocks of either night, of cosine less the price of the hours; at most 1.
    """
    cosine = one.vectors @ other.vectors.T
    if not cosine.size:
        return np.zeros(0, np.int64), np.zeros(0), 0.0
    gain = cosine - LATE_PER_H * np.abs(one.since_h[:, None] - other.since_h[None, :])
    there = gain.argmax(axis=1)
    likeness = (gain.max(axis=1).mean() + gain.max(axis=0).mean()) / 2
    return there, cosine[np.arange(len(there)), there], float(likeness)


def align(recording: str, one: Path, other_recording: str, other: Path) -> Alignment:
    """The nights laid over each other, with the stretches of WINDOW blocks that agree most and least."""
    there, cosine, likeness = matched(one, other)
    most = least = None
    if len(there) >= WINDOW:
        means = np.convolve(cosine, np.full(WINDOW, 1 / WINDOW), "valid")
        most, least = (
            _stretch(one, other, at, there, float(means[at])) for at in (int(np.argmax(means)), int(np.argmin(means)))
        )
    pairs = (one.start_s[: len(there)], other.start_s[there], cosine)
    return Alignment(recording, other_recording, likeness, most, least, *(tuple(map(float, v)) for v in pairs))


def _stretch(one: Path, other: Path, at: int, there: NDArray[np.int64], cosine: float) -> Stretch:
    """The stretch from block `at`, and where the middle half of its counterparts lies: single ones may be far away."""
    own = one.start_s[at : at + WINDOW]
    low, high = np.quantile(other.start_s[there[at : at + WINDOW]], (0.25, 0.75))
    return Stretch(float(own[0]), float(own[-1]) + BLOCK_S, float(low), float(high) + BLOCK_S, cosine)
