"""A name in backticks may hold anything: wherever it stands, the translation is one statement, or refused."""

from __future__ import annotations

import pytest

from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.adapters.local.duckdb_sql.context import StatementContext
from convergence.adapters.local.duckdb_sql.translate import parse, translate
from convergence.adapters.local.duckdb_sql.types import duckdb_type, from_duckdb
from convergence.errors import ConvergenceError
from convergence.ports.warehouse import Scope

HOSTILE = '`x"; DROP TABLE globex_dev.secret; --`'
AROUND = StatementContext(scope=Scope(dataset="acme_dev", writable=True), project="p")
COLUMNS = (("a", SqlType("INT64")), ("b", SqlType("STRING")), ("d", SqlType("DATE")))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS {}",
        "SELECT a AS {0} FROM u ORDER BY {0}",
        "SELECT u.{} FROM u",
        "SELECT {0}.a FROM u AS {0}",
        "SELECT * EXCEPT ({}) FROM u",
        "SELECT * REPLACE (1 AS {}) FROM u",
        "SELECT STRUCT(1 AS {})",
        "SELECT STRUCT<{} INT64>(1)",
        "SELECT STRUCT(1 AS {0}).{0}",
        "SELECT CAST(1 AS {})",
        "SELECT {}(1)",
        "SELECT SAFE.{}(1)",
        "SELECT NET.{}(1)",
        "SELECT DATE_TRUNC(d, {}) FROM u",
        "SELECT DATE_DIFF(d, d, {}) FROM u",
        "SELECT DATE_DIFF(d, d, WEEK({})) FROM u",
        "SELECT LAST_DAY(d, {}) FROM u",
        "SELECT DATE_ADD(d, INTERVAL 1 {}) FROM u",
        "SELECT EXTRACT({} FROM d) FROM u",
        "SELECT EXTRACT(WEEK({}) FROM d) FROM u",
        "SELECT NORMALIZE(b, {}) FROM u",
        "SELECT b COLLATE {} FROM u",
        "SELECT SUM(a) OVER {0} FROM u WINDOW {0} AS (PARTITION BY b)",
        "SELECT a FROM u, UNNEST([1]) AS {0} WITH OFFSET AS {0}1",
        "SELECT * FROM u PIVOT (SUM(a) FOR b IN ('x' AS {}))",
        "SELECT * FROM u UNPIVOT ({} FOR n IN (a))",
        "WITH {0} AS (SELECT 1 AS a) SELECT a FROM {0}",
        "SELECT a /* {} */ FROM u",
        "SELECT a FROM u -- {}",
        "SELECT a FROM u TABLESAMPLE {} (10 PERCENT)",
        "CREATE TABLE {} (a INT64)",
        "CREATE TABLE z ({} INT64)",
        "CREATE TABLE z (a STRUCT<{} INT64>)",
        "CREATE TABLE z (a INT64 DEFAULT {})",
        "CREATE TABLE z (a INT64) OPTIONS ({} = 1)",
        "CREATE TABLE z AS SELECT 1 AS {}",
        "CREATE VIEW {} AS SELECT 1 AS a",
        "CREATE VIEW z ({}) AS SELECT 1 AS a",
        "INSERT INTO u ({}) VALUES (1)",
        "UPDATE u SET {} = 1 WHERE TRUE",
        "DELETE FROM u WHERE {} = 1",
        "MERGE u USING u AS s ON FALSE WHEN NOT MATCHED THEN INSERT ({}) VALUES (1)",
        "ALTER TABLE u ADD COLUMN {} INT64",
        "ALTER TABLE u DROP COLUMN {}",
        "ALTER TABLE u RENAME COLUMN a TO {}",
        "ALTER TABLE u RENAME TO {}",
        "DROP TABLE {}",
    ],
)
def test_a_hostile_name_stays_one_statement(sql: str) -> None:
    import duckdb

    try:
        parsed = parse(sql.format(HOSTILE), AROUND)
        statements = translate(parsed, AROUND, dict.fromkeys(parsed.touched.existing, COLUMNS)).statements
    except ConvergenceError:
        return
    for statement in statements:
        try:
            assert len(duckdb.extract_statements(statement)) == 1, statement
        except duckdb.ParserException:  # DuckDB takes none of it
            continue


@pytest.mark.parametrize("name", ['a"b', "a`b", "a\\b", "a> ; b", "a, b INT64", "", "plain"])
def test_a_fields_name_travels_whole(name: str) -> None:
    kind = SqlType("STRUCT", ((name, SqlType("INT64")), ("n", SqlType("ARRAY", (("", SqlType("STRING")),)))))
    assert parse_type(str(kind)) == kind
    if name:
        assert from_duckdb(duckdb_type(kind)) == kind
