"""Programs that stage: beside people's stages, never before them; and how far scorers agree."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.errors import BadInput
from encoders.recordings import EdfSignal, Epochs, Recording, write_edf
from retrieval import Cohort, autoscore, ingest
from tests.real import sleepsearch, ucddb018

EPOCHS = 20
HUMAN = ["W"] * 6 + ["N2"] * 10 + ["REM"] * 4
PROGRAM = ["W"] * 4 + ["N2"] * 12 + ["REM"] * 2 + [None, None]


def stager(recording: Recording, epochs: Epochs, subject: Mapping[str, object]) -> list[str | None]:
    """A program of somebody else's: it refuses nights without an EEG, and breaks on one."""
    if "EEG_C4" not in recording.montage.choices:
        raise BadInput("no EEG")
    if recording.id == "breaks":
        raise ZeroDivisionError("by zero")
    return list(PROGRAM)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nights are read in this process, where `mine` is a scorer."""

    def serial(
        work: Callable[[Any], Any], jobs: Iterable[Any], workers: int, *, meanwhile: Callable[[], object] | None = None
    ) -> Iterator[tuple[Any, Any, None]]:
        for job in jobs:
            yield job, work(job), None

    def found(name: str) -> tuple[autoscore.StageScorer, str]:
        return (stager, "mine 3.1") if name == "mine" else autoscore_find(name)

    autoscore_find = autoscore.find_scorer
    monkeypatch.setattr("retrieval.autoscore.find_scorer", found)
    monkeypatch.setitem(ingest.__globals__, "find_scorer", found)
    monkeypatch.setitem(ingest.__globals__, "run_jobs", serial)


def night(folder: Path, name: str, *, eeg: bool = True, scored: bool = False) -> None:
    rng = np.random.default_rng(5)
    kept = [EdfSignal("C4-M1", rng.normal(0, 12, EPOCHS * 30 * 32), 32, "uV")] if eeg else []
    breaths = EdfSignal("Nasal Pressure", np.sin(np.arange(EPOCHS * 30 * 32) / 20), 32)
    write_edf(folder / f"{name}.edf", [*kept, breaths], start=None, kind="EDF")
    if scored:
        lines = [f"{n},{stage}" for n, stage in enumerate(HUMAN, 1)]
        (folder / f"{name}.csv").write_text("\n".join(["epoch,stage", *lines]) + "\n")


def stages(root: Path, name: str) -> dict[str, list[Any]]:
    rows = Cohort(root, device="cpu").snapshot.sql(
        "SELECT stage, stage_source FROM epoch_rows WHERE recording = ? ORDER BY start_s", [name]
    )
    return rows.to_dict(as_series=False)


@pytest.mark.usefixtures("here")
def test_a_program_s_stages_are_the_default_only_where_nobody_staged(tmp_path: Path) -> None:
    night(tmp_path, "bare")
    night(tmp_path, "staged", scored=True)
    report = ingest([tmp_path], tmp_path / "c", score="mine")
    assert not report.failed
    assert stages(tmp_path / "c", "bare") == {
        "stage": [s or "unscored" for s in PROGRAM], "stage_source": ["auto:mine"] * EPOCHS
    }  # fmt: skip
    assert stages(tmp_path / "c", "staged") == {"stage": HUMAN, "stage_source": ["human"] * EPOCHS}
    nights = {row["recording"]: row for row in Cohort(tmp_path / "c", device="cpu").nights().to_dicts()}
    assert nights["bare"]["stage_scorer"] == "auto:mine" and nights["bare"]["tst_min"] == 7.0
    assert nights["bare"]["ahi_scored_per_h"] is None and nights["staged"]["stage_scorer"] == "human"
    coverage = Cohort(tmp_path / "c", device="cpu").snapshot.sql(
        "SELECT kind FROM coverage WHERE recording = 'bare' AND scored"
    )
    assert coverage["kind"].to_list() == ["stages"]


@pytest.mark.usefixtures("here")
def test_agreement_is_said_over_the_epochs_that_both_staged(tmp_path: Path) -> None:
    night(tmp_path, "staged", scored=True)
    report = ingest([tmp_path], tmp_path / "c", score="mine")
    (pair,) = report.agreement
    assert (pair["default"], pair["other"], pair["nights"], pair["epochs"]) == ("human", "auto:mine", 1, 18)
    metrics = pytest.importorskip("sklearn.metrics")
    assert pair["kappa"] == pytest.approx(metrics.cohen_kappa_score(HUMAN[:18], PROGRAM[:18]), abs=1e-4)
    assert pair["macro_f1"] == pytest.approx(metrics.f1_score(HUMAN[:18], PROGRAM[:18], average="macro"), abs=1e-4)
    (row,) = sleepsearch("info", "--cohort", tmp_path / "c", "--recordings", "--json").json
    assert row["agreement"][0]["kappa"] == pair["kappa"] and row["agreement"][0]["recording"] == "staged"
    assert "auto:mine κ" in sleepsearch("info", "--cohort", tmp_path / "c", "--recordings").out


@pytest.mark.usefixtures("here")
def test_a_program_s_stages_stay_until_they_are_dropped_or_chosen(tmp_path: Path) -> None:
    night(tmp_path, "staged", scored=True)
    root = tmp_path / "c"
    ingest([tmp_path], root, score="mine")
    assert ingest([tmp_path], root).skipped == 1
    ingest([tmp_path], root, scorer="auto:mine")
    assert stages(root, "staged")["stage_source"] == ["auto:mine"] * EPOCHS
    ingest([tmp_path], root, score="none")
    assert stages(root, "staged")["stage_source"] == ["human"] * EPOCHS
    assert not Cohort(root, device="cpu").snapshot.sql("SELECT 1 FROM stages WHERE scorer = 'auto:mine'").height


@pytest.mark.usefixtures("here")
def test_a_night_that_can_t_be_staged_is_listed_and_goes_in(tmp_path: Path) -> None:
    night(tmp_path, "breaks")
    night(tmp_path, "noeeg", eeg=False)
    report = ingest([tmp_path], tmp_path / "c", score="mine")
    assert report.recordings == 2
    assert {Path(f["path"]).name: f["error"] for f in report.failed} == {
        "breaks.edf": "not staged by mine: ZeroDivisionError: by zero", "noeeg.edf": "not staged by mine: no EEG",
    }  # fmt: skip
    assert stages(tmp_path / "c", "noeeg")["stage"] == [None] * EPOCHS


@pytest.mark.usefixtures("here")
def test_an_export_of_a_program_s_stages_gives_way_to_the_program(tmp_path: Path) -> None:
    night(tmp_path, "bare")
    root = tmp_path / "c"
    ingest([tmp_path], root, score="mine")
    Cohort(root, device="cpu").export(tmp_path, "annot")
    ingest([tmp_path], root)
    rows = Cohort(root, device="cpu").snapshot.sql("SELECT scorer, count(*) AS n FROM stages GROUP BY ALL")
    assert rows.rows() == [("auto:mine", 18)]


def test_an_unknown_scorer_or_one_not_installed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night(tmp_path, "bare")
    run = sleepsearch("ingest", tmp_path, "--cohort", tmp_path / "c", "--score", "yassa")
    assert run.code == 1 and "did you mean 'yasa'" in run.err
    monkeypatch.setattr("retrieval.autoscore.installed", lambda: False)
    run = sleepsearch("ingest", tmp_path, "--cohort", tmp_path / "c", "--score", "yasa")
    assert run.code == 1 and "pip install 'sleepsearch[yasa]'" in run.err and "Traceback" not in run.err


@pytest.mark.parametrize("said", [["W"] * 3, ["W"] * 19 + ["Stage 5"]])
def test_answers_that_are_no_stages_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    from encoders.recordings import build_epochs, epoch_grid, open_recording

    night(tmp_path, "n")
    recording = open_recording([tmp_path / "n.edf"])
    epochs = build_epochs(recording, epoch_grid(recording.duration_s), signals=False)
    monkeypatch.setattr(autoscore, "find_scorer", lambda name: (lambda *_: said, "odd 1"))
    with pytest.raises(BadInput, match="not staged by odd: it gave"):
        autoscore.score_stages("odd", recording, epochs, {})


@pytest.mark.slow
def test_yasa_stages_a_real_night_about_as_its_scorer_did(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("yasa")
    ucddb018(tmp_path, shared_data, staged=True)
    report = ingest([tmp_path], tmp_path / "c", score="yasa")
    (pair,) = report.agreement
    assert (pair["default"], pair["other"]) == ("human", "auto:yasa")
    assert pair["kappa"] == pytest.approx(0.81, abs=0.02) and pair["macro_f1"] == pytest.approx(0.69, abs=0.02)
