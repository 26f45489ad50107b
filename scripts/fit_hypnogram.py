"""Fit the hazards of `encoders/simulation/hypnogram.toml` on real hypnograms: `python scripts/fit_hypnogram.py`.

The same recordings give the same file, byte for byte. What is written are fitted constants, nobody's hypnogram.
"""

import argparse
import csv
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.recordings.annotations import RecordingClock, read_annotations, stage_on_grid
from encoders.simulation.draws import CODES, N1, N3, REM, W
from encoders.vocabulary import EPOCH_S

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "encoders" / "simulation" / "hypnogram.toml"
DATABASES = ("BOAS", "Sleep-EDF", "UCDDB")
# Clocks are cut where the real nights change their habits; inside a piece the hazard is constant.
EDGES = {
    "bout": (1, 2, 3, 4, 6, 9, 14, 21, 31, 46, 71),  # epochs in the bout so far
    "before_rem": (0, 5, 15, 40, 55, 70, 85, 105, 130, 170),  # minutes asleep, until the night's first REM
    "after_rem": (0, 2, 5, 15, 30, 50, 65, 80, 95, 115, 145),  # minutes since the last REM epoch
    "in_rem": (0, 3, 8, 15, 25, 40),  # minutes since this REM period began
    "night": (0, 1, 2, 3, 4, 5, 6, 7),  # hours since sleep onset
}
REM_PERIOD_GAP_MIN = 15  # shorter breaks lie inside a REM period (Feinberg & Floyd 1979, Psychophysiology 16:283)
MAIN_SLEEP_GAP_H = 2  # Sleep-EDF's cassettes run for 20 h: longer wake parts naps from the night
PRIOR_EVENTS = 0.5  # every factor is drawn towards no effect as by half an event that went as expected
RARE = 25  # a passage seen less often is not modelled
ROUNDS = 40
QUANTILES = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
CLOCKS = ("bout", "rem", "night")

Ints = NDArray[np.int64]
Hazards = dict[tuple[int, int], dict[str, NDArray[np.float64]]]


@dataclass(frozen=True, slots=True)
class RealNight:
    """`stages` `(n,)` codes of `draws.CODES`, -1 unscored, of a whole recording; `timed`: it began near lights off."""

    database: str
    person: str
    stages: NDArray[np.int8]
    timed: bool

    @property
    def asleep(self) -> slice:
        """From sleep onset to the last sleep of the longest sleep without two hours awake."""
        sleep = np.flatnonzero(self.stages > W)
        parts = np.split(sleep, np.flatnonzero(np.diff(sleep) > MAIN_SLEEP_GAP_H * 3600 / EPOCH_S) + 1)
        main = max(parts, key=len)
        return slice(int(main[0]), int(main[-1]) + 1)


@dataclass(frozen=True, slots=True)
class Steps:
    """One row per scored epoch followed by a scored one: where it stood on each clock, and the stage that followed."""

    night: Ints
    stage: Ints
    following: Ints
    bout: Ints
    rem: Ints  # piece of before_rem, then of after_rem; of in_rem where the stage is REM
    hour: Ints


def read_nights(data: Path) -> list[RealNight]:
    """All nights of the three databases in `data` but ucddb018, which nothing here may learn from."""
    people = {row["participant_id"]: row["pid"] for row in _table(data / "boas_ds005555_hypnograms/participants.tsv")}
    nights = [
        RealNight("BOAS", people[path.name.split("_")[0]], _stages(path), True)
        for path in sorted((data / "boas_ds005555_hypnograms").glob("sub-*/eeg/*_acq-psg_events.tsv"))
    ]
    nights += [
        RealNight("Sleep-EDF", path.name[:5], _stages(path), False)
        for path in sorted((data / "sleep_edf" / "hypnograms").glob("*.edf"))
    ]
    nights += [
        RealNight("UCDDB", path.name[:8], _stages(path), True)
        for path in sorted((data / "ucddb_eeg").glob("*_stage.txt"))
        if not path.name.startswith("ucddb018")
    ]
    return nights


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t")


def _stages(path: Path) -> NDArray[np.int8]:
    (scoring, *_) = (one for one in read_annotations([path], RecordingClock(36 * 3600.0)) if one.stages)
    starts = np.arange(0.0, max(span.stop_s for span in scoring.stages), EPOCH_S)
    names, _ = stage_on_grid(scoring, starts)
    return np.array([CODES.index(name) if name in CODES else -1 for name in names], np.int8)


