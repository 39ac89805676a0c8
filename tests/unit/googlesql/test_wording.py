"""A wrong statement is explained in GoogleSQL's terms: no class or token of the parser, no advice for DuckDB."""

from __future__ import annotations

import re

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.adapters.googlesql.wording import described
from convergence.errors import ConvergenceError

ROW = "(SELECT 1 AS id, 2 AS n)"
LEAKS = re.compile(r"<class|<Token|SENTINEL|sqlglot|AST node|Required keyword|VARCHAR|BIGINT|_LITERAL|Candidate|SET ")
WRONG = {
    f"SELECT id, COUNT(*) FROM {ROW}": "Column 'id' is neither grouped nor aggregated: add it to GROUP BY",
    f"SELECT id, n FROM {ROW} GROUP BY id": "ANY_VALUE(n)",
    f"SELECT t.id AS x FROM {ROW} AS t HAVING x > 1": "Column 'id' is neither grouped nor aggregated",
    "SELECT `a b`, COUNT(*) FROM (SELECT 1 AS `a b`)": "ANY_VALUE(`a b`)",
    f"SELECT id.b FROM {ROW}": "'id' has no field 'b': it is not a STRUCT",
    "SELECT STRUCT(1 AS aa).ab": "The STRUCT has no field 'ab'. Use one of: aa.",
    "SELECT 1 UNION ALL SELECT 1, 2": "need the same number of columns",
    "SELECT ROW_NUMBER()": "An analytic function needs OVER",
    f"SELECT * FROM {ROW} WHERE ROW_NUMBER() OVER () = 1": "An analytic function needs OVER",
    "SELECT SUM(SUM(1))": "compute the inner one in a subquery",
    f"SELECT * FROM {ROW} WHERE SUM(id) > 1": "WHERE cannot contain an aggregate: use HAVING",
    f"SELECT id FROM {ROW} AS a JOIN {ROW} AS b ON TRUE": "Several tables have a column 'id'",
    "SELECT PARSE_DATE('%Y', 'x')": "The text 'x' does not have the format '%Y'",
    "SELECT (SELECT 1 UNION ALL SELECT 2)": "returned more than one row",
    f"SELECT * FROM {ROW} ORDER BY 3": "A number in ORDER BY is the position of a column in the SELECT list: 1 to 2",
    f"SELECT id FROM {ROW} GROUP BY 5": "A number in GROUP BY is the position of a column",
    f"SELECT ordres.id FROM {ROW} AS orders": "no table or alias 'ordres' in this statement. Did you mean 'orders'?",
    f'SELECT id FROM {ROW} ORDER BY "id"': "ORDER BY 'id': this is a string, not a column: write it without quotes"
    " or in",
    f"SELECT id FROM {ROW} UNION ALL SELECT 2 ORDER BY ('id')": "in backticks, `id`",
    f'SELECT COUNT(*) FROM {ROW} GROUP BY "id"': "GROUP BY 'id': this is a string, not a column",
    f"SELECT id FROM {ROW} ORDER BY 1.5": "ORDER BY 1.5: this is a constant; name a column, or give its number",
    f"SELECT id FROM {ROW} ORDER BY NULL": "ORDER BY NULL: this is a constant",
    f'SELECT id AS "x" FROM {ROW}': "'x' in quotes is a string, but a name is expected here",
    f"SELECT t.id FROM {ROW} AS 't'": "'t' in quotes is a string",
    'SELECT STRUCT(1 AS "x")': "in backticks, `x`",
    f'SELECT t."id" FROM {ROW} AS t': "'id' in quotes is a string",
    f'SELECT * EXCEPT ("id") FROM {ROW}': "'id' in quotes is a string",
    f'SELECT * FROM {ROW} AS a JOIN {ROW} AS b USING ("id")': "'id' in quotes is a string",
    'INSERT INTO t ("id") VALUES (1)': "'id' in quotes is a string",
    'UPDATE t SET "id" = 1 WHERE TRUE': "'id' in quotes is a string",
    'MERGE t USING u ON TRUE WHEN NOT MATCHED THEN INSERT ("id") VALUES (1)': "'id' in quotes is a string",
    'CREATE TABLE t ("id" INT64)': "'id' in quotes is a string",
    'ALTER TABLE t ADD COLUMN "id" INT64': "'id' in quotes is a string",
    "SELECT ARRAY_LENGTH(1)": "ARRAY_LENGTH does not take (INT64)",
    "SELECT DATE_DIFF(1, 2, DAY)": "INT64 is not possible where DATE is needed",
    "SELECT * FROM": "the name of a table is expected",
    "SELECT 1 FORM t": "Did you mean FROM instead of FORM?",
    "SELEC 1": "Did you mean SELECT instead of SELEC?",
    "SELCT": "'SELCT' does not begin a statement. Did you mean 'SELECT'?",
    "SELECT 1 +": "something is missing",
    "SELECT SUM()": "something is missing",
    "SELECT (1": ") is expected",
    "SELECT 'abc": "is not closed",
    "SELECT CAST(1 AS NUMBR)": "CAST needs a type that exists",
}


@pytest.mark.parametrize("statement", list(WRONG))
def test_a_mistake_is_named_in_the_words_of_googlesql(sql: GoogleSql, statement: str) -> None:
    with pytest.raises(ConvergenceError) as caught:
        sql.query(statement)
    assert WRONG[statement] in str(caught.value)
    assert LEAKS.search(str(caught.value)) is None, str(caught.value)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("Expected END after CASE", "END after CASE is expected"),
        ("Maximum number of AST nodes (1) exceeded", "this is not GoogleSQL"),
        ("Cannot convert <class 'sqlglot.X'>", "this is not GoogleSQL"),
        ("Cannot specify both ALL and DISTINCT after SELECT", "Cannot specify both ALL and DISTINCT after SELECT"),
    ],
)
def test_what_the_parser_says_of_itself_does_not_come_out(said: str, means: str) -> None:
    assert described(said) == means


def test_texts_are_right_where_they_are_values(sql: GoogleSql) -> None:
    assert sql.rows(f'SELECT COUNT(*) OVER (PARTITION BY "a" ORDER BY "b") FROM {ROW}') == [(1,)]
    assert sql.rows("SELECT STRUCT('a' AS x, 'b').x") == [("a",)]
    assert sql.rows("SELECT which FROM (SELECT 1 AS n) UNPIVOT (v FOR which IN (n AS 'first'))") == [("first",)]
