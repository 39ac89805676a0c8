"""Where GoogleSQL and DuckDB differ: one rule for each node class, applied from the leaves up.

A rule gets a node whose children are translated already and returns the node that takes its place. sqlglot
renames what has only another name in DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.local.duckdb_sql.rules import (
    aggregates,
    arrays,
    bits,
    casts,
    comparisons,
    date_formats,
    date_values,
    dates,
    grouping,
    json,
    literals,
    math,
    numbers,
    ordering,
    series,
    statements,
    strings,
    structs,
    text,
    windows,
)
from convergence.adapters.local.duckdb_sql.rules.arguments import check_arguments
from convergence.adapters.local.duckdb_sql.rules.base import Rule

_MODULES: Final = (
    numbers, literals, aggregates, bits, math, comparisons, ordering, casts, dates, date_values, date_formats, series,
    text, strings, json, arrays, statements, structs, grouping, windows,
)  # fmt: skip
_RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    kind: rule for module in _MODULES for kind, rule in module.RULES.items()
}


def apply_rules(tree: exp.Expr) -> exp.Expr:
    """Return the tree in DuckDB's meaning.

    Raises:
        StepFailed: a construct that cannot be translated, by name.
    """
    for node in reversed(list(tree.walk(bfs=False))):
        check_arguments(node)
        rule = _RULES.get(type(node))
        if rule is None:
            continue
        changed = rule(node)
        if changed is not node:
            if node is tree:
                tree = changed
            else:
                node.replace(changed)
    return tree
