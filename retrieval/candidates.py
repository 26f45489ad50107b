"""Which epochs can answer a question, which of them do, and why the others can't: judged and counted in the catalog.

Each filter and fact becomes a column that is true, false or null, and a null one comes with its reason. Only rows that
hold all of them leave the catalog, with what the ranking needs of them.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from encoders.captions import Concept
from encoders.models import Encoder
from encoders.vocabulary import EPOCH_S, STEP_CHANNELS
from index import Snapshot
from retrieval.asked import Filter, Question
from retrieval.concepts import QUALITY, REASONS, event_name, measured, reason_sql, usable_sql
from retrieval.relations import Found, Pair, Run, evaluate, long_enough
from retrieval.told import told

PLACE = ("recording", "epoch", "start_s")
_EDGES = ("first", "last", "from_s", "to_s")
_OF_FACT = ("truth", "extent", "grade", "told")
_CHANGED = ("_measured", "_grade")
_PLACES_MOST = 200_000  # rows up to which their places are read at once, and not only those of the best
_YES, _NO = -1, -2  # beside the places of REASONS


def candidates(
    snapshot: Snapshot, question: Question, where: str | None, reader: Encoder | None
) -> tuple[pl.DataFrame, int, dict[str, int], Question]:
    """Rows that may be hits; how many could answer; how many could not, by reason; the filters with what they found.

    All is judged in the catalog, and only rows that answer leave it, in the order of their ids: `epoch_id caption_id`,
    the columns of facts and filters, and `recording epoch start_s` unless they are too many for these to be read now.
    """
    known = snapshot.columns()
    artifacts = any(c.id == "artifact" for fact in question.facts for c in fact.concepts)
    spoilt = (
        "coalesce(n_artifact, 0) > 0" if "n_artifact" in known and not artifacts and not question.include_bad else ""
    )
    seen = usable_sql([[c] for c in reader.channels if c not in STEP_CHANNELS], known) if reader else "FALSE"
    columns = ["epoch_id", *PLACE, "caption_id", f"({seen}) AS seen"]
    for number, condition in enumerate(question.filters):
        if condition.relation is None:
            columns += _filter_sql(condition, f"filter{number}", known, spoilt)
    names = []
    for number, fact in enumerate(question.facts):
        for j, concept in enumerate(fact.concepts):
            columns += _concept_sql(concept, f"fact{number}_{j}", known, spoilt)
            names.append((f"fact{number}_{j}", concept))
    related, question = _related(snapshot, question)
    tables = {f"{name}_in": found.joining(f"{name}_") for name, found in related.items()}
    joins = [f"{name}_in USING ({found.key})" for name, found in related.items()]
    columns += [sql for name, found in related.items() for sql in found.reading(f"{name}_")]
    changes = [
        {name if of == "holds" else f"{name}_{of}": sql for of, sql in found.judging(f"{name}_").items()}
        for name, found in related.items()
    ]
    wanted = ""
    if where:
        tables["wanted"] = pl.DataFrame({"epoch_id": snapshot.rows(where)})
        wanted = " SEMI JOIN wanted USING (epoch_id)"
    steps = [f"read AS (SELECT {', '.join(columns)} FROM {snapshot.narrowest(columns)}{wanted})"]
    asked = [f"filter{n}" for n, f in enumerate(question.filters) if not isinstance(f.relation, Run)]
    tables |= _told_tables(snapshot, reader, names, steps[0], tables)
    changes += [_told_sql(name, concept, f"{name}_by" in tables) for name, concept in names]
    joins += [f"{name}_by USING (epoch_id)" for name, _ in names if f"{name}_by" in tables]
    steps.append(f"heard AS (SELECT * {_replaced(changes)} FROM read{''.join(f' LEFT JOIN {j}' for j in joins)})")
    facts = [sql for n, fact in enumerate(question.facts) for sql in _fact_sql(n, len(fact.concepts))]
    asked += [f"fact{n}" for n in range(len(question.facts))]
    steps.append(f"judged AS (SELECT {', '.join(['*', *facts])} FROM heard)")
    unknown = "".join(f" WHEN {name} IS NULL THEN {name}_reason" for name in asked)
    there = " AND ".join(asked) or "TRUE"
    counted = snapshot.sql(
        f"WITH {', '.join(steps)} SELECT CASE{unknown} WHEN {there} THEN {_YES} ELSE {_NO} END AS how, count(*) "
        "FROM judged GROUP BY how", (), **tables,
    )  # fmt: skip
    counts: dict[int, int] = dict(counted.iter_rows())
    refused = {name: counts.get(place, 0) for place, name in enumerate(REASONS)}
    yes = counts.get(_YES, 0)
    runs = [f.relation for f in question.filters if isinstance(f.relation, Run)]
    spans = [f"filter{n}" for n, f in enumerate(question.filters) if isinstance(f.relation, Pair)]
    kept = ["epoch_id", "caption_id", "seen", *(PLACE if yes <= _PLACES_MOST or runs or spans else ())]
    kept += [f"{of}{n}" for n in range(len(question.facts)) for of in ("which", *_OF_FACT)]
    for n, condition in enumerate(question.filters):
        kept += [f"filter{n}_clear"] if condition.rank_by or isinstance(condition.relation, Pair) else []
        kept += [f"filter{n}_said"] if condition.relation and not isinstance(condition.relation, Run) else []
    if spans:
        own = "epoch", "epoch", "start_s", f"start_s + {EPOCH_S}"
        outermost = "least", "greatest", "least", "greatest"
        kept += [
            f"{of}({', '.join([alone, *(f'{name}_{edge}' for name in spans)])}) AS {edge}"
            for edge, alone, of in zip(_EDGES, own, outermost, strict=True)
        ]
    frame = snapshot.sql(f"WITH {', '.join(steps)} SELECT {', '.join(kept)} FROM judged WHERE {there}", (), **tables)
    frame = frame if frame["epoch_id"].is_sorted() else frame.sort("epoch_id")
    able = yes + counts.get(_NO, 0)
    return long_enough(frame, runs) if runs else frame, able, refused, question


def _related(snapshot: Snapshot, question: Question) -> tuple[dict[str, Found], Question]:
    """What is known of each filter that relates epochs in time; what was found out is added to what it says."""
    filters, related = list(question.filters), {}
    for number, condition in enumerate(question.filters):
        if condition.relation is None or isinstance(condition.relation, Run):
            continue
        found = related[f"filter{number}"] = evaluate(snapshot, condition.relation)
        if found.says:
            filters[number] = replace(condition, says=f"{condition.says}; {found.says}")
    return related, replace(question, filters=tuple(filters))


def _fact_sql(number: int, concepts: int) -> list[str]:
    """Adds `fact<n>` (null: nobody can say), `which<n>`, `truth<n>`, `extent<n>`, `grade<n>`, `told<n>`, the reason."""
    names = [f"fact{number}_{j}" for j in range(concepts)]
    holds = [f"coalesce({name}_truth, {name}_measured)" for name in names]

    def first(of: Sequence[str], where: Sequence[str]) -> str:
        cases = (f"CASE WHEN {there} THEN {value} END" for value, there in zip(of, where, strict=True))
        return f"coalesce({', '.join(cases)})"

    unknown = first([f"{name}_reason" for name in names], [f"{there} IS NULL" for there in holds])
    return [
        f"({' OR '.join(holds)}) AS fact{number}",
        f"{first([str(j) for j in range(concepts)], holds)} AS which{number}",
        *(f"{first([f'{name}_{of}' for name in names], holds)} AS {of}{number}" for of in _OF_FACT),
        f"{unknown} AS fact{number}_reason",
    ]


def _told_tables(
    snapshot: Snapshot, reader: Encoder | None, names: Sequence[tuple[str, Concept]], read: str,
    tables: dict[str, pl.DataFrame],
) -> dict[str, pl.DataFrame]:  # fmt: skip
    """What an encoder says of the epochs in which nobody scored a concept, for concepts of which it can say it."""
    if reader is None or not names:
        return {}
    unscored = ", ".join(f"coalesce(bool_or({name}_truth IS NULL), FALSE) AS {name}" for name, _ in names)
    (some,) = snapshot.sql(f"WITH {read} SELECT {unscored} FROM read", (), **tables).iter_rows(named=True)
    found = {name: told(snapshot, reader, concept) for name, concept in names if some[name]}
    return {
        f"{name}_by": table.rename({"there": f"{name}_there", "grade": f"{name}_by_grade"})
        for name, table in found.items()
        if table is not None
    }


def _told_sql(name: str, concept: Concept, there: bool) -> dict[str, str]:
    """`<name>_told`: whether an encoder's word stands in `<name>_measured`, since nobody scored the epoch.

    Of stages the encoder is asked first, of all else what a sensor measured: a count of seconds without airflow needs
    no likeness to words.
    """
    if not there:
        return {f"{name}_told": "FALSE"}
    decides = f"{name}_truth IS NULL AND {name}_there IS NOT NULL"
    if concept.kind != "stage":
        decides += f" AND {name}_measured IS NULL"
    return {
        f"{name}_told": decides,
        f"{name}_measured": f"CASE WHEN {decides} THEN {name}_there ELSE {name}_measured END",
        f"{name}_grade": f"CASE WHEN {decides} THEN {name}_by_grade ELSE {name}_grade END",
    }


def _replaced(columns: Sequence[dict[str, str]]) -> str:
    """What follows the star of a selection: columns that an encoder's word changes, and new ones."""
    every = {name: sql for of in columns for name, sql in of.items()}
    changed = ", ".join(f"({sql}) AS {name}" for name, sql in every.items() if name.endswith(_CHANGED))
    added = "".join(f", ({sql}) AS {name}" for name, sql in every.items() if not name.endswith(_CHANGED))
    return (f"REPLACE ({changed})" if changed else "") + added


