import json
import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encoders.errors import BadInput
from encoders.models.small.inputs import NIGHT, prepare
from encoders.recordings import build_epochs, epoch_grid, open_recording
from encoders.simulation import simulate
from encoders.training import cache
from encoders.training.cache import EpochStore, build_cache, renew_facts
from encoders.training.facts import INDEX, SLOTS, STAGE_LEVELS
from encoders.training.labels import read_truth
from encoders.training.moments import EVENT_SLOTS
from encoders.training.people import Person, read_people
from encoders.vocabulary import KINDS

SITES = ("clinic", "mros-like")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nights")
    simulate(folder, nights=2, seed=611, sites=SITES, hours=0.5)
    return folder


@pytest.fixture(scope="module")
def built(nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cache")
    report = build_cache([nights], out, subjects=nights / "subjects.csv", keep_unusable=True)
    assert not report.failed and report.epochs == 120 and report.skipped == 0
    return out


@pytest.fixture
def own(built: Path, tmp_path: Path) -> Path:
    """A copy of the built cache, to be changed."""
    return Path(shutil.copytree(built, tmp_path / "cache"))


def again(nights: Path, out: Path, **options: object) -> cache.CacheReport:
    return build_cache([nights], out, **({"subjects": nights / "subjects.csv", "keep_unusable": True} | options))


def test_signals_are_those_of_the_recording_to_half_precision(nights: Path, built: Path) -> None:
    store = EpochStore(built)
    for number, folder in enumerate(store.folders):
        recording = open_recording([nights / f"{folder.name}.edf"])
        inputs = prepare(build_epochs(recording, epoch_grid(recording.duration_s)))
        batch = store.batch(store.rows_of([number]))
        np.testing.assert_allclose(batch.x.numpy(), inputs.x, atol=0.01)
        assert (batch.present.numpy() == inputs.present).all()
        assert (batch.night.numpy() == inputs.night).all()


def test_labels_are_what_happened_not_what_was_marked(nights: Path, built: Path) -> None:
    store = EpochStore(built)
    assert store.people["scorer"].to_list() == ["truth", "truth"]
    for number, folder in enumerate(store.folders):
        truth = pl.read_parquet(nights / f"{folder.name}.truth.parquet")
        bits = store.bits[store.rows_of([number])]
        assert bits[:, INDEX["stage"]].tolist() == [1 << STAGE_LEVELS.index(stage) for stage in truth["stage"]]
        filled = truth["arousal_s"].to_numpy()
        assert (bits[filled >= 3.01, INDEX["arousal"]] == 2).all() and (bits[filled == 0, INDEX["arousal"]] == 1).all()
        assert (bits[:, INDEX["snoring"]] > 0).mean() > 0.9  # noted by no technician, known to the simulator


def test_moments_are_those_of_the_events(nights: Path, built: Path) -> None:
    store = EpochStore(built)
    arousal = 1 << EVENT_SLOTS.index(INDEX["arousal"])
    for number, folder in enumerate(store.folders):
        truth = pl.read_parquet(nights / f"{folder.name}.truth-events.parquet").filter(pl.col("name") == "arousal")
        middle_s = 1.0 + 2.0 * np.arange(60 * 15)[:, None]  # of every step of the half hour
        start_s, stop_s = (truth[column].to_numpy() for column in ("start_s", "stop_s"))
        inside = ((start_s <= middle_s) & (middle_s <= stop_s)).any(axis=1)
        found = (store.moments[store.rows_of([number])].reshape(-1) & arousal) != 0
        assert (found == inside).mean() > 0.99 and found.any()  # but where an end lies in the middle of a step


def test_a_truth_is_a_scoring_of_all_kinds(nights: Path) -> None:
    name = next(nights.glob("*.edf")).stem
    paths = nights / f"{name}.truth.parquet", nights / f"{name}.truth-events.parquet"
    scoring = read_truth(*paths)
    assert [span.start_s for span in scoring.stages] == [30.0 * i for i in range(60)]
    assert set(scoring.coverage) == set(KINDS)
    with pytest.raises(BadInput, match=r"truth-events\.parquet: not the truth"):
        read_truth(paths[1], paths[0])


def test_without_the_truth_beside_it_a_night_has_its_annotations(nights: Path, tmp_path: Path) -> None:
    source = tmp_path / "site"
    shutil.copytree(nights, source, ignore=shutil.ignore_patterns("*.parquet"))
    build_cache([source], tmp_path / "cache")
    people = EpochStore(tmp_path / "cache").people
    assert set(people["scorer"]) <= {"human", "human 2"}
    assert people["subject"].to_list() == people["recording"].to_list()  # no CSV: nobody is known
    assert people["site"].null_count() == 2


def test_batches_are_the_rows_asked_for_in_that_order(built: Path) -> None:
    store = EpochStore(built)
    rows = np.random.default_rng(0).integers(0, len(store), 50)
    batch = store.batch(rows)
    x = np.concatenate([np.load(folder / "x.npy") for folder in store.folders])
    night = np.stack([np.load(folder / "night.npy") for folder in store.folders])
    assert (batch.x.numpy() == x[rows].astype(np.float32)).all() and batch.x.shape == (50, 12, 1920)
    assert (batch.night.numpy() == night[rows // 60]).all() and batch.night.shape == (50, 12, NIGHT)
    assert (batch.bits.numpy() == store.bits[rows]).all() and batch.bits.shape == (50, len(SLOTS))
    assert batch.recording.tolist() == (rows // 60).tolist()
    assert (pickle.loads(pickle.dumps(store)).batch(rows).x == batch.x).all()
    assert len(store.batch([]).x) == 0


def test_people_are_those_of_the_csv(nights: Path, built: Path) -> None:
    said = pl.read_csv(nights / "subjects.csv").sort("recording")
    people = EpochStore(built).people
    for column in ("recording", "subject", "site", "age", "sex", "simulated"):
        assert people[column].to_list() == said[column].to_list()


def test_what_stands_is_left_alone(nights: Path, own: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*.*")}
    seen: list[tuple[str, int, int]] = []
    report = again(nights, own, progress=lambda *done: seen.append(done))
    assert report.skipped == 2 and report.epochs == 120 and len(report.folders) == 2
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*.*")} == before
    assert [done[1:] for done in seen] == [(1, 2), (2, 2)]


def outdated(own: Path) -> dict[Path, np.ndarray]:
    """Each folder with the bits that it had before another version counted them."""
    bits = {folder: np.load(folder / "bits.npy") for folder in EpochStore(own).folders}
    for folder in bits:
        np.save(folder / "bits.npy", np.zeros(1))
        row = json.loads((folder / "row.json").read_text())
        (folder / "row.json").write_text(json.dumps(row | {"facts": "of another version"}))
    with pytest.raises(BadInput, match=r"another version.*renew_facts"):
        EpochStore(own)
    return bits


def test_facts_are_renewed_from_what_stands_in_the_folder(own: Path) -> None:
    rows = {path: path.read_text() for path in own.rglob("row.json")}
    bits = outdated(own)
    assert renew_facts(own) == []
    for folder, expected in bits.items():
        assert (np.load(folder / "bits.npy") == expected).all()
    assert {path: path.read_text() for path in rows} == rows
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*.*")}
    assert renew_facts(own) == []  # of this version: left alone
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*.*")} == before
    with pytest.raises(BadInput, match="no cached recording"):
        renew_facts(own / "nothing")


def test_what_can_not_be_renewed_is_listed_and_read_again(nights: Path, own: Path) -> None:
    (first, kept), (second, expected) = sorted(outdated(own).items())
    pl.read_parquet(first / "facts.parquet").drop("spo2_min_pct").write_parquet(first / "facts.parquet")
    (failed,) = renew_facts(own)
    assert failed["path"] == str(first) and "spo2_min_pct" in failed["error"]
    assert (np.load(second / "bits.npy") == expected).all() and len(np.load(first / "bits.npy")) == 1
    assert again(nights, own).skipped == 1
    assert (np.load(first / "bits.npy") == kept).all() and renew_facts(own) == []
    row = json.loads((first / "row.json").read_text())
    (first / "row.json").write_text(json.dumps(row | {"inputs": 0}))
    (failed,) = renew_facts(first)
    assert "inputs are of another version" in failed["error"]


def test_new_facts_are_counted_without_reading_a_recording(
    nights: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = outdated(own)
    monkeypatch.setattr(cache, "open_recording", None)
    assert again(nights, own).skipped == 0
    for folder, expected in bits.items():
        assert (np.load(folder / "bits.npy") == expected).all()
    assert again(nights, own, subjects=None).skipped == 0  # nor for another subject
    assert EpochStore(own).people["age"].null_count() == 2


def test_an_interrupted_run_keeps_what_is_whole_and_goes_on(
    nights: Path, tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([prepare])

    def stops(epochs: object) -> object:
        made = next(calls, None)
        if made is None:
            raise KeyboardInterrupt
        return made(epochs)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "prepare", stops)
    with pytest.raises(KeyboardInterrupt):
        again(nights, tmp_path)
    monkeypatch.undo()
    first, second = sorted(path.name for path in built.iterdir() if path.is_dir())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [first]
    (tmp_path / f".{second}.part").mkdir()  # as a killed process leaves it
    (tmp_path / f".{second}.part" / "x.npy").write_bytes(b"half")
    shutil.copytree(built / second, tmp_path / second, ignore=shutil.ignore_patterns("row.json"))
    assert again(nights, tmp_path).skipped == 1
    assert not list(tmp_path.rglob("*.part"))
    for path in built.rglob("*.npy"):
        other = np.load(tmp_path / path.relative_to(built))  # the last digit follows the number of threads
        np.testing.assert_allclose(np.load(path), other, rtol=2e-3, atol=1e-3)


def test_a_changed_recording_is_read_again(nights: Path, own: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(nights, tmp_path / "moved"))
    edf = sorted(moved.glob("*.edf"))[0]
    edf.touch()
    assert again(moved, own).skipped == 1


def test_a_broken_file_costs_itself_alone(nights: Path, tmp_path: Path) -> None:
    name = sorted(nights.glob("*.edf"))[0].stem
    (tmp_path / "files").mkdir()
    for path in nights.glob(f"{name}*"):
        shutil.copy(path, tmp_path / "files")
    (tmp_path / "files" / "broken.edf").write_bytes(b"no EDF")
    other = sorted(nights.glob("*.edf"))[1]
    shutil.copy(other, tmp_path / "files")
    (tmp_path / "files" / f"{other.stem}.truth.parquet").write_bytes(b"no table")
    shutil.copy(nights / f"{other.stem}.truth-events.parquet", tmp_path / "files")
    report = build_cache([tmp_path / "files"], tmp_path / "cache")
    assert [folder.name for folder in report.folders] == [name]
    assert {Path(failed["path"]).name for failed in report.failed} == {"broken.edf", other.name}
    assert any("not the truth of a simulated night" in failed["error"] for failed in report.failed)


def test_epochs_without_any_sensor_are_dropped_unless_kept(built: Path, nights: Path, tmp_path: Path) -> None:
    recording = open_recording([nights / f"{EpochStore(built).folders[0].name}.edf"])
    epochs = build_epochs(recording, np.arange(6) * 30.0)
    epochs.present[[0, 3]] = False
    measures = cache.measure_epochs(recording, epochs)
    for keep, left in ((False, [30.0, 60.0, 120.0, 150.0]), (True, [30.0 * i for i in range(6)])):
        cache.write_recording(
            tmp_path / "some", epochs, measures, [], Person("x"), recording="some", fingerprint="", simulated=False,
            keep_unusable=keep,
        )  # fmt: skip
        assert pl.read_parquet(tmp_path / "some" / "facts.parquet")["start_s"].to_list() == left
        assert len(EpochStore(tmp_path)) == len(left)
    epochs.present[:] = False
    with pytest.raises(BadInput, match="no usable sensor"):
        cache.write_recording(
            tmp_path / "none", epochs, measures, [], Person("x"), recording="none", fingerprint="", simulated=False
        )
    assert not (tmp_path / "none").exists()


def _killed_by_mros(job: cache._Job) -> cache._Done:
    if "mros" in job.source.id:
        os.kill(os.getpid(), signal.SIGKILL)
    return cache._cache_recording(job)


@pytest.mark.slow
def test_two_processes_build_what_one_builds_and_a_killed_one_costs_its_own_night(
    nights: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(cache, "_cache_recording", _killed_by_mros)
        report = again(nights, tmp_path, workers=2)
    (failed,) = report.failed
    assert "mros" in failed["path"] and "signal 9" in failed["error"] and len(report.folders) == 1
    report = again(nights, tmp_path)
    assert not report.failed and report.skipped == 1
    for path in built.rglob("*.npy"):
        other = np.load(tmp_path / path.relative_to(built))  # the last digit follows the number of threads
        np.testing.assert_allclose(np.load(path), other, rtol=2e-3, atol=1e-3)


def test_bad_arguments_are_refused_in_one_line(nights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no cached recording"):
        EpochStore(tmp_path)
    with pytest.raises(BadInput, match="workers: 0"):
        build_cache([nights], tmp_path, workers=0)
    csv = tmp_path / "people.csv"
    csv.write_text("recording,subject,age,sex\na,s1,51,2\nb,s1,200,F\nc,,NA,male\n")
    assert read_people(csv) == {
        "a": Person("s1", None, 51.0, None), "b": Person("s1", None, None, "F"), "c": Person("c", None, None, "M"),
    }  # fmt: skip
    csv.write_text("recording,subject\na,s1\na,s2\n")
    with pytest.raises(BadInput, match="'a' stands twice"):
        read_people(csv)
    csv.write_text("night,subject\na,s1\n")
    with pytest.raises(BadInput, match="no column 'recording'"):
        read_people(csv)
