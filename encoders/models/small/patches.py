"""What a patch (two seconds of one sensor) and a whole epoch of one sensor hold, as numbers: fixed, not learnt.

Spectra are blind to phase, polarity and a shift in time, so that few nights suffice to learn from; the waveform at
8 samples a second keeps what spectra lose: eyes that move against each other, the shape of a breath, a falling SpO2.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from encoders.models.small.inputs import FLOOR, POS
from encoders.vocabulary import EPOCH_SAMPLES, POSITIONS, RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = 15
STEP_SAMPLES = EPOCH_SAMPLES // STEPS  # 128, two seconds
WINDOW = 2 * STEP_SAMPLES  # spectra look a second to each side
SLOW_RATE_HZ = 8.0
_SLOW = int(RATE_HZ / SLOW_RATE_HZ)
# Edges in Hz of a patch's bands: as fine as four seconds allow where rhythms differ, coarser above.
PATCH_EDGES_HZ = (
    *(0.25 * i for i in range(1, 17)),
    *(4.5 + 0.5 * i for i in range(24)),
    *(17.0 + i for i in range(15)),
)
EPOCH_EDGES_HZ = tuple(i / 30 for i in range(2, 46))  # breathing and its changes, up to 1.5 Hz
LAGS = (int(0.3 * 32), int(2.0 * 32))  # of an envelope at 32 Hz: heart beats 30 to 200 a minute
PATCH_FEATURES = len(PATCH_EDGES_HZ) - 1 + STEP_SAMPLES // _SLOW + 2 + len(POSITIONS)
EPOCH_FEATURES = len(EPOCH_EDGES_HZ) - 1 + LAGS[1] - LAGS[0] + 8


def patch_features(x: Tensor) -> Tensor:
    """Of `x` `(n, 12, 1920)`: `(n, 12, 15, PATCH_FEATURES)`; roughly of unit size."""
    n, channels, _ = x.shape
    padded = functional.pad(x.flatten(0, 1), (STEP_SAMPLES // 2, STEP_SAMPLES // 2), mode="reflect")
    windows = padded.unfold(1, WINDOW, STEP_SAMPLES)  # (n * 12, 15, 256)
    power = _band_power(windows, PATCH_EDGES_HZ)
    steps = x.reshape(n, channels, STEPS, STEP_SAMPLES)
    slow = steps.reshape(n, channels, STEPS, -1, _SLOW).mean(-1).clamp(-5, 5)
    size = 0.5 * torch.log10(steps.var(-1) + 1e-4)
    peak = torch.log10(steps.abs().amax(-1) + 1e-2)
    codes = torch.zeros(n, channels, STEPS, len(POSITIONS), device=x.device, dtype=x.dtype)
    held = steps[:, POS, :, STEP_SAMPLES // 2].round().long().clamp(0, len(POSITIONS) - 1)
    codes[:, POS] = functional.one_hot(held, len(POSITIONS)).to(x.dtype)
    return torch.cat([power.reshape(n, channels, STEPS, -1), slow, torch.stack([size, peak], -1), codes], -1)


def epoch_features(x: Tensor) -> Tensor:
    """Of `x` `(n, 12, 1920)`: `(n, 12, EPOCH_FEATURES)`: slow rhythms over 30 s, the beat of an envelope, levels."""
    slow = _band_power(x, EPOCH_EDGES_HZ)
    envelope = functional.avg_pool1d(x.diff(dim=-1, append=x[..., -1:]).abs(), 2)  # 32 Hz
    envelope = (envelope - envelope.mean(-1, keepdim=True)).clamp(max=3.0)
    spectrum = torch.fft.rfft(envelope, n=2 * envelope.shape[-1])
    correlation = torch.fft.irfft(spectrum.real**2 + spectrum.imag**2)
    beat = correlation[..., LAGS[0] : LAGS[1]] / (correlation[..., :1] + 1e-3)
    short = functional.avg_pool1d(x, 64)  # seconds
    levels = torch.stack(
        [
            short.mean(-1), short.amin(-1), short.amax(-1), short[..., :10].mean(-1), short[..., -10:].mean(-1),
            0.5 * torch.log10(x.var(-1) + 1e-4), torch.log10(x.abs().amax(-1) + 1e-2), short.std(-1),
        ], -1,
    )  # fmt: skip
    return torch.cat([slow, beat, levels.clamp(-10, 10)], -1)


def _band_power(windows: Tensor, edges_hz: "Sequence[float]") -> Tensor:
    """Log10 of the mean power in each band under a Hann window, 0 for white noise of unit variance, scaled by half."""
    length = windows.shape[-1]
    hann = torch.hann_window(length, periodic=False, device=windows.device, dtype=windows.dtype)
    spectrum = torch.fft.rfft((windows - windows.mean(-1, keepdim=True)) * hann)
    power = (spectrum.real**2 + spectrum.imag**2) / (0.375 * length)
    edges = [round(edge * length / RATE_HZ) for edge in edges_hz]
    total = functional.pad(power.cumsum(-1), (1, 0))
    width = torch.tensor([b - a for a, b in pairwise(edges)], device=power.device)
    mean = (total[..., edges[1:]] - total[..., edges[:-1]]) / width
    return 0.5 * torch.log10(mean.clamp(min=10.0**FLOOR))
