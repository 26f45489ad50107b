"""What is understood of each real input, from the files to the catalog. Skipped without ../shared/data."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from encoders.recordings import discover, open_recording
from encoders.recordings.annotations import find_annotations, read_annotations
from encoders.recordings.edf import EdfFile
from index import Snapshot
from retrieval import Cohort, check, ingest
from retrieval.night import wanted_first
from tests import real

# Stage epochs of two Sleep-EDF hypnograms, as MNE counts them.
SLEEP_EDF_STAGES = {
    "SC4001E0-PSG": {"W": 1997, "N1": 58, "N2": 250, "N3": 220, "REM": 125},
    "ST7042J0-PSG": {"W": 110, "N1": 60, "N2": 622, "N3": 122, "REM": 216, "unscored": 19},
}
LEARN = {  # stage epochs, and events by name
    "learn-nsrr01": (1364, {"arousal": 194, "artifact": 59, "desaturation": 254, "hypopnea": 361,
                            "obstructive apnea": 37}),
    "learn-nsrr02": (1195, {"arousal": 51, "artifact": 34, "desaturation": 66, "hypopnea": 101,
                            "obstructive apnea": 5}),
    "learn-nsrr03": (1364, {"arousal": 282, "artifact": 126, "central apnea": 1, "desaturation": 252, "hypopnea": 181,
                            "obstructive apnea": 163}),
}  # fmt: skip


def table(root: Path, query: str) -> pl.DataFrame:
    return Snapshot.open(root).sql(query)


def stages(root: Path, recording: str) -> dict[str, int]:
    query = "SELECT stage, count(*) AS n FROM epochs WHERE recording = ? AND stage IS NOT NULL GROUP BY stage"
    return dict(Snapshot.open(root).sql(query, [recording]).iter_rows())


def coverage(root: Path, recording: str) -> set[str]:
    query = "SELECT DISTINCT kind FROM coverage WHERE recording = ? AND scored"
    return set(Snapshot.open(root).sql(query, [recording])["kind"])


# ---- the whole folder at once ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Sleep-EDF and Nox excerpts and both PAP nights in one cohort, as the folder is."""
    root = tmp_path_factory.mktemp("all")
    report = ingest([shared_data], root, workers=2)
    assert report.recordings == 11
    reasons = Counter(failure["error"] for failure in report.failed)
    assert reasons == {
        "daily summary of a therapy device, no waveforms": 2,
        "annotations without a recording of that name": 34,
    }
    return root


@pytest.mark.slow
def test_every_file_that_holds_samples_over_time_is_in_one_recording(shared_data: Path, everything: Path) -> None:
    found, refused = discover([shared_data])
    named = {path for source in found for path in (*source.paths, *source.annotations)} | {path for path, _ in refused}
    assert set(shared_data.rglob("*.edf")) <= named
    assert len(table(everything, "SELECT * FROM recordings")) == len(found)


@pytest.mark.slow
def test_both_pap_nights_are_nine_sessions_with_flow_and_without_an_oximeter(everything: Path) -> None:
    nights = table(everything, "SELECT * FROM recordings JOIN nights USING (recording) WHERE cohort = 'resmed'")
    assert len(nights) == 9 and set(nights["airflow_sensor"]) == {"PAP flow"} and set(nights["segment"]) == {"PAP"}
    assert nights["spo2_mean_pct"].null_count() == 9  # the channel is there and holds -1 all night: off, not zero
    hours = nights["duration_s"].sum() / 3600
    assert hours == pytest.approx(18.05, abs=0.1)
    breathing = table(everything, "SELECT * FROM epochs WHERE cohort = 'resmed'")
    assert breathing["ok_af"].mean() > 0.98 and breathing["ok_spo2"].null_count() == len(breathing)
    rate = breathing["breath_rate_per_min"].median()
    assert isinstance(rate, float) and 10 < rate < 20


@pytest.mark.slow
def test_device_events_lie_in_their_own_session_and_before_the_machines_stamp(everything: Path) -> None:
    events = table(everything, "SELECT r.start_clock_s, e.* FROM events e JOIN recordings r USING (recording) "
                               "ORDER BY start_clock_s, start_s")  # fmt: skip
    assert Counter(events["name"]) == {"central apnea": 11, "hypopnea": 3, "obstructive apnea": 1}
    # AirCurve: the file of events starts at 22:37:18, the session at 05:06:23; the first stamp is 24927 s, 10 s long.
    first = events.filter(pl.col("start_clock_s") == 18383.0).row(0, named=True)
    started_s = 24 * 3600 + 18383 - (22 * 3600 + 37 * 60 + 18)
    assert (first["start_s"], first["stop_s"]) == (24927 - 10 - started_s, 24927 - started_s)
    per_session = events.group_by("start_clock_s").len().sort("start_clock_s")
    assert per_session.rows() == [(18383.0, 11), (21176.0, 3), (23108.0, 1)]
    # A machine that looked and found nothing: zero, not null.
    nights = table(everything, "SELECT ahi_device_per_h AS ahi, rei_per_h, ahi_scored_per_h FROM nights "
                               "WHERE segment = 'PAP'")  # fmt: skip
    assert nights["ahi"].null_count() == 0 and (nights["ahi"] == 0).sum() == 6
    assert nights["rei_per_h"].null_count() == nights["ahi_scored_per_h"].null_count() == 9


