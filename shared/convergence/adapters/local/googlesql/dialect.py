"""How DuckDB is written here: sqlglot's generator with GoogleSQL's meaning of types and literals."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator

from convergence.adapters.local.googlesql.types import BIGNUMERIC, NUMERIC

_TYPES = {
    exp.DataType.Type.DECIMAL: NUMERIC,
    exp.DataType.Type.BIGDECIMAL: BIGNUMERIC,
    exp.DataType.Type.INT: "BIGINT",
    exp.DataType.Type.SMALLINT: "BIGINT",
    exp.DataType.Type.TINYINT: "BIGINT",
    exp.DataType.Type.FLOAT: "DOUBLE",
    exp.DataType.Type.TEXT: "VARCHAR",
    exp.DataType.Type.VARCHAR: "VARCHAR",
}


class _Generator(DuckDBGenerator):
    """DuckDB text with our type names: bounds such as NUMERIC(10, 2) are checked by BigQuery, not here."""

    def datatype_sql(self, expression: exp.DataType) -> str:
        """Write a type."""
        kind = expression.this
        return _TYPES[kind] if kind in _TYPES else super().datatype_sql(expression)


@cache
def _target() -> DuckDB:
    return DuckDB()


@cache
def source() -> BigQuery:
    """Return the dialect that users write."""
    return BigQuery()


def to_duckdb(tree: exp.Expr, **options: Any) -> str:
    """Write a tree as DuckDB's SQL."""
    return _Generator(dialect=_target(), identify=False, **options).generate(tree)
