"""One night on one timeline: derivations, units, gaps, several files, empty sensors, and nothing private shown."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.errors import AmbiguousChannel, BadInput, UnknownChannel
from encoders.recordings.recording import Recording, open_recording
from encoders.recordings.tal import Annotation
from encoders.recordings.write import EdfSignal, write_edf

START = datetime(2021, 3, 4, 22, 30, 5)
DAY = "2021"


def wave(label: str, rate_hz: float, unit: str = "uV", seconds: int = 60, seed: int = 0, **limits: Any) -> EdfSignal:
    samples = np.random.default_rng(seed).normal(0, 20, int(seconds * rate_hz))
    return EdfSignal(label, samples, rate_hz, unit, **({"physical_min": -200, "physical_max": 200} | limits))


def step(label: str, values: Any, unit: str = "%", high: float = 250) -> EdfSignal:
    return EdfSignal(label, np.asarray(values, float), 1, unit, -1, high)


def night(path: Path, signals: list[EdfSignal], **options: Any) -> Path:
    write_edf(path, signals, **({"start": START, "kind": "EDF+C"} | options))
    return path


def joined(recording: Recording, channel: str) -> np.ndarray:
    return np.concatenate([run.samples for run in recording.runs(channel)])


def test_a_derivation_is_plus_minus_minus_in_microvolts(tmp_path: Path) -> None:
    limits = {"physical_min": -0.2, "physical_max": 0.2}
    c3, m2 = (
        EdfSignal(name, wave("", 128, seed=n).samples / 1e3, 128, "mV", **limits) for n, name in enumerate(("C3", "A2"))
    )
    recording = open_recording([night(tmp_path / "n1.edf", [c3, m2])])
    (run,) = recording.runs("EEG_C3")
    assert run.samples.dtype == np.float32
    assert recording.montage.choices["EEG_C3"].unit == "uV"
    np.testing.assert_allclose(run.samples, (c3.samples - m2.samples) * 1e3, atol=0.02)
    np.testing.assert_array_equal(recording.runs("eeg_c3_m2")[0].samples, run.samples)


def test_an_inverted_label_comes_with_its_sign_turned(tmp_path: Path) -> None:
    turned = wave("M1-C4", 64)
    recording = open_recording([night(tmp_path / "n1.edf", [turned])])
    np.testing.assert_allclose(joined(recording, "EEG_C4"), -turned.samples, atol=0.01)


def test_gaps_stay_gaps_and_a_waveform_is_a_part_of_the_whole(tmp_path: Path) -> None:
    onsets = [*range(30), *range(90, 120)]
    path = night(tmp_path / "n1.edf", [wave("C4-M1", 64)], kind="EDF+D", record_onsets_s=onsets)
    recording = open_recording([path])
    assert recording.segments == ((0.0, 30.0), (90.0, 120.0))
    assert recording.duration_s == 120
    whole = recording.runs("EEG_C4")
    assert [(run.start_s, run.stop_s) for run in whole] == [(0, 30), (90, 120)]
    part = recording.waveform("EEG_C4", 20.0, 95.0)
    assert [(run.start_s, run.stop_s) for run in part] == [(20, 30), (90, 95)]
    np.testing.assert_array_equal(part[1].samples, whole[1].samples[: 5 * 64])
    assert recording.waveform("EEG_C4", 40.0, 80.0) == []


def test_a_channel_the_recording_lacks_has_no_runs(tmp_path: Path) -> None:
    recording = open_recording([night(tmp_path / "n1.edf", [wave("C4-M1", 64)])])
    assert recording.runs("AF") == recording.flags("EEG_C4") == recording.oximeter_status() == []
    with pytest.raises(UnknownChannel, match=r"no signal is labelled 'C5'.*C4-M1"):
        recording.raw_runs("C5")


def test_an_oximeter_that_was_not_connected_is_off(tmp_path: Path) -> None:
    signals = [
        wave("C4-M1", 64),
        step("SpO2", [-1] * 60),
        step("HR", [0] * 60, "bpm"),
        step("Pulse", [0] * 59 + [61], "bpm"),
    ]
    recording = open_recording([night(tmp_path / "n1.edf", signals)])
    assert "SPO2" not in recording.montage.choices
    assert "no value above zero" in recording.montage.absent["SPO2"]
    assert recording.montage.choices["HR"].label == "Pulse"


def test_saturation_in_fractions_is_per_cent(tmp_path: Path) -> None:
    oximeter = EdfSignal("SpO2", np.full(60, 0.93), 1, "", 0, 1)
    recording = open_recording([night(tmp_path / "n1.edf", [wave("C4-M1", 64), oximeter])])
    np.testing.assert_allclose(joined(recording, "SPO2"), 93, atol=0.01)
    assert "times 100" in recording.montage.choices["SPO2"].why


def test_position_comes_in_the_codes_of_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "channels.toml").write_text('[position]\n1 = "supine"\n5 = "left"\n')
    codes = step("Position", [1, 5, 7] * 20, "", 10)
    recording = open_recording([night(tmp_path / "n1.edf", [wave("C4-M1", 64), codes])])
    np.testing.assert_array_equal(joined(recording, "POS")[:3], [2, 1, np.nan])
    assert recording.montage.position_codes == {1: "supine", 5: "left"}


def test_lead_off_and_oximeter_flags_are_found(tmp_path: Path) -> None:
    signals = [wave("EEG3", 64), step("EEG3_Off", [0, 1] * 30, "", 1), step("OxStatus", [0, 3] * 30, "", 3)]
    recording = open_recording([night(tmp_path / "n1.edf", signals)], cohort="mesa")
    assert recording.flags("EEG_C4")[0].samples[:2].tolist() == pytest.approx([0, 1], abs=1e-3)
    assert recording.oximeter_status()[0].samples[1] == pytest.approx(3, abs=1e-3)


def test_a_site_file_settles_what_its_labels_mean(tmp_path: Path) -> None:
    path = night(tmp_path / "n1.edf", [wave("C4-M1", 64), wave("Flow", 16, "")])
    unclear = open_recording([path])
    assert "AF" not in unclear.montage.choices and unclear.montage.problems
    (tmp_path / "channels.toml").write_text('[labels]\n"Flow" = "nasal_pressure"\n')
    assert open_recording([path]).montage.choices["AF"].sensor == "nasal pressure"
    given = open_recording([path], overrides={"Flow": "airflow_therm"})
    assert given.montage.choices["AF"].sensor == "thermistor"


def test_files_of_one_session_lie_on_one_timeline(tmp_path: Path) -> None:
    flow = night(
        tmp_path / "a.edf", [wave("Flow.40ms", 25, "L/s", 120), wave("Press.40ms", 25, "cmH2O", 120)], kind="EDF"
    )
    saturation = night(
        tmp_path / "b.edf", [step("SpO2.1s", np.arange(60) + 30)], start=START + timedelta(seconds=2), kind="EDF"
    )
    events = night(
        tmp_path / "c.edf",
        [],
        start=START - timedelta(seconds=7),
        annotations=[Annotation(17.0, 12.0, "Central apnea")],
    )
    recording = open_recording([flow, saturation, events])
    assert recording.cohort == "resmed"
    assert recording.segments == ((0.0, 120.0),)
    assert recording.start_clock_s == 22 * 3600 + 30 * 60 + 5
    assert recording.runs("SPO2")[0].start_s == 2
    assert recording.waveform("SPO2", 10, 12)[0].samples.tolist() == pytest.approx([38, 39], abs=0.01)
    assert [(note.onset_s, note.text) for note in recording.annotations()] == [(10.0, "Central apnea")]
    assert recording.clock().embedded[0].onset_s == 10


def test_files_of_two_nights_are_not_one_recording(tmp_path: Path) -> None:
    one = night(tmp_path / "a.edf", [wave("C4-M1", 64)])
    two = night(tmp_path / "b.edf", [wave("C3-M2", 64)], start=START + timedelta(days=1))
    with pytest.raises(BadInput, match=r"b\.edf: starts 24\.0 h away"):
        open_recording([one, two])


@pytest.mark.parametrize(
    ("signals", "error", "message"),
    [
        (["Temp", "XYZ"], UnknownChannel, r"n1\.edf: no usable channel\. Labels: Temp, XYZ"),
        (["Flow"], AmbiguousChannel, "'Flow' is unclear"),
        ([], UnknownChannel, "holds annotations only"),
    ],
)
def test_without_a_usable_channel_the_reason_is_one_line(
    tmp_path: Path, signals: list[str], error: type[BadInput], message: str
) -> None:
    notes = [Annotation(1.0, None, "Lights off")]
    path = night(tmp_path / "n1.edf", [wave(label, 16, "") for label in signals], annotations=notes)
    with pytest.raises(error, match=message) as raised:
        open_recording([path])
    assert "\n" not in str(raised.value)


def test_a_stem_with_a_name_is_hashed_and_nothing_tells_the_date(tmp_path: Path) -> None:
    path = night(tmp_path / "Smith_John.edf", [wave("C4-M1", 64)])
    recording = open_recording([path], id_key=b"key")
    assert recording.id_hashed and recording.id == open_recording([path], id_key=b"key").id
    assert open_recording([path], recording_id="given").id == "given"
    shown = repr(recording) + repr(recording.clock()) + repr(recording.montage) + " ".join(recording.header_notes)
    assert "Smith" not in shown and DAY not in shown
    assert not open_recording([night(tmp_path / "n1.edf", [wave("C4-M1", 64)])]).id_hashed


# ---- real files --------------------------------------------------------------------------------------------------
def test_stored_and_derived_c3_m2_of_the_nox_excerpt_agree(shared_data: Path) -> None:
    recording = open_recording([shared_data / "nox_psg_excerpt" / "subject1.edf"])
    difference = recording.raw_runs("C3")[0].samples - recording.raw_runs("M2")[0].samples
    # The header cuts the physical minimum to eight letters ("-0.00327" for -0.003277 V): 3 uV of offset a channel.
    np.testing.assert_allclose(recording.runs("EEG_C3")[0].samples, difference * 1e6, atol=3.1)
    assert 90 < joined(recording, "SPO2").mean() < 100 and 50 < joined(recording, "HR").mean() < 90


def test_a_pap_session_has_flow_and_no_saturation(shared_data: Path) -> None:
    folder = shared_data / "resmed_cpap_exporter" / "AirCurve" / "10" / "VAuto" / "DATALOG" / "20250202"
    files = sorted(path for path in folder.glob("20250202_2237*.edf") if not path.stem.endswith("EVE"))
    recording = open_recording(files)
    assert recording.montage.slots == ("AF",)
    assert recording.montage.choices["AF"].sensor == "PAP flow"
    assert "no value above zero" in recording.montage.absent["SPO2"]
    assert recording.duration_s == pytest.approx(95 * 60, abs=2)
