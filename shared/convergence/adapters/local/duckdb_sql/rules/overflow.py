"""FLOAT64 overflow: an error in GoogleSQL, infinity in DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import call, function, kind_of, typed


def finite(node: exp.Expr) -> exp.Expr:
    """A FLOAT64 too large is an error, where DuckDB gives inf. Checked at the outermost operator and in divisors."""
    if "FLOAT64" not in {kind_of(node.this), kind_of(node.expression)}:
        return node
    inner, outer = node, node.parent
    while isinstance(outer, exp.Paren | exp.Neg):
        inner, outer = outer, outer.parent
    is_divisor = isinstance(outer, exp.Div | exp.SafeDivide) and inner.arg_key == "expression"
    if isinstance(outer, exp.Add | exp.Sub | exp.Mul | exp.Div) and kind_of(outer) == "FLOAT64" and not is_divisor:
        return typed(node, "FLOAT64")
    conditions = [function("isfinite", leaf.copy()) for leaf in _leaves(node)]
    return call("bounded", node.copy(), exp.and_(*conditions) if conditions else exp.true(), kind="FLOAT64")


def _leaves(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the operands of an arithmetic expression that may be infinite themselves."""
    if isinstance(node, exp.Paren | exp.Neg):
        yield from _leaves(node.this)
    elif isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div):
        yield from _leaves(node.this)
        yield from _leaves(node.expression)
    elif isinstance(node, exp.Anonymous) and node.name == "googlesql.nonzero":
        yield from _leaves(node.expressions[0])
    elif kind_of(node) == "FLOAT64" and not (isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal)):
        yield node
