"""channels.toml: every label means a known channel, no label means two, and each cohort knows its own files."""

import tomllib
from itertools import chain
from pathlib import Path

import pytest

from encoders.errors import BadInput
from encoders.recordings.channel_table import TABLE, Meaning, Unclear, fold, load_table, read_codes

RAW = tomllib.loads(TABLE.read_text(encoding="utf-8"))
COHORTS = sorted(RAW["cohort"])


@pytest.mark.parametrize("cohort", COHORTS)
def test_every_label_of_a_cohort_resolves_to_its_canonical_channel(cohort: str) -> None:
    table = load_table()
    for canonical, labels in RAW["cohort"][cohort]["labels"].items():
        assert canonical in table.kinds
        for label in labels:
            meaning = table.meaning(label, cohort)
            assert isinstance(meaning, Meaning) and meaning.canonical == canonical


@pytest.mark.parametrize("cohort", COHORTS)
def test_each_label_set_recognises_its_own_cohort_alone(cohort: str) -> None:
    for labels in RAW["cohort"][cohort].get("recognise", []):
        assert load_table().recognise(set(labels))[0] == cohort


def test_labels_that_fit_two_cohorts_recognise_neither() -> None:
    both = set(chain(*RAW["cohort"]["mesa"]["recognise"], *RAW["cohort"]["shhs"]["recognise"]))
    name, why = load_table().recognise(both)
    assert name is None
    assert "mesa and shhs" in why


@pytest.mark.parametrize("cohort", [None, *COHORTS])
def test_derivations_start_and_end_with_known_channels(cohort: str | None) -> None:
    table = load_table()
    rules = table.cohorts[cohort].derive if cohort else table.generic.derive
    for target, pairs in rules.items():
        assert {target, *chain(*pairs)} <= table.kinds.keys()


def test_no_generic_label_is_called_ambiguous() -> None:
    table = load_table()
    assert not {fold(label) for label in RAW["ambiguous"]} & table.generic.labels.keys()


@pytest.mark.parametrize("label", ["C3-A2", "EEG C3-A2", "EEG_C3-M2", "C3:M2", "C3/A2", "C3M2", "c3a2", " C3_A2 "])
def test_spellings_of_one_pair_are_one_derivation(label: str) -> None:
    meaning = load_table().meaning(label, None)
    assert isinstance(meaning, Meaning)
    assert (meaning.canonical, meaning.sign) == ("eeg_c3_m2", 1)


@pytest.mark.parametrize(
    ("label", "canonical"),
    [
        ("SaO2", "spo2"), ("SA02", "spo2"), ("LOC-A2", "eog_l"), ("ROC/A1", "eog_r"), ("E2M2", "eog_r"),
        ("C3-M1", "eeg_c3_m1"), ("C4-A2", "eeg_c4_m2"), ("A1-A2", "eeg_m1_m2"), ("Fpz-Cz", "eeg_fpz_cz"),
    ],
)  # fmt: skip
def test_a_text_that_states_its_sensor_needs_no_cohort(label: str, canonical: str) -> None:
    meaning = load_table().meaning(label, None)
    assert isinstance(meaning, Meaning) and meaning.canonical == canonical


@pytest.mark.parametrize(
    "label", ["C3-M2 (Imp)", "SpO2 artefact", "PRESET", "OXFORD", "C3-AVG", "EEG C3-A22", "xC3-M2"]
)
def test_part_of_a_text_is_never_enough(label: str) -> None:
    assert not isinstance(load_table().meaning(label, None), Meaning)


def test_a_pair_written_the_other_way_round_turns_the_sign() -> None:
    meaning = load_table().meaning("M1-C4", None)
    assert isinstance(meaning, Meaning)
    assert (meaning.canonical, meaning.sign) == ("eeg_c4_m1", -1)


@pytest.mark.parametrize(
    ("label", "cohorts"),
    [
        ("EEG", {"shhs": "eeg_c4_m1"}),
        ("EEG2", {"shhs": "eeg_c3_m2", "mesa": "eeg_cz_oz"}),
        ("Flow", {"mesa": "nasal_pressure", "ucddb": "airflow_therm", "cap": "airflow_unspecified"}),
        ("PR", {"shhs": "heart_rate", "chat": "pulse"}),
        ("EMG1", {"cfs": "el_chin_c", "dreams": "emg_chin"}),
        ("E1", {"mesa": "eog_l", "wsc": "eog_l", "mros": "el_e1"}),
    ],
)
def test_an_ambiguous_label_means_what_its_cohort_says(label: str, cohorts: dict[str, str]) -> None:
    table = load_table()
    for cohort, canonical in cohorts.items():
        meaning = table.meaning(label, cohort)
        assert isinstance(meaning, Meaning) and meaning.canonical == canonical


@pytest.mark.parametrize(
    "label", ["EEG", "EEG1", "EEG2", "Flow", "AIRFLOW", "C-FLOW", "CFLOW", "PR", "EMG", "Pressure"]
)
def test_an_ambiguous_label_means_nothing_without_a_cohort(label: str) -> None:
    unclear = load_table().meaning(label, None)
    assert isinstance(unclear, Unclear) and unclear.choices and unclear.why


def test_only_documented_position_codes_are_kept() -> None:
    table = load_table()
    assert table.cohorts["shhs"].position_codes == {0: "right", 1: "left", 2: "supine", 3: "prone"}
    assert table.cohorts["mesa"].position_codes is None
    assert "third party" in table.cohorts["mesa"].position_why


def test_a_wrong_position_code_is_named() -> None:
    with pytest.raises(BadInput, match=r"here: position code '0' = 'upside down'.*right, left, supine"):
        read_codes({"0": "upside down"}, "here")


def test_an_unknown_cohort_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'mesa'"):
        load_table().require_cohort("MESSA")


def test_the_table_agrees_with_the_facts_that_seeded_it(shared_data: Path) -> None:
    path = shared_data.parent / "facts" / "channel_facts.toml"
    if not path.is_file():
        pytest.skip("no channel_facts.toml beside the recordings")
    facts, table = tomllib.loads(path.read_text(encoding="utf-8")), load_table()
    cases = [(None, facts["generic"]["labels"]), *((name, entry["labels"]) for name, entry in facts["cohort"].items())]
    differs = [
        (cohort, label, canonical)
        for cohort, labels in cases
        for label, canonical in labels.items()
        if getattr(table.meaning(label, cohort), "canonical", None) != canonical
    ]
    # Its rate decides (1 Hz or 100 Hz), in montage_sources.py.
    assert differs == [("sleep_edf", "EMG submental", "emg_chin_envelope")]
