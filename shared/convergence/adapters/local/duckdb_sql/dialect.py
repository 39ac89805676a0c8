"""How DuckDB is written here: sqlglot's generator with GoogleSQL's meaning of types and literals."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator

from convergence.adapters.local.duckdb_sql.types import BIGNUMERIC, NUMERIC
from convergence.errors import StepFailed

_PLAIN: Final = re.compile(r"\w+(?:[. ]\w+)*")  # what is written without quotes: date parts, words, function names
_TYPES = {
    exp.DataType.Type.DECIMAL: NUMERIC,
    exp.DataType.Type.BIGDECIMAL: BIGNUMERIC,
    exp.DataType.Type.INT: "BIGINT",
    exp.DataType.Type.SMALLINT: "BIGINT",
    exp.DataType.Type.TINYINT: "BIGINT",
    exp.DataType.Type.FLOAT: "DOUBLE",
    exp.DataType.Type.TEXT: "VARCHAR",
    exp.DataType.Type.VARCHAR: "VARCHAR",
    exp.DataType.Type.BINARY: "BLOB",
}


class _Generator(DuckDBGenerator):
    """DuckDB text with our type names. Bounds such as NUMERIC(10, 2) are left out: `column_bounds` checks them."""

    def datatype_sql(self, expression: exp.DataType) -> str:
        """Write a type."""
        kind = expression.this
        return _TYPES[kind] if kind in _TYPES else super().datatype_sql(expression)

    def var_sql(self, expression: exp.Var, *arguments: object, **options: object) -> str:
        """Write a word. Raises `StepFailed` for what would need quotes: a statement could hide in it."""
        return _plain(super().var_sql(expression, *arguments, **options))

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        """Write a call. Raises `StepFailed` for a function name that would need quotes."""
        _plain(expression.name)
        return super().anonymous_sql(expression)


@cache
def _target() -> DuckDB:
    return DuckDB()


def _plain(word: str) -> str:
    if not _PLAIN.fullmatch(word):
        raise StepFailed(f"{word!r} is not allowed here: use letters, digits and underscores only.")
    return word


def to_duckdb(tree: exp.Expr) -> tuple[str, ...]:
    """Write a tree as DuckDB's SQL: one statement, for an ALTER one for each of its actions."""
    if isinstance(tree, exp.Merge):
        return (f"{_write(tree)} RETURNING merge_action",)  # how many of the rows were deleted
    if not isinstance(tree, exp.Alter):
        return (_write(tree),)
    alone = []
    for action in tree.args["actions"]:
        copy = tree.copy()
        copy.set("actions", [action.copy()])
        alone.append(_write(copy))
    return tuple(alone) or ("SELECT 0 WHERE FALSE",)


def _write(tree: exp.Expr) -> str:
    text: str = _Generator(dialect=_target(), unsupported_level=ErrorLevel.IGNORE, comments=False).generate(tree)
    return text
