"""A user's filter reaches the columns of `epochs` and nothing else."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from index import InvalidFilter, Snapshot, Writer


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    root = tmp_path_factory.mktemp("cohort")
    n = 5000
    rng = np.random.default_rng(0)
    epochs = pl.DataFrame(
        {
            "start_s": np.arange(n) * 30.0,
            "stage": rng.choice(["W", "N2", "REM"], n),
            "spo2_min_pct": rng.uniform(80, 99, n),
            "events": [["hypopnea", "arousal"] if i % 10 == 0 else [] for i in range(n)],
            "score": [None if i % 4 else float(i) for i in range(n)],
        }
    )
    with Writer(root) as writer:
        writer.put("a", "1", {"epochs": epochs, "nights": pl.DataFrame({"ahi_scored_per_h": [12.5]})})
        writer.publish()
    return Snapshot.open(root)


def test_every_epoch_matches_no_filter(snapshot: Snapshot) -> None:
    assert len(snapshot.rows()) == len(snapshot.rows("  ")) == 5000


@pytest.mark.parametrize(
    "where",
    [
        "stage = 'REM' AND spo2_min_pct < 90",
        "stage IN ('W', 'REM') -- a comment",
        "epochs.stage LIKE 'R%' OR NOT (spo2_min_pct BETWEEN 85 AND 90)",
        "list_contains(events, 'arousal')",
        "len(list_filter(events, lambda e: starts_with(e, 'hypo') AND spo2_min_pct > 85)) > 0",
        "CASE WHEN stage = 'W' THEN score > 10 ELSE score IS NULL END",
        "round(spo2_min_pct)::INTEGER % 2 = 0",
        "lower(\"stage\") = 'rem' AND ahi_scored_per_h > 5",
        "STAGE = 'W'",
    ],
)
def test_a_condition_matches_what_sql_says(snapshot: Snapshot, where: str) -> None:
    expected = snapshot.sql(f"SELECT epoch_id FROM epochs WHERE ({where}\n) ORDER BY 1")["epoch_id"].to_numpy()
    assert 0 < len(expected) < 5000
    assert np.array_equal(snapshot.rows(where), expected)


def test_unknown_is_not_a_match(snapshot: Snapshot) -> None:
    assert len(snapshot.rows("score < 0")) + len(snapshot.rows("score >= 0")) == 1250


@pytest.mark.parametrize(
    "where",
    [
        "(SELECT true)",
        "epoch_id IN (SELECT epoch_id FROM epochs)",
        "EXISTS (FROM read_csv('/etc/passwd'))",
        "1=1; DROP TABLE epoch_rows",
        "1=1); DROP TABLE epoch_rows; --",
        "true) FROM epochs WHERE (true",
        "true) FROM read_csv('/etc/passwd') WHERE (true",
        "true) UNION SELECT (true",
        "true) FROM epochs LIMIT (3",
        "true) FROM epochs, epochs AS other WHERE (true",
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd') = ''",
        "COPY epochs TO 'x.csv'",
        "ATTACH 'y.db'",
        "INSTALL httpfs",
        "SET memory_limit = '9GB'",
        "current_setting('temp_directory') = ''",
        "getenv('HOME') = ''",
        "nextval('x') > 0",
        "write_log('x') IS NULL",
        "sum(spo2_min_pct) > 1",
        "row_number() OVER () < 10",
        "unnest([true])",
        "COLUMNS(*) > 0",
        "* = 1",
        "$1",
        "? = 1",
        "#1 = 1",
        "len(range(1000000000)) > 0",
        "repeat('x', 1000000000) = ''",
        "list_transform([1], lambda x: len(list_filter([1], lambda y: y > x))) = [1]",
        "spo2_min_pct",
        "'REM'",
        "()",
        "stage = ",
        "stage = 'REM",
        "a, b",
        "true AS x",
        "/* true",
        "stage::INTEGER > 1",
        "abs(" * 1500 + "1" + ")" * 1500 + " > 0",
        "levenshtein(stage, 'W') = 0",
        "x" * 20_000,
        "true\0",
    ],
)
def test_anything_but_one_condition_is_refused_in_one_line(snapshot: Snapshot, where: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        snapshot.rows(where)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert len(snapshot.rows()) == 5000


def test_an_unknown_column_names_those_near(snapshot: Snapshot) -> None:
    with pytest.raises(InvalidFilter, match=r"no column 'spo2_min'; near: spo2_min_pct"):
        snapshot.rows("spo2_min < 90")


def test_an_unknown_function_names_those_near(snapshot: Snapshot) -> None:
    with pytest.raises(InvalidFilter, match=r"list_containz\(\) is not allowed; near: list_contains"):
        snapshot.rows("list_containz(events, 'arousal')")


def test_text_in_double_quotes_is_explained(snapshot: Snapshot) -> None:
    with pytest.raises(InvalidFilter, match=r"no column 'N2'; text goes in single quotes: 'N2'"):
        snapshot.rows('stage = "N2"')


def test_a_slow_filter_ends_at_the_time_limit(snapshot: Snapshot) -> None:
    many = ", ".join(["1.5"] * 500)
    slow = f"list_sum(list_transform([{many}], lambda x: {'sqrt(ln(exp(' * 20}x * spo2_min_pct{')))' * 20})) < 0"
    start = time.monotonic()
    with pytest.raises(InvalidFilter, match="took more than"):
        snapshot.rows(slow, time_limit_s=0.1)
    assert time.monotonic() - start < 10
    assert len(snapshot.rows()) == 5000


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY epochs TO 'x.csv'",
        "ATTACH 'y.db'",
        "INSTALL httpfs",
        "SET memory_limit = '9GB'",
        "INSERT INTO epoch_rows (epoch_id) VALUES (1)",
    ],
)
def test_even_our_own_connection_reaches_no_file(
    snapshot: Snapshot, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    monkeypatch.chdir(tmp_path)
    with pytest.raises(duckdb.Error):
        snapshot.sql(query)
    assert not list(tmp_path.iterdir())
