"""A call has as many arguments as its function takes, and the words that it can have; values.txt has examples."""

from __future__ import annotations

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.adapters.googlesql.functions import RUNNING
from convergence.adapters.googlesql.signatures import COUNTS
from convergence.adapters.local.duckdb_sql.check import check_statement
from convergence.errors import StepFailed

SPECIAL = {"ARRAY", "CAST", "ERROR", "EXTRACT", "IEEE_DIVIDE", "JSON_ARRAY", "JSON_OBJECT", "SAFE_CAST", "STRING_AGG"}
BOUNDED = sorted(name for name, (_, most) in COUNTS.items() if most < 100)


def test_every_function_says_how_many_arguments_it_takes() -> None:
    assert set(COUNTS) | SPECIAL | {"STRUCT", "UNNEST"} == RUNNING | SPECIAL


@pytest.mark.parametrize("name", BOUNDED)
def test_an_argument_too_many_is_refused(name: str) -> None:
    given = ", ".join(["NULL"] * (COUNTS[name][1] + 1))
    with pytest.raises(StepFailed):
        check_statement(f"SELECT {name}({given})")


@pytest.mark.parametrize("name", BOUNDED)
def test_an_argument_of_a_name_that_the_function_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(StepFailed):
        check_statement(f"SELECT {name}(foo => 1)")


def test_a_struct_is_stored_by_position(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE x (k INT64, s STRUCT<a INT64, b INT64>, l ARRAY<STRUCT<a INT64, b INT64>>)")
    sql.query("CREATE TABLE y AS SELECT 5 AS k, STRUCT(1 AS b, 2 AS a) AS s, [STRUCT(1 AS a, 2 AS b)] AS l")
    sql.query("INSERT INTO x VALUES (1, STRUCT(1 AS b, 2 AS a), [STRUCT(1 AS b, 2 AS a)])")
    sql.query("INSERT INTO x (k, s) SELECT 2, s FROM y")
    sql.query("UPDATE x SET s = STRUCT(7 AS b, 8 AS a), l = [STRUCT(7 AS b, 8 AS a)] WHERE k = 2")
    sql.query("MERGE x USING y ON x.k = y.k WHEN NOT MATCHED THEN INSERT (k, s) VALUES (y.k, y.s)")
    rows = sql.rows("SELECT k, s, l FROM x ORDER BY k")
    assert rows == [
        (1, {"a": 1, "b": 2}, [{"a": 1, "b": 2}]),
        (2, {"a": 7, "b": 8}, [{"a": 7, "b": 8}]),
        (5, {"a": 1, "b": 2}, []),
    ]
    with pytest.raises(StepFailed, match="write the columns instead of"):
        sql.query("INSERT INTO x SELECT * FROM y")