@pytest.mark.slow
def test_nox_excerpt_has_its_montage_its_clock_and_no_invented_position(everything: Path) -> None:
    row = table(everything, "SELECT * FROM recordings WHERE recording = 'subject1'").row(0, named=True)
    assert row["cohort"] == "nox" and row["start_clock_s"] == 5810.0 and row["airflow_sensor"] == "nasal pressure"
    assert any("ASCII" in repair for repair in row["repairs"])
    epochs = table(everything, "SELECT * FROM epochs WHERE recording = 'subject1'")
    assert len(epochs) == 4 and epochs["ok_pos"].null_count() == 4
    assert epochs["ok_spo2"].all() and epochs["ok_ecg"].all()
    assert epochs["hr_mean_bpm"].is_between(55, 80).all() and epochs["spo2_mean_pct"].is_between(90, 97).all()
    assert epochs["thx_rate_per_min"].is_between(12, 22).all() and epochs["eeg_rms_uv"].is_between(5, 50).all()
    assert epochs["stage"].null_count() == 4 and coverage(everything, "subject1") == set()


@pytest.mark.slow
def test_sleep_edf_excerpt_names_its_substitutes_and_leaves_out_what_is_too_slow(everything: Path) -> None:
    name = "short_psg_5min_SC-style"
    epochs = table(everything, f"SELECT * FROM epochs WHERE recording = '{name}'")
    assert len(epochs) == 10 and set(epochs["substitutes"]) == {"EOG_L: EOG horizontal; EEG_C3: EEG Fpz-Cz"}
    assert epochs["ok_emg_chin"].null_count() == 10 and epochs["breath_rate_per_min"].null_count() == 10
    (notes,) = table(everything, f"SELECT notes FROM recordings WHERE recording = '{name}'")["notes"]
    assert any(note.startswith("AF: 1 Hz is too slow") for note in notes)


def test_the_89_signals_of_the_nox_excerpt_are_each_explained(shared_data: Path) -> None:
    montage = open_recording([shared_data / "nox_psg_excerpt/subject1.edf"]).montage
    assert len(montage.rows) == 89 and all(row.why for row in montage.rows) and not montage.problems
    assert {c.channel: c.label for c in montage.choices.values() if c.channel.isupper()} == {
        "ECG": "ECG", "ABD": "Abdomen", "THX": "Chest", "AF": "Nasal Pressure", "EOG_L": "E1-M2", "EOG_R": "E2-M1",
        "EEG_C3": "C3-M2", "EEG_C4": "C4-M1", "EMG_CHIN": "1-F", "SPO2": "Saturation", "HR": "Heart Rate",
    }  # fmt: skip
    assert any("Impédance" in row.label for row in montage.rows)


# ---- a single EEG, with stages and without ---------------------------------------------------------------------------

PRECISION_AT = 20


