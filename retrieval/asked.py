"""What a question asks, as it was understood: filters, facts and the words that are left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from encoders.captions import Concept
from encoders.errors import BadInput
from retrieval.relations import Relation


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition read from the words: a row must be able to answer it, and say yes.

    columns: shown beside a hit. rank_by: column and sign that say how clearly an epoch fulfils it. channels: sensor
    sets that could answer, any one of them; empty where a scorer or a subjects' table must. says: what is compared.
    relation: what holds of more than one epoch; `sql` only names it then.
    """

    words: str
    sql: str
    columns: tuple[str, ...]
    rank_by: tuple[str, int] | None = None
    channels: tuple[tuple[str, ...], ...] = ()
    says: str = ""
    relation: Relation | None = None

    @property
    def of_people(self) -> bool:
        """Whether it says who is meant, and nothing of what happens in the epoch."""
        return bool(self.columns) and set(self.columns) <= {"age", "sex", "bmi"}

    def __str__(self) -> str:
        return f"{self.words}: {self.sql}" + (f" ({self.says})" if self.says else "")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something asked for in the user's words: one concept of the lexicon, or several of which any will do."""

    words: str
    concepts: tuple[Concept, ...]

    @property
    def concept(self) -> Concept:
        """The concept, or of several the first that a sensor can answer."""
        return next((c for c in self.concepts if c.evidence), self.concepts[0])

    def __str__(self) -> str:
        said = " or ".join(c.say[0] for c in self.concepts)
        return f"{self.words} = {said}" + (" (any of them)" if len(self.concepts) > 1 else "")


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was understood.

    words: what is embedded, empty when nothing is left. rest: those of them that are part of no fact. notes: what was
    said and could not be read, one sentence each. include_bad: whether measures of epochs with an artifact count.
    """

    text: str
    filters: tuple[Filter, ...]
    facts: tuple[Fact, ...]
    words: str
    rest: str = ""
    notes: tuple[str, ...] = ()
    include_bad: bool = False

    def explain(self) -> list[str]:
        """How each piece was read, one line each."""
        lines = [f"filter: {f}" for f in self.filters] + [f"fact: {f}" for f in self.facts]
        lines += ["epochs in which an artifact was scored are included"] if self.include_bad else []
        return [*lines, f"embedded: {self.words}" if self.words else "embedded: no words left"]

    def without(self, taken_away: Sequence[int | str]) -> "Question":
        """The question less some filters, each named by its words or by its number among `filters`, from 1.

        `BadInput` lists the filters where there is no such one.
        """
        gone = set()
        for named in taken_away:
            wanted = " ".join(named.lower().split()) if isinstance(named, str) else named
            found = [n for n, f in enumerate(self.filters, 1) if wanted in (n, " ".join(f.words.lower().split()))]
            if not found:
                have = "; ".join(f"{n}: {f.words!r}" for n, f in enumerate(self.filters, 1)) or "none was read"
                raise BadInput(f"no filter {named!r} to take away from {self.text!r}; its filters are {have}.")
            gone |= set(found)
        return replace(self, filters=tuple(f for n, f in enumerate(self.filters, 1) if n not in gone))
