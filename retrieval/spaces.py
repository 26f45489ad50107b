"""Which encoder a cohort's questions use."""

from encoders.models import DEFAULT_ENCODER
from index import Snapshot


def encoder_of(snapshot: Snapshot) -> str:
    """The encoder of the cohort's default space, by the name that leads back to its weights."""
    return str(snapshot.spaces().get(snapshot.default_space or "", {}).get("encoder", DEFAULT_ENCODER))
