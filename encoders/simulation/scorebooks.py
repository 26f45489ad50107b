"""Scored nights in the formats of the sites, each as our readers know it from real files."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from encoders.recordings.tal import Annotation
from encoders.recordings.timeline import clock
from encoders.recordings.write import DUMMY_START, write_edf
from encoders.simulation.draws import TruthEvent
from encoders.simulation.scoring import Scored, stage_bouts
from encoders.vocabulary import EPOCH_S

# Stage and event texts of each format, after the public files and tables named in recordings/annotations/table.toml.
NSRR_STAGES: Final = {
    "W": "Wake|0", "N1": "Stage 1 sleep|1", "N2": "Stage 2 sleep|2", "N3": "Stage 3 sleep|3", "REM": "REM sleep|5",
    "unscored": "Unscored|9",
}  # fmt: skip
NSRR_EVENTS: Final = {
    "obstructive apnea": ("Respiratory|Respiratory", "Obstructive apnea|Obstructive Apnea"),
    "central apnea": ("Respiratory|Respiratory", "Central apnea|Central Apnea"),
    "mixed apnea": ("Respiratory|Respiratory", "Mixed apnea|Mixed Apnea"),
    "hypopnea": ("Respiratory|Respiratory", "Hypopnea|Hypopnea"),
    "RERA": ("Respiratory|Respiratory", "Respiratory effort related arousal|RERA"),
    "desaturation": ("Respiratory|Respiratory", "SpO2 desaturation|SpO2 desaturation"),
    "arousal": ("Arousals|Arousals", "Arousal|Arousal ()"),
    "limb movement": ("Limb Movement|Limb Movement", "Limb movement|Limb Movement"),
    "periodic limb movement": ("Limb Movement|Limb Movement", "Periodic leg movement|PLM"),
}
PROFUSION_STAGES: Final = {"W": "0", "N1": "1", "N2": "2", "N3": "3", "REM": "5", "unscored": "9"}
EDF_EVENTS: Final = {
    "obstructive apnea": "Obstructive apnea", "central apnea": "Central apnea", "mixed apnea": "Mixed apnea",
    "hypopnea": "Hypopnea", "RERA": "RERA", "desaturation": "Oxygen desaturation", "arousal": "EEG arousal",
    "limb movement": "Limb movement", "periodic limb movement": "Periodic limb movement",
}  # fmt: skip
LUNA_EVENTS: Final = {
    "obstructive apnea": "apnea:obstructive", "central apnea": "apnea:central", "mixed apnea": "apnea:mixed",
    "hypopnea": "hypopnea", "RERA": "arousal:respiratory", "desaturation": "desat", "arousal": "arousal",
    "limb movement": "LM", "periodic limb movement": "PLM",
}  # fmt: skip
# The texts of the PhysioNet 2018 challenge.
BIDS_EVENTS: Final = {
    "obstructive apnea": "resp_obstructiveapnea", "central apnea": "resp_centralapnea",
    "mixed apnea": "resp_mixedapnea", "hypopnea": "resp_hypopnea", "RERA": "arousal_rera",
    "desaturation": "desaturation", "arousal": "arousal_spontaneous", "limb movement": "LM",
    "periodic limb movement": "PLM",
}  # fmt: skip
SHORT_STAGES: Final = {"REM": "R", "unscored": "?"}  # Luna, EDF+ and PhysioNet write the others as we do
UCDDB_STAGES: Final = {"W": "0", "REM": "1", "N1": "2", "N2": "3", "N3": "4", "S4": "5", "unscored": "7"}
UCDDB_EVENTS: Final = {"obstructive apnea": "APNEA-O", "central apnea": "APNEA-C", "mixed apnea": "APNEA-M"}
ISRUC_CODES: Final = {"W": 0, "N1": 1, "N2": 2, "N3": 3, "REM": 5, "unscored": 6}


def write_nsrr(path: Path, scored: Scored, start_clock_s: float) -> None:
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
        add(*_in_nsrr(event), event.start_s, event.stop_s - event.start_s, **nadir)
    for first, count, stage in stage_bouts(scored.stages):
        add("Stages|Stages", NSRR_STAGES[stage], first * EPOCH_S, count * EPOCH_S)
    _save(root, path)


def write_profusion(path: Path, scored: Scored, start_clock_s: float) -> None:
    """`NAME-profusion.xml`: events, then one stage number per epoch."""
    root = Element("CMPStudyConfig")
    SubElement(root, "EpochLength").text = f"{EPOCH_S:g}"
    events = SubElement(root, "ScoredEvents")
    for event in scored.events:
        added = SubElement(events, "ScoredEvent")
        texts = {
            "Name": _in_nsrr(event)[1].split("|")[1],
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
    _save(root, path)


def write_annot(path: Path, scored: Scored, start_clock_s: float) -> None:
    """Luna's `NAME.annot`: tab-separated class, instance, channel, start, stop, meta; seconds from the EDF's start."""
    rows = [(a, b, _short(stage)) for a, b, stage in _runs(scored)]
    rows += [(event.start_s, event.stop_s, LUNA_EVENTS[event.name]) for event in scored.events]
    lights = ((scored.lights_off_s, "lights_off"), (scored.lights_on_s, "lights_on"))
    rows += [(at_s, at_s, name) for at_s, name in lights]
    lines = ["# simulated", "class\tinstance\tchannel\tstart\tstop\tmeta"]
    _lines(path, lines + [f"{name}\t.\t.\t{start:.1f}\t{stop:.1f}\t." for start, stop, name in sorted(rows)])


def write_eannot(path: Path, scored: Scored, start_clock_s: float) -> None:
    """Luna's `NAME.eannot`: a stage per line, 30 s each."""
    _lines(path, [_short(stage) for stage in scored.stages])


