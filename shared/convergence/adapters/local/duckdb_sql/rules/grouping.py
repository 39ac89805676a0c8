"""DISTINCT, GROUP BY and PARTITION BY do not take JSON, which DuckDB groups by its text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.infer import COLUMNS
from convergence.adapters.local.duckdb_sql.rules.base import Rule, kind_named, kind_of
from convergence.errors import StepFailed


def refuse_ungrouped(values: Iterable[exp.Expr], what: str) -> None:
    """Raise `StepFailed` for a value that is JSON or holds some."""
    for value in values:
        plain = value.unalias()
        if kind_of(plain) == "JSON" or (plain.type is not None and _holds_json(plain.type)):
            raise _refused(what)


def refuse_ungrouped_star(select: exp.Select, what: str) -> None:
    """Raise `StepFailed` for a star that gives a column that is JSON or holds some."""
    kinds = [kind for _, kind in select.meta.get(COLUMNS, ()) if kind is not None]
    if any(kind_named(each) == "JSON" or _holds_json(each) for each in kinds):
        raise _refused(what)


def _refused(what: str) -> StepFailed:
    return StepFailed(f"{what} JSON is not possible: group by TO_JSON_STRING(…), or by a value in it.")


def _holds_json(kind: exp.DataType) -> bool:
    parts = [part.args["kind"] if isinstance(part, exp.ColumnDef) else part for part in kind.expressions]
    types = [part for part in parts if isinstance(part, exp.DataType)]
    return any(kind_named(part) == "JSON" or _holds_json(part) for part in types)


def _distinct(node: exp.Expr) -> exp.Expr:
    holder = node.parent
    refuse_ungrouped(holder.selects if isinstance(holder, exp.Select) else node.expressions, "DISTINCT of")
    if isinstance(holder, exp.Select):
        refuse_ungrouped_star(holder, "DISTINCT of")
    return node


def _group(node: exp.Expr) -> exp.Expr:
    columns = node.parent.selects if isinstance(node.parent, exp.Select) else []
    places = [int(each.name) for each in node.expressions if isinstance(each, exp.Literal) and each.is_int]
    named = [columns[place - 1] for place in places if 0 < place <= len(columns)]
    refuse_ungrouped([*node.expressions, *named], "GROUP BY of")
    return node


def _approximate(node: exp.Expr) -> exp.Expr:
    refuse_ungrouped([node.this], "APPROX_COUNT_DISTINCT of")
    return node


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.Distinct: _distinct,
    exp.Group: _group,
    exp.ApproxDistinct: _approximate,
}
