"""Site dialects: our own readers understand each, and notice when one is shuffled."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.recordings import Epochs, Recording, build_epochs, epoch_grid, open_recording
from encoders.recordings.annotations import find_annotations, read_annotations
from encoders.recordings.channel_table import load_table
from encoders.recordings.discover import discover
from encoders.simulation import SimulatedNight, simulate, site_facts
from encoders.simulation.scorebooks import WRITERS
from encoders.simulation.sites import sensors
from encoders.vocabulary import CHANNELS, KINDS

SITES = list(site_facts())
# What a site lacks, or has in a way that no slot takes: undocumented position codes, an EMG at 1 Hz.
ABSENT = {
    "shhs-like": set(), "hmc-like": {"ABD", "THX", "AF", "POS", "SPO2", "HR"},
    "sleep-edf-like": {"ECG", "ABD", "THX", "EOG_R", "EEG_C4", "EMG_CHIN", "POS", "SPO2", "HR"},
    "physionet2018-like": {"EOG_R", "POS", "HR"}, "isruc-like": {"THX", "POS", "HR"}, "wsc-like": {"POS", "HR"},
}  # fmt: skip
SUBSTITUTES = {
    "mesa-like": {"EEG_C3": "eeg_fz_cz"}, "sleep-edf-like": {"EEG_C3": "eeg_fpz_cz", "EOG_L": "eog_h"},
    "wsc-like": {"EEG_C4": "eeg_cz_m2"},
}  # fmt: skip
FLOW = {"mesa-like": "thermistor", "physionet2018-like": "unknown", "isruc-like": "unknown"}


@pytest.mark.parametrize("site", SITES)
def test_ingest_recognises_the_site_and_fills_the_right_slots(site: str, cohort: dict[str, SimulatedNight]) -> None:
    recording = open_recording([cohort[site].edf])
    like = site_facts()[site]["like"]
    assert recording.simulated and not recording.repairs and not recording.montage.problems
    assert recording.cohort == (None if site == "clinic" else like)
    assert set(CHANNELS) - set(recording.montage.slots) == ABSENT.get(site, {"POS"})
    assert recording.montage.substitutes == SUBSTITUTES.get(site, {})
    if "AF" in recording.montage.choices:
        assert recording.montage.choices["AF"].sensor == FLOW.get(site, "thermistor")
    channels = {sensor.label: sensor.channel for sensor in sensors(site_facts()[site])}
    for channel, choice in recording.montage.choices.items():
        if choice.minus_index is None and choice.canonical != "airflow_unspecified":
            assert channels[choice.label] == choice.canonical, channel
    epochs = build_epochs(recording, epoch_grid(recording.duration_s), signals=False)
    slow = {"AF"} if site == "sleep-edf-like" else set()  # stored at 1 Hz
    assert set(epochs.notes) == slow
    assert (
        epochs.present[:, [CHANNELS.index(slot) for slot in recording.montage.slots if slot not in slow]].mean() > 0.9
    )


@pytest.mark.parametrize("site", SITES)
def test_ingest_reads_the_sites_annotations(site: str, cohort: dict[str, SimulatedNight]) -> None:
    night, facts = cohort[site], site_facts()[site]
    (source,), failures = discover([night.edf.parent])
    assert not failures and source.paths == (night.edf,) and set(source.annotations) == set(night.annotations)
    recording = open_recording(source.paths)
    scorings = read_annotations(source.annotations, recording.clock(), cohort=recording.cohort)
    truth, events = pl.read_parquet(night.truth_epochs), pl.read_parquet(night.truth_events)
    assert [s.scorer for s in scorings] == ["human", "human 2"][: facts.get("scorers", 1)]
    for scoring in scorings:
        assert not scoring.alignment.unknown and not scoring.alignment.cut and scoring.alignment.offset_s == 0
        assert set(scoring.coverage) == set(facts["scores"]) & set(KINDS)
        stages = [span.stage for span in scoring.stages for _ in range(round((span.stop_s - span.start_s) / 30))]
        assert stages == truth["stage"].to_list()
        for kind in ("obstructive apnea", "central apnea", "arousal", "periodic limb movement"):
            found = [event for event in scoring.events if event.name == kind]
            wanted = events.filter(pl.col("name") == kind)["start_s"].to_list() if found else []
            assert np.abs(np.array([event.start_s for event in found]) - wanted).max(initial=0) < 2.0
    rules = {"sleep-edf-like": "R&K", "ucddb-like": "R&K"}
    assert scorings[0].rules == rules.get(site, scorings[0].rules)


def test_sites_differ_in_labels_rates_units_filters_and_formats() -> None:
    facts = site_facts()
    assert len({site["like"] for site in facts.values()} & set(load_table().cohorts)) >= 8
    assert {site["annotations"] for site in facts.values()} == set(WRITERS)
    rows = {name: sensors(site) for name, site in facts.items()}
    assert len({tuple(s.label for s in site) for site in rows.values()}) == len(rows)
    assert {s.unit for site in rows.values() for s in site if s.family == "eeg"} == {"uV", "mV", "V", ""}
    assert len({s.rate_hz for site in rows.values() for s in site if s.family == "eeg"}) >= 5
    assert len({str(site["filters"]) for site in facts.values()}) == len(facts)
    assert {site["mains_hz"] for site in facts.values()} == {50, 60}


def test_every_sensor_of_the_issue_is_recorded_by_some_site() -> None:
    recorded = {sensor.channel for site in site_facts().values() for sensor in sensors(site)}
    assert recorded >= {
        "ecg", "thorax", "abdomen", "airflow_therm", "nasal_pressure", "eog_l", "eog_r", "eog_h", "eeg_c3_m2",
        "eeg_c4_m1", "eeg_f3_m2", "eeg_f4_m1", "eeg_o1_m2", "eeg_o2_m1", "eeg_fpz_cz", "emg_chin", "body_position",
        "spo2", "heart_rate", "pulse", "emg_leg_l", "emg_leg_r", "emg_legs", "snore", "ppg", "oximeter_status",
    }  # fmt: skip
    for site in site_facts().values():
        for sensor in sensors(site):
            assert sensor.family != "flag" or sensor.channel.startswith("off:") or sensor.channel == "oximeter_status"


def test_a_second_scorer_comes_after_the_first_by_name(tmp_path: Path) -> None:
    for name in (
        "n.edf",
        "n.annot",
        "n.scorer2.annot",
        "n-nsrr.xml",
        "n.scorer2-nsrr.xml",
        "n_stage.txt",
        "n.scorer2_stage.txt",
    ):
        (tmp_path / name).touch()
    found = [path.name for path in find_annotations([tmp_path / "n.edf"])]
    assert found == [
        "n-nsrr.xml",
        "n.annot",
        "n_stage.txt",
        "n.scorer2-nsrr.xml",
        "n.scorer2.annot",
        "n.scorer2_stage.txt",
    ]


# ---- a shuffled dialect ---------------------------------------------------------------------------------------------


@contextmanager
def changed(site: str, signals: list[list[Any]]) -> Iterator[None]:
    """The site with other signals."""
    facts = site_facts()[site]
    site_facts()[site] = {**facts, "signals": signals}
    try:
        yield
    finally:
        site_facts()[site] = facts


def shuffled(out: Path, site: str, signals: list[list[Any]]) -> tuple[Recording, Epochs]:
    with changed(site, signals):
        (night,) = simulate(out, nights=1, seed=4, sites=[site], hours=0.5, ideal=True)
    recording = open_recording([night.edf])
    return recording, build_epochs(recording, epoch_grid(recording.duration_s), signals=False)


def noticed(recording: Recording, epochs: Epochs, slot: str) -> bool:
    """Whether ingest has something to say: no such slot, a note on its channel, another rate, no epochs."""
    choice = recording.montage.choices.get(slot)
    if choice is None:
        return True
    present = epochs.present[:, CHANNELS.index(slot)].mean()
    return bool(slot in epochs.notes or present < 0.5 or "in the cohort's documentation" in choice.why)


def exchanged(site: str, one: str, other: str) -> list[list[Any]]:
    """The site's signals with two labels exchanged; samples, rates and units stay where they were."""
    swap = {one: other, other: one}
    return [[swap.get(row[0], row[0]), *row[1:]] for row in site_facts()[site]["signals"]]


