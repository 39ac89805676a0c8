"""Text in, tree out; a mistake is named with its line, column and token."""

from __future__ import annotations

import logging
from functools import cache

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError

from convergence.errors import StepFailed


@cache
def source() -> BigQuery:
    """Return the dialect that users write."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it warns of is refused by name here
    return BigQuery()


def parse_statement(sql: str) -> exp.Expr:
    """Parse exactly one statement. Raises `StepFailed` with line, column and the token."""
    try:
        trees = [tree for tree in source().parse(sql) if tree is not None]
    except SqlglotError as error:
        raise StepFailed(_where(error)) from error
    if len(trees) != 1:
        raise StepFailed(f"One statement is expected, {len(trees)} were given.")
    return trees[0]


def _where(error: SqlglotError) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return f"syntax error: {error}"
    first = details[0]
    return (
        f"line {first['line']}, column {first['col']}: syntax error at {first['highlight']!r}: {first['description']}"
    )
