"""Numbers: NUMERIC stays NUMERIC, money is never a float, division by zero and overflow are errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import (
    Rule,
    attempt,
    call,
    cast,
    function,
    kind_of,
    typed,
    without_errors,
)
from convergence.adapters.local.duckdb_sql.rules.casts import as_decimal
from convergence.adapters.local.duckdb_sql.rules.dates import check_interval
from convergence.adapters.local.duckdb_sql.rules.literals import DECIMALS, is_float_literal
from convergence.adapters.local.duckdb_sql.rules.overflow import finite
from convergence.errors import StepFailed

_MOMENTS: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})


def _is_whole(node: exp.Expr) -> bool:
    """Whether the node consists of integer literals only: DuckDB would use 32 bits for it."""
    if isinstance(node, exp.Paren | exp.Neg):
        return _is_whole(node.this)
    return isinstance(node, exp.Literal) and node.is_int


def decimal_of(*nodes: exp.Expr) -> str:
    """Return NUMERIC or BIGNUMERIC when the operands give that, '' when they do not or it is not known.

    A FLOAT64 literal beside a decimal is a decimal; a FLOAT64 value makes FLOAT64 of both.
    """
    kinds = [kind_of(node) for node in nodes if not is_float_literal(node)]
    if not set(kinds) & DECIMALS or set(kinds) - DECIMALS - {"INT64"}:
        return ""
    return "BIGNUMERIC" if "BIGNUMERIC" in kinds else "NUMERIC"


def _operands(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    """Return both sides, literals in the type that GoogleSQL gives them."""
    left, right = node.this, node.expression
    decimal = decimal_of(left, right)
    if decimal:  # DuckDB reads a literal with an exponent as DOUBLE
        left, right = (as_decimal(side, decimal) if is_float_literal(side) and "e" in side.name.lower() else side
                       for side in (left, right))  # fmt: skip
    else:
        left, right = (cast(side, "FLOAT64") if is_float_literal(side) else side for side in (left, right))
    if _is_whole(left) and _is_whole(right):
        left = cast(left, "INT64")
    return left, right


def _sum(node: exp.Expr) -> exp.Expr:
    """Addition and subtraction: DuckDB's own, on the right types."""
    left, right = _operands(node)
    if kind_of(left) == "DATE" and kind_of(right) == "INT64":
        days = right if isinstance(node, exp.Add) else exp.Neg(this=exp.Paren(this=right))
        return call("shifted", left, days, kind="DATE")
    if isinstance(node, exp.Sub) and kind_of(left) == kind_of(right) and kind_of(left) in _MOMENTS:
        return _interval_between(left, right)
    moved = _moved(node, left, right)
    if moved is not None:
        return moved
    node.set("this", left)
    node.set("expression", right)
    decimal = decimal_of(left, right)
    return typed(node, decimal) if decimal else finite(node)


def _moved(node: exp.Expr, left: exp.Expr, right: exp.Expr) -> exp.Expr | None:
    """A moment and an INTERVAL give a moment, of a DATE a DATETIME; None for anything else."""
    moment, interval = (
        (left, right) if kind_of(right) == "INTERVAL" or isinstance(right, exp.Interval) else (right, left)
    )
    if kind_of(moment) not in _MOMENTS or not (kind_of(interval) == "INTERVAL" or isinstance(interval, exp.Interval)):
        return None
    kind = "DATETIME" if kind_of(moment) == "DATE" else kind_of(moment)
    check_interval(kind, interval)
    return call("in_range", type(node)(this=left, expression=right), kind=kind)