def _concept_sql(concept: Concept, name: str, known: dict[str, str], spoilt: str) -> list[str]:
    """Columns of one concept: there as scored, there as measured, seconds of the event, what grades it, why unknown."""
    event = event_name(concept)
    grade = f"{concept.evidence} * {concept.sign}" if concept.evidence else "NULL"
    reason = reason_sql(concept.channels, known, bool(concept.coverage or event))
    there = measured(concept)
    if spoilt and concept.kind == "measure":
        there, reason = (
            f"CASE WHEN NOT ({spoilt}) THEN {there} END",
            f"CASE WHEN {spoilt} THEN {QUALITY} ELSE {reason} END",
        )
    return [
        f"({concept.scored or 'NULL'})::BOOLEAN AS {name}_truth",
        f"({there}) AS {name}_measured",
        f"{f'{event}_s' if event else 'NULL'}::DOUBLE AS {name}_extent",
        f"({grade})::DOUBLE AS {name}_grade",
        f"{reason} AS {name}_reason",
    ]


def _filter_sql(condition: Filter, name: str, known: dict[str, str], spoilt: str) -> list[str]:
    """Columns of one filter: whether it holds, how clearly, and why it could not be judged."""
    there = known.keys() >= set(condition.columns)  # a cohort without a subjects' table has no ages
    holds, clear, reason = (
        condition.sql if there else "NULL",
        "NULL",
        reason_sql(condition.channels, known, not condition.channels),
    )
    if condition.rank_by and there:
        column, sign = condition.rank_by
        clear = f"{column} * {sign}"
    if spoilt and condition.channels and condition.rank_by:
        holds, reason = (
            f"CASE WHEN NOT ({spoilt}) THEN ({holds}) END",
            f"CASE WHEN {spoilt} THEN {QUALITY} ELSE {reason} END",
        )
    return [f"({holds})::BOOLEAN AS {name}", f"({clear})::DOUBLE AS {name}_clear", f"{reason} AS {name}_reason"]