@pytest.fixture(scope="module")
def unscored(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, root = tmp_path_factory.mktemp("eeg"), tmp_path_factory.mktemp("eeg-cohort")
    real.ucddb018(folder, shared_data)
    assert ingest([folder], root).recordings == 1
    return root


def precision_of_deep_sleep(root: Path, shared: Path) -> float:
    """Share of N3 (S3, S4) among the epochs of the best hits, 20 epochs counted in rank order."""
    truth = real.ucddb018_stages(shared)
    hits = Cohort(root, device="cpu").search("deep slow-wave sleep", k=PRECISION_AT).hits
    epochs = [int(at) for hit in hits for at in range(round(hit.start_s / 30), round(hit.stop_s / 30))][:PRECISION_AT]
    assert len(epochs) == PRECISION_AT
    return sum(truth[epoch] == "N3" for epoch in epochs) / PRECISION_AT


def test_deep_sleep_is_found_in_an_eeg_that_nobody_scored(unscored: Path, shared_data: Path) -> None:
    truth = real.ucddb018_stages(shared_data)
    base = truth.count("N3") / len(truth)
    assert base == pytest.approx(0.167, abs=0.001)
    assert precision_of_deep_sleep(unscored, shared_data) > 0.8
    row = table(unscored, "SELECT count(stage) AS stages, count(n_arousal) AS arousals FROM epochs").row(0)
    assert row == (0, 0)  # unscored is null, not zero


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "unit", "note"), [
    (1.0, "mV", "amplitude implausible for uV"),
    (0.01, "", "no unit in the header: mV inferred"),
])  # fmt: skip
def test_deep_sleep_is_found_whatever_the_header_says_of_the_unit(
    shared_data: Path, tmp_path: Path, scale: float, unit: str, note: str
) -> None:
    real.ucddb018(tmp_path, shared_data, scale=scale, unit=unit)
    root = tmp_path / "cohort"
    assert ingest([tmp_path / "ucddb018.edf"], root).recordings == 1
    assert precision_of_deep_sleep(root, shared_data) > 0.8
    (notes,) = table(root, "SELECT notes FROM recordings")["notes"]
    assert any(note in text for text in notes)
    said = table(root, "SELECT count(slow_wave_uv) AS n FROM epochs")["n"][0]
    assert (said == 0) == ("implausible" in note)  # microvolts that are none are not said


def test_ucddb_stages_beside_the_eeg_are_those_of_the_scorer(shared_data: Path, tmp_path: Path) -> None:
    edf = real.ucddb018(tmp_path, shared_data, staged=True)
    recording = open_recording([edf])
    (scoring,) = read_annotations(find_annotations([edf]), recording.clock())
    assert (scoring.source, scoring.rules, scoring.scorer) == ("ucddb", "R&K", "human")
    assert [span.stage for span in scoring.stages] == real.ucddb018_stages(shared_data)


# ---- public scorings beside generated signals ------------------------------------------------------------------------


@pytest.mark.slow
def test_nsrr_learn_nights_keep_every_event_and_stage(shared_data: Path, tmp_path: Path) -> None:
    folder, root = tmp_path / "learn", tmp_path / "cohort"
    folder.mkdir()
    real.learn_nights(folder, shared_data)
    report = ingest([folder], root, workers=2)
    assert (report.recordings, report.failed) == (3, [])
    for name, (n_epochs, counts) in LEARN.items():
        found = table(root, f"SELECT name, count(*) AS n FROM events WHERE recording = '{name}' GROUP BY name")
        assert dict(found.iter_rows()) == counts
        assert sum(stages(root, name).values()) == n_epochs
        assert coverage(root, name) == {"stages", "arousals", "respiratory events", "desaturations"}
    assert [sum(counts.values()) for _, counts in LEARN.values()] == [905, 257, 1005]
    epochs = table(root, "SELECT recording, n_limb_movement, n_hypopnea, stage FROM epochs")
    assert epochs["n_limb_movement"].null_count() == len(epochs)  # nobody scored legs: null
    assert epochs["n_hypopnea"].null_count() == 0
    nights = table(root, "SELECT * FROM nights ORDER BY recording")
    assert nights["tst_min"].to_list() == [443.5, 357.5, 224.0] and nights["se_pct"].null_count() == 3
    assert nights["ahi_scored_per_h"].to_list()[0] == pytest.approx(398 / (443.5 / 60), rel=0.05)
    nadirs = table(root, "SELECT spo2_min_pct FROM events WHERE name = 'desaturation' AND recording = 'learn-nsrr01'")
    assert nadirs["spo2_min_pct"].is_between(70, 100).all() and nadirs["spo2_min_pct"].null_count() == 0


@pytest.mark.slow
def test_sleep_edf_hypnograms_beside_psgs_of_their_names(shared_data: Path, tmp_path: Path) -> None:
    folder, root = tmp_path / "psg", tmp_path / "cohort"
    real.sleep_edf_nights(folder, shared_data, ("SC4001", "ST7042"))
    assert ingest([folder], root).recordings == 2
    for name, counts in SLEEP_EDF_STAGES.items():
        assert stages(root, name) == counts
        assert coverage(root, name) == {"stages"}
    rows = table(root, "SELECT recording, start_clock_s, stage_rules FROM recordings ORDER BY recording").rows()
    assert rows == [("SC4001E0-PSG", 58380.0, "R&K"), ("ST7042J0-PSG", 81090.0, "R&K")]


