"""How DuckDB is written here: sqlglot's generator with GoogleSQL's meaning of types and literals."""

from __future__ import annotations

from functools import cache

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator

from convergence.adapters.googlesql.types import BIGNUMERIC, NUMERIC

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


def to_duckdb(tree: exp.Expr) -> str:
    """Write a tree as DuckDB's SQL; an ALTER with several actions is several statements there."""
    if isinstance(tree, exp.Merge):
        return f"{_write(tree)} RETURNING merge_action"  # how many of the rows were deleted
    if not isinstance(tree, exp.Alter):
        return _write(tree)
    alone = []
    for action in tree.args["actions"]:
        copy = tree.copy()
        copy.set("actions", [action.copy()])
        alone.append(_write(copy))
    return "; ".join(alone) or "SELECT 0 WHERE FALSE"


def _write(tree: exp.Expr) -> str:
    text: str = _Generator(dialect=_target(), unsupported_level=ErrorLevel.IGNORE).generate(tree)
    return text
