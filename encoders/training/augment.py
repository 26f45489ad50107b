"""The same epochs as other recorders would have stored them: fewer sensors, other amplifiers, filters, rates, noise.

What is drawn holds for the whole night, so what the night says of a sensor changes with its waveform: a filtered or
noisier waveform is divided by the spread that its night would then have, reckoned from the night's median power by band
(nothing is taken to lie below 0.1 Hz or above 31 Hz, and tails to stay as heavy as they were). What the labels say
stays true: the two sensors of a pair turn round together.

The parts change their tensors in place, where a sensor is present; `augment` works on copies. Tensors are `x` float32
`(B, 12, 1920)`, `present` bool `(B, 12)` and `night` float32 `(B, 12, NIGHT)` of `encoders.models.small.inputs`, on the
device of the `torch.Generator` from which everything is drawn. A share is of epochs.
"""

import math
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

import torch
from torch import Generator, Tensor

from encoders.models.small.inputs import BANDS, FLOOR, KNOWN, LIMIT, MICROVOLTS, POWERS, SPREAD, WAVES
from encoders.recordings.epochs import BANDS_HZ, PERCENTILES
from encoders.recordings.resample import PASS_EDGE, STOP_EDGE
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES, RATE_HZ

# Drawn as below; nobody measured these, except where it says so.
EEG_ALONE: Final = 0.25  # of the epochs that lose sensors: what a headband records, and most old data sets hold
ONE_OF_PAIR: Final = 0.25  # of the pairs that stay: one of the two sensors comes off
TILT: Final = 0.15  # standard deviation of a filter's slope in log amplitude by log frequency: 0.9 dB an octave
OTHER_SPREAD: Final = 0.15  # likewise of log10 of an amplitude: electrodes, skulls and amplifiers, a factor of 1.4
OTHER_NIGHT: Final = 0.04  # likewise of a night's spread against its epochs: what else happened in it, a tenth
NOISE: Final = (0.02, 0.3)  # rms of white noise, in spreads of the night
LINE: Final = (0.03, 0.6)  # amplitude of a line, likewise
LINE_HZ: Final = (
    10.0,
    31.0,
)  # 50 and 60 Hz and their harmonics fold to anywhere: UCDDB has 150 and 100 Hz at 22 and 28
_PARTS = ("drop_sensors", "polarity", "gain", "filter", "rate", "noise", "forget_night")
_STOP_GAIN = 10 ** (-60 / 20)  # of the resampler beyond its edge
_BINS = EPOCH_SAMPLES // 2 + 1
_MEDIAN = PERCENTILES.index(50)


