"""The grammar's figure: how many of the frozen phrases are read otherwise than they must be.

What was read and what must be read are compared by what they let through of a table whose numbers lie on, above and
below every number said; relations in time by what they relate. Words that had to stay must be among those that stayed
or the facts. A phrase is right as a whole or not at all.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import duckdb
import numpy as np
import polars as pl

from encoders.captions import load_lexicon
from encoders.vocabulary import EPOCH_S, POSITIONS
from questions.rules import PARTS
from questions.sets import GROUPS, HERE, Phrase
from retrieval.asked import Fact, Filter
from retrieval.question import read_question
from retrieval.relations import Pair, Relation, Run, Window

_MAP = tomllib.loads((HERE / "columns.toml").read_text(encoding="utf-8"))
_WORDS = {
    "stage": ["W", "N1", "N2", "N3", "REM"], "sex": ["F", "M"], "position": list(POSITIONS.values()),
}  # fmt: skip
_KEYWORDS = {"and", "or", "not", "between", "in", "is", "null", "true", "false", "case", "when", "then", "else", "end",
             "coalesce", "nullif"}  # fmt: skip
_ONE_NAME = re.compile(r"\bn_respiratory\b")  # what is neither an apnea nor a hypopnea is no respiratory event
ROWS = 1500


def reading_errors(phrases: Sequence[Phrase]) -> dict[str, Any]:
    """How many of the phrases are read otherwise, in all and by group."""
    wrong = {group: [not is_read(phrase) for phrase in phrases if phrase.group == group] for group in GROUPS}
    errors = sum(map(sum, wrong.values()))
    return {"phrases": len(phrases), "errors": errors, "share": errors / len(phrases),
            "groups": {group: {"phrases": len(of), "errors": sum(of)} for group, of in wrong.items()}}  # fmt: skip


def is_read(phrase: Phrase) -> bool:
    """Whether the grammar reads of the phrase what it must and nothing else."""
    question = read_question(phrase.say)
    related = [f.relation for f in question.filters if f.relation is not None]
    said = [f.sql for f in question.filters if f.relation is None]
    # `hypopnea without arousal` may be read as a pair of which one is alone: it denies the other and keeps the one.
    alone = [r for r in related if isinstance(r, Pair) and r.alone]
    related = [r for r in related if r not in alone]
    lacking = {(r.second if r.alone == "first" else r.first).concept.id for r in alone}
    denied = [name for name in phrase.denied if _MAP["things"][name] not in lacking]
    if len(phrase.denied) - len(denied) != len(alone):
        return False
    # A word that is neither left nor a thing's may be dropped as filler, but no filter may have taken it.
    kept = " ".join(
        [question.words, *(f.words for f in (*question.facts, *question.filters) if not _is_plain(f))]
    ).lower()
    taken = " ".join(f.words for f in question.filters if f.relation is None).lower()
    if any(word.lower() in taken and word.lower() not in kept for word in phrase.words):
        return False
    clocks = [time["clock"] for time in phrase.time if "clock" in time]
    expected = list(_conditions(phrase, denied, clocks))
    times = [time for time in phrase.time if "clock" not in time]
    return _times_agree(phrase.say, times, related) and any(_same(said, list(way)) for way in product(*expected))


def _is_plain(read: Filter | Fact) -> bool:
    return isinstance(read, Filter) and read.relation is None


def _conditions(phrase: Phrase, denied: Sequence[str], clocks: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """For each thing to be read the SQL conditions of which any will do."""
    for text in phrase.numbers:
        found = re.fullmatch(r"(.+) (<=|>=|<|>|=) ([\d.]+) (\S+)", text)
        assert found, text
        name, sign, value, unit = found.groups()
        columns = _MAP["quantities"].get(f"{name} {unit}") or _MAP["quantities"][name]
        if isinstance(columns, dict):
            # Of a span any statistic of the quantity will do, if it is one and the same.
            columns = columns["below" if sign in ("<", "<=") else "above"] + columns["below"] + columns["above"]
        some = [f" AND {c} > 0" if name.startswith("length of") and sign in ("<", "<=") else "" for c in columns]
        ways = [f"{c} {sign} {value}" for c in columns]
        yield ways + [way + more for way, more in zip(ways, some, strict=True) if more]
    for name in denied:
        yield list(_denials(name))
    if phrase.sex:
        yield [f"sex = '{phrase.sex}'"]
    for start, stop in clocks:
        low, high = (int(h) * 3600 + int(m) * 60 for h, m in (at.split(":") for at in (start, stop)))
        joined = "AND" if low < high else "OR"
        yield [f"(clock_s >= {low} {joined} clock_s < {high})"]


def _denials(name: str) -> Iterator[str]:
    concept = load_lexicon().concepts[_MAP["things"][name]]
    if concept.scored:
        yield f"NOT ({concept.scored})"
    if concept.evidence and concept.present_from is not None:
        yield f"NOT ({concept.evidence} {'>=' if concept.sign > 0 else '<='} {concept.present_from:.10g})"


def _same(said: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether both let through the same rows of a table on the edges of all numbers in them."""
    if sorted(said) == sorted(expected):
        return True
    both = [_ONE_NAME.sub("(n_apnea_any + n_hypopnea_any)", " AND ".join(f"({c})" for c in of) or "TRUE")
            for of in (said, expected)]  # fmt: skip
    text = re.sub(r"'[^']*'", "''", " ".join(both))
    names = sorted(set(re.findall(r"[A-Za-z_]\w*", text)) - {w for w in re.findall(r"[A-Za-z_]\w*", text)
                                                              if w.lower() in _KEYWORDS})  # fmt: skip
    numbers = np.array([float(x) for x in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", text)] + [0.0])
    edges = np.unique(np.abs(np.concatenate([numbers - 1, numbers, numbers + 1])))
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {"row": np.arange(ROWS)}  # a table must have a column
    for name in names:
        choices = (
            np.array(_WORDS[name]) if name in _WORDS else np.arange(0, 86400, 300.0) if name == "clock_s" else edges
        )
        columns[name] = rng.choice(choices, ROWS)
    table = pl.DataFrame(columns)
    try:
        differ = f"SELECT count(*) FROM rows WHERE coalesce({both[0]}, FALSE) <> coalesce({both[1]}, FALSE)"
        return not _database().register("rows", table).sql(differ).fetchall()[0][0]
    except duckdb.Error:
        return False


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _times_agree(say: str, times: Sequence[dict[str, Any]], related: Sequence[Relation]) -> bool:
    left = list(related)
    for time in times:
        found = next((r for r in left if _time_agrees(say, time, r)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _time_agrees(say: str, time: dict[str, Any], relation: Relation) -> bool:
    match time, relation:
        case {"pair": [first, second], "within_s": within_s}, Pair():
            ids = (relation.first.concept.id, relation.second.concept.id)
            near = relation.within_s == within_s or (within_s == 0 and relation.within_s <= EPOCH_S)
            wanted = (_MAP["things"][first], _MAP["things"][second])
            if relation.order == "near" and re.search(r"\bwithin .* of\b", say):  # says nothing of which comes first
                return set(ids) == set(wanted) and near
            return ids == wanted and near and relation.order != "near"
        case {"run": least}, Run():
            return relation.length.symbol == ">=" and relation.length.low == least * EPOCH_S
        case {"part": name}, Window(in_s=False, denied=False):
            return bool(np.allclose((relation.start, relation.stop), PARTS[name], atol=0.01))
        case {"first_min": minutes}, Window(in_s=True, denied=False):
            return (relation.start, relation.stop) == (0, minutes * 60)
        case {"last_min": minutes}, Window(in_s=True, denied=False):
            return (relation.start, relation.stop) == (-minutes * 60, 0)
    return False
