"""Display filters without phase: forwards and backwards over the samples, as scipy does it, or block by block.

scipy takes samples one after the other, each waiting for the one before. Of a long stretch the same response is a sum:
what the samples of a block do to each other is one matrix; what blocks before and after do decays with the filter's
poles, one number a pole. Sums of blocks are taken by the processor's matrix product, five times as fast.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SETTLED: Final = 3.0  # periods of the lowest frequency after which what was not read changes nothing (1e-5)
NOTCH_S: Final = 4.0  # the same for the notch
_BLOCK: Final = 32
_GONE: Final = 1e-9  # of what was there, too little to be seen
_LONG: Final = 8  # stretches of so many times what settles are filtered by blocks

Floats = NDArray[np.float32]
Complex = NDArray[np.complex128]


def settle_s(band_hz: tuple[float, float] | None, notch_hz: float | None) -> float:
    """Seconds beside a stretch that have to be filtered with it."""
    return max(SETTLED / band_hz[0] if band_hz else 0.0, NOTCH_S if notch_hz else 0.0)


def filtered(
    samples: Floats,
    rate_hz: float,
    band_hz: tuple[float, float] | None,
    notch_hz: float | None = None,
    *,
    begins: bool = True,
    ends: bool = True,
) -> Floats:
    """Samples after a display filter without phase; as they are where the rate is too low for it, or a second long.

    `begins`, `ends`: whether the signal does so there. Where it goes on, what lies within `settle_s` is not to be used.
    """
    sections = _sections(band_hz, notch_hz, rate_hz)
    if sections is None or len(samples) <= max(rate_hz, 6 * len(sections) + 3):
        return samples
    settled = int(settle_s(band_hz, notch_hz) * rate_hz)
    if len(samples) < _LONG * settled or not np.isfinite(samples).all():
        return _plainly(sections, samples)
    passed = _by_blocks(_blocks_of(band_hz, notch_hz, rate_hz), samples)
    if begins:  # how an end is continued is scipy's to say
        passed[:settled] = _plainly(sections, samples[: 2 * settled])[:settled]
    if ends:
        passed[-settled:] = _plainly(sections, samples[-2 * settled :])[-settled:]
    return passed


@lru_cache(maxsize=128)
def _sections(band_hz: tuple[float, float] | None, notch_hz: float | None, rate_hz: float) -> NDArray[Any] | None:
    from scipy.signal import butter, iirnotch, tf2sos  # a second to import, for pages alone

    found = []
    if band_hz is not None and (high := min(band_hz[1], 0.45 * rate_hz)) > band_hz[0]:
        found.append(butter(2, [band_hz[0], high], "bandpass", fs=rate_hz, output="sos"))
    if notch_hz is not None and notch_hz < 0.45 * rate_hz:
        found.append(tf2sos(*iirnotch(notch_hz, 30.0, fs=rate_hz)))
    return np.concatenate(found) if found else None


def _plainly(sections: NDArray[Any], samples: Floats) -> Floats:
    from scipy.signal import sosfiltfilt

    passed: Floats = sosfiltfilt(sections, samples).astype(np.float32)
    return passed


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A filter as matrices over blocks of `_BLOCK` samples.

    into: `(block, sums)`, the sums by which a block reaches others: forwards and then backwards, of each pole the real
    and the imaginary part. onto: `(block + sums, block)`, what becomes of a block, of its own samples and of the sums
    that reach it. decay: of each pole over one block. level: what becomes of a constant.
    """

    into: Floats
    onto: Floats
    decay: Complex
    level: float


@lru_cache(maxsize=128)
def _blocks_of(band_hz: tuple[float, float] | None, notch_hz: float | None, rate_hz: float) -> _Blocks:
    from scipy.linalg import toeplitz
    from scipy.signal import sos2zpk, sosfreqz

    sections = _sections(band_hz, notch_hz, rate_hz)
    zeros, poles, gain = sos2zpk(sections)
    # H(z) = direct + sum of parts / (1 - pole / z); H(z) H(1/z) answers n samples away by the sum of reach * pole^n.
    others = 1 - poles[None] / poles[:, None]
    np.fill_diagonal(others, 1)
    parts = gain * np.prod(1 - zeros[None] / poles[:, None], axis=1) / np.prod(others, axis=1)
    direct = gain * np.prod(zeros) / np.prod(poles)
    reach = parts * ((parts / (1 - poles[:, None] * poles)).sum(axis=1) + direct)
    after = poles[:, None] ** np.arange(_BLOCK + 1)
    response = (reach[:, None] * after).sum(axis=0).real
    response[0] += (direct * (direct + parts.sum())).real
    half = poles.imag > 0  # the others are their conjugates
    after, reach = after[half], 2 * reach[half]
    into = np.stack([after[:, _BLOCK - 1 :: -1], after[:, :_BLOCK]])  # to the last sample; back to the first
    out = np.stack([reach[:, None] * after[:, 1:], reach[:, None] * after[:, :0:-1]])
    sums = np.stack([into.real, into.imag], axis=2).reshape(-1, _BLOCK)
    onto = np.concatenate([toeplitz(response[:_BLOCK]), np.stack([out.real, -out.imag], axis=2).reshape(-1, _BLOCK)])
    level = float(np.abs(sosfreqz(sections, [0.0])[1][0]) ** 2)
    return _Blocks(np.ascontiguousarray(sums.T, np.float32), onto.astype(np.float32), after[:, _BLOCK], level)


def _by_blocks(blocks: _Blocks, samples: Floats) -> Floats:
    """The filter over samples that are continued by their mean."""
    from scipy.signal import lfilter

    n, poles, mean = len(samples), len(blocks.decay), samples.mean()
    rows, rest = divmod(n, _BLOCK)
    # A row a block: its samples, and the sums that reach it from before and from after.
    given = np.zeros((rows + bool(rest), _BLOCK + 4 * poles), np.float32)
    own, reached = given[:, :_BLOCK], given[:, _BLOCK:].reshape(-1, 2, poles, 2)
    np.subtract(samples[: n - rest].reshape(rows, _BLOCK), mean, out=own[:rows])
    own[rows:, :rest] = samples[n - rest :] - mean
    sums = (own @ blocks.into).T.reshape(2, poles, 2, -1)
    for pole, decay in enumerate(blocks.decay):
        whole = sums[:, pole, 0] + 1j * sums[:, pole, 1]
        if abs(decay) > _GONE:
            whole[1] = whole[1, ::-1]
            whole = lfilter([1.0], [1.0, -decay], whole)
            whole[1] = whole[1, ::-1]
        for way, (after, before) in enumerate(((slice(1, None), slice(-1)), (slice(-1), slice(1, None)))):
            reached[after, way, pole, 0], reached[after, way, pole, 1] = (
                whole[way, before].real,
                whole[way, before].imag,
            )
    passed: Floats = given @ blocks.onto
    if blocks.level > _GONE:
        passed += np.float32(blocks.level * mean)
    return passed.reshape(-1)[:n]
