"""Bad files, one line each: the rest of the cohort goes in, nobody is named, and nothing is waited for."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.captions import caption_epochs, measure_epochs, night_report, score_epochs
from encoders.errors import BadInput
from encoders.recordings import build_epochs, epoch_grid, open_recording
from encoders.recordings.annotations import find_annotations, read_annotations
from encoders.recordings.header import BLOCK, MAIN
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf
from index import Snapshot
from retrieval import Cohort, check
from tests.real import psg, sleepsearch

START = datetime(1987, 6, 5, 22, 30)
RATES = {"C3-M2": 128, "SpO2": 1}
BOMB = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><PSGAnnotation>&b;</PSGAnnotation>'
CSV = "onset_s,duration_s,label\n"


def noise(seconds: float, label: str = "C3-M2", unit: str = "uV") -> EdfSignal:
    return EdfSignal(label, 20 * np.random.default_rng(3).standard_normal(round(128 * seconds)), 128, unit)


def patched(raw: bytes, field: str, text: str) -> bytes:
    """An EDF's bytes with one field of the main header rewritten."""
    at = sum(width for name, width in MAIN[: [name for name, _ in MAIN].index(field)])
    width = dict(MAIN)[field]
    return raw[:at] + text.ljust(width).encode()[:width] + raw[at + width :]


