"""PIVOT and UNPIVOT. DuckDB has both, with other names, other column orders and one aggregate only.

PIVOT becomes what Google's reference says it means: grouping by the columns it does not name, with one conditional
aggregate for each value. UNPIVOT stays DuckDB's; its columns are put in BigQuery's order.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from convergence.errors import StepFailed

# They look at NULL, so a condition inside of them would show; BigQuery refuses them in PIVOT as well.
_REFUSED: Final = (exp.ArrayAgg, exp.ArrayConcatAgg)


def expand_pivots(tree: exp.Expr) -> None:
    """Write every PIVOT of a statement as a grouping.

    Raises:
        StepFailed: an aggregate that has no meaning in PIVOT, or several without names.
    """
    for pivot in list(tree.find_all(exp.Pivot)):
        if len(pivot.args.get("fields") or []) != 1:
            raise StepFailed("PIVOT must follow a table: FROM t PIVOT(SUM(a) FOR b IN (…)).")
        if not pivot.args.get("unpivot") and pivot.parent is not None:
            _expand(pivot, pivot.parent)


def _expand(pivot: exp.Pivot, source: exp.Expr) -> None:
    aggregates = pivot.expressions
    if len(aggregates) > 1 and not all(isinstance(each, exp.Alias) for each in aggregates):
        raise StepFailed("PIVOT with several aggregates needs a name for each: SUM(a) AS x, COUNT(*) AS y.")
    [field] = pivot.args["fields"]
    grouped = exp.Star(except_=[exp.to_identifier(name, quoted=True) for name in _used(pivot, field)])
    columns = [_column(aggregate, field.this, value) for value in field.expressions for aggregate in aggregates]
    inner = source.copy()
    inner.set("pivots", None)
    query = exp.select(grouped, *columns).from_(inner)
    query.set("group", exp.Group(all=True))
    alias = pivot.args.get("alias") or exp.TableAlias(this=exp.to_identifier("_pivoted", quoted=True))
    source.replace(exp.Subquery(this=query, alias=alias.copy()))


def _used(pivot: exp.Pivot, field: exp.Expr) -> list[str]:
    nodes = [*pivot.expressions, field.this]
    return list(dict.fromkeys(column.name.lower() for node in nodes for column in node.find_all(exp.Column)))


def _column(aggregate: exp.Expr, subject: exp.Expr, value: exp.Expr) -> exp.Expr:
    named = value.alias if isinstance(value, exp.PivotAlias | exp.Alias) else ""
    plain = value.this if named else value
    condition = exp.NullSafeEQ(this=subject.copy(), expression=plain.copy())
    prefix = f"{aggregate.alias}_" if isinstance(aggregate, exp.Alias) else ""
    function = aggregate.this if isinstance(aggregate, exp.Alias) else aggregate
    return exp.alias_(_conditional(function.copy(), condition), prefix + (named or _name(plain)), quoted=True)


def _conditional(function: exp.Expr, condition: exp.Expr) -> exp.Expr:
    """Return the aggregate over the rows for which the condition holds; a NULL is what all others count as."""
    if not isinstance(function, exp.AggFunc) or isinstance(function, _REFUSED):
        raise StepFailed(f"PIVOT needs an aggregate that ignores NULL, not {function.sql('bigquery')}.")
    if isinstance(function, exp.CountIf):
        function.set("this", exp.and_(condition, function.this))
    elif isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
        return exp.CountIf(this=condition)
    elif isinstance(function.this, exp.Distinct):
        function.this.set("expressions", [_if(condition, each) for each in function.this.expressions])
    else:
        function.set("this", _if(condition, function.this))
    return function


def _if(condition: exp.Expr, value: exp.Expr) -> exp.Expr:
    return exp.If(this=condition.copy(), true=value.copy(), false=exp.Null())


def _name(value: exp.Expr) -> str:
    """Return the name of a value without alias: abc, _1, minus_1, _1_point_5, TRUE, NULL, _2026_01_31."""
    if isinstance(value, exp.Literal) and value.is_string:
        return str(value.name)
    if isinstance(value, exp.Cast):  # NUMERIC '1.5', DATE '2026-01-31'
        return "_" + str(value.this.name).replace("-", "_").replace(".", "_point_")
    if isinstance(value, exp.Neg):
        return f"minus{_name(value.this)}"
    if isinstance(value, exp.Literal):
        return "_" + str(value.name).replace(".", "_point_")
    return value.sql("bigquery").upper()


def order_unpivot(node: exp.Expr) -> exp.Expr:
    """UNPIVOT puts the name after the value, and its alias names the result."""
    source = node.parent
    if not node.args.get("unpivot") or source is None:
        return node
    name = node.args["fields"][0].this.name
    alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier("_unpivoted"))
    node.set("alias", None)
    everything = exp.Star(except_=[exp.to_identifier(name, quoted=True)])
    inner = exp.select(everything, exp.column(name, quoted=True)).from_(source.copy())
    source.replace(exp.Subquery(this=inner, alias=alias.copy()))
    return node
