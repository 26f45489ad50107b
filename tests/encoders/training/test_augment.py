from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from encoders.models.small.inputs import FLOOR, KNOWN, NIGHT, POWERS, SPREAD, WAVES, prepare
from encoders.recordings import build_epochs
from encoders.recordings.epochs import BANDS_HZ, band_log_power
from encoders.recordings.timeline import Run
from encoders.training.augment import (
    augment,
    drop_sensors,
    forget_night,
    gain,
    noise,
    polarity,
    recolour,
    two_subsets,
)
from encoders.vocabulary import CHANNELS, EPOCH_SAMPLES

MODALITIES = (("ECG", "HR"), ("ABD", "THX"), ("AF",), ("EOG_L", "EOG_R"), ("EEG_C3", "EEG_C4"), ("EMG_CHIN",),
              ("POS",), ("SPO2",))  # fmt: skip
STEPS = [c for c in range(len(CHANNELS)) if c not in WAVES]
C3, C4, AF = (CHANNELS.index(name) for name in ("EEG_C3", "EEG_C4", "AF"))
EVERY = SimpleNamespace(drop_sensors=1, polarity=1, gain=1, filter=1, rate=1, noise=1, forget_night=0.3)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def a_batch(n: int = 200, chance: float = 0.6, samples: int = EPOCH_SAMPLES) -> tuple[Tensor, Tensor, Tensor]:
    """White noise of unit variance, of which a night says just that; sensors missing by chance."""
    present = torch.rand(n, len(CHANNELS), generator=draws(1)) < chance
    x = torch.randn(n, len(CHANNELS), samples, generator=draws(2)) * present[..., None]
    night = torch.zeros(n, len(CHANNELS), NIGHT)
    night[..., KNOWN] = present.float()
    night[..., SPREAD] = 0.3 * present * torch.isin(torch.arange(len(CHANNELS)), torch.tensor([4, 5, 6, 7, 8]))
    return x, present, night


def indices(sensors: tuple[str, ...]) -> list[int]:
    return [CHANNELS.index(sensor) for sensor in sensors]


def test_no_epoch_loses_its_last_sensor_and_none_gains_one() -> None:
    x, present, night = a_batch(1000, 0.3, 4)
    left, had = present.clone(), present.any(1)
    drop_sensors(x, left, night, draws(), share=1.0)
    assert (left <= present).all() and torch.equal(left.any(1), had) and not had.all()
    assert (x[~left] == 0).all() and (night[~left] == 0).all()
    assert (x[left].abs().amax(-1) > 0).all() and (night[left][:, KNOWN] == 1).all()


def test_whole_modalities_go_any_number_of_them_and_eeg_often_stays_alone() -> None:
    x, present, night = a_batch(2000, 1.1, 4)
    left = present.clone()
    drop_sensors(x, left, night, draws(), share=1.0)
    there = np.array([[bool(row[indices(m)].any()) for m in MODALITIES] for row in left])
    sizes = np.bincount(there.sum(1), minlength=9)
    assert (sizes[1:] > 100).all()
    eeg = [m[0][:3] for m in MODALITIES].index("EEG")
    assert 0.2 < (there[:, eeg] & (there.sum(1) == 1)).mean() < 0.35
    both = left[there[:, eeg]][:, [C3, C4]]
    assert 0.65 < both.all(1).float().mean() < 0.85 and both.any(1).all()


def test_only_the_share_asked_for_loses_sensors() -> None:
    x, present, night = a_batch(2000, 1.1, 4)
    left = present.clone()
    drop_sensors(x, left, night, draws(), share=0.3)
    assert 0.2 < (left != present).any(1).float().mean() < 0.3


def test_polarity_flips_exactly_and_pairs_together() -> None:
    x, present, _ = a_batch()
    flipped = x.clone()
    polarity(flipped, present, draws(), share=0.7)
    sign = torch.where((flipped == x).all(-1), 1, -1)
    assert torch.equal(flipped, x * sign[..., None])
    assert (sign[:, STEPS] == 1).all() and 0.2 < (sign[present] == -1).float().mean() < 0.4
    for pair in (m for m in MODALITIES if len(m) == 2 and "HR" not in m):
        there = present[:, indices(pair)].all(1)
        assert (sign[there][:, indices(pair)].float().std(1) == 0).all()