def write_csv(path: Path, scored: Scored, start_clock_s: float) -> None:
    """Our own CSV, which says what was looked for: onset, duration, label."""
    rows = [(a, b - a, stage) for a, b, stage in _runs(scored)]
    rows += [(event.start_s, event.stop_s - event.start_s, event.name) for event in scored.events]
    rows += [(scored.lights_off_s, 0.0, "Lights off"), (scored.lights_on_s, 0.0, "Lights on")]
    lines = ["# simulated", f"# scope: {', '.join(scored.kinds)}", "onset_s,duration_s,label"]
    _lines(path, lines + [f"{start:.1f},{length:.1f},{label}" for start, length, label in sorted(rows)])


def write_bids(path: Path, scored: Scored, start_clock_s: float) -> None:
    """BIDS' `NAME_events.tsv` with the texts of the PhysioNet 2018 challenge."""
    rows = [(a, b - a, _short(stage)) for a, b, stage in _runs(scored)]
    rows += [(event.start_s, event.stop_s - event.start_s, BIDS_EVENTS[event.name]) for event in scored.events]
    _lines(
        path, ["onset\tduration\ttrial_type", *(f"{a:.1f}\t{length:.1f}\t{text}" for a, length, text in sorted(rows))]
    )


def write_codes(path: Path, scored: Scored, start_clock_s: float) -> None:
    """`NAME_hypnogram.txt`: ISRUC's number per epoch, under a line that says what the numbers mean.

    ISRUC's own files lack that line; without it our readers refuse the bare numbers, as they should.
    """
    meant = ", ".join(f"{code}={stage}" for stage, code in ISRUC_CODES.items())
    _lines(path, ["# simulated", f"# codes: {meant}", *(str(ISRUC_CODES[stage]) for stage in scored.stages)])


def write_ucddb_stages(path: Path, scored: Scored, start_clock_s: float) -> None:
    """UCDDB's `NAME_stage.txt`: a number per epoch, R&K."""
    _lines(path, [UCDDB_STAGES[stage] for stage in _as_rk(scored.stages)])


def write_ucddb_events(path: Path, scored: Scored, start_clock_s: float) -> None:
    """UCDDB's `NAME_respevt.txt`: apneas and hypopneas at the time of day, with the fall of oxygen; none, no file."""
    falls = [event for event in scored.events if event.name == "desaturation"]
    rows = []
    for event in scored.events:
        if event.name != "desaturation":
            name = UCDDB_EVENTS.get(event.name, "HYP-C" if event.cause == "central" else "HYP-O")
            fall = next((f for f in falls if event.start_s < f.start_s < event.stop_s + 45), None)
            low = "" if fall is None else f"{fall.spo2_min_pct or 0:<8.1f}{fall.drop_pct or 0:<7.1f}"
            at = clock(start_clock_s + event.start_s)
            rows.append(f"{at}  {name:<13}{'':<7}{event.stop_s - event.start_s:<7.0f}{low:<15}-      -")
    if not rows:
        path.unlink(missing_ok=True)
        return
    head = [f"{'':32}Desaturation                     B/T",
            "Time      Type         PB/CS  Dur.   Low     %Drop  Snore  Arousal  Rate  Change", ""]  # fmt: skip
    _lines(path, [*head, *rows, "", f" {len(rows)} events"])


