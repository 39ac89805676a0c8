"""Bits of INT64: shifts that ignore the sign, and the count of set bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, cast, function, kind_of
from convergence.errors import StepFailed


def _shift(name: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        if kind_of(node.this) == "BYTES":
            raise StepFailed("Shifting BYTES cannot run here.")
        return call(name, node.this, node.expression, kind="INT64")

    return rule


def _bits(node: exp.Expr) -> exp.Expr:
    if kind_of(node.this) == "BYTES":
        raise StepFailed("BIT_COUNT of BYTES cannot run here.")
    return cast(function("bit_count", cast(node.this, "INT64")), "INT64")


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.BitwiseLeftShift: _shift("shift_left"),
    exp.BitwiseRightShift: _shift("shift_right"),
    exp.BitwiseCount: _bits,
}
