"""A statement that is too large is refused before it costs time, and the error names the limit."""

from __future__ import annotations

import time

import pytest

from convergence.adapters.googlesql.bounds import BYTES_MAX
from convergence.adapters.googlesql.parse import parse_statement
from convergence.adapters.googlesql.scripts.parser import parse_script
from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.context import StatementContext
from convergence.adapters.local.duckdb_sql.translate import parse, translate
from convergence.errors import ConfigError, StepFailed
from convergence.ports.warehouse import Scope

CONTEXT = StatementContext(scope=Scope(dataset="d", writable=True), project="p")
CATALOG = {("d", "t"): (("a", SqlType("INT64")),)}
CHAIN = "".join(f", c{n} AS (SELECT a FROM c{n - 1})" for n in range(1, 400))
REFUSED_S, TRANSLATED_S = 6.0, 24.0  # of processor time; a loaded machine takes half of it

TOO_LARGE = {
    "bytes": "SELECT '" + "x" * BYTES_MAX + "'",
    "bytes of text that is not ASCII": "SELECT '" + "ü" * (BYTES_MAX // 2) + "'",
    "words and signs": "SELECT [" + "1," * 100_000 + "1]",
    "SELECTs": "SELECT 1 FROM d.t WHERE " + " AND ".join(["EXISTS (SELECT 1)"] * 4_000),
    "set operations": "SELECT 1" + " UNION ALL (FROM d.t)" * 3_000,
    "set operations of SELECTs": "SELECT 1" + " EXCEPT DISTINCT SELECT 1" * 400,
    "brackets": "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "CASEs": "SELECT " + "CASE WHEN TRUE THEN " * 5_000 + "1" + " END" * 5_000,
    "joins": "SELECT 1 FROM d.t" + ", d.t" * 5_000,
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_too_large_is_refused_at_once(what: str) -> None:
    begun = time.thread_time()
    with pytest.raises(StepFailed, match=rf"has [\d,]+ .*{what.split(maxsplit=1)[0]}.*; the limit is [\d,]+"):
        parse_statement(TOO_LARGE[what])
    assert time.thread_time() - begun < REFUSED_S


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM d.t" + " UNION ALL SELECT a FROM d.t" * 250,
        "SELECT 1 FROM d.t" + ", d.t" * 1_000,
        "SELECT a" + ", a" * 4_999 + " FROM d.t",
        "WITH c0 AS (SELECT 1 AS a)" + CHAIN + " SELECT a FROM c399",
        "SELECT a FROM d.t WHERE " + " AND ".join(["EXISTS (SELECT 1 FROM d.t AS x WHERE x.a = t.a)"] * 499),
    ],
)
def test_what_is_allowed_takes_seconds_at_most(sql: str) -> None:
    begun = time.thread_time()
    translate(parse(sql, CONTEXT), CONTEXT, CATALOG)
    assert time.thread_time() - begun < TRANSLATED_S


def test_columns_left_out_are_not_set_operations() -> None:
    parse_statement("SELECT [" + ", ".join(["ARRAY(SELECT AS STRUCT * EXCEPT (a) FROM d.t)"] * 300) + "]")


def test_a_script_has_the_same_length_limit() -> None:
    with pytest.raises(ConfigError, match="bytes; the limit is 1,048,576"):
        parse_script("SELECT 1;\n" * 120_000)
