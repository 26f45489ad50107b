"""Fit the heart's variability per stage to real RR intervals: `python scripts/fit_heart.py`; it rewrites heart.toml.

Simulated men with an AHI of 30 or more (seed 77) are brought to the medians over people of slpdb's per stage: mean RR,
spread of the epochs' means, SDNN, RMSSD, LF and HF power. Each round moves a component's variance by what its band
lacks. The same data give the same file. To be run again when stages, breathing or arousals of the simulator change.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from judges.beats import APNEA_PER_H, Statistics, by_epoch, person_statistics, slpdb_people

from encoders.simulation.draws import CODES, constants, stage_names
from encoders.simulation.heart import plan_heart
from encoders.simulation.night import Night, plan_night
from encoders.simulation.people import Subject, draw_subject

OUT = Path(__file__).resolve().parents[1] / "encoders" / "simulation" / "heart.toml"
SEED = 77  # below 1000: never among the nights that judges report
LEAST_SD = {"drift": 0.02, "vlf": 0.01, "lf": 0.01, "hf": 0.01}  # no part of a heart's variability is ever gone; ours
START_SD = 0.03
# In N1 and N2 these patients' slow swings are their apneas', so that the swing is fitted there and not this component.
# Ours: minutes without apnea then vary as little beside minutes with one as in the Apnea-ECG database (39 and 67 ms).
CALM_SD = {"N1": 0.03, "N2": 0.02}
STEP = 0.6  # of the way, each round


def draw_nights(people: int) -> list[Night]:
    """Nights of seven hours of the first men who are ill enough to be slpdb's patients."""
    nights: list[Night] = []
    index = 0
    while len(nights) < people:
        subject: Subject = draw_subject(SEED, index)
        if subject.sex == "M" and subject.ahi_per_hour >= APNEA_PER_H:
            nights.append(plan_night(SEED, subject, index, 0, 840))
        index += 1
    return nights


def median(people: Sequence[Statistics], stage: str, name: str) -> float:
    """Median over people of a measure in a stage."""
    return float(np.median([of[stage, name] for of in people if (stage, name) in of]))


def against_n2(people: Sequence[Statistics], stage: str) -> float:
    """Median over people of their mean RR in a stage against their own in N2."""
    both = [of for of in people if {(stage, "rr_ms"), ("N2", "rr_ms")} <= set(of)]
    return float(np.median([of[stage, "rr_ms"] / of["N2", "rr_ms"] for of in both]))


def beat(night: Night) -> Statistics:
    """RR statistics of a night with the heart's present constants, beats on slpdb's clock of 250 Hz."""
    heart = plan_heart(
        night.key, night.subject, night.stages, night.positions, night.breath, night.named("arousal"),
        night.named("position change"),
    )  # fmt: skip
    return person_statistics(by_epoch(np.round(heart.beats_s * 250) / 250, stage_names(night.stages)))


def main() -> None:
    """Fits, and rewrites the lines marked as fitted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=8)
    asked = parser.parse_args()
    real = slpdb_people()
    if not real:
        raise SystemExit(
            "../shared/data/slpdb_rr_stages/SlpdbData.mat: not found; put it there (PhysioNet slpdb) and run again."
        )
    nights = draw_nights(asked.people)
    facts = constants("heart")  # the very tables that plan_heart reads: changed here round by round
    facts["rate"] |= {"with_ahi": 0.0, "stage_factor": dict.fromkeys(CODES, 1.0)}
    for part in LEAST_SD:
        facts[part]["sd"] = dict.fromkeys(CODES, START_SD)
    facts["vlf"]["sd"] |= CALM_SD
    facts["beat"]["sd"], facts["swing"]["gain"] = 0.0, 1.0
    level = np.mean([min(night.subject.ahi_per_hour, 60) / 60 for night in nights])
    for _ in range(asked.rounds):
        ours = [beat(night) for night in nights]
        whole = median(ours, "N2", "rr_ms") / median(real, "N2", "rr_ms")
        facts["rate"]["with_ahi"] += STEP * (whole - 1) / level
        squares = {
            name: {stage: median(real, stage, name) ** 2 - median(ours, stage, name) ** 2 for stage in CODES}
            for name in ("sdnn_ms", "rr_sd_ms", "rmssd_ms")
        }
        jumps = [squares["rmssd_ms"][stage] / median(real, stage, "rr_ms") ** 2 for stage in CODES]
        # Half of a noise's variance in the intervals is that of its successive differences.
        facts["beat"]["sd"] = max(facts["beat"]["sd"] ** 2 + STEP * float(np.mean(jumps)) / 2, 0.0) ** 0.5
        swung = [squares["sdnn_ms"][stage] / median(real, stage, "sdnn_ms") ** 2 for stage in CALM_SD]
        facts["swing"]["gain"] *= 1 + STEP * float(np.mean(swung)) / 2
        for stage in CODES:
            facts["rate"]["stage_factor"][stage] *= (against_n2(ours, stage) / against_n2(real, stage)) ** STEP
            rr = median(real, stage, "rr_ms")
            lack = {name: median(real, stage, name) - median(ours, stage, name) for name in ("hf_ms2", "lf_ms2")}
            for part, missing in (
                ("hf", lack["hf_ms2"]), ("lf", lack["lf_ms2"]), ("drift", squares["rr_sd_ms"][stage]),
                ("vlf", squares["sdnn_ms"][stage] - lack["hf_ms2"] - lack["lf_ms2"]),
            ):  # fmt: skip
                if part == "vlf" and stage in CALM_SD:
                    continue
                square = facts[part]["sd"][stage] ** 2 + STEP * missing / rr**2
                facts[part]["sd"][stage] = max(square, LEAST_SD[part] ** 2) ** 0.5
    text = OUT.read_text()
    text = _written(text, "rate", "stage_factor", _line(facts["rate"]["stage_factor"]))
    text = _written(text, "rate", "with_ahi", f"{facts['rate']['with_ahi']:.3f}")
    text = _written(text, "beat", "sd", f"{facts['beat']['sd']:.4f}")
    text = _written(text, "swing", "gain", f"{facts['swing']['gain']:.3f}")
    for part in LEAST_SD:
        text = _written(text, part, "sd", _line(facts[part]["sd"]))
    OUT.write_text(text)


def _written(text: str, table: str, key: str, value: str) -> str:
    """The file with another value there, its comment kept."""
    pattern = rf"(?ms)(^\[{table}\]\n(?:(?!^\[).)*?^{key} = )[^\n]*?(\s*(?:#[^\n]*)?)$"
    changed, count = re.subn(pattern, lambda found: found[1] + value + found[2], text, count=1)
    if not count:
        raise SystemExit(f"{OUT.name}: no {key} in [{table}]; put it back and run again.")
    return changed


def _line(table: dict[str, float]) -> str:
    return "{ " + ", ".join(f"{stage} = {table[stage]:.4f}" for stage in CODES) + " }"


if __name__ == "__main__":
    main()
