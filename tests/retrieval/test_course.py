"""A night at a glance: what was scored, what was not, and what is computed along it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from retrieval import BadInput, Cohort, simulate
from retrieval.course import along, course_of, events_of, list_nights, neighbours, night_facts, spectrogram
from retrieval.waves import waves_of


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Two nights of half an hour: one with a second scorer, one where nobody scored events."""
    from retrieval import ingest

    folder, root = tmp_path_factory.mktemp("edf"), tmp_path_factory.mktemp("c") / "cohort"
    simulate(folder, nights=2, seed=71, sites=("ccshs-like", "hmc-like"), hours=0.5)
    assert not ingest([folder], root, subjects=folder / "subjects.csv", workers=1).failed
    return Cohort(root)


@pytest.fixture(scope="module")
def scored(cohort: Cohort) -> str:
    return str(list_nights(cohort.snapshot, "ccshs")[0]["recording"][0])


@pytest.fixture(scope="module")
def unscored(cohort: Cohort) -> str:
    return str(list_nights(cohort.snapshot, "hmc")[0]["recording"][0])


def test_each_scorer_has_a_hypnogram_and_the_default_comes_first(cohort: Cohort, scored: str) -> None:
    course = course_of(cohort.snapshot, scored)
    assert [name for name, _ in course.scorers] == ["human", "human 2"]
    spans = course.scorers[0][1]
    assert all(a[1] <= b[0] and (a[1] < b[0] or a[2] != b[2]) for a, b in pairwise(spans))
    for row in course.epochs.iter_rows(named=True):
        said = [stage for start_s, stop_s, stage in spans if start_s <= row["start_s"] < stop_s]
        assert said == ([] if row["stage"] in (None, "unscored") else [row["stage"]])


def test_events_are_those_of_the_scorer_in_use_and_no_one_is_doubled(cohort: Cohort, scored: str) -> None:
    course = course_of(cohort.snapshot, scored)
    all_events = cohort.snapshot.sql("SELECT name, start_s, stop_s, scorer FROM events WHERE recording = ?", [scored])
    mine = all_events.filter(all_events["scorer"] == "human")
    assert [(e.name, e.start_s) for e in course.events] == mine.sort("start_s", "stop_s").select(
        "name", "start_s"
    ).rows()
    assert len(mine) < len(all_events)
    inside = events_of(cohort.snapshot, scored, 300.0, 900.0)
    assert inside == [e for e in course.events if e.start_s < 900 and e.stop_s > 300]


def test_what_nobody_scored_is_not_listed_as_scored(cohort: Cohort, unscored: str) -> None:
    course = course_of(cohort.snapshot, unscored)
    assert course.scored == ["stages"]
    assert not course.events


def test_every_word_narrows_the_list_and_the_order_gives_the_neighbours(
    cohort: Cohort, scored: str, unscored: str
) -> None:
    rows, total = list_nights(cohort.snapshot)
    assert (rows.height, total) == (2, 2)
    assert {"age", "sex", "site", "tst_min", "ahi_scored_per_h"} <= set(rows.columns)
    assert list_nights(cohort.snapshot, f"{scored[:5]} HMC")[0]["recording"].to_list() == [unscored]
    assert list_nights(cohort.snapshot, "nobody")[1] == 0
    assert list_nights(cohort.snapshot, limit=1)[1] == 2
    assert (neighbours(cohort.snapshot, scored), neighbours(cohort.snapshot, unscored)) == (
        (None, unscored), (scored, None),
    )  # fmt: skip


def test_each_number_of_a_night_says_what_it_is(cohort: Cohort, scored: str) -> None:
    facts = night_facts(cohort.snapshot, scored)
    assert all(n["definition"] for n in facts["numbers"][0])
    assert {"tst_min", "ahi_scored_per_h"} <= {n["name"] for n in facts["numbers"][0]}
    assert "C3 - A2" in facts["montage"]["EEG_C3"]
    assert facts["person"]["sex"] in ("F", "M")
    assert "fingerprint" not in facts["person"]


def test_an_unknown_recording_is_said_to_be_none(cohort: Cohort) -> None:
    with pytest.raises(BadInput, match="no recording 'x'"):
        course_of(cohort.snapshot, "x")


def test_a_column_of_the_spectrogram_is_welchs_density_of_its_half_minute(cohort: Cohort, scored: str) -> None:
    waves = waves_of(cohort, scored)
    found = spectrogram(waves, "EEG_C3")
    assert found.power_db.shape == (129, 60)
    (run,) = cohort.waveform(scored, 300.0, 330.0, ["EEG_C3"])["EEG_C3"]
    frequency, density = welch(np.asarray(run.samples), run.rate_hz, nperseg=round(4 * run.rate_hz))
    assert np.allclose(found.frequency_hz, frequency[:129])
    assert np.allclose(found.power_db[1:, 10], 10 * np.log10(density[1:129]), atol=0.01)
    assert spectrogram(waves, "EEG_C3") is found
    with pytest.raises(BadInput, match="no EEG channel"):
        spectrogram(waves, "ECG")


def test_the_likeness_of_a_sentence_is_that_of_locate_and_its_peaks_are_apart(cohort: Cohort, scored: str) -> None:
    found = along(cohort, scored, "slow wave sleep", peaks=4)
    curve = cohort.locate_words("slow wave sleep", scored, peaks=0).curve
    assert found.start_s == curve["start_s"].to_list()
    assert found.z == [None if z is None else pytest.approx(z, abs=1e-3) for z in curve["z"].to_list()]
    starts = [start_s for start_s, _ in found.peaks]
    assert starts == sorted(starts)
    assert min(np.diff(starts)) > 30
    assert max(z for _, z in found.peaks) == max(z for z in found.z if z is not None)


def test_a_night_whose_files_are_gone_still_has_its_course(cohort: Cohort, scored: str, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "passed-on"
    shutil.copytree(cohort.root, root, ignore=shutil.ignore_patterns("private"))
    other = Cohort(root)
    assert course_of(other.snapshot, scored).epochs.height == 60
    with pytest.raises(BadInput, match="not known here"):
        waves_of(other, scored)