def test_absent_sensors_and_steps_are_touched_by_nothing() -> None:
    x, present, night = a_batch()
    x1, present1, night1 = augment(x, present, night, SimpleNamespace(**{**vars(EVERY), "drop_sensors": 0}), draws())
    assert torch.equal(present1, present)
    assert (x1[~present] == 0).all() and (night1[~present] == 0).all()
    assert torch.equal(x1[:, STEPS], x[:, STEPS])
    changed = (x1 != x).any(-1)[:, list(WAVES)][present[:, list(WAVES)]]
    assert changed.all() and torch.isfinite(x1).all() and torch.isfinite(night1).all()


def test_copies_are_changed_and_nothing_where_no_share_is_asked_for() -> None:
    x, present, night = a_batch(20)
    before = [t.clone() for t in (x, present, night)]
    same = augment(x, present, night, SimpleNamespace(), draws())
    augment(x, present, night, EVERY, draws())
    for kept, mine, given in zip(before, same, (x, present, night), strict=True):
        assert torch.equal(kept, given) and torch.equal(kept, mine)


def test_the_same_generator_gives_the_same_batch() -> None:
    batch = a_batch(20)
    for one, two in zip(augment(*batch, EVERY, draws(3)), augment(*batch, EVERY, draws(3)), strict=True):
        assert torch.equal(one, two)


