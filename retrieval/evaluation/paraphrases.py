"""Free paraphrases against the plain wording of the same question, by vectors alone.

The paraphrases stand in paraphrases.toml. They were written by hand and use no phrase of the lexicon for what they ask.
"""

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_lexicon
from retrieval.evaluation.baselines import CAPTIONS, CAPTIONS_NOTE, CHANCE, ZERO_SHOT, caption_space, left_out
from retrieval.evaluation.figures import Figure, Statistic, interval
from retrieval.evaluation.retrieve import precision_at
from retrieval.evaluation.sample import Sample
from retrieval.truth import OVERLAP_S

TASK = "paraphrases"
RAREST, COMMONEST = 0.002, 0.9  # shares of epochs between which a question tells good from bad
_SCORED_STAGES = ("W", "N1", "N2", "N3", "REM")


@dataclass(frozen=True, slots=True)
class Asks:
    """What an epoch must hold, all of it; fields as in paraphrases.toml."""

    stage: tuple[str, ...] = ()
    event: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    position: tuple[str, ...] = ()
    measure: tuple[str, ...] = ()

    @property
    def relevant(self) -> str:
        """An SQL expression over the view `epochs`: true, false, or null where nobody scored or measured it."""
        parts = [f"CASE WHEN stage IN ({_listed(self.stage)}) THEN TRUE WHEN stage IN ({_listed(_SCORED_STAGES)}) "
                 "THEN FALSE END"] if self.stage else []  # fmt: skip
        parts += [_event(name, "TRUE", "FALSE") for name in self.event]
        parts += [_event(name, "FALSE", "TRUE") for name in self.without]
        parts += [f"position IN ({_listed(self.position)})"] if self.position else []
        for name in self.measure:
            concept = load_lexicon().concepts[name]
            parts.append(f"{concept.evidence} {'>=' if concept.sign > 0 else '<='} {concept.present_from}")
        return " AND ".join(f"({part})" for part in parts)


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """A free wording, the plain one, and what both ask."""

    text: str
    template: str
    asks: Asks


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _event(name: str, there: str, not_there: str) -> str:
    return f"CASE WHEN {name}_s >= {OVERLAP_S} THEN {there} WHEN n_{name} = 0 THEN {not_there} END"


@cache
def load_paraphrases() -> tuple[Paraphrase, ...]:
    """The hundred of paraphrases.toml, in its order."""
    tables = tomllib.loads((files("retrieval.evaluation") / "paraphrases.toml").read_text("utf-8"))["ask"]
    return tuple(
        Paraphrase(text, table["template"], Asks(**{name: tuple(values) for name, values in table["asks"].items()}))
        for table in tables
        for text in table["say"]
    )


def relevant_of(frame: pl.DataFrame, asks: Asks) -> pl.Series:
    """What `asks.relevant` says of each row, null where unknown; all null where the cohort lacks a column."""
    try:
        return frame.sql(f"SELECT ({asks.relevant})::BOOLEAN AS relevant FROM self")["relevant"]
    except pl.exceptions.ColumnNotFoundError:
        return pl.Series("relevant", [None] * frame.height, pl.Boolean)


def measure_paraphrases(sample: Sample, *, seed: int = 0) -> list[Figure]:
    """precision@10 of the paraphrases and of the plain wordings, over epochs ranked by likeness to the words alone.

    Only what the sample's labels know, and what is neither rarer nor commoner than it can be told by; the rest is
    counted in the note. `kept` is the paraphrases' precision over that of the plain wordings. `detail` lists each one.
    """
    asked: list[tuple[Paraphrase, NDArray[np.bool_], NDArray[np.int64]]] = []
    unknown = rare = 0
    for paraphrase in load_paraphrases():
        relevant = relevant_of(sample.frame, paraphrase.asks)
        known = np.flatnonzero(relevant.is_not_null().to_numpy())
        truth = relevant[known].to_numpy().astype(bool)
        if not len(known):
            unknown += 1
        elif not RAREST <= truth.mean() <= COMMONEST:
            rare += 1
        else:
            asked.append((paraphrase, truth, known))
    if not asked:
        return []
    out = left_out(**{"of what nobody scored or measured": unknown, "too rare or too common here": rare})
    figures = list(_chance(sample, asked, out))
    own = ZERO_SHOT if sample.encoder.channels else CAPTIONS
    figures += _compared(sample, asked, own, sample.vectors, sample.texts, out, seed)
    if sample.encoder.channels and sample.cohort is not None:
        figures += _compared(
            sample, asked, CAPTIONS, *caption_space(sample), "; ".join(filter(None, (CAPTIONS_NOTE, out))), seed
        )
    return figures


Asked = Sequence[tuple[Paraphrase, NDArray[np.bool_], NDArray[np.int64]]]


def _chance(sample: Sample, asked: Asked, note: str) -> Iterator[Figure]:
    base = float(np.mean([truth.mean() for _, truth, _ in asked]))
    people = len(sample.subjects())
    for wording in ("paraphrases", "plain wordings"):
        yield Figure(TASK, f"precision@10, {wording}", CHANCE, base, len(asked), people, base_rate=base, note=note)


def _compared(
    sample: Sample, asked: Asked, method: str, vectors: NDArray[np.float32],
    embed: Callable[[Sequence[str]], NDArray[np.float32]], note: str, seed: int,
) -> Iterator[Figure]:  # fmt: skip
    n = len(sample)
    tops: dict[str, list[Statistic]] = {}
    for wording, words in (
        ("paraphrases", [p.text for p, _, _ in asked]), ("plain wordings", [p.template for p, _, _ in asked]),
    ):  # fmt: skip
        likeness = vectors @ embed(words).T
        tops[wording] = []
        for column, (_, truth, known) in enumerate(asked):
            scores, relevant = np.full(n, np.nan), np.zeros(n, bool)
            scores[known], relevant[known] = likeness[known, column], truth
            tops[wording].append(precision_at(scores, relevant))
    base = float(np.mean([truth.mean() for _, truth, _ in asked]))
    everything, subjects = np.arange(n), sample.frame["subject"].to_list()
    each = {wording: [top(everything) for top in several] for wording, several in tops.items()}
    rows = zip(asked, each["paraphrases"], each["plain wordings"], strict=True)
    detail = {"rows": [
        {"text": p.text, "template": p.template, "base_rate": round(float(truth.mean()), 4),
         "paraphrase": round(mine, 3), "plain": round(plain, 3)}
        for (p, truth, _), mine, plain in rows
    ]}  # fmt: skip

    def mean(wording: str, draw: NDArray[np.int64]) -> float:
        values = np.array([top(draw) for top in tops[wording]])
        return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else np.nan

    def kept(draw: NDArray[np.int64]) -> float:
        plain = mean("plain wordings", draw)
        return mean("paraphrases", draw) / plain if plain > 0 else np.nan

    for measure, statistic, chance in (
        ("precision@10, paraphrases", lambda draw: mean("paraphrases", draw), base),
        ("precision@10, plain wordings", lambda draw: mean("plain wordings", draw), base),
        ("precision kept by paraphrases", kept, None),
    ):  # fmt: skip
        found = interval(statistic, subjects, seed=seed)
        said = "; ".join(filter(None, (found.note, f"{len(asked)} questions", note)))
        yield Figure(TASK, measure, method, found.value, len(asked), len(set(subjects)), found.low, found.high, chance,
                     note=said, detail=detail)  # fmt: skip
