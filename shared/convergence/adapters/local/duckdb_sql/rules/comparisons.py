"""Comparisons: operands have types that GoogleSQL compares, NaN is equal to nothing, structs are compared by field.

For DuckDB NaN is equal to NaN and greater than all numbers, NULL in a struct is a value, and any two types compare
as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.aggregates import instead, swapped, with_window
from convergence.adapters.local.duckdb_sql.rules.base import Rule, cast, function, kind_of, typed
from convergence.adapters.local.duckdb_sql.rules.casts import as_kind, is_moment
from convergence.adapters.local.duckdb_sql.rules.fields import paired_fields, struct_kind
from convergence.adapters.local.duckdb_sql.rules.kinds import refuse_mixture
from convergence.errors import StepFailed

_MOMENTS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP", "TIME"})
_EXAMPLES: Final = {
    "DATE": "'2026-11-07'",
    "DATETIME": "'2026-11-07 10:30:00'",
    "TIMESTAMP": "'2026-11-07 10:30:00+00'",
    "TIME": "'10:30:00'",
}
_UNORDERED: Final = frozenset({"ARRAY", "STRUCT", "JSON"})


def may_be_nan(node: exp.Expr) -> bool:
    """Whether a value is a FLOAT64 that can be NaN."""
    while isinstance(node, exp.Paren | exp.Neg | exp.Cast) and kind_of(node) == "FLOAT64":
        if isinstance(node, exp.Cast) and kind_of(node.this) not in {"FLOAT64", ""}:
            return kind_of(node.this) == "STRING"
        node = node.this
    return kind_of(node) == "FLOAT64" and not isinstance(node, exp.Literal | exp.Rand)


def _coerced(sides: list[exp.Expr]) -> list[exp.Expr]:
    """Return the operands with text literals in the type of the date or time beside them."""
    kind = next((kind_of(side) for side in sides if kind_of(side) in _MOMENTS), "")
    return [as_kind(_readable(side, kind), kind) if kind and isinstance(side, exp.Literal) else side for side in sides]


def _readable(side: exp.Literal, kind: str) -> exp.Literal:
    """A text that cannot be read as a date is refused before any row is, as BigQuery does: no empty table hides it."""
    if side.is_string and not is_moment(side.name, kind):
        raise StepFailed(f"The text {side.name[:40]!r} beside a {kind} is not a {kind}; write it as {_EXAMPLES[kind]}.")
    return side


def _check(sides: list[exp.Expr], *, ordered: bool) -> None:
    kinds = {kind_of(side) for side in sides}
    refused = kinds & (_UNORDERED if ordered else _UNORDERED - {"STRUCT"})
    if refused:
        raise StepFailed(f"{min(refused)} cannot be compared.")
    refuse_mixture(sides, "A comparison")


def _compared(node: exp.Expr) -> exp.Expr:
    """=, <>, <, <=, >, >=; SET a = b compares nothing."""
    if isinstance(node.parent, exp.Update) and node.arg_key == "expressions":
        return node
    _check([node.this, node.expression], ordered=not isinstance(node, exp.EQ | exp.NEQ))
    if isinstance(node, exp.EQ | exp.NEQ) and "STRUCT" in {struct_kind(node.this), struct_kind(node.expression)}:
        return _structs(node)
    return _scalars(node)


def _structs(node: exp.Expr) -> exp.Expr:
    """Structs are equal when all their fields are, in order; a NULL among fields that are equal makes NULL of it."""
    pairs = paired_fields(node.this, node.expression)
    same = exp.and_(*(_compared(exp.EQ(this=left, expression=right)) for left, right in pairs), copy=False)
    return typed(exp.paren(exp.not_(exp.paren(same)) if isinstance(node, exp.NEQ) else same), "BOOL")


def _scalars(node: exp.Expr) -> exp.Expr:
    left, right = _coerced([node.this, node.expression])
    node.set("this", left)
    node.set("expression", right)
    if isinstance(node, exp.EQ | exp.NEQ):
        suspect, other = (left, right) if may_be_nan(left) and may_be_nan(right) else (None, right)
    else:
        greater, lesser = (left, right) if isinstance(node, exp.GT | exp.GTE) else (right, left)
        suspect, other = (greater, lesser) if may_be_nan(greater) else (None, lesser)
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
    if any(may_be_nan(side) for side in sides):
        least = _compared(exp.GTE(this=node.this.copy(), expression=node.args["low"].copy()))
        most = _compared(exp.LTE(this=node.this.copy(), expression=node.args["high"].copy()))
        return typed(exp.paren(exp.and_(least, most, copy=False)), "BOOL")
    return node


def _in(node: exp.Expr) -> exp.Expr:
    if isinstance(node.parent, exp.Pivot):
        return node  # FOR … IN names columns or values
    listed = list(node.expressions)
    if listed:
        _check([node.this, *listed], ordered=False)
        first, *others = _coerced([node.this, *listed])
        node.set("this", first)
        node.set("expressions", others)
        if any(struct_kind(each) for each in (first, *others)):
            same = [_compared(exp.EQ(this=first.copy(), expression=each)) for each in others]
            return typed(exp.paren(exp.or_(*same, copy=False)), "BOOL")
    elif kind_of(node.this) in {"ARRAY", "JSON"}:
        raise StepFailed(f"{kind_of(node.this)} cannot be compared.")
    elif struct_kind(node.this):
        raise StepFailed("IN (SELECT …) and IN UNNEST(…) of a STRUCT cannot run here; use EXISTS.")
    if not may_be_nan(node.this) or (listed and not any(map(may_be_nan, listed))):
        return node
    is_nan = exp.If(this=function("isnan", node.this.copy()), true=exp.false())
    return typed(exp.Case(ifs=[is_nan], default=node.copy()), "BOOL")


def _nullif(node: exp.Expr) -> exp.Expr:
    _check([node.this, node.expression], ordered=False)
    is_struct = struct_kind(node.this) or struct_kind(node.expression)
    if not is_struct and not (may_be_nan(node.this) and may_be_nan(node.expression)):
        return node
    same = _compared(exp.EQ(this=node.this.copy(), expression=node.expression.copy()))
    found = exp.Case(ifs=[exp.If(this=same, true=exp.Null())], default=node.this.copy())
    found.type = node.this.type
    return found


def _is(node: exp.Expr) -> exp.Expr:
    """IS TRUE and IS FALSE take a BOOL; DuckDB casts."""
    kind = "" if isinstance(node.this.unnest(), exp.Null) else kind_of(node.this)
    if isinstance(node.expression, exp.Boolean) and kind not in {"", "BOOL"}:
        raise StepFailed(f"IS TRUE and IS FALSE take a BOOL, not {kind}.")
    return node


def _least(node: exp.Expr) -> exp.Expr:
    """LEAST and GREATEST are NaN when one argument is; for DuckDB that is the greatest."""
    values = [node.this, *node.expressions]
    _check(values, ordered=True)
    values = _coerced(values)
    node.set("this", values[0])
    node.set("expressions", values[1:])
    if isinstance(node, exp.Greatest) or not any(map(may_be_nan, values)):
        return node
    greatest = exp.Greatest(
        this=values[0].copy(), expressions=[each.copy() for each in values[1:]], ignore_nulls=node.args["ignore_nulls"]
    )
    is_nan = function("isnan", cast(greatest, "FLOAT64"))
    return typed(exp.Case(ifs=[exp.If(this=is_nan, true=greatest.copy())], default=node.copy()), "FLOAT64")


def _minimum(node: exp.Expr) -> exp.Expr:
    """MIN is NaN when one value is."""
    if kind_of(node.this) in _UNORDERED:
        raise StepFailed(f"{'MIN' if isinstance(node, exp.Min) else 'MAX'} of {kind_of(node.this)} cannot be computed.")
    if isinstance(node, exp.Max) or not may_be_nan(node.this):
        return node
    whole = with_window(node)
    greatest = swapped(whole, node, exp.Max)
    is_nan = function("isnan", greatest)
    return instead(
        node, whole, typed(exp.Case(ifs=[exp.If(this=is_nan, true=greatest.copy())], default=whole.copy()), "FLOAT64")
    )


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE), _compared),
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Nullif: _nullif,
    exp.Least: _least,
    exp.Greatest: _least,
    exp.Min: _minimum,
    exp.Max: _minimum,
}
