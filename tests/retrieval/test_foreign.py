"""A file beside a cohort: what is said of it is what an ingest would say, and nothing of it stays."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders.errors import BadInput
from retrieval import Cohort, ingest
from retrieval.foreign import Foreign
from tests.conftest import SimCohort
from ui.commands import app


@dataclass(frozen=True)
class Beside:
    """The cohort of all nights but the last; `twin` is its first night given as a file, `new` the last."""

    cohort: Cohort
    folder: Path
    twin: Foreign
    new: Foreign


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    from encoders.simulation import simulate

    folder = tmp_path_factory.mktemp("nights")
    made = simulate(folder, nights=4, seed=31, sites=("shhs-like", "clinic", "mros-like", "hmc-like"), hours=0.5)
    root = tmp_path_factory.mktemp("beside") / "cohort"
    known = [path for night in made[:-1] for path in (night.edf, *night.annotations)]
    assert not ingest(known, root, encoder="sleepsearch-small").failed
    cohort = Cohort(root, device="cpu")
    with cohort.foreign(made[0].edf) as twin, cohort.foreign(made[-1].edf) as new:
        yield Beside(cohort, folder, twin, new)


def test_a_night_of_the_cohort_given_as_a_file_has_the_catalogs_facts_and_captions(beside: Beside) -> None:
    name = beside.twin.recording
    for start_s in (0.0, 450.0, 1500.0):
        place = f"{name}@{start_s}"
        assert beside.twin.own.facts(place) == beside.cohort.facts(place)
        assert beside.twin.describe(start_s)["captions"] == beside.cohort.describe(place)["captions"]
    assert beside.twin.describe()["captions"] == beside.cohort.describe(name)["captions"]


def test_a_night_of_the_cohort_given_as_a_file_finds_itself(beside: Beside) -> None:
    for start_s in (0.0, 450.0, 1500.0):
        first = beside.twin.nearest(start_s, k=3).hits[0]
        assert first.recording == beside.twin.recording and first.start_s <= start_s < first.stop_s
        assert "signals: cosine 1.00" in first.why
        near = beside.twin.captions_near(start_s)
        assert near == beside.cohort.captions_near(f"{beside.twin.recording}@{start_s}") and near is not None
    alike = beside.twin.similar_nights(k=3)
    assert alike.hits[0].recording == beside.twin.recording
    assert alike.alignments[0].likeness == pytest.approx(1, abs=1e-3)
    assert beside.twin.course_likeness([beside.twin.recording]) == [pytest.approx(1, abs=1e-3)]
    assert [h.recording for h in beside.twin.similar_nights(k=3, unlike=True).hits] == [
        h.recording for h in reversed(alike.hits)
    ]


def test_a_new_file_is_compared_and_the_cohort_stays_as_it_was(beside: Beside) -> None:
    assert beside.new.recording not in beside.cohort.nights()["recording"]
    assert {h.recording for h in beside.new.nearest(600.0).hits} <= set(beside.cohort.nights()["recording"])
    assert beside.new.describe(600.0)["nearest"][0]["recording"] in beside.cohort.nights()["recording"].to_list()
    assert not beside.new.describe(600.0, nearest=1)["generated"]  # the small encoder writes no captions
    assert [row["became"] for row in beside.new.montage["channels"] if row["became"]]
    assert beside.cohort.snapshot.number == 1 and beside.cohort.info()["counts"]["recordings"] == 3


def test_where_a_foreign_night_may_look_can_be_narrowed(beside: Beside) -> None:
    name = beside.twin.recording
    hits = beside.twin.nearest(450.0, where=f"recording <> '{name}'").hits
    assert hits and name not in {hit.recording for hit in hits}


def test_captions_found_from_signals_are_ranked_as_by_the_whole_matrix(beside: Beside) -> None:
    from encoders.captions import PARTS
    from retrieval.spaces import caption_vectors

    cohort, reader = beside.cohort, beside.cohort.reader
    assert reader is not None
    epoch = cohort.snapshot.sql("SELECT epoch_id, caption_id FROM epoch_rows ORDER BY epoch_id LIMIT 1 OFFSET 30")
    (signal,) = cohort.snapshot.vectors(reader.space, "signal", epoch["epoch_id"].to_numpy())
    captions = cohort.snapshot.sql("SELECT * FROM captions ORDER BY caption_id")
    cosines = caption_vectors(captions, PARTS, reader.embed_texts, reader.dim) @ signal
    recording, start_s = cohort.snapshot.sql(
        "SELECT recording, start_s FROM epoch_rows WHERE epoch_id = ?", [epoch["epoch_id"][0]]
    ).row(0)
    found = cohort.captions_near(f"{recording}@{start_s}", k=4)
    assert found is not None and found.of == captions.height
    np.testing.assert_allclose([c.cosine for c in found.captions], np.sort(cosines)[::-1][:4], atol=2e-3)
    own = cosines[(captions["caption_id"] == epoch["caption_id"][0]).to_numpy()][0]
    assert found.cosine == pytest.approx(own, abs=2e-3)
    assert found.rank is not None and abs(found.rank - 1 - int((cosines > own).sum())) <= 1


def test_closing_deletes_what_was_made_and_leaves_the_file(beside: Beside, tmp_path: Path) -> None:
    edf = next(beside.folder.glob("*.edf"))
    named = Path(copyfile(edf, tmp_path / "Anna_Berg.edf"))
    with beside.cohort.foreign(named) as foreign:
        made = foreign.own.root.parent
        assert foreign.recording.startswith("id-") and "Berg" not in str(foreign.montage)
        assert made.is_dir() and foreign.own.nights()["tst_min"].to_list() == [None]  # nobody scored the copy
    assert named.is_file() and not made.exists()


def test_a_broken_file_two_nights_or_none_are_refused_in_one_line(beside: Beside, tmp_path: Path) -> None:
    broken = tmp_path / "broken.edf"
    broken.write_bytes(next(beside.folder.glob("*.edf")).read_bytes()[:1000])
    for given, says in (
        (broken, "broken.edf"), (sorted(beside.folder.glob("*.edf")), "one night at a time"),
        (tmp_path / "none.edf", "no such file"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=says) as refused:
            beside.cohort.foreign(given)
        assert "\n" not in str(refused.value)


def test_what_a_generated_caption_gets_wrong_is_named_and_what_nobody_knows_is_not(beside: Beside) -> None:
    from retrieval.facts import contradictions

    snapshot = beside.cohort.snapshot
    rows = snapshot.sql("SELECT epoch_id, stage FROM epoch_rows WHERE stage = 'W' ORDER BY epoch_id")
    awake = int(rows["epoch_id"][0])
    said = {"stage_event": "Deep slow-wave sleep (N3).", "brain": "Nothing that anybody knows."}
    (wrong,) = contradictions(snapshot, awake, said)
    assert (wrong.part, wrong.said, wrong.known) == ("stage_event", "Deep slow-wave sleep (N3).", "Wakefulness.")
    assert not contradictions(snapshot, awake, {"stage_event": "Wakefulness."})


def test_an_unknown_fact_says_why(beside: Beside) -> None:
    facts = {fact.name: fact for fact in beside.new.own.facts(beside.new.place(0.0))}
    assert facts["spo2 min"].value is None and "SPO2" in facts["spo2 min"].why
    assert facts["arousal"].value is None and facts["arousal"].why == "not scored"
    assert facts["delta"].unit == "%" and dict(facts["delta"].single).keys() == {"c3", "c4"}


def test_without_an_encoder_of_signals_captions_compare(sim_cohort: SimCohort, beside: Beside) -> None:
    with sim_cohort.cohort.foreign(next(beside.folder.glob("*hmc*.edf"))) as foreign:
        assert foreign.captions_near(600.0) is None and len(foreign.nearest(600.0, k=2).hits) == 2
        alike = foreign.similar_nights(k=2)
        assert len(alike.hits) == 2 == len(foreign.course_likeness([hit.recording for hit in alike.hits]))


def test_describe_takes_a_path_at_a_time(beside: Beside) -> None:
    path = next(beside.folder.glob("*hmc*.edf"))
    done = CliRunner().invoke(app, ["describe", f"{path}@600", "--cohort", str(beside.cohort.root), "--json"])
    assert done.exit_code == 0, done.output
    described = json.loads(done.stdout)
    assert described["captions"] == beside.new.describe(600.0)["captions"] and described["start_s"] == 600.0
    assert {near["recording"] for near in described["nearest"]} <= set(beside.cohort.nights()["recording"])
