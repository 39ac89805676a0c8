"""A name is a CTE only where GoogleSQL and DuckDB both see it; anywhere else it means a table of the dataset."""

from __future__ import annotations

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.errors import StepFailed


@pytest.mark.parametrize(
    "sql_text",
    [
        "WITH RECURSIVE a AS (SELECT * FROM duckdb_tables), duckdb_tables AS (SELECT 1 AS x) SELECT * FROM a",
        "WITH RECURSIVE duckdb_tables AS (SELECT * FROM duckdb_tables) SELECT * FROM duckdb_tables",
        "WITH RECURSIVE duckdb_tables AS (SELECT table_name FROM duckdb_tables UNION ALL"
        " SELECT table_name FROM duckdb_tables WHERE FALSE) SELECT * FROM duckdb_tables",
        "WITH a AS (WITH duckdb_tables AS (SELECT 1 AS x) SELECT * FROM duckdb_tables) SELECT * FROM a, duckdb_tables",
        "SELECT * FROM (WITH duckdb_tables AS (SELECT 1 AS x) SELECT * FROM duckdb_tables), duckdb_tables",
        "SELECT * FROM duckdb_tables",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM p.d.t.x",
    ],
)
def test_a_name_that_is_not_a_cte_there_is_not_one_of_duckdbs_views(sql: GoogleSql, sql_text: str) -> None:
    with pytest.raises(StepFailed, match=r"There is no table d\.|is not a table"):
        sql.query(sql_text)


@pytest.mark.parametrize(
    ("sql_text", "rows"),
    [
        ("WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 3) SELECT MAX(x) FROM a", [(3,)]),
        ("WITH RECURSIVE a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT x FROM b", [(2,)]),
        ("WITH a AS (SELECT 1 AS x) SELECT x FROM (SELECT x FROM a) WHERE x IN (SELECT x FROM a)", [(1,)]),
        ("WITH a AS (SELECT 1 AS x) SELECT (WITH a AS (SELECT x + 1 AS x FROM a) SELECT x FROM a)", [(2,)]),
        ("WITH a AS (SELECT 1 AS x) SELECT x FROM a UNION ALL SELECT x FROM a", [(1,), (1,)]),
    ],
)
def test_a_cte_is_seen_where_it_should_be(sql: GoogleSql, sql_text: str, rows: list[tuple[int, ...]]) -> None:
    assert sql.rows(sql_text) == rows