@pytest.mark.parametrize(
    ("site", "one", "other", "slots"),
    [
        ("clinic", "C4-M1", "Thorax", {"EEG_C4", "THX"}), ("shhs-like", "EEG", "THOR RES", {"EEG_C4", "THX"}),
        ("clinic", "SpO2", "ECG1-ECG2", {"SPO2", "ECG"}), ("mesa-like", "SpO2", "EKG", {"SPO2", "ECG"}),
        ("hmc-like", "ECG", "EEG C4-M1", {"ECG", "EEG_C4"}),
        ("physionet2018-like", "AIRFLOW", "C3-M2", {"AF", "EEG_C3"}),
        ("stages-like", "EMG_Chin", "Effort_ABD", {"EMG_CHIN", "ABD"}),
        ("ucddb-like", "C3A2", "Flow", {"EEG_C3", "AF"}),
        ("wsc-like", "E1", "abdomen", {"EOG_L", "ABD"}), ("isruc-like", "X1", "C3-A2", {"EEG_C3"}),
    ],
)  # fmt: skip
def test_ingest_notices_two_exchanged_labels(tmp_path: Path, site: str, one: str, other: str, slots: set[str]) -> None:
    recording, epochs = shuffled(tmp_path, site, exchanged(site, one, other))
    assert {slot for slot in slots if noticed(recording, epochs, slot)} == slots


