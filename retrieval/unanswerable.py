"""What can never be answered here, from unanswerable.toml: such a question brings nothing back, and the reason."""

import tomllib
from functools import cache
from importlib.resources import files

from encoders.captions import Concept, Lexicon, Match, load_lexicon


@cache
def _subjects() -> tuple[Lexicon, dict[str, str]]:
    """The subjects in the lexicon's form, since they are found as its phrases are; their reasons by id."""
    tables = tomllib.loads((files("retrieval") / "unanswerable.toml").read_text("utf-8"))["subject"]
    concepts = {f"{n}": Concept(f"{n}", "measure", tuple(table["words"])) for n, table in enumerate(tables)}
    reasons = {f"{n}": str(table["reason"]) for n, table in enumerate(tables)}
    lexicon = load_lexicon()
    known = [*(c.phrases for c in lexicon.concepts.values()), *(q.phrases for q in lexicon.quantities.values())]
    ordinary = {word.lower() for phrases in known for phrase in phrases for word in phrase.split()}
    return Lexicon(concepts, {}, lexicon.ordinary | ordinary), reasons


def unanswerable(text: str, matches: list[Match]) -> list[tuple[Match, str]]:
    """Each subject in `text` that nothing can answer, with the reason; none inside a phrase of the lexicon."""
    lexicon, reasons = _subjects()
    return [
        (m, reasons[str(m.entry.id)])
        for m in lexicon.find(text)
        if not any(known.start <= m.start and m.stop <= known.stop for known in matches)
    ]
