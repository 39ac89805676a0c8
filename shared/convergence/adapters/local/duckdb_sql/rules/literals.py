"""Literals: a number with a point is FLOAT64 unless a NUMERIC is beside it; an integer has 64 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, cast, kind_of, typed
from convergence.errors import StepFailed

DECIMALS: Final = frozenset({"NUMERIC", "BIGNUMERIC"})
_FLOAT_HOLDERS: Final = (exp.PropertyEQ, exp.Struct, exp.AggFunc, exp.Ceil, exp.Floor, exp.Trunc, exp.Round,
                         exp.JSONFormat)  # fmt: skip


def is_float_literal(node: exp.Expr) -> bool:
    """Whether a node is a number with a point or an exponent."""
    return isinstance(node, exp.Literal) and not node.is_string and not node.is_int


def _literal(node: exp.Expr) -> exp.Expr:
    """A literal with a point is FLOAT64 unless an operand beside it makes it a NUMERIC; in DuckDB it is a DECIMAL."""
    if not is_float_literal(node):
        return _int64(node)
    whole, parent = node, node.parent
    while isinstance(parent, exp.Paren | exp.Neg | exp.Alias):
        whole, parent = parent, parent.parent
    if isinstance(parent, exp.Array):
        alone = not {kind_of(each) for each in parent.expressions} & DECIMALS
    else:
        alone = isinstance(parent, _FLOAT_HOLDERS) or _is_float_column(whole, parent) or _is_minus_zero(node, parent)
    return cast(node.copy(), "FLOAT64") if alone else node


def _is_minus_zero(node: exp.Expr, parent: exp.Expr | None) -> bool:
    """Whether a literal is the zero of -0.0 and no decimal is beside it: a decimal zero would have no sign."""
    if (
        not isinstance(node.parent, exp.Neg)
        or float(node.name) != 0
        or isinstance(parent, exp.Cast | exp.Case | exp.Select | exp.Tuple)
    ):
        return False
    if parent is None or isinstance(parent.parent, exp.Case):
        return False
    return not {kind_of(each) for each in parent.iter_expressions()} & DECIMALS


def _int64(node: exp.Expr) -> exp.Expr:
    """An integer literal has 64 bits, its minus included."""
    if node.is_string or int(node.name) < 2**63:
        return node
    if int(node.name) == 2**63 and isinstance(node.parent, exp.Neg):
        return node  # `_negated` writes it
    raise StepFailed(f"The integer {node.name} does not fit into INT64; write NUMERIC '{node.name}'.")


def _hexadecimal(node: exp.Expr) -> exp.Expr:
    if node.args.get("is_integer"):
        return _int64(typed(exp.Literal.number(int(node.name, 16)), "INT64"))
    return node


def _negated(node: exp.Expr) -> exp.Expr:
    """The least INT64 is written as one literal: a minus before a literal would have 128 bits in DuckDB."""
    if isinstance(node.this, exp.Literal) and node.this.is_int and int(node.this.name) == 2**63:
        return cast(exp.Literal.string(f"-{2**63}"), "INT64")
    return node


def _is_float_column(whole: exp.Expr, parent: exp.Expr | None) -> bool:
    """Whether a value is a column of a SELECT list; those of a UNION are looked at together (`float_literals`)."""
    if not isinstance(parent, exp.Select) or whole.arg_key != "expressions":
        return False
    outer = parent.parent
    while isinstance(outer, exp.Subquery):
        outer = outer.parent
    return not isinstance(outer, exp.SetOperation)


def float_literals(values: Sequence[exp.Expr]) -> None:
    """Let the literals with a point in one column of a UNION be FLOAT64, unless another query gives a NUMERIC there."""
    if {kind_of(value) for value in values} & DECIMALS:
        return
    for value in values:
        literal = value
        while isinstance(literal, exp.Paren | exp.Neg):
            literal = literal.this
        if is_float_literal(literal):
            literal.replace(cast(literal.copy(), "FLOAT64"))


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Literal: _literal,
    exp.HexString: _hexadecimal,
    exp.Neg: _negated,
}
