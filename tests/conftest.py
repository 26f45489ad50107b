"""What every test may use: the shared recordings, where a developer has them beside the checkout."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; a user's clone has none, so tests that need it are skipped with this reason."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout: real recordings are not part of the project")
    return SHARED
