"""Mathematical functions: where GoogleSQL raises an error, DuckDB gives inf or NaN. NUMERIC in, NUMERIC out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, kind_named, kind_of, typed
from convergence.errors import StepFailed

_DECIMALS: Final = ("BIGNUMERIC", "NUMERIC")


def _finite(node: exp.Expr) -> exp.Expr:
    """FLOAT64 alone: SIN, COT, …"""
    return _checked(node, keeps_decimals=False)


def _decimal(node: exp.Expr) -> exp.Expr:
    """LN, LOG, EXP, SQRT and POW of NUMERIC are NUMERIC."""
    return _checked(node, keeps_decimals=True)


def _checked(node: exp.Expr, *, keeps_decimals: bool) -> exp.Expr:
    arguments = [value for value in (node.this, node.args.get("expression")) if value is not None]
    decimal = next((kind for kind in _DECIMALS if kind in {kind_of(value) for value in arguments}), "")
    for key in ("this", "expression"):
        if node.args.get(key) is not None:
            node.set(key, cast(node.args[key], "FLOAT64"))
    total: exp.Expr = node.this.copy()
    if len(arguments) > 1:
        total = exp.Add(this=total, expression=node.expression.copy())
    found = call("finite", node.copy(), total, kind="FLOAT64")
    floats = {kind_of(value) for value in arguments} & {"FLOAT64"}
    return cast(found, decimal) if decimal and keeps_decimals and not floats else typed(found, "FLOAT64")


def _correlation(node: exp.Expr) -> exp.Expr:
    """Fewer than two pairs without NULL have no correlation."""
    pairs = exp.Anonymous(this="regr_count", expressions=[node.this.copy(), node.expression.copy()])
    enough = exp.GT(this=pairs, expression=exp.Literal.number(1))
    if isinstance(node.parent, exp.Window):
        return node
    return typed(exp.If(this=enough, true=node.copy()), "FLOAT64")


def _distance(node: exp.Expr) -> exp.Expr:
    if any(_of_pairs(vector) for vector in (node.this, node.expression)):
        raise StepFailed("A distance of vectors that are pairs cannot run here; give arrays of FLOAT64.")
    return node


def _of_pairs(vector: exp.Expr) -> bool:
    elements = vector.type.expressions if vector.type is not None else []
    return any(kind_named(each) == "STRUCT" for each in elements) or any(
        isinstance(each, exp.Tuple | exp.Struct) for each in vector.expressions
    )


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    **dict.fromkeys((exp.Ln, exp.Log, exp.Exp, exp.Sqrt, exp.Pow), _decimal),
    **dict.fromkeys((exp.Acos, exp.Asin, exp.Acosh, exp.Atanh, exp.Cot, exp.Sinh, exp.Cosh), _finite),
    exp.Corr: _correlation,
    **dict.fromkeys((exp.CosineDistance, exp.EuclideanDistance), _distance),
}
