"""Out again: what other tools read of an export, that it comes back as it was, and that nobody is named in it."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.errors import BadInput
from encoders.recordings import EdfSignal, write_edf
from encoders.recordings.annotations import RecordingClock, find_annotations, read_annotations
from encoders.recordings.annotations.table import event_of, stage_of
from encoders.vocabulary import EVENTS, STAGES
from index import Labels
from retrieval import Cohort, ingest
from retrieval.exports.annot import _class
from retrieval.exports.edfplus import annotation
from retrieval.exports.scored import Row
from tests.real import sleepsearch

EPOCHS = 40
PATIENT = "7731 F 04-MAR-1961 Jane_Doe"
HYPNOGRAM = ["W"] * 8 + ["N1"] * 4 + ["N2"] * 12 + ["N3"] * 8 + ["REM"] * 6 + ["unscored"] * 2
SCORING = [
    "# scope: stages, arousals, respiratory events, desaturations",
    "onset_s,duration_s,label,channel,scorer",
    "60,0,Lights off,,human", "1140,0,Lights on,,human",
    "312.5,14.25,obstructive apnea,AF,human", "330.125,21,desaturation,,human", "400,3,RERA,,human",
    "610,0,position change,,human",
    *(f"{30 * n},30,{stage},,human" for n, stage in enumerate(HYPNOGRAM)),
    *(f"{30 * n},30,{'W' if n < 10 else 'N2'},,auto:other" for n in range(EPOCHS)),
]  # fmt: skip
FORMATS = ("annot", "edf+", "tsv")


def night(folder: Path, *, scored: bool) -> Path:
    """Twenty minutes whose header names somebody, beside them the scoring of a person and of a program."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    n = 30 * EPOCHS
    signals = [
        EdfSignal("C4-M1", rng.normal(0, 12, n * 100), 100, "uV"),
        EdfSignal("E1-M2", rng.normal(0, 9, n * 100), 100, "uV"),
        EdfSignal("Nasal Pressure", np.sin(np.arange(n * 25) / 16), 25),
        EdfSignal("SpO2", np.full(n, 96.0), 1, "%", 0, 100),
    ]  # fmt: skip
    path = folder / "n7.edf"
    write_edf(path, signals, start=datetime(2011, 6, 5, 22, 41, 7), kind="EDF+C")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(PATIENT.ljust(80).encode())
    if scored:
        (folder / "n7.csv").write_text("\n".join(SCORING) + "\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def here() -> Iterator[None]:
    """Nights are read in this process: starting another takes longer than reading twenty minutes."""

    def serial(
        work: Callable[[Any], Any], jobs: Iterable[Any], *_: object, **__: object
    ) -> Iterator[tuple[Any, Any, None]]:
        for job in jobs:
            yield job, work(job), None

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ingest.__globals__, "run_jobs", serial)
        yield


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of that night with two labels; read only."""
    folder = tmp_path_factory.mktemp("scored")
    night(folder / "nights", scored=True)
    assert not ingest([folder / "nights"], folder / "cohort").failed
    log = Labels(folder / "cohort")
    log.add("n7", 300.0, 330.0, "arousal", author="kim")
    log.undo(log.add("n7", 30.0, 60.0, "spindle", author="kim"), author="kim")
    return folder


def said(root: Path) -> dict[str, Any]:
    """Everything that a scorer decides, from a cohort's catalog."""
    snapshot = Cohort(root, device="cpu").snapshot
    queries = {
        "epochs": "SELECT start_s, stage, stage_source, events, n_arousal, n_obstructive_apnea, n_central_apnea, "
        "n_limb_movement FROM epoch_rows ORDER BY start_s",
        "events": "SELECT name, start_s, stop_s, channel, scorer, linked_to FROM events ORDER BY start_s, name",
        "coverage": "SELECT scorer, kind, used FROM coverage WHERE scored ORDER BY ALL",
        "stages": "SELECT scorer, rules, start_s, stop_s, stage FROM stages ORDER BY ALL",
        "nights": "SELECT tst_min, se_pct, ahi_scored_per_h, lights_off_s, lights_source FROM nights",
        "recordings": "SELECT scorer, stage_scorer, stage_rules FROM recordings",
    }
    return {name: snapshot.sql(query).to_dict(as_series=False) for name, query in queries.items()}


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_exported_reads_back_as_it_was(scored: Path, tmp_path: Path, form: str) -> None:
    night(tmp_path / "again", scored=False)
    report = Cohort(scored / "cohort", device="cpu").export(tmp_path / "again", form, search="REM sleep", k=2)
    assert report.hits and not report.failed
    assert not ingest([tmp_path / "again"], tmp_path / "cohort").failed
    assert said(tmp_path / "cohort") == said(scored / "cohort")


