"""Windows: their partitions, and offsets, which must not be negative. For DuckDB LAG by -1 is LEAD by 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules.arguments import name_of
from convergence.adapters.local.duckdb_sql.rules.base import Rule, call, kind_of
from convergence.adapters.local.duckdb_sql.rules.grouping import refuse_ungrouped
from convergence.errors import StepFailed


def _window(node: exp.Expr) -> exp.Expr:
    refuse_ungrouped(node.args.get("partition_by") or [], "PARTITION BY of")
    return node


def _offset(least: int) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        offset, name = node.args.get("offset"), name_of(node)
        if offset is None:
            return node
        plain = offset.unnest()
        if isinstance(plain, exp.Literal) and plain.is_int and int(plain.name) >= least:
            return node
        if not isinstance(plain, exp.Cast) or not isinstance(plain.this, exp.Parameter) or kind_of(plain) != "INT64":
            raise StepFailed(f"The offset of {name} must be an INT64 literal or parameter of at least {least}.")
        node.set("offset", call("row_offset", offset.copy(), exp.Literal.number(least), kind="INT64"))
        return node

    return rule


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Window: _window,
    **dict.fromkeys((exp.Lag, exp.Lead), _offset(0)),
    exp.NthValue: _offset(1),
}