def write_hypnogram(path: Path, scored: Scored, start_clock_s: float) -> None:
    """Sleep-EDF's `NAME-Hypnogram.edf`: an EDF+ file of R&K stages alone, each as long as it lasts."""
    texts = {"W": "Sleep stage W", "N1": "Sleep stage 1", "N2": "Sleep stage 2", "N3": "Sleep stage 3",
             "S4": "Sleep stage 4", "REM": "Sleep stage R", "unscored": "Sleep stage ?"}  # fmt: skip
    bouts = stage_bouts(_as_rk(scored.stages))
    notes = [Annotation(first * EPOCH_S, count * EPOCH_S, texts[stage]) for first, count, stage in bouts]
    start: datetime = DUMMY_START + timedelta(seconds=start_clock_s)
    write_edf(path, [], start=start, annotations=notes, recording_note="simulated")


def edf_annotations(scored: Scored) -> list[Annotation]:
    """The EDF+ annotations of a night: standard stage texts per epoch, AASM event names, lights."""
    stages = [
        Annotation(i * EPOCH_S, EPOCH_S, f"Sleep stage {_short(stage)}")
        for i, stage in enumerate(scored.stages)
        if stage != "unscored"  # nothing is written where nothing was recorded
    ]
    events = [Annotation(e.start_s, round(e.stop_s - e.start_s, 1), EDF_EVENTS[e.name]) for e in scored.events]
    lights = [Annotation(scored.lights_off_s, None, "Lights off"), Annotation(scored.lights_on_s, None, "Lights on")]
    return sorted([*stages, *events, *lights], key=lambda a: a.onset_s)


def _in_nsrr(event: TruthEvent) -> tuple[str, str]:
    """Event type and concept; legs have their side."""
    kind, concept = NSRR_EVENTS[event.name]
    if "limb movement" in event.name and event.cause in ("left", "right"):
        words, text = concept.split("|")
        concept = f"{words} - {event.cause}|{text} ({event.cause.capitalize()})"
    return kind, concept


def _short(stage: str) -> str:
    return SHORT_STAGES.get(stage, stage)


def _runs(scored: Scored) -> Iterator[tuple[float, float, str]]:
    """Start, stop and stage of each run of one stage."""
    for first, count, stage in stage_bouts(scored.stages):
        yield first * EPOCH_S, (first + count) * EPOCH_S, stage


def _as_rk(stages: Sequence[str]) -> list[str]:
    """Stages with `S4`, the middle of a long N3: where slow waves fill most of the epoch. Its length is ours."""
    told = list(stages)
    for first, count, stage in stage_bouts(stages):
        if stage == "N3":
            told[first + 3 : first + count - 3] = ["S4"] * max(0, count - 6)
    return told


def _lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _save(root: Element, path: Path) -> None:
    indent(root)
    ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


Writer = Callable[[Path, Scored, float], None]
# Format -> its files: what follows the recording's name, writer. "edf+" has no file of its own.
WRITERS: Final[dict[str, tuple[tuple[str, Writer], ...]]] = {
    "edf+": (),
    "nsrr xml": (("-nsrr.xml", write_nsrr),),
    "profusion xml": (("-profusion.xml", write_profusion),),
    "luna annot": ((".annot", write_annot),),
    "luna eannot": ((".eannot", write_eannot),),
    "hypnogram edf+": (("-Hypnogram.edf", write_hypnogram),),
    "hypnogram text": (("_hypnogram.txt", write_codes),),
    "csv": ((".csv", write_csv),),
    "bids": (("_events.tsv", write_bids),),
    "ucddb": (("_stage.txt", write_ucddb_stages), ("_respevt.txt", write_ucddb_events)),
}
