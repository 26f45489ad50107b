"""The command line: each command is one call of `retrieval`, printed for people or, with --json, for programs."""

from ui import asking, classifying, exporting, labelling, learning, nightly, reading, serving
from ui.shell import app

__all__ = ["app", "asking", "classifying", "exporting", "labelling", "learning", "nightly", "reading", "serving"]
