"""INSERT, UPDATE and MERGE: a value has a type that GoogleSQL stores in the column. DuckDB casts whatever it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.infer import COLUMNS
from convergence.adapters.local.duckdb_sql.rules.base import kind_named, kind_of
from convergence.adapters.local.duckdb_sql.rules.casts import as_decimal, as_kind
from convergence.adapters.local.duckdb_sql.rules.fields import fit_fields
from convergence.adapters.local.duckdb_sql.rules.structs import branches_of
from convergence.errors import StepFailed

if TYPE_CHECKING:
    from convergence.adapters.googlesql.types import Catalog, SqlType

_MOMENTS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
# GoogleSQL: "Coercion". A literal with a point is a NUMERIC where one is needed.
_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "NUMERIC": frozenset({"INT64"}),
    "BIGNUMERIC": frozenset({"INT64", "NUMERIC"}),
    "FLOAT64": frozenset({"INT64", "NUMERIC", "BIGNUMERIC"}),
    "DATE": _MOMENTS,
    "DATETIME": _MOMENTS,
    "TIMESTAMP": _MOMENTS,
}


def check_assignments(tree: exp.Expr, catalog: Catalog) -> None:
    """Raise `StepFailed` for a value that cannot go into its column; a text literal takes the column's type."""
    if not isinstance(tree, exp.Insert | exp.Update | exp.Merge):
        return
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    columns = catalog.get((target.db, target.name)) if isinstance(target, exp.Table) else None
    if columns is None:
        return
    kinds = {name.lower(): kind for name, kind in columns}
    for name, value in _assigned(tree, [name for name, _ in columns]):
        if (kind := kinds.get(name.lower())) is not None:
            _check(name, kind.name, value)
            _fit(name, kind, value)


def _assigned(tree: exp.Expr, columns: list[str]) -> Iterator[tuple[str, exp.Expr]]:
    if isinstance(tree, exp.Merge):
        for when in tree.args["whens"].expressions:
            yield from _assigned(when.args["then"], columns)
    elif isinstance(tree, exp.Update):
        for change in tree.expressions:
            if isinstance(change, exp.EQ) and isinstance(change.this, exp.Column):
                yield change.this.name, change.expression
    elif isinstance(tree, exp.Insert):
        listed = tree.this.expressions if isinstance(tree.this, exp.Schema | exp.Tuple) else []
        names = [each.name for each in listed] or columns
        for row in _rows(tree.args.get("expression")):
            if len(row) == len(names):
                yield from zip(names, row, strict=True)


def _rows(source: exp.Expr | None) -> Iterator[list[exp.Expr]]:
    if isinstance(source, exp.Values):
        yield from (list(row.expressions) for row in source.expressions)
    elif isinstance(source, exp.Tuple):
        yield list(source.expressions)
    elif isinstance(source, exp.Query):
        for select in branches_of(source):
            if any(each.is_star for each in select.selects):
                yield [_column(name, kind) for name, kind in select.meta.get(COLUMNS, [])]
            else:
                yield [each.unalias() for each in select.selects]


def _column(name: str, kind: exp.DataType | None) -> exp.Expr:
    """Return a column that a star stands for, without the type of a decimal, which would change its value."""
    column = exp.column(name)
    if kind is not None and kind_named(kind) in {"FLOAT64", "STRUCT", "ARRAY"}:
        column.type = kind
    return column


def _fit(name: str, kind: SqlType, value: exp.Expr) -> None:
    """Structs are stored by position; DuckDB stores the fields of the same name."""
    if kind.name not in {"STRUCT", "ARRAY"} or kind_of(value) != kind.name:
        return
    fitted = fit_fields(value.copy(), exp.DataType.build(str(kind), dialect="bigquery"))
    if fitted is not None and value.parent is None:
        raise StepFailed(f"The column {name!r} has structs with different field names: write the columns instead of *.")
    if fitted is not None:
        value.replace(fitted)


def _check(name: str, expected: str, value: exp.Expr) -> None:
    kind, plain = kind_of(value), value.unnest()
    if not kind or not expected or kind == expected or isinstance(plain, exp.Null | exp.Parameter | exp.Placeholder):
        return
    if isinstance(plain, exp.Literal) and plain.is_string and expected in _MOMENTS | {"TIME"}:
        value.replace(as_kind(plain.copy(), expected))
        return
    number = plain.this if isinstance(plain, exp.Neg) else plain
    if isinstance(number, exp.Literal) and not number.is_string and expected in {"NUMERIC", "BIGNUMERIC"}:
        plain.replace(as_decimal(plain.copy(), expected))
        return
    if kind not in _TAKES.get(expected, frozenset()):
        raise StepFailed(f"A value of type {kind} cannot go into the column {name!r} of type {expected}: CAST it.")
