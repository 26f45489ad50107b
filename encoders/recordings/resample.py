"""Waveforms from any rate to the 64 Hz grid of the epochs through one anti-alias filter; step channels held.

The filter is a Kaiser-windowed sinc, symmetric about each output sample: linear phase and no delay. Relative to the
lower of the two rates its pass-band ends at 0.453 (29 Hz for sources of 64 Hz and more, ripple under 0.01 dB) and its
stop-band starts at 0.5 (32 Hz): everything that would alias is at least 60 dB down.
It is evaluated at the exact distance of each input sample from the output sample, so a grid that begins between two
samples costs nothing: positions are kept to a millionth of an input sample.

Blocks of outputs are matrix products of strided views of the input with a small matrix of weights (single-precision
BLAS; nothing is copied), whatever the ratio. Beyond its ends a run is continued by its mirror image, which adds neither
a step nor an offset. An output depends on the samples around it alone, so a stretch equals that stretch of the whole.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from encoders.vocabulary import RATE_HZ

Floats = NDArray[np.float32]

PASS_EDGE = 29 / 64  # of the lower rate
STOP_EDGE = 32 / 64
ATTENUATION_DB = 66.0  # into Kaiser's formulas; 60.6 come out, since the window is brought down to zero at its ends
HOLD_S = 30.0  # a masked step value is continued this long, then the next valid one is taken

_BLOCK = 32  # outputs a product: best of 16 to 96 for 256 Hz on one core with OpenBLAS
_CACHE_VALUES = 1 << 18  # input values a product: one mebibyte, half of a usual second-level cache
_MAX_PERIOD = 6400  # outputs after which the weights repeat, enough for hundredths of a hertz; others are interpolated
_PHASES = 512  # tabulated kernel positions for those


def resample(samples: Floats, rate_hz: float, offset_s: float, count: int, out: Floats | None = None) -> Floats:
    """The waveform at `count` instants, the first `offset_s` after the first sample, then every 1/64 s.

    `samples` is float32 `(n,)` of one contiguous run without missing values; returns float32 `(count,)` (`out` if
    given, which must be contiguous). Sources slower than 64 Hz are band-limited to half their own rate. Instants
    outside the run see its mirror image; callers ask for those inside. ValueError without samples.
    """
    out = np.empty(count, np.float32) if out is None else out
    if not len(samples):
        raise ValueError("cannot resample a run without samples")
    if rate_hz == RATE_HZ and abs(offset_s * rate_hz - round(offset_s * rate_hz)) < 1e-6:
        out[:] = samples[_mirror(np.arange(count) + round(offset_s * rate_hz), len(samples))]
        return out
    ratio = Fraction(rate_hz / RATE_HZ).limit_denominator(_MAX_PERIOD)
    position = round(offset_s * rate_hz, 6)  # of the first output, in input samples
    if abs(float(ratio) - rate_hz / RATE_HZ) > 1e-12:  # would drift by more than a millionth of a sample over a night
        return _interpolate(samples, rate_hz, position, count, out)
    base = math.floor(position)
    plan = _plan(ratio, round(position - base, 6))
    rows = -(-count // plan.outputs)
    # Rows of outputs [first, stop) see samples of the run only; those before and after also its mirror image.
    first = min(max(0, -(-(plan.reach_left - base) // plan.inputs)), rows)
    stop = min(max(first, (len(samples) - base - plan.reach_right) // plan.inputs + 1), count // plan.outputs)
    if stop <= first:
        first = stop = 0
    else:
        body = out[first * plan.outputs : stop * plan.outputs].reshape(-1, plan.outputs)
        plan.apply(samples, base + first * plan.inputs, body)
    for begin, end in ((0, first), (stop, rows)):
        if begin < end:
            left = base + begin * plan.inputs - plan.reach_left
            width = plan.reach_left + (end - begin - 1) * plan.inputs + plan.reach_right
            seen = samples[_mirror(np.arange(left, left + width), len(samples))]
            edge = np.empty((end - begin, plan.outputs), np.float32)
            plan.apply(seen, plan.reach_left, edge)
            target = out[begin * plan.outputs : end * plan.outputs]
            target[:] = edge.reshape(-1)[: len(target)]
    return out


def hold(samples: Floats, valid: NDArray[np.bool_], rate_hz: float, offset_s: float, count: int) -> Floats:
    """A step channel at the same instants as `resample`: the last valid sample at or before each, without NaN.

    `valid` is bool `(n,)`; a masked sample takes the last valid one of the 30 seconds before it, else the next valid
    one, else (none in the run) zero. Returns float32 `(count,)`.
    """
    at = (np.arange(count) * (rate_hz / RATE_HZ) + (offset_s * rate_hz + 1e-6)).astype(np.int64)
    return fill(samples, valid, round(HOLD_S * rate_hz), np.minimum(at, len(samples) - 1))


def fill(samples: Floats, valid: NDArray[np.bool_], most: int, at: NDArray[np.int64]) -> Floats:
    """Samples `at` some indices; for a masked one the last valid, at most `most` before, else the next, else zero."""
    found = samples[at]
    masked = np.flatnonzero(~valid[at])
    if len(masked):
        where, index = at[masked], np.flatnonzero(valid)
        if not len(index):
            return np.zeros_like(found)
        place = np.searchsorted(index, where)
        last, following = index[np.maximum(place - 1, 0)], index[np.minimum(place, len(index) - 1)]
        held = (place > 0) & ((where - last <= most) | (place == len(index)))
        found[masked] = samples[np.where(held, last, following)]
    return found


def _mirror(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices beyond `[0, size)` reflected about the first and the last sample, as often as need be."""
    if size == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * size - 2)
    return np.minimum(index, 2 * size - 2 - index)


