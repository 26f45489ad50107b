"""Which signal serves which channel: cohort, then text, then derivation, never a part of a text; and the reasons."""

import tomllib
from pathlib import Path

import pytest

from encoders.errors import AmbiguousChannel, BadInput
from encoders.recordings.channel_table import TABLE
from encoders.recordings.edf import EdfFile
from encoders.recordings.header import SignalHeader
from encoders.recordings.montage import Montage, explain, resolve_montage
from encoders.vocabulary import CHANNELS

COHORTS = tomllib.loads(TABLE.read_text(encoding="utf-8"))["cohort"]
FULL_RANGE = {"%": (0.0, 100.0), "bpm": (0.0, 250.0)}


def signal(label: str, unit: str = "", samples: int = 100) -> SignalHeader:
    low, high = FULL_RANGE.get(unit, (-3000.0, 3000.0))
    return SignalHeader(label, "", unit, low, high, -32768, 32767, "", samples, is_annotation=False)


def montage(*labels: str, **options: object) -> Montage:
    """Signals from `label` or `label|unit` or `label|unit|samples per record`, and the montage they make."""
    parts = [label.split("|") for label in labels]
    signals = [signal(part[0], *part[1:2], *(int(number) for number in part[2:])) for part in parts]
    return resolve_montage(signals, **options)  # type: ignore[arg-type]


def served(found: Montage, channel: str) -> tuple[str, str | None]:
    choice = found.choices[channel]
    return choice.label, choice.minus_label


# ---- cohorts -----------------------------------------------------------------------------------------------------
def test_shhs_plain_eeg_is_the_right_hemisphere() -> None:
    found = montage(
        "EEG", "EEG(sec)", "EOG(L)", "EOG(R)", "THOR RES", "ABDO RES", "SaO2", "NEW AIR", "H.R.", "POSITION"
    )
    assert found.cohort == "shhs"
    assert found.choices["EEG_C4"].label == "EEG"
    assert found.choices["EEG_C3"].label == "EEG(sec)"
    assert found.choices["AF"].sensor == "thermistor"
    assert found.position_codes == {0: "right", 1: "left", 2: "supine", 3: "prone"}
    assert not found.substitutes and not found.problems


def test_sao2_is_saturation_and_no_eeg() -> None:
    found = montage("SaO2|%", "EEG C4-A1|uV")
    assert found.choices["SPO2"].label == "SaO2"
    assert [choice.label for choice in found.choices.values() if choice.canonical.startswith("eeg")] == ["EEG C4-A1"]


def test_mesa_flow_is_nasal_pressure_and_therm_serves_af() -> None:
    labels = ["EEG1", "EEG2", "EEG3", "EKG", "Flow", "Therm", "Thor", "Abdo", "Pos", "EEG3_Off", "OxStatus"]
    found = montage(*labels)
    assert found.cohort == "mesa"
    assert found.choices["nasal_pressure"].label == "Flow"
    assert served(found, "AF") == ("Therm", None)
    assert montage(*(label for label in labels if label != "Therm")).choices["AF"].sensor == "nasal pressure"
    assert found.substitutes == {"EEG_C3": "eeg_fz_cz"}
    assert "bipolar" in found.choices["EEG_C3"].why
    assert found.lead_off == {"EEG_C4": "EEG3_Off"}
    assert found.oximeter_status == "OxStatus"
    assert "POS" not in found.choices and "third party" in found.absent["POS"]


def test_mros_electrodes_are_subtracted() -> None:
    found = montage("C3", "C4", "A1", "A2", "LOC", "ROC", "ECG L", "ECG R", "L Chin", "R Chin", "Airflow")
    assert found.cohort == "mros"
    assert served(found, "EEG_C3") == ("C3", "A2")
    assert served(found, "EEG_C4") == ("C4", "A1")
    assert served(found, "EOG_L") == ("LOC", "A2")
    assert served(found, "EMG_CHIN") == ("R Chin", "L Chin")
    assert served(found, "ECG") == ("ECG L", "ECG R")


def test_cfs_and_ccshs_build_the_chin_from_other_electrodes() -> None:
    labels = ["EMG1", "EMG2", "EMG3"]
    assert served(montage(*labels, cohort="cfs"), "EMG_CHIN") == ("EMG1", "EMG2")
    assert served(montage(*labels, cohort="ccshs"), "EMG_CHIN") == ("EMG3", "EMG2")


def test_boas_electrodes_are_against_the_left_mastoid() -> None:
    found = montage("PSG_F3", "PSG_C3", "PSG_C4", "PSG_EMG", "PSG_THER")
    assert found.choices["EEG_C4"].canonical == "eeg_c4_m1" and not found.choices["EEG_C4"].substitute
    assert found.choices["EEG_C3"].canonical == "eeg_c3_m1" and found.choices["EEG_C3"].substitute


