"""The whole road: files become a cohort, a cohort answers, and what was done is not done again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encoders.errors import BadInput
from retrieval import Cohort, ingest

ROOT = Path(__file__).resolve().parents[2]
HIT_KEYS = ["recording", "subject", "start_s", "stop_s", "clock", "score", "stage", "stage_source", "events", "caption",
            "substitutes", "why"]  # fmt: skip


@pytest.fixture(scope="module")
def cohort(sim_cohort) -> Cohort:
    return sim_cohort.cohort


def test_hits_have_the_shape_that_others_rely_on(cohort: Cohort) -> None:
    answer = cohort.search("REM sleep", k=3).to_json()
    assert {"query", "filter", "searched", "not_assessable", "hits", "engine", "ms"} <= answer.keys()
    assert set(answer["not_assessable"]) == {"sensor", "not_scored", "quality"}
    hit = answer["hits"][0]
    assert [k for k in hit if k in HIT_KEYS] == HIT_KEYS
    assert hit["simulated"] is True and hit["stage"] == "REM" and hit["why"]
    json.dumps(answer, allow_nan=False)


def test_what_is_unchanged_is_skipped_and_a_changed_subject_is_read_again(small_cohort, tmp_path: Path) -> None:
    folder = tmp_path / "nights"
    shutil.copytree(small_cohort.folder, folder)
    edf = sorted(folder.glob("*.edf"))
    for path in edf[2:]:
        path.unlink()
    root = tmp_path / "cohort"
    first = ingest([folder], root, subjects=folder / "subjects.csv")
    assert (first.recordings, first.skipped) == (2, 0)
    again = ingest([folder], root, subjects=folder / "subjects.csv")
    assert (again.recordings, again.skipped, again.snapshot) == (0, 2, first.snapshot)
    table = (folder / "subjects.csv").read_text().splitlines()
    row = next(i for i, line in enumerate(table) if line.startswith(edf[0].stem))
    cells = table[row].split(",")
    cells[2] = "99"
    table[row] = ",".join(cells)
    (folder / "subjects.csv").write_text("\n".join(table))
    third = ingest([folder], root, subjects=folder / "subjects.csv")
    assert (third.recordings, third.skipped) == (1, 1)
    assert 99.0 in Cohort(root).nights()["age"].to_list()


def test_a_cohort_made_from_relative_paths_is_read_from_anywhere(
    small_cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edf = min(small_cohort.folder.glob("*.edf"))
    (tmp_path / "nights").mkdir()
    shutil.copy(edf, tmp_path / "nights")
    monkeypatch.chdir(tmp_path)
    assert ingest([Path("nights")], Path("cohort")).recordings == 1
    monkeypatch.chdir("/")
    root = tmp_path / "cohort"
    assert Cohort(root).recording(edf.stem).duration_s > 0
    assert (again := ingest([tmp_path / "nights"], root)).skipped == 1 and again.recordings == 0


def test_resumed_after_sigkill_equals_a_clean_build(small_cohort, tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom retrieval import ingest\n"
        "def progress(last, done, of):\n    if done == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    ingest([Path(sys.argv[1])], Path(sys.argv[2]), subjects=Path(sys.argv[3]), progress=progress)\n"
    )
    script = tmp_path / "killed.py"
    script.write_text(code)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    people = small_cohort.folder / "subjects.csv"
    command = [sys.executable, script, small_cohort.folder, root, people]
    assert subprocess.run(command, env=env, check=False).returncode == -signal.SIGKILL
    report = ingest([small_cohort.folder], root, subjects=people)
    assert report.skipped == 1 and report.recordings == 2
    order = "SELECT * EXCLUDE (epoch_id) FROM epochs ORDER BY recording, epoch"
    assert Cohort(root).snapshot.sql(order).equals(small_cohort.cohort.snapshot.sql(order))


def test_one_and_two_workers_give_the_same_cohort(small_cohort, tmp_path: Path) -> None:
    ingest([small_cohort.folder], tmp_path, subjects=small_cohort.folder / "subjects.csv", workers=2)
    order = "SELECT * EXCLUDE (epoch_id) FROM epochs ORDER BY recording, epoch"
    assert Cohort(tmp_path).snapshot.sql(order).equals(small_cohort.cohort.snapshot.sql(order))


def test_a_page_in_use_picks_up_a_new_snapshot(small_cohort, tmp_path: Path) -> None:
    folder, root = tmp_path / "nights", tmp_path / "cohort"
    folder.mkdir()
    files = sorted(small_cohort.folder.glob("*.edf"))
    shutil.copy(files[0], folder)
    ingest([folder], root)
    reader = Cohort(root)
    before = reader.search("breathing", k=1).searched
    shutil.copy(files[1], folder)
    ingest([folder], root)
    assert reader.search("breathing", k=1).searched > before


def test_places_are_seconds_or_a_time_of_day(cohort: Cohort) -> None:
    row = cohort.nights().row(0, named=True)
    name, start = row["recording"], row["start_clock_s"]
    by_seconds = cohort.locate(f"{name}@95")
    assert by_seconds.start_s == 90.0
    at = (start + 95) % 86_400
    assert cohort.locate(f"{name}@{int(at // 3600):02d}:{int(at % 3600 // 60):02d}:{int(at % 60):02d}") == by_seconds
    with pytest.raises(BadInput, match="no epoch there"):
        cohort.locate(f"{name}@999999")
    with pytest.raises(BadInput, match="near: "):
        cohort.locate(name[:-1])
    with pytest.raises(BadInput, match="seconds from the start"):
        cohort.locate(f"{name}@noon")


def test_similar_leaves_out_the_epoch_itself_and_prefers_its_stage(cohort: Cohort) -> None:
    deep = cohort.search("N3", k=1).hits[0]
    answer = cohort.similar(f"{deep.recording}@{deep.start_s}", k=10)
    assert len(answer.hits) == 10
    for hit in answer.hits:
        assert hit.recording != deep.recording or hit.stop_s <= deep.start_s or hit.start_s >= deep.start_s + 30
    assert sum(hit.stage == "N3" for hit in answer.hits) >= 8


def test_similar_nights_are_other_nights(cohort: Cohort) -> None:
    name = cohort.nights()["recording"][0]
    hits = cohort.similar(name, k=3).hits
    assert len(hits) == 3 and name not in {h.recording for h in hits}


def test_describe_says_what_was_measured_and_nothing_of_absent_sensors(cohort: Cohort) -> None:
    without_breathing = next(n for n in cohort.nights()["recording"] if "hmc" in n)
    said = cohort.describe(f"{without_breathing}@600")
    assert set(said) == {"recording", "start_s", "captions", "generated", "nearest"}
    assert said["captions"]["brain"] and "respiratory" not in said["captions"]
    assert "saturation" not in json.dumps(said["captions"]).lower() and "SpO2" not in json.dumps(said["captions"])
    night = cohort.describe(without_breathing)
    assert night["captions"]["night"] and night["night"]["ahi_scored_per_h"] is None


def test_nights_can_be_filtered(cohort: Cohort) -> None:
    everyone, women = cohort.nights(), cohort.nights(where="sex = 'F'")
    assert 0 < women.height < everyone.height
    assert set(women["sex"]) == {"F"}


def test_waveforms_come_from_the_files_at_their_own_rate(cohort: Cohort) -> None:
    name = cohort.nights()["recording"][0]
    runs = cohort.waveform(name, 60.0, 90.0)
    (ecg,) = runs["ECG"]
    assert ecg.start_s == pytest.approx(60.0, abs=1 / ecg.rate_hz) and len(ecg.samples) == round(30 * ecg.rate_hz)


def test_another_encoder_is_refused_with_the_command_that_embeds(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="text:minilm"):
        Cohort(cohort.root, encoder="text:minilmm").search("REM")


def test_an_answer_says_how_long_each_stage_took(cohort: Cohort) -> None:
    began = time.perf_counter()
    answer = cohort.search("arousal", k=5)
    total_ms = (time.perf_counter() - began) * 1000
    assert {"filter", "embed", "search", "fuse", "total"} <= answer.ms.keys()
    assert answer.ms["total"] <= total_ms + 1
