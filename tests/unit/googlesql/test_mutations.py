"""Statements that are broken at random are translated or refused; no mistake of ours or of the parser comes out."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from sqlglot import exp
from sqlglot.errors import SqlglotError
from tests.unit.googlesql.documented import rows_of_the_page

from convergence.adapters.googlesql.parse import parse_statement
from convergence.adapters.googlesql.procedures.parser import parse_procedure
from convergence.adapters.googlesql.types import parse_type
from convergence.adapters.local.duckdb_sql.check import check_procedure, check_statement
from convergence.adapters.local.duckdb_sql.context import StatementContext
from convergence.adapters.local.duckdb_sql.translate import parse, row_query, translate
from convergence.errors import ConvergenceError, StepFailed
from convergence.ports.warehouse import Scope

DIFFERENTIAL: Final = Path(__file__).parents[2] / "differential"
TOKEN: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|\w+|\s+|[^\w\s]")
MERGE: Final = (
    "MERGE t USING (SELECT 1 AS i) AS u ON t.i = u.i WHEN MATCHED AND u.i > 1 THEN UPDATE SET n = u.i, t.s.a = 1"
    " WHEN NOT MATCHED THEN INSERT (i, n) VALUES (u.i, 1) WHEN NOT MATCHED BY SOURCE THEN DELETE"
)
ALTER: Final = (
    "ALTER TABLE t ADD COLUMN IF NOT EXISTS x STRING, DROP COLUMN y, RENAME COLUMN a TO b,"
    " ALTER COLUMN n SET DATA TYPE BIGNUMERIC"
)
OTHERS: Final = [
    MERGE,
    ALTER,
    "UPDATE t AS x SET s.a = 1, x.n = DEFAULT FROM (SELECT 1 AS k) AS u WHERE x.i = u.k",
    "DELETE FROM t AS x WHERE x.i IN (SELECT 1)",
    "INSERT INTO t (i, n) SELECT 1, 2 UNION ALL SELECT 3, 4",
    "INSERT t VALUES (1, 2, 0.5, (1, 'x'), [1])",
    "CREATE OR REPLACE TABLE z (a INT64 NOT NULL DEFAULT 1, b ARRAY<STRING>) CLUSTER BY a OPTIONS (description = 'x')",
    "CREATE TEMP TABLE z AS SELECT DATE_TRUNC(d, MONTH) AS d, list FROM t GROUP BY ROLLUP(d), 2 HAVING d IS NULL",
    "CREATE VIEW v AS SELECT i FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY n ORDER BY i) = 1",
    "CREATE TABLE z CLONE t",
    "DROP TABLE IF EXISTS t",
    "TRUNCATE TABLE t",
    "SELECT * FROM t PIVOT(SUM(n) AS s, COUNT(*) AS c FOR i IN (1 AS a, 2)) AS p",
    "SELECT * FROM t UNPIVOT INCLUDE NULLS (v FOR name IN (i AS 'first', n))",
    "SELECT @p, @@row_count, v, x FROM `p.d.t*`, t.list AS x WHERE _TABLE_SUFFIX = 'x'",
    "SELECT ARRAY((SELECT AS STRUCT 1 AS a) UNION ALL (SELECT AS STRUCT 2)), SAFE.SUBSTR('a', -1), JSON_OBJECT('a', s)",
]
COLUMNS: Final = {"i": "INT64", "n": "NUMERIC", "d": "DATE", "s": "STRUCT<a INT64, b STRING>", "list": "ARRAY<INT64>"}
CATALOG: Final = {("d", "t"): tuple((name, parse_type(kind)) for name, kind in COLUMNS.items())}
CONTEXT: Final = StatementContext(
    scope=Scope(dataset="d", writable=True),
    project="p",
    parameters=(("p", parse_type("INT64")),),
    variables=(("v", parse_type("STRING")),),
    in_script=True,
)


def written() -> list[str]:
    page = [sql for sql, _ in rows_of_the_page()]
    lines = (DIFFERENTIAL / "statements.sql").read_text(encoding="utf-8").splitlines()[1:]
    starts = ("SELECT", "WITH", "DELETE")
    return [text if text.startswith(starts) else f"SELECT {text}" for text in [*page, *lines]] + OTHERS


STATEMENTS: Final = written()
SCRIPTS: Final = (DIFFERENTIAL / "scripts.sql").read_text(encoding="utf-8").partition("\n")[2].split("\n----\n")


def trees_of(statements: list[str]) -> list[exp.Expr]:
    found = []
    for statement in statements:
        try:
            found.append(parse_statement(statement))
        except StepFailed:
            continue  # rows that show what is refused
    return found


@pytest.fixture(scope="module")
def trees() -> list[exp.Expr]:
    return trees_of(STATEMENTS)


def with_other_tokens(chance: random.Random, text: str, others: list[str]) -> str:
    tokens = TOKEN.findall(text)
    for _ in range(chance.randint(1, 3)):
        place, other = chance.randrange(len(tokens) + 1), TOKEN.findall(chance.choice(others))
        begin = chance.randrange(len(other))
        replaced = tokens[place : place + chance.randint(0, 2)]
        piece = other[begin : begin + chance.choice((0, 1, 1, 8))]
        tokens[place : place + len(replaced)] = [" ", *piece, " "]
    return "".join(tokens)


def with_other_nodes(chance: random.Random, trees: list[exp.Expr]) -> str:
    """A tree with nodes of another in it: it parses more often than text that is cut, so rules see it."""
    tree, other = chance.choice(trees).copy(), chance.choice(trees)
    inner = [node for node in tree.walk() if node.parent is not None]
    place, piece = chance.choice(inner), chance.choice(list(other.walk())).copy()
    try:
        if chance.random() < 0.3 and place.args:
            place.set(chance.choice(list(place.args)), None if chance.random() < 0.5 else piece)
        elif chance.random() < 0.2:
            place.pop()
        else:
            place.replace(piece)
        return tree.sql("bigquery")
    except (AttributeError, LookupError, TypeError, ValueError, SqlglotError):
        return "SELECT 1"  # what sqlglot cannot build or write is not a statement


def translated(sql: str) -> bool:
    """Translate without the guard, so that a rule's own mistake is seen; False when it is refused."""
    unguarded: Any = (parse, translate, check_statement)
    parse_, translate_, check_ = (each.__wrapped__ for each in unguarded)
    answers = []
    for work in (
        lambda: translate_(parse_(sql, CONTEXT), CONTEXT, CATALOG),
        lambda: check_(sql),
        lambda: row_query(f"({sql})"),
    ):
        try:
            work()
        except ConvergenceError:
            answers.append(False)
        else:
            answers.append(True)
    return answers[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_statement_with_other_tokens_is_translated_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    texts = [with_other_tokens(chance, chance.choice(STATEMENTS), STATEMENTS) for _ in range(100)]
    assert 0 < sum(translated(text) for text in texts) < len(texts)


@pytest.mark.parametrize("seed", range(6))
def test_a_statement_with_other_nodes_is_translated_or_refused(seed: int, trees: list[exp.Expr]) -> None:
    chance = random.Random(seed)
    texts = [with_other_nodes(chance, trees) for _ in range(60)]
    assert 0 < sum(translated(text) for text in texts) < len(texts)


@pytest.mark.parametrize("seed", range(2))
def test_a_script_with_other_tokens_is_checked_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        body = with_other_tokens(chance, chance.choice(SCRIPTS), [*SCRIPTS, *STATEMENTS])
        try:
            check_procedure(parse_procedure(f"CREATE PROCEDURE `p.d`.sp_x()\nBEGIN\n{body}\nEND;", "sp_x.sql"))
        except ConvergenceError:
            continue


DEPTH: Final = 1_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * DEPTH + "1" + ")" * DEPTH,
        "SELECT " + "[" * DEPTH,
        "SELECT 1" + " + 1" * DEPTH,
        "SELECT " + "NOT " * DEPTH + "TRUE",
        "SELECT 1 " + "UNION ALL SELECT 1 " * DEPTH,
        "SELECT " + "ABS(" * DEPTH + "1" + ")" * DEPTH,
    ],
    ids=["brackets", "arrays", "sums", "nots", "unions", "calls"],
)
def test_a_statement_nested_deeply_is_translated_or_refused(sql: str) -> None:
    with suppress(StepFailed):
        translate(parse(sql, CONTEXT), CONTEXT, CATALOG)


def test_a_statement_nested_too_deeply_is_refused() -> None:
    with pytest.raises(StepFailed, match=r"nested brackets|nested too deeply"):
        translate(parse("SELECT " + "(" * DEPTH + "1" + ")" * DEPTH, CONTEXT), CONTEXT, CATALOG)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT TO_JSON()", "TO_JSON takes 1 argument here, found 0"),
        ("SELECT IEEE_DIVIDE(0)", "IEEE_DIVIDE takes 2 arguments, found 1"),
        ("SELECT [1][0, 1]", "A subscript must be a single position"),
        ("SELECT * FROM UNNEST([1], [2])", "UNNEST takes one array"),
        ("UPDATE t SET 'a', i = 1 WHERE TRUE", "SET takes column = value"),
        ("SELECT REGEXP_EXTRACT('a')", "syntax error"),
    ],
)
def test_what_lacks_a_part_is_refused_by_name(sql: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        translate(parse(sql, CONTEXT), CONTEXT, CATALOG)
