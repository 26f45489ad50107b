"""What can be wrong with what a user gave us: one sentence each, with the value, what was possible, the next step."""

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """A file, label or value that cannot be taken; its text is the one line that a user reads."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'arousal'?`, or nothing where none of the known names is near."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


class UnreadableRecording(BadInput):
    """A recording of which no sample can be read."""


class UnreadableAnnotations(BadInput):
    """An annotation file whose format is not known or that is broken."""


class AmbiguousChannel(BadInput):
    """A label that means different sensors at different sites; the text names the choices."""


class UnknownChannel(BadInput):
    """A channel was asked for that the recording does not have."""