def _interval_between(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    """The difference of two moments is an INTERVAL: of days between dates, of a time otherwise."""
    if kind_of(left) == "DATE":
        return typed(function("to_days", call("int32", exp.Sub(this=left, expression=right))), "INTERVAL")
    micros = exp.Sub(this=function("epoch_us", left), expression=function("epoch_us", right))
    return typed(function("to_microseconds", micros), "INTERVAL")


def _product(node: exp.Expr) -> exp.Expr:
    """The product of decimals keeps its type: rounded half away from zero at the last place."""
    left, right = _operands(node)
    decimal = decimal_of(left, right)
    product = type(node)(this=left, expression=right)
    if not kind_of(left) or not kind_of(right):
        return call("multiply", _bare(left), _bare(right))
    if decimal == "BIGNUMERIC":
        return call("bignumeric_multiply", left, right, kind=decimal)
    if decimal:
        return cast(exp.Paren(this=product) if isinstance(node.parent, exp.Binary) else product, decimal)
    product.parent, product.arg_key = node.parent, node.arg_key
    return finite(typed(product, kind_of(node)))


def _quotient(node: exp.Expr) -> exp.Expr:
    left, right = _operands(node)
    quotient = _divided(_bare(left), _bare(right))
    if not isinstance(quotient, exp.Paren) or not isinstance(quotient.this, exp.Div):
        return quotient
    quotient.parent, quotient.arg_key = node.parent, node.arg_key
    found = finite(quotient.this)
    return quotient if found is quotient.this else found


def _bare(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Paren) and not isinstance(node.this, exp.Query) else node


def _divided(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    decimal = decimal_of(left, right)
    if decimal:
        return call(f"{decimal.lower()}_divide", left, right, kind=decimal)
    if not kind_of(left) or not kind_of(right):
        return call("divide", left, right)
    sides = [cast(side, "FLOAT64") if kind_of(side) in DECIMALS else exp.Paren(this=side) for side in (left, right)]
    quotient = exp.Div(this=sides[0], expression=call("nonzero", sides[1]), typed=False)
    return typed(exp.Paren(this=quotient), "FLOAT64")


def _safe_divide(node: exp.Expr) -> exp.Expr:
    left, right = _operands(node)
    divisor = exp.Nullif(this=right, expression=exp.Literal.number(0))
    divisor.type = right.type
    quotient = _divided(left, divisor)
    if kind_of(quotient) == "FLOAT64" and isinstance(quotient, exp.Paren):
        quotient = finite(quotient.this)
    return without_errors(quotient)


def _whole_quotient(node: exp.Expr) -> exp.Expr:
    """DIV: truncated towards zero."""
    _refuse_floats(node, "DIV")
    decimal = decimal_of(node.this, node.expression)
    if not decimal:
        return node
    quotient = exp.Anonymous(this="trunc", expressions=[_divided(node.this, node.expression)])
    return cast(quotient, decimal)


def _refuse_floats(node: exp.Expr, name: str) -> None:
    if "FLOAT64" in {kind_of(node.this), kind_of(node.expression)} or (
        is_float_literal(node.this) and is_float_literal(node.expression)
    ):
        raise StepFailed(f"{name} takes INT64, NUMERIC or BIGNUMERIC, not FLOAT64.")


def _remainder(node: exp.Expr) -> exp.Expr:
    """MOD of the least INT64 by -1 overflows in DuckDB, although it is 0; the remainder of 1 is the same."""
    _refuse_floats(node, "MOD")
    divisor = node.expression
    if kind_of(node.this) == kind_of(divisor) == "INT64" and not isinstance(divisor, exp.Literal):
        one = exp.If(this=exp.EQ(this=divisor.copy(), expression=exp.Literal.number(-1)), true=exp.Literal.number(1))
        node.set("expression", exp.paren(typed(exp.Case(ifs=[one], default=divisor.copy()), "INT64")))
    return node


def _safe(operator: type[exp.Expr], rule: Rule) -> Rule:
    def safe(node: exp.Expr) -> exp.Expr:
        return attempt(rule(operator(this=node.this, expression=node.expression)))

    return safe


def _safe_negate(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node.this)
    value = cast(node.this, "INT64") if kind == "INT64" else exp.Paren(this=node.this)
    return attempt(typed(exp.Sub(this=exp.Literal.number(0), expression=value), kind))  # TRY(-x) may have 128 bits


def _keeping(node: exp.Expr) -> exp.Expr:
    """ROUND, CEIL, FLOOR, TRUNC: a decimal stays one."""
    places, kind = node.args.get("decimals"), kind_of(node.this)
    if places is not None and not isinstance(places, exp.Literal | exp.Neg):
        if kind in DECIMALS and isinstance(node, exp.Round):
            return cast(call("round_decimal", node.this, places), kind)
        node.set("decimals", call("int32", places))
    if kind in DECIMALS:
        return cast(node.copy(), kind)
    if is_float_literal(node.this) or kind in {"INT64", "FLOAT64"}:  # -0.5 would be a decimal, which has no -0
        node.set("this", cast(node.this, "FLOAT64"))
    return typed(node, "FLOAT64") if kind else node


def _sign(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node.this)
    return cast(node.copy(), kind) if kind in {"INT64", "FLOAT64"} | DECIMALS else node


def _cube_root(node: exp.Expr) -> exp.Expr:
    return call("cube_root", cast(node.this, "FLOAT64"), kind="FLOAT64")


def _ieee_divide(node: exp.Expr) -> exp.Expr:
    left, right = (cast(side, "FLOAT64") for side in node.expressions)
    return typed(exp.Div(this=left, expression=right, typed=False), "FLOAT64")


def _is(test: str) -> Callable[[exp.Expr], exp.Expr]:
    return lambda node: function(test, node.this, kind="BOOL")


ANONYMOUS: Final[Mapping[str, Rule]] = {"IEEE_DIVIDE": _ieee_divide}
RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Add: _sum,
    exp.Sub: _sum,
    exp.Mul: _product,
    exp.Div: _quotient,
    exp.IntDiv: _whole_quotient,
    exp.SafeDivide: _safe_divide,
    exp.SafeAdd: _safe(exp.Add, _sum),
    exp.SafeSubtract: _safe(exp.Sub, _sum),
    exp.SafeMultiply: _safe(exp.Mul, _product),
    exp.SafeNegate: _safe_negate,
    exp.Round: _keeping,
    exp.Ceil: _keeping,
    exp.Floor: _keeping,
    exp.Trunc: _keeping,
    exp.Sign: _sign,
    exp.Mod: _remainder,
    exp.Cbrt: _cube_root,
    exp.IsNan: _is("isnan"),
    exp.IsInf: _is("isinf"),
}