# Each: what is written from the bytes of a good 10-minute EDF, and what its reason must say.
REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "zero": (lambda raw: b"", "zero bytes"),
    "text": (lambda raw: b"hello world " * 90, "not an EDF"),
    "main-header-cut": (lambda raw: raw[:200], "cut off"),
    "signal-header-cut": (lambda raw: raw[:600], "number of signals"),
    "first-record-cut": (lambda raw: raw[:5000], "at least one whole record"),
    "zero-hz": (lambda raw: patched(raw, "record duration", "0"), "record duration is '0'"),
    "no-signals": (
        lambda raw: patched(patched(raw, "number of signals", "0"), "header bytes", "256"), "number of signals"
    ),
}  # fmt: skip
MENDED: dict[str, Callable[[bytes], bytes]] = {
    "clipped": lambda raw: raw[:-1000],
    "claimed": lambda raw: patched(raw, "number of records", "99999999"),
    "uncounted": lambda raw: patched(raw, "number of records", "-1"),
    "lying": lambda raw: patched(raw, "header bytes", "99999999"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good night, each kind of bad one, and scorings that can't be used beside good nights."""
    at = tmp_path_factory.mktemp("nights")
    raw = psg(at / "good.edf", 600, rates=RATES, start=START).read_bytes()
    for name, (spoil, _) in REFUSED.items():
        (at / f"{name}.edf").write_bytes(spoil(raw))
    for name, mend in MENDED.items():
        (at / f"{name}.edf").write_bytes(mend(raw))
    write_edf(at / "short.edf", [noise(10)], start=START, kind="EDF")
    write_edf(at / "no-channel.edf", [noise(60, "Temp", "C")], start=START, kind="EDF")
    write_edf(at / "twice.edf", [noise(60), noise(60)], start=START, kind="EDF")
    write_edf(at / "Zoë 😀 雪.edf", [noise(60)], start=START, kind="EDF")
    beside = {
        "bomb.xml": BOMB,
        "broken.xml": "<PSGAnnotation><ScoredEvents>",
        "prose.csv": "The night was calm, she slept well.\nNothing, else.\n",
        "nan.csv": CSV + "0,30,N2\nnan,30,N3\n60,nan,N2\n90,30,nan\n120,30,N3\n",
        "longer.csv": CSV + "".join(f"{30 * i},30,N2\n" for i in range(2000)) + "3000,20,Hypopnea\n590,40,Arousal\n",
    }
    for name, text in beside.items():
        psg(at / f"{name[:-4]}.edf", 600, rates=RATES, start=START)
        (at / name).write_text(text)
    if hasattr(os, "mkfifo"):
        os.mkfifo(at / "pipe.edf")
        os.mkfifo(at / "good.csv")
    (at / "gone.edf").symlink_to(at / "nowhere.edf")
    (at / "good.xml").symlink_to(at / "nowhere.xml")
    return at


REASONS = {name: words for name, (_, words) in REFUSED.items()} | {
    "short": "10 s of signal; at least one epoch of 30 s", "no-channel": "no usable channel", "gone": "no such file",
    "pipe": "a pipe", "bomb": "declares entities", "broken": "broken XML", "prose": "format not recognised",
}  # fmt: skip
GOOD = {"good", "twice", "Zoë 😀 雪", "bomb", "broken", "prose", "nan", "longer", *MENDED}


@pytest.fixture(scope="module")
def cohort(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("cohort")
    subjects = tmp_path_factory.mktemp("subjects") / "s.csv"
    subjects.write_text("recording,subject,age,bmi,score\ngood,p1,NaN,inf,nan\n")
    run = sleepsearch("ingest", folder, "--cohort", root, "--json", "--workers", 2, "--subjects", subjects)
    assert run.code == 0 and "Traceback" not in run.err
    assert run.json["recordings"] == len(GOOD)
    return root, {Path(failure["path"]).stem: failure["error"] for failure in run.json["failed"]}


def test_each_bad_file_has_one_line_and_the_others_go_in(cohort: tuple[Path, dict[str, str]]) -> None:
    root, failed = cohort
    assert failed.keys() == REASONS.keys()
    for name, words in REASONS.items():
        assert words in failed[name] and failed[name].isprintable() and len(failed[name]) < 400
        assert not re.match(r"\w+(Error|Input|Recording|Channel|Annotations):", failed[name])  # no class of ours
    assert set(Snapshot.open(root).sql("SELECT recording FROM recordings")["recording"]) == GOOD


def test_check_says_the_same_without_writing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    run = sleepsearch("check", folder, "--json")
    assert run.code == 1 and sorted(folder.iterdir()) == before
    refused = {Path(row["path"]).stem: row["error"] for row in run.json["refused"]}
    assert refused.keys() == REASONS.keys()
    assert all(words in refused[name] for name, words in REASONS.items())
    rows = {row["recording"]: row for row in run.json["recordings"]}
    assert rows.keys() == GOOD
    assert "used 19, from the size of the file" in str(rows["clipped"]["notes"])
    assert "'99999999', used 20" in str(rows["claimed"]["notes"])
    assert "stands twice" in str(rows["twice"]["notes"])
    assert "1980 stage epochs after the recording's end" in str(rows["longer"]["notes"])


def test_a_bad_scoring_costs_the_scoring_and_not_the_night(cohort: tuple[Path, dict[str, str]]) -> None:
    root, failed = cohort
    for name in ("bomb", "broken", "prose"):
        assert failed[name].startswith(f"{name}.")
        rows = Snapshot.open(root).sql("SELECT stage FROM epochs WHERE recording = ?", [name])
        assert len(rows) == rows["stage"].null_count() == 20
        (notes,) = Snapshot.open(root).sql("SELECT notes FROM recordings WHERE recording = ?", [name])["notes"]
        assert any("scoring left out" in note and name not in note for note in notes)


def test_what_a_csv_says_wrongly_is_left_out_and_counted(cohort: tuple[Path, dict[str, str]]) -> None:
    frame = Snapshot.open(cohort[0]).sql("SELECT * FROM epochs WHERE recording = 'nan'")
    assert frame.sort("start_s")["stage"].to_list()[:5] == ["N2", "unscored", "unscored", "unscored", "N3"]
    (text,) = frame["alignment"][0]
    assert all(said in text for said in ("onset_s 'nan'", "duration_s 'nan'", "label 'nan'"))


def test_what_lies_past_the_end_is_cut_and_said(cohort: tuple[Path, dict[str, str]]) -> None:
    events = Snapshot.open(cohort[0]).sql("SELECT name, start_s, stop_s FROM events WHERE recording = 'longer'")
    assert events.rows() == [("arousal", 590.0, 600.0)]


@pytest.mark.parametrize("what", ["an empty folder", "no such folder", "only bad files"])
def test_when_nothing_goes_in_the_exit_code_is_1(tmp_path: Path, what: str) -> None:
    source = tmp_path / "nights"
    if what != "no such folder":
        source.mkdir()
    if what == "only bad files":
        (source / "a.edf").write_bytes(b"")
    run = sleepsearch("ingest", source, "--cohort", tmp_path / "cohort", "--json")
    assert run.code == 1 and "Traceback" not in run.err + run.out
    (failure,) = run.json["failed"]
    reason = {"an empty folder": "no EDF or BDF recording in this folder", "no such folder": "no such file or folder"}
    assert failure["error"] == reason.get(what, "a.edf: zero bytes; copy it again from its source.")
    assert sleepsearch("check", source).code == 1
    asked = sleepsearch("search", "REM", "--cohort", tmp_path / "cohort")
    assert asked.code == 1 and asked.err.startswith("sleepsearch: ") and asked.err.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    psg(tmp_path / "locked.edf", 60, rates=RATES).chmod(0)
    report = check([tmp_path])
    assert "Permission denied" in report["refused"][0]["error"]


def test_nan_in_the_subjects_csv_is_unknown(cohort: tuple[Path, dict[str, str]]) -> None:
    row = Snapshot.open(cohort[0]).sql("SELECT * FROM recordings WHERE recording = 'good'").row(0, named=True)
    assert (row["subject"], row["age"], row["bmi"], row["score"]) == ("p1", None, None, None)


# ---- nobody is named -------------------------------------------------------------------------------------------------

PERSON = ("winterbottom", "agatha", "02-may-1951", "1951-05-02", "frankenstein", "0234567", "05-jun-1987", "1987-06-05")


def named(path: Path, signals: list[EdfSignal], annotations: list[Annotation] | None = None) -> Path:
    """An EDF of Agatha Winterbottom: in its patient and recording fields, and where `path` says so in its name."""
    path.parent.mkdir(exist_ok=True)
    write_edf(path, signals, start=START, annotations=annotations or [], kind="EDF+C")
    raw = path.read_bytes()
    raw = patched(raw, "patient", "MCH-0234567 F 02-MAY-1951 Winterbottom_Agatha")
    path.write_bytes(patched(raw, "recording", "Startdate 05-JUN-1987 PSG-1 Dr_Frankenstein Telemetry"))
    return path


def test_no_name_or_date_leaves_the_reader(tmp_path: Path) -> None:
    folder, root, page = tmp_path / "nights", tmp_path / "cohort", tmp_path / "hits.html"
    spoken = [Annotation(30.0 * i, 30.0, "Sleep stage N2") for i in range(4)]
    spoken += [Annotation(42, 5, "Mrs Winterbottom coughs"), Annotation(60, 10, "Hypopnea")]
    flow = EdfSignal("Flow", np.sin(np.arange(1920) / 10), 16)  # an ambiguous label: its note names no file
    named(folder / "Winterbottom_Agatha.edf", [noise(120), flow], spoken)
    named(folder / "Winterbottom_Agatha_1951-05-02.edf", [noise(120)])
    (folder / "Winterbottom_Agatha_1951-05-02.csv").write_text(CSV + "0,30,N2\n30,30,Winterbottom\n")
    named(folder / "Winterbottom Agatha" / "night1.edf", [noise(120)])
    named(folder / "other" / "night1.edf", [noise(120)])
    named(folder / "Agatha_Winterbottom.edf", [noise(120)])
    (folder / "Agatha_Winterbottom.annot").write_text("Winterbottom Agatha born 02-MAY-1951\n")
    named(folder / "no_channel_Winterbottom_Agatha.edf", [noise(60, "Temp", "C")])
    (folder / "Winterbottom_Agatha_report.edf").write_text("Winterbottom Agatha " * 40)
    (tmp_path / "s.csv").write_text("recording,subject,age\nWinterbottom_Agatha.edf,,70\n")

    run = sleepsearch("ingest", folder, "--cohort", root, "--json", "--subjects", tmp_path / "s.csv")
    assert run.json["recordings"] == 5 and len(run.json["failed"]) == 3
    said = [run.err, str(run.json["notes"])]
    for failure in run.json["failed"]:  # which file it was has to be said; what it holds has not
        path = Path(failure["path"])
        said += [failure["error"].replace(path.name, "").replace(path.stem, "")]
    for arguments in (("info",), ("nights",), ("search", "N2", "--explain", "--out", page)):
        answer = sleepsearch(*arguments, "--cohort", root, "--json")
        assert answer.code == 0
        said += [answer.out, answer.err]
    kept = [path for path in root.rglob("*") if path.is_file() and "private" not in path.parts]
    assert any(path.name == "catalog.duckdb" for path in kept)
    haystacks = {str(path.relative_to(root)): path.read_bytes() for path in kept}
    for frame in ("recordings", "nights", "epoch_rows", "events", "subjects", "coverage", "captions"):
        rows = Snapshot.open(root).sql(f"SELECT * FROM {frame}")  # what the file holds compressed
        haystacks[frame] = str(rows.to_dicts()).encode()
    haystacks |= {"page": page.read_bytes(), "output": "\n".join(said).encode()}
    for where, data in haystacks.items():
        assert [word for word in PERSON if word.encode() in data.lower()] == [], where
    assert Cohort(root).nights()["age"].drop_nulls().to_list() == [70.0]


# ---- any damage at all -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """Two minutes of an EDF+ with stages and events inside, and the length of its header."""
    path = tmp_path_factory.mktemp("small") / "n.edf"
    rng = np.random.default_rng(5)
    t = np.arange(120 * 64) / 64
    signals = [
        EdfSignal("C3-M2", 20 * rng.standard_normal(len(t)), 64, "uV", -500, 500),
        EdfSignal("Thorax", np.sin(2 * np.pi * t[::4] / 4), 16, "", -2, 2),
        EdfSignal("Nasal Pressure", np.sin(2 * np.pi * t[::4] / 4), 16, "", -2, 2),
        EdfSignal("SpO2", np.full(120, 95.0), 1, "%", 0, 100),
    ]
    notes = [Annotation(30.0 * i, 30.0, f"Sleep stage {s}") for i, s in enumerate("W23R")]
    notes += [
        Annotation(35, 12, "Obstructive apnea"),
        Annotation(44, 3, "Arousal"),
        Annotation(50, 20, "SpO2 desaturation"),
    ]
    write_edf(path, signals, start=START, annotations=notes, record_s=10)
    return path.read_bytes(), BLOCK * (1 + len(signals) + 1)


def walk(path: Path) -> str:
    """The whole way from a file to its night's report."""
    recording = open_recording([path])
    scorings = read_annotations(find_annotations([path]), recording.clock())
    staged = next((s for s in scorings if "stages" in s.coverage), None)
    epochs = build_epochs(recording, epoch_grid(min(recording.duration_s, 7200.0), staged), signals=False)
    measures = measure_epochs(recording, epochs)
    scored = score_epochs(epochs.start_s, scorings)
    assert all(len(column) == len(epochs) for column in measures.values()) and len(scored) == len(epochs)
    captions = caption_epochs(measures, scored, epochs, numbers=True)
    assert all("nan" not in text and "inf " not in text for parts in captions for text in parts.values())
    row = night_report(recording, epochs, measures, scored, scorings)
    assert pl.DataFrame([row], infer_schema_length=None).height == 1
    return str(row["report"])


def test_the_undamaged_file_is_understood(small: tuple[bytes, int], tmp_path: Path) -> None:
    (tmp_path / "n.edf").write_bytes(small[0])
    report = walk(tmp_path / "n.edf")
    assert "2 min recorded" in report and "AHI as scored 40.0 per hour of sleep" in report


NUMBERS = st.sampled_from(b"0|-1|1|2|3|60|256|1280|99999999|1e30|-9e9|1e-9|nan|inf||1,5|0x10|EDF+D|Winter".split(b"|"))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_damage_anywhere_gives_a_night_or_one_line(
    small: tuple[bytes, int], tmp_path: Path, data: st.DataObject
) -> None:
    raw, header = small
    spoiled = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["field", "header", "body", "blank", "cut"]))
        at = data.draw(st.integers(0, header - 1) if kind in ("field", "header") else st.integers(header, len(raw) - 9))
        if kind == "field":
            text = data.draw(NUMBERS).ljust(8)
            spoiled[at // 8 * 8 : at // 8 * 8 + 8] = text
        elif kind == "cut":
            del spoiled[data.draw(st.integers(0, len(raw))) :]
        else:
            length = 1 if kind == "header" else data.draw(st.integers(1, 2000))
            rubbish = bytes(length) if kind == "blank" else data.draw(st.binary(min_size=length, max_size=length))
            spoiled[at : at + length] = rubbish
    path = tmp_path / "n.edf"
    path.write_bytes(bytes(spoiled))
    try:
        walk(path)
    except BadInput as error:
        assert str(error).isprintable() and len(str(error)) < 600
