"""The true stages of a night: a semi-Markov chain of bouts inside ultradian cycles, deep sleep early, REM late."""

import numpy as np
from numpy.typing import NDArray

from encoders.simulation.draws import CODES, N1, N2, N3, REM, W, constants
from encoders.simulation.people import Subject


def draw_hypnogram(rng: np.random.Generator, subject: Subject, n_epochs: int) -> NDArray[np.int8]:
    """Stage codes `(n_epochs,)`, indices into `draws.CODES`; starts and ends awake.

    Nights shorter than `whole_night_hours` are the same night played faster, so that every stage still occurs.
    """
    facts = constants("hypnogram")
    pace = min(1.0, n_epochs / 120 / facts["whole_night_hours"])
    per_min = 2 * pace  # epochs per simulated minute
    stages = np.full(n_epochs, W, np.int8)
    end = n_epochs - max(1, round(3 * per_min))
    now = max(2, round(min(rng.lognormal(np.log(facts["latency_min"][0]), facts["latency_min"][1]), 45) * per_min))
    stage, cycle = N1, 0
    while now < end:
        rem_min = rng.lognormal(np.log(_at(facts["rem_min_by_cycle"], cycle)), facts["rem_min_log_sd"])
        cycle_min = rng.lognormal(np.log(facts["cycle_min"][0]), facts["cycle_min"][1])
        nrem_end = now + max(4, round((cycle_min - rem_min) * per_min))
        n3 = _at(facts["n3_fades_by_cycle"], cycle) * subject.slow_wave_gain
        now, stage = _period(rng, stages, now, min(nrem_end, end), stage, facts["next_nrem"], pace, subject, n3)
        rem_end = now + max(2, round(rem_min * per_min))
        now, stage = _period(rng, stages, now, min(rem_end, end), REM, facts["next_rem"], pace, subject, 0.0)
        stage, cycle = N2 if stage == REM else stage, cycle + 1
    return stages


def _at(per_cycle: list[float], cycle: int) -> float:
    return per_cycle[min(cycle, len(per_cycle) - 1)]


def _period(
    rng: np.random.Generator, stages: NDArray[np.int8], now: int, end: int, stage: int,
    following: dict[str, dict[str, float]], pace: float, subject: Subject, n3: float,
) -> tuple[int, int]:  # fmt: skip
    """Fills `stages[now:end]` bout by bout; returns where it stopped and the stage it would go on with."""
    dwell = constants("hypnogram")["dwell"]
    while now < end:
        mean, sd = dwell[CODES[stage]]
        gain = subject.wake_gain if stage == W else subject.slow_wave_gain if stage == N3 else 1.0
        bout = max(1, round(rng.lognormal(mean, sd) * gain * pace))
        stages[now : min(now + bout, end)] = stage
        now += bout
        weights = {CODES.index(name): weight for name, weight in following[CODES[stage]].items()}
        for code, factor in ((W, subject.wake_gain), (N3, n3)):
            if code in weights:
                weights[code] *= factor
        shares = np.array(list(weights.values()))
        stage = int(rng.choice(list(weights), p=shares / shares.sum()))
    return min(now, end), stage
