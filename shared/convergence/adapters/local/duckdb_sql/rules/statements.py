"""Statements: what DuckDB spells differently, and what BigQuery refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.pivots import order_unpivot
from convergence.adapters.local.duckdb_sql.rules.base import Rule, function, kind_of
from convergence.adapters.local.duckdb_sql.rules.numbers import ANONYMOUS
from convergence.adapters.local.duckdb_sql.rules.ordering import order_query
from convergence.errors import StepFailed


def _anonymous(node: exp.Expr) -> exp.Expr:
    rule = ANONYMOUS.get(str(node.this).upper())
    return node if rule is None else rule(node)


def _update(node: exp.Expr) -> exp.Expr:
    for change in node.expressions:
        target = change.this
        if isinstance(target, exp.Column) and target.table:  # SET t.a = …: DuckDB takes the bare name only
            change.set("this", exp.column(target.this.copy()))
        value = change.expression
        if isinstance(value, exp.Column) and value.name.upper() == "DEFAULT" and not value.this.quoted:
            change.set("expression", exp.Var(this="DEFAULT"))
    if node.args.get("where") is None and not isinstance(node.parent, exp.When):
        raise StepFailed("UPDATE needs a WHERE clause; write WHERE TRUE to change every row.")
    return node


def _delete(node: exp.Expr) -> exp.Expr:
    if node.args.get("where") is None:
        raise StepFailed("DELETE needs a WHERE clause; write WHERE TRUE to delete every row.")
    return node


def _select(node: exp.Expr) -> exp.Expr:
    """SELECT AS VALUE of a struct gives its fields as columns in FROM and at the top of a statement."""
    order_query(node)
    if str(node.args.get("kind") or "").upper() != "VALUE":
        return node
    node.set("kind", None)
    [value] = node.expressions if len(node.expressions) == 1 else [None]
    if value is None:
        raise StepFailed("SELECT AS VALUE gives one column.")
    parent = node.parent
    is_source = parent is None or (isinstance(parent, exp.Subquery) and isinstance(parent.parent, exp.From | exp.Join))
    plain = value.this if isinstance(value, exp.Alias) else value
    if is_source and kind_of(plain) == "STRUCT":
        node.set("expressions", [function("unnest", plain)])
    return node


def _join(node: exp.Expr) -> exp.Expr:
    """LEFT JOIN UNNEST(…) needs no condition; without one it would become a cross join."""
    if node.args.get("side") and node.args.get("on") is None and not node.args.get("using"):
        node.set("on", exp.true())
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Anonymous: _anonymous,
    exp.Update: _update,
    exp.Delete: _delete,
    exp.Select: _select,
    exp.Join: _join,
    exp.Pivot: order_unpivot,
}