def test_a_slower_recording_has_no_power_above_half_its_rate() -> None:
    x, present, night = a_batch(100, 1.1)
    recolour(x, present, night, draws(), rate=1.0)
    power = np.abs(np.fft.rfft(x[:, AF].numpy())) ** 2
    hz = np.arange(power.shape[1]) / 30
    assert (power[:, hz > 16.2].sum(1) < 1e-4 * power.sum(1)).all()  # airflow at 32 Hz or less
    cut = [hz[row > 1e-3 * row.max()].max() for row in power]
    assert min(cut) < 4 and max(cut) > 12
    assert (night[:, AF, POWERS:].view(100, -1, 3)[:, -2:] < -4).all()  # from 20 Hz on
    assert torch.allclose(x[:, AF].var(-1), torch.ones(100), atol=0.35)  # in units of its own night again


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("filter_share", "rate_share"), [(1, 0), (0, 1), (1, 1)])
def test_a_filtered_night_is_what_filtering_the_night_gives(seed: int, filter_share: int, rate_share: int) -> None:
    """The dumb twin filters every sample of a night and prepares it anew; the response is read off an impulse."""
    n = 40
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n * EPOCH_SAMPLES))
    hz = np.fft.rfftfreq(n * EPOCH_SAMPLES, 1 / 64)
    eeg = np.fft.irfft(spectrum / np.maximum(hz, 0.3)).astype(np.float32)
    eeg *= 20 / eeg.std()

    def prepared(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        night = SimpleNamespace(
            runs=lambda channel: [Run(0.0, 64.0, samples)] if channel == "EEG_C3" else [],
            flags=lambda channel: [], oximeter_status=list,
        )  # fmt: skip
        inputs = prepare(build_epochs(night, np.arange(n) * 30.0))
        assert inputs.present[:, C3].all()
        return inputs.x[:, C3], inputs.night[C3]

    before, said = prepared(eeg)
    x = torch.zeros(1, len(CHANNELS), EPOCH_SAMPLES)
    x[0, C3] = torch.from_numpy(before[7])
    x[0, C4, 0] = 5.0  # both sensors of a pair are filtered alike
    present = torch.zeros(1, len(CHANNELS), dtype=torch.bool)
    present[0, [C3, C4]] = True
    night = torch.zeros(1, len(CHANNELS), NIGHT)
    night[0, [C3, C4]] = torch.from_numpy(said)
    recolour(x, present, night, draws(seed), filter=filter_share, rate=rate_share)

    response = np.abs(np.fft.rfft(x[0, C4].numpy()))
    alone = np.fft.irfft(np.fft.rfft(eeg.reshape(n, -1)) * response / response.max()).astype(np.float32)
    after, twin = prepared(alone.reshape(-1))
    mine = x[0, C3].numpy()
    assert np.corrcoef(mine, after[7])[0, 1] > 0.999
    assert 0.9 < mine.std() / after[7].std() < 1.1
    heard = twin[POWERS:] > FLOOR + 1.5  # deeper, a Hann window hears its neighbours
    assert heard.sum() > 15
    off = np.abs(night[0, C3, POWERS:].numpy()[heard] - twin[POWERS:][heard])
    assert off.mean() < 0.1 and off.max() < 0.3  # the most in the band that a filter's edge crosses


def test_what_noise_adds_is_said_of_the_night() -> None:
    x, present, night = a_batch(400, 1.1)
    noise(x, present, night, draws(), share=1.0)
    said = night[:, C3, POWERS:].view(400, -1, 3)[..., 1].numpy()
    found = band_log_power(x[:, C3].numpy()) - np.log10(0.375 * EPOCH_SAMPLES)
    lines = (said > 0.1).any(1)
    assert 10 < lines.sum() < 50  # half of the sensors have noise, half of those a line, a quarter of them a loud one
    high = np.array(BANDS_HZ[:-1]) >= 8
    assert np.abs(said[:, high] - found[:, high]).mean() < 0.06
    assert (found[lines][:, high].argmax(1) == said[lines][:, high].argmax(1)).mean() > 0.8  # or its neighbour
    assert torch.allclose(x[:, C3].var(-1), torch.ones(400), atol=0.15)
    assert (night[:, AF, POWERS:].abs() < 1e-4).all()  # white noise over white noise; a belt has no electrodes


def test_gain_moves_microvolts_where_they_are_known_and_power_with_the_waveform() -> None:
    x, present, night = a_batch(400, 1.1)
    night[::2, C3, SPREAD] = 0.0
    before = x.clone()
    gain(x, present, night, draws(), share=1.0)
    assert (night[::2, C3, SPREAD] == 0).all() and (night[:, AF, SPREAD] == 0).all()
    moved = night[1::2, C3, SPREAD] - 0.3
    assert 0.1 < moved.std() < 0.2
    change = torch.log10(x[:, C3].var(-1) / before[:, C3].var(-1))
    assert torch.allclose(change[:, None], night[:, C3, POWERS:], atol=1e-3) and change.std() > 0.05


def test_a_forgotten_night_is_all_unknown_or_its_microvolts_alone() -> None:
    _, _, night = a_batch(1000, 1.1, 4)
    night[..., POWERS:] = 0.5
    before = night.clone()
    forget_night(night, draws(), share=0.4)
    gone = (night == 0).all(-1)
    unit = (night[..., SPREAD] == 0) & ~gone
    assert 0.15 < gone.float().mean() < 0.25
    assert 0.15 < unit[:, C3].float().mean() < 0.25
    expected = torch.where(gone[..., None], torch.zeros(()), before)
    expected[..., SPREAD] = torch.where(unit, torch.zeros(()), expected[..., SPREAD])
    assert torch.equal(night, expected)


def test_two_subsets_share_out_whole_modalities() -> None:
    _, present, _ = a_batch(2000, 0.35, 4)
    first, second = two_subsets(present, draws())
    assert not (first & second).any() and torch.equal(first | second, present)
    sizes = set()
    for have, one, two in zip(present, first, second, strict=True):
        parts = [m for m in MODALITIES if have[indices(m)].any()]
        if len(parts) > 1:
            assert one.any() and two.any()
            assert not any(one[indices(m)].any() and two[indices(m)].any() for m in parts)
            sizes.add((len(parts), sum(bool(one[indices(m)].any()) for m in parts)))
        elif have.sum() > 1:
            assert one.any() and two.any()
        else:
            assert torch.equal(one, have) and not two.any()
    assert {(5, k) for k in range(1, 5)} <= sizes
