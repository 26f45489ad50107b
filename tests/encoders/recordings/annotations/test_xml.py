"""NSRR and Profusion XML: what counts, what a code means, what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from encoders.errors import UnreadableAnnotations
from encoders.recordings.annotations import RecordingClock, detect_format, read_annotations
from encoders.recordings.timeline import Scoring

NIGHT = RecordingClock(duration_s=3600.0)


def nsrr(events: str, epoch: str = "<EpochLength>30</EpochLength>") -> str:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{head}<PSGAnnotation>{epoch}<ScoredEvents>{events}</ScoredEvents></PSGAnnotation>"


def event(concept: str, start: object, duration: object, kind: str = "Respiratory|Respiratory", more: str = "") -> str:
    return (
        f"<ScoredEvent><EventType>{kind}</EventType><EventConcept>{concept}</EventConcept><Start>{start}</Start>"
        f"<Duration>{duration}</Duration>{more}</ScoredEvent>"
    )


def stage(concept: str, start: object, duration: object) -> str:
    return event(concept, start, duration, "Stages|Stages")


def profusion(stages: list[int], events: str = "") -> str:
    codes = "".join(f"<SleepStage>{code}</SleepStage>" for code in stages)
    return (
        f"<CMPStudyConfig><ScoredEvents>{events}</ScoredEvents><EpochLength>30</EpochLength>"
        f"<SleepStages>{codes}</SleepStages></CMPStudyConfig>"
    )


def named(name: str, start: float = 10, duration: float = 12, more: str = "") -> str:
    return f"<ScoredEvent><Name>{name}</Name><Start>{start}</Start><Duration>{duration}</Duration>{more}</ScoredEvent>"


def read(path: Path, text: str | bytes, **options: object) -> Scoring:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (scoring,) = read_annotations([path], NIGHT, **options)  # type: ignore[arg-type]
    return scoring


@pytest.mark.parametrize(("number", "epochs", "events"), [(1, 1364, 905), (2, 1195, 257), (3, 1364, 1005)])
def test_learn_nights_hold_the_published_number_of_scored_events(
    shared_data: Path, number: int, epochs: int, events: int
) -> None:
    # The published 905, 257 and 1,005 count every ScoredEvent element, artifacts included, stages not.
    path = shared_data / "nsrr_learn_annotations" / f"learn-nsrr0{number}.xml"
    (scoring,) = read_annotations([path], RecordingClock(50_000.0))
    assert (len(scoring.stages), len(scoring.events)) == (epochs, events)
    assert scoring.alignment.unknown == () and scoring.alignment.cut == ()
    assert set(scoring.coverage) == {"stages", "arousals", "respiratory events", "desaturations"}


def test_learn_night_1_is_r_and_k_and_its_counts_are_those_of_the_file(shared_data: Path) -> None:
    (scoring,) = read_annotations(
        [shared_data / "nsrr_learn_annotations" / "learn-nsrr01.xml"], RecordingClock(50_000.0)
    )
    assert scoring.rules == "R&K"  # one epoch of stage 4
    assert Counter(e.name for e in scoring.events) == {
        "hypopnea": 361, "desaturation": 254, "arousal": 194, "artifact": 59, "obstructive apnea": 37,
    }  # fmt: skip
    assert Counter(s.stage for s in scoring.stages) == {"N2": 523, "W": 477, "REM": 238, "N1": 109, "N3": 17}
    nadirs = [e.spo2_min_pct for e in scoring.events if e.name == "desaturation"]
    assert all(nadir is not None and 50 <= nadir <= 100 for nadir in nadirs)


def test_run_length_stages_become_one_span_per_epoch(tmp_path: Path) -> None:
    scoring = read(tmp_path / "n.xml", nsrr(stage("Wake|0", 0, 90) + stage("REM sleep|5", 90, 60)))
    assert [(s.start_s, s.stop_s, s.stage) for s in scoring.stages] == [
        (0, 30, "W"), (30, 60, "W"), (60, 90, "W"), (90, 120, "REM"), (120, 150, "REM"),
    ]  # fmt: skip
    assert scoring.epoch_s == 30 and not scoring.regridded


def test_recording_start_time_is_not_an_event(tmp_path: Path) -> None:
    start = event("Recording Start Time", 0, 3600, "", "<ClockTime>01.01.85 22.30.00</ClockTime>")
    scoring = read(tmp_path / "n.xml", nsrr(start + stage("Stage 2 sleep|2", 0, 30)))
    assert scoring.events == () and scoring.alignment.unknown == ()
    assert "22:30:00" in scoring.alignment.reason


def test_unsure_is_a_hypopnea_only_where_the_cohort_documents_it(tmp_path: Path) -> None:
    text = nsrr(stage("Stage 2 sleep|2", 0, 600) + event("Unsure|Unsure", 40, 15))
    elsewhere = read(tmp_path / "n.xml", text)
    assert [e.name for e in elsewhere.events] == ["unsure"] and "respiratory events" not in elsewhere.coverage
    for cohort in ("mros", "mesa", "ccshs", "cfs", "MESA"):
        scoring = read(tmp_path / "n.xml", text, cohort=cohort)
        assert [e.name for e in scoring.events] == ["hypopnea"] and "respiratory events" in scoring.coverage
    assert read(tmp_path / "n.xml", text, cohort="shhs").events[0].name == "unsure"


def test_apnea_without_type_stays_apnea(tmp_path: Path) -> None:
    assert read(tmp_path / "n.xml", nsrr(event("Apnea|APNEA", 40, 15))).events[0].name == "apnea"


@pytest.mark.parametrize(
    ("concept", "name"),
    [
        ("Obstructive apnea|Obstructive Apnea", "obstructive apnea"),
        ("Obstructive_apnea|APNEA-OBSTRUCTIVE", "obstructive apnea"),
        ("Central_apnea|APNEA-CENTRAL", "central apnea"),
        ("Spontaneous arousal|Arousal (apon aro)", "arousal"),
        ("ASDA arousal|Arousal (ADSA)", "arousal"),
        ("Respiratory effort related arousal|RERA", "RERA"),
        ("SpO2 desaturation|DESAT", "desaturation"),
        ("Limb movement - left|Limb Movement (Left)", "limb movement"),
        ("Periodic leg movement - right|PLM (Right)", "periodic limb movement"),
        ("Body position change to left|POSITION-LEFT", "position change"),
        ("SpO2 artifact|SpO2 artifact", "artifact"),
    ],
)
def test_nsrr_concepts_have_their_aasm_names(tmp_path: Path, concept: str, name: str) -> None:
    assert read(tmp_path / "n.xml", nsrr(event(concept, 40, 15))).events[0].name == name


def test_an_event_nobody_mapped_is_counted_not_dropped(tmp_path: Path) -> None:
    scoring = read(tmp_path / "n.xml", nsrr(event("Zzz|zzz", 1, 1) + event("Zzz|zzz", 5, 1) + stage("Wake|0", 0, 30)))
    assert scoring.events == () and scoring.alignment.unknown == ("Zzz|zzz x 2",)


def test_a_kind_without_an_event_is_not_covered_unless_declared(tmp_path: Path) -> None:
    text = nsrr(stage("Stage 2 sleep|2", 0, 600))
    assert set(read(tmp_path / "n.xml", text).coverage) == {"stages"}
    declared = read(tmp_path / "n.xml", text, scope=["respiratory events", "stages"])
    assert declared.coverage["respiratory events"] == "declared" and "arousals" not in declared.coverage
    with pytest.raises(UnreadableAnnotations, match="did you mean 'arousals'"):
        read(tmp_path / "n.xml", text, scope=["arousal"])


def test_settings_that_name_what_could_be_scored_declare_nothing(tmp_path: Path) -> None:
    settings = (
        "<ScoredEventSettings><ScoredEventSetting><Name>Central Apnea</Name></ScoredEventSetting></ScoredEventSettings>"
    )
    scoring = read(tmp_path / "p.xml", profusion([0, 2]).replace("<ScoredEvents>", settings + "<ScoredEvents>"))
    assert set(scoring.coverage) == {"stages"}


def test_profusion_5_is_rem_and_9_is_unscored(tmp_path: Path) -> None:
    scoring = read(tmp_path / "p.xml", profusion([0, 1, 2, 3, 4, 5, 6, 9, 7]))
    assert [s.stage for s in scoring.stages] == ["W", "N1", "N2", "N3", "N3", "REM", "unscored", "unscored", "unscored"]
    assert scoring.rules == "R&K" and scoring.alignment.unknown == (
        "stage '7' x 1",
    )  # 7 is no Profusion code: not guessed


def test_profusion_is_read_by_element_name_not_by_place(tmp_path: Path) -> None:
    more = "<LowestSpO2>84.5</LowestSpO2><Desaturation>6</Desaturation>"
    scoring = read(
        tmp_path / "p.xml", profusion([2, 2], named("SpO2 desaturation", more=more) + named("Arousal (Foo)"))
    )
    assert [(e.name, e.spo2_min_pct) for e in scoring.events] == [("desaturation", 84.5), ("arousal", None)]


def test_a_stage_is_only_said_to_be_scored_where_one_is(tmp_path: Path) -> None:
    assert read(tmp_path / "p.xml", profusion([9, 9], named("Hypopnea"))).coverage.keys() == {"respiratory events"}


def test_values_that_are_no_seconds_are_left_out_and_reported(tmp_path: Path) -> None:
    events = (
        event("Hypopnea|Hypopnea", "nan", 12) + event("Hypopnea|Hypopnea", 30, -5) + event("Hypopnea|Hypopnea", 60, 12)
    )
    scoring = read(tmp_path / "n.xml", nsrr(events))
    assert len(scoring.events) == 1
    assert scoring.alignment.cut == (
        "2 events left out: ScoredEvent 1 has Start 'nan', Duration '12', wanted seconds (the first)",
    )


def test_missing_epoch_length_is_a_repair(tmp_path: Path) -> None:
    scoring = read(tmp_path / "n.xml", nsrr(stage("Wake|0", 0, 60), epoch=""))
    assert scoring.epoch_s == 30 and "EpochLength" in str(scoring.repairs[0])


def test_an_xml_bomb_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    entities = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {b} "&{a};&{a};&{a};">' for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE z [{entities}]><PSGAnnotation>&h;</PSGAnnotation>')
    with pytest.raises(UnreadableAnnotations, match=r"^bomb\.xml: the XML declares entities[^\n]*$"):
        read_annotations([path], NIGHT)


@pytest.mark.parametrize("cut", [1, 40, 120, 260])
def test_truncated_xml_is_refused_in_one_line(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.xml"
    path.write_text(nsrr(stage("Wake|0", 0, 60) + event("Hypopnea|Hypopnea", 60, 12))[:cut])
    with pytest.raises(UnreadableAnnotations, match=r"^t\.xml: [^\n]*$"):
        read_annotations([path], NIGHT)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.xml"
    for data in (b"", b" \n", b"\xef\xbb\xbf"):
        path.write_bytes(data)
        with pytest.raises(UnreadableAnnotations, match="the file is empty"):
            read_annotations([path], NIGHT)


def test_xml_in_another_encoding_than_it_declares_is_read(tmp_path: Path) -> None:
    text = nsrr(stage("Wake|0", 0, 60) + event("Hypopnée|Hypopnée", 60, 12) + event("Hypopnea|Hypopnea", 80, 12))
    for data in (text.encode("latin-1"), text.encode("utf-16"), text.replace("UTF-8", "utf-16").encode()):
        scoring = read(tmp_path / "n.xml", data)
        assert len(scoring.stages) == 2 and len(scoring.events) == 1
        assert scoring.alignment.unknown == ("Hypopnée|Hypopnée x 1",)
    assert detect_format(tmp_path / "n.xml") == "nsrr xml"


def test_another_xml_is_refused_with_its_root(tmp_path: Path) -> None:
    path = tmp_path / "o.xml"
    path.write_text("<html><body/></html>")
    with pytest.raises(UnreadableAnnotations, match="root is <html>"):
        read_annotations([path], NIGHT)


def test_of_twin_nsrr_and_profusion_files_the_nsrr_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "x-nsrr.xml").write_text(nsrr(stage("Wake|0", 0, 60)))
    (tmp_path / "x-profusion.xml").write_text(profusion([0, 0]))
    (scoring,) = read_annotations(sorted(tmp_path.iterdir(), reverse=True), NIGHT)
    assert (
        scoring.source == "nsrr xml"
        and "Profusion XML of the same night is the same scoring" in scoring.alignment.reason
    )
