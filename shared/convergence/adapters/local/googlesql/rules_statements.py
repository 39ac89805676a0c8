"""Statements: what DuckDB writes otherwise, and what BigQuery refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.googlesql.rules import Rule
from convergence.adapters.local.googlesql.rules_numbers import ANONYMOUS
from convergence.errors import StepFailed


def _anonymous(node: exp.Expr) -> exp.Expr:
    rule = ANONYMOUS.get(str(node.this).upper())
    return node if rule is None else rule(node)


def _update(node: exp.Expr) -> exp.Expr:
    for change in node.expressions:
        target = change.this
        if isinstance(target, exp.Column) and target.table:  # SET t.a = …: DuckDB wants the bare name
            change.set("this", exp.column(target.this.copy()))
    if node.args.get("where") is None and not isinstance(node.parent, exp.When):
        raise StepFailed("UPDATE needs a WHERE clause; write WHERE TRUE to change every row.")
    return node


def _delete(node: exp.Expr) -> exp.Expr:
    if node.args.get("where") is None:
        raise StepFailed("DELETE needs a WHERE clause; write WHERE TRUE to delete every row.")
    return node


def _select(node: exp.Expr) -> exp.Expr:
    """SELECT AS STRUCT and AS VALUE at the top of a statement give the fields themselves."""
    if node.args.get("kind") and not isinstance(node.parent, exp.Array | exp.Subquery | exp.Exists):
        node.set("kind", None)
    return node


def _join(node: exp.Expr) -> exp.Expr:
    """LEFT JOIN UNNEST(…) needs no condition; without one it would become a cross join."""
    if node.args.get("side") and node.args.get("on") is None and not node.args.get("using"):
        node.set("on", exp.true())
    return node


def _pivot(node: exp.Expr) -> exp.Expr:
    """UNPIVOT puts the name after the value, PIVOT puts the aggregate's alias before the value's."""
    if node.args.get("unpivot"):
        _name_last(node)
        return node
    aliased = [each for each in node.expressions if isinstance(each, exp.Alias)]
    if not aliased:
        return node
    if len(node.expressions) > 1:
        raise StepFailed("PIVOT with several aggregates cannot run here; use one PIVOT for each.")
    [aggregate] = aliased
    aggregate.replace(aggregate.this.copy())
    for field in node.args["fields"]:
        for value in list(field.expressions):
            named = value.alias if isinstance(value, exp.PivotAlias | exp.Alias) else value.name
            plain = value.this if isinstance(value, exp.PivotAlias | exp.Alias) else value
            name = exp.to_identifier(f"{aggregate.alias}_{named}", quoted=True)
            value.replace(exp.PivotAlias(this=plain.copy(), alias=name))
    return node


def _name_last(node: exp.Expr) -> None:
    source = node.parent
    assert source is not None, "UNPIVOT stands behind a table"
    name = node.args["fields"][0].this.name
    inner = source.copy()
    alias = inner.args.get("alias")
    everything = exp.Star(except_=[exp.to_identifier(name, quoted=True)])
    wrapped = exp.Subquery(this=exp.select(everything, exp.column(name, quoted=True)).from_(inner))
    wrapped.set("alias", alias.copy() if alias is not None else exp.TableAlias(this=exp.to_identifier("_unpivoted")))
    source.replace(wrapped)


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Anonymous: _anonymous,
    exp.Update: _update,
    exp.Delete: _delete,
    exp.Select: _select,
    exp.Join: _join,
    exp.Pivot: _pivot,
}