@pytest.mark.parametrize("cohort", sorted(COHORTS))
def test_a_file_with_all_labels_of_a_cohort_has_no_problem(cohort: str) -> None:
    labels = [label for group in COHORTS[cohort]["labels"].values() for label in group]
    found = montage(*labels, cohort=cohort)
    assert not found.problems
    assert len(explain(found)) == len(labels)
    assert set(found.choices) & set(CHANNELS) == set(found.slots)
    assert set(found.slots) | set(found.absent) == set(CHANNELS)


# ---- traps -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("labels", [["C3"], ["C3", "M1"], ["C3", "C4", "O1"], ["EEG C3", "ECG"]])
def test_a_bare_c3_is_never_c3_m2(labels: list[str]) -> None:
    found = montage(*labels)
    assert "EEG_C3" not in found.choices
    assert any("bare electrode" in problem and "eeg_c3_m2" in problem for problem in found.problems)


def test_two_bare_electrodes_of_one_file_are_subtracted_without_a_cohort() -> None:
    found = montage("C3|uV", "M2|uV")
    assert served(found, "EEG_C3") == ("C3", "M2")
    assert "C3 - M2" in found.choices["EEG_C3"].why
    assert not found.problems


@pytest.mark.parametrize(
    ("labels", "what"), [(("C3|uV|100", "M2|uV|200"), "rates"), (("C3|uV|100", "M2|mV|100"), "units")]
)
def test_unequal_electrodes_are_not_subtracted(labels: tuple[str, str], what: str) -> None:
    found = montage(*labels)
    assert "EEG_C3" not in found.choices
    assert any(f"differ in {what}" in note for note in found.notes)


def test_electrodes_of_two_files_are_not_subtracted() -> None:
    assert "EEG_C3" not in montage("C3|uV", "M2|uV", origins=[0, 1]).choices


def test_ipsilateral_derivations_are_kept_apart() -> None:
    found = montage("C3-M1", "C3-M2")
    assert found.choices["EEG_C3"].label == "C3-M2"
    assert found.choices["eeg_c3_m1"].label == "C3-M1"
    alone = montage("C3-M1").choices["EEG_C3"]
    assert alone.substitute and "not the recommended derivation" in alone.why


def test_an_inverted_label_turns_the_sign() -> None:
    choice = montage("M1-C4|mV").choices["EEG_C4"]
    assert (choice.canonical, choice.scale) == ("eeg_c4_m1", -1000)
    assert "sign turned" in choice.why


def test_one_channel_serves_one_slot_and_pz_oz_none() -> None:
    found = montage("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal")
    assert found.substitutes == {"EOG_L": "eog_h", "EEG_C3": "eeg_fpz_cz"}
    assert "EEG_C4" in found.absent and found.choices["eeg_pz_oz"].label == "EEG Pz-Oz"


def test_strict_refuses_substitutes() -> None:
    found = montage("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal", strict=True)
    assert "EEG_C3" not in found.choices
    assert found.absent["EEG_C3"] == "strict montage: eeg_fpz_cz could stand in"


def test_a_chin_signal_of_1_hz_is_an_envelope() -> None:
    labels = ["EEG Fpz-Cz|uV", "EEG Pz-Oz|uV", "EOG horizontal|uV", "EMG submental|uV"]
    slow = montage(*labels, rates_hz=[100, 100, 100, 1])
    assert "EMG_CHIN" not in slow.choices and "envelope" in slow.absent["EMG_CHIN"]
    assert montage(*labels, rates_hz=[100] * 4).choices["EMG_CHIN"].label == "EMG submental"


def test_impedance_is_told_by_its_unit() -> None:
    found = montage("C3-M2|uV", "C4-M1|Ohm")
    assert "EEG_C4" not in found.choices
    assert "impedance" in dict(found.unmapped)["C4-M1"]


def test_a_label_that_stands_twice_is_used_once_and_named() -> None:
    found = montage("Flow Patient", "Flow Patient|V|200", cohort="stanford")
    assert found.choices["AF"].index == 0
    assert "another rate" in found.notes[0] and "unit 'V'" in found.notes[0]


def test_a_foreign_unit_is_refused_and_said() -> None:
    found = montage("SpO2|mmHg", "C4-M1|uV")
    assert "SPO2" not in found.choices
    assert "its unit is 'mmHg'" in found.absent["SPO2"]


def test_both_flow_sensors_stay_and_the_thermistor_serves_af() -> None:
    found = montage("Nasal Pressure", "Thermistor", "CPAP Flow|L/min", "Pulse|bpm", "HR|bpm")
    assert (found.choices["AF"].canonical, found.choices["AF"].sensor) == ("airflow_therm", "thermistor")
    assert {"nasal_pressure", "pap_flow"} <= found.choices.keys()
    assert found.choices["pap_flow"].unit == "L/s"
    assert found.choices["HR"].label == "HR" and found.find("pulse") is not None
    assert found.find("airflow_therm") is found.choices["AF"]