def _half_width(ratio: float) -> int:
    """Input samples on each side of an output: Kaiser's formula for the transition band."""
    transition = (STOP_EDGE - PASS_EDGE) * min(1.0, 1 / ratio)  # cycles per input sample
    return math.ceil((ATTENUATION_DB - 7.95) / (2.285 * 2 * math.pi * transition) / 2)


def _kernel(distance: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """The continuous filter at distances in input samples; columns are scaled to unit gain at 0 Hz by the callers."""
    cutoff = (PASS_EDGE + STOP_EDGE) / 2 * min(1.0, 1 / ratio)
    beta = 0.1102 * (ATTENUATION_DB - 8.7)
    # Less one, the window ends at zero: which sample comes last must not hang on the rounding of a position.
    window = np.i0(beta * np.sqrt(np.clip(1 - (distance / _half_width(ratio)) ** 2, 0, None))) - 1
    return np.sinc(2 * cutoff * distance) * window


@dataclass(frozen=True, slots=True)
class _Plan:
    """Weights for rows of `outputs` outputs that advance by `inputs` input samples."""

    outputs: int
    inputs: int
    reach_left: int  # samples a row needs before the one under its first output
    reach_right: int  # and from that one on
    blocks: tuple[tuple[int, int, Floats], ...]  # first output, first input, weights (inputs seen, outputs)

    def apply(self, samples: Floats, base: int, out: Floats) -> None:
        """Fill `out` `(rows, outputs)`; sample `base` lies at or just before the first output."""
        step, size = samples.strides[0], max(1, _CACHE_VALUES // self.inputs)
        for row in range(0, len(out), size):
            rows = min(size, len(out) - row)
            for output, start, weights in self.blocks:
                first = base + row * self.inputs + start
                seen = as_strided(samples[first:], (rows, len(weights)), (self.inputs * step, step), writeable=False)
                np.matmul(seen, weights, out=out[row : row + rows, output : output + weights.shape[1]])


@lru_cache(maxsize=32)
def _plan(ratio: Fraction, fraction: float) -> _Plan:
    """Rows for a ratio of rates and the place (0 to 1) of the first output between two input samples."""
    half, step = _half_width(float(ratio)), float(ratio)
    period = ratio.denominator
    block = period * -(-_BLOCK // period) if period <= 2 * _BLOCK else _BLOCK
    # Rows advance by at least what one block sees: only such views are taken by BLAS as they are.
    seen = math.ceil(block * step) + 2 * half + 1
    unit = math.lcm(period, block) if period <= 2 * _BLOCK else period
    outputs = unit * math.ceil(seen / (unit * step))
    blocks: list[tuple[int, int, Floats]] = []
    shared: Floats | None = None
    for output in range(0, outputs, block):
        # Fractions keep whole positions whole, so that blocks which begin alike share one matrix.
        exact = [k * ratio for k in range(output, min(output + block, outputs))]
        places = np.array([float(place % 1) + fraction + place // 1 for place in exact])
        start = math.floor(places[0]) - half + 1
        if shared is None or block * ratio % 1:
            width = math.floor(places[-1]) - math.floor(places[0]) + 2 * half
            weights = _kernel(places[None, :] - start - np.arange(width)[:, None], step)
            shared = np.ascontiguousarray(weights / weights.sum(axis=0), dtype=np.float32)
        blocks.append((output, start, shared))
    reach_right = max(start + len(weights) for _, start, weights in blocks)
    return _Plan(outputs, int(outputs * ratio), half, reach_right, tuple(blocks))


def _interpolate(samples: Floats, rate_hz: float, position: float, count: int, out: Floats) -> Floats:
    """The same filter for rates whose ratio to 64 Hz has no short period, from a table interpolated between phases."""
    step = rate_hz / RATE_HZ
    half = _half_width(step)
    table = _kernel(np.arange(_PHASES + 1)[:, None] / _PHASES + half - 1 - np.arange(2 * half)[None, :], step)
    table = (table / table.sum(axis=1, keepdims=True)).astype(np.float32)
    for begin in range(0, count, 4096):
        places = position + np.arange(begin, min(begin + 4096, count)) * step
        whole = np.floor(places).astype(np.int64)
        phase = (places - whole) * _PHASES
        low = phase.astype(np.int64)
        share = (phase - low).astype(np.float32)[:, None]
        seen = samples[_mirror(whole[:, None] + np.arange(1 - half, half + 1), len(samples))]
        out[begin : begin + len(places)] = np.vecdot(seen, table[low] * (1 - share) + table[low + 1] * share)
    return out
