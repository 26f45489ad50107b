"""The files of simulated sites: they open, say what they are, repeat by seed, and hold what their site records."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyedflib
import pytest
from defusedxml.ElementTree import parse

from encoders.errors import BadInput
from encoders.recordings.annotations.read import read_annotations
from encoders.recordings.recording import open_recording
from encoders.simulation import SimulatedNight, simulate, site_facts
from encoders.simulation.dirt import Fault
from encoders.simulation.draws import constants
from encoders.simulation.night import Night
from encoders.simulation.sites import amplify, prefilter, sensors


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
            filters = [edf.getPrefilter(i).strip() for i in range(edf.signals_in_file)]
            assert filters == [prefilter(site_facts()[site], sensor) for sensor in sensors(site_facts()[site])]


def test_every_header_says_simulated(cohort: dict[str, SimulatedNight]) -> None:
    for night in cohort.values():
        for path in (night.edf, *(path for path in night.annotations if path.suffix == ".edf")):
            header = path.read_bytes()[:256]
            assert b"simulated" in header[88:168] and header[168:176] == b"01.01.85"
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
    # Filters differ: what both pass is the same.
    band = [amplify(x.astype(np.float32), 256, "HP:2Hz LP:20Hz") for x in (c4 - a1, referenced)]
    assert np.corrcoef(band[0], band[1])[0, 1] > 0.98 and np.std(band[0]) == pytest.approx(np.std(band[1]), rel=0.05)
    assert 500 < np.percentile(left - right, 99.9) < 2500  # in uV, as the header says


def test_sites_write_only_what_they_score(cohort: dict[str, SimulatedNight]) -> None:
    truth = pl.read_parquet(cohort["mesa-like"].truth_events)
    assert (truth["name"] == "arousal").any()
    concepts = {e.findtext("EventConcept") or "" for e in parse(cohort["mesa-like"].annotations[0]).iter("ScoredEvent")}
    assert not any("rousal" in c or "SpO2" in c for c in concepts)
    shhs = [e.findtext("EventConcept") for e in parse(cohort["shhs-like"].annotations[0]).iter("ScoredEvent")]
    assert "Arousal|Arousal ()" in shhs and "Recording Start Time" in shhs
    assert set(cohort["hmc-like"].annotations[0].read_text().split()) <= {"W", "N1", "N2", "N3", "R"}


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


def test_ideal_nights_have_no_faults_and_others_list_theirs(cohort: dict[str, SimulatedNight], tmp_path: Path) -> None:
    ideal = cohort["clinic"]
    assert pl.read_parquet(ideal.truth_events)["channel"].null_count() == pl.read_parquet(ideal.truth_events).height
    dirty = simulate(tmp_path / "dirty", nights=4, seed=4, sites=["clinic"], hours=0.5)
    tables = [pl.read_parquet(night.truth_events) for night in dirty]
    faults = pl.concat(tables).filter(pl.col("channel").is_not_null())
    assert set(faults["name"]) <= set(constants("dirt")) and faults.height > 0
    assert set(faults["channel"]) <= {row[0] for row in site_facts()["clinic"]["signals"]}


def test_a_pause_makes_an_edf_d_file_on_the_clock_of_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def paused(night: Night, site: dict[str, object]) -> tuple[Fault, ...]:
        return (Fault("recording paused", None, 610.0, 800.0, "EDF+D gap"),)

    monkeypatch.setattr("encoders.simulation.files.plan_dirt", paused)
    (night,) = simulate(tmp_path, nights=1, seed=4, sites=["clinic"], hours=0.5)
    recording = open_recording([night.edf])
    assert recording.segments == ((0.0, 610.0), (800.0, 1800.0)) and recording.duration_s == 1800
    (scoring,) = read_annotations([], recording.clock(), cohort=recording.cohort)
    assert [span.start_s for span in scoring.stages] == [30.0 * i for i in range(60) if not 610 <= 30 * i + 15 < 800]
    truth = pl.read_parquet(night.truth_epochs)
    assert truth.height == 60  # kept, though the file does not hold them
    assert pl.read_parquet(night.truth_events).filter(pl.col("name") == "recording paused").height == 1


def test_a_site_with_two_scorers_has_a_file_of_each(tmp_path: Path) -> None:
    (night,) = simulate(tmp_path, nights=1, seed=4, sites=["isruc-like"], hours=2.0)
    first, second = (path.read_text() for path in night.annotations)
    assert ".scorer2" not in night.annotations[0].name and ".scorer2" in night.annotations[1].name
    assert first != second
    for name, wanted in ((None, first), ("human", first), ("human 2", second)):
        recording = open_recording([night.edf])
        scorings = read_annotations(night.annotations, recording.clock(), cohort="isruc", scorer=name)
        codes = wanted.splitlines()[2:]
        assert [span.raw for span in scorings[0].stages] == codes


def test_a_complete_night_is_kept_and_an_unfinished_one_is_made_again(tmp_path: Path) -> None:
    def run(**other: Any) -> list[SimulatedNight]:
        return simulate(tmp_path, nights=3, seed=7, sites=["shhs-like"], hours=0.25, **other)

    class Stopped(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run(progress=stop)
    kept = sorted(tmp_path.glob("*.edf"))
    assert len(kept) == 2
    before = {path: (path.stat().st_mtime_ns, samples_hash(path)) for path in kept}
    kept[1].with_suffix(".truth.parquet").unlink()
    steps: list[tuple[int, int]] = []
    made = run(progress=lambda *step: steps.append(step))
    assert steps == [(done, 3) for done in range(4)] and not list(tmp_path.glob("*.part"))
    assert kept[0].stat().st_mtime_ns == before[kept[0]][0] and kept[1].stat().st_mtime_ns != before[kept[1]][0]
    assert all(samples_hash(path) == before[path][1] for path in kept)
    assert all(path.exists() for night in made for path in (night.edf, *night.annotations, night.truth_epochs))
    run(ideal=True)  # other arguments, other nights
    assert kept[0].stat().st_mtime_ns != before[kept[0]][0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"nights": 0}, "nights"), ({"hours": 99}, "hours"), ({"seed": -1}, "seed"),
     ({"sites": ["shhs-lke"]}, "Did you mean shhs-like"), ({"sites": []}, "sites")],
)  # fmt: skip
def test_arguments_out_of_range_say_what_is_possible(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        simulate(tmp_path, **({"nights": 1, "seed": 1} | wrong))


def test_a_folder_with_other_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "patient.edf").write_bytes(b"0")
    with pytest.raises(BadInput, match="other recordings"):
        simulate(tmp_path, nights=1, seed=1, hours=0.25)