def test_position_without_documented_codes_is_absent_but_can_be_seen() -> None:
    found = montage("Position", "C4-M1|uV")
    assert "not documented" in found.absent["POS"]
    assert found.choices["body_position"].label == "Position"
    assert montage("Position", position_codes={1: "supine"}).position_codes == {1: "supine"}


# ---- ambiguity ---------------------------------------------------------------------------------------------------
def test_an_ambiguous_label_leaves_its_slot_empty_and_names_the_choices() -> None:
    found = montage("C4-M1|uV", "Flow", file="night.edf")
    assert "AF" not in found.choices and "EEG_C4" in found.choices
    (problem,) = found.problems
    assert problem.startswith("label 'Flow' is unclear") and "\n" not in problem
    for text in ("nasal_pressure (mesa)", "airflow_therm (wsc, ucddb)", '[labels] "Flow" =', "cohort = 'cap' or"):
        assert text in problem


def test_strict_raises_on_an_ambiguous_label() -> None:
    with pytest.raises(AmbiguousChannel, match="'Flow' is unclear"):
        montage("C4-M1|uV", "Flow", strict=True)


def test_an_ambiguous_label_that_is_not_needed_is_only_reported() -> None:
    found = montage("C4-M1|uV", "Flow", "Nasal Pressure", "Leg")
    assert not found.problems
    assert "unclear" in dict(found.unmapped)["Flow"] and "unclear" in dict(found.unmapped)["Leg"]


def test_a_label_known_only_elsewhere_names_that_cohort() -> None:
    (problem,) = montage("VTH").problems
    assert "thorax (dreams)" in problem


@pytest.mark.parametrize(
    "overrides", [{"Flow": "nasal_pressure"}, {"nasal_pressure": "Flow"}, {"flow": "nasal_pressure"}]
)
def test_an_override_settles_an_ambiguous_label(overrides: dict[str, str]) -> None:
    found = montage("C4-M1|uV", "Flow", overrides=overrides)
    assert found.choices["AF"].sensor == "nasal pressure"
    assert not found.problems


def test_an_override_comes_before_the_cohort() -> None:
    found = montage("EEG1", "EEG2", "EEG3", "EKG", "Flow", "Thor", "Abdo", overrides={"Flow": "airflow_therm"})
    assert found.cohort == "mesa" and found.choices["AF"].sensor == "thermistor"


def test_an_override_may_derive() -> None:
    found = montage("C3", "Ref1", overrides={"eeg_c3_m2": "C3 - Ref1"})
    assert served(found, "EEG_C3") == ("C3", "Ref1")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"Flow": "AF"}, "'AF' is a slot; say what the sensor is"),
        ({"Flow": "nasal_presure"}, "near it: nasal_pressure"),
    ],
)
def test_a_wrong_override_says_what_would_be_right(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        montage("Flow", overrides=overrides)


def test_an_unknown_cohort_is_an_error() -> None:
    with pytest.raises(BadInput, match="cohort 'nowhere'"):
        montage("C4-M1", cohort="nowhere")


def test_a_silent_signal_gives_way_to_the_next() -> None:
    found = montage("HR|bpm", "Pulse|bpm", off={0: "off: no value above zero"})
    assert found.choices["HR"].label == "Pulse"
    assert montage("HR|bpm", off={0: "off: no value above zero"}).absent["HR"] == "'HR' off: no value above zero"


# ---- real files --------------------------------------------------------------------------------------------------
def montage_of(path: Path) -> Montage:
    file = EdfFile(path)
    signals = file.header.signals
    return resolve_montage(signals, rates_hz=[file.rate_hz(index) for index in range(len(signals))])


def test_the_nox_excerpt_fills_eleven_slots(shared_data: Path) -> None:
    found = montage_of(shared_data / "nox_psg_excerpt" / "subject1.edf")
    assert found.cohort == "nox"
    assert found.slots == tuple(slot for slot in CHANNELS if slot != "POS")
    assert not found.substitutes and not found.problems
    assert found.choices["EEG_C3"].scale == 1e6 and found.choices["ECG"].scale == 1e3
    assert (found.choices["EMG_CHIN"].label, found.choices["AF"].sensor) == ("1-F", "nasal pressure")
    assert {"snore", "emg_leg_l", "emg_leg_r", "eeg_f3_m2", "eeg_o2_m1", "ppg", "effort_sum"} <= found.choices.keys()
    assert len(found.rows) == 89


def test_the_sleep_edf_excerpt_has_substitutes_and_a_thermistor(shared_data: Path) -> None:
    found = montage_of(shared_data / "sleep_edf" / "short_psg_5min_SC-style.edf")
    assert found.cohort == "sleep_edf"
    assert found.slots == ("AF", "EOG_L", "EEG_C3")
    assert found.choices["AF"].sensor == "thermistor"
