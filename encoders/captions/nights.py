"""The night as one row: times, stages and indices, each as nights.toml defines it, and the same in words."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from encoders.captions.frames import Array, Grid, Night, epoch_of, usable
from encoders.captions.links import WINDOW_S, follows
from encoders.captions.oximetry import find_desaturations, saturation
from encoders.captions.scored import Scorings, by_kind
from encoders.recordings.timeline import Event, Scoring
from encoders.vocabulary import APNEAS, EPOCH_S, HYPOPNEAS, SLEEP_STAGES

MOST_UNSCORED = 0.05  # of time in bed, for a sleep efficiency
ADULT_YEARS = 18.0


@dataclass(frozen=True, slots=True)
class Lights:
    """Lights off and on in seconds from the recording's start, and who says so: annotation, csv, flag or assumed."""

    off_s: float
    on_s: float
    source: str


@cache
def load_nights() -> dict[str, dict[str, str]]:
    """Unit, definition and denominator of each column of a night's row, in its order."""
    return tomllib.loads((files("encoders.captions") / "nights.toml").read_text("utf-8"))


def choose_lights(scorings: Scorings, duration_s: float, lights: Lights | None = None) -> Lights:
    """The given lights, else those of the first scoring that has both, else the recording's ends, assumed."""
    if lights is not None:
        return lights
    for scoring in [scorings] if isinstance(scorings, Scoring) else list(scorings or ()):
        off_s, on_s = scoring.lights_off_s, scoring.lights_on_s
        if off_s is not None and on_s is not None and on_s > off_s:
            return Lights(off_s, on_s, "annotation")
    return Lights(0.0, duration_s, "assumed")


