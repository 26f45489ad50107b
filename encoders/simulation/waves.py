"""The shapes that graphoelements and blinks give the EEG."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import Floats, TruthEvent, add_waves, constants, stream
from encoders.simulation.elements import SLOW_TURN
from encoders.simulation.eyes import blinks
from encoders.simulation.people import Subject

Shape = Callable[[NDArray[np.intp], Floats], Floats]
RIM = 0.2  # of a spindle's length, on either side of where a scorer would mark it


def element_fields(
    key: tuple[int | str, ...], subject: Subject, elements: Sequence[TruthEvent], samples: int, rate_hz: int
) -> dict[str, Floats]:
    """Graphoelements and blinks as fields `(samples,)` in uV, one for each topography of `[elements.electrodes]`."""
    fields = {name: np.zeros(samples, np.float32) for name in ("slow", "sigma", "frontal", "vertex")}
    makers = {"K-complex": _k_complex, "slow wave": _slow_wave, "vertex wave": _vertex, "sawtooth wave": _sawtooth}
    for name, maker in makers.items():
        chosen = [e for e in elements if e.name == name]
        length = np.array([e.stop_s - e.start_s for e in chosen], np.float32)
        field = {"vertex wave": "vertex", "sawtooth wave": "sigma"}.get(name, "slow")
        add_waves(fields[field], rate_hz, chosen, maker(stream(*key, "element", name), subject, length))
    spindles = [_widened(e) for e in elements if e.name == "spindle"]
    length = np.array([e.stop_s - e.start_s for e in spindles], np.float32)
    for field, shape in _spindle(stream(*key, "element", "spindle"), key, subject, length).items():
        add_waves(fields[field], rate_hz, spindles, shape)
    return {**fields, "eyes": blinks(key, elements, samples, rate_hz)}


def _widened(event: TruthEvent) -> TruthEvent:
    """With the faint rims that a scorer leaves out."""
    rim = RIM * (event.stop_s - event.start_s)
    return replace(event, start_s=event.start_s - rim, stop_s=event.stop_s + rim)


def _sizes(rng: np.random.Generator, n: int, median: float, log_sd: float) -> Floats:
    sizes: Floats = (median * np.exp(log_sd * rng.standard_normal(n))).astype(np.float32)
    return sizes


def _biphasic(ptp: Floats, down: Floats, turn: Floats, u: Floats) -> Floats:
    """A negative half sine of share `down` of the peak to peak until `turn`, then a positive one; `u` is 0 to 1."""
    early = u < turn
    half = np.sin(np.pi * np.where(early, u / turn, (u - turn) / (1 - turn)))
    return ptp * half * np.where(early, -down, 1 - down)


def _slow_wave(rng: np.random.Generator, subject: Subject, length: Floats) -> Shape:
    facts = constants("elements")["slow-wave"]
    n = len(length)
    shape, scale = facts["over_75_uv"]
    frontal = (75 + rng.gamma(shape, scale * subject.slow_wave_gain**0.5, n)) / facts["recorded_share"]
    ptp = (frontal / constants("elements")["electrodes"]["F3"]["slow"]).astype(np.float32)
    down, turn = rng.normal(0.56, 0.04, n).astype(np.float32), rng.normal(SLOW_TURN, 0.04, n).astype(np.float32)
    return lambda i, t: _biphasic(ptp[i], down[i], turn[i], t / length[i])


def _k_complex(rng: np.random.Generator, subject: Subject, length: Floats) -> Shape:
    n = len(length)
    ptp = _sizes(rng, n, *constants("elements")["K-complex"]["peak_to_peak_uv"]) * np.float32(
        subject.slow_wave_gain**0.5
    )
    # Sharper than a slow wave: the negative half is the shorter one.
    down, turn = rng.normal(0.6, 0.04, n).astype(np.float32), rng.normal(0.36, 0.03, n).astype(np.float32)
    return lambda i, t: _biphasic(ptp[i], down[i], turn[i], t / length[i])


def _vertex(rng: np.random.Generator, subject: Subject, length: Floats) -> Shape:
    size = _sizes(rng, len(length), *constants("elements")["vertex-wave"]["peak_uv"])

    def shape(i: NDArray[np.intp], t: Floats) -> Floats:
        u = t / length[i]
        wave: Floats = size[i] * (0.2 * np.sin(2 * np.pi * u) - np.sin(np.pi * u) ** 2)
        return wave

    return shape


def _sawtooth(rng: np.random.Generator, subject: Subject, length: Floats) -> Shape:
    facts = constants("elements")["sawtooth-wave"]
    size = _sizes(rng, len(length), *facts["peak_uv"])
    slowest, fastest = facts["hz"]
    hz = rng.uniform(slowest, fastest, len(length)).astype(np.float32)

    def shape(i: NDArray[np.intp], t: Floats) -> Floats:
        cycle = (t * hz[i]) % 1.0  # up in seven tenths of a cycle, down in three
        teeth = np.minimum(cycle / 0.7, (1 - cycle) / 0.3) * 2 - 1
        wave: Floats = size[i] * np.sin(np.pi * t / length[i]) * teeth
        return wave

    return shape


def _spindle(
    rng: np.random.Generator, key: tuple[int | str, ...], subject: Subject, length: Floats
) -> dict[str, Shape]:
    """Fast ones of the central field and slow ones of the frontal; each waxes, wanes and slows down a little."""
    facts, n = constants("elements")["spindle"], len(length)
    own = np.exp(facts["between_subjects_log_sd"] * stream(*key[:2], "spindle size").standard_normal())
    peak = float(np.interp(subject.age_years, facts["age_years"], facts["peak_uv_by_age"])) * own
    size, slow = _sizes(rng, n, peak, facts["size_log_sd"]), rng.random(n) < facts["slow_share"]
    slow_hz, slow_sd = facts["slow_hz"]
    hz = np.where(slow, slow_hz, subject.spindle_hz) + np.where(slow, slow_sd, facts["fast_sd_hz"]) * rng.normal(size=n)
    skew, phase = rng.uniform(0.8, 1.25, n).astype(np.float32), rng.uniform(0, 2 * np.pi, n).astype(np.float32)
    hz, chirp = hz.astype(np.float32), np.float32(facts["slowing_hz_per_s"] / 2)

    def of(sizes: Floats) -> Shape:
        def shape(i: NDArray[np.intp], t: Floats) -> Floats:
            late = t - length[i] / 2
            hump = np.maximum(np.sin(np.pi * (t / length[i]) ** skew[i]), 0) ** 1.5
            wave: Floats = sizes[i] * hump * np.cos(2 * np.pi * (hz[i] * late + chirp * late**2) + phase[i])
            return wave

        return shape

    return {"sigma": of(np.where(slow, np.float32(0), size)), "frontal": of(np.where(slow, size, np.float32(0)))}
