"""Scored nights in the formats of the sites: NSRR XML, Profusion XML, Luna `.annot`, EDF+ annotations."""

from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from encoders.recordings.tal import Annotation
from encoders.recordings.timeline import clock
from encoders.simulation.scoring import Scored, stage_bouts
from encoders.vocabulary import EPOCH_S

# Stage and event texts of each format, after the public files and tables named in recordings/annotations/table.toml.
NSRR_STAGES = {
    "W": "Wake|0", "N1": "Stage 1 sleep|1", "N2": "Stage 2 sleep|2", "N3": "Stage 3 sleep|3", "REM": "REM sleep|5",
}  # fmt: skip
NSRR_EVENTS = {
    "obstructive apnea": ("Respiratory|Respiratory", "Obstructive apnea|Obstructive Apnea"),
    "central apnea": ("Respiratory|Respiratory", "Central apnea|Central Apnea"),
    "mixed apnea": ("Respiratory|Respiratory", "Mixed apnea|Mixed Apnea"),
    "hypopnea": ("Respiratory|Respiratory", "Hypopnea|Hypopnea"),
    "desaturation": ("Respiratory|Respiratory", "SpO2 desaturation|SpO2 desaturation"),
    "arousal": ("Arousals|Arousals", "Arousal|Arousal ()"),
    "periodic limb movement": ("Limb Movement|Limb Movement", "Periodic leg movement - left|PLM (Left)"),
}
PROFUSION_STAGES = {"W": "0", "N1": "1", "N2": "2", "N3": "3", "REM": "5"}
EDF_EVENTS = {
    "obstructive apnea": "Obstructive apnea", "central apnea": "Central apnea", "mixed apnea": "Mixed apnea",
    "hypopnea": "Hypopnea", "desaturation": "Oxygen desaturation", "arousal": "EEG arousal",
    "periodic limb movement": "Periodic limb movement",
}  # fmt: skip
LUNA_EVENTS = {
    "obstructive apnea": "apnea:obstructive", "central apnea": "apnea:central", "mixed apnea": "apnea:mixed",
    "hypopnea": "hypopnea", "desaturation": "desat", "arousal": "arousal", "periodic limb movement": "PLM",
}  # fmt: skip


def write_nsrr(path: Path, scored: Scored, start_clock_s: float) -> Path:
    """`NAME-nsrr.xml`: one event list, stages as run lengths among the events."""
    root = Element("PSGAnnotation")
    SubElement(root, "SoftwareVersion").text = "sleepsearch, simulated"
    SubElement(root, "EpochLength").text = f"{EPOCH_S:g}"
    events = SubElement(root, "ScoredEvents")

    def add(kind: str, concept: str, start_s: float, length_s: float, **more: str) -> None:
        event = SubElement(events, "ScoredEvent")
        texts = {"EventType": kind, "EventConcept": concept, "Start": f"{start_s:.1f}", "Duration": f"{length_s:.1f}"}
        for tag, text in {**texts, **more}.items():
            SubElement(event, tag).text = text

    at = f"00.00.00 {clock(start_clock_s).replace(':', '.')}"
    add("", "Recording Start Time", 0, len(scored.stages) * EPOCH_S, ClockTime=at)
    for event in scored.events:
        nadir = {} if event.spo2_min_pct is None else {"SpO2Nadir": f"{event.spo2_min_pct:g}"}
        add(*NSRR_EVENTS[event.name], event.start_s, event.stop_s - event.start_s, **nadir)
    for first, count, stage in stage_bouts(scored.stages):
        add("Stages|Stages", NSRR_STAGES[stage], first * EPOCH_S, count * EPOCH_S)
    return _save(root, path)


def write_profusion(path: Path, scored: Scored, start_clock_s: float) -> Path:
    """`NAME-profusion.xml`: events, then one stage number per epoch."""
    root = Element("CMPStudyConfig")
    SubElement(root, "EpochLength").text = f"{EPOCH_S:g}"
    events = SubElement(root, "ScoredEvents")
    for event in scored.events:
        added = SubElement(events, "ScoredEvent")
        texts = {
            "Name": NSRR_EVENTS[event.name][1].split("|")[1],
            "Start": f"{event.start_s:.1f}",
            "Duration": f"{event.stop_s - event.start_s:.1f}",
        }
        if event.spo2_min_pct is not None:
            texts["LowestSpO2"] = f"{event.spo2_min_pct:g}"
        for tag, text in texts.items():
            SubElement(added, tag).text = text
    stages = SubElement(root, "SleepStages")
    for stage in scored.stages:
        SubElement(stages, "SleepStage").text = PROFUSION_STAGES[stage]
    return _save(root, path)


def write_luna(path: Path, scored: Scored, start_clock_s: float) -> Path:
    """`NAME.annot`: tab-separated class, instance, channel, start, stop, meta; seconds from the EDF's start."""
    lines = ["# simulated", "class\tinstance\tchannel\tstart\tstop\tmeta"]
    rows = [(first * EPOCH_S, (first + count) * EPOCH_S, {"W": "W", "REM": "R"}.get(stage, stage))
            for first, count, stage in stage_bouts(scored.stages)]  # fmt: skip
    rows += [(event.start_s, event.stop_s, LUNA_EVENTS[event.name]) for event in scored.events]
    lights = ((scored.lights_off_s, "lights_off"), (scored.lights_on_s, "lights_on"))
    rows += [(at_s, at_s, name) for at_s, name in lights]
    lines += [f"{name}\t.\t.\t{start:.1f}\t{stop:.1f}\t." for start, stop, name in sorted(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def edf_annotations(scored: Scored) -> list[Annotation]:
    """The EDF+ annotations of a night: standard stage texts per epoch, AASM event names, lights."""
    stages = [
        Annotation(i * EPOCH_S, EPOCH_S, f"Sleep stage {'R' if stage == 'REM' else stage}")
        for i, stage in enumerate(scored.stages)
    ]
    events = [Annotation(e.start_s, round(e.stop_s - e.start_s, 1), EDF_EVENTS[e.name]) for e in scored.events]
    lights = [Annotation(scored.lights_off_s, None, "Lights off"), Annotation(scored.lights_on_s, None, "Lights on")]
    return sorted([*stages, *events, *lights], key=lambda a: a.onset_s)


def _save(root: Element, path: Path) -> Path:
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


# Format -> (what follows the recording's name, writer). "edf+" has no file of its own.
WRITERS: dict[str, tuple[str, Callable[[Path, Scored, float], Path]]] = {
    "nsrr xml": ("-nsrr.xml", write_nsrr),
    "profusion xml": ("-profusion.xml", write_profusion),
    "luna annot": (".annot", write_luna),
}
