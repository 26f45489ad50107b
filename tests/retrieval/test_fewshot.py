"""Few-shot labels: the vote of the nearest examples, judged by other people's alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encoders.errors import BadInput
from retrieval import Cohort
from retrieval.fewshot import FewShot
from retrieval.neighbours import among
from tests.conftest import SimCohort
from tests.retrieval.made_up import SPACE, Night, make, unit

N, DIM = 30, 6
Shots = Sequence[tuple[str, int, str]]  # recording, epoch, label


def wandering(tmp_path: Path) -> Cohort:
    """Four nights of three people, their vectors at random, stages by turns; one epoch unread, one of bad quality."""
    rng, nights = np.random.default_rng(3), []
    for name, subject in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c")):
        vectors = unit(rng.standard_normal((N, DIM)))
        vectors[5] = 0.0
        ok = [True] * N
        ok[7] = False
        stages = [("W", "N2", "REM")[i % 3] for i in range(N)]
        nights.append(Night(name, subject, vectors, stages, {"ok_eeg_c3": ok}))
    return make(tmp_path / "cohort", nights)


def table(tmp_path: Path, shots: Shots) -> Path:
    path = tmp_path / "examples.csv"
    rows = [(name, epoch * 30.0, label) for name, epoch, label in shots]
    pl.DataFrame(rows, schema=["recording", "start_s", "label"], orient="row").write_csv(path)
    return path


SHOTS = [("a1", i, ("W", "REM")[i % 2]) for i in range(10, 18)] + [("b1", i, ("W", "REM")[i % 2]) for i in range(9)]


def test_the_vote_is_that_of_a_double_loop(tmp_path: Path) -> None:
    cohort = wandering(tmp_path)
    found = cohort.fewshot(table(tmp_path, SHOTS), k=3)
    rows = cohort.snapshot.sql("SELECT epoch_id, recording, epoch FROM epochs ORDER BY recording, epoch")
    vectors = cohort.snapshot.vectors("made-00000000", "signal", rows["epoch_id"].to_numpy())
    place = {(name, epoch): i for i, (name, epoch) in enumerate(rows.select("recording", "epoch").iter_rows())}
    usable = [shot for shot in SHOTS if shot[1] not in (5, 7)]
    frame = found.frame()
    for i, (name, epoch) in enumerate(place):
        given = {label for n, e, label in usable if (n, e) == (name, epoch)}
        near = []
        for shot in usable:
            if given and shot[0][0] == name[0]:
                continue  # an example is judged by other people's
            gap = float(np.linalg.norm(vectors[i] - vectors[place[shot[0], shot[1]]]))
            near.append((gap, shot[2]))
        near = sorted(near)[:3]
        row = frame.row(i, named=True)
        assert (row["recording"], row["start_s"]) == (name, epoch * 30)
        if epoch in (5, 7):
            assert row["label"] is None and row["share W"] is None and row["nearest"] is None
            continue
        weights = {label: sum(1 / gap for gap, of in near if of == label) for label in ("REM", "W")}
        assert row["label"] == max(weights, key=lambda label: weights[label])
        assert row["share W"] == pytest.approx(weights["W"] / sum(weights.values()), abs=2e-3)
        assert [part.split()[0] for part in row["nearest"].split("; ")] == [label for _, label in near]
    assert found.not_assessable == {"sensor": 4, "not_scored": 0, "quality": 4}
    assert any("2 examples lie where no sensor" in note for note in found.notes)
    document = json.loads(json.dumps(found.to_json()))
    assert len(document["epochs"]) == 4 * N and document["examples"] == {"REM": 6, "W": 9}
    assert document["epochs"][0]["nearest"][0].keys() == {"recording", "subject", "start_s", "label", "cosine"}


def test_agreement_never_rests_on_a_persons_own_neighbours(tmp_path: Path) -> None:
    # each person says A where the vector points one way and B where it points the other, by a rule of their own
    rng, nights, shots = np.random.default_rng(0), [], []
    for number in range(6):
        name, sides = f"p{number}", rng.integers(0, 2, N)
        own = rng.standard_normal(12)
        vectors = unit(own * np.where(sides, 1, -1)[:, None] + 0.05 * rng.standard_normal((N, 12)))
        nights.append(Night(name, name, vectors, ["N2"] * N))
        shots += [(name, i, "AB"[sides[i]]) for i in range(0, N, 2)]
    found = make(tmp_path / "cohort", nights).fewshot(table(tmp_path, shots))
    assert found.agreement is not None and found.agreement.interval is not None
    judged = found.epochs.filter(pl.col("given").is_not_null())
    right = (judged["given"] == judged["label"]).mean()
    assert right < 0.8  # a person's own examples would tell each of them without an error
    for row in range(0, found.epochs.height, 2):
        assert all(near["subject"] != found.epochs["subject"][row] for near in found.why(row))
    free = found.epochs.with_row_index().filter(pl.col("given").is_null())["index"]
    assert all(found.why(int(row))[0]["subject"] == found.epochs["subject"][int(row)] for row in free)
    # and the figures are those of the table that is given out
    labels = found.agreement.labels
    table_ = [[judged.filter((pl.col("given") == a) & (pl.col("label") == b)).height for b in labels] for a in labels]
    assert found.agreement.confusion == table_
    f1 = [2 * table_[i][i] / (sum(table_[i]) + table_[0][i] + table_[1][i]) for i in (0, 1)]
    assert found.agreement.macro_f1 == pytest.approx(sum(f1) / 2)


def test_stages_are_compared_with_the_scorer_in_people_without_an_example(tmp_path: Path) -> None:
    cohort = wandering(tmp_path)
    found = cohort.fewshot(table(tmp_path, SHOTS), k=3)
    assert found.scored is not None and found.scored.subjects == 1 and "human" in found.scored.against
    of_c = cohort.snapshot.sql("SELECT recording, start_s, stage FROM epochs WHERE recording = 'c1'")
    both = found.epochs.join(of_c, on=["recording", "start_s"]).filter(pl.col("label").is_not_null())
    assert found.scored.epochs == both.height == N - 2
    assert found.scored.labels == ["REM", "W", "N2"] and set(found.scored.f1) == {"REM", "W"}
    assert sum(found.scored.confusion[2]) == both.filter(pl.col("stage") == "N2").height
    assert any("without an example: N2" in note for note in found.notes)
    one = [(name, epoch, "REM" if label == "REM" else "not REM") for name, epoch, label in SHOTS]
    found = cohort.fewshot(table(tmp_path, one))
    assert found.scored is not None and found.scored.support == {"REM": 9, "not REM": 19}
    other = [(name, epoch, label + "!") for name, epoch, label in SHOTS]
    assert cohort.fewshot(table(tmp_path, other)).scored is None


def test_what_nobody_labelled_is_no_negative(tmp_path: Path) -> None:
    cohort = wandering(tmp_path)
    with pytest.raises(BadInput, match=r"all examples are 'spindle'.*'not spindle'"):
        cohort.fewshot(table(tmp_path, [("a1", 1, "spindle"), ("b1", 2, "spindle")]))
    with pytest.raises(BadInput, match="no example to learn from; label some epochs"):
        cohort.fewshot()
    found = cohort.fewshot(table(tmp_path, [("a1", 1, "spindle"), ("b1", 2, "not spindle")]))
    assert found.labels == ["not spindle", "spindle"]
    assert any("examples of one subject alone: not spindle, spindle" in note for note in found.notes)


def test_the_log_of_labels_gives_examples(tmp_path: Path) -> None:
    cohort = wandering(tmp_path)
    cohort.label("a1@0-90", "W", "ann")  # three epochs
    cohort.label("b1@300", "REM", "ann")
    cohort.label("b1@330", "REM", "ann")
    cohort.label("b1@330", "W", "ben")
    cohort.label("c1@0", "spindle", "ben")
    found = cohort.fewshot(labels=["W", "REM"])
    assert found.to_json()["examples"] == {"REM": 1, "W": 3}
    assert any("1 epochs have more than one label (such as REM and W)" in note for note in found.notes)
    assert cohort.fewshot().labels == ["REM", "W", "spindle"]
    with pytest.raises(BadInput, match="no example is labelled 'N3'; labels: REM, W, spindle"):
        cohort.fewshot(labels=["N3", "W"])


def test_one_persons_examples_say_nothing_of_anybody_else(tmp_path: Path) -> None:
    found = wandering(tmp_path).fewshot(table(tmp_path, [("a1", 1, "W"), ("a2", 2, "REM"), ("a1", 3, "W")]))
    assert found.agreement is None and any("all examples come from one subject" in note for note in found.notes)
    given = found.epochs.filter(pl.col("given").is_not_null())
    assert given.height == 3 and given["label"].null_count() == 3
    assert found.epochs.filter(pl.col("label").is_not_null()).height == 4 * N - 8 - 3


def test_a_filter_bounds_what_is_labelled_and_not_what_is_learned_from(tmp_path: Path) -> None:
    cohort = wandering(tmp_path)
    all_, some = (cohort.fewshot(table(tmp_path, SHOTS), where=w) for w in (None, "recording = 'c1' AND stage = 'W'"))
    assert set(some.epochs["recording"]) == {"c1"} and some.epochs.height == 10
    same = all_.frame().join(some.frame(), on=["recording", "start_s"])
    assert same["label"].to_list() == same["label_right"].to_list() and some.examples.equals(all_.examples)
    for wrong in ({"k": 0}, {"next_n": -1}):
        with pytest.raises(BadInput, match="at least 1 neighbour"):
            cohort.fewshot(table(tmp_path, SHOTS), **wrong)


def picked_slowly(found: FewShot, vectors: np.ndarray, count: int) -> list[int]:
    """Rows by the documented rule, one at a time."""
    taken, picks = dict.fromkeys(found.epochs["recording"], 0), []
    able = [i for i, row in enumerate(found.epochs.iter_rows(named=True)) if row["label"] and not row["given"]]
    for _ in range(count):
        fewest = min(taken[found.epochs["recording"][i]] for i in able if i not in picks)
        best, score = -1, -1.0
        for i in able:
            if i in picks or taken[found.epochs["recording"][i]] != fewest:
                continue
            top = sorted(found.votes[i].tolist())
            gaps = [np.sqrt(max(2 - 2 * float(found.cosines[i, 0]), 0))]
            gaps += [np.sqrt(max(2 - 2 * float(vectors[i] @ vectors[j]), 0)) for j in picks]
            if (gain := (1 - (top[-1] - top[-2])) * min(gaps)) > score + 1e-7:
                best, score = i, gain
        picks.append(best)
        taken[found.epochs["recording"][best]] += 1
    return picks


def test_what_to_label_next_follows_its_rule(tmp_path: Path) -> None:
    cohort = wandering(tmp_path)
    found = cohort.fewshot(table(tmp_path, SHOTS), next_n=9)
    ids = cohort.snapshot.sql("SELECT epoch_id FROM epochs ORDER BY recording, epoch")["epoch_id"].to_numpy()
    slow = picked_slowly(found, cohort.snapshot.vectors("made-00000000", "signal", ids), 9)
    rows = [found.epochs.row(i, named=True) for i in slow]
    assert [(p["recording"], p["start_s"]) for p in found.next] == [(r["recording"], r["start_s"]) for r in rows]
    assert sorted(p["recording"] for p in found.next[:4]) == ["a1", "a2", "b1", "c1"]  # everywhere once before twice
    assert found.next[0]["clock"].startswith("22:")
    every = cohort.fewshot(table(tmp_path, SHOTS), next_n=1000).next
    assert len(every) == len({(p["recording"], p["start_s"]) for p in every}) == 4 * N - 8 - 15


def test_without_signals_captions_are_compared_and_it_is_said(sim_cohort: SimCohort, tmp_path: Path) -> None:
    cohort = sim_cohort.cohort
    rows = cohort.snapshot.sql(
        "SELECT epoch_id, recording, start_s, stage, caption_id FROM epochs ORDER BY recording, start_s"
    ).with_row_index()
    shots = rows.filter(pl.col("stage").is_in(["W", "N2", "REM"]) & (pl.col("index") % 7 == 0))
    path = tmp_path / "examples.csv"
    shots.select("recording", "start_s", pl.col("stage").alias("label")).write_csv(path)
    found = cohort.fewshot(path, k=4)
    assert found.by == "captions" and any("not by signals" in note for note in found.notes)
    assert found.scored is None  # the captions name the scored stage
    captions = cohort.snapshot.vectors(found.space, "caption", rows["caption_id"].to_numpy())
    places, subjects = shots["index"].to_numpy(), found.epochs["subject"].to_numpy()
    for i in range(0, rows.height, 11):
        allowed = places[subjects[places] != subjects[i]] if i in places else places
        gaps = np.sort(-(captions[allowed] @ captions[i]))[:4]  # examples that share a wording count one by one
        assert [near["cosine"] for near in found.why(i)] == pytest.approx((-gaps).tolist(), abs=2e-3)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_a_handful_of_examples_is_found_as_the_index_finds_it(tmp_path: Path, k: int) -> None:
    rng = np.random.default_rng(k)
    vectors = unit(rng.standard_normal((30, 6)))
    vectors[7] = vectors[3]  # two alike: the lower id comes first
    cohort = make(tmp_path / "cohort", [Night("n1", "s1", vectors, ["N2"] * 30)])
    ids = np.sort(cohort.snapshot.rows(None))
    rows = cohort.snapshot.vectors(SPACE, "signal", ids)
    found = cohort.snapshot.search(SPACE, "signal", rows, k, ids=ids[:8])
    chosen, scores = among(rows, rows[:8], ids[:8], k)
    assert (chosen == found.ids).all()
    assert np.allclose(scores, found.scores, atol=1e-6)
