"""Caption fields, right or wrong: each thing that a caption can say, one by one against what was measured or scored.

By likeness: of the canonical sentences for a field's levels, the one nearest to the epoch's vector. Where a level says
nothing (a heart rate that does not rise), no sentence stands for it: the epochs nearest to the other levels' sentences
get those, as many epochs as truly have them, and the rest get the silence. By the decoder, where the encoder has one:
what the sentences of its generated captions say; what they leave out is silence where a level is silent, else not said.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from encoders.captions import load_lexicon, load_measures
from encoders.captions.scored import scored_columns, snake
from encoders.captions.wording import STAGE_CONCEPTS, load_wording
from encoders.vocabulary import CHANNELS, EVENTS, POSITIONS
from retrieval.agreement import confusion, f1_of
from retrieval.evaluation.baselines import CAPTIONS, ZERO_SHOT
from retrieval.evaluation.figures import Figure, Statistic, interval
from retrieval.evaluation.sample import Sample

TASK = "fields"
GENERATED = "generated captions"
NOT_SAID = -1
_DESCRIBED = 200  # epochs whose captions are generated, evenly spaced: a decoder is slow
_STAGES = ("W", "N1", "N2", "N3", "REM")
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that captions say. `say` has the wordings of each level, the first canonical; an empty one is silent.

    The levels are those of the slot of the same name in `encoders.training.facts`, in its order.
    """

    name: str
    say: tuple[tuple[str, ...], ...]

    @property
    def silent(self) -> tuple[int, ...]:
        """The levels that say nothing."""
        return tuple(level for level, said in enumerate(self.say) if not said)


def known_facts(frame: pl.DataFrame, slots: Sequence[str]) -> NDArray[np.uint32]:
    """What the catalog knows in each slot of `encoders.training.facts`, `(n, slots)`: a bit a level, 0 unknown."""
    from encoders.training.facts import INDEX, fact_bits  # torch comes with it

    columns = {name: frame[name] if name in frame.columns else pl.Series([None] * frame.height) for name in _columns()}
    measures = {
        name: (columns[name].cast(pl.String) if measure.digits is None else columns[name].cast(pl.Float64)).to_numpy()
        for name, measure in load_measures().items()
    }
    scored = pl.DataFrame({name: columns[name] for name in scored_columns() if name != "events"})
    bits = fact_bits(measures, scored, _Grid(frame["start_s"].to_numpy(), np.ones((frame.height, len(CHANNELS)), bool)))
    return bits[:, [INDEX[name] for name in slots]]


@dataclass(frozen=True, slots=True)
class _Grid:
    start_s: NDArray[np.float64]
    present: NDArray[np.bool_]


def _columns() -> list[str]:
    return [*load_measures(), *scored_columns()]


@cache
def load_fields() -> dict[str, Field]:
    """Every field by name: the scales of wording.toml, position, stage, and the events that can be scored."""
    words, concepts = load_wording(), load_lexicon().concepts
    fields = {s["column"]: Field(s["column"], tuple(map(tuple, s["say"]))) for s in words["scale"]}
    lying = words["position"]
    by_position = {name: concepts[name].say for name in ("right", "left", "supine", "prone")}
    positions = [
        lying["upright"] if name == "upright" else _filled(lying["say"], "position", by_position[name])
        for name in POSITIONS.values()
    ]
    fields["position"] = Field("position", tuple(map(tuple, positions)))
    fields["position_change"] = Field("position_change", ((), tuple(lying["change"])))
    stages = (_filled(words["stage"]["say"], "stage", concepts[STAGE_CONCEPTS[stage]].say) for stage in _STAGES)
    fields["stage"] = Field("stage", tuple(stages))
    for event, kind in EVENTS.items():
        if kind is not None:
            name = snake(event)
            fields[name] = Field(name, ((), _filled(words["event"]["say"], "event", concepts[name].say)))
    return fields


def _filled(templates: Sequence[str], slot: str, phrases: Sequence[str]) -> tuple[str, ...]:
    said = [template.replace(f"{{{slot}}}", phrase) for template in templates for phrase in phrases]
    return tuple(text[:1].upper() + text[1:] for text in said)


def measure_fields(sample: Sample, *, seed: int = 0) -> list[Figure]:
    """Accuracy and macro-F1 of each field, and their means over fields, by likeness and by generated captions.

    `base_rate` is the accuracy of always saying the commonest level. Fields that nothing measured or scored here, or
    that have one level throughout, are left out. `detail` holds each confusion, true level by said one.
    """
    fields = load_fields()
    bits = known_facts(sample.frame, list(fields))
    truths = {name: levels_of(column) for name, column in zip(fields, bits.T, strict=True)}
    truths = {name: truth for name, truth in truths.items() if len(np.unique(truth[truth >= 0])) > 1}
    method = ZERO_SHOT if sample.encoder.channels else CAPTIONS
    said = {name: nearest_levels(sample, fields[name], truth) for name, truth in truths.items()}
    figures = list(_figures(sample, method, truths, said, seed))
    described = np.unique(np.linspace(0, max(len(sample) - 1, 0), min(_DESCRIBED, len(sample))).astype(np.int64))
    if (generated := _generated(sample, described)) is not None:
        here = sample.rows(described)
        told = {name: truth[described] for name, truth in truths.items()}
        told = {name: truth for name, truth in told.items() if len(np.unique(truth[truth >= 0])) > 1}
        parsed = [said_in(text) for text in generated]
        levels = {name: _heard(fields[name], parsed) for name in told}
        figures += _figures(here, GENERATED, told, levels, seed)
    return figures


