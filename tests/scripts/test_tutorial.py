"""The tutorial runs as a reader would run it, and what it promises is held against the simulated truth."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from encoders.vocabulary import EPOCH_S
from retrieval import Cohort, Hit

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "scripts/tutorial.py"
EPOCHS, REM = 3 * 120, pl.col("stage") == "REM"


@dataclass(frozen=True)
class Run:
    """What the tutorial printed, and what it left in its folder."""

    folder: Path
    printed: str

    @cached_property
    def cohort(self) -> Cohort:
        return Cohort.open(self.folder / "cohort", device="cpu")

    @cached_property
    def truth(self) -> pl.DataFrame:
        """One row an epoch: recording, start_s, stage."""
        tables = [
            pl.read_parquet(path).select(
                pl.lit(path.name.removesuffix(".truth.parquet")).alias("recording"), "start_s", "stage"
            )
            for path in sorted((self.folder / "nights").glob("*.truth.parquet"))
        ]
        return pl.concat(tables)

    def under(self, hit: Hit) -> pl.DataFrame:
        """The true epochs of a hit."""
        inside = (pl.col("start_s") > hit.start_s - EPOCH_S / 2) & (pl.col("start_s") < hit.stop_s - EPOCH_S / 2)
        return self.truth.filter(inside, recording=hit.recording)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tutorial")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(TUTORIAL), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stderr[-2000:]
    return Run(folder, done.stdout)


@pytest.mark.slow
def test_hits_for_rem_are_rem_in_the_truth(run: Run) -> None:
    hits = run.cohort.search("REM sleep", where="age > 18", k=5).hits
    assert [repr(hit) for hit in hits] == re.findall(r"^Hit\(.*\)$", run.printed, re.MULTILINE)
    found = pl.concat([run.under(hit) for hit in hits])
    base = run.truth.select(REM.mean()).item()
    assert found.height >= 5
    assert found.select(REM.mean()).item() > 3 * base


@pytest.mark.slow
def test_words_alone_and_examples_find_rem_as_the_tutorial_says(run: Run) -> None:
    base = run.truth.select(REM.mean()).item()
    stages = run.cohort.classify("staging")
    examples = run.cohort.fewshot(labels=["REM", "not REM"])
    assert run.cohort.labels()["author"].unique().to_list() == ["tutorial"]
    for frame in (stages.frame(), examples.frame().filter(pl.col("given").is_null())):
        called = frame.filter(label="REM").join(run.truth, on=["recording", "start_s"])
        assert called.height >= 5
        assert called.select(REM.mean()).item() > 5 * base
    assert stages.agreement and stages.agreement.kappa and stages.agreement.kappa > 0.5
    assert examples.scored and f"{examples.scored.f1}" in run.printed


@pytest.mark.slow
def test_oxygen_is_located_where_it_fell_and_unscored_breathing_has_no_ahi(run: Run) -> None:
    moments = re.findall(r"^([\d.]+)-([\d.]+) s by (.*); scored there: .*$", run.printed, re.MULTILINE)
    assert len(moments) == 3
    nights = run.cohort.nights()
    recording = nights.sort("odi3_per_h", descending=True, nulls_last=True)["recording"][0]
    fell = pl.read_parquet(run.folder / "nights" / f"{recording}.truth-events.parquet").filter(name="desaturation")
    for start_s, stop_s, sensor in moments:  # a technician may have missed it
        shared_s = pl.min_horizontal("stop_s", pl.lit(float(stop_s))) - pl.max_horizontal(
            "start_s", pl.lit(float(start_s))
        )
        assert sensor == "SpO2" and fell.select(shared_s.max()).item() > 5
    scored = {row["recording"] for row in run.cohort.recordings() if "respiratory events" in row["scored"]}
    assert set(nights.filter(pl.col("ahi_scored_per_h").is_null())["recording"]) == set(nights["recording"]) - scored


@pytest.mark.slow
def test_every_result_becomes_a_frame_and_strict_json(run: Run) -> None:
    one, two, _ = run.cohort.nights()["recording"]
    answer, nights = run.cohort.search("arousal", k=3), run.cohort.similar(one, k=2)
    results = [
        (answer, len(answer.hits)), (nights, 2), (run.cohort.search("many arousals", level="night", k=2), 2),
        (run.cohort.similar(f"{one}@600", k=2), 2), (run.cohort.align(one, two), 30),
        (run.cohort.classify("staging"), EPOCHS), (run.cohort.fewshot(), EPOCHS),
        (run.cohort.locate_words("arousal", one, peaks=1), EPOCHS // 3),
        (run.cohort.duplicates(), None), (run.cohort.export(run.folder / "csv", "csv", what=["nights"]), 1),
    ]  # fmt: skip
    for result, rows in results:
        frame = result.frame()
        assert rows is None or frame.height == rows, result
        json.dumps(result.to_json(), allow_nan=False)
    assert answer.frame()["why"].to_list() == [hit.why for hit in answer.hits]
    assert nights.frame()["likeness"].to_list() == [found.likeness for found in nights.alignments]


@pytest.mark.slow
def test_what_it_exports_can_be_read(run: Run) -> None:
    out = run.folder / "out"
    for name in run.truth["recording"].unique():
        stages = [
            line
            for line in (out / f"{name}.annot").read_text().splitlines()
            if line[:2] in ("W\t", "N1", "N2", "N3", "R\t")
        ]
        assert len(stages) >= 110, name  # of 120; a technician may leave some unscored
    (vectors,), (ids,) = out.glob("*.signal.npy"), out.glob("*.signal.ids.parquet")
    assert np.load(vectors).shape[0] == pl.read_parquet(ids).height == EPOCHS


def test_every_verb_of_a_cohort_is_in_the_tutorial_or_the_readme() -> None:
    shown, told = TUTORIAL.read_text(encoding="utf-8"), (ROOT / "README.md").read_text(encoding="utf-8")
    verbs = [name for name in vars(Cohort) if not name.startswith("_") and callable(getattr(Cohort, name))]
    assert {"open", "search", "classify", "export"} <= set(verbs)
    missing = [
        verb
        for verb in verbs
        if not re.search(rf"\b(cohort|Cohort)\.{verb}\(", shown) and not re.search(rf"`(sleepsearch )?{verb}[` ]", told)
    ]
    assert not missing
