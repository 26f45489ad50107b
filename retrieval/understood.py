"""How a question was read, piece by piece: what a page shows as chips before anything is searched."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retrieval.adjectives import read_adjectives
from retrieval.nightly import check_level
from retrieval.question import read_question


@dataclass(frozen=True, slots=True)
class Piece:
    """One filter or fact: the words it was read from, the SQL where it is a filter, and what it means.

    taken: a filter that was taken away, and is none of the answer's.
    """

    words: str
    sql: str
    says: str
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Understood:
    """filters: can be taken away, and given back. facts: what must hold. embedded: the words that are compared."""

    filters: tuple[Piece, ...]
    facts: tuple[Piece, ...]
    embedded: str
    notes: tuple[str, ...]

    @property
    def taken(self) -> list[str]:
        """What `Cohort.search` is to be given as `without`."""
        return [piece.words for piece in self.filters if piece.taken]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def understand(words: str, *, level: str = "epoch", without: Sequence[str] = ()) -> Understood:
    """How `Cohort.search` would read the words; of `without`, what is no filter of theirs is passed over, so that a
    question can be changed without naming its filters again."""
    check_level(level)
    adjectives, left, notes = read_adjectives(words) if level == "night" else ([], words, [])
    question = read_question(left)
    gone = {" ".join(name.lower().split()) for name in without}
    filters = tuple(Piece(f.words, f.sql, f.says, " ".join(f.words.lower().split()) in gone) for f in question.filters)
    said = [(fact.words, str(fact)) for fact in adjectives] + [(fact.words, str(fact)) for fact in question.facts]
    facts = [Piece(asked, "", _meaning(meant, asked)) for asked, meant in said]
    return Understood(filters, tuple(facts), question.words, (*notes, *question.notes))


def _meaning(said: str, words: str) -> str:
    return said.removeprefix(words).removeprefix(" = ")