def test_all_34_sleep_edf_hypnograms_are_found_and_read(shared_data: Path, tmp_path: Path) -> None:
    hypnograms = sorted((shared_data / "sleep_edf/hypnograms").glob("*.edf"))
    assert len(hypnograms) == 34
    for path in hypnograms:
        twin = path.parent / f"{path.name[:7]}0-PSG.edf"
        assert find_annotations([twin], among=hypnograms) == [path]
        file = EdfFile(path)
        end_s = max(note.onset_s + (note.duration_s or 0) for note in file.annotations())
        header = file.header
        clock = real.clock_of(end_s, header.start_clock_s, header.start)
        (scoring,) = read_annotations([path], clock)
        assert scoring.rules == "R&K" and scoring.alignment.offset_s == 0 and not scoring.alignment.unknown
        assert sum(span.stop_s - span.start_s for span in scoring.stages) <= end_s
        assert {"W", "N1", "N2", "N3", "REM"} <= {span.stage for span in scoring.stages}


@pytest.mark.slow
def test_boas_nights_in_bids_layout_have_two_scorers(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bids"
    real.boas_nights(folder, shared_data, [1])
    name = "sub-1_task-Sleep_acq-psg_eeg"
    human, machine = tmp_path / "human", tmp_path / "machine"
    assert ingest([folder], human).recordings == 1
    assert stages(human, name) == {"W": 200, "N1": 57, "N2": 398, "N3": 172, "REM": 87, "unscored": 1}
    used = table(human, f"SELECT scorer, used FROM coverage WHERE kind = 'stages' AND recording = '{name}'").rows()
    assert sorted(used) == [("auto:bitbrain", False), ("human", True)]
    assert ingest([folder], machine, scorer="auto:bitbrain").recordings == 1
    assert stages(machine, name) == {"W": 252, "N1": 37, "N2": 367, "N3": 162, "REM": 97}
    assert set(table(machine, "SELECT scorer FROM recordings")["scorer"]) == {"auto:bitbrain"}
    (edf,) = folder.rglob("*.edf")
    scorings = read_annotations(find_annotations([edf]), open_recording([edf]).clock())
    assert wanted_first(scorings, "nobody")[1] == ["no scorer 'nobody' (have: human, auto:bitbrain); 'human' was taken"]


@pytest.mark.slow
def test_noxturnal_exports_are_laid_by_their_dates(shared_data: Path, tmp_path: Path) -> None:
    folder, root = tmp_path / "nox", tmp_path / "cohort"
    folder.mkdir()
    real.noxturnal_nights(folder, shared_data)
    assert ingest([folder], root, workers=2).recordings == 3
    rows = table(root, "SELECT alignment FROM recordings ORDER BY recording")["alignment"]
    assert [next(int(w) for w in text[0].split("offset ")[1].split(" s;")[:1]) for text in rows] == [0, 40, 23]
    assert coverage(root, "nox1") == {"stages", "arousals"}
    found = Counter(table(root, "SELECT name FROM events WHERE recording = 'nox2'")["name"])
    # One series row lies over four of the 29 leg movements: those four are periodic, and the series is no movement.
    assert found == {
        "obstructive apnea": 114, "hypopnea": 89, "mixed apnea": 1, "desaturation": 191, "arousal": 76, "artifact": 22,
        "limb movement": 25, "periodic limb movement": 4, "position change": 37,
    }  # fmt: skip
    lying = table(root, "SELECT count(*) AS n FROM epochs WHERE n_position_change > 0 AND recording = 'nox2'")["n"][0]
    assert lying <= 2 * 37  # each is a turn, not the hour that follows it
    assert stages(root, "nox2") == {"W": 169, "N1": 38, "N2": 354, "N3": 141, "REM": 146, "unscored": 5}


# ---- the answers, as a reader sees them ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pap_session_is_described_as_what_it_is(everything: Path) -> None:
    cohort = Cohort(everything, device="cpu")
    name = table(everything, "SELECT recording FROM nights WHERE ahi_device_per_h > 5")["recording"][0]
    night = cohort.describe(name)
    assert night["captions"]["night"] == "77 min recorded (lights are not known). Device AHI 8.6 per hour of use."
    epoch = cohort.describe(f"{name}@1572")
    assert "Central apnea from 12.0 to 22.0 s." in epoch["captions"]["stage_event"]
    assert epoch["captions"]["respiratory"].startswith("Airflow is absent.") and "effort" not in str(epoch["captions"])
    best = cohort.search("central apnea", k=5).hits
    assert len(best) == 5 and all("central apnea" in " ".join(hit.events) for hit in best)


def test_check_says_what_would_be_understood(shared_data: Path) -> None:
    files = ("nox_psg_excerpt/subject1.edf", "sleep_edf/short_psg_5min_SC-style.edf")
    report = check([shared_data / file for file in files])
    assert report["refused"] == []
    assert [(row["recording"], len(row["channels"])) for row in report["recordings"]] == [
        ("subject1", 11), ("short_psg_5min_SC-style", 3)
    ]  # fmt: skip
