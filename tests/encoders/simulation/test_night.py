"""What a planned night promises: the AASM minima, the order of cause and effect, and a truth table to match."""

import numpy as np

from encoders.simulation.draws import N3, REM, W
from encoders.simulation.night import RESPIRATORY, Night, plan_night
from encoders.simulation.people import draw_subject
from encoders.simulation.render import render
from encoders.simulation.truth import truth_epochs, truth_events
from encoders.vocabulary import POSITIONS, STAGES


def test_respiratory_events_last_ten_seconds_or_more_and_lie_in_sleep(nights: list[Night]) -> None:
    events = [(night, event) for night in nights for event in night.breath.events]
    assert len(events) > 100
    for night, event in events:
        assert event.stop_s - event.start_s >= 10.0
        assert (night.stages[int(event.start_s // 30) : int(event.stop_s // 30) + 1] != W).all()


def test_arousals_last_three_seconds_or_more_after_ten_of_sleep(nights: list[Night]) -> None:
    for night in nights:
        arousals = night.named("arousal")
        for before, arousal in zip([None, *arousals], arousals, strict=False):
            assert 3.0 <= arousal.stop_s - arousal.start_s <= 15.0
            assert (night.stages[int((arousal.start_s - 10) // 30) : int(arousal.stop_s // 30) + 1] != W).all()
            assert before is None or arousal.start_s - before.stop_s >= 10.0 - 1e-6


def test_desaturations_fall_three_per_cent_ten_to_forty_seconds_after_their_event(nights: list[Night]) -> None:
    found = 0
    for night in nights:
        spo2 = night.breath.spo2_pct
        stops = np.array([event.stop_s for event in night.breath.events])
        for fall in night.named("desaturation"):
            during = spo2[int(fall.start_s) : int(fall.stop_s) + 1]
            assert spo2[int(fall.start_s)] - during.min() >= 3
            assert fall.spo2_min_pct == during.min()
            nadir = int(fall.start_s) + np.flatnonzero(during == during.min())
            lags = nadir[:, None] - stops
            assert ((lags >= 10) & (lags <= 40)).any()
            found += 1
    assert found > 50


def test_a_hypopnea_has_a_desaturation_or_an_arousal(nights: list[Night]) -> None:
    for night in nights:
        for event in (e for e in night.breath.events if e.name == "hypopnea"):
            arousal = any(-1 <= a.start_s - event.stop_s <= 5 for a in night.named("arousal"))
            fall = any(event.start_s <= d.start_s <= event.stop_s + 45 for d in night.named("desaturation"))
            assert arousal or fall


def test_limb_movements_come_in_series_of_four_or_more() -> None:
    movers = (i for i in range(40) if draw_subject(5, i).plm_per_hour > 20)
    night = plan_night(5, draw_subject(5, index := next(movers)), index, 0, 480)
    starts = np.array([m.start_s for m in night.named("periodic limb movement")])
    lengths = [m.stop_s - m.start_s for m in night.named("periodic limb movement")]
    assert len(starts) >= 4 and min(lengths) >= 0.5 and max(lengths) <= 10
    assert np.diff(starts).min() >= 5
    for series in np.split(starts, np.flatnonzero(np.diff(starts) > 90) + 1):
        assert len(series) >= 4


def test_ahi_of_a_whole_night_is_near_what_the_subject_came_with() -> None:
    ratios = []
    for i in range(24):
        subject = draw_subject(3, i)
        night = plan_night(3, subject, i, 0, 960)
        sleep_h = (night.stages != W).sum() / 120
        if night.subject.ahi_per_hour > 5:
            ratios.append(len(night.named(*RESPIRATORY)) / sleep_h / night.subject.ahi_per_hour)
    assert 0.75 < np.median(ratios) < 1.15


def test_every_stage_occurs_in_a_night_of_one_hour() -> None:
    nights = [plan_night(2, draw_subject(2, i), i, 0, 120).stages for i in range(20)]
    assert np.mean([len(np.unique(stages)) == 5 for stages in nights]) >= 0.6
    assert len(np.unique(np.concatenate(nights))) == 5


def test_rapid_eye_movements_oppose_the_eyes_and_slow_waves_do_not(sick: Night, signals: dict[str, np.ndarray]) -> None:
    left, right = (signals[name].reshape(-1, 1500) for name in ("eog_l", "eog_r"))
    for stage, sign in ((REM, -1), (N3, 1)):
        mask = sick.stages == stage
        assert sign * np.corrcoef(left[mask].ravel(), right[mask].ravel())[0, 1] > 0.4


def test_airflow_stops_in_apneas_and_effort_tells_their_kind(nights: list[Night]) -> None:
    seen: set[str] = set()
    for night in nights:
        apneas = [e for e in night.breath.events if e.name in ("obstructive apnea", "central apnea")][:20]
        if not apneas:
            continue
        made = render(night, {"airflow_therm": 16, "thorax": 16})
        quiet = {name: np.median(np.abs(samples)) for name, samples in made.items()}
        for event in apneas:
            over = slice(round((event.start_s + 1.5) * 16), round((event.stop_s - 1.5) * 16))
            assert np.abs(made["airflow_therm"][over]).mean() < 0.2 * quiet["airflow_therm"]
            effort = made["thorax"][over].std() / quiet["thorax"]
            assert effort > 0.4 if event.name == "obstructive apnea" else effort < 0.3
            seen.add(event.name)
    assert "obstructive apnea" in seen


def test_r_peaks_of_the_ecg_are_the_true_beats(sick: Night, signals: dict[str, np.ndarray]) -> None:
    import sleepecg

    peaks = sleepecg.detect_heartbeats(signals["ecg"].astype(np.float64), 128)
    epoch = (peaks[:-1] / 128 // 30).astype(int)
    n = len(sick.stages)
    measured = 60 * np.bincount(epoch, minlength=n) / np.bincount(epoch, np.diff(peaks) / 128, minlength=n)
    true = truth_epochs(sick)["hr_bpm"].to_numpy()
    assert np.abs(measured - true).mean() < 1.0
    assert abs(float(signals["heart_rate"].mean()) - true.mean()) < 1.0


def test_single_electrodes_give_their_derivation(sick: Night) -> None:
    made = render(sick, {"el_c3": 100, "el_m2": 100, "eeg_c3_m2": 100, "el_e1": 100, "eog_l": 100})
    assert np.allclose(made["el_c3"] - made["el_m2"], made["eeg_c3_m2"], atol=1e-3)
    assert np.allclose(made["el_e1"] - made["el_m2"], made["eog_l"], atol=1e-3)


def test_a_signal_does_not_depend_on_its_neighbours(sick: Night, signals: dict[str, np.ndarray]) -> None:
    alone = render(sick, {"thorax": 16, "eeg_c4_m1": 100})
    assert np.array_equal(alone["thorax"], signals["thorax"])
    assert np.array_equal(alone["eeg_c4_m1"], signals["eeg_c4_m1"])


def test_truth_has_one_row_per_epoch_in_words_and_units(sick: Night) -> None:
    epochs, events = truth_epochs(sick), truth_events(sick)
    promised = {"stage", "position", "hr_bpm", "breathing_rate_per_min", "spo2_min_pct", "spindle_count"}
    assert promised <= set(epochs.columns)
    assert epochs["start_s"].to_list() == [30.0 * i for i in range(len(sick.stages))]
    assert set(epochs["stage"]) <= set(STAGES) and set(epochs["position"]) <= set(POSITIONS.values())
    assert epochs["hr_bpm"].is_between(36, 150).all() and epochs["spo2_min_pct"].is_between(50, 100).all()
    assert epochs["breathing_rate_per_min"].drop_nulls().is_between(7, 26).all()
    assert events.columns[:3] == ["name", "start_s", "stop_s"]
    assert (events["stop_s"] > events["start_s"]).all() and events["start_s"].is_sorted()
    assert events.filter(events["name"].is_in(list(RESPIRATORY))).height == len(sick.named(*RESPIRATORY))
    spindles = events.filter(events["name"] == "spindle").height
    assert epochs["spindle_count"].sum() == spindles > 50


def test_signals_are_finite_and_of_the_size_of_real_ones(signals: dict[str, np.ndarray]) -> None:
    assert all(np.isfinite(samples).all() for samples in signals.values())
    assert 8 < np.std(signals["eeg_c3_m2"]) < 40 and 6 < np.std(signals["eog_l"]) < 60  # uV
    assert 0.8 < np.percentile(signals["ecg"], 99.9) < 1.6  # mV
    assert signals["spo2"].max() <= 100