def test_exports_beside_the_original_change_nothing(scored: Path, tmp_path: Path) -> None:
    shutil.copytree(scored, tmp_path / "here")
    folder, root = tmp_path / "here/nights", tmp_path / "here/cohort"
    before = said(root)
    for form in FORMATS:
        Cohort(root, device="cpu").export(folder, form)
    report = ingest([folder], root)
    assert said(root) == before and not report.failed
    again = ingest([folder], root)
    assert (again.recordings, again.skipped) == (0, 1)


def test_formats_side_by_side_are_one_scoring(scored: Path, tmp_path: Path) -> None:
    path = night(tmp_path, scored=False)
    cohort = Cohort(scored / "cohort", device="cpu")
    for form in FORMATS:
        cohort.export(tmp_path, form)
    ingest([tmp_path], tmp_path / "cohort")
    assert said(tmp_path / "cohort")["coverage"] == said(scored / "cohort")["coverage"]
    assert path.is_file()


def test_hits_and_labels_alone_score_nothing(scored: Path, tmp_path: Path) -> None:
    night(tmp_path / "n", scored=False)
    for form in FORMATS:
        Cohort(scored / "cohort", device="cpu").export(
            tmp_path / "n", form, what=["labels", "hits"], search="REM sleep"
        )
    ingest([tmp_path / "n"], tmp_path / "cohort")
    found = said(tmp_path / "cohort")
    assert not found["events"]["name"] and not found["coverage"]["kind"] and not found["stages"]["stage"]


def test_a_program_s_stages_never_come_back_as_a_person_s_even_without_their_json(scored: Path, tmp_path: Path) -> None:
    Cohort(scored / "cohort", device="cpu").export(tmp_path, "tsv", what=["stages"])
    for sidecar in tmp_path.glob("*.json"):
        sidecar.unlink()
    (scoring,) = read_annotations([tmp_path / "n7.scorer2_hypnogram.tsv"], RecordingClock(1200.0))
    assert scoring.scorer == "auto:other"


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_known_again_by_its_text(name: str) -> None:
    row = Row("event", name, 0.0, 1.0)
    assert (
        event_of("luna annot", _class(row)) == event_of("edf+", annotation(row).text) == event_of("bids", name) == name
    )


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_known_again_by_its_text(stage: str) -> None:
    row = Row("stage", stage, 0.0, 30.0)
    assert stage_of("luna annot", _class(row)) == stage_of("edf+", annotation(row).text) == stage
    assert stage_of("bids", stage, in_column=True) == stage


def test_exports_of_sleep_edf_and_bids_names_are_found_again() -> None:
    made = ["SC4001E0-PSG.annot", "SC4001E0-PSG_annotations.edf", "SC4001E0-PSG.scorer2_events.tsv"]
    among = [Path(name) for name in (*made, "SC4001EC-Hypnogram.edf", "SC4002E0-PSG.annot", "SC4001E0-PSG.truth.tsv")]
    found = {path.name for path in find_annotations([Path("SC4001E0-PSG.edf")], among=among)}
    assert found == {*made, "SC4001EC-Hypnogram.edf"}
    bids = [Path("sub-1_task-sleep_hypnogram.tsv")]
    assert find_annotations([Path("sub-1_task-sleep_eeg.edf")], among=bids) == bids


def test_annot_has_the_preamble_columns_and_times_that_luna_documents(scored: Path, tmp_path: Path) -> None:
    Cohort(scored / "cohort", device="cpu").export(tmp_path, "annot", search="REM sleep", k=1)
    lines = (tmp_path / "n7.annot").read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    rows = [line.split("\t") for line in lines[len(head) :]]
    assert rows[0] == ["class", "instance", "channel", "start", "stop", "meta"]
    assert {len(row) for row in rows} == {6} and all(all(cell for cell in row) for row in rows)
    declared = {line[2:].split(" | ")[0] for line in head}
    assert {row[0] for row in rows[1:]} == declared and not any(" " in name for name in declared)
    assert ["obstructive_apnea", ".", "AF", "312.5", "326.75", "."] in rows and [
        "R",
        ".",
        ".",
        "960",
        "990",
        ".",
    ] in rows
    (export,) = (row for row in rows if row[0] == "sleepsearch_export")
    meta = dict(pair.split("=") for pair in export[5].split("|"))
    assert meta["scorer"] == "human" and meta["snapshot"] == "1" and meta["tool"].startswith("sleepsearch ")
    (label,) = (row for row in rows if row[0] == "sleepsearch_label")
    assert label[1:5] == ["arousal", ".", "300", "330"] and "author=kim" in label[5]


