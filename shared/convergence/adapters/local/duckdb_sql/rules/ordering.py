"""Order: NaN comes before all numbers, and only what GoogleSQL orders is ordered. For DuckDB NaN is the greatest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, function, kind_of
from convergence.adapters.local.duckdb_sql.rules.comparisons import may_be_nan
from convergence.errors import StepFailed

_UNORDERED: Final = frozenset({"ARRAY", "STRUCT", "JSON"})


def _order(node: exp.Expr) -> exp.Expr:
    """The order in windows and aggregates; that of a query follows when its columns are translated."""
    holder = node.parent
    if isinstance(holder, exp.Select | exp.SetOperation | exp.Subquery) or isinstance(node.this, exp.Distinct):
        return node
    if isinstance(holder, exp.Window) and _is_by_distance(holder.args.get("spec")):
        return node
    _put_nan_first(node, lambda value: value)
    return node


def order_query(select: exp.Expr) -> None:
    """Let NaN be first in the order of a query, which may name a column by its alias or its place."""
    order = select.args.get("order")
    if order is None:
        return
    columns: list[exp.Expr] = list(select.expressions)
    aliases: dict[str, exp.Expr] = {each.alias.lower(): each.this for each in columns if isinstance(each, exp.Alias)}

    def meant(value: exp.Expr) -> exp.Expr:
        if isinstance(value, exp.Literal) and value.is_int and 0 < int(value.name) <= len(columns):
            return columns[int(value.name) - 1].unalias()
        if isinstance(value, exp.Column) and not value.table:
            return aliases.get(value.name.lower(), value)
        return value

    _put_nan_first(order, meant)


def order_set(node: exp.Expr, branches: list[list[exp.Expr]]) -> None:
    """Let NaN be first in the order of a UNION, INTERSECT or EXCEPT, whose columns have the names of the first query.

    `branches` are the columns of each query. What type a column has is known only when it runs if a query has a star.
    """
    order = node.args.get("order")
    if order is None:
        return
    has_star = any(column.is_star for columns in branches for column in columns)
    names = [column.alias_or_name.lower() for column in branches[0]]

    def test(value: exp.Expr) -> exp.Expr | None:
        if isinstance(value, exp.Literal) and value.is_int:
            place = int(value.name) - 1
            if has_star or not 0 <= place < len(names) or not names[place]:
                return None
            value = exp.column(exp.to_identifier(branches[0][place].alias_or_name, quoted=True))
        elif has_star:
            return call("is_nan", value.copy()) if isinstance(value, exp.Column) else None
        place = names.index(value.name.lower()) if value.name.lower() in names else -1
        may_be = place >= 0 and any(
            may_be_nan(columns[place].unalias()) or not kind_of(columns[place].unalias())
            for columns in branches
            if place < len(columns)
        )
        return call("is_nan", value.copy()) if may_be else None

    _put_first(order, test)


def _put_nan_first(order: exp.Expr, meant: Callable[[exp.Expr], exp.Expr]) -> None:
    def test(key: exp.Expr) -> exp.Expr | None:
        value = meant(key)
        if kind_of(value) in _UNORDERED:
            raise StepFailed(f"ORDER BY {kind_of(value)} is not possible.")
        return function("isnan", value.copy()) if may_be_nan(value) else None

    _put_first(order, test)


def _put_first(order: exp.Expr, test: Callable[[exp.Expr], exp.Expr | None]) -> None:
    """Put a key before each key that has a test, by which the values that pass it come first."""
    keys: list[exp.Expr] = []
    for key in order.expressions:
        passed = test(key.this if isinstance(key, exp.Ordered) else key)
        if passed is not None:
            fresh = key.copy()
            fresh.set("this", exp.Not(this=passed))
            keys.append(fresh)
        keys.append(key)
    order.set("expressions", keys)


def _is_by_distance(spec: exp.Expr | None) -> bool:
    """Whether a window's frame is RANGE BETWEEN 5 PRECEDING …, which takes one key."""
    if spec is None or str(spec.args.get("kind")).upper() != "RANGE":
        return False
    return any(isinstance(spec.args.get(side), exp.Expr) for side in ("start", "end"))


RULES: Final[Mapping[type[exp.Expr], Rule]] = {exp.Order: _order}
