"""Signal quality per epoch and channel at the native rate: flat, clipped, disconnected, out of range, lead off, gap.

First `measure_blocks` looks once at each sample, then `judge` compares with `quality.toml`, where every threshold has
its reason. Two steps, because a wrong unit shows only over the night: where nearly every epoch breaks the rules of
amplitude while the signal lives, the unit is doubted in a note, and nothing is thrown away. So does a wrong label:
`doubt_label` compares the shape of the night's samples with what the channel's sensor makes.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from encoders.vocabulary import EPOCH_S

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

DOUBT = "amplitude implausible"  # how the note of a doubtful unit begins
WRONG_LABEL = "does not look like its label"  # how the note of a doubtful label begins
_LOOKED_AT = 20  # epochs of a run, or a few more: enough for a median
_FASTEST = 0.2  # of the rate: noise alone has 0.22 of it
_CHUNK_VALUES = 1 << 17  # native samples looked at together; they stay in the second-level cache


class Quality(IntFlag):
    """Why an epoch of a channel is not usable; 0 with `present` false means there is no such channel."""

    FLAT = 1
    CLIPPED = 2
    DISCONNECTED = 4
    OUT_OF_RANGE = 8
    LEAD_OFF = 16
    GAP = 32


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of one kind of channel; see `quality.toml`. Infinite or zero where a rule does not apply."""

    channels: Sequence[str]
    unit: str = ""
    min_rate_hz: float = 0.0
    block_s: float = EPOCH_S
    min_sd: float = 0.0
    max_range: float = np.inf
    mains_share: float = np.inf
    clipped_share: float = np.inf
    valid: Sequence[float] = (-np.inf, np.inf)
    tempo_hz: Sequence[float] = (0.0, np.inf)
    min_slow_share: float = 0.0
    min_kurtosis: float = 0.0


@dataclass(frozen=True, slots=True)
class Blocks:
    """What was measured of n epochs of one channel; each float32 `(n,)`.

    `flat`, `weak` and `wild` are the shares of an epoch's blocks that are constant, below `min_sd` and above
    `max_range` (the first and the last are only counted where they can be over a half); `clipped` that of its samples
    at the recording's extremes, `mains` that of its variance at 50 or 60 Hz; `sd` is in the channel's unit.
    """

    flat: Floats
    weak: Floats
    wild: Floats
    clipped: Floats
    mains: Floats
    sd: Floats


@cache
def _table() -> tuple[dict[str, Rules], float, float]:
    table = tomllib.loads(files(__package__).joinpath("quality.toml").read_text(encoding="utf-8"))
    kinds = [Rules(**kind) for kind in table["kind"].values()]
    rules = {channel: kind for kind in kinds for channel in kind.channels}
    return rules, table["unit"]["implausible_share"], table["unit"]["min_spread"]


def rules_of(channel: str) -> Rules:
    """The thresholds for a channel of `vocabulary.CHANNELS`."""
    return _table()[0][channel]


def measure_blocks(parts: Sequence[tuple[Floats, float]], rules: Rules) -> Blocks:
    """Measure a channel over its recording: of each run, the epochs `(n, samples)` at its own rate, and that rate."""
    pieces = [_measure(epochs, rate_hz, rules) for epochs, rate_hz in parts]
    flat, weak, wild, mains, sd, low, high = np.concatenate(pieces, axis=1)
    # A recorder may saturate before the range that its header states: the limits are those the signal itself keeps.
    least, most = low.min(), high.max()
    clipped = np.zeros_like(flat)
    if least < most:
        row = 0
        for epochs, _ in parts:
            at = np.flatnonzero((low[row : row + len(epochs)] == least) | (high[row : row + len(epochs)] == most))
            clipped[row + at] = [np.mean((epochs[i] == least) | (epochs[i] == most)) for i in at]
            row += len(epochs)
    return Blocks(flat, weak, wild, clipped, mains, sd)