def steps_of(nights: list[RealNight]) -> Steps:
    """The clocks of every epoch between sleep onset and the last sleep."""
    rows: list[tuple[int, ...]] = []
    before = len(EDGES["before_rem"])
    for index, night in enumerate(nights):
        stages = night.stages[night.asleep].tolist()
        bout, last_rem, began = 0, None, 0
        for i, stage in enumerate(stages):
            bout = bout + 1 if i and stage == stages[i - 1] else 1
            if stage == REM:
                if last_rem is None or (i - last_rem) / 2 > REM_PERIOD_GAP_MIN:
                    began = i
                last_rem = i
                rem = _piece("in_rem", (i - began) / 2)
            elif last_rem is None:
                rem = _piece("before_rem", i / 2)
            else:
                rem = before + _piece("after_rem", (i - last_rem) / 2)
            if i + 1 < len(stages) and stage >= 0 and stages[i + 1] >= 0:
                rows.append((index, stage, stages[i + 1], _piece("bout", bout), rem, _piece("night", i / 120)))
    return Steps(*np.array(rows, np.int64).T)


def _piece(clock: str, value: float) -> int:
    return bisect_right(EDGES[clock], value) - 1


def weights_of(nights: list[RealNight]) -> NDArray[np.float64]:
    """Weight of each night, 1 on average: each database counts the same, since they differ in how stages are scored."""
    sizes = {name: sum(night.database == name for night in nights) for name in DATABASES}
    return np.array([len(nights) / len(DATABASES) / sizes[night.database] for night in nights])


def fit_hazards(steps: Steps, weight: NDArray[np.float64]) -> Hazards:
    """Per pair of stages the factors whose product is the chance per epoch to pass from the one to the other.

    A log-linear model (Poisson, main effects of the three clocks), its factors in turn until they settle; the rare
    pairs that real nights hardly show are left out.
    """
    fitted: Hazards = {}
    for stage in range(len(CODES)):
        here = steps.stage == stage
        cell = steps.bout[here], steps.rem[here], steps.hour[here]
        w, following = weight[steps.night[here]], steps.following[here]
        rem = len(EDGES["in_rem"]) if stage == REM else len(EDGES["before_rem"]) + len(EDGES["after_rem"])
        size = (len(EDGES["bout"]), rem, len(EDGES["night"]))
        exposed = np.zeros(size)
        np.add.at(exposed, cell, w)
        for other in range(len(CODES)):
            if other == stage or (following == other).sum() < RARE:
                continue
            passed = np.zeros(size)
            np.add.at(passed, cell, w * (following == other))
            factors = [np.full(n, 1.0) for n in size]
            factors[0] *= passed.sum() / exposed.sum()
            prior = [factors[0][0], 1.0, 1.0]
            for _ in range(ROUNDS):
                for axis in range(3):
                    rest = [i for i in range(3) if i != axis]
                    shape = [np.expand_dims(factors[i], tuple(j for j in range(3) if j != i)) for i in rest]
                    expected = (exposed * shape[0] * shape[1]).sum(axis=tuple(rest))
                    observed = passed.sum(axis=tuple(rest))
                    factors[axis] = (observed + PRIOR_EVENTS) / (expected + PRIOR_EVENTS / prior[axis])
            fitted[stage, other] = dict(zip(CLOCKS, factors, strict=True))
    return fitted


def fit_spread(nights: list[RealNight], steps: Steps, fitted: Hazards) -> dict[str, tuple[float, ...]]:
    """Standard deviations of the log between people and between a person's nights, of how much and of how brokenly.

    How much of a stage: its chance to be entered over that to be left, against the hazards'. How brokenly: both
    together. Within databases, and less what counts of so many passages scatter by themselves.
    """
    pairs = [
        (i, j) for i, j in combinations(range(len(nights)), 2)
        if (nights[i].database, nights[i].person) == (nights[j].database, nights[j].person)
    ]  # fmt: skip
    spread: dict[str, tuple[float, ...]] = {}
    for name, stage in (("wake", W), ("n1", N1), ("n3", N3), ("rem", REM)):
        entries = (steps.stage != stage) & (steps.following == stage)
        count = np.bincount(steps.night, entries & (steps.stage != W) if stage == N1 else entries, len(nights))
        chance = {way: np.zeros(len(steps.stage)) for way in ("in", "out")}
        for (before, after), factors in fitted.items():
            way = "in" if after == stage and (stage, before) != (N1, W) else "out" if before == stage else None
            if way:
                here = steps.stage == before
                at = factors["bout"][steps.bout[here]] * factors["rem"][steps.rem[here]]
                chance[way][here] += at * factors["night"][steps.hour[here]]
        into, out = (np.bincount(steps.night, chance[way], len(nights)) + 0.5 for way in ("in", "out"))
        if stage == N1:  # how long N1 lasts is the same for all; how often sleep lightens to it is not
            spread["n1"] = _moments(nights, np.log((count + 0.5) / into), 1 / (count + 1), count, pairs)
            continue
        spread[name] = _moments(nights, np.log(out / into), 2 / (count + 1), count, pairs)
        broken = np.log((count + 0.5) / np.sqrt(into * out))
        spread[f"{name}_broken"] = (float(np.hypot(*_moments(nights, broken, 0.5 / (count + 1), count, pairs))),)
    return spread


