"""Captions: what is said, what is not said, and in how many ways."""

from types import SimpleNamespace

import numpy as np
import pytest

from encoders.captions.measures import load_measures, measure_epochs
from encoders.captions.scored import score_epochs
from encoders.captions.wording import PARTS, caption_epochs, load_wording
from encoders.vocabulary import KINDS


def nothing(n):
    """Measures of a recording without any sensor."""
    return {
        name: np.full(n, None, object) if measure.digits is None else np.full(n, np.nan)
        for name, measure in load_measures().items()
    }


def say(n=1, scoring=None, *, numbers=False, seed=None, **values):
    measures = nothing(n)
    for name, value in values.items():
        measures[name] = np.full(n, value, object if isinstance(value, str) else float)
    epochs = SimpleNamespace(start_s=30.0 * np.arange(n), present=np.zeros((n, 12), bool))
    return caption_epochs(measures, score_epochs(epochs.start_s, scoring), epochs, seed=seed, numbers=numbers)


def test_wording_is_whole():
    for scale in load_wording()["scale"]:
        assert scale["part"] == load_measures()[scale["column"]].part
        assert (
            len(scale["say"]) == len(scale["cuts"]) + 1 and scale["cuts"] == sorted(scale["cuts"]) and scale["reason"]
        )


@pytest.mark.parametrize("numbers", [True, False])
def test_an_absent_sensor_says_nothing(numbers):
    assert say(numbers=numbers) == [dict.fromkeys(PARTS, "")]
    heart = say(numbers=numbers, hr_mean_bpm=60, hr_min_bpm=58, hr_max_bpm=63, hr_source="ECG")[0]["heart"]
    assert "oxygen" not in heart.lower() and "spo2" not in heart.lower()


def test_only_scored_kinds_are_said_to_be_without_events(scoring):
    def stage_event(*stages, kinds, numbers=True):
        return say(scoring=scoring(stages, [], kinds), numbers=numbers)[0]["stage_event"]

    assert stage_event("N2", kinds=[]) == "Stable light sleep (N2)."
    assert stage_event("N2", kinds=["arousals"]) == "Stable light sleep (N2). Continuous sleep without arousals."
    all_kinds = "respiratory events, desaturations, arousals or limb movements"
    assert stage_event("N3", kinds=KINDS[1:]).endswith(f"Continuous sleep without {all_kinds}.")
    assert stage_event("W", kinds=KINDS[1:]) == "Wakefulness."
    # In the sentence that is embedded no event is named that is not there.
    assert stage_event("N2", kinds=KINDS[1:], numbers=False).endswith("Undisturbed, continuous sleep.")
    assert stage_event("N2", kinds=["limb movements"], numbers=False) == "Stable light sleep (N2)."


def test_events_are_said_with_their_seconds(scoring):
    source = scoring(["REM"], [("hypopnea", 3.2, 20.1), ("arousal", 18.0, 44.0)], KINDS[1:])
    assert say(scoring=source, numbers=True)[0]["stage_event"] == (
        "REM sleep. Hypopnea from 3.2 to 20.1 s. Arousal from 18.0 to 30.0 s."
    )
    assert say(scoring=source)[0]["stage_event"] == "REM sleep. Hypopnea. Arousal."


def test_numbers_are_as_precise_as_the_sensor():
    heart = {"hr_mean_bpm": 65.4, "hr_min_bpm": 64.1, "hr_max_bpm": 65.6, "hr_source": "HR"}
    oxygen = {"spo2_min_pct": 86.6, "spo2_mean_pct": 93.4, "spo2_drop_pct": 7.4}
    (caption,) = say(numbers=True, **heart, **oxygen, thx_rate_per_min=14.71, thx_interval_sd_s=0.251)
    assert "SpO2 lowest 87 %, mean 93 %, 7 % below the preceding two minutes." in caption["heart"]
    assert "Heart rate (HR) 64 to 66, mean 65 beats/min." in caption["heart"]
    assert caption["respiratory"] == "Thorax 15 breaths/min, interval deviation 0.3 s."


def test_words_agree_with_the_printed_number():
    (caption,) = say(numbers=True, spo2_min_pct=89.6, spo2_mean_pct=95.0)
    assert "slightly reduced" in caption["heart"] and "lowest 90 %" in caption["heart"]


