"""A user's filter: one SQL expression over the view `epochs`, proven harmless by its parse tree, run within limits."""

import difflib
import json
import threading
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import duckdb

from index.catalog import ascending, one_line
from index.errors import InvalidFilter
from index.segments import Ids

TIME_LIMIT_S = 10.0
MEMORY_LIMIT = "2GB"
MAX_CHARACTERS = 10_000

# All readers of one file in one process must share one configuration, so trusted queries run under it as well.
READER_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,
    "memory_limit": MEMORY_LIMIT,
    "temp_directory": "",  # a query beyond the memory limit ends; it does not fill the disk
    "threads": 2,
    "lock_configuration": True,
}

_SHAPES = {
    "COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "BETWEEN", "CASE", "CAST", "LAMBDA",
    "COLLATE",
}  # fmt: skip
_REFUSED = {
    "SUBQUERY": "a subquery", "WINDOW": "a window function", "PARAMETER": "a parameter", "STAR": "a star",
    "POSITIONAL_REFERENCE": "a positional reference", "DEFAULT": "DEFAULT",
}  # fmt: skip
_FUNCTIONS = frozenset(
    name
    for group in tomllib.loads(files("index").joinpath("filter_functions.toml").read_text(encoding="utf-8")).values()
    for name in group
)


def matching_rows(
    con: duckdb.DuckDBPyConnection, where: str, columns: Sequence[str], *, source: str = "epochs",
    time_limit_s: float = TIME_LIMIT_S,
) -> Ids:  # fmt: skip
    """Ascending epoch ids for which the expression is true; where it is null (unknown) an epoch does not match.

    columns: those of the view `epochs`. source: what is read in its stead, with at least the columns that are named.
    InvalidFilter, in one line, for anything but one expression of known columns, or beyond the time or memory limit.
    """
    _check(con, where, columns)
    try:
        with _time_limit(con, time_limit_s):
            described = con.execute(f"DESCRIBE SELECT ({where}\n) AS answer FROM {source} AS epochs").fetchone()
            if described is None or described[1] != "BOOLEAN":
                kind = described[1] if described else "nothing"
                raise InvalidFilter(
                    f"filter {_shown(where)}: its value is {kind}, expected a condition such as age > 60"
                )
            return ascending(con, f"SELECT epoch_id FROM {source} AS epochs WHERE ({where}\n)")
    except duckdb.InterruptException:
        raise InvalidFilter(
            f"filter {_shown(where)}: took more than {time_limit_s:g} s; write a simpler condition"
        ) from None
    except duckdb.OutOfMemoryException:
        raise InvalidFilter(
            f"filter {_shown(where)}: needs more than {MEMORY_LIMIT} of memory; write a simpler condition"
        ) from None
    except duckdb.Error as error:
        raise InvalidFilter(f"filter {_shown(where)}: {one_line(error)}") from None


def _check(con: duckdb.DuckDBPyConnection, where: str, columns: Sequence[str]) -> None:
    """Refuse whatever is not one expression made of allowed shapes, functions and known columns."""
    if len(where) > MAX_CHARACTERS or "\0" in where:
        raise InvalidFilter(f"filter of {len(where)} characters: expected one condition of up to {MAX_CHARACTERS}")
    try:
        row = con.execute("SELECT json_serialize_sql(?)", [f"SELECT ({where}\n) FROM epochs"]).fetchone()
        parsed: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    except RecursionError:
        raise InvalidFilter(f"filter {_shown(where)}: nested too deeply") from None
    except duckdb.Error as error:
        raise InvalidFilter(f"filter {_shown(where)}: {one_line(error)}") from None
    if parsed["error"]:
        why = str(parsed.get("error_message", "not SQL")).splitlines()[0]
        if parsed.get("error_type") == "not implemented":  # DuckDB serialises SELECT alone
            why = "only a condition is allowed, no statement"
        raise InvalidFilter(f"filter {_shown(where)}: {why}")
    statements = parsed["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    clauses = ("where_clause", "having", "sample", "qualify", "modifiers", "group_expressions", "group_sets")
    if (
        node.get("type") != "SELECT_NODE"
        or len(node["select_list"]) != 1
        or node["from_table"].get("table_name") != "epochs"
        or node["from_table"]["type"] != "BASE_TABLE"
        or node["cte_map"]["map"]
        or any(node.get(clause) for clause in clauses)
    ):
        raise InvalidFilter(
            f"filter {_shown(where)}: expected exactly one condition, such as age > 60 AND stage = 'REM'"
        )
    known = {name.lower() for name in columns}
    for part, names, depth in _parts(node["select_list"][0], frozenset(), 0):
        shape = part["class"]
        if shape not in _SHAPES or depth > 1:
            what = "a lambda in a lambda" if depth > 1 else _REFUSED.get(shape, shape.lower().replace("_", " "))
            raise InvalidFilter(
                f"filter {_shown(where)}: {what} is not allowed; compare columns of `epochs` with values"
            )
        if shape == "FUNCTION" and part["function_name"].lower() not in _FUNCTIONS:
            near = difflib.get_close_matches(part["function_name"].lower(), _FUNCTIONS, 3)
            hint = f"; near: {', '.join(near)}" if near else "; filters have no aggregates and no file functions"
            raise InvalidFilter(f"filter {_shown(where)}: function {part['function_name']}() is not allowed{hint}")
        if shape == "COLUMN_REF":
            path = [name.lower() for name in part["column_names"]]
            column = path[1] if len(path) > 1 and path[0] == "epochs" else path[0]
            if column not in known and path[0] not in names:
                raise _unknown(where, part["column_names"][-1], columns)


def _parts(
    tree: Any, names: frozenset[str], depth: int
) -> Iterator[tuple[dict[str, Any], frozenset[str], int]]:  # fmt: skip
    """Every expression of a parse tree, with the lambda parameters known there and the number of lambdas around it."""
    stack: list[tuple[Any, frozenset[str], int]] = [(tree, names, depth)]
    while stack:
        item, names, depth = stack.pop()
        if isinstance(item, list):
            stack.extend((child, names, depth) for child in item)
        elif isinstance(item, dict):
            if isinstance(item.get("class"), str) and "query_location" in item:
                if item["class"] == "LAMBDA":
                    bound = [ref for ref, _, _ in _parts(item["lhs"], names, 0) if ref["class"] == "COLUMN_REF"]
                    names, depth = names | {ref["column_names"][0].lower() for ref in bound}, depth + 1
                yield item, names, depth
            stack.extend((child, names, depth) for child in item.values())


def _unknown(where: str, name: str, columns: Sequence[str]) -> InvalidFilter:
    near = difflib.get_close_matches(name.lower(), [c.lower() for c in columns], 3, 0.55)
    near = near or [c for c in columns if name.lower() in c.lower()][:3]
    hint = f"near: {', '.join(near)}" if near else f"text goes in single quotes: '{name}'"
    return InvalidFilter(f"filter {_shown(where)}: no column {name!r}; {hint}")


def _shown(where: str) -> str:
    flat = " ".join(where.split())
    return repr(flat if len(flat) <= 80 else flat[:77] + "...")


@contextmanager
def _time_limit(con: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, con.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
