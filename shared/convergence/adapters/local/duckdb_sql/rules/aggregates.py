"""SUM, AVG and COUNTIF: their types, and an error for what is too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, function, kind_of, typed


def _total(node: exp.Expr) -> exp.Expr:
    """SUM of INT64 is INT64: DuckDB's is wider, and overflow is an error."""
    argument = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    kind = kind_of(argument)
    if kind in {"INTERVAL", "NUMERIC", "BIGNUMERIC"}:
        return typed(node, kind)
    whole = with_window(node)
    if kind == "FLOAT64":
        return instead(node, whole, _bounded(whole, node, argument))
    wrapped = cast(whole.copy(), "INT64") if kind == "INT64" else call("integral", whole.copy())
    return instead(node, whole, wrapped)


def _average(node: exp.Expr) -> exp.Expr:
    """AVG of a decimal is a decimal: the sum divided by the count."""
    argument = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    decimal = kind_of(argument)
    whole = with_window(node)
    if decimal not in {"NUMERIC", "BIGNUMERIC"}:
        return instead(node, whole, _bounded(whole, node, argument)) if decimal else node
    total, count = (swapped(whole, node, kind) for kind in (exp.Sum, exp.Count))
    zero = exp.Nullif(this=count, expression=exp.Literal.number(0))
    return instead(node, whole, call(f"{decimal.lower()}_divide", total, zero, kind=decimal))


def _bounded(whole: exp.Expr, node: exp.Expr, argument: exp.Expr) -> exp.Expr:
    """An infinite sum of finite values is an error; infinite values and NaN have the sum that IEEE 754 gives them."""
    if kind_of(argument) == "INT64":
        return typed(whole.copy(), "FLOAT64")
    finite = swapped(whole, node, exp.LogicalAnd, function("isfinite", argument.copy()))
    return call("bounded", whole.copy(), finite, kind="FLOAT64")


def swapped(whole: exp.Expr, node: exp.Expr, kind: type[exp.Expr], argument: exp.Expr | None = None) -> exp.Expr:
    """Return the aggregate with another function, over the same rows."""
    fresh = kind(this=(node.this if argument is None else argument).copy())
    if whole is node:
        return fresh
    copy = whole.copy()
    inner = copy
    while type(inner.this) is not type(node):
        inner = inner.this
    inner.set("this", fresh)
    return copy


def with_window(node: exp.Expr) -> exp.Expr:
    """Return the aggregate with its FILTER and OVER."""
    while isinstance(node.parent, exp.Window | exp.Filter | exp.IgnoreNulls) and node.arg_key == "this":
        node = node.parent
    return node


def instead(node: exp.Expr, whole: exp.Expr, wrapped: exp.Expr) -> exp.Expr:
    """Put `wrapped` where the aggregate or, if it has one, its window is."""
    if whole is node:
        return wrapped
    whole.replace(wrapped)
    return node


def _whole_number(node: exp.Expr) -> exp.Expr:
    """Aggregates that count come wider than INT64, and without rows the count is 0."""
    whole = with_window(node)
    count = exp.Coalesce(this=whole.copy(), expressions=[exp.Literal.number(0)])
    return instead(node, whole, cast(count, "INT64"))


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Sum: _total,
    exp.Avg: _average,
    exp.CountIf: _whole_number,
}
