"""What `sleepsearch-small` reads: signals against their own night, and what the night itself is like.

Microvolts differ between amplifiers, electrodes and people by more than between stages, so waveforms are given in units
of their night's spread, and that spread beside them. SpO2, heart rate and position keep fixed scales: 88 % must differ
from 98 %. What is absent is zero under a mask; what is not known of a night is zero with its flag down.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.recordings.epochs import BANDS_HZ, PERCENTILES, ChannelStatistics, Epochs
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES, STEP_CHANNELS

Floats = NDArray[np.float32]

VERSION = 1  # of these inputs: what is cached of them is worth nothing under another
WAVES = tuple(c for c, channel in enumerate(CHANNELS) if channel not in STEP_CHANNELS)
POS, SPO2, HR = (CHANNELS.index(channel) for channel in ("POS", "SPO2", "HR"))
FIXED = {POS: (0.0, 1.0), SPO2: (95.0, 5.0), HR: (65.0, 15.0)}  # (level, scale); a position stays its code
MICROVOLTS = tuple(c for c, channel in enumerate(CHANNELS) if channel[:3] in ("EOG", "EEG", "EMG"))

BANDS = len(BANDS_HZ) - 1
# Columns of `night`: a flag, the log spread in microvolts, how heavy the tails are, then the log powers by band and
# percentile; of a step channel, its percentiles instead of powers.
KNOWN, SPREAD, TAILS, POWERS = 0, 1, 2, 3
NIGHT = POWERS + BANDS * len(PERCENTILES)
LIMIT = 20.0  # spreads; an electrode that comes off must not drown the rest
FLOOR = -5.0  # log10 of power per unit variance below which a filter's stop band is alike everywhere
_WHITE = np.log10(0.375 * EPOCH_SAMPLES)  # log power of white noise of unit variance under the Hann window
_NORMAL_P5_P95 = 3.29  # standard deviations between the 5th and the 95th percentile of a normal distribution


@dataclass(frozen=True, slots=True)
class Inputs:
    """`x` float32 `(n, 12, 1920)`, `present` bool `(n, 12)`, `night` float32 `(12, NIGHT)`, the same for all epochs."""

    x: Floats
    present: NDArray[np.bool_]
    night: Floats


def prepare(epochs: Epochs) -> Inputs:
    """The inputs of a recording's epochs; ValueError when they were built without signals."""
    if epochs.signals is None or epochs.statistics is None:
        raise ValueError("epochs without signals can't be embedded: build them with signals=True")
    level, spread, tails = scales(epochs.statistics)
    x = (epochs.signals - level[:, None]) / spread[:, None]
    np.clip(x, -LIMIT, LIMIT, out=x)
    x[~epochs.present] = 0
    return Inputs(x, epochs.present.copy(), night_of(epochs.statistics, spread, tails, epochs.doubted))


def scales(statistics: ChannelStatistics) -> tuple[Floats, Floats, Floats]:
    """Level and spread by which each channel is divided, and its log standard deviation over that; each `(12,)`."""
    level = np.nan_to_num(statistics.median)
    robust = (statistics.p95 - statistics.p5) / _NORMAL_P5_P95
    spread = np.nan_to_num(np.maximum(robust, statistics.sd / 10), nan=1.0)
    spread = np.where(spread > 0, spread, 1.0).astype(np.float32)
    tails = np.log10(np.maximum(np.nan_to_num(statistics.sd, nan=1.0) / spread, 1e-2)).astype(np.float32)
    for channel, (fixed_level, fixed_scale) in FIXED.items():
        level[channel], spread[channel], tails[channel] = fixed_level, fixed_scale, 0.0
    return level.astype(np.float32), spread, tails


def night_of(statistics: ChannelStatistics, spread: Floats, tails: Floats, doubted: frozenset[str]) -> Floats:
    """What the night says of each channel, `(12, NIGHT)`; microvolts count only where the unit is beyond doubt."""
    night = np.zeros((len(CHANNELS), NIGHT), np.float32)
    known = statistics.seconds > 0
    night[:, KNOWN] = known
    for c in MICROVOLTS:
        if CHANNELS[c] not in doubted:
            night[c, SPREAD] = np.log10(spread[c]) - 1.0
    night[:, TAILS] = tails
    waves = list(WAVES)
    power = statistics.log_power[waves] - 2 * np.log10(spread[waves])[:, None, None] - _WHITE
    night[waves, POWERS:] = np.maximum(np.nan_to_num(power, nan=FLOOR), FLOOR).reshape(len(waves), -1)
    for c, (level, scale) in FIXED.items():
        if c != POS:
            places = np.array(
                [getattr(statistics, name)[c] for name in ("p1", "p5", "p25", "median", "p75", "p95", "p99")]
            )
            night[c, POWERS : POWERS + len(places)] = (places - level) / scale
    night[~known] = 0
    return night
