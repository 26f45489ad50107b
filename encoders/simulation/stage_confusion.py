"""How a technician stages a night: the truth through what the epoch shows, what it hides, and the eye that looks.

Each epoch has a likelihood of each stage. It starts from how alike stages look, moves with what the epoch holds (slow
waves, spindles, eye movements, arousals: an N2 epoch without a spindle looks like N1), takes in its neighbours, and
gets an ambiguity that everyone who opens the night sees. Habit and noise of the technician come on top; the likeliest
stage is written. So two technicians stumble over the same epochs, mostly where stages change and in short bouts.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from encoders.simulation.draws import CODES, constants, stream
from encoders.simulation.night import Night
from encoders.vocabulary import EPOCH_S

Array = NDArray[np.float64]


def confuse_stages(night: Night, who: tuple[str, int], carefulness: float) -> NDArray[np.int8]:
    """Stage codes `(n,)` as written by technician `who` = (site, number); `carefulness` divides noise and habit."""
    facts = constants("scoring")["staging"]
    likelihood, haze = looks(night)
    rng = stream(*night.key, "technician", who[1], "stages")
    own = facts["own"] * haze * _noise(rng, len(likelihood), facts)
    leaning = stage_habit(*who) + facts["mood"] * rng.standard_normal(len(CODES))
    return _settle(likelihood + (own + leaning) / carefulness, facts["inertia"])


@cache
def stage_habit(site: str, scorer: int) -> Array:
    """What a technician leans to, night after night: a constant for each stage, most for N3 and N1."""
    facts = constants("scoring")["staging"]
    sizes = np.array([facts["habit"][code] for code in CODES])
    return np.asarray(sizes * stream("habit", site, scorer).standard_normal(len(CODES)))


def looks(night: Night) -> tuple[Array, float]:
    """Log-likelihood `(n, 5)` of each stage by what everybody sees, and how hard the night is to read (around 1)."""
    facts = constants("scoring")["staging"]
    rng = stream(*night.key, "ambiguity", "stages")
    stages, n = night.stages, len(night.stages)
    cost = np.array([[facts["unlike"][a].get(b, facts["unlike"]["else"]) * (a != b) for b in CODES] for a in CODES])
    likelihood: Array = -cost[stages]
    held = _contents(night)
    for rule in facts["evidence"]:
        for code in map(CODES.index, rule["of"]):
            mine = stages == code
            if mine.sum() < 2:
                continue
            seen = held[rule["what"]][mine]
            likelihood[mine, CODES.index(rule["speaks_for"])] += rule["gain"] * np.clip(
                (seen - seen.mean()) / (seen.std() + 1e-6), -2, 2
            )
    for trait in facts["traits"]:
        code = CODES.index(trait["of"])
        folds = np.log(getattr(night.subject, trait["what"]))
        likelihood[stages == code, code] += trait["gain"] * np.clip(folds, -1, 1)
    # A stage changes somewhere within an epoch: one of the two at the change is a mixture, and all lean on neighbours.
    change = np.flatnonzero(np.diff(stages)) + 1
    after = rng.random(len(change)) < 0.5
    share = rng.uniform(0, facts["mixed_at_change"], len(change))[:, None]
    mixed, other = np.where(after, change, change - 1), np.where(after, change - 1, change)
    blended = (1 - share) * likelihood[mixed] + share * likelihood[other]
    likelihood[mixed] = blended
    around = np.pad(likelihood, ((1, 1), (0, 0)), mode="edge")
    lean = facts["neighbours"]
    likelihood = (1 - lean) * likelihood + lean / 2 * (around[:-2] + around[2:])
    haze = float(rng.lognormal(0, facts["haze_log_sd"]))
    return likelihood + facts["shared"] * haze * _noise(rng, n, facts), haze


def _settle(likelihood: Array, inertia: float) -> NDArray[np.int8]:
    """The likeliest course of stages where each change costs `inertia`."""
    n, count = likelihood.shape
    came_from = np.empty((n, count), np.int8)
    staying = np.arange(count, dtype=np.int8)
    score = likelihood[0]
    for i in range(1, n):
        best = score.argmax()
        changes = score[best] - inertia > score
        came_from[i] = np.where(changes, best, staying)
        score = np.where(changes, score[best] - inertia, score) + likelihood[i]
    codes = np.empty(n, np.int8)
    codes[-1] = score.argmax()
    for i in range(n - 1, 0, -1):
        codes[i - 1] = came_from[i, codes[i]]
    return codes


def _noise(rng: np.random.Generator, n: int, facts: dict[str, Any]) -> Array:
    """Noise `(n, 5)` of unit variance: `runs` of it lasts some epochs, the rest is of the epoch alone."""
    width = min(n, int(facts["run_epochs"]))
    slow = uniform_filter1d(rng.standard_normal((n, len(CODES))), width, axis=0, mode="wrap") * width**0.5
    white = rng.standard_normal((n, len(CODES)))
    return np.asarray(facts["runs"] ** 0.5 * slow + (1 - facts["runs"]) ** 0.5 * white)


def _contents(night: Night) -> dict[str, Array]:
    """Per epoch: seconds of slow waves and arousals, the square root of counts of spindles and eye movements."""
    facts, n = constants("scoring")["staging"]["contents"], len(night.stages)
    what = {name: key for key, names in facts.items() for name in names}
    spans: dict[str, list[tuple[float, float]]] = {key: [] for key in facts}
    for event in night.events:
        if event.name in what:
            spans[what[event.name]].append((event.start_s, event.stop_s))
    held: dict[str, Array] = {}
    for key, pairs in spans.items():
        starts, stops = np.array(pairs or [(0.0, 0.0)]).T
        weights = stops - starts if key in ("slow waves", "arousals") else np.sign(stops)
        sums = np.bincount(np.minimum(starts // EPOCH_S, n - 1).astype(int), weights, minlength=n).astype(np.float64)
        held[key] = sums if key in ("slow waves", "arousals") else np.sqrt(sums)
    return held