def _measure(epochs: Floats, rate_hz: float, rules: Rules) -> Floats:
    count, length = epochs.shape
    size = min(length, max(2, round(rules.block_s * rate_hz)))
    blocks, mean = length // size, np.full(size, 1 / size, np.float32)
    tones = _mains(rate_hz) if rules.mains_share < 1 else None
    result = np.zeros((7, count), np.float32)
    step = max(1, _CHUNK_VALUES // length)
    for first in range(0, count, step):
        x = epochs[first : first + step]
        flat, weak, wild, mains, sd, low, high = result[:, first : first + step]
        cut = x[:, : blocks * size].reshape(-1, blocks, size)
        low[:], high[:] = x.min(axis=1), x.max(axis=1)
        # A large offset would drown the variance in single precision: each epoch's mean goes first.
        centred = cut - (cut @ mean).mean(axis=1)[:, None, None]
        power, offset = np.vecdot(centred, centred) / size, centred @ mean
        power_within = power - offset * offset
        weak[:] = (power_within < rules.min_sd**2).mean(axis=1)
        sd[:] = np.sqrt(power.mean(axis=1))
        # Extremes of short blocks are slow to take: only where a constant or a wild block is possible.
        still = (power_within <= 1e-4 * power).mean(axis=1) > 0.5
        for i in np.flatnonzero(still | (high - low > rules.max_range)):
            extent = cut[i].max(axis=1) - cut[i].min(axis=1)
            flat[i], wild[i] = (extent == 0).mean(), (extent > rules.max_range).mean()
        if tones is not None:
            seconds = blocks * size // len(tones)
            waves = centred.reshape(len(centred), -1)[:, : seconds * len(tones)].reshape(-1, len(tones)) @ tones
            hum = (waves**2).reshape(len(centred), seconds, -1, 2).mean(axis=1).sum(axis=2).max(axis=1)
            mains[:] = hum / np.maximum(power.mean(axis=1), np.finfo(np.float32).tiny)
    return result


@cache
def _mains(rate_hz: float) -> Floats | None:
    """Columns whose squared products with a second of signal add up, in pairs, to the power at 50 and at 60 Hz."""
    tones = [hz for hz in (50.0, 60.0) if hz < 0.45 * rate_hz]
    if not tones:
        return None
    turns = 2 * np.pi * np.arange(round(rate_hz))[:, None] / rate_hz
    columns = np.concatenate([f(turns * hz) for hz in tones for f in (np.cos, np.sin)], axis=1)
    return np.asarray(columns * (np.sqrt(2) / len(columns)), np.float32)


def judge(blocks: Blocks, rules: Rules) -> tuple[NDArray[np.uint8], str]:
    """Flags `(n,)` of `Quality` for all epochs of a recording, and a note where the unit is doubtful, else ''."""
    _, implausible_share, min_spread = _table()
    flat = blocks.flat > 0.5
    weak, wild = (blocks.weak > 0.5) & ~flat, blocks.wild > 0.5
    hum = (blocks.mains > rules.mains_share) & ~flat
    note = ""
    alive = ~flat & ~hum
    if alive.any() and np.mean((weak | wild)[alive]) > implausible_share:
        p10, p50, p90 = np.percentile(blocks.sd[alive], [10, 50, 90])
        if wild[alive].mean() > implausible_share or p90 > min_spread * p10:
            note = f"{DOUBT} for {rules.unit} (median sd {p50:.3g}): rules of amplitude withheld"
            weak, wild = np.zeros_like(weak), np.zeros_like(wild)
    flags = (
        flat * Quality.FLAT
        | (blocks.clipped > rules.clipped_share) * ~flat * Quality.CLIPPED
        | (weak | hum) * Quality.DISCONNECTED
        | wild * Quality.OUT_OF_RANGE
    )
    return flags.astype(np.uint8), note


def doubt_label(parts: Sequence[tuple[Floats, float]], flags: NDArray[np.uint8], rules: Rules) -> str:
    """What of the night's samples does not go with the channel, in words, else ''; nothing is thrown away for it.

    `parts` as for `measure_blocks`, `flags` `(n,)` of their epochs in order: some good ones are looked at, the median
    counts. Compared are the tempo (the frequency of a sine with the same slope and variance), the share of the variance
    slower than half-second means, and the kurtosis; none depends on the unit.
    """
    shapes, row = [], 0
    for epochs, rate_hz in parts:
        good = np.flatnonzero(flags[row : row + len(epochs)] == 0)
        row += len(epochs)
        half = max(1, round(rate_hz / 2))
        for x in epochs[good[:: max(1, len(good) // _LOOKED_AT)]]:
            x = x - x.mean(dtype=np.float64).astype(np.float32)
            squares, slopes = x * x, np.diff(x)
            means = x[: len(x) // half * half].reshape(-1, half).mean(axis=1)
            power = np.float64(squares.mean())
            tempo = rate_hz / (2 * np.pi) * np.sqrt(np.vecdot(slopes, slopes) / len(x) / power)
            slow, spread = np.vecdot(means, means) / len(means) / power, squares / power
            shapes.append((tempo, slow, np.vecdot(spread, spread) / len(x), rate_hz))
    if not shapes:
        return ""
    tempo, slow, kurtosis, rate_hz = np.median(shapes, axis=0)
    low, high = rules.tempo_hz
    if tempo < low:
        return f"{WRONG_LABEL}: too slow for it ({tempo:.2g} Hz)"
    if np.isfinite(high) and tempo > min(high, _FASTEST * rate_hz):
        return f"{WRONG_LABEL}: too fast for it ({tempo:.0f} Hz), another signal or hum"
    if slow < rules.min_slow_share:
        return f"{WRONG_LABEL}: faster than breathing"
    if kurtosis < rules.min_kurtosis:
        return f"{WRONG_LABEL}: no beats stand out (kurtosis {kurtosis:.1f})"
    return ""
