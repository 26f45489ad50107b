"""Labels by words: what is counted and not labelled, whom they are held against, and what is said beside them."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from encoders.errors import BadInput
from encoders.vocabulary import SLEEP_STAGES
from retrieval import Cohort
from retrieval.classify import classify
from retrieval.compared import truth_of
from retrieval.localise import best_apart, locate_words
from retrieval.zeroshot import PromptTask, find_task
from tests.conftest import SimCohort
from tests.retrieval.evaluation.conftest import TinyEncoder, unit

OWN = """[deep]
sensors = [["EEG_C3"], ["EEG_C4"]]
[deep.labels]
present = ["Slow waves.", "Deep sleep."]
absent = ["No slow waves."]
"""


class Told:
    """A snapshot whose signal vectors are given."""

    def __init__(self, snapshot: Any, vectors: dict[int, np.ndarray]) -> None:
        self._snapshot, self._vectors = snapshot, vectors

    def vectors(self, space: str, collection: str, ids: Sequence[int]) -> np.ndarray:
        return np.stack([self._vectors[int(i)] for i in ids])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._snapshot, name)


def knowing(sim: SimCohort, task: PromptTask, codes: pl.Expr, noise: float = 0.0, shift: float = 0.0) -> Cohort:
    """The simulated cohort with an encoder that knows `codes`, the label of each epoch (-1: none) of a task.

    `shift` draws every epoch towards the last label.
    """
    cohort, encoder, rng = Cohort(sim.root, device="cpu"), TinyEncoder(), np.random.default_rng(0)
    frame = cohort.snapshot.sql("SELECT * FROM epochs ORDER BY epoch_id")
    label = frame.select(codes.alias("code"))["code"].to_numpy()
    means = [unit(encoder.embed_texts(task.texts(one)).mean(axis=0)[None])[0] for one in task.labels]
    rows = np.stack([means[i] if i >= 0 else sum(means) for i in label]) + shift * means[-1]
    rows = unit(rows + noise * rng.standard_normal(rows.shape) / np.sqrt(rows.shape[1]))
    cohort.__dict__["reader"] = encoder
    cohort.snapshot = Told(cohort.snapshot, dict(zip(frame["epoch_id"].to_list(), rows, strict=True)))  # type: ignore[assignment]
    return cohort


def stages(task: PromptTask) -> pl.Expr:
    number = {value: list(task.labels).index(label) for value, label in task.means().items()}
    return pl.col("stage").replace_strict(number, default=-1, return_dtype=pl.Int64)


@pytest.fixture(scope="module")
def staged(sim_cohort: SimCohort) -> Cohort:
    """Its encoder knows the stages, with some noise."""
    return knowing(sim_cohort, find_task("staging"), stages(find_task("staging")), noise=1.2)


def test_stages_come_with_agreement_in_the_shape_of_the_design(staged: Cohort) -> None:
    found = classify(staged, "staging")
    document = found.to_json()
    assert set(document) == {
        "task", "labels", "calibrated", "not_assessable", "epochs", "agreement", "smoothing", "notes"
    }  # fmt: skip
    assert set(document["not_assessable"]) == {"sensor", "not_scored", "quality"} and document["calibrated"] is False
    assert set(document["epochs"][0]) == {"recording", "start_s", "label", "scores"}
    assert set(document["epochs"][0]["scores"]) == set(document["labels"]) == {"W", "N1", "N2", "N3", "REM"}
    agreement = document["agreement"]
    assert set(agreement) == {"scorer", "macro_f1", "kappa", "f1", "support", "interval", "confusion"}
    assert agreement["scorer"] == "human" and 0.6 < agreement["macro_f1"] < 1 and agreement["interval"]["subjects"] == 5
    low, high = agreement["interval"]["macro_f1"]
    assert low <= agreement["macro_f1"] <= high
    both = found.frame().drop_nulls(["label", "scored"])
    hits = both.filter((pl.col("label") == "N3") & (pl.col("scored") == "N3")).height
    f1 = 2 * hits / ((both["label"] == "N3").sum() + (both["scored"] == "N3").sum())
    assert agreement["f1"]["N3"] == pytest.approx(f1) and sum(agreement["support"].values()) == both.height
    assert any("uncalibrated" in note for note in found.notes) and "simulated nights" in found.notes


def test_epochs_without_the_sensors_are_counted_and_never_labelled(staged: Cohort) -> None:
    rows = staged.snapshot.sql("SELECT * FROM epochs ORDER BY recording, start_s")
    for name in ("staging", "desaturation", "position", "apnea"):
        found, sets = classify(staged, name), find_task(name).sensors
        for row, epoch in zip(found.frame().iter_rows(named=True), rows.iter_rows(named=True), strict=True):
            usable = any(all(epoch[f"ok_{c.lower()}"] is True for c in chosen) for chosen in sets)
            there = any(all(epoch[f"ok_{c.lower()}"] is not None for c in chosen) for chosen in sets)
            assert (row["label"] is not None) == usable
            assert row["not_assessable"] == (None if usable else "quality" if there else "sensor")
        counted = found.frame()["not_assessable"].value_counts(name="n").drop_nulls()
        assert dict(counted.iter_rows()) == {why: n for why, n in found.not_assessable.items() if n}
    assert found.not_assessable["sensor"] + found.not_assessable["quality"] < rows.height


def test_what_no_encoder_reads_is_refused_with_the_reason(staged: Cohort, sim_cohort: SimCohort) -> None:
    for name, sensor in (("limb_movement", "leg"), ("snoring", "snore")):
        with pytest.raises(BadInput, match=f"{name} needs {sensor}, which tiny does not read"):
            classify(staged, name)
    with pytest.raises(BadInput, match=r"no encoder that reads signals.*sleepsearch ingest SOURCE"):
        classify(Cohort(sim_cohort.root, encoder="text:minilm", device="cpu"), "staging")
    with pytest.raises(BadInput, match="asks of others"):
        classify(staged, "arousal", smooth=True)
    with pytest.raises(BadInput, match=r"--abstain 3"):
        classify(staged, "staging", abstain=3)
    with pytest.raises(BadInput, match="--where matches nothing"):
        classify(staged, "staging", where="age > 200")


def test_a_users_own_task_is_five_lines(staged: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(OWN)
    assert len(OWN.splitlines()) == 5
    found = classify(staged, str(path))
    assert set(found.frame()["label"].drop_nulls()) <= {"present", "absent"} and found.agreement is None
    assert any("the rule: present where" in note for note in found.notes)
    path.write_text(OWN.replace("[deep]", '[deep]\ncolumn = "stag"'))
    with pytest.raises(BadInput, match="column 'stag' is not in this cohort"):
        classify(staged, str(path))


def test_calibrated_by_others_a_leaning_of_the_words_is_mended(sim_cohort: SimCohort) -> None:
    task = find_task("respiratory_event")
    there = pl.when(pl.col("respiratory_s") >= 3).then(0).otherwise(1)
    cohort = knowing(sim_cohort, task, there, noise=1.0, shift=1.2)  # nearly all lie nearer to absent
    plain, calibrated = (classify(cohort, "respiratory_event", calibrated=on) for on in (False, True))
    assert plain.agreement and calibrated.agreement and calibrated.calibrated and not plain.calibrated
    assert calibrated.agreement.macro_f1 > plain.agreement.macro_f1 + 0.1
    chances = calibrated.frame().select("score_absent", "score_present").drop_nulls()
    assert (chances.sum_horizontal() - 1).abs().max() < 1e-6  # type: ignore[operator]
    labelled = f"{calibrated.agreement.interval['subjects']} labelled subjects"
    assert any("Platt" in note and labelled in note for note in calibrated.notes)
    one = cohort.snapshot.sql("SELECT recording FROM recordings LIMIT 1").item()
    alone = classify(cohort, "respiratory_event", where=f"recording = '{one}'", calibrated=True)
    assert alone.calibrated  # the other nights are still there to learn from
    assert alone.frame()["score_present"].to_list() == pytest.approx(
        calibrated.frame().filter(pl.col("recording") == one)["score_present"].to_list(), nan_ok=True
    )
    asleep = cohort.snapshot.sql("SELECT stage, n_respiratory FROM epochs").filter(
        pl.col("stage").is_in(SLEEP_STAGES) & pl.col("n_respiratory").is_not_null()
    )
    assert sum(calibrated.agreement.support.values()) <= asleep.height  # events are scored in sleep alone


def test_an_unsure_label_is_left_out_and_counted(staged: Cohort) -> None:
    every, sure = (
        classify(staged, "staging", calibrated=True),
        classify(staged, "staging", calibrated=True, abstain=0.8),
    )
    scores = every.frame().select(pl.max_horizontal(f"score_{label}" for label in every.labels).alias("top"))["top"]
    unsure = int((scores < 0.8).sum())
    assert 0 < unsure == sure.frame()["label"].null_count() - every.frame()["label"].null_count()
    assert any(note.startswith(f"abstained: {unsure} of") for note in sure.notes)
    assert every.agreement and sure.agreement and sure.agreement.kappa > every.agreement.kappa  # type: ignore[operator]


def test_smoothing_is_named_hears_whole_nights_and_helps(staged: Cohort) -> None:
    plain, smooth = classify(staged, "staging"), classify(staged, "staging", smooth=True)
    assert plain.smoothing is None and smooth.smoothing and "Markov" in smooth.smoothing
    assert plain.agreement and smooth.agreement and smooth.agreement.macro_f1 > plain.agreement.macro_f1
    part = classify(staged, "staging", smooth=True, where="epoch % 3 = 0")
    rows = smooth.frame().join(part.frame(), on=["recording", "start_s"], how="semi")
    assert rows["label"].to_list() == part.frame()["label"].to_list() and part.frame().height < rows.height * 2


def test_one_subject_is_called_one(staged: Cohort) -> None:
    one = staged.snapshot.sql("SELECT recording FROM recordings LIMIT 1").item()
    found = classify(staged, "staging", where=f"recording = '{one}'").agreement
    assert found and found.interval["note"] == "one subject" and found.interval["subjects"] == 1


def test_a_stagers_marks_are_never_called_a_persons(staged: Cohort) -> None:
    task, labels = find_task("staging"), tuple(find_task("staging").labels)
    frame = staged.snapshot.sql("SELECT * FROM epochs").with_columns(stage_source=pl.lit("auto:yasa"))
    nobody = truth_of(staged.snapshot, frame, task, labels, None)
    assert (nobody.codes == -1).all() and "no person's, --scorer auto:yasa" in nobody.why
    asked = truth_of(staged.snapshot, frame, task, labels, "auto:yasa")
    assert (asked.codes >= 0).sum() > 100 and set(asked.sources) == {"auto:yasa"}
    with pytest.raises(BadInput, match="labelled by auto:yasa"):
        truth_of(staged.snapshot, frame, task, labels, "ann")


# ---- a sentence along a night


def test_a_sentence_along_a_night_is_standardised_and_its_moments_stand_apart(staged: Cohort) -> None:
    name = staged.snapshot.sql("SELECT recording FROM epochs WHERE stage = 'N3' LIMIT 1").item()
    found = locate_words(staged, find_task("staging").texts("N3")[0], name, peaks=3)
    z = found.frame()["z"].drop_nulls().to_numpy()
    assert z.mean() == pytest.approx(0.0, abs=1e-5) and z.std() == pytest.approx(1.0, abs=1e-5)
    assert len(found.moments) == 3 and [m.z for m in found.moments] == sorted(
        (m.z for m in found.moments), reverse=True
    )
    starts = sorted(m.start_s for m in found.moments)
    assert all(b - a > 30 for a, b in pairwise(starts))
    deep = found.frame().filter(pl.col("stage") == "N3")["z"].mean()
    assert isinstance(deep, float) and deep > 0.3
    assert found.moments[0].from_s is None and any("no seconds are named" in note for note in found.notes)
    assert all(m.sensor in m.alone for m in found.moments) and found.agrees["sensor"][1] == 3
    document = found.to_json()
    assert len(document["curve"]) == found.frame().height and document["moments"][0]["sensor"]


def test_what_cant_be_judged_has_no_likeness(staged: Cohort) -> None:
    for row in staged.snapshot.sql("SELECT recording, count(ok_spo2) AS n FROM epochs GROUP BY ALL").iter_rows():
        found = locate_words(staged, "oxygen desaturation", row[0], peaks=0)
        missing = found.frame()["z"].null_count()
        assert missing == found.not_assessable["sensor"] + found.not_assessable["quality"]
        assert (missing == found.frame().height) == (row[1] == 0)
    with pytest.raises(BadInput, match=r"snor.* is shown by snore, which tiny does not read"):
        locate_words(staged, "snoring", row[0])
    for words, place, said in (("  ", row[0], "no words"), ("REM sleep", "nobody", "no recording")):
        with pytest.raises(BadInput, match=said):
            locate_words(staged, words, place)


def test_the_best_rows_leave_their_neighbours_out() -> None:
    z = np.array([1.0, 5.0, 4.0, np.nan, 3.0, 2.0, 2.5])
    assert best_apart(z, 3).tolist() == [1, 4, 6] and best_apart(z, 0).tolist() == []
    assert best_apart(np.full(3, np.nan), 2).tolist() == []
