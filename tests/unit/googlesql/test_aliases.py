"""An alias of the SELECT list wins over a column of its name in GROUP BY, HAVING, QUALIFY and ORDER BY."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.errors import StepFailed

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)


@pytest.fixture
def usage(sql: GoogleSql) -> GoogleSql:
    sql.query("CREATE TABLE usage (day DATE, model STRING, tokens INT64)")
    sql.query("""INSERT INTO usage VALUES (DATE '2026-01-05', 'A', 1), (DATE '2026-01-06', 'a', 2),
      (DATE '2026-02-01', 'b', 4), (DATE '2026-02-02', NULL, 8)""")
    return sql


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            "SELECT DATE_TRUNC(day, MONTH) AS day, SUM(tokens) FROM usage GROUP BY day ORDER BY day",
            [(JANUARY, 3), (FEBRUARY, 12)],
        ),
        (
            "SELECT LOWER(model) AS model, COUNT(*) FROM usage GROUP BY model ORDER BY model",
            [(None, 1), ("a", 2), ("b", 1)],
        ),
        (
            "SELECT COALESCE(model, 'b') AS model, SUM(tokens) FROM usage GROUP BY model ORDER BY model",
            [("A", 1), ("a", 2), ("b", 12)],
        ),
        (
            "SELECT CASE WHEN tokens < 4 THEN 'few' ELSE 'many' END AS tokens, COUNT(*) FROM usage GROUP BY tokens"
            " ORDER BY tokens",
            [("few", 2), ("many", 2)],
        ),
        ("SELECT 'x' AS model, SUM(tokens) FROM usage GROUP BY model", [("x", 15)]),
        ("SELECT (SELECT 5) AS tokens, COUNT(*) FROM usage GROUP BY tokens", [(5, 4)]),
        ("SELECT COUNT(*) AS n, LOWER(model) AS model FROM usage GROUP BY (model) ORDER BY n, model LIMIT 2",
         [(1, None), (1, "b")]),
        (
            "SELECT DATE_TRUNC(day, MONTH) AS day, SUM(tokens) FROM usage GROUP BY ROLLUP(day) ORDER BY day",
            [(None, 15), (JANUARY, 3), (FEBRUARY, 12)],
        ),
        (
            "SELECT DATE_TRUNC(day, MONTH) AS day, SUM(tokens) FROM usage GROUP BY CUBE(day) ORDER BY day",
            [(None, 15), (JANUARY, 3), (FEBRUARY, 12)],
        ),
        (
            "SELECT DATE_TRUNC(day, MONTH) AS day, LOWER(model) AS model, SUM(tokens) FROM usage"
            " GROUP BY GROUPING SETS((day), (day, model), ()) ORDER BY day, model, 3",
            [(None, None, 15), (JANUARY, None, 3), (JANUARY, "a", 3), (FEBRUARY, None, 8), (FEBRUARY, None, 12),
             (FEBRUARY, "b", 4)],
        ),
        (
            "SELECT DATE_TRUNC(day, MONTH) AS day, COUNT(*) FROM usage GROUP BY day HAVING day > DATE '2026-01-03'",
            [(FEBRUARY, 2)],
        ),
        (
            "SELECT LOWER(model) AS model, SUM(tokens) AS tokens FROM usage GROUP BY model"
            " HAVING model IS NOT NULL AND tokens > 3",
            [("b", 4)],
        ),
        ("SELECT -tokens AS tokens FROM usage ORDER BY tokens + 0 LIMIT 1", [(-8,)]),
        ("SELECT DISTINCT -tokens AS tokens FROM usage ORDER BY ABS(tokens) DESC LIMIT 1", [(-8,)]),
        ("SELECT -tokens AS tokens FROM usage QUALIFY ROW_NUMBER() OVER (ORDER BY tokens) = 1", [(-8,)]),
        ("SELECT u.model AS day, COUNT(*) FROM usage AS u GROUP BY day ORDER BY day LIMIT 1", [(None, 1)]),
        (
            "SELECT u.model, COUNT(*) FROM usage AS u JOIN usage AS w ON u.day = w.day GROUP BY model ORDER BY model",
            [(None, 1), ("A", 1), ("a", 1), ("b", 1)],
        ),
        (
            "WITH m AS (SELECT DATE_TRUNC(day, MONTH) AS day, SUM(tokens) AS tokens FROM usage GROUP BY day)"
            " SELECT COUNT(*), MAX(tokens) FROM m",
            [(2, 12)],
        ),
        (
            "SELECT DATE_TRUNC(day, MONTH) AS day, COUNT(*) FROM usage GROUP BY day"
            " HAVING EXISTS (SELECT 1 FROM usage WHERE day = DATE '2026-01-06') ORDER BY day",
            [(JANUARY, 2), (FEBRUARY, 2)],
        ),
        ("SELECT (SELECT MAX(w) FROM (SELECT 9 AS n, tokens AS w)) FROM usage ORDER BY 1 LIMIT 1", [(1,)]),
        ("SELECT (SELECT MAX(w) FROM (SELECT 9 AS tokens, tokens AS w)) FROM usage ORDER BY 1 LIMIT 1", [(1,)]),

    ],
)  # fmt: skip
def test_an_alias_wins_over_a_column(usage: GoogleSql, text: str, rows: list[Any]) -> None:
    assert usage.rows(text) == rows


def test_an_alias_wins_in_a_statement_that_writes(usage: GoogleSql) -> None:
    usage.query("CREATE TABLE months AS SELECT DATE_TRUNC(day, MONTH) AS day, SUM(tokens) AS n FROM usage GROUP BY day")
    usage.query("INSERT INTO months SELECT DATE_TRUNC(day, YEAR) AS day, SUM(tokens) FROM usage GROUP BY day")
    assert usage.rows("SELECT * FROM months ORDER BY n") == [(JANUARY, 3), (FEBRUARY, 12), (JANUARY, 15)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT tokens AS n, n + 1 AS m FROM usage", "There is no column 'n': an alias is visible in GROUP BY"),
        ("SELECT 1 AS a, (SELECT a) AS b", "There is no column 'a': an alias"),
        ("SELECT tokens AS n FROM usage WHERE n > 1", "There is no column 'n': an alias"),
        ("SELECT tokens AS n, SUM(1) OVER (ORDER BY n) FROM usage", "There is no column 'n': an alias"),
        ("SELECT STRUCT(1 AS b) AS a, a.b FROM usage", "There is no column 'a': an alias"),
        ("SELECT x AS y, y FROM UNNEST([1]) AS x", "There is no column 'y': an alias"),
        ("SELECT * EXCEPT (model), 1 AS model FROM usage GROUP BY model", "neither grouped nor aggregated"),
        ("SELECT SUM(tokens) AS tokens FROM usage HAVING SUM(tokens) > 1", "a name other than the column's"),
        ("SELECT model AS n, day AS n FROM usage GROUP BY n", "The name 'n' is ambiguous"),
    ],
)
def test_an_alias_that_cannot_be_meant_is_refused(usage: GoogleSql, text: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        usage.rows(text)