def _moments(
    nights: list[RealNight],
    log: NDArray[np.float64],
    noise: NDArray[np.float64],
    count: Ints,
    pairs: list[tuple[int, int]],
) -> tuple[float, float]:
    """Standard deviations between people and between nights of `log` within databases, by what each night tells."""
    told = weights_of(nights) * count / (count + 4)
    log = log.copy()
    for database in DATABASES:
        its = np.array([night.database == database for night in nights])
        log[its] -= np.average(log[its], weights=told[its])
    one, other = np.array(pairs).T
    both, paired = told[one] * told[other], np.concatenate([one, other])
    total = max(float(np.average(log**2 - noise, weights=told)), 0.0)
    among = max(float(np.average((log**2 - noise)[paired], weights=told[paired])), 1e-9)
    personal = float(np.clip(np.average(log[one] * log[other], weights=both) / among, 0, 1))
    return float(np.sqrt(personal * total)), float(np.sqrt((1 - personal) * total))


def _numbers(values: Iterable[float]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"


def write(nights: list[RealNight]) -> str:
    """The text of the TOML."""
    steps, weight = steps_of(nights), weights_of(nights)
    fitted = fit_hazards(steps, weight)
    timed = [night for night in nights if night.timed]
    latency = np.quantile([night.asleep.start * EPOCH_S / 60 for night in timed], QUANTILES)
    final = np.quantile([(len(night.stages) - night.asleep.stop) * EPOCH_S / 60 for night in timed], QUANTILES)
    first = [int(night.stages[night.asleep.start]) == N1 for night in nights]
    longest = max(night.asleep.stop - night.asleep.start for night in nights) * EPOCH_S / 60
    lines = ["# Written by scripts/fit_hypnogram.py; do not edit. Only fitted constants, nobody's night."]
    for name in DATABASES:
        its = [i for i, night in enumerate(nights) if night.database == name]
        people, epochs = len({nights[i].person for i in its}), int(np.isin(steps.night, its).sum())
        lines.append(
            f"# {name}: {len(its)} nights of {people} people, {epochs} epochs from sleep onset to the last sleep."
        )
    lines += [
        "# BOAS: OpenNeuro ds005555 v1.1.0, doi:10.18112/openneuro.ds005555.v1.1.0, CC0; majority of three, AASM.",
        "# Sleep-EDF Expanded v1.0.0, doi:10.13026/C2X676, and UCDDB without ucddb018, doi:10.13026/C26C7D: PhysioNet,",
        "# ODC-By 1.0, R&K, stages 3 and 4 are N3. Each database weighs the same: they differ in how stages are scored",
        "# (a median of 2 % N3 and 4 % N1 in BOAS, 16-19 % and 9-16 % in the others); nothing says which is right.",
        "",
        "# Minutes from the recording's start to sleep and from the last sleep to its end, at these quantiles: BOAS",
        "# and UCDDB, whose recordings begin near lights off and end near lights on.",
        f"quantiles = {_numbers(QUANTILES)}",
        f"latency_min = {_numbers(latency)}",
        f"final_wake_min = {_numbers(final)}",
        f"longest_sleep_min = {longest:.4g}",
        f"first_is_n1 = {np.average(first, weights=weight):.4g}  # share of nights that begin with N1, others with N2",
        f"rem_period_gap_min = {REM_PERIOD_GAP_MIN}",
        "",
        "# Where the pieces of each clock begin: epochs in the bout; minutes asleep until the first REM; minutes since",
        "# the last REM epoch; minutes since a REM period began; hours since sleep onset.",
        "[edges]",
        *(f"{name} = {list(edges)}" for name, edges in EDGES.items()),
        "",
        "# Standard deviation of the log, [between people, between a person's nights], of how much of a stage there is",
        "# beyond what the hazards scatter by themselves, and, between nights, of how brokenly it comes.",
        "[spread]",
        *(f"{name} = {_numbers(sds)}" for name, sds in fit_spread(nights, steps, fitted).items()),
        "",
        "# Chance per epoch to pass from one stage to another: bout x rem x night, each by the piece its clock is in.",
        "# `rem` runs over before_rem, then after_rem; out of REM over in_rem.",
    ]
    for (stage, following), factors in fitted.items():
        lines += [f"[hazards.{CODES[stage]}.{CODES[following]}]", *(f"{k} = {_numbers(v)}" for k, v in factors.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the databases")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    args = parser.parse_args()
    if not (args.data / "boas_ds005555_hypnograms").is_dir():
        parser.error(
            f"--data {args.data}: no hypnograms of BOAS, Sleep-EDF or UCDDB there; name the folder of shared/data."
        )
    nights = read_nights(args.data)
    args.out.write_text(write(nights), encoding="utf-8")
    print(f"{args.out.name}: {len(nights)} nights")


if __name__ == "__main__":
    main()