def levels_of(bits: NDArray[np.uint32]) -> Codes:
    """The level of each epoch, from 0; -1 where it is unknown, or only narrowed down to several."""
    single = (bits != 0) & (bits & (bits - np.uint32(1)) == 0)
    return np.where(single, np.log2(np.maximum(bits, 1)).astype(np.int64), NOT_SAID)


def nearest_levels(sample: Sample, field: Field, truth: Codes) -> Codes:
    """The level that the vectors choose for each epoch, `(n,)`; silent levels as the module's first lines say."""
    spoken = [level for level in range(len(field.say)) if level not in field.silent]
    likeness = sample.vectors @ sample.texts([field.say[level][0] for level in spoken]).T
    chosen: Codes = np.array(spoken)[likeness.argmax(axis=1)]
    known = np.flatnonzero(truth >= 0)
    silent = np.isin(truth[known], field.silent)
    if field.silent:
        farthest = known[np.argsort(likeness.max(axis=1)[known], kind="stable")[: int(silent.sum())]]
        chosen[farthest] = field.silent[0]
    return chosen


# ---- generated captions


def _generated(sample: Sample, rows: Codes) -> list[str] | None:
    """The captions that the encoder's decoder writes of these epochs; None where it has none, or there are no files."""
    if not sample.encoder.channels or sample.cohort is None or not len(rows):
        return None
    texts: list[str] = []
    for epochs in sample.epochs(rows):
        if not any(parts := sample.encoder.describe(epochs)):
            return None
        texts += [" ".join(one.values()) for one in parts]
    return texts


def said_in(text: str) -> dict[str, int]:
    """The level of each field that a caption's sentences state; the last counts where it contradicts itself."""
    found = (_sentences().get(_plain(sentence)) for sentence in re.split(r"(?<=[.!?])\s+", text))
    return dict(pair for pair in found if pair is not None)


@cache
def _sentences() -> Mapping[str, tuple[str, int]]:
    return {
        _plain(text): (field.name, level)
        for field in load_fields().values()
        for level, said in enumerate(field.say)
        for text in said
    }


def _plain(sentence: str) -> str:
    return sentence.strip().rstrip(".").lower()


def _heard(field: Field, parsed: Sequence[Mapping[str, int]]) -> Codes:
    unsaid = field.silent[0] if field.silent else NOT_SAID
    return np.array([said.get(field.name, unsaid) for said in parsed], np.int64)


# ---- how right they are


@dataclass(frozen=True, slots=True)
class _Table:
    """A field's true and said levels over all epochs; `said` has one level more, which is never right: not said."""

    name: str
    truth: Codes
    said: Codes
    levels: int

    def counts(self, rows: Codes) -> NDArray[np.int64]:
        """True level by said one, of those of the rows whose level is known."""
        rows = rows[self.truth[rows] >= 0]
        return confusion(self.truth[rows], self.said[rows], self.levels)


def _figures(
    sample: Sample, method: str, truths: Mapping[str, Codes], said: Mapping[str, Codes], seed: int
) -> Iterator[Figure]:
    subjects = np.array(sample.frame["subject"].to_list())
    tables = []
    for name, truth in truths.items():
        unsaid = len(load_fields()[name].say)
        tables.append(_Table(name, truth, np.where(said[name] == NOT_SAID, unsaid, said[name]), unsaid + 1))
    for score, of_counts, by_majority in (
        ("accuracy", _accuracy, _majority_accuracy), ("macro-F1", _macro_f1, _majority_f1),
    ):  # fmt: skip
        for table in tables:
            rows = np.flatnonzero(table.truth >= 0)
            found = interval(_of(table, of_counts, rows), subjects[rows].tolist(), seed=seed)
            counts = table.counts(rows)
            detail = {"field": table.name, "confusion": counts.tolist(), "not_said": int(counts[:, -1].sum())}
            yield Figure(TASK, f"{score}, {table.name}", method, found.value, len(rows), len(set(subjects[rows])),
                         found.low, found.high, by_majority(counts), note=found.note, detail=detail)  # fmt: skip
        if tables:
            everything = np.arange(len(subjects))
            found = interval(
                _mean([_of(table, of_counts, everything) for table in tables]), subjects.tolist(), seed=seed
            )
            base = float(np.mean([by_majority(table.counts(everything)) for table in tables]))
            note = "; ".join(filter(None, (found.note, f"{len(tables)} fields")))
            yield Figure(TASK, f"{score}, mean over fields", method, found.value, len(subjects), len(set(subjects)),
                         found.low, found.high, base, note=note)  # fmt: skip


def _of(table: _Table, of_counts: Callable[[NDArray[np.int64]], float], rows: Codes) -> Statistic:
    return lambda draw: of_counts(table.counts(rows[draw]))


def _mean(each: Sequence[Statistic]) -> Statistic:
    def mean(draw: Codes) -> float:
        values = np.array([statistic(draw) for statistic in each])
        known = np.isfinite(values)
        return float(values[known].mean()) if known.any() else np.nan

    return mean


def _accuracy(counts: NDArray[np.int64]) -> float:
    total = int(counts.sum())
    return float(np.trace(counts)) / total if total else np.nan


def _macro_f1(counts: NDArray[np.int64]) -> float:
    return float(np.nanmean(f1_of(counts))) if counts.any() else np.nan


def _majority_accuracy(counts: NDArray[np.int64]) -> float:
    return float(counts.sum(axis=1).max() / counts.sum())


def _majority_f1(counts: NDArray[np.int64]) -> float:
    """Macro-F1 of always saying the commonest level."""
    share = _majority_accuracy(counts)
    return float(2 * share / (1 + share) / np.count_nonzero(counts.sum(axis=1)))
