"""Comparisons and order: operands have types that GoogleSQL compares, and NaN is equal to nothing and sorted first.

For DuckDB NaN is equal to NaN and above all numbers, and any two types compare as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.aggregates import instead, swapped, with_window
from convergence.adapters.local.duckdb_sql.rules.base import Rule, cast, function, kind_of, typed
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind
from convergence.adapters.local.duckdb_sql.rules.kinds import refuse_mixture
from convergence.errors import StepFailed

_MOMENTS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP", "TIME"})
_UNORDERED: Final = frozenset({"ARRAY", "STRUCT", "JSON"})


def _may_be_nan(node: exp.Expr) -> bool:
    while isinstance(node, exp.Paren | exp.Neg | exp.Cast) and kind_of(node) == "FLOAT64":
        if isinstance(node, exp.Cast) and kind_of(node.this) not in {"FLOAT64", ""}:
            return kind_of(node.this) == "STRING"
        node = node.this
    return kind_of(node) == "FLOAT64" and not isinstance(node, exp.Literal | exp.Rand)


def _coerced(sides: list[exp.Expr]) -> list[exp.Expr]:
    """Return the operands with text literals in the type of the date or time beside them."""
    kind = next((kind_of(side) for side in sides if kind_of(side) in _MOMENTS), "")
    return [as_kind(side, kind) if kind and isinstance(side, exp.Literal) else side for side in sides]


def _check(sides: list[exp.Expr], *, ordered: bool) -> None:
    kinds = {kind_of(side) for side in sides}
    refused = kinds & (_UNORDERED if ordered else _UNORDERED - {"STRUCT"})
    if refused:
        raise StepFailed(f"{min(refused)} cannot be compared.")
    refuse_mixture(sides, "A comparison")


def _compared(node: exp.Expr) -> exp.Expr:
    """=, <>, <, <=, >, >=."""
    _check([node.this, node.expression], ordered=not isinstance(node, exp.EQ | exp.NEQ))
    left, right = _coerced([node.this, node.expression])
    node.set("this", left)
    node.set("expression", right)
    if isinstance(node, exp.EQ | exp.NEQ):
        suspect, other = (left, right) if _may_be_nan(left) and _may_be_nan(right) else (None, right)
    else:
        greater, lesser = (left, right) if isinstance(node, exp.GT | exp.GTE) else (right, left)
        suspect, other = (greater, lesser) if _may_be_nan(greater) else (None, lesser)
    if suspect is None:
        return node
    is_nan = function("isnan", suspect.copy(), kind="BOOL")
    if isinstance(node, exp.NEQ):
        return typed(exp.paren(exp.or_(node.copy(), is_nan, copy=False)), "BOOL")
    number: exp.Expr = exp.Not(this=is_nan)
    if not isinstance(other, exp.Literal):  # NULL beside NaN is NULL
        number = exp.paren(exp.or_(number, exp.Is(this=other.copy(), expression=exp.Null()), copy=False))
    return typed(exp.paren(exp.and_(node.copy(), number, copy=False)), "BOOL")


def _between(node: exp.Expr) -> exp.Expr:
    names = ("this", "low", "high")
    sides = [node.args[name] for name in names]
    _check(sides, ordered=True)
    for name, side in zip(names, _coerced(sides), strict=True):
        node.set(name, side)
    if any(_may_be_nan(side) for side in sides):
        least = _compared(exp.GTE(this=node.this.copy(), expression=node.args["low"].copy()))
        most = _compared(exp.LTE(this=node.this.copy(), expression=node.args["high"].copy()))
        return typed(exp.paren(exp.and_(least, most, copy=False)), "BOOL")
    return node


def _in(node: exp.Expr) -> exp.Expr:
    listed = list(node.expressions)
    if listed:
        _check([node.this, *listed], ordered=False)
        first, *others = _coerced([node.this, *listed])
        node.set("this", first)
        node.set("expressions", others)
    elif kind_of(node.this) in {"ARRAY", "JSON"}:
        raise StepFailed(f"{kind_of(node.this)} cannot be compared.")
    if not _may_be_nan(node.this) or (listed and not any(map(_may_be_nan, listed))):
        return node
    is_nan = exp.If(this=function("isnan", node.this.copy()), true=exp.false())
    return typed(exp.Case(ifs=[is_nan], default=node.copy()), "BOOL")


def _nullif(node: exp.Expr) -> exp.Expr:
    _check([node.this, node.expression], ordered=False)
    if not (_may_be_nan(node.this) and _may_be_nan(node.expression)):
        return node
    same = _compared(exp.EQ(this=node.this.copy(), expression=node.expression.copy()))
    return typed(exp.Case(ifs=[exp.If(this=same, true=exp.Null())], default=node.this.copy()), "FLOAT64")


def _least(node: exp.Expr) -> exp.Expr:
    """LEAST and GREATEST are NaN when one argument is; for DuckDB that is the greatest."""
    values = [node.this, *node.expressions]
    _check(values, ordered=True)
    values = _coerced(values)
    node.set("this", values[0])
    node.set("expressions", values[1:])
    if isinstance(node, exp.Greatest) or not any(map(_may_be_nan, values)):
        return node
    greatest = exp.Greatest(
        this=values[0].copy(), expressions=[each.copy() for each in values[1:]], ignore_nulls=node.args["ignore_nulls"]
    )
    is_nan = function("isnan", cast(greatest, "FLOAT64"))
    return typed(exp.Case(ifs=[exp.If(this=is_nan, true=greatest.copy())], default=node.copy()), "FLOAT64")


def _minimum(node: exp.Expr) -> exp.Expr:
    """MIN is NaN when one value is."""
    if kind_of(node.this) in _UNORDERED:
        raise StepFailed(f"{'MIN' if isinstance(node, exp.Min) else 'MAX'} of {kind_of(node.this)} cannot be taken.")
    if isinstance(node, exp.Max) or not _may_be_nan(node.this):
        return node
    whole = with_window(node)
    greatest = swapped(whole, node, exp.Max)
    is_nan = function("isnan", greatest)
    return instead(
        node, whole, typed(exp.Case(ifs=[exp.If(this=is_nan, true=greatest.copy())], default=whole.copy()), "FLOAT64")
    )


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
    if order is None or select.args.get("distinct"):
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


def _put_nan_first(order: exp.Expr, meant: Callable[[exp.Expr], exp.Expr]) -> None:
    """Put a key before each FLOAT64 key by which NaN comes before all numbers."""
    keys: list[exp.Expr] = []
    for key in order.expressions:
        value = meant(key.this if isinstance(key, exp.Ordered) else key)
        if kind_of(value) in _UNORDERED:
            raise StepFailed(f"ORDER BY {kind_of(value)} is not possible.")
        if _may_be_nan(value):
            fresh = key.copy()
            fresh.set("this", exp.Not(this=function("isnan", value.copy())))
            keys.append(fresh)
        keys.append(key)
    order.set("expressions", keys)


def _is_by_distance(spec: exp.Expr | None) -> bool:
    """Whether a window's frame is RANGE BETWEEN 5 PRECEDING …, which takes one key."""
    if spec is None or str(spec.args.get("kind")).upper() != "RANGE":
        return False
    return any(isinstance(spec.args.get(side), exp.Expr) for side in ("start", "end"))


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), _compared),
    exp.Between: _between,
    exp.In: _in,
    exp.Nullif: _nullif,
    exp.Least: _least,
    exp.Greatest: _least,
    exp.Min: _minimum,
    exp.Max: _minimum,
    exp.Order: _order,
}
