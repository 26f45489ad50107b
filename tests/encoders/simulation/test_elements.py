"""What the graphoelements promise: where they come, how they look, and how they change with age."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from encoders.simulation.draws import N1, N2, N3, REM, Floats, TruthEvent, constants
from encoders.simulation.elements import plan_elements, sprinkle
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.waves import element_fields

RATE_HZ = 100


@pytest.fixture(scope="module")
def night() -> Night:
    return plan_night(12, draw_subject(12, 0), 0, 0, 960)


@pytest.fixture(scope="module")
def fields(night: Night) -> dict[str, Floats]:
    return _fields(night, RATE_HZ)


def _fields(night: Night, rate_hz: int, *names: str) -> dict[str, Floats]:
    events = night.named(*names) if names else night.events
    return element_fields(night.key, night.subject, events, round(night.duration_s * rate_hz), rate_hz)


def _over(samples: Floats, event: TruthEvent) -> Floats:
    return samples[round(event.start_s * RATE_HZ) : round(event.stop_s * RATE_HZ) + 1]


def test_elements_keep_to_their_stages_and_lengths(night: Night) -> None:
    stages = {
        "spindle": {N2, N3}, "K-complex": {N2}, "slow wave": {N2, N3}, "vertex wave": {N1, N2}, "sawtooth wave": {REM},
    }  # fmt: skip
    for name, allowed in stages.items():
        shortest, _, longest = constants("elements")[name.replace(" ", "-")]["length_s"]
        events = night.named(name)
        assert len(events) >= 10
        for event in events:
            assert set(night.stages[int(event.start_s // 30) : int(event.stop_s // 30) + 1]) <= allowed
            assert shortest - 0.01 <= event.stop_s - event.start_s <= longest + 0.01


def test_events_of_one_kind_do_not_overlap(night: Night) -> None:
    for name in ("spindle", "K-complex", "slow wave", "vertex wave", "sawtooth wave"):
        events = night.named(name)
        assert all(a.stop_s <= b.start_s for a, b in pairwise(events))


def test_n3_epochs_hold_six_seconds_of_slow_waves_and_n2_epochs_do_not(night: Night) -> None:
    covered = np.zeros(len(night.stages))
    for event in night.named("slow wave", "K-complex"):
        covered[int(event.start_s // 30)] += event.stop_s - event.start_s
    arousals = {int(t // 30) for a in night.named("arousal") for t in (a.start_s, a.stop_s)}
    calm = np.array([i not in arousals for i in range(len(covered))])
    assert (covered[(night.stages == N3) & calm] >= 6).mean() > 0.95
    assert (covered[night.stages == N2] < 6).mean() > 0.95


def test_slow_waves_measure_over_75_uv_frontally(night: Night) -> None:
    slow = _fields(night, RATE_HZ, "slow wave")["slow"] * constants("elements")["electrodes"]["F3"]["slow"]
    sizes = [np.ptp(_over(slow, event)) for event in night.named("slow wave")]
    assert np.mean(np.array(sizes) > 74) > 0.99 and 90 < np.median(sizes) < 140
    first = _over(slow, night.named("slow wave")[0])
    assert first.argmin() < first.argmax()  # negative, then positive


def test_spindles_wax_and_wane_at_eleven_to_sixteen_hz(night: Night) -> None:
    fields = _fields(night, RATE_HZ, "spindle")
    both = fields["sigma"] + fields["frontal"]
    found = []
    for event in night.named("spindle"):
        samples = _over(both, event)
        power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1024))
        found.append(
            (power.argmax() * RATE_HZ / 1024, np.ptp(samples), np.abs(samples[:8]).max(), np.abs(samples).max())
        )
    hz, size, edge, peak = np.array(found).T
    assert ((hz > 10.5) & (hz < 15)).mean() > 0.98 and 0.05 < (hz < 12).mean() < 0.4
    assert 25 < np.median(size) < 80 and size.std() > 5
    assert np.median(edge / peak) < 0.7


def test_fast_spindles_are_central_and_slow_ones_frontal() -> None:
    gains = constants("elements")["electrodes"]
    assert gains["C3"]["sigma"] > gains["F3"]["sigma"] > gains["O1"]["sigma"]
    assert gains["F3"]["frontal"] > gains["C3"]["frontal"] > gains["O1"]["frontal"]


def test_some_spindles_ride_the_up_state_after_a_slow_wave_or_k_complex(night: Night) -> None:
    riding = [s for s in night.named("spindle") if s.cause]
    assert 0.05 < len(riding) / len(night.named("spindle")) < 0.5
    for spindle in riding:
        assert any(w.start_s < spindle.start_s < w.stop_s + 0.3 for w in night.named(str(spindle.cause)))


def test_sawtooth_waves_often_announce_a_burst_of_eye_movements(night: Night) -> None:
    looks = np.array([e.start_s for e in night.named("rapid eye movement")])
    lag = [np.min(np.abs(looks - e.stop_s)) for e in night.named("sawtooth wave")]
    assert np.mean(np.array(lag) < 0.6) > 0.3


def test_spindles_and_slow_waves_shrink_with_age(night: Night) -> None:
    sizes, counts = [], []
    for age, gain in ((22, 1.2), (75, 0.75)):
        subject = replace(night.subject, age_years=age, slow_wave_gain=gain)
        events = plan_elements(
            night.key, subject, night.stages, night.named("arousal"), night.named("rapid eye movement")
        )
        counts.append([sum(e.name == name for e in events) for name in ("spindle", "slow wave")])
        fields = element_fields(night.key, subject, events, 960 * 3000, RATE_HZ)
        sizes.append([np.percentile(np.abs(fields[name]), 99) for name in ("sigma", "slow")])
    assert np.all(np.array(counts[0]) > 1.1 * np.array(counts[1]))
    assert np.all(np.array(sizes[0]) > 1.08 * np.array(sizes[1]))


def test_waves_are_the_same_at_every_rate(night: Night, fields: dict[str, Floats]) -> None:
    for name, samples in _fields(night, 2 * RATE_HZ).items():
        assert np.allclose(samples[::2], fields[name], atol=0.05)
        assert np.isfinite(samples).all()


def test_sprinkling_keeps_the_rate_the_gap_and_the_bars() -> None:
    per_s = np.where(np.arange(20000) % 100 < 80, 0.2, 0.0)
    facts = {"length_s": [0.5, 1.0, 2.0], "gap_s": 1.0}
    spans = sprinkle(np.random.default_rng(0), per_s, facts)
    assert abs(len(spans) / 16000 - 0.2) < 0.03
    assert (spans[1:, 0] - spans[:-1, 1]).min() >= 1.0
    assert (spans[:, 0] % 100 < 80).all() and (spans[:, 1] % 100 < 80).all()
    longest = np.where(per_s > 0, 3.0, np.inf)
    held = sprinkle(np.random.default_rng(0), per_s / 100, facts, longest)
    within = np.floor(held[1:, 0] / 100) == np.floor(held[:-1, 0] / 100)
    assert (held[1:, 0] - held[:-1, 1])[within].max() <= 4.0 + 1e-6