@pytest.mark.parametrize(("site", "unit"), [("clinic", "mV"), ("hmc-like", "V"), ("wsc-like", "uV")])
def test_ingest_notices_a_wrong_unit(cohort: dict[str, SimulatedNight], tmp_path: Path, site: str, unit: str) -> None:
    """The header says another unit than the numbers are in: a thousand times too large, or too small."""
    slots = {"EEG_C3", "EEG_C4", "EOG_L", "EOG_R"}
    edf = Path(shutil.copy(cohort[site].edf, tmp_path))
    raw = bytearray(edf.read_bytes())
    n = len(open_recording([edf]).montage.rows) + ("+" in site_facts()[site]["kind"])
    for i, sensor in enumerate(sensors(site_facts()[site])):
        if sensor.family in ("eeg", "eog"):
            at = 256 + n * (16 + 80) + 8 * i
            raw[at : at + 8] = unit.ljust(8).encode()
    edf.write_bytes(raw)
    recording = open_recording([edf])
    epochs = build_epochs(recording, epoch_grid(recording.duration_s), signals=False)
    for slot in slots & set(recording.montage.slots):
        assert slot in epochs.notes and "amplitude implausible" in epochs.notes[slot]
    assert epochs.doubted >= slots & set(recording.montage.slots)


def test_ingest_notices_most_of_a_shuffled_dialect(tmp_path: Path) -> None:
    """All labels of a site dealt anew; brain, eyes and muscles are not told apart, nor are breathing sensors."""
    groups = {"eeg": "head", "eog": "head", "emg": "head", "leg": "head", "effort": "breath", "flow": "breath",
              "pressure": "breath", "rate": "oximeter"}  # fmt: skip
    seen, mislabelled = 0, 0
    for k, site in enumerate(("clinic", "mesa-like", "stages-like", "wsc-like")):
        rows = site_facts()[site]["signals"]
        order = np.random.default_rng(k).permutation(len(rows))
        dealt = [[rows[i][0], *row[1:]] for i, row in zip(order, rows, strict=True)]
        recording, epochs = shuffled(tmp_path / site, site, dealt)
        truly = {row[0]: sensor.family for row, sensor in zip(dealt, sensors({"signals": dealt}), strict=True)}
        meant = {sensor.label: sensor.family for sensor in sensors(site_facts()[site])}
        for slot, choice in recording.montage.choices.items():
            was, is_ = (groups.get(of[choice.label], of[choice.label]) for of in (meant, truly))
            if slot in CHANNELS and was != is_:
                mislabelled += 1
                seen += noticed(recording, epochs, slot)
    assert mislabelled > 15 and seen >= 0.75 * mislabelled