def test_mne_reads_edf_plus_annotations_at_their_seconds(scored: Path, tmp_path: Path) -> None:
    mne = pytest.importorskip("mne")
    Cohort(scored / "cohort", device="cpu").export(tmp_path, "edf+")
    notes = mne.read_annotations(tmp_path / "n7_annotations.edf")
    found = {(round(n["onset"], 4), round(n["duration"], 4), str(n["description"]).split("@@")[0]) for n in notes}
    assert {
        (312.5, 14.25, "Obstructive apnea"),
        (330.125, 21.0, "Desaturation"),
        (960.0, 30.0, "Sleep stage R"),
    } <= found
    assert sum(text.startswith("Sleep stage") for _, _, text in found) == EPOCHS


def test_edfio_reads_them_too_and_the_header_names_nobody(scored: Path, tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    Cohort(scored / "cohort", device="cpu").export(tmp_path, "edf+")
    file = edfio.read_edf(tmp_path / "n7_annotations.edf")
    assert any(a.text == "Desaturation" and a.onset == 330.125 and a.duration == 21 for a in file.annotations)
    assert str(file.starttime) == "22:41:07" and (file.startdate.year, file.startdate.month) == (1985, 1)
    assert "Doe" not in file.local_patient_identification


def test_yasa_takes_the_hypnogram(scored: Path, tmp_path: Path) -> None:
    yasa = pytest.importorskip("yasa")
    Cohort(scored / "cohort", device="cpu").export(tmp_path, "tsv")
    stages = pl.read_csv(tmp_path / "n7_hypnogram.tsv", separator="\t")["stage"].to_list()
    spelled = {"W": "WAKE", "unscored": "UNS"}
    hypnogram = yasa.Hypnogram([spelled.get(s, s) for s in stages], n_stages=5, freq="30s")
    statistics = hypnogram.sleep_statistics()
    assert (statistics["N3"], statistics["REM"], statistics["TST"]) == (4.0, 3.0, 15.0)


def test_clips_hold_the_hit_s_own_samples_and_name_nobody(scored: Path, tmp_path: Path) -> None:
    mne, edfio = pytest.importorskip("mne"), pytest.importorskip("edfio")
    cohort = Cohort(scored / "cohort", device="cpu")
    report = cohort.export(tmp_path, "clips", search="REM sleep", k=1)
    (hit,) = cohort.search("REM sleep", k=1).hits
    (name,) = report.files
    raw = mne.io.read_raw_edf(tmp_path / name, preload=True, verbose="error")
    assert raw.times[-1] + raw.times[1] == pytest.approx(hit.stop_s - hit.start_s) and raw.info["sfreq"] == 100
    (run,) = cohort.waveform("n7", hit.start_s, hit.stop_s, ["EEG_C4"])["EEG_C4"]
    step_uv = np.ptp(run.samples) / 2**16
    assert np.abs(raw.get_data("C4-M1")[0] * 1e6 - run.samples).max() < 2 * step_uv
    assert "Sleep stage R" in set(raw.annotations.description)
    file = edfio.read_edf(tmp_path / name)
    clock = (22 * 3600 + 41 * 60 + 7 + hit.start_s) % 86_400
    assert file.starttime.hour * 3600 + file.starttime.minute * 60 + file.starttime.second == clock
    assert (file.startdate.year, file.recording.startdate.year) == (1985, 1985)
    assert {s.sampling_frequency for s in file.signals} == {100.0, 25.0, 1.0}


def test_a_gap_stays_a_gap_in_a_clip(tmp_path: Path) -> None:
    from retrieval.exports.clips import _samples

    class Gapped:
        class montage:  # noqa: N801
            choices = ("EEG_C3", "SPO2")

        def waveform(self, channel: str, start_s: float, stop_s: float) -> list[Any]:
            from encoders.recordings.timeline import Run

            rate_hz = 4.0 if channel == "EEG_C3" else 0.5
            return [
                Run(start_s, rate_hz, np.ones(round(4 * rate_hz))),
                Run(start_s + 8, rate_hz, np.ones(round(2 * rate_hz))),
            ]

    record_s, found, _ = _samples(Gapped(), 100.0, 110.0)  # type: ignore[arg-type]
    assert record_s == 2.0 and found["SPO2"].shape == (5, 1) and found["EEG_C3"].shape == (5, 8)
    for block in found.values():
        assert np.isnan(block).any(axis=1).tolist() == [False, False, True, True, False]


def test_vectors_and_their_ids_are_those_of_the_snapshot(scored: Path, tmp_path: Path) -> None:
    cohort = Cohort(scored / "cohort", device="cpu")
    cohort.export(tmp_path, "vectors", where="stage = 'N3'")
    cohort.export(tmp_path, "arrow", where="stage = 'N3'")
    (ids_at,) = tmp_path.glob("*.caption.ids.parquet")
    (npy,) = tmp_path.glob("*.caption.npy")
    ids, vectors = pl.read_parquet(ids_at), np.load(npy)
    wanted = cohort.snapshot.sql("SELECT DISTINCT caption_id FROM epoch_rows WHERE stage = 'N3' ORDER BY caption_id")
    assert ids["caption_id"].to_list() == wanted["caption_id"].to_list() and ids["readable"].all()
    space = cohort.encoder.space
    assert np.array_equal(vectors, cohort.snapshot.vectors(space, "caption", wanted["caption_id"].to_numpy()))
    (arrow,) = tmp_path.glob("*.caption.arrow")
    assert np.array_equal(np.stack(pl.read_ipc(arrow)["vector"].to_numpy()), vectors)


def test_tables_carry_their_provenance_and_only_the_nights_asked_for(scored: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    cohort = Cohort(scored / "cohort", device="cpu")
    cohort.export(tmp_path, "parquet", where="stage = 'REM'", search="REM sleep", k=3)
    assert json.loads(pq.read_schema(tmp_path / "nights.parquet").metadata[b"sleepsearch"])["where"] == "stage = 'REM'"
    stages = pl.read_parquet(tmp_path / "stages.parquet")
    assert stages.filter(pl.col("scorer") == "human")["stage"].to_list() == HYPNOGRAM
    assert (
        pl.read_parquet(tmp_path / "hits.parquet")["rank"].to_list()
        == list(range(1, 4))[: len(cohort.search("REM sleep", where="stage = 'REM'", k=3).hits)]
    )
    with pytest.raises(BadInput, match="nothing to write"):
        cohort.export(tmp_path / "none", "annot", where="stage = 'NREM'")


def test_no_export_names_the_sleeper_the_night_or_a_path(scored: Path, tmp_path: Path) -> None:
    cohort = Cohort(scored / "cohort", device="cpu")
    for form in ("annot", "edf+", "tsv", "csv", "parquet", "clips", "vectors", "arrow"):
        hits = {} if form in ("vectors", "arrow") else {"search": "REM sleep"}
        cohort.export(tmp_path / form, form, **hits)  # type: ignore[arg-type]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        held = path.read_bytes()
        for secret in (b"Doe", b"1961", b"2011", b"05.06.11", str(scored).encode(), b"n7.edf"):
            assert secret not in held, (path.name, secret)


def test_files_that_stand_are_not_written_over_unless_asked(scored: Path, tmp_path: Path) -> None:
    cohort = Cohort(scored / "cohort", device="cpu")
    (tmp_path / "n7.scorer2.annot").write_text("mine")
    with pytest.raises(BadInput, match="--overwrite"):
        cohort.export(tmp_path, "annot")
    assert [path.name for path in tmp_path.iterdir()] == ["n7.scorer2.annot"]
    cohort.export(tmp_path, "annot", overwrite=True)
    assert "mine" not in (tmp_path / "n7.scorer2.annot").read_text()


def test_an_interruption_leaves_whole_files_alone(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.exports import edfplus

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    cohort = Cohort(scored / "cohort", device="cpu")
    monkeypatch.setattr(edfplus, "rows_of", stop)
    with pytest.raises(KeyboardInterrupt):
        cohort.export(tmp_path, "edf+")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "anot"], "did you mean 'annot'"), (["--format", "clips"], "--search"),
        (["--format", "annot", "--what", "stage"], "did you mean 'stages'"),
        (["--format", "annot", "--what", "hits"], "--search"),
        (["--format", "annot", "--what", "nights"], "holds no nights"),
        (["--format", "vectors", "--search", "REM"], "--search"),
        (["--format", "csv", "--where", "age >"], "age"),
    ],
)  # fmt: skip
def test_what_can_t_be_taken_is_one_line(scored: Path, tmp_path: Path, options: list[str], said: str) -> None:
    run = sleepsearch("export", "--cohort", scored / "cohort", "--out", tmp_path / "x", *options)
    assert run.code == 1 and said in run.err and "Traceback" not in run.err and not (tmp_path / "x").exists()


def test_the_command_prints_one_document(scored: Path, tmp_path: Path) -> None:
    run = sleepsearch("export", "--cohort", scored / "cohort", "--format", "annot", "--out", tmp_path, "--json")
    assert run.code == 0 and run.json["files"] == ["n7.annot", "n7.scorer2.annot"]
    assert run.json["provenance"]["snapshot"] == 1
    assert json.loads((tmp_path / "sleepsearch-annot.json").read_text())["files"] == run.json["files"]
