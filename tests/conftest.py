"""What every test may use: the shared recordings, where they lie beside the checkout, and a small simulated cohort."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from encoders.vocabulary import EPOCH_S, EVENTS

if TYPE_CHECKING:
    from retrieval import Cohort

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SITES = ("shhs-like", "clinic", "mros-like", "mesa-like", "hmc-like")
SEED = 6772  # draws one night from each site; central apneas, periodic movers, men and women over 60, SpO2 under 85


@dataclass(frozen=True)
class SimCohort:
    """`folder` holds the files, `root` the cohort; `truth` one row an epoch and `events` one an event, as simulated."""

    folder: Path
    root: Path
    truth: pl.DataFrame
    events: pl.DataFrame

    @cached_property
    def cohort(self) -> "Cohort":
        from retrieval import Cohort

        return Cohort(self.root, device="cpu")


def read_truth(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All truth tables in `folder`. Per event name the epochs gain `reach <name>`: seconds of overlap with the nearest
    one, negative where it is that far away; a technician's edges differ from the truth by under a second."""
    epochs, events = [], []
    for path in sorted(folder.glob("*.truth.parquet")):
        named = pl.lit(path.name.removesuffix(".truth.parquet")).alias("recording")
        table = pl.read_parquet(path).with_columns(named)
        happened = pl.read_parquet(path.with_name(path.name.replace(".truth.", ".truth-events."))).with_columns(named)
        start = table["start_s"].to_numpy()[:, None]
        for name in EVENTS:
            of = happened.filter(pl.col("name") == name)
            reach = np.minimum(of["stop_s"].to_numpy(), start + EPOCH_S) - np.maximum(of["start_s"].to_numpy(), start)
            nearest = reach.max(axis=1, initial=-1e6)
            table = table.with_columns(pl.Series(f"reach {name}", nearest))
        epochs.append(table)
        events.append(happened)
    return pl.concat(epochs), pl.concat(events)


@pytest.fixture(scope="session")
def make_cohort(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, bool], SimCohort]:
    """Ingests a folder of simulated nights into a new cohort, with their subjects or without; captions alone."""

    def make(folder: Path, subjects: bool = True) -> SimCohort:
        from retrieval import ingest

        root, people = tmp_path_factory.mktemp("cohort"), folder / "subjects.csv" if subjects else None
        report = ingest([folder], root, encoder="text:minilm", subjects=people)
        assert not report.failed
        return SimCohort(folder, root, *read_truth(folder))

    return make


@pytest.fixture(scope="session")
def sim_cohort(tmp_path_factory: pytest.TempPathFactory, make_cohort: Callable[..., SimCohort]) -> SimCohort:
    """Five scored nights from five sites, with ages and sexes. Read only: other tests use it too.

    Ideal ones: what a test asks for is in the truth, and a technician's second thoughts are tested with the simulator.
    """
    from encoders.simulation import simulate

    folder = tmp_path_factory.mktemp("nights")
    made = simulate(folder, nights=5, seed=SEED, sites=SITES, hours=1.5, ideal=True)
    assert len({night.site for night in made}) == 5
    return make_cohort(folder)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; a user's clone has none, so tests that need it are skipped with this reason."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout: real recordings are not part of the project")
    return SHARED


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-browser`: leave out the tests that look at the page."""
    parser.addoption("--no-browser", action="store_true", help="skip the tests that need Chromium")
