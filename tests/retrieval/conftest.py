"""A cohort of short nights, for tests that ask which files are read and not what is in them."""

from collections.abc import Callable

import pytest

from tests.conftest import SimCohort


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory: pytest.TempPathFactory, make_cohort: Callable[..., SimCohort]) -> SimCohort:
    """Three nights of a quarter of an hour. Read only: other tests use it too."""
    from encoders.simulation import simulate

    folder = tmp_path_factory.mktemp("small")
    simulate(folder, nights=3, seed=5, sites=("clinic", "shhs-like"), hours=0.25, ideal=True)
    return make_cohort(folder)