def night_report(
    recording: Night, epochs: Grid, measures: dict[str, Array], scored: pl.DataFrame, scoring: Scorings,
    lights: Lights | None = None, *, age_years: float | None = None, hypopnea_rule: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The row of `nights` for one recording: the columns of nights.toml, None where unknown, and `report` in words.

    `scored` is `score_epochs(epochs.start_s, scoring)`. `hypopnea_rule` states what `ahi_scored` counts; an age under
    18 adds a warning to the report, since the limits are those of adults.
    """
    row: dict[str, Any] = dict.fromkeys(load_nights())
    start_s = np.asarray(epochs.start_s, float)
    end_s = float(getattr(recording, "duration_s", start_s[-1] + EPOCH_S if len(start_s) else 0.0))
    light = choose_lights(scoring, end_s, lights)
    middle_s = start_s + EPOCH_S / 2
    in_bed = (middle_s >= light.off_s) & (middle_s < light.on_s)
    covered = by_kind(scoring)
    stage = scored["stage"].to_numpy() if "stages" in covered else None
    row |= {"lights_off_s": light.off_s, "lights_on_s": light.on_s, "lights_source": light.source}
    row |= {"segment": _segment(recording), "tib_min": (light.on_s - light.off_s) / 60}
    row |= {"event_window": "; ".join(f"{name} {seconds:g} s" for name, seconds in WINDOW_S.items())}
    asleep = None
    if stage is not None:
        asleep = np.isin(stage, SLEEP_STAGES) & in_bed
        row |= _stage_minutes(stage, asleep, in_bed, start_s, light)
    oxygen = _oximetry(recording, epochs, in_bed if asleep is None else asleep)
    row |= oxygen
    if oxygen and oxygen["oximetry_h"]:
        row["odi_denominator"] = "sleep with valid SpO2" if asleep is not None else "monitored with valid SpO2"
    row |= _indices(recording, epochs, covered, asleep, in_bed, row["tst_min"])
    if row["ahi_scored_per_h"] is not None:
        row["ahi_rule"] = hypopnea_rule or "unknown"
    row["report"] = _report(row, age_years)
    return row


def _segment(recording: Night) -> str | None:
    choice = getattr(getattr(recording, "montage", None), "choices", {}).get("AF")
    return None if choice is None else "PAP" if choice.sensor == "PAP flow" else "diagnostic"


def _stage_minutes(
    stage: Array, asleep: Array, in_bed: Array, start_s: Array, light: Lights
) -> dict[str, float | None]:
    minute = EPOCH_S / 60
    count = {name: int((in_bed & (stage == name)).sum()) for name in ("W", "N1", "N2", "N3", "REM", "NREM")}
    scored = in_bed & np.isin(stage, list(count))
    split = count["NREM"] == 0
    row: dict[str, float | None] = {
        "tst_min": float(asleep.sum() * minute), "spt_min": 0.0, "w_min": count["W"] * minute,
        "rem_min": count["REM"] * minute, "nrem_min": sum(count[s] for s in ("N1", "N2", "N3", "NREM")) * minute,
        "unscored_min": float((in_bed & ~scored).sum() * minute),
    }  # fmt: skip
    row |= {f"{name.lower()}_min": count[name] * minute if split else None for name in ("N1", "N2", "N3")}
    stated = light.source != "assumed"
    if stated and in_bed.any() and scored.sum() >= (1 - MOST_UNSCORED) * in_bed.sum():
        row["se_pct"] = 100 * float(asleep.sum()) * EPOCH_S / (light.on_s - light.off_s)
    if not asleep.any():
        return row
    first, last = np.flatnonzero(asleep)[[0, -1]]
    onset_s = float(start_s[first])
    row["spt_min"] = (float(start_s[last]) + EPOCH_S - onset_s) / 60
    awake = in_bed & (stage == "W")
    row["waso_min"] = float(awake[first : last + 1].sum() * minute)
    if stated:
        row["waso_to_lights_on_min"] = float(awake[first:].sum() * minute)
        if scored[:first][in_bed[:first]].all() and start_s[np.argmax(in_bed)] - light.off_s <= EPOCH_S:
            row["sol_min"] = (onset_s - light.off_s) / 60
    if count["REM"]:
        row["rem_latency_from_onset_min"] = (float(start_s[np.argmax(asleep & (stage == "REM"))]) - onset_s) / 60
    return row


def _oximetry(recording: Night, epochs: Grid, wanted: Array) -> dict[str, float | None]:
    """Oximetry over the wanted epochs that hold valid SpO2; empty without any."""
    wanted = wanted & usable(epochs, "SPO2")
    runs = recording.runs("SPO2") if wanted.any() else []
    pct, seconds = [np.empty(0)], [np.empty(0)]
    for sat in saturation(runs):
        keep = np.isfinite(sat.pct) & _within(sat.time_s, epochs.start_s, wanted)
        pct.append(sat.pct[keep])
        seconds.append(np.full(int(keep.sum()), sat.step_s))
    values, weight = np.concatenate(pct), np.concatenate(seconds)
    if not len(values):
        return {}
    total_s, low_s = float(weight.sum()), float(weight[values < 90].sum())
    row: dict[str, float | None] = {
        "oximetry_h": total_s / 3600, "t90_min": low_s / 60, "t90_pct": 100 * low_s / total_s,
        "spo2_nadir_pct": float(values.min()), "spo2_mean_pct": float((values * weight).sum() / total_s),
    }  # fmt: skip
    falls = find_desaturations(runs)
    inside = _within(np.array([fall.nadir_s for fall in falls]), epochs.start_s, wanted)
    for name, limit in (("odi3_per_h", 3.0), ("odi4_per_h", 4.0)):
        many = sum(fall.fall_pct >= limit for fall, ok in zip(falls, inside, strict=True) if ok)
        row[name] = many / (total_s / 3600)
    return row


def _within(time_s: Array, start_s: Array, wanted: Array) -> Array:
    index = epoch_of(time_s, start_s)
    inside: Array = (index >= 0) & wanted[np.maximum(index, 0)]
    return inside


def _indices(
    recording: Night,
    epochs: Grid,
    covered: dict[str, Scoring],
    asleep: Array | None,
    in_bed: Array,
    tst_min: float | None,
) -> dict[str, float]:
    row: dict[str, float] = {}
    start_s = np.asarray(epochs.start_s, float)
    tst_h = (tst_min or 0.0) / 60
    in_sleep = in_bed if asleep is None else asleep

    def during(kind: str, names: Sequence[str]) -> list[Event]:
        events = [event for event in covered[kind].events if event.name in names]
        first = _within(np.array([event.start_s for event in events]), start_s, in_sleep)
        last = _within(np.array([max(event.start_s, event.stop_s - 1e-6) for event in events]), start_s, in_sleep)
        return sorted((e for e, ok in zip(events, first | last, strict=True) if ok), key=lambda event: event.start_s)

    if tst_h and "arousals" in covered:
        row["arousal_index_per_h"] = len(during("arousals", ["arousal"])) / tst_h
    if tst_h and "limb movements" in covered:
        name = "periodic limb movement"
        if any(event.name == name for event in covered["limb movements"].events):
            row["plmi_per_h"] = len(during("limb movements", [name])) / tst_h
    if "respiratory events" not in covered:
        return row
    events = during("respiratory events", APNEAS + HYPOPNEAS)
    valid = usable(epochs, "AF") if usable(epochs, "AF").any() else usable(epochs, "THX") | usable(epochs, "ABD")
    valid_h = float((valid & in_bed).sum()) * EPOCH_S / 3600
    if covered["respiratory events"].scorer == "device":
        return row | ({"ahi_device_per_h": len(events) / valid_h} if valid_h else {})
    if asleep is None:
        return row | ({"rei_per_h": len(events) / valid_h} if valid_h else {})
    if not tst_h:
        return row
    row["ahi_scored_per_h"] = len(events) / tst_h
    if not usable(epochs, "SPO2").any():
        return row
    falls = find_desaturations(recording.runs("SPO2"))
    linked = follows(np.array([fall.start_s for fall in falls]), events, WINDOW_S["desaturation"])
    deepest = np.zeros(len(events) + 1)  # the last place takes what is linked to nothing
    np.maximum.at(deepest, linked, [fall.fall_pct for fall in falls])
    apnea = np.array([event.name in APNEAS for event in events], bool)
    row["ahi_4_per_h"] = float((apnea | (deepest[:-1] >= 4)).sum()) / tst_h
    if "arousals" in covered:
        arousals_s = np.array([event.start_s for event in covered["arousals"].events if event.name == "arousal"])
        roused = np.isin(np.arange(len(events)), follows(arousals_s, events, WINDOW_S["arousal"]))
        row["ahi_3a_per_h"] = float((apnea | (deepest[:-1] >= 3) | roused).sum()) / tst_h
    return row


def _report(row: dict[str, Any], age_years: float | None) -> str:
    """The known parts of a row in sentences."""

    def value(name: str, form: str) -> str:
        return "" if row[name] is None else form.format(row[name])

    source = row["lights_source"]
    in_bed = "recorded (lights are not known)" if source == "assumed" else f"in bed (lights: {source})"
    sentences = [
        [
            value("tib_min", f"{{:.0f}} min {in_bed}"),
            value("tst_min", "{:.0f} min of sleep"),
            value("se_pct", "sleep efficiency {:.0f} %"),
            value("sol_min", "sleep onset after {:.0f} min"),
            value("waso_min", "{:.0f} min awake within the sleep period"),
            value("rem_latency_from_onset_min", "REM {:.0f} min after sleep onset"),
        ],
        [value(f"{name}_min", f"{name.upper()} {{:.0f}} min") for name in ("w", "n1", "n2", "n3", "rem")],
        [
            value("ahi_scored_per_h", f"AHI as scored {{:.1f}} per hour of sleep (hypopnea rule: {row['ahi_rule']})"),
            value("ahi_3a_per_h", "AHI 3A {:.1f}"),
            value("ahi_4_per_h", "AHI 4 {:.1f}"),
            value("rei_per_h", "REI {:.1f} per monitored hour"),
            value("ahi_device_per_h", "device AHI {:.1f} per hour of use"),
            value("arousal_index_per_h", "arousal index {:.1f} per hour of sleep"),
            value("plmi_per_h", "PLMI {:.1f} per hour of sleep"),
        ],
        [
            value("spo2_mean_pct", "SpO2 mean {:.0f} %"),
            value("spo2_nadir_pct", "lowest {:.0f} %"),
            value("t90_pct", "under 90 % for {:.0f} % of the time"),
            value("odi3_per_h", "ODI3 {:.1f}"),
            value("odi4_per_h", f"ODI4 {{:.1f}} per hour ({row['odi_denominator']})"),
        ],
    ]
    if age_years is not None and age_years < ADULT_YEARS:
        sentences.append([f"Age {age_years:g}: limits and definitions here are those of adults"])
    said = [", ".join(item for item in clause if item) for clause in sentences]
    return " ".join(text[:1].upper() + text[1:] + "." for text in said if text)