@pytest.mark.parametrize(
    ("spo2", "words"), [(97, "normal"), (92, "slightly reduced"), (88, "is low"), (75, "severely low")]
)
def test_oxygen_has_four_words(spo2, words):
    assert words in say(spo2_min_pct=spo2)[0]["heart"]


def test_absent_airflow_is_not_also_called_reduced():
    (caption,) = say(flow_low_s=25, flow_absent_s=20, flow_absent_with_effort_s=20)
    assert (
        caption["respiratory"] == "Airflow is absent. Respiratory effort continues without airflow, as in obstruction."
    )
    assert say(flow_low_s=25, flow_absent_s=0)[0]["respiratory"] == "Airflow is reduced."


def test_the_brain_is_worded_without_microvolts():
    for scale in load_wording()["scale"]:
        assert scale["part"] != "brain" or load_measures()[scale["column"]].unit != "uV"


def test_substitutes_are_named_where_numbers_are():
    (caption,) = say(numbers=True, substitutes="EEG_C3: Fpz-Cz", c3_delta_pct=40.0)
    assert "Fpz-Cz in place of C3-M2: delta 40 %." in caption["brain"]


def test_seeded_wordings_are_deterministic_and_differ(scoring):
    source = scoring(["N3"] * 5, [("arousal", 3.0, 9.0)], ["arousals"])
    values = {"delta_pct": 85, "deep_sleep_evidence": 2.0, "spo2_min_pct": 97, "hr_mean_bpm": 60, "position": "left"}
    one, again, other = (say(5, source, seed=seed, **values) for seed in (1, 1, 2))
    assert one == again != other
    assert len({caption["stage_event"] for caption in say(5, source, seed=3, **values)[1:]}) > 1


def test_seeded_wordings_state_no_other_facts(scoring):
    source = scoring(["N3"] * 40, [], ["arousals"])
    values = {"spo2_min_pct": 97, "hr_mean_bpm": 60, "position": "left"}
    allowed = {
        way for scale in load_wording()["scale"] for ways in scale["say"] for way in ways
        if ways[0] in ("Oxygen saturation is normal.", "Heart rate is normal.")
    }  # fmt: skip
    for caption in say(40, source, seed=9, **values):
        assert caption["heart"] and all(f"{way}." in allowed for way in caption["heart"].rstrip(".").split(". "))
        assert "left" in caption["position_muscle"].lower()
        assert not {"REM", "N2", "desaturation"} & set(caption["stage_event"].replace(".", " ").split())


def test_a_whole_night_has_few_distinct_sentences(night, seconds, scoring):
    rng = np.random.default_rng(5)
    n, t = 120, seconds(120, 128.0)
    depth = np.repeat(rng.uniform(0, 60, n), 30 * 128)
    eeg = rng.normal(0, 8, len(t)) + depth * np.sin(2 * np.pi * 1.2 * t)
    belt = np.sin(2 * np.pi * 0.25 * seconds(n, 8.0))
    signals = {
        "EEG_C3": (128.0, eeg),
        "THX": (8.0, belt),
        "AF": (8.0, belt),
        "SPO2": (1.0, 96 - 6 * (seconds(n, 1.0) % 90 > 60)),
    }
    recording, epochs = night(n, **signals)
    stages = rng.choice(["W", "N1", "N2", "N3", "REM"], n)
    captions = caption_epochs(
        measure_epochs(recording, epochs),
        score_epochs(epochs.start_s, scoring(stages, [], ["arousals"])),
        epochs,
        numbers=False,
    )
    for part in PARTS:
        assert len({caption[part] for caption in captions}) <= 30


def test_an_event_without_a_length_is_a_moment(scoring):
    source = scoring([], [("hypopnea", 26.0, 26.0)], KINDS[2:3])
    assert say(scoring=source, numbers=True)[0]["stage_event"] == "Hypopnea at 26.0 s."


def test_each_sentence_of_numbers_begins_with_a_capital():
    said = say(numbers=True, flow_flatness=0.6, flow_reduction_pct=87.0)[0]["respiratory"]
    assert said == "Flow flatness 0.60, largest reduction 87 %."
