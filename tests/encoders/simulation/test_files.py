"""The files of simulated sites: they open, say what they are, repeat by seed, and hold what their site records."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pyedflib
import pytest
from defusedxml.ElementTree import parse

from encoders.errors import BadInput
from encoders.recordings.annotations.align import RecordingClock
from encoders.recordings.annotations.read import read_annotations
from encoders.recordings.recording import open_recording
from encoders.simulation import SimulatedNight, simulate, site_facts


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SimulatedNight]:
    """One short night of each site."""
    out = tmp_path_factory.mktemp("sites")
    return {site: simulate(out / site, nights=1, seed=4, sites=[site], hours=0.5)[0] for site in site_facts()}


def samples_hash(path: Path) -> str:
    with pyedflib.EdfReader(str(path)) as edf:
        digest = hashlib.sha256()
        for i in range(edf.signals_in_file):
            digest.update(np.ascontiguousarray(edf.readSignal(i, digital=True), np.int16).tobytes())
    return digest.hexdigest()


def test_every_site_opens_with_pyedflib_and_has_its_labels_rates_and_units(cohort: dict[str, SimulatedNight]) -> None:
    for site, night in cohort.items():
        with pyedflib.EdfReader(str(night.edf)) as edf:
            wanted = [(label, rate, unit) for label, _, rate, unit, _ in site_facts()[site]["signals"]]
            found = [(h["label"], h["sample_frequency"], h["dimension"]) for h in edf.getSignalHeaders()]
            assert found == wanted
            assert edf.file_duration == 1800


def test_every_header_says_simulated(cohort: dict[str, SimulatedNight]) -> None:
    for night in cohort.values():
        header = night.edf.read_bytes()[:256]
        assert b"simulated" in header[88:168]
        assert pl.read_csv(night.edf.parent / "subjects.csv")["simulated"].all()


def test_one_seed_gives_the_same_samples_and_another_does_not(tmp_path: Path) -> None:
    first, again, other = (
        simulate(tmp_path / name, nights=1, seed=seed, sites=["shhs-like"], hours=0.5)[0]
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    assert samples_hash(first.edf) == samples_hash(again.edf) != samples_hash(other.edf)
    assert first.edf.read_bytes() == again.edf.read_bytes()
    assert first.annotations[0].read_bytes() == again.annotations[0].read_bytes()
    assert pl.read_parquet(first.truth_epochs).equals(pl.read_parquet(again.truth_epochs))


def test_a_longer_run_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short = simulate(tmp_path / "short", nights=2, seed=1, hours=0.25)
    steps: list[tuple[int, int]] = []
    longer = simulate(tmp_path / "longer", nights=7, seed=1, hours=0.25, progress=lambda *step: steps.append(step))
    assert [n.recording for n in longer[:2]] == [n.recording for n in short]
    assert samples_hash(longer[1].edf) == samples_hash(short[1].edf)
    assert steps == [(done, 7) for done in range(8)]
    subjects = pl.read_csv(tmp_path / "longer" / "subjects.csv")
    assert " ".join(subjects.columns) == "recording subject age sex bmi site diagnosis severity simulated"
    assert subjects["recording"].n_unique() == 7 > subjects["subject"].n_unique() >= 4


def test_spo2_and_position_are_whole_numbers(cohort: dict[str, SimulatedNight]) -> None:
    for night in cohort.values():
        with pyedflib.EdfReader(str(night.edf)) as edf:
            for i, label in enumerate(edf.getSignalLabels()):
                if label in ("SaO2", "SpO2", "POSITION", "Position", "Pos", "H.R."):
                    physical = edf.readSignal(i)
                    assert np.array_equal(physical, np.rint(physical))


def test_bare_electrodes_subtract_to_the_stored_derivations_of_another_site(cohort: dict[str, SimulatedNight]) -> None:
    # The same seed and subject have the same night at both sites; 256 Hz at both.
    with pyedflib.EdfReader(str(cohort["mros-like"].edf)) as edf:
        c4, a1, left, right = (edf.readSignal(edf.getSignalLabels().index(x)) for x in ("C4", "A1", "ECG L", "ECG R"))
    with pyedflib.EdfReader(str(cohort["hmc-like"].edf)) as edf:
        referenced = edf.readSignal(edf.getSignalLabels().index("EEG C4-M1"))
    assert np.abs(c4 - a1 - referenced).max() < 0.1
    assert 500 < np.percentile(left - right, 99.9) < 2500  # in uV, as the header says


def test_sites_write_only_what_they_score(cohort: dict[str, SimulatedNight]) -> None:
    truth = pl.read_parquet(cohort["mesa-like"].truth_events)
    assert (truth["name"] == "arousal").any()
    concepts = {e.findtext("EventConcept") or "" for e in parse(cohort["mesa-like"].annotations[0]).iter("ScoredEvent")}
    assert not any("rousal" in c or "SpO2" in c for c in concepts)
    shhs = [e.findtext("EventConcept") for e in parse(cohort["shhs-like"].annotations[0]).iter("ScoredEvent")]
    assert "Arousal|Arousal ()" in shhs and "Recording Start Time" in shhs
    classes = {line.split("\t")[0] for line in cohort["hmc-like"].annotations[0].read_text().splitlines()[2:]}
    assert classes <= {"W", "N1", "N2", "N3", "R", "lights_off", "lights_on"}


def test_profusion_and_edf_annotations_hold_every_epoch_of_the_truth(cohort: dict[str, SimulatedNight]) -> None:
    night = cohort["mros-like"]
    stages = [e.text for e in parse(night.annotations[0]).iter("SleepStage")]
    code = {"W": "0", "N1": "1", "N2": "2", "N3": "3", "REM": "5"}
    assert stages == [code[s] for s in pl.read_parquet(night.truth_epochs)["stage"]]
    with pyedflib.EdfReader(str(cohort["clinic"].edf)) as edf:
        onsets, _, texts = edf.readAnnotations()
    staged = [(t, s) for t, s in zip(onsets, texts, strict=True) if s.startswith("Sleep stage")]
    truth = pl.read_parquet(cohort["clinic"].truth_epochs)
    wanted = truth.select("start_s", "stage").iter_rows()
    assert staged == [(t, f"Sleep stage {'R' if s == 'REM' else s}") for t, s in wanted]
    assert {"Lights off", "Lights on"} <= set(texts)


def test_our_own_readers_understand_every_site(cohort: dict[str, SimulatedNight]) -> None:
    cohorts = {"shhs-like": "shhs", "mros-like": "mros", "mesa-like": "mesa", "hmc-like": "hmc", "clinic": None}
    for site, night in cohort.items():
        recording = open_recording([night.edf])
        assert recording.simulated and not recording.repairs and recording.cohort == cohorts[site]
        slots = {"ECG", "EOG_L", "EOG_R", "EEG_C3", "EEG_C4", "EMG_CHIN"}
        slots |= set() if site == "hmc-like" else {"ABD", "THX", "AF", "SPO2"}
        assert slots <= set(recording.montage.choices)
        clock = RecordingClock(
            duration_s=recording.duration_s, start_clock_s=recording.start_clock_s, start=None,
            segments=recording.segments, embedded=tuple(recording.annotations()),
        )  # fmt: skip
        (scoring,) = read_annotations(night.annotations, clock, cohort=recording.cohort)
        assert not scoring.alignment.unknown and set(scoring.coverage) <= set(site_facts()[site]["scores"])
        stages = [span.stage for span in scoring.stages for _ in range(round((span.stop_s - span.start_s) / 30))]
        assert stages == pl.read_parquet(night.truth_epochs)["stage"].to_list()
        truth = pl.read_parquet(night.truth_events).filter(pl.col("name").is_in([e.name for e in scoring.events]))
        assert len(scoring.events) == truth.height
        assert all(e.stop_s - e.start_s >= 9.99 for e in scoring.events if "pnea" in e.name)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"nights": 0}, "nights"), ({"hours": 99}, "hours"), ({"seed": -1}, "seed"),
     ({"sites": ["shhs-lke"]}, "Did you mean shhs-like"), ({"sites": []}, "sites")],
)  # fmt: skip
def test_arguments_out_of_range_say_what_is_possible(tmp_path: Path, wrong: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        simulate(tmp_path, **({"nights": 1, "seed": 1} | wrong))


def test_a_folder_with_other_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "patient.edf").write_bytes(b"0")
    with pytest.raises(BadInput, match="other recordings"):
        simulate(tmp_path, nights=1, seed=1, hours=0.25)
