"""Structs that meet, in UNION, IF, CASE, COALESCE and arrays, fit by position and have the names of the first.

DuckDB fits them by name instead and gives the union of their fields; a struct without names fits by position there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.infer import COLUMNS
from convergence.adapters.local.duckdb_sql.rules.base import Rule, cast, kind_of, typed
from convergence.adapters.local.duckdb_sql.rules.comparisons import may_be_nan
from convergence.adapters.local.duckdb_sql.rules.fields import names_of, struct_kind, without_names
from convergence.adapters.local.duckdb_sql.rules.grouping import refuse_ungrouped, refuse_ungrouped_star
from convergence.adapters.local.duckdb_sql.rules.kinds import meet, refuse_mixture
from convergence.adapters.local.duckdb_sql.rules.literals import float_literals
from convergence.adapters.local.duckdb_sql.rules.ordering import order_set
from convergence.errors import StepFailed


def _fit(values: Sequence[exp.Expr]) -> None:
    """Let all values have the shape of the first struct among them."""
    named = [(value, names) for value in values if (names := names_of(value)) is not None]
    if len(named) < 2:
        return
    first = named[0][1]
    for value, names in named:
        if len(names) != len(first):
            raise StepFailed(f"A struct of {len(names)} fields cannot be combined with one of {len(first)}.")
        same = [name.lower() for name in names] == [name.lower() for name in first]
        if not same and any(names):
            value.replace(without_names(value, len(names)))


def _if(node: exp.Expr) -> exp.Expr:
    if isinstance(node.parent, exp.Case):
        return node
    if kind_of(node.this) not in {"", "BOOL"} and not isinstance(node.this, exp.Null):
        raise StepFailed(f"The condition of IF must be a BOOL, not {kind_of(node.this)}.")
    if node.args.get("false") is not None:
        meet([node.args["true"], node.args["false"]], "IF")
        _fit([node.args["true"], node.args["false"]])
    return node


def _case(node: exp.Expr) -> exp.Expr:
    default = node.args.get("default")
    values = [each.args["true"] for each in node.args["ifs"]] + ([default] if default is not None else [])
    meet(values, "CASE")
    if node.this is not None:
        _check_subject(node)
    _fit(values)
    return node


def _check_subject(node: exp.Expr) -> None:
    """CASE x WHEN …: NaN is equal to nothing, as NULL is."""
    compared = [node.this, *(each.this for each in node.args["ifs"])]
    meet(compared, "A comparison")
    if any(struct_kind(each) for each in compared):
        raise StepFailed("CASE of a STRUCT cannot run here; write CASE WHEN a = b THEN ….")
    if may_be_nan(node.this):
        not_a_number = cast(exp.Literal.string("nan"), "FLOAT64")
        node.set("this", typed(exp.Nullif(this=node.this.copy(), expression=not_a_number), "FLOAT64"))


def _coalesce(node: exp.Expr) -> exp.Expr:
    meet([node.this, *node.expressions], "COALESCE")
    _fit([node.this, *node.expressions])
    return node


def fit_elements(node: exp.Expr) -> exp.Expr:
    """Let the structs of an array literal have the shape of the first."""
    meet(node.expressions, "An array")
    _fit(node.expressions)
    return node


def _union(node: exp.Expr) -> exp.Expr:
    outer = node.parent
    while isinstance(outer, exp.Subquery):
        outer = outer.parent
    if isinstance(outer, exp.SetOperation):
        return node  # all queries of a UNION are looked at once
    if node.args.get("by_name"):
        _refuse_other_names(branches_of(node))
    branches = [_projections(branch) for branch in branches_of(node)]
    for values in zip(*branches, strict=False):
        if not any(value.is_star for value in values):
            refuse_mixture(values, f"{type(node).__name__.upper()} of columns")
        if node.args.get("distinct"):
            refuse_ungrouped(values, f"{type(node).__name__.upper()} DISTINCT of")
        _fit(values)
        float_literals(values)
    if node.args.get("distinct"):
        for branch in branches_of(node):
            refuse_ungrouped_star(branch, f"{type(node).__name__.upper()} DISTINCT of")
    order_set(node, [branch.selects for branch in branches_of(node)])
    return node


def _refuse_other_names(branches: list[exp.Select]) -> None:
    """DuckDB would fill what the other query does not have with NULL."""
    named = [{name.lower() for name, _ in branch.meta.get(COLUMNS, ())} for branch in branches]
    missing = set.union(*named) - set.intersection(*named) if all(named) else set()
    if missing:
        raise StepFailed(f"UNION BY NAME: not all queries have a column {', '.join(sorted(missing))}.")


def branches_of(node: exp.Expr) -> list[exp.Select]:
    """Return the queries that a UNION, INTERSECT or EXCEPT joins."""
    if isinstance(node, exp.SetOperation):
        return [*branches_of(node.this), *branches_of(node.expression)]
    if isinstance(node, exp.Subquery):
        return branches_of(node.this)
    return [node] if isinstance(node, exp.Select) else []


def _projections(select: exp.Select) -> list[exp.Expr]:
    return [each.this if isinstance(each, exp.Alias) else each for each in select.expressions]


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.If: _if,
    exp.Case: _case,
    exp.Coalesce: _coalesce,
    exp.Union: _union,
    exp.Except: _union,
    exp.Intersect: _union,
}