def augment(
    x: Tensor, present: Tensor, night: Tensor, shares: Any, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Copies of `x`, `present` and `night` with all changes made.

    `shares` has as attributes the shares of the epochs that change, any of `drop_sensors`, `polarity`, `gain`,
    `filter`, `rate`, `noise` and `forget_night` (of the sensors); one that it has not is 0.
    """
    x, present, night = x.clone(), present.clone(), night.clone()
    share = {name: float(getattr(shares, name, 0.0)) for name in _PARTS}
    drop_sensors(x, present, night, generator, share=share["drop_sensors"])
    polarity(x, present, generator, share=share["polarity"])
    gain(x, present, night, generator, share=share["gain"])
    recolour(x, present, night, generator, filter=share["filter"], rate=share["rate"])
    noise(x, present, night, generator, share=share["noise"])
    forget_night(night, generator, share=share["forget_night"])
    return x, present, night


def drop_sensors(x: Tensor, present: Tensor, night: Tensor, generator: Generator, *, share: float) -> None:
    """Take whole modalities away; how many of those present stay is drawn evenly from 1 to all. A quarter keep the EEG
    alone, where it is there, and a quarter of the pairs left keep one sensor. An epoch that had a sensor keeps one.
    """
    of = _members(present.device)
    there = (present[:, None] & of).any(-1)  # (B, modalities)
    stay = torch.ceil(_draw(present[:, :1], generator) * there.sum(1, keepdim=True)).clamp(min=1)
    kept = there & (_ranks(there, generator) < stay)
    eeg = there & torch.tensor([name == "EEG" for name in _modalities()], device=present.device)
    kept = torch.where((_draw(present[:, :1], generator) < EEG_ALONE) & eeg.any(1, keepdim=True), eeg, kept)
    stays = present & (kept[..., None] & of).any(1)
    rank = _ranks(stays, generator)  # among all sensors, and so within a pair
    first = (rank[:, None].masked_fill(~(stays[:, None] & of), len(CHANNELS)).argmin(-1, keepdim=True)) == torch.arange(
        len(CHANNELS), device=present.device
    )
    single = _draw(there, generator)[..., None] < ONE_OF_PAIR
    stays &= (of & (first | ~single)).any(1)
    stays |= _draw(present[:, :1], generator) >= share
    lost = (present & ~stays)[..., None]
    present &= stays
    x.masked_fill_(lost, 0)
    night.masked_fill_(lost, 0)


def polarity(x: Tensor, present: Tensor, generator: Generator, *, share: float) -> None:
    """Turn waveforms upside down, in the chosen epochs each modality or not."""
    turned = (_draw(present[:, :1], generator) < share) & (_by_modality(present, generator) < 0.5)
    rows, channels = _waves(turned & present)
    x[rows, channels] = -x[rows, channels]


def gain(x: Tensor, present: Tensor, night: Tensor, generator: Generator, *, share: float) -> None:
    """Another amplitude in microvolts, and a night that held more or less beside this epoch, sensor by sensor.

    `x` is divided by its night's spread, so the amplifier's gain shows only in what the night says.
    """
    rows, channels = _waves((_draw(present[:, :1], generator) < share) & present)
    other, beside = torch.randn(2, len(rows), device=x.device, generator=generator)
    _shift_spread(night, rows, channels, OTHER_SPREAD * other)
    _put(x, night, rows, channels, x[rows, channels], _powers(night, rows, channels), 10 ** (OTHER_NIGHT * beside))


def recolour(
    x: Tensor, present: Tensor, night: Tensor, generator: Generator, *, filter: float = 0.0, rate: float = 0.0
) -> None:
    """Other filters, drawn by modality (a high-pass, a low-pass and a tilt), and slower recordings; `filter` and `rate`
    are their shares. Zero phase; one response multiplies the spectra of the waveform and of its night.
    """
    filtered, slower = (_draw(present[:, :1], generator) < share for share in (filter, rate))
    rows, channels = _waves((filtered | slower) & present)
    if not len(rows):
        return
    drawn = torch.stack([_by_modality(present, generator)[rows, channels] for _ in range(6)])[..., None]
    tilt = torch.erfinv(1.98 * drawn[5] - 0.99) * math.sqrt(2)  # the same normal draw for both sensors of a pair
    hz = torch.linspace(0, RATE_HZ / 2, _BINS, device=x.device)
    high, low, stop = (_between(which, channels, u) for which, u in zip(_RANGES, drawn, strict=False))
    response = torch.ones(len(rows), _BINS, device=x.device)
    at = filtered[rows, 0].nonzero()[:, 0]
    response[at] = _analogue(hz, high[at], low[at], drawn[3:5, at] < 0.5, TILT * tilt[at])
    at = slower[rows, 0].nonzero()[:, 0]
    response[at] *= ((STOP_EDGE - hz / stop[at]) / (STOP_EDGE - PASS_EDGE)).clamp(_STOP_GAIN, 1)
    spectrum = torch.fft.rfft(x[rows, channels])
    torch.view_as_real(spectrum).mul_(response[..., None])
    waves = torch.fft.irfft(spectrum, n=EPOCH_SAMPLES)
    first, size = _bands(x.device)
    through = torch.nn.functional.pad((response**2).cumsum(1), (1, 0))
    mean = (through[:, first + size] - through[:, first]) / size
    _renormalise(x, night, rows, channels, waves, _powers(night, rows, channels) * mean[..., None])


def noise(x: Tensor, present: Tensor, night: Tensor, generator: Generator, *, share: float) -> None:
    """White noise over half of a chosen epoch's waveforms, and over half of those electrodes a line of mains hum."""
    chosen = (_draw(present[:, :1], generator) < share) & (_draw(present, generator) < 0.5)
    rows, channels = _waves(chosen & present)
    if not len(rows):
        return
    u = torch.rand(5, len(rows), 1, device=x.device, generator=generator)
    rms = NOISE[0] * (NOISE[1] / NOISE[0]) ** u[0]
    size = LINE[0] * (LINE[1] / LINE[0]) ** u[1] * ((u[2] < 0.5) & _electrodes(x.device)[channels, None])
    hz = LINE_HZ[0] + (LINE_HZ[1] - LINE_HZ[0]) * u[3]
    time_s = torch.arange(EPOCH_SAMPLES, device=x.device) / RATE_HZ
    white = torch.randn(len(rows), EPOCH_SAMPLES, device=x.device, generator=generator)
    waves = x[rows, channels] + rms * white + size * torch.sin(2 * math.pi * (hz * time_s + u[4]))
    # Log powers are 0 for white noise of unit variance; a line lies in one band.
    edges = torch.tensor(BANDS_HZ, device=x.device)
    within = (hz >= edges[:-1]) & (hz < edges[1:])
    added = rms**2 + within * size**2 / 2 * (RATE_HZ / 2) / edges.diff()
    _renormalise(x, night, rows, channels, waves, _powers(night, rows, channels) + added[..., None])


def forget_night(night: Tensor, generator: Generator, *, share: float) -> None:
    """Nothing is known of a sensor's night, or of its microvolts alone: a share of the sensors, half of them each."""
    drawn = _draw(night[..., 0], generator)
    night.masked_fill_((drawn < share / 2)[..., None], 0)
    night[..., SPREAD].masked_fill_((drawn >= share / 2) & (drawn < share), 0)


def two_subsets(present: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Two disjoint masks `(B, 12)` that share out the sensors present, whole modalities at once, of any two sizes.

    An epoch of one modality is parted within it; of one sensor, or none, the second is empty.
    """
    of = _members(present.device)
    there = (present[:, None] & of).any(-1)
    several = there.sum(1, keepdim=True) > 1
    modalities, sensors = _ranks(there, generator), _ranks(present, generator)
    rank = torch.where(several, (modalities[..., None] * of).sum(1), sensors)
    count = torch.where(several, there.sum(1, keepdim=True), present.sum(1, keepdim=True))
    size = 1 + torch.floor(_draw(present[:, :1], generator) * (count - 1))
    first = present & (rank < size)
    return first, present & ~first


def _draw(like: Tensor, generator: Generator) -> Tensor:
    """Evenly from 0 to 1, in the shape of `like`."""
    return torch.rand(like.shape, device=like.device, generator=generator)


def _ranks(there: Tensor, generator: Generator) -> Tensor:
    """A random order of what is there, from 0; what is not there comes after."""
    return (_draw(there, generator) + ~there).argsort(1).argsort(1)


def _by_modality(present: Tensor, generator: Generator) -> Tensor:
    """Evenly from 0 to 1, `(B, 12)`, one number for all sensors of a modality."""
    members = _members(present.device)
    drawn = torch.rand(len(present), len(members), device=present.device, generator=generator)
    return drawn[:, members.int().argmax(0)]


def _waves(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """(epoch, channel) of each chosen waveform; what is held in steps has neither polarity nor spectrum."""
    waves = torch.zeros(len(CHANNELS), dtype=torch.bool, device=chosen.device)
    waves[list(WAVES)] = True
    rows, channels = (chosen & waves).nonzero(as_tuple=True)
    return rows, channels


def _analogue(hz: Tensor, high_hz: Tensor, low_hz: Tensor, second: Tensor, tilt: Tensor) -> Tensor:
    """Amplitude by frequency `(pairs, bins)` of first- or second-order filters at two corners, and a slope."""
    hz = hz.clamp(min=hz[1])
    above, below = (high_hz / hz) ** 2, (hz / low_hz) ** 2
    above, below = torch.where(second[0], above * above, above), torch.where(second[1], below * below, below)
    return torch.exp(tilt * torch.log(hz.clamp(min=BANDS_HZ[0]))) * torch.rsqrt((1 + above) * (1 + below))


def _powers(night: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
    """The night's power by band and percentile, `(pairs, BANDS, 3)`, 1 that of white noise of unit variance."""
    logs = night[rows, channels, POWERS:].reshape(-1, BANDS, len(PERCENTILES))
    return torch.pow(10.0, logs)


def _renormalise(x: Tensor, night: Tensor, rows: Tensor, channels: Tensor, waves: Tensor, powers: Tensor) -> None:
    """Put waveforms whose night now has `powers`, both in the old spread's units, in units of the new spread."""
    width = _bands(x.device)[1].to(powers.dtype)
    now, before = (p[..., _MEDIAN] @ width for p in (powers, _powers(night, rows, channels)))
    _put(x, night, rows, channels, waves, powers, (now / before).sqrt())


def _put(
    x: Tensor, night: Tensor, rows: Tensor, channels: Tensor, waves: Tensor, powers: Tensor, spread: Tensor
) -> None:
    """Waveforms and powers divided by a new spread `(pairs,)` of 1 where it stays; what is unknown stays unknown."""
    x[rows, channels] = (waves / spread[:, None]).clamp(-LIMIT, LIMIT)
    logs = (powers.log10() - 2 * spread.log10()[:, None, None]).clamp(min=FLOOR).flatten(1)
    known = night[rows, channels, KNOWN] > 0
    night[rows[known], channels[known], POWERS:] = logs[known]
    _shift_spread(night, rows, channels, spread.log10())


def _shift_spread(night: Tensor, rows: Tensor, channels: Tensor, shift: Tensor) -> None:
    """Add to the log spread in microvolts, where one is known (0 is the mark of none)."""
    spread = night[rows, channels, SPREAD]
    night[rows, channels, SPREAD] = torch.where(
        (spread != 0) & torch.isin(channels, torch.tensor(MICROVOLTS, device=channels.device)), spread + shift, spread
    )


@cache
def _modalities() -> dict[str, dict[str, Any]]:
    table = tomllib.loads((files("encoders.training") / "augment.toml").read_text("utf-8"))["modality"]
    assert sorted(c for facts in table.values() for c in facts["channels"]) == sorted(CHANNELS)
    return dict(table)


_RANGES = ("high_pass_hz", "low_pass_hz", "rate_hz")


@cache
def _members(device: torch.device) -> Tensor:
    """Which sensors a modality has, bool `(modalities, 12)`."""
    return torch.tensor([[c in facts["channels"] for c in CHANNELS] for facts in _modalities().values()], device=device)


def _of_channel(name: str, otherwise: Any) -> list[Any]:
    facts = _modalities().values()
    return [next(f.get(name, otherwise) for f in facts if c in f["channels"]) for c in CHANNELS]


@cache
def _range(which: str, device: torch.device) -> Tensor:
    return torch.tensor(_of_channel(which, [1.0, 1.0]), device=device).log()


def _between(which: str, channels: Tensor, drawn: Tensor) -> Tensor:
    """`drawn` from 0 to 1 as a place in a range of augment.toml, on a logarithmic scale; `(pairs, 1)`."""
    low, high = _range(which, channels.device)[channels].T[..., None]
    return torch.exp(low + drawn * (high - low))


@cache
def _electrodes(device: torch.device) -> Tensor:
    return torch.tensor(_of_channel("lines", False), device=device)


@cache
def _bands(device: torch.device) -> tuple[Tensor, Tensor]:
    """First bin of each band in an epoch's spectrum, as `epochs.band_log_power` counts them, and how many it has."""
    hz = torch.arange(_BINS, device=device, dtype=torch.float64) * RATE_HZ / EPOCH_SAMPLES
    edges = torch.searchsorted(hz, torch.tensor(BANDS_HZ, device=device, dtype=torch.float64))
    return edges[:-1], edges.diff()
