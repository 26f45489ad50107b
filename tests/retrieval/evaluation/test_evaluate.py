"""An evaluation as a whole: what was seen in training stands apart, and what can't be measured is a note."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from encoders.errors import BadInput
from retrieval.evaluation.evaluate import SEEN, TASKS, evaluate
from retrieval.evaluation.figures import ALL_SENSORS, Figure
from retrieval.evaluation.sample import Sample
from tests.conftest import SimCohort
from tests.retrieval.evaluation.conftest import TinyEncoder

MOST = 600  # an hour of each subject


class Seen(TinyEncoder):
    """Was trained on one of the subjects."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.trained_on = names


def counting(sample: Sample, *, seed: int = 0, **_: object) -> list[Figure]:
    """A task that says whom it was given."""
    return [Figure("staging", "rows", "zero-shot", 1.0, len(sample), len(sample.subjects()),
                   detail={"subjects": sample.subjects()})]  # fmt: skip


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TASKS:
        monkeypatch.setitem(TASKS, name, counting)


def people_of(figures: Sequence[Figure], subset: str) -> set[str]:
    return {name for f in figures if f.subset == subset for name in f.detail["subjects"]}


@pytest.mark.usefixtures("counted")
def test_subjects_seen_in_training_are_in_no_headline(sim_cohort: SimCohort) -> None:
    everybody = sorted(set(sim_cohort.cohort.snapshot.sql("SELECT subject FROM recordings")["subject"]))
    known = everybody[0]
    done = evaluate(sim_cohort.cohort, encoder=Seen(known.upper()), tasks=["staging", "events", "subsets"], most=MOST)
    assert people_of(done.figures, SEEN) == {known}
    assert people_of(done.figures, ALL_SENSORS) == set(everybody) - {known}
    assert len([f for f in done.figures if f.subset == SEEN]) == 2  # subsets of sensors are not asked of the seen
    assert any(SEEN in note for note in done.notes) and done.trained_on == (known.upper(),)


@pytest.mark.usefixtures("counted")
def test_leakage_is_asked_of_all_and_a_cohort_seen_whole_has_no_headline(sim_cohort: SimCohort) -> None:
    everybody = sorted(set(sim_cohort.cohort.snapshot.sql("SELECT subject FROM recordings")["subject"]))
    done = evaluate(sim_cohort.cohort, encoder=Seen(*everybody), tasks=["leakage", "staging"], most=MOST)
    assert [(f.subset, f.n) for f in done.figures] == [(SEEN, MOST), (ALL_SENSORS, MOST)]  # in the order of TASKS
    assert done.cohort["seen"] == MOST


def test_tasks_that_have_nothing_to_go_by_leave_a_note(sim_cohort: SimCohort, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(sample: Sample, *, seed: int = 0) -> list[Figure]:
        raise BadInput("the files are gone")

    monkeypatch.setitem(TASKS, "staging", lambda sample, *, seed=0: [])
    monkeypatch.setitem(TASKS, "events", refuses)
    done = evaluate(sim_cohort.cohort, encoder=TinyEncoder(), tasks=["staging", "events"], most=MOST)
    assert not done.figures and len(done.notes) == 2
    assert (
        done.notes[0].startswith("staging: nothing here is labelled") and done.notes[1] == "events: the files are gone"
    )


def test_an_unknown_task_names_those_that_there_are(sim_cohort: SimCohort) -> None:
    with pytest.raises(BadInput, match="task 'stagging' is not known; there are: staging, events"):
        evaluate(sim_cohort.cohort, encoder=TinyEncoder(), tasks=["stagging"])


def test_facts_of_the_cohort_and_progress_are_said(sim_cohort: SimCohort) -> None:
    told: list[tuple[str, int, int]] = []
    done = evaluate(sim_cohort.cohort, encoder=TinyEncoder(), tasks=["leakage"], most=MOST,
                    progress=lambda *said: told.append(said))  # fmt: skip
    facts = done.cohort
    assert facts["epochs"] == MOST and facts["simulated"] == facts["nights"] == 5 and facts["epochs_of_cohort"] == 900
    assert facts["scored"]["stages"] == 5
    assert told[0][0].startswith("drawing epochs") and told[-1][1:] == (1, 2)
    assert json.loads(json.dumps(done.to_json()))["figures"][0]["task"] == "leakage"


@pytest.mark.slow
def test_every_task_runs_on_a_signal_encoder(sim_cohort: SimCohort) -> None:
    done = evaluate(sim_cohort.cohort, encoder=TinyEncoder(), most=600, subset_epochs=100)
    ran = {figure.task for figure in done.figures}
    assert ran >= {"staging", "events", "retrieval", "paraphrases", "fields", "few-shot", "localisation", "leakage"}
    for figure in done.figures:
        assert figure.value is None or np.isfinite(figure.value)
        assert figure.value is not None or figure.note
        assert figure.low is None or figure.high is None or figure.low <= figure.high


def test_no_folder_of_this_machine_is_passed_on_in_a_name(sim_cohort: SimCohort) -> None:
    encoder = TinyEncoder()
    encoder.name = "trained:/home/jane.doe/runs/mine"
    done = evaluate(sim_cohort.cohort, encoder=encoder, tasks=["leakage"], most=MOST)
    assert done.encoder == "trained:mine"
